//! UDP.

use std::{net::SocketAddr, sync::Arc};

use tidewire::{
    service::Workers,
    udp::{
        Client, DatagramRef, Group, Handler, RecvError, Server, ServerConfig, Session, SocketError,
    },
};

use super::Log;
use crate::tcp::{HANG, soon};

/// Echoes, tells of every call, and leaves its group when it is told "hello".
struct Told(Log);

fn group() -> Group {
    Group::new([239, 255, 0, 78]).interface("lo")
}

impl Handler for Told {
    fn opened(&mut self, _: &mut Session<'_>) {
        self.0.push("opened");
    }

    fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>) {
        self.0.push(format!("received {}", datagram.payload.len()));
        session.reply(datagram.payload).unwrap();
        if datagram.payload == b"hello" {
            session.leave(&group()).unwrap();
        }
    }

    fn sent(&mut self, _: &mut Session<'_>, _to: SocketAddr, bytes: usize) {
        self.0.push(format!("sent {bytes}"));
    }

    fn drained(&mut self, _: &mut Session<'_>) {
        self.0.push("drained");
    }

    fn failed(&mut self, _: &mut Session<'_>, error: &SocketError) {
        self.0.push(format!("failed: {error}"));
    }

    fn joined(&mut self, _: &mut Session<'_>, group: &Group) {
        self.0.push(format!("joined {group}"));
    }

    fn left(&mut self, _: &mut Session<'_>, group: &Group) {
        self.0.push(format!("left {group}"));
    }

    fn closed(&mut self, outcome: Result<(), &RecvError>) {
        assert!(outcome.is_ok());
        self.0.push("closed");
    }
}

pub(super) async fn udp() -> Log {
    let log = Log::default();
    let told = log.clone();
    // Of the test's own thread, so that nothing happens meanwhile.
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap())
        .workers(Workers::Pool)
        .group(group());
    let server = Server::handlers(config, move |_| Told(told.clone()));
    let server = server.observe(Arc::new(log.clone())).start().unwrap();
    let mut client = Client::to(server.local_addr()).connect().await.unwrap();
    for text in ["hello", "bye"] {
        client.send(text.as_bytes()).await.unwrap();
        let answer = soon(client.recv()).await.unwrap().unwrap();
        assert_eq!(&answer.payload[..], text.as_bytes());
    }
    assert!(soon(server.drain(HANG)).await);
    log
}
