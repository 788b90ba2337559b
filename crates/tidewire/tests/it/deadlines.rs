//! Deadlines of a connection against peers that flood, dawdle or vanish, in virtual time.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tidewire::{
    proto::{CloseCode, Config, Message},
    ws::{RecvError, SendError},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex},
    time::{Instant, advance, sleep, timeout},
};

use crate::driver::{client, client_bytes, no_pings, server};

/// Long enough for anything that happens at all, in virtual time.
const HANG: Duration = Duration::from_hours(1);

/// A peer that sends without end; it reads or not.
struct Flood {
    message: Vec<u8>,
    reads: bool,
}

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buf.put_slice(&self.message);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.reads {
            Poll::Ready(Ok(buf.len()))
        } else {
            Poll::Pending
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn sending_with_a_limit_gives_up_in_time_and_queues_nothing() {
    let limit = Duration::from_secs(2);
    let (a, _does_not_read) = duplex(64);
    let config = no_pings().send_queue_bytes_max(1000);
    let mut socket = server(a, config);
    let sender = socket.sender();
    let message = || Message::binary(vec![7; 900]);
    socket.send_timeout(message(), limit).await.unwrap();
    let queued = socket.queued();
    let start = Instant::now();
    let late = socket.send_timeout(message(), limit).await;
    assert!(matches!(late, Err(SendError::TimedOut)), "{late:?}");
    let late = sender.send_timeout(message(), limit).await;
    assert!(matches!(late, Err(SendError::TimedOut)), "{late:?}");
    assert_eq!(start.elapsed(), 2 * limit);
    assert_eq!(socket.queued(), queued);
    assert!(socket.is_open(), "the connection is as it was");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_floods_instead_of_answering_a_close_is_given_up_in_time() {
    let message = client_bytes(&["flood"]);
    let mut socket = server(
        Flood {
            message,
            reads: true,
        },
        no_pings(),
    );
    socket.start_close(CloseCode::POLICY_VIOLATION, "too much");
    for second in 0..=6 {
        match socket.recv().await {
            Ok(message) => assert!(message.is_some()),
            Err(RecvError::TimedOut) if second >= 5 => return,
            Err(error) => panic!("after {second} s: {error}"),
        }
        advance(Duration::from_secs(1)).await;
    }
    panic!("never given up");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_floods_and_takes_nothing_is_given_up_in_time() {
    let message = client_bytes(&["flood"]);
    let mut socket = server(
        Flood {
            message,
            reads: false,
        },
        no_pings(),
    );
    for second in 0..=11 {
        socket.try_send(&Message::text("answer")).unwrap();
        match socket.recv().await {
            Ok(message) => assert!(message.is_some()),
            Err(RecvError::TimedOut) if second >= 10 => return,
            Err(error) => panic!("after {second} s: {error}"),
        }
        advance(Duration::from_secs(1)).await;
    }
    panic!("never given up");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_of_what_senders_send_is_given_up_in_time() {
    let (a, _never_reads) = duplex(64);
    let (mut socket, sender) = server(a, no_pings()).split();
    let receiving = tokio::spawn(async move { socket.recv().await });
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    sender.try_send(&Message::binary(vec![0; 1000])).unwrap();
    let ended = timeout(HANG, receiving)
        .await
        .expect("it is given up")
        .unwrap();
    assert!(matches!(ended, Err(RecvError::TimedOut)), "{ended:?}");
    assert_eq!(start.elapsed().as_secs(), 10);
}

/// Takes `step` bytes per second and answers pings.
async fn slow_reader(mut stream: tokio::io::DuplexStream, step: usize, len: usize) {
    let mut taken = vec![0; step];
    let mut left = len;
    while left > 0 {
        let count = stream.read(&mut taken).await.unwrap();
        assert!(
            count > 0,
            "the connection was given up with {left} bytes left"
        );
        left = left.saturating_sub(count);
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_large_message_slowly_is_not_silent() {
    let (a, b) = duplex(1000);
    let mut socket = server(a, Config::default());
    socket.send(vec![0; 100_000]).await.unwrap();
    let reading = tokio::spawn(slow_reader(b, 1000, 100_000));
    let receiving = tokio::spawn(async move { socket.recv().await });
    reading.await.unwrap();
    drop(receiving);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_sends_much_and_receives_nothing_meanwhile_does_not_take_the_peer_for_silent() {
    let (a, b) = duplex(1000);
    let mut config = Config::default();
    config.send_queue_bytes_max = 10_000;
    let mut socket = server(a, config);
    let reading = tokio::spawn(slow_reader(b, 1000, 100_000));
    for _ in 0..10 {
        socket.send(vec![0; 10_000]).await.unwrap();
    }
    socket.flush().await.unwrap();
    reading.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanishes_behind_a_large_message_is_given_up() {
    let (a, _never_reads) = duplex(1000);
    let mut socket = server(a, Config::default());
    socket.send(vec![0; 100_000]).await.unwrap();
    let start = Instant::now();
    assert!(matches!(socket.recv().await, Err(RecvError::TimedOut)));
    assert_eq!(start.elapsed().as_secs(), 10, "the write deadline");
}

#[tokio::test(start_paused = true)]
async fn a_pong_deadline_longer_than_the_time_between_pings_delays_no_ping() {
    let mut config = Config::default();
    config.ping_interval = Some(Duration::from_secs(5));
    config.pong_timeout = Duration::from_mins(1);
    let (a, b) = duplex(1000);
    let (mut socket, mut peer) = (server(a, config), client(b));
    let receiving = tokio::spawn(async move { socket.recv().await });
    let start = Instant::now();
    for ping in 1..10 {
        let received = peer.recv_any().await.unwrap();
        assert!(matches!(received, Some(tidewire::ws::Incoming::Ping(_))));
        assert_eq!(start.elapsed().as_secs(), 5 * ping);
        peer.flush().await.unwrap();
    }
    receiving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_dawdles_cannot_hold_a_close_up_behind_what_was_sent_before() {
    let mut config = no_pings();
    config.send_queue_bytes_max = 1000;
    let (a, mut b) = duplex(512);
    b.write_all(&client_bytes(&["first", "second"]))
        .await
        .unwrap();
    let socket = server(a, config);
    let sender = socket.sender();
    let serving = tokio::spawn(socket.serve(|mut socket| {
        Box::pin(async move {
            socket.recv().await.unwrap().unwrap();
            socket.send(vec![0; 1000]).await.unwrap();
            // The sending half stays with this task, so this waits for its end.
            let sender = socket.sender();
            let other = move || sender.try_send(&Message::binary(vec![0; 1000])).unwrap();
            std::thread::spawn(other).join().unwrap();
            socket.recv().await.unwrap().unwrap();
            socket.recv().await
        })
    }));
    sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        sender.close(CloseCode::POLICY_VIOLATION, "too slow");
    }
    let start = Instant::now();
    let dawdling = tokio::spawn(async move {
        loop {
            b.read_exact(&mut [0]).await.ok();
            sleep(Duration::from_secs(4)).await;
        }
    });
    let ended = timeout(HANG, serving).await.unwrap().unwrap();
    assert!(matches!(ended, Err(RecvError::TimedOut)), "{ended:?}");
    assert_eq!(start.elapsed().as_secs(), 5);
    dawdling.abort();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_never_comes_is_no_panic() {
    let mut config = no_pings();
    config.close_timeout = Duration::MAX;
    let (a, b) = duplex(64);
    let (mut socket, mut peer) = (server(a, config), client(b));
    let closing = tokio::spawn(async move { socket.close(CloseCode::NORMAL, "").await });
    assert_eq!(peer.recv().await.unwrap(), None);
    drop(peer);
    closing.await.unwrap().unwrap();
}
