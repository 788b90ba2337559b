//! One recipient's trouble, and one sender's, is his own.

use serde_json::Value;
use tidewire::ws::WebSocket;

use crate::desk::{Desk, envelope, text};

const JSON: &str = "Content-Type: application/json\r\n";

async fn send(desk: &Desk, head: &str, body: &str) -> (u16, Value) {
    let head = format!("{JSON}{head}");
    let (status, _, body) = desk.call("POST", "/send-message", &head, body).await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn received(socket: &mut WebSocket) -> Value {
    serde_json::from_str(&text(socket).await).unwrap()
}

async fn health(desk: &Desk) -> String {
    desk.call("GET", "/health", "", "").await.2
}

#[tokio::test]
async fn a_full_mailbox_is_named_in_the_answer_and_the_others_get_the_message() {
    let desk = Desk::start("[mailbox]\nuser_messages_max = 1\n");
    desk.post(901, "fills it").await;
    let mut bob = desk.user("2").await;
    let group = r#"{"type":"text","sender":0,"recipients":[2,901,2],"text":"hi"}"#;
    let (status, answer) = send(&desk, "", group).await;
    let message = received(&mut bob).await;
    assert_eq!((status, &answer["data"]["id"]), (202, &message["id"]));
    assert_eq!(
        answer["data"]["refused"].to_string(),
        r#"[{"code":"mailbox_full","recipient":901}]"#
    );
    let (status, answer) = send(&desk, "", &envelope("0", "901", "nobody takes it")).await;
    assert_eq!((status, &answer["success"]), (429, &false.into()));
    // A connection learns the same from a notification.
    let mut anna = desk.user("1").await;
    let mut kim = desk.user("3").await;
    let group = r#"{"type":"text","sender":1,"recipients":[3,901],"text":"hi"}"#;
    anna.send(group.to_owned()).await.unwrap();
    let message = received(&mut kim).await;
    let refused = received(&mut anna).await;
    assert_eq!(refused["type"], "notification_refused");
    assert_eq!(refused["data"]["id"], message["id"]);
    assert_eq!(refused["data"]["refused"][0]["recipient"], 901);
}

#[tokio::test]
async fn a_sender_fills_his_share_and_not_the_mailbox() {
    let desk = Desk::start("[mailbox]\nuser_messages_max = 10\n");
    let mut eve = desk.user("66").await;
    for _ in 0..6 {
        eve.send(envelope("66", "7", "x")).await.unwrap();
    }
    let refused = received(&mut eve).await;
    assert_eq!(refused["data"]["code"], "sender_quota");
    let mut anna = desk.user("1").await;
    anna.send(envelope("1", "7", "hello")).await.unwrap();
    desk.post(7, "from the API").await;
    let mut victim = desk.user("7").await;
    let mut texts = Vec::new();
    for _ in 0..7 {
        texts.push(
            received(&mut victim).await["text"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    texts.sort();
    assert_eq!(texts, ["from the API", "hello", "x", "x", "x", "x", "x"]);
}

#[tokio::test]
async fn a_sender_has_a_budget_over_all_mailboxes() {
    let desk = Desk::start("[mailbox]\nsender_messages_max = 3\n");
    let mut eve = desk.user("66").await;
    for to in ["7,8", "9,10", "9"] {
        eve.send(envelope("66", to, "x")).await.unwrap();
    }
    let refused = received(&mut eve).await;
    assert_eq!(refused["data"]["code"], "sender_quota");
    assert!(refused["data"].get("refused").is_none(), "nobody got it");
    // The next one fits, and nobody else is concerned.
    let mut nine = desk.user("9").await;
    assert_eq!(received(&mut nine).await["text"], "x");
    desk.post(7, "hello").await;
}

#[tokio::test]
async fn a_full_store_is_told_by_health_and_emptied_by_a_purge() {
    let desk = Desk::start("[mailbox]\nmessages_max = 4\nuser_messages_max = 4\n");
    assert_eq!(health(&desk).await, r#"{"status":"ok"}"#);
    for (from, to) in [("66", "7"), ("66", "8"), ("1", "7"), ("0", "9")] {
        assert_eq!(send(&desk, "", &envelope(from, to, "x")).await.0, 202);
    }
    assert_eq!(send(&desk, "", &envelope("1", "2", "x")).await.0, 503);
    let full = health(&desk).await;
    assert!(
        full.contains("degraded") && full.contains("mailbox.messages_max"),
        "{full}"
    );
    let purge = async |query: &str| {
        let (status, _, body) = desk
            .call("DELETE", &format!("/messages{query}"), "", "")
            .await;
        (status, body)
    };
    for unclear in [
        "",
        "?",
        "?user=",
        "?sendr=66",
        "?user=7&user=8",
        "?sender=+42",
    ] {
        assert_eq!(purge(unclear).await.0, 400, "{unclear}");
    }
    let removed = |count| {
        (
            200,
            format!(r#"{{"data":{{"removed":{count}}},"success":true}}"#),
        )
    };
    assert_eq!(purge("?sender=66&user=8").await, removed(1));
    assert_eq!(health(&desk).await, r#"{"status":"ok"}"#);
    assert_eq!(purge("?sender=66").await, removed(1));
    assert_eq!(purge("?user=9").await, removed(1));
    assert_eq!(purge("?user=9").await, removed(0));
    assert_eq!(send(&desk, "", &envelope("1", "2", "x")).await.0, 202);
    let mut seven = desk.user("7").await;
    assert_eq!(received(&mut seven).await["sender"], 1);
}

#[tokio::test]
async fn a_purge_needs_the_credentials_of_the_api() {
    let desk = Desk::start("[rest.auth]\ntype = \"bearer\"\nvalue = \"t0ken\"\n");
    let path = "/messages?user=7";
    assert_eq!(desk.call("DELETE", path, "", "").await.0, 401);
    let head = "Authorization: Bearer t0ken\r\n";
    assert_eq!(desk.call("DELETE", path, head, "").await.0, 200);
}

#[tokio::test]
async fn live_only_types_reach_who_is_there_and_fill_nothing() {
    let desk = Desk::start(
        "[chat]\nlive_only_types = [\"user_typing\"]\n[mailbox]\nuser_messages_max = 1\n",
    );
    let mut bob = desk.user_online("2").await;
    let typing = r#"{"type":"User_Typing","sender":0,"recipients":[2,901]}"#;
    for _ in 0..3 {
        let (status, answer) = send(&desk, "", typing).await;
        assert_eq!(
            (status, &answer["data"]["refused"]),
            (202, &Value::Array(Vec::new()))
        );
        assert_eq!(received(&mut bob).await["type"], "User_Typing");
    }
    desk.post(901, "there is room").await;
    assert_eq!(
        received(&mut desk.user("901").await).await["text"],
        "there is room"
    );
}

#[tokio::test]
async fn a_queue_that_is_off_keeps_nothing_and_still_hands_out_what_it_had() {
    let desk = Desk::start("");
    desk.post(7, "kept").await;
    let dir = desk.dir;
    assert!(desk.running.stop().await);
    let desk = Desk::start_in(dir, "[mailbox]\nttl = \"0s\"\nuser_messages_max = 0\n");
    desk.post(8, "lost").await;
    let mut seven = desk.user("7").await;
    assert_eq!(received(&mut seven).await["text"], "kept");
    desk.post(7, "live").await;
    assert_eq!(received(&mut seven).await["text"], "live");
    let mut eight = desk.user_online("8").await;
    desk.post(8, "first").await;
    assert_eq!(received(&mut eight).await["text"], "first");
}

#[tokio::test]
async fn a_repeated_request_sends_nothing_again() {
    let desk = Desk::start("");
    let mut bob = desk.user("2").await;
    let key = "Idempotency-Key: 7f9c\r\n";
    let first = send(&desk, key, &envelope("0", "2", "once")).await;
    assert_eq!(first.0, 202);
    assert_eq!(send(&desk, key, &envelope("0", "2", "once")).await, first);
    assert_eq!(send(&desk, key, &envelope("0", "2", "other")).await.0, 422);
    for wrong in ["Idempotency-Key: \r\n", "Idempotency-Key: a b\r\n"] {
        assert_eq!(send(&desk, wrong, &envelope("0", "2", "no")).await.0, 400);
    }
    let twice = "Idempotency-Key: a\r\nIdempotency-Key: b\r\n";
    assert_eq!(send(&desk, twice, &envelope("0", "2", "no")).await.0, 400);
    let long = format!("Idempotency-Key: {}\r\n", "k".repeat(256));
    assert_eq!(send(&desk, &long, &envelope("0", "2", "no")).await.0, 400);
    desk.post(2, "next").await;
    assert_eq!(received(&mut bob).await["text"], "once");
    assert_eq!(received(&mut bob).await["text"], "next");
}

#[tokio::test]
async fn a_refused_request_may_be_repeated_with_its_key() {
    let desk = Desk::start("[mailbox]\nuser_messages_max = 1\n");
    desk.post(7, "fills it").await;
    let key = "Idempotency-Key: 1\r\n";
    let again = envelope("0", "7", "again");
    assert_eq!(send(&desk, key, &again).await.0, 429);
    assert_eq!(desk.call("DELETE", "/messages?user=7", "", "").await.0, 200);
    assert_eq!(send(&desk, key, &again).await.0, 202);
}
