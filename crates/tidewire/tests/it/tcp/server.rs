//! Servers: sessions, counters, broadcasts, ends.

use std::{
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use tidewire::{
    net::SocketOptions,
    tcp::{
        BroadcastConfig, Config, Handler, Observer, RecvError, SendError, Sender, Server, Session,
        TooSlow, Traffic,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{HANG, config, connect, echo, echo_server, receive, soon, until};

/// The calls, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer<Sender> for Log {
    fn started(&self) {
        self.push("started");
    }

    fn stopped(&self) {
        self.push("stopped");
    }

    fn connected(&self, session: &Sender) {
        self.push(format!("connected {}", session.id()));
    }

    fn disconnected(&self, session: &Sender) {
        self.push(format!("disconnected {}", session.id()));
    }

    fn error(&self, error: &(dyn Error + 'static)) {
        self.push(format!("error: {error}"));
    }
}

#[tokio::test]
async fn a_server_counts_sessions_and_bytes_exactly() {
    let server = echo_server();
    let mut first = connect(&server).await;
    let mut second = connect(&server).await;
    first.send("hello").await.unwrap();
    second.send("hi").await.unwrap();
    assert_eq!(receive(&mut first, 5).await, b"hello");
    assert_eq!(receive(&mut second, 2).await, b"hi");
    let stats = server.stats();
    assert_eq!((stats.connections, stats.sessions, stats.opened), (2, 2, 2));
    assert_eq!((first.bytes_sent(), first.bytes_received()), (5, 5));
    first.close().await.unwrap();
    until(|| server.stats().sessions == 1).await;
    let traffic = server.traffic();
    assert_eq!((traffic.bytes_received, traffic.bytes_sent), (7, 7));
    assert_eq!(traffic.bytes_queued, 0);
}

#[tokio::test]
async fn a_session_is_found_by_its_id_and_sent_to_until_it_ends() {
    let server = echo_server();
    let mut client = connect(&server).await;
    until(|| server.stats().sessions == 1).await;
    let [session] = server.sessions().try_into().unwrap();
    assert_eq!(server.find(session.id()), Some(session.clone()));
    assert_eq!(server.find(session.id() + 1), None);
    session.send("from outside").await.unwrap();
    session.flush().await.unwrap();
    assert_eq!(receive(&mut client, 12).await, b"from outside");
    assert_eq!((session.bytes_sent(), session.queued()), (12, 0));
    session.close();
    assert_eq!(soon(client.recv()).await.unwrap(), None);
    drop(client);
    until(|| server.stats().sessions == 0).await;
    assert_eq!(session.try_send("late"), Err(SendError::Closed));
    assert_eq!(session.flush().await, Ok(()), "nothing was left");
    assert_eq!(server.find(session.id()), None);
}

#[tokio::test]
async fn broadcasts_reach_whoever_is_there_whole_and_in_order() {
    let server = Server::new(config(), echo).start().unwrap();
    let mut clients = Vec::new();
    for joined in 1..=3 {
        clients.push(connect(&server).await);
        until(|| server.stats().sessions == joined).await;
        server.broadcast("test");
    }
    clients.pop(); // has one of them
    until(|| server.stats().sessions == 2).await;
    for number in 0..1000 {
        server.broadcast(format!("{number:04}"));
    }
    let numbers: Vec<String> = (0..1000).map(|number| format!("{number:04}")).collect();
    let all = numbers.concat();
    for (mut client, before) in clients.into_iter().zip([3, 2]) {
        assert_eq!(
            receive(&mut client, 4 * before).await,
            "test".repeat(before).as_bytes()
        );
        assert_eq!(receive(&mut client, all.len()).await, all.as_bytes());
    }
    until(|| server.traffic().bytes_sent == 2 * 4000 + 4 * (3 + 2 + 1)).await;
}

#[tokio::test]
async fn a_session_too_slow_for_broadcasts_is_disconnected_and_holds_up_nobody() {
    /// More than the system holds for a connection that nobody reads.
    const BLOCKS: usize = 2000;
    let log = Log::default();
    let bounds = BroadcastConfig::default().backlog_bytes_max(64 << 10);
    let server = Server::new(config().broadcast(bounds), echo)
        .observe(Arc::new(log.clone()))
        .start()
        .unwrap();
    let mut slow = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut quick = connect(&server).await;
    until(|| server.stats().sessions == 2).await;
    let block = vec![b'x'; 16 << 10];
    for _ in 0..BLOCKS {
        server.broadcast(&block);
        assert_eq!(receive(&mut quick, block.len()).await, block);
    }
    let mut all = Vec::new();
    let _reset_or_end = soon(slow.read_to_end(&mut all)).await;
    assert!(all.len() < BLOCKS * block.len());
    until(|| server.stats().sessions == 1).await;
    let error = "error: the peer was too slow for what is broadcast".to_owned();
    assert!(log.lines().contains(&error), "{:?}", log.lines());
}

#[tokio::test]
async fn a_slow_session_may_skip_whole_broadcasts_instead() {
    const LEN: usize = 10_000;
    let bounds = BroadcastConfig::default()
        .backlog_bytes_max(64 << 10)
        .too_slow(TooSlow::Skip);
    let server = Server::new(config().broadcast(bounds), echo)
        .start()
        .unwrap();
    let mut slow = TcpStream::connect(server.local_addr()).await.unwrap();
    until(|| server.stats().sessions == 1).await;
    // More than the system holds for a connection that nobody reads.
    for number in 0..5000_u32 {
        let mut block = vec![b' '; LEN];
        block[..4].copy_from_slice(&number.to_be_bytes());
        server.broadcast(block);
        tokio::task::yield_now().await;
    }
    server.find(1).unwrap().close();
    let mut all = Vec::new();
    soon(slow.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all.len() % LEN, 0, "whole broadcasts");
    let numbers: Vec<u32> = all
        .chunks(LEN)
        .map(|block| u32::from_be_bytes(block[..4].try_into().unwrap()))
        .collect();
    assert!(
        numbers.is_sorted() && numbers.len() < 5000,
        "{}",
        numbers.len()
    );
}

#[tokio::test]
async fn a_greeting_reaches_a_client_whose_session_ends_at_once() {
    let greeting = vec![b'g'; 3 << 20]; // more than the system takes at once
    let expected = greeting.clone();
    let server = Server::new(config(), move |mut connection| {
        let greeting = greeting.clone();
        async move {
            connection.send(greeting).await.unwrap();
        }
    })
    .start()
    .unwrap();
    let mut client = TcpStream::connect(server.local_addr()).await.unwrap();
    client.write_all(b"what nobody reads").await.unwrap();
    let mut all = Vec::new();
    soon(client.read_to_end(&mut all)).await.unwrap();
    assert!(all == expected, "{} bytes", all.len());
}

#[tokio::test]
async fn a_drain_sends_what_is_queued_and_a_server_can_be_started_again() {
    let server = Server::new(config(), echo);
    let running = server.start().unwrap();
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(connect(&running).await);
    }
    until(|| running.stats().sessions == 10).await;
    for session in running.sessions() {
        session.try_send("goodbye").unwrap();
    }
    let draining = tokio::spawn(running.drain(HANG));
    for mut client in clients {
        assert_eq!(receive(&mut client, 7).await, b"goodbye");
        assert_eq!(soon(client.recv()).await.unwrap(), None);
    }
    assert!(soon(draining).await.unwrap());
    let again = server.start().unwrap();
    assert_eq!(again.traffic(), Traffic::default());
    let mut client = connect(&again).await;
    client.send("x").await.unwrap();
    assert_eq!(receive(&mut client, 1).await, b"x");
    again.disconnect_all();
    assert_eq!(soon(client.recv()).await.unwrap(), None);
}

/// Wants frames of a length byte and so many more.
struct Frames;

impl Handler for Frames {
    fn received(&mut self, session: &mut Session<'_>, mut bytes: &[u8]) {
        while let Some((len, rest)) = bytes.split_first()
            && let Some(frame) = rest.get(..usize::from(*len))
        {
            let text = format!("[{}]", String::from_utf8_lossy(frame));
            session.send(text.as_bytes()).unwrap();
            bytes = &rest[frame.len()..];
        }
        session.keep_unread(bytes.len());
    }
}

#[tokio::test]
async fn what_a_handler_leaves_comes_again_in_front_of_the_next() {
    let server = Server::handlers(config(), |_session| Frames)
        .start()
        .unwrap();
    let mut client = connect(&server).await;
    for byte in *b"\x05hello\x00\x02hi" {
        client.send(vec![byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(receive(&mut client, 7 + 2 + 4).await, b"[hello][][hi]");
}

#[tokio::test]
async fn more_than_may_be_held_ends_the_connection() {
    struct Hoarder;
    impl Handler for Hoarder {
        fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
            session.keep_unread(bytes.len());
        }
    }
    let log = Log::default();
    let limits = Config::default().receive_buffer_bytes_max(1000);
    let server = Server::handlers(config().connection(limits), |_session| Hoarder)
        .observe(Arc::new(log.clone()))
        .start()
        .unwrap();
    let mut client = TcpStream::connect(server.local_addr()).await.unwrap();
    client.write_all(&[0; 1001]).await.unwrap();
    let mut byte = [0];
    assert!(!matches!(soon(client.read(&mut byte)).await, Ok(1..)));
    until(|| {
        log.lines()
            .iter()
            .any(|line| line.starts_with("disconnected"))
    })
    .await;
    let error = "error: the peer sent more than may be held".to_owned();
    assert!(log.lines().contains(&error), "{:?}", log.lines());
}

#[tokio::test]
async fn a_peer_that_reads_nothing_makes_the_queue_full_and_is_dropped_in_time() {
    let limits = Config::default()
        .send_queue_bytes_max(100_000)
        .write_timeout(Duration::from_millis(200));
    let server = Server::new(config().connection(limits), echo)
        .start()
        .unwrap();
    let _silent = TcpStream::connect(server.local_addr()).await.unwrap();
    until(|| server.stats().sessions == 1).await;
    let [session] = server.sessions().try_into().unwrap();
    soon(async {
        loop {
            match session.try_send(vec![0; 60_000]) {
                Ok(()) => tokio::task::yield_now().await,
                Err(SendError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    assert!(session.queued() <= 100_000);
    // Whoever waits for room is told.
    assert_eq!(
        soon(session.send(vec![0; 60_000])).await,
        Err(SendError::Closed)
    );
    until(|| server.stats().sessions == 0).await;
    assert!(matches!(session.failure(), Some(RecvError::WriteTimedOut)));
}

#[tokio::test]
async fn what_was_broadcast_before_the_end_reaches_sessions_that_are_behind() {
    const BROADCAST: usize = 400 << 10;
    let options = SocketOptions::default().send_buffer_bytes(10_000);
    for is_drained in [false, true] {
        let server = Server::new(config().options(options), echo);
        let mut server = server.start().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(10_000).unwrap();
        let mut client = socket.connect(server.local_addr()).await.unwrap();
        until(|| server.stats().sessions == 1).await;
        server.broadcast(vec![b'x'; BROADCAST]);
        until(|| server.traffic().bytes_queued > 0).await;
        server.broadcast(vec![b'x'; BROADCAST]);
        if is_drained {
            server.start_drain();
        } else {
            server.disconnect_all();
        }
        let mut all = Vec::new();
        soon(client.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all.len(), 2 * BROADCAST, "drained: {is_drained}");
    }
}
