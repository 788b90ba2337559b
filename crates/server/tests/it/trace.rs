//! Why a user has not got a message: what is told of it, to whom.
//!
//! Kinds: absent, there and silent, there and answering, full, purged, not stored, of another process, of an author who is
//! asked for, with wrong questions. Callers: of a group, bound to the sender, to a recipient, to nobody concerned.

use serde_json::{Value, json};

use crate::{
    desk::{Desk, text},
    identities::{jwt, token},
};

const JSON: &str = "Content-Type: application/json\r\n";

async fn ask(desk: &Desk, path: &str, head: &str) -> (u16, Value) {
    let (status, _, body) = desk.call("GET", path, head, "").await;
    (status, serde_json::from_str(&body).expect("JSON"))
}

/// The answer to a question about a message.
async fn trace(desk: &Desk, id: &str) -> Value {
    let (status, answer) = ask(desk, &format!("/v1/trace/{id}"), "").await;
    assert_eq!(status, 200, "{answer}");
    answer["data"].clone()
}

/// Sends and gives the message's id.
async fn send(desk: &Desk, head: &str, body: &Value) -> String {
    let head = format!("{JSON}{head}");
    let path = "/send-message";
    let (status, _, answer) = desk.call("POST", path, &head, &body.to_string()).await;
    assert_eq!(status, 202, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    answer["data"]["id"].as_str().expect("an id").to_owned()
}

fn message(recipients: &Value, kind: &str) -> Value {
    json!({"type": kind, "sender": 0, "recipients": recipients, "text": "canary"})
}

fn steps(recipient: &Value) -> Vec<&str> {
    let steps = recipient["steps"].as_array().expect("a list").iter();
    steps.filter_map(|step| step["step"].as_str()).collect()
}

#[tokio::test]
async fn a_message_for_an_absent_user_waits_until_its_arrival_is_proved() {
    let desk = Desk::start("");
    let id = send(&desk, "", &message(&json!([7]), "text")).await;
    let waiting = trace(&desk, &id).await;
    assert_eq!(waiting["complete"], true, "{waiting}");
    assert_eq!(waiting["recipients"][0]["state"], "waiting", "{waiting}");
    let words = waiting["recipients"][0]["explanation"].as_str().unwrap();
    assert!(words.contains("no live session"), "{words}");
    assert!(!waiting.to_string().contains("canary"), "{waiting}");

    let mut user = desk.user("7").await;
    assert!(text(&mut user).await.contains("canary"));
    // The pong that proves it is sent by who reads on.
    let reads_on = tokio::spawn(async move { user.recv().await });
    let confirmed = loop {
        let found = trace(&desk, &id).await;
        if found["recipients"][0]["state"] == "confirmed" {
            break found;
        }
        assert_eq!(found["recipients"][0]["state"], "waiting", "{found}");
        tokio::task::yield_now().await;
    };
    let recipient = &confirmed["recipients"][0];
    assert_eq!(steps(recipient), ["stored", "handed_out", "confirmed"]);
    let (status, of_user) = ask(&desk, "/v1/trace?user=7", "").await;
    assert_eq!(status, 200, "{of_user}");
    assert_eq!(of_user["data"]["messages"][0]["id"], *id, "{of_user}");
    assert_eq!(of_user["data"]["waiting"], json!([]), "{of_user}");
    reads_on.abort();
}

#[tokio::test]
async fn a_client_that_was_given_a_message_and_proves_nothing_has_not_got_it() {
    let desk = Desk::start("");
    let silent = crate::desk::raw(&desk, 7).await;
    let id = send(&desk, "", &message(&json!([7]), "text")).await;
    let recipient = loop {
        let found = trace(&desk, &id).await["recipients"][0].clone();
        if steps(&found).contains(&"handed_out") {
            break found;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(recipient["state"], "waiting", "{recipient}");
    let words = recipient["explanation"].as_str().unwrap();
    assert!(words.contains("has not confirmed"), "{words}");
    drop(silent);
}

#[tokio::test]
async fn who_misses_a_message_is_told_with_the_reason() {
    let desk =
        Desk::start("[chat]\nlive_only_types = [\"typing\"]\n[mailbox]\nuser_messages_max = 1\n");
    send(&desk, "", &message(&json!([7]), "text")).await;
    let full = send(&desk, "", &message(&json!([7, 8]), "text")).await;
    let full = trace(&desk, &full).await;
    let states: Vec<&Value> = full["recipients"].as_array().unwrap().iter().collect();
    let of = |user: u64| states.iter().find(|it| it["user"] == user).unwrap();
    assert_eq!(of(8)["state"], "waiting", "{full}");
    assert_eq!(of(7)["state"], "refused", "{full}");
    assert_eq!(of(7)["steps"][0]["reason"], "mailbox_full", "{full}");

    let typing = send(&desk, "", &message(&json!([9]), "typing")).await;
    let typing = trace(&desk, &typing).await;
    assert_eq!(typing["recipients"][0]["state"], "missed", "{typing}");

    let (status, _, _) = desk.call("DELETE", "/messages?user=8", "", "").await;
    assert_eq!(status, 200);
    let removed = trace(&desk, full["id"].as_str().unwrap()).await;
    assert!(
        removed.to_string().contains("\"state\":\"removed\""),
        "{removed}"
    );
}

#[tokio::test]
async fn after_a_restart_what_waits_is_found_in_the_mailbox_and_no_more_is_claimed() {
    let desk = Desk::start("");
    let id = send(&desk, "", &message(&json!([7]), "text")).await;
    let Desk { running, dir } = desk;
    running.stop().await;
    let desk = Desk::start_in(dir, "");
    let (status, unknown) = ask(&desk, &format!("/v1/trace/{id}"), "").await;
    assert_eq!(status, 404, "{unknown}");
    let (status, found) = ask(&desk, &format!("/v1/trace/{id}?user=7"), "").await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["data"]["complete"], false, "{found}");
    assert_eq!(found["data"]["recipients"][0]["state"], "waiting");
    let (_, of_user) = ask(&desk, "/v1/trace?user=7", "").await;
    assert_eq!(of_user["data"]["waiting"][0]["id"], *id, "{of_user}");
    let (status, _) = ask(&desk, &format!("/v1/trace/{id}?user=8"), "").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_bound_caller_sees_what_concerns_him_alone() {
    let desk = Desk::start(&jwt("rest", ""));
    let bearer = |user: &str| format!("Authorization: Bearer {}\r\n", token(user));
    let body = json!({"type": "text", "sender": "ann", "recipients": ["bob", "cid"], "text": "x"});
    let id = send(&desk, &bearer("ann"), &body).await;
    let path = format!("/v1/trace/{id}");
    let (status, sender) = ask(&desk, &path, &bearer("ann")).await;
    assert_eq!(status, 200, "{sender}");
    let recipients = sender["data"]["recipients"].as_array().unwrap();
    assert_eq!(recipients.len(), 2, "{sender}");
    // Where others are connected is theirs.
    assert!(!sender.to_string().contains("session"), "{sender}");
    let (status, bob) = ask(&desk, &path, &bearer("bob")).await;
    assert_eq!(status, 200, "{bob}");
    assert!(!bob.to_string().contains("cid"), "{bob}");
    for query in ["", "?user=bob", "?user=ann", "?user=dan"] {
        let (status, other) = ask(&desk, &format!("{path}{query}"), &bearer("dan")).await;
        assert_eq!(status, 404, "{query}: {other}");
    }
    let (status, _) = ask(&desk, "/v1/trace?user=bob", &bearer("dan")).await;
    assert_eq!(status, 403);
    let (status, _) = ask(&desk, "/v1/trace?user=bob", &bearer("bob")).await;
    assert_eq!(status, 200);
    let (status, _) = ask(&desk, &path, "").await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn only_a_clear_question_is_answered() {
    let desk = Desk::start("[trace]\nenabled = false\n");
    let id = send(&desk, "", &message(&json!([7]), "text")).await;
    let (status, _) = ask(&desk, &format!("/v1/trace/{id}"), "").await;
    assert_eq!(status, 404, "nothing is remembered");
    let (status, _) = ask(&desk, &format!("/v1/trace/{id}?user=7"), "").await;
    assert_eq!(status, 200, "the mailbox knows");
    for wrong in [
        "/v1/trace",
        "/v1/trace?user=",
        "/v1/trace?user=7&user=8",
        "/v1/trace?user=7&limit=0",
        "/v1/trace?user=7&limit=101",
        "/v1/trace?usr=7",
        "/v1/trace/7",
        "/v1/trace/%FF",
        &format!("/v1/trace/{id}?usr=7"),
        &format!("/v1/trace/{}", id.to_lowercase()),
    ] {
        let (status, answer) = ask(&desk, wrong, "").await;
        assert_eq!(status, 400, "{wrong}: {answer}");
    }
}
