//! Clients that connect again, and clients for threads.

use std::{
    sync::{Arc, Mutex, mpsc::sync_channel},
    thread,
    time::Duration,
};

use tidewire::{
    blocking,
    net::{Resolver, SocketOptions},
    tcp::{
        Backoff, Client, Config, ConnectError, DownReason, Handler, RecvError, SendError, Server,
        Session,
    },
};
use tokio::net::TcpListener;

use super::{HANG, config, connect, echo, echo_server, receive, soon, until};

/// Passes on what comes.
struct Pass(tokio::sync::mpsc::Sender<Vec<u8>>);

impl Handler for Pass {
    fn received(&mut self, _session: &mut Session<'_>, bytes: &[u8]) {
        self.0.try_send(bytes.to_vec()).ok();
    }
}

#[tokio::test]
async fn a_client_connects_again_whenever_its_connection_ends() {
    let server = echo_server();
    let (sender, mut received) = tokio::sync::mpsc::channel(16);
    let downs = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&downs);
    let client = Client::to(server.local_addr())
        .reconnect(Backoff::new(
            Duration::from_millis(1),
            Duration::from_millis(1),
        ))
        .on_down(move |reason, retry_in| {
            assert!(retry_in.is_some());
            told.lock().unwrap().push(reason.to_string());
        })
        .start(move |_session| Pass(sender.clone()));
    for round in 1..=3_u64 {
        let connected = soon(client.connected()).await.expect("it goes on");
        // Its counters begin anew.
        assert_eq!((connected.bytes_sent(), connected.bytes_received()), (0, 0));
        client.try_send("hello").unwrap();
        assert_eq!(soon(received.recv()).await.unwrap(), b"hello");
        if round == 1 {
            server.disconnect_all();
        } else {
            client.reconnect();
        }
        until(|| server.stats().opened == round + 1).await;
        until(|| client.sender().is_some_and(|sender| sender != connected)).await;
    }
    soon(client.close(HANG)).await;
    until(|| server.stats().sessions == 0).await;
    assert_eq!(*downs.lock().unwrap(), ["the connection was closed"; 3]);
}

#[tokio::test]
async fn a_client_gives_up_after_its_failures_and_says_so() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let (told, downs) = sync_channel(8);
    let backoff = Backoff::new(Duration::ZERO, Duration::ZERO).failures_max(3);
    let client = Client::to(address)
        .reconnect(backoff)
        .on_down(move |reason, retry_in| {
            let is_connect = matches!(reason, DownReason::Connect(ConnectError::Io { .. }));
            told.send((is_connect, retry_in.is_some())).unwrap();
        })
        .start_with(super::Connection::close);
    assert_eq!(soon(client.connected()).await, None);
    assert!(client.has_ended());
    assert_eq!(client.try_send("x"), Err(SendError::Closed));
    let downs: Vec<_> = downs.try_iter().collect();
    assert_eq!(downs, [(true, true), (true, true), (true, false)]);
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_given_up() {
    // Nobody accepts, and the queue of the listener is full.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let client =
        Client::to(listener.local_addr().unwrap()).connect_timeout(Duration::from_millis(50));
    let mut connected = Vec::new();
    let error = soon(async {
        loop {
            match client.connect().await {
                Ok(connection) => connected.push(connection),
                Err(error) => break error,
            }
        }
    });
    assert!(matches!(error.await, ConnectError::TimedOut));
}

#[tokio::test]
async fn names_of_hosts_and_services_are_resolved() {
    let server = echo_server();
    let port = server.local_addr().port();
    let resolver = Resolver::default().with_services(format!("test-echo {port}/tcp\n"));
    let client = Client::new("localhost:test-echo").resolver(resolver);
    let mut connection = client.connect().await.unwrap();
    connection.send("x").await.unwrap();
    assert_eq!(receive(&mut connection, 1).await, b"x");
    for (name, is_resolve) in [("localhost:no-such-service", true), ("localhost", true)] {
        let error = Client::new(name).connect().await.unwrap_err();
        assert_eq!(
            matches!(error, ConnectError::Resolve { .. }),
            is_resolve,
            "{name}"
        );
    }
    let resolved =
        tokio::task::spawn_blocking(|| Resolver::default().resolve_blocking("127.0.0.1:http"));
    assert_eq!(
        resolved.await.unwrap().unwrap(),
        ["127.0.0.1:80".parse().unwrap()]
    );
}

#[tokio::test]
async fn socket_options_reach_the_sockets_of_both_ends() {
    let options = SocketOptions::default()
        .keep_alive(Duration::from_secs(77))
        .no_delay(false)
        .receive_buffer_bytes(50_000)
        .send_buffer_bytes(60_000);
    let (told, options_of_session) = sync_channel(1);
    let server = Server::new(
        config().options(options),
        move |connection: super::Connection| {
            told.send(look(&connection)).unwrap();
            echo(connection)
        },
    )
    .start()
    .unwrap();
    let client = Client::to(server.local_addr()).options(options);
    let mut connection = client.connect().await.unwrap();
    connection.send("x").await.unwrap();
    assert_eq!(receive(&mut connection, 1).await, b"x");
    for found in [look(&connection), options_of_session.recv().unwrap()] {
        assert_eq!(found.0, (true, false));
        // The system may round up, or double.
        assert!(found.1.0 >= 50_000 && found.1.0 <= 200_000, "{found:?}");
        assert!(found.1.1 >= 60_000 && found.1.1 <= 240_000, "{found:?}");
    }
}

/// Keep-alive and no-delay, and the sizes of the buffers.
fn look(connection: &super::Connection) -> ((bool, bool), (usize, usize)) {
    let tcp = connection.stream().socket().unwrap().tcp().unwrap();
    let socket = socket2::SockRef::from(tcp);
    let flags = (socket.keepalive().unwrap(), socket.tcp_nodelay().unwrap());
    (
        flags,
        (
            socket.recv_buffer_size().unwrap(),
            socket.send_buffer_size().unwrap(),
        ),
    )
}

#[tokio::test]
async fn a_port_is_shared_only_by_those_who_ask_for_it() {
    let shared = SocketOptions::default().reuse_port(true);
    let first = Server::new(config().options(shared), echo).start().unwrap();
    let mut config = config().options(shared);
    config.service.address = first.local_addr().into();
    let second = Server::new(config.clone(), echo).start();
    assert!(second.is_ok());
    let third = Server::new(config.options(SocketOptions::default()), echo).start();
    assert!(third.is_err());
}

#[tokio::test]
async fn a_thread_sends_receives_and_gives_up_in_time() {
    let server = echo_server();
    let address = server.local_addr();
    let talked = tokio::task::spawn_blocking(move || {
        let connection = blocking::tcp::connect(&Client::to(address)).unwrap();
        let soon = Duration::from_millis(20);
        assert!(matches!(
            connection.recv_timeout(soon),
            Err(blocking::tcp::ReceiveError::Nothing)
        ));
        connection.send("hello").unwrap();
        assert_eq!(
            connection.recv_exact(5).unwrap().as_deref(),
            Some(&b"hello"[..])
        );
        // One thread receives while another sends.
        let len = 3_000_000;
        thread::scope(|scope| {
            let receiving = scope.spawn(|| {
                let mut received = 0;
                while received < len {
                    received += connection.recv().unwrap().unwrap().len();
                }
                received
            });
            for _ in 0..3 {
                connection.send(vec![b'x'; len / 3]).unwrap();
            }
            assert_eq!(receiving.join().unwrap(), len);
        });
        assert_eq!(
            (connection.bytes_sent(), connection.queued()),
            (5 + len as u64, 0)
        );
        connection.finish_sending().unwrap();
        assert_eq!(connection.recv().unwrap(), None, "it ends, too");
        connection.close().unwrap();
    });
    soon(talked).await.unwrap();
}

#[tokio::test]
async fn a_thread_that_sends_to_who_does_not_read_gives_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::to(listener.local_addr().unwrap());
    let tried = tokio::task::spawn_blocking(move || {
        let config = Config::default().send_queue_bytes_max(1000);
        let connection = blocking::tcp::connect(&client.config(config)).unwrap();
        let limit = Duration::from_millis(50);
        let error = loop {
            if let Err(error) = connection.send_timeout(vec![0; 100_000], limit) {
                break error;
            }
        };
        // Nothing was received before it was asked for, and the end is told.
        connection.sender().abort();
        (error, connection.recv())
    });
    let (_peer, _address) = listener.accept().await.unwrap();
    let (error, received) = soon(tried).await.unwrap();
    assert_eq!(error, SendError::TimedOut);
    assert!(matches!(received, Err(RecvError::Aborted)));
}

#[tokio::test]
async fn a_client_that_does_not_ask_receives_nothing() {
    let server = Server::new(config(), |mut connection: super::Connection| async move {
        connection.send("greeting").await.ok();
        connection.recv().await.ok();
    })
    .start()
    .unwrap();
    let mut client = connect(&server).await;
    until(|| server.traffic().bytes_sent == 8).await;
    assert_eq!(client.bytes_received(), 0);
    assert_eq!(receive(&mut client, 8).await, b"greeting");
}

#[test]
fn a_thread_receives_while_another_sends_more_than_lies_between_the_peers() {
    const LEN: usize = 10 << 20;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(async { echo_server() });
    let connection = blocking::tcp::connect(&Client::to(server.local_addr())).unwrap();
    thread::scope(|threads| {
        let sending = threads.spawn(|| connection.send(vec![b'x'; LEN]));
        let mut received = 0;
        while received < LEN {
            let bytes = connection.recv().unwrap().expect("it goes on");
            received += bytes.len();
        }
        sending.join().unwrap().unwrap();
    });
    connection.close().unwrap();
    drop(server);
}

#[test]
fn a_thread_ends_its_direction_while_another_receives_what_the_peer_must_send_first() {
    const LEN: usize = 10 << 20;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(async { echo_server() });
    let client =
        Client::to(server.local_addr()).config(Config::default().send_queue_bytes_max(LEN));
    let connection = blocking::tcp::connect(&client).unwrap();
    connection.sender().try_send(vec![b'x'; LEN]).unwrap();
    thread::scope(|threads| {
        let ending = threads.spawn(|| connection.finish_sending());
        let mut received = 0;
        while let Some(bytes) = connection.recv().unwrap() {
            received += bytes.len();
        }
        assert_eq!(received, LEN);
        ending.join().unwrap().unwrap();
    });
    drop(server);
}
