//! The blocking client, from threads and from inside an async runtime.

use std::{sync::Arc, thread, time::Duration};

use tidewire::{
    blocking::{Connection, ReceiveError, connect},
    proto::{CloseCode, Message},
    service::Workers,
    ws::{Client, ConnectError, RecvError, RunningServer, SendError, Server, WebSocket},
};

use crate::server::{config, echo};

/// An echo server that needs no runtime around it.
fn server() -> RunningServer {
    let mut config = config();
    config.workers = Workers::PerCore(std::num::NonZeroUsize::MIN);
    Server::new(config)
        .route("/echo", echo)
        .route("/drop", |mut socket: WebSocket| async move {
            socket.recv().await.ok();
        })
        .route("/deaf", |mut socket: WebSocket| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut count = 0;
            while let Ok(Some(_)) = socket.recv().await {
                count += 1;
                if count == 200 {
                    socket.send("200").await.ok();
                }
            }
        })
        .start()
        .unwrap()
}

fn open(server: &RunningServer, path: &str) -> Connection {
    connect(&format!("ws://{}{path}", server.local_addr())).unwrap()
}

#[test]
fn a_thread_sends_receives_and_closes() {
    let server = server();
    let connection = open(&server, "/echo");
    assert!(matches!(connection.try_recv(), Err(ReceiveError::Nothing)));
    let waited = connection.recv_timeout(Duration::from_millis(1));
    assert!(matches!(waited, Err(ReceiveError::Nothing)));
    for message in [Message::text("κόσμε"), Message::binary(vec![7; 300_000])] {
        connection.send(message.clone()).unwrap();
        assert_eq!(connection.recv().unwrap(), Some(message));
    }
    connection.send("left").unwrap();
    while connection.recv_timeout(Duration::from_mins(1)).is_err() {}
    let frame = connection.close(CloseCode(4000), "done").unwrap().unwrap();
    assert_eq!(frame.code, CloseCode(4000));
    assert!(!connection.is_open());
    assert_eq!(connection.recv().unwrap(), None);
    assert_eq!(connection.try_recv().unwrap(), None);
    assert!(matches!(connection.send("late"), Err(SendError::Closed)));
    assert_eq!(
        connection.close(CloseCode::NORMAL, "").unwrap(),
        Some(frame)
    );
}

#[test]
#[expect(clippy::needless_collect, reason = "all threads run at once")]
fn several_threads_share_a_connection() {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let server = server();
    let (connection, sender) = open(&server, "/echo").split();
    let connection = Arc::new(connection);
    let senders: Vec<_> = (0..THREADS)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || {
                for count in 0..EACH {
                    sender.send(format!("{}", number * EACH + count)).unwrap();
                }
            })
        })
        .collect();
    let receivers: Vec<_> = (0..THREADS)
        .map(|_| {
            let connection = Arc::clone(&connection);
            thread::spawn(move || {
                let received = (0..EACH).map(|_| connection.recv().unwrap().unwrap());
                let numbers = received.map(|m| m.as_text().unwrap().parse().unwrap());
                numbers.collect::<Vec<usize>>()
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    let mut all: Vec<_> = receivers
        .into_iter()
        .flat_map(|receiver| receiver.join().unwrap())
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..THREADS * EACH).collect::<Vec<_>>());
}

#[test]
fn a_sender_blocks_while_the_peer_does_not_read_and_goes_on_when_it_does() {
    let server = server();
    let connection = open(&server, "/deaf");
    for _ in 0..200 {
        connection.send(vec![0; 100_000]).unwrap();
    }
    assert_eq!(connection.recv().unwrap(), Some(Message::text("200")));
    connection.sender().flush().unwrap();
}

#[test]
fn a_lost_connection_is_an_error_for_everybody() {
    let server = server();
    let connection = open(&server, "/drop");
    connection.send("go").unwrap();
    let error = connection.recv().unwrap_err();
    assert!(
        matches!(error, RecvError::Lost | RecvError::Io(_)),
        "{error:?}"
    );
    let again = connection.try_recv().unwrap_err();
    assert!(matches!(again, ReceiveError::Ended(_)), "{again:?}");
    assert!(!connection.is_open());
    connection.close(CloseCode::NORMAL, "").unwrap_err();
}

#[test]
fn who_cannot_be_reached_is_an_error() {
    let server = server();
    let address = server.local_addr();
    drop(server);
    // The port is free as soon as the server's thread has ended.
    let error = loop {
        match connect(&format!("ws://{address}/echo")) {
            Err(error @ ConnectError::Io { .. }) => break error,
            Err(_) | Ok(_) => thread::yield_now(),
        }
    };
    assert!(error.to_string().contains("cannot reach"), "{error}");
    assert!(matches!(connect("http://x"), Err(ConnectError::Url(_))));
}

#[tokio::test]
async fn called_inside_an_async_runtime_nothing_panics() {
    let server = server();
    let url = format!("ws://{}/echo", server.local_addr());
    let connection = Connection::open(&Client::new(&url).unwrap()).unwrap();
    connection.send("hello").unwrap();
    assert_eq!(connection.recv().unwrap(), Some(Message::text("hello")));
    connection.close(CloseCode::NORMAL, "").unwrap();
}

#[test]
fn dropping_a_connection_ends_it() {
    let server = server();
    let connection = open(&server, "/echo");
    let sender = connection.sender();
    while server.stats().sessions == 0 {
        thread::yield_now();
    }
    drop(connection);
    while server.stats().sessions > 0 {
        thread::yield_now();
    }
    while sender.try_send("x").is_ok() {
        thread::yield_now();
    }
}
