//! What proves that a message has arrived: the pong of a ping behind it, or the answer to our close
//! frame. Nothing else does, and nobody is closed for the way in which he answers.
//!
//! The same kind, besides what stands here: peers that answer only the latest ping, that put bytes behind
//! the payload, whose pong comes after minutes, that talk while they read nothing, that begin to answer late. The
//! state machine is tested with these in virtual time (`chat/confirmation`).

use crate::{
    desk::{Desk, envelope, text},
    raw::{CLOSE, PING, PONG, RawClient, TEXT},
};

/// The payload of a pong, given that of the ping.
type Answer = fn(&[u8]) -> Vec<u8>;

const QUICK: &str = "[server.keep_alive]\nping_interval = \"1h\"\npong_timeout = \"1s\"\n";

/// The texts a well-behaved client of the user gets, up to a last one that is sent for it.
async fn redelivered(desk: &Desk, id: u64) -> Vec<String> {
    desk.until_online(&id.to_string(), false).await;
    desk.post(id, "the last one").await;
    let mut client = desk.user(&id.to_string()).await;
    let mut texts = Vec::new();
    loop {
        let message = text(&mut client).await;
        if message.contains("the last one") {
            return texts;
        }
        texts.push(message);
    }
}

#[tokio::test]
async fn a_client_that_answered_pings_talks_and_vanishes_loses_nothing() {
    let desk = Desk::start(QUICK);
    let mut client = RawClient::connect(&desk, 42).await;
    let first = client.ping().await;
    client.send(PONG, &first).await;
    for number in 0..20 {
        desk.post(42, &format!("number {number}")).await;
    }
    client.until("number 0", |_| None).await;
    client
        .send(TEXT, envelope("42", "43", "I am here").as_bytes())
        .await;
    // No word any more.
    let mut close = None;
    while let Some((opcode, payload)) = client.frame().await {
        if opcode == CLOSE {
            close = Some(String::from_utf8_lossy(&payload[2..]).into_owned());
        }
    }
    assert_eq!(close.as_deref(), Some("Dangling connection"));
    assert_eq!(redelivered(&desk, 42).await.len(), 20);
}

#[tokio::test]
async fn a_listener_that_never_pongs_is_kept_and_gets_everything() {
    let desk = Desk::start(QUICK);
    let mut listener = RawClient::connect(&desk, 42).await;
    for number in 0..50 {
        desk.post(42, &format!("number {number} ")).await;
    }
    // The first window is small; the rest comes when it is known that there are no pongs.
    listener.until("number 49 ", |_| None).await;
    assert_eq!(listener.messages.len(), 50);
    desk.post(42, "later").await;
    listener.until("later", |_| None).await;
}

#[tokio::test]
async fn a_listener_that_never_pongs_gets_the_same_a_few_times_and_whoever_pongs_gets_it_still() {
    let desk = Desk::start(QUICK);
    desk.post(42, "the old one").await;
    for _ in 0..3 {
        let mut listener = RawClient::connect(&desk, 42).await;
        listener.until("the old one", |_| None).await;
        drop(listener);
        desk.until_online("42", false).await;
    }
    desk.post(42, "the new one").await;
    let mut listener = RawClient::connect(&desk, 42).await;
    listener.until("the new one", |_| None).await;
    assert_eq!(listener.messages.len(), 1, "{:?}", listener.messages);
    drop(listener);
    let texts = redelivered(&desk, 42).await;
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("the old one"), "{texts:?}");
}

#[tokio::test]
async fn every_kind_of_honest_pong_proves_and_what_was_proved_does_not_come_again() {
    let kinds: [Answer; 4] = [
        <[u8]>::to_vec,
        |payload| [&[0, 0], payload].concat(),
        |payload| [payload, b"behind"].concat(),
        |_| Vec::new(),
    ];
    for pong in kinds {
        let desk = Desk::start("[chat]\ndelivery_status = true\n");
        let mut sender = desk.user("1").await;
        let mut client = RawClient::connect(&desk, 42).await;
        sender.send(envelope("1", "42", "proved")).await.unwrap();
        let reading = tokio::spawn(async move {
            while let Some((opcode, payload)) = client.frame().await {
                if opcode == PING {
                    client.send(PONG, &pong(&payload)).await;
                }
            }
        });
        assert!(text(&mut sender).await.contains("notification_received"));
        reading.abort();
        assert_eq!(reading.await.ok(), None);
        assert!(redelivered(&desk, 42).await.is_empty());
    }
}

#[tokio::test]
async fn the_answer_to_our_close_frame_proves_what_was_sent_before_it() {
    let gateway = "Tidewire-Confirm: pong\r\n";
    for (code, head, expected) in [(4010_u16, "", 0), (1000, "", 1), (4010, gateway, 1)] {
        let desk = Desk::start("[server.keep_alive]\ninactive_timeout = \"1s\"\n");
        let mut client = RawClient::connect_with(&desk, 42, head).await;
        desk.post(42, "before the close").await;
        client.until("before the close", |_| None).await;
        while client.frame().await.expect("a close frame").0 != CLOSE {}
        client.send(CLOSE, &code.to_be_bytes()).await;
        while client.frame().await.is_some() {}
        assert_eq!(
            redelivered(&desk, 42).await.len(),
            expected,
            "{code} {head}"
        );
    }
}

#[tokio::test]
async fn a_drain_that_the_client_answers_proves_what_was_sent_before_it() {
    let desk = Desk::start("");
    let mut client = RawClient::connect(&desk, 42).await;
    desk.post(42, "before the stop").await;
    client.until("before the stop", |_| None).await;
    let Desk { running, dir } = desk;
    let stop = tokio::spawn(running.stop());
    let close = loop {
        let (opcode, payload) = client.frame().await.expect("a close frame");
        if opcode == CLOSE {
            break payload;
        }
    };
    client.send(CLOSE, &close).await;
    while client.frame().await.is_some() {}
    assert!(stop.await.unwrap());
    assert!(
        redelivered(&Desk::start_in(dir, ""), 42).await.is_empty(),
        "code and reason were echoed"
    );
}

#[tokio::test]
async fn a_client_that_leaves_without_a_pong_proves_nothing_by_that() {
    let desk = Desk::start("");
    let mut client = RawClient::connect(&desk, 42).await;
    desk.post(42, "unread").await;
    client.until("unread", |_| None).await;
    client.send(CLOSE, &1000_u16.to_be_bytes()).await;
    while client.frame().await.is_some() {}
    assert_eq!(redelivered(&desk, 42).await.len(), 1);
}

/// The window: how many messages come before the first proof.
#[tokio::test]
async fn few_messages_are_repeated_however_many_wait() {
    let desk = Desk::start("");
    for number in 0..200 {
        desk.post(42, &format!("number {number} ")).await;
    }
    let mut client = RawClient::connect(&desk, 42).await;
    client.until("number 3 ", |_| None).await;
    client.send(CLOSE, &1000_u16.to_be_bytes()).await;
    while client.frame().await.is_some() {}
    assert_eq!(client.messages.len(), 4, "the first window");
    let texts = redelivered(&desk, 42).await;
    assert_eq!(texts.len(), 200);
}

/// There is a ping behind each message, also when the message alone fills the socket's queue.
#[tokio::test]
async fn messages_larger_than_the_send_queue_are_proved_and_hold_nothing_up() {
    let desk = Desk::start("[server.limits]\nsend_queue_bytes_max = \"16K\"\n");
    let large = "x".repeat(3 << 20);
    for _ in 0..3 {
        desk.post(42, &large).await;
    }
    desk.post(42, "small").await;
    let mut client = RawClient::connect(&desk, 42).await;
    client
        .until("small", |payload| Some(payload.to_vec()))
        .await;
    assert_eq!(client.messages.len(), 4);
    let last = client.ping().await;
    client.send(PONG, &last).await;
    client.send(CLOSE, &1000_u16.to_be_bytes()).await;
    while client.frame().await.is_some() {}
    assert!(redelivered(&desk, 42).await.is_empty());
}
