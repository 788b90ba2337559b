//! Receipts for the sessions that asked for them, and for no others.

use serde_json::Value;
use tidewire_hub::UserId;

use crate::desk::{Client, Desk, message, text};

const NIL_ID: &str = "00000000-00000000-0000-00000000";

/// Sends a message that carries a reference of the client's own.
fn send_with_ref(client: &Client, recipients: &str, reference: &str) {
    let payload = format!(
        r#"{{"type":"text","sender":1,"recipients":{recipients},"text":"hi","data":{{"ref":"{reference}"}}}}"#
    );
    client.submit(payload.as_bytes()).unwrap();
}

fn kinds(messages: &[Value]) -> Vec<&str> {
    let kind = |message: &'_ Value| message["type"].as_str().unwrap().to_owned();
    let known = ["notification_accepted", "notification_received", "text"];
    messages
        .iter()
        .map(|message| *known.iter().find(|known| **known == kind(message)).unwrap())
        .collect()
}

#[test]
fn a_session_that_asked_hears_that_its_message_was_accepted_and_received() {
    let desk = Desk::new();
    let (mut page, mut bob) = (desk.online_with_receipts("1"), desk.online("2"));
    send_with_ref(&page, "[2]", "r-1");
    assert!(page.receive().is_empty(), "not accepted before the commit");
    desk.mailbox.pump();
    let id = bob.receive()[0]["id"].clone();
    let heard = page.receive();
    assert_eq!(
        heard[0].to_string(),
        format!(
            r#"{{"data":{{"id":{id},"ref":"r-1"}},"id":"{NIL_ID}","recipients":[1],"sender":0,"text":"","timestamp":"","type":"notification_accepted"}}"#
        )
    );
    assert_eq!(heard.len(), 1, "handing out is no receipt");
    bob.confirm();
    let heard = page.receive();
    assert_eq!(kinds(&heard), ["notification_received"]);
    assert_eq!(heard[0]["data"]["id"], id);
    assert_eq!(heard[0]["data"]["recipient"], 2);
}

#[test]
fn sessions_that_did_not_ask_see_nothing_new() {
    let desk = Desk::new();
    let (mut page, mut old) = (desk.online_with_receipts("1"), desk.online("1"));
    let (mut bob, mut carol) = (desk.online("2"), desk.online_with_receipts("3"));
    send_with_ref(&page, "[2]", "by the page");
    send_with_ref(&old, "[2]", "by the old client");
    desk.mailbox.pump();
    bob.receive();
    bob.confirm();
    let heard = page.receive();
    // What the other session sent is not this one's to wait for, but both were received.
    assert_eq!(
        kinds(&heard),
        [
            "notification_accepted",
            "notification_received",
            "notification_received"
        ]
    );
    assert_eq!(heard[0]["data"]["ref"], "by the page");
    assert!(old.receive().is_empty());
    assert!(carol.receive().is_empty());
}

#[test]
fn a_refused_message_has_no_acknowledgement() {
    let desk = Desk::new();
    let mut page = desk.online_with_receipts("1");
    desk.hub.stop_accepting();
    send_with_ref(&page, "[2]", "r");
    desk.mailbox.pump();
    let heard = page.receive();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0]["type"], "notification_refused");
}

#[test]
fn a_message_for_the_administrator_is_acknowledged_too() {
    let desk = Desk::new();
    let mut page = desk.online_with_receipts("1");
    send_with_ref(&page, "[0]", "r");
    assert_eq!(page.receive()[0]["data"]["ref"], "r");
}

#[test]
fn with_copies_and_receipts_for_all_each_comes_once() {
    let desk = Desk::with(|config| {
        config.send_back = true;
        config.delivery_status = true;
    });
    let (mut page, mut bob) = (desk.online_with_receipts("1"), desk.online("2"));
    send_with_ref(&page, "[2]", "r");
    desk.mailbox.pump();
    bob.receive();
    bob.confirm();
    assert_eq!(
        kinds(&page.receive()),
        ["notification_accepted", "text", "notification_received"]
    );
}

/// A full outbox drops copies; the outcome of a message is more than a copy.
#[test]
fn acknowledgements_come_although_the_outbox_is_full() {
    let desk = Desk::with(|config| {
        config.send_back = true;
        config.outbox_messages_max = 2;
        config.submissions_max = 3;
    });
    let mut page = desk.online_with_receipts("1");
    for reference in ["a", "b", "c"] {
        send_with_ref(&page, "[2]", reference);
    }
    desk.mailbox.pump();
    let heard = page.receive();
    let accepted: Vec<&str> = heard
        .iter()
        .filter(|message| message["type"] == "notification_accepted")
        .map(|message| message["data"]["ref"].as_str().unwrap())
        .collect();
    assert_eq!(accepted, ["a", "b", "c"]);
    assert!(page.end.is_none());
}

/// Receipts are asked for by sessions: when the last one is gone, nobody is looked up any more, and an old client of the
/// same user sees nothing.
#[test]
fn receipts_end_with_the_session_that_asked() {
    let desk = Desk::new();
    let page = desk.online_with_receipts("1");
    send_with_ref(&page, "[2]", "r");
    desk.mailbox.pump();
    drop(page);
    let (mut old, mut bob) = (desk.online("1"), desk.online("2"));
    bob.receive();
    bob.confirm();
    assert!(old.receive().is_empty());
}

/// Whoever submits for this user elsewhere makes no acknowledgement here.
#[test]
fn a_message_of_the_api_is_not_acknowledged_to_the_sender_it_names() {
    let desk = Desk::new();
    let (mut page, mut bob) = (desk.online_with_receipts("1"), desk.online("2"));
    desk.send_api(&message(&UserId::from(1), &["2"], "hi"));
    desk.mailbox.pump();
    assert_eq!(bob.receive().iter().map(text).collect::<Vec<_>>(), ["hi"]);
    assert!(page.receive().is_empty());
}

/// What a user sends never has the nil id: that, with sender 0, is how a client knows the hub's own word.
#[test]
fn a_user_cannot_make_a_notification_that_looks_genuine() {
    let desk = Desk::with(|config| config.check_sender = false);
    let (mallory, mut page) = (desk.online("1"), desk.online_with_receipts("2"));
    let forged = format!(
        r#"{{"type":"notification_received","id":"{NIL_ID}","sender":0,"recipients":[2],"data":{{"id":"x"}}}}"#
    );
    mallory.submit(forged.as_bytes()).unwrap();
    desk.mailbox.pump();
    let heard = page.receive();
    assert_eq!(heard[0]["type"], "notification_received");
    assert_ne!(heard[0]["id"], NIL_ID);
}
