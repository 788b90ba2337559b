//! Pongs that are left to the application.

use tidewire::{
    proto::{Config, Kind},
    ws::{Incoming, IncomingChunk, RecvError, SendError},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::driver::{client, server};

fn leaving_pongs() -> Config {
    let mut config = Config::default();
    config.answer_pings = false;
    config
}

#[tokio::test(start_paused = true)]
async fn a_ping_has_no_pong_before_the_application_sends_it() {
    let (a, b) = duplex(1 << 16);
    let (mut ours, mut theirs) = (server(a, leaving_pongs()), client(b));
    theirs.ping(b"read?").await.unwrap();
    theirs.send("behind").await.unwrap();
    let seen = ours.recv_any().await.unwrap();
    assert!(matches!(seen, Some(Incoming::Ping(payload)) if payload == "read?"));
    // A pong of the driver would stand before this answer.
    ours.send("first").await.unwrap();
    ours.try_pong(b"read?").unwrap();
    ours.flush().await.unwrap();
    let first = theirs.recv_any().await.unwrap();
    assert!(
        matches!(first, Some(Incoming::Message(message)) if message.as_text() == Some("first"))
    );
    let second = theirs.recv_any().await.unwrap();
    assert!(matches!(second, Some(Incoming::Pong(payload)) if payload == "read?"));
}

#[tokio::test(start_paused = true)]
async fn a_pong_may_be_sent_unasked() {
    let (a, b) = duplex(1 << 16);
    let (mut ours, mut theirs) = (server(a, leaving_pongs()), client(b));
    ours.pong(b"1").await.unwrap();
    theirs.sender().pong(b"2").await.unwrap();
    let first = theirs.recv_any().await.unwrap();
    assert!(matches!(first, Some(Incoming::Pong(payload)) if payload == "1"));
    let second = ours.recv_any().await.unwrap();
    assert!(matches!(second, Some(Incoming::Pong(payload)) if payload == "2"));
    let long = ours.pong(&[0; 126]).await;
    assert!(matches!(long, Err(SendError::ControlTooLong)), "{long:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sender_answers_from_elsewhere_even_between_the_pieces_of_a_message() {
    let (a, b) = duplex(1 << 16);
    let (mut ours, mut theirs) = (server(a, leaving_pongs()), client(b));
    let sender = ours.sender();
    ours.try_send_fragment(Kind::Text, b"long", false).unwrap();
    sender.try_pong(b"1").unwrap();
    ours.try_send_fragment(Kind::Text, b" one", true).unwrap();
    ours.flush().await.unwrap();
    let first = theirs.recv_any().await.unwrap();
    assert!(matches!(first, Some(Incoming::Pong(payload)) if payload == "1"));
    assert_eq!(
        theirs.recv().await.unwrap().unwrap().as_text(),
        Some("long one")
    );
}

#[tokio::test(start_paused = true)]
async fn pieces_and_pings_come_in_the_order_they_were_sent() {
    let (a, b) = duplex(1 << 16);
    let (mut ours, mut theirs) = (server(a, leaving_pongs()), client(b));
    theirs.try_send_fragment(Kind::Text, b"a", false).unwrap();
    theirs.try_ping(b"1").unwrap();
    theirs.try_send_fragment(Kind::Text, b"b", true).unwrap();
    theirs.try_pong(b"2").unwrap();
    theirs.try_send_fragment(Kind::Text, b"c", true).unwrap();
    theirs.try_ping(b"3").unwrap();
    theirs.flush().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(match ours.recv_chunk_any().await.unwrap().unwrap() {
            IncomingChunk::Chunk(chunk) => format!("{:?} {}", chunk.data, chunk.last),
            IncomingChunk::Ping(payload) => format!("ping {payload:?}"),
            IncomingChunk::Pong(payload) => format!("pong {payload:?}"),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(
        seen,
        [
            "b\"a\" false",
            "ping b\"1\"",
            "b\"b\" true",
            "pong b\"2\"",
            "b\"c\" true",
            "ping b\"3\""
        ]
    );
    theirs.send("whole").await.unwrap();
    let whole = ours.recv_chunk().await.unwrap().unwrap();
    assert_eq!(whole.data, "whole", "the other way of receiving goes on");
}

/// Unanswered pings cost as much as answered ones.
#[tokio::test(start_paused = true)]
async fn too_many_pings_end_the_connection_whoever_has_to_answer_them() {
    let (a, mut peer) = duplex(1 << 20);
    let mut ours = server(a, leaving_pongs());
    let ping = [0x89, 0x80, 1, 2, 3, 4];
    peer.write_all(&ping.repeat(2000)).await.unwrap();
    let mut pings = 0;
    let error = loop {
        match ours.recv_any().await {
            Ok(Some(Incoming::Ping(_))) => pings += 1,
            Ok(Some(_)) => {}
            Ok(None) => panic!("a flood is no proper close"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RecvError::Protocol(_)), "{error}");
    assert!((600..=601).contains(&pings), "{pings}");
    drop(ours);
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&0x88), "no pong, but a close");
}
