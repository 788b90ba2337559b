//! Peers that stop in the middle, or do not read, in virtual time: each is cut at its deadline.

use std::time::Duration;

use tidewire::{
    proto::{Config, Message},
    ws::{RecvError, SendError},
};
use tokio::{
    io::{AsyncWriteExt, duplex},
    time::Instant,
};

use crate::driver::{client_bytes, no_pings, pair, server};

#[tokio::test(start_paused = true)]
async fn half_a_frame_and_then_silence_is_cut_by_the_ping() {
    let whole = client_bytes(&["a message that is never completed"]);
    for cut in 1..whole.len() {
        let (a, mut b) = duplex(1024);
        let start = Instant::now();
        b.write_all(&whole[..cut]).await.unwrap();
        let mut socket = server(a, Config::default());
        let end = socket.recv().await;
        assert!(matches!(end, Err(RecvError::TimedOut)), "{end:?}");
        assert_eq!(
            start.elapsed().as_secs(),
            35,
            "25 s to the ping, 10 s for the pong"
        );
    }
}

/// Whoever drips is alive, and costs no more than what it has sent.
#[tokio::test(start_paused = true)]
async fn a_dripped_message_arrives_however_slowly() {
    let whole = client_bytes(&["slow"]);
    let (a, mut b) = duplex(1024);
    let mut socket = server(a, Config::default());
    let dripping = tokio::spawn(async move {
        for byte in whole {
            tokio::time::sleep(Duration::from_secs(30)).await;
            b.write_all(&[byte]).await.unwrap();
        }
        b
    });
    assert_eq!(socket.recv().await.unwrap(), Some(Message::text("slow")));
    drop(dripping.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_holds_the_queue_and_is_dropped_after_ten_seconds() {
    let (mut socket, _never_reads) = pair(1024);
    let mut taken = 0_usize;
    let message = Message::binary(vec![0; 4096]);
    while socket.try_send(&message).is_ok() {
        taken += message.payload().len();
    }
    assert!(taken <= 1 << 20, "{taken} bytes were taken");
    let start = Instant::now();
    let error = loop {
        if let Err(error) = socket.send(message.clone()).await {
            break error;
        }
        assert!(socket.queued() <= 1 << 20);
    };
    assert!(matches!(error, SendError::TimedOut), "{error}");
    assert_eq!(start.elapsed().as_secs(), 10);
    assert!(matches!(socket.recv().await, Err(RecvError::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_that_nobody_reads_the_pongs_of_ends_at_the_write_deadline() {
    let (a, b) = duplex(16 << 10);
    let (_never_read, mut write) = tokio::io::split(b);
    let mut config = no_pings();
    config.control_rate = None;
    let mut socket = server(a, config);
    let flood = tokio::spawn(async move {
        let pings = [0x89, 0x84, 1, 2, 3, 4, 5, 6, 7, 8].repeat(1000);
        let mut sent = 0;
        while write.write_all(&pings).await.is_ok() {
            sent += 1000;
            if sent == 1_000_000 {
                std::future::pending::<()>().await;
            }
        }
    });
    let start = Instant::now();
    let end = socket.recv().await;
    assert!(matches!(end, Err(RecvError::TimedOut)), "{end:?}");
    assert_eq!(start.elapsed().as_secs(), 10);
    assert!(
        socket.queued() <= 32 << 10,
        "{} bytes queued",
        socket.queued()
    );
    let received = socket.stats().bytes_received;
    assert!(
        received >= 1_000_000,
        "{received} bytes were taken meanwhile"
    );
    flood.abort();
}
