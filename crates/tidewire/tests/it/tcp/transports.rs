//! The same over every transport: exact counts, broadcasts to who comes and goes, random operations.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidewire::{
    net::Address,
    tcp::{Client, Connection, Observer, RunningServer, Sender, Server, ServerConfig},
    tls::{ClientTls, ServerTls},
};

use super::{HANG, config, echo, receive, soon, until};
use crate::tls::Authority;

/// Counts what goes wrong.
#[derive(Clone, Default)]
struct Errors(Arc<AtomicUsize>);

impl Observer<Sender> for Errors {
    fn error(&self, _error: &(dyn Error + 'static)) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Transport {
    name: &'static str,
    config: ServerConfig,
    client: Box<dyn Fn(&RunningServer) -> Client>,
    /// Kept alive as long as the transport.
    _kept: Box<dyn std::any::Any>,
}

fn transports() -> Vec<Transport> {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("server", &crate::tls::authority::servers_usage());
    let tls = ServerTls::from_pem(&certificate, &key).unwrap();
    let trust = authority.client();
    let folder = tempfile::tempdir().unwrap();
    let mut unix = config();
    unix.service.address = Address::unix(folder.path().join("socket"));
    vec![
        Transport {
            name: "tcp",
            config: config(),
            client: Box::new(|server| Client::to(server.local_addr())),
            _kept: Box::new(()),
        },
        Transport {
            name: "tls",
            config: config().tls(tls),
            client: Box::new(move |server| {
                let port = server.local_addr().port();
                Client::new(format!("localhost:{port}")).tls(trust.clone())
            }),
            _kept: Box::new(authority),
        },
        Transport {
            name: "unix",
            config: unix,
            client: Box::new(|server| Client::to(server.address().clone())),
            _kept: Box::new(folder),
        },
    ]
}

impl Transport {
    fn start(&self) -> (RunningServer, Errors) {
        let errors = Errors::default();
        let server = Server::new(self.config.clone(), echo).observe(Arc::new(errors.clone()));
        (server.start().unwrap(), errors)
    }

    async fn connect(&self, server: &RunningServer) -> Connection {
        let sessions = server.stats().opened;
        let connection = (self.client)(server).connect().await.unwrap();
        // It is served, so broadcasts reach it.
        until(|| server.stats().opened > sessions).await;
        connection
    }
}

#[tokio::test]
async fn an_echo_is_exact_to_the_byte() {
    for transport in transports() {
        let (server, errors) = transport.start();
        let mut client = transport.connect(&server).await;
        for len in [1, 4, 1000, 100_000] {
            let message = vec![b'e'; len];
            client.send(message.clone()).await.unwrap();
            assert_eq!(receive(&mut client, len).await, message);
        }
        let counts = (client.bytes_sent(), client.bytes_received());
        assert_eq!(counts, (101_005, 101_005), "{}", transport.name);
        client.close().await.unwrap();
        until(|| server.stats().sessions == 0).await;
        let traffic = server.traffic();
        let counts = (traffic.bytes_received, traffic.bytes_sent);
        assert_eq!(counts, (101_005, 101_005), "{}", transport.name);
        assert!(soon(server.drain(HANG)).await);
        assert_eq!(errors.0.load(Ordering::SeqCst), 0, "{}", transport.name);
    }
}

#[tokio::test]
async fn broadcasts_are_counted_exactly_for_clients_that_come_and_go() {
    for transport in transports() {
        let (server, errors) = transport.start();
        let mut clients: Vec<Connection> = Vec::new();
        let mut counts = Vec::new();
        for round in 1..=5 {
            if round <= 3 {
                clients.push(transport.connect(&server).await);
            } else {
                let first = clients.remove(0);
                counts.push(first.bytes_received());
                first.close().await.unwrap();
                until(|| server.stats().sessions == clients.len()).await;
            }
            server.broadcast("test");
            for client in &mut clients {
                assert_eq!(receive(client, 4).await, b"test", "{}", transport.name);
            }
        }
        counts.push(clients[0].bytes_received());
        assert_eq!(counts, [12, 12, 12], "{}", transport.name);
        assert_eq!(server.traffic().bytes_sent, 36, "{}", transport.name);
        drop(clients);
        assert!(soon(server.drain(HANG)).await);
        assert_eq!(errors.0.load(Ordering::SeqCst), 0, "{}", transport.name);
    }
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[tokio::test]
async fn connections_survive_random_operations() {
    const OPERATIONS: usize = 1500;
    const CLIENTS_MAX: usize = 20;
    for transport in transports() {
        let (server, errors) = transport.start();
        let mut numbers = Numbers(7);
        let mut clients: Vec<Connection> = Vec::new();
        let (mut connects, mut sent) = (0, 0);
        for _ in 0..OPERATIONS {
            match numbers.below(100) {
                0..20 if clients.len() < CLIENTS_MAX => {
                    clients.push(transport.connect(&server).await);
                    connects += 1;
                }
                20..25 if !clients.is_empty() => {
                    // Properly, or not at all.
                    let client = clients.swap_remove(numbers.below(clients.len()));
                    if numbers.below(2) == 0 {
                        soon(client.close()).await.ok();
                    }
                }
                25..70 if !clients.is_empty() => {
                    let at = numbers.below(clients.len());
                    let len = 1 + numbers.below(2000);
                    // Closed, if all were disconnected before.
                    if clients[at].send(vec![b'r'; len]).await.is_ok() {
                        sent += len as u64;
                    }
                }
                70..85 => server.broadcast("broadcast"),
                85..99 => tokio::task::yield_now().await,
                99 => server.disconnect_all(),
                _ => {}
            }
            for client in &mut clients {
                // Bytes that have come so far, without waiting.
                tokio::select! {
                    biased;
                    _received = client.recv() => {}
                    () = std::future::ready(()) => {}
                }
            }
        }
        drop(clients);
        until(|| server.stats().sessions == 0).await;
        let stats = server.stats();
        assert_eq!(
            (stats.opened, stats.refused),
            (connects, 0),
            "{}",
            transport.name
        );
        let traffic = server.traffic();
        assert!(
            traffic.bytes_received <= sent,
            "{}: {traffic:?}",
            transport.name
        );
        assert_eq!(traffic.bytes_queued, 0, "{}", transport.name);
        assert!(soon(server.drain(HANG)).await);
        assert_eq!(errors.0.load(Ordering::SeqCst), 0, "{}", transport.name);
    }
}

#[tokio::test]
async fn a_server_that_succeeds_another_under_load_loses_nothing() {
    const ROUNDS: usize = 50;
    for transport in transports() {
        let server = Server::new(transport.config.clone(), echo);
        let mut running = server.start().unwrap();
        let mut clients = Vec::new();
        for number in 0..10_u8 {
            let mut client = transport.connect(&running).await;
            clients.push(tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let message = vec![number; 1 + round * 100];
                    client.send(message.clone()).await.unwrap();
                    assert_eq!(receive(&mut client, message.len()).await, message);
                }
                client.close().await.unwrap();
            }));
        }
        for _ in 0..5 {
            let listeners: Vec<_> = running
                .listeners()
                .iter()
                .map(|listener| listener.try_clone().unwrap())
                .collect();
            let next = server.start_on(listeners).unwrap();
            running.stop_accepting();
            let before = std::mem::replace(&mut running, next);
            let mut client = (transport.client)(&running).connect().await.unwrap();
            client.send("new").await.unwrap();
            assert_eq!(receive(&mut client, 3).await, b"new");
            client.close().await.unwrap();
            clients.push(tokio::spawn(async move { soon(before.ended()).await }));
        }
        for client in clients {
            soon(client).await.unwrap();
        }
    }
}

#[tokio::test]
async fn tls_is_done_before_a_session_opens_and_ends_with_its_own_end() {
    let transport = transports().swap_remove(1);
    let (server, errors) = transport.start();
    let mut client = transport.connect(&server).await;
    let tls = client.peer().tls.as_ref().expect("the handshake is done");
    assert_eq!(tls.server_name.as_deref(), Some("localhost"));
    let [session] = server.sessions().try_into().unwrap();
    assert!(session.peer().secure && session.peer().tls.is_some());
    // A cut without close_notify would be an error.
    session.close();
    assert_eq!(soon(client.recv()).await.unwrap(), None);
    client.close().await.unwrap();

    // Somebody who speaks no TLS is an error of the opening, told by its hook.
    let mut plain = Client::to(server.local_addr()).connect().await.unwrap();
    plain.send("GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(!matches!(soon(plain.recv()).await, Ok(Some(_))));
    until(|| errors.0.load(Ordering::SeqCst) == 1).await;
    assert_eq!(server.stats().refused, 1);
}

#[tokio::test]
async fn bytes_agree_on_no_application_protocol_unless_one_is_set() {
    let authority = Authority::new();
    let identity = || authority.identity("server", &crate::tls::authority::servers_usage());
    let (none, own) = (None, Some(["own"]));
    for (servers, clients, agreed) in [
        (none, none, None),
        (none, own, None),
        (own, none, None),
        (own, own, Some(b"own".to_vec())),
    ] {
        let mut server = ServerTls::builder(identity());
        let mut client = ClientTls::builder().ca_file(authority.ca());
        if let Some(protocols) = servers {
            server = server.alpn(protocols);
        }
        if let Some(protocols) = clients {
            client = client.alpn(protocols);
        }
        let server = Server::new(config().tls(server.build().unwrap()), echo);
        let server = server.start().unwrap();
        let client = Client::new(format!("localhost:{}", server.local_addr().port()))
            .tls(client.build().unwrap());
        let mut connection = soon(client.connect()).await.unwrap();
        connection.send("test").await.unwrap();
        assert_eq!(receive(&mut connection, 4).await, b"test");
        let tls = connection.peer().tls.as_ref().unwrap();
        assert_eq!(tls.alpn, agreed, "{servers:?} {clients:?}");
    }
}
