//! Events as other systems hear them of the server: postbacks, files, dead letters.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use tidewire::ws::Message;

use crate::{
    desk::Desk,
    receiver::{Answer, Receiver, events_of},
};

const ALL: &str =
    r#"["message", "connected", "disconnected", "undeliverable", "expired", "delivered"]"#;

/// A target of this URL with these further keys, of the target and of its table.
fn postback(url: &str, target: &str, table: &str) -> String {
    format!(
        "[[targets]]\nname = \"backend\"\nretry_interval = \"5ms\"\nretry_interval_max = \"40ms\"\n{target}\n\
         [targets.postback]\nurl = \"{url}\"\n{table}\n"
    )
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect()
}

async fn status(desk: &Desk) -> Value {
    let (status, _, body) = desk.call("GET", "/v1/events", "", "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Value>(&body).unwrap()["data"].clone()
}

/// Waits for the first target to be so.
async fn until(desk: &Desk, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let status = status(desk).await;
        if is_so(&status) {
            return status;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn messages_and_sessions_are_told_in_order_with_numbers_per_user() {
    let mut receiver = Receiver::start(|_, _| Answer::Status(204)).await;
    let kinds_of = format!("kinds = {ALL}");
    let desk = Desk::start(&postback(&receiver.url, &kinds_of, ""));
    let mut bob = desk.user("bob").await;
    receiver.events(1).await;
    let text =
        r#"{"type":"text","sender":"bob","recipients":[7,"ann"],"text":"hi","data":{"a":1.50}}"#;
    bob.send(Message::Text(text.into())).await.unwrap();
    receiver.events(2).await;
    bob.close(tidewire::ws::CloseCode(1000), "").await.unwrap();
    let events = receiver.events(3).await;
    assert_eq!(kinds(&events), ["connected", "message", "disconnected"]);
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["user"], "bob");
        assert_eq!(event["sequence"], at + 1);
        assert!(
            event["id"]
                .as_str()
                .unwrap()
                .ends_with(&format!("-{}", at + 1))
        );
    }
    let message = &events[1]["message"];
    assert_eq!(message["recipients"], json!([7, "ann"]));
    assert_eq!(message["data"].to_string(), r#"{"a":1.5}"#);
    assert_eq!(events[0]["session"], events[2]["session"]);
    assert_eq!(events[2]["code"], 1000);
}

#[tokio::test]
async fn filters_choose_by_kind_type_and_user() {
    let mut receiver = Receiver::start(|_, _| Answer::Status(200)).await;
    let target = "types = [\"text\", \"IMAGE\"]\nignore_types = [\"image\"]\nusers = [\"7\"]";
    let desk = Desk::start(&format!(
        "[events]\nbot_messages = true\n{}",
        postback(&receiver.url, target, "")
    ));
    for (kind, to, text) in [
        ("text", 8, "another user"),
        ("image", 7, "an ignored type"),
        ("other", 7, "another type"),
        ("TEXT", 7, "this one"),
    ] {
        let body = format!(r#"{{"type":"{kind}","sender":0,"recipients":[{to}],"text":"{text}"}}"#);
        let head = "Content-Type: application/json\r\n";
        assert_eq!(desk.call("POST", "/send-message", head, &body).await.0, 202);
    }
    let events = receiver.events(1).await;
    assert_eq!(events[0]["message"]["text"], "this one");
    let status = until(&desk, |status| status["pending"] == 0).await;
    assert_eq!(status["targets"][0]["delivered"], 1);
}

/// S-74.
#[tokio::test]
async fn a_classic_postback_is_byte_for_byte_that_of_wsserver() {
    let mut receiver = Receiver::start(|_, _| Answer::Status(200)).await;
    let table = "format = \"classic\"\n[targets.postback.auth]\ntype = \"basic\"\nuser = \"u\"\npassword = \"p\"";
    let desk = Desk::start(&postback(&receiver.url, "", table));
    let mut bob = desk.user("5").await;
    let text =
        r#"{"type":"text","sender":5,"recipients":[0],"text":"for the bot","timestamp":"t"}"#;
    bob.send(Message::Text(text.into())).await.unwrap();
    let taken = receiver.taken(1).await;
    let (head, body) = &taken[0];
    let id = serde_json::from_str::<Value>(body).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        body,
        &format!(
            r#"{{"data":null,"id":"{id}","recipients":[0],"sender":5,"text":"for the bot","timestamp":"t","type":"text"}}"#
        )
    );
    let host = receiver
        .url
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap();
    assert_eq!(
        head,
        &format!(
            "POST /hook?a=1 HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nContent-Length: {}\r\n\
             Content-Type: application/json\r\nAuthorization: Basic dTpw\r\n\r\n",
            body.len()
        )
    );
}

/// A third of errors, silence, redirections, endless bodies: each event is taken or a dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_misbehaves_loses_nothing_and_order_per_user_holds() {
    const USERS: u64 = 20;
    const EACH: u64 = 50;
    let mut receiver = Receiver::start(|number, body| {
        if body.contains("poison") {
            return Answer::Status(500);
        }
        match number % 10 {
            1 => Answer::Status(500),
            3 => Answer::Redirect,
            5 => Answer::Status(503),
            6 => Answer::Hangup,
            7 => Answer::Endless,
            8 if number % 50 == 8 => Answer::Silence,
            _ => Answer::Status(200),
        }
    })
    .await;
    let target = "timeout = \"300ms\"\nattempts = 30\nbatch_max = 7\nbreaker_failures = 1000000";
    let desk = Desk::start(&format!(
        "[events]\nbot_messages = true\n{}",
        postback(&receiver.url, target, "")
    ));
    let mut sent = HashSet::new();
    for number in 0..EACH {
        for user in 1..=USERS {
            let kind = if number == 10 && user == 3 {
                "poison"
            } else {
                "text"
            };
            let text = format!("{user}/{number}");
            let body =
                format!(r#"{{"type":"{kind}","sender":{user},"recipients":[99],"text":"{text}"}}"#);
            let head = "Content-Type: application/json\r\n";
            let answer = desk.call("POST", "/send-message", head, &body).await;
            assert_eq!(answer.0, 202, "{}", answer.2);
            sent.insert(text);
        }
    }
    let status = until(&desk, |status| status["pending"] == 0).await;
    assert_eq!(status["dead_letters"], 1, "{status}");
    let events = receiver.events(sent.len() - 1).await;
    let mut last: HashMap<String, u64> = HashMap::new();
    for event in &events {
        let text = event["message"]["text"].as_str().unwrap();
        sent.remove(text);
        let (user, number) = text.split_once('/').unwrap();
        let number: u64 = number.parse().unwrap();
        assert_eq!(event["sequence"], number + 1, "{text}");
        let last = last.entry(user.to_owned()).or_default();
        // One that was taken and whose answer was lost comes again, but nothing overtakes it.
        assert!(number + 1 >= *last, "{text} behind {last}");
        *last = (*last).max(number + 1);
    }
    assert_eq!(
        sent.into_iter().collect::<Vec<_>>(),
        ["3/10"],
        "the dead letter"
    );
}

#[tokio::test]
async fn dead_letters_are_listed_replayed_and_removed_over_rest() {
    let mut receiver = Receiver::start(|_, _| Answer::Status(400)).await;
    let desk = Desk::start(&format!(
        "[events]\nbot_messages = true\n{}",
        postback(&receiver.url, "attempts = 2", "")
    ));
    for text in ["one", "two", "three"] {
        desk.post(7, text).await;
    }
    until(&desk, |status| {
        status["dead_letters"] == 3 && status["pending"] == 0
    })
    .await;
    let list = async || {
        let (status, _, body) = desk
            .call("GET", "/v1/events/dead-letters?limit=10", "", "")
            .await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["data"]["letters"].as_array().unwrap().clone()
    };
    let letters = list().await;
    let texts: Vec<_> = letters
        .iter()
        .map(|letter| letter["event"]["message"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(letters[0]["reason"], "answered 400");
    assert_eq!(letters[0]["attempts"], 2);
    assert_eq!(letters[0]["target"], "backend");
    let replay = async |query: &str| {
        let path = format!("/v1/events/dead-letters/replay{query}");
        let (status, _, body) = desk.call("POST", &path, "", "").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].clone()
    };
    assert_eq!(replay("").await, json!({"delivered": 0, "failed": 3}));
    receiver.decide(|_, _| Answer::Status(200));
    let id = &letters[1]["id"];
    assert_eq!(
        replay(&format!("?id={id}")).await,
        json!({"delivered": 1, "failed": 0})
    );
    assert_eq!(
        replay("?target=other").await,
        json!({"delivered": 0, "failed": 0})
    );
    assert_eq!(receiver.events(1).await[0]["message"]["text"], "two");
    let path = format!("/v1/events/dead-letters?id={}", letters[0]["id"]);
    let (_, _, body) = desk.call("DELETE", &path, "", "").await;
    assert_eq!(body, r#"{"data":{"removed":1},"success":true}"#);
    assert_eq!(
        replay("?target=backend").await,
        json!({"delivered": 1, "failed": 0})
    );
    assert_eq!(receiver.events(2).await[1]["message"]["text"], "three");
    assert!(list().await.is_empty());
    for (method, path) in [
        ("GET", "/v1/events/dead-letters?limit=0"),
        ("GET", "/v1/events/dead-letters?id=1"),
        ("DELETE", "/v1/events/dead-letters"),
        ("POST", "/v1/events/dead-letters/replay?ids=1"),
    ] {
        assert_eq!(
            desk.call(method, path, "", "").await.0,
            400,
            "{method} {path}"
        );
    }
}

/// Receipts and deliveries go on while no target answers.
#[tokio::test]
async fn a_target_that_hangs_delays_nobody() {
    let receiver = Receiver::start(|_, _| Answer::Silence).await;
    let kinds = format!("kinds = {ALL}\nparallel = 2\nbatch_max = 1\ntimeout = \"10m\"");
    let desk = Desk::start(&format!(
        "[events]\nstop_timeout = \"0s\"\n{}",
        postback(&receiver.url, &kinds, "")
    ));
    let mut bob = desk.user("2").await;
    for number in 0..300 {
        desk.post(2, &number.to_string()).await;
        let Ok(Some(Message::Text(text))) = bob.recv().await else {
            panic!("no message");
        };
        let message: Value = serde_json::from_str(text.as_str()).unwrap();
        assert_eq!(message["text"], number.to_string());
    }
    assert!(receiver.requests() <= 2, "no more than are allowed");
    assert!(
        desk.running.stop().await,
        "it does not hold up the stop either"
    );
}

#[tokio::test]
async fn what_a_target_has_not_taken_comes_after_a_restart_and_to_a_fallback() {
    let mut receiver = Receiver::start(|_, _| Answer::Status(503)).await;
    let config = |fallback: &str| {
        format!(
            "[events]\nbot_messages = true\nstop_timeout = \"0s\"\n{}{fallback}",
            postback(&receiver.url, "", "")
        )
    };
    let desk = Desk::start(&config(""));
    desk.post(7, "waits").await;
    let dir = desk.dir;
    assert!(desk.running.stop().await);
    receiver.decide(|_, _| Answer::Status(200));
    let desk = Desk::start_in(dir, &config(""));
    assert_eq!(receiver.events(1).await[0]["message"]["text"], "waits");
    until(&desk, |status| status["pending"] == 0).await;
    let dir = desk.dir;
    assert!(desk.running.stop().await);
    // A poisoned event goes to the fallback, which is fed by nothing else.
    receiver.decide(|_, body| Answer::Status(if body.contains("poison") { 422 } else { 200 }));
    let file = dir.path().join("rescued.jsonl");
    let fallback = format!(
        "[[targets]]\nname = \"rescue\"\nkinds = []\n[targets.file]\npath = \"{}\"\n",
        file.display()
    );
    let text = postback(&receiver.url, "attempts = 2\nfallback = [\"rescue\"]", "");
    let text = format!("[events]\nbot_messages = true\n{text}{fallback}");
    let desk = Desk::start_in(dir, &text);
    desk.post(7, "poison").await;
    desk.post(7, "fine").await;
    let status = until(&desk, |status| status["pending"] == 0).await;
    assert_eq!(status["targets"][0]["rescued"], 1, "{status}");
    assert_eq!(status["dead_letters"], 0);
    let lines = std::fs::read_to_string(&file).unwrap();
    let event: Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(event["message"]["text"], "poison");
    assert_eq!(receiver.events(2).await[1]["message"]["text"], "fine");
}

#[tokio::test]
async fn a_signature_covers_id_time_and_body_with_every_key() {
    let mut receiver = Receiver::start(|_, _| Answer::Status(200)).await;
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let reference = format!("${{file:{}}}", key.display());
    let table = format!("signing_keys = [\"{reference}\", \"{reference}\"]");
    let desk = Desk::start(&format!(
        "[events]\nbot_messages = true\n{}",
        postback(&receiver.url, "", &table)
    ));
    desk.post(7, "signed").await;
    let taken = receiver.taken(1).await;
    let (head, body) = &taken[0];
    let field = |name: &str| {
        let mut lines = head.lines();
        let line = lines.find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{name} in {head}"))
            .to_owned()
    };
    let signatures = field("webhook-signature");
    let (first, second) = signatures.split_once(' ').unwrap();
    assert_eq!(first, second, "the same key twice");
    assert!(first.starts_with("v1,"));
    assert_eq!(
        field("webhook-id"),
        events_of(body)[0]["id"].as_str().unwrap()
    );
    assert!(field("webhook-timestamp").parse::<u64>().unwrap() > 1_700_000_000);
}
