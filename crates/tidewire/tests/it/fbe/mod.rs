//! The simple protocol over TCP: exact bytes, requests and their ends, notifications, hostile peers, the examples.

mod session; // a server against a peer that writes bytes by hand
mod kept; // clients that keep a connection, and for threads
mod client; // requests, timeouts, notifications
#[cfg(unix)]
mod programs; // the examples, started and spoken to
mod random; // members that come and go, random operations

use std::{future::Future, time::Duration};

use tidewire::{
    fbe::{
        Client, Connection, Handler, MessageRef, RunningServer, Server, ServerConfig, Session,
        hash_of_text,
    },
    tcp,
};

/// A guard against waiting for ever, not a time that anything should take.
const GUARD: Duration = Duration::from_mins(1);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future).await.expect("in time")
}

/// Greets, answers what has a text, rejects what has none.
struct Hashes;

impl Handler for Hashes {
    fn opened(&mut self, session: &mut Session<'_, '_>) {
        let notification = "hello";
        session.send(MessageRef::Notify { notification }).unwrap();
    }

    fn received(&mut self, session: &mut Session<'_, '_>, message: MessageRef<'_>) {
        let MessageRef::Request { id, message } = message else {
            return;
        };
        let answer = match message {
            "" => MessageRef::Reject {
                id,
                error: "Request message is empty!",
            },
            "silence" => return,
            "disconnect me" => MessageRef::Disconnect { id },
            message => MessageRef::Response {
                id,
                length: u32::try_from(message.len()).unwrap(),
                hash: hash_of_text(message),
            },
        };
        session.send(answer).unwrap();
    }
}

fn config() -> ServerConfig {
    ServerConfig::new("127.0.0.1:0".parse().unwrap())
}

fn start() -> RunningServer {
    Server::new(config(), |_session| Hashes).start().unwrap()
}

async fn connect(server: &RunningServer) -> Connection {
    Client::to(server.local_addr()).connect().await.unwrap()
}

/// A peer that writes and reads bytes.
async fn raw(server: &RunningServer) -> tcp::Connection {
    let client = tcp::Client::to(server.local_addr());
    client.connect().await.unwrap()
}

fn bytes(message: MessageRef<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode_into(&mut bytes).unwrap();
    bytes
}
