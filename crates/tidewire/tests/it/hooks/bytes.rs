//! TCP, TLS and Unix sockets, and the simple protocol over them.

use std::sync::Arc;

use tidewire::{
    fbe::{self, Frame, Id, MessageRef, Next, SessionError},
    net::Address,
    tcp::{Client, Config, Connection, Handler, RecvError, Server, ServerConfig, Session},
};

use super::Log;
use crate::{
    tcp::{HANG, config, receive, soon},
    tls::Authority,
};

/// Echoes, and tells of every call.
struct Told {
    log: Log,
    keeps: bool,
}

impl Handler for Told {
    fn opened(&mut self, session: &mut Session<'_>) {
        self.log.push("opened");
        assert_eq!((session.id(), session.queued()), (1, 0));
        assert_eq!(session.peer().tls.is_some(), session.peer().secure);
    }

    fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
        self.log.push(format!("received {}", bytes.len()));
        if self.keeps {
            session.keep_unread(bytes.len());
        } else {
            session.send(bytes).unwrap();
        }
    }

    fn sent(&mut self, _session: &mut Session<'_>, bytes: usize, pending: usize) {
        self.log.push(format!("sent {bytes}, {pending} pending"));
    }

    fn drained(&mut self, _session: &mut Session<'_>) {
        self.log.push("drained");
    }

    fn finished(&mut self, session: &mut Session<'_>) {
        self.log.push("finished");
        session.send(b"bye").unwrap();
        session.close();
    }

    fn closed(&mut self, outcome: Result<(), &RecvError>) {
        self.log.push(match outcome {
            Ok(()) => "closed".into(),
            Err(error) => format!("failed: {error}"),
        });
    }
}

/// The server's answers are here before the client goes on, so each read holds what was sent at once.
async fn talk(config: ServerConfig, client: impl FnOnce(Address) -> Client) -> Log {
    let log = Log::default();
    let told = log.clone();
    let server = Server::handlers(config, move |_session| Told {
        log: told.clone(),
        keeps: false,
    });
    let server = server.observe(Arc::new(log.clone())).start().unwrap();
    let client = client(server.address().clone());
    let mut client: Connection = soon(client.connect()).await.unwrap();
    client.send("hello").await.unwrap();
    assert_eq!(receive(&mut client, 5).await, b"hello");
    // The server has called everything for this once it asks for more.
    crate::tcp::until(|| log.lines().len() >= 7).await;
    client.finish_sending().await.unwrap();
    assert_eq!(receive(&mut client, 3).await, b"bye");
    assert_eq!(soon(client.recv()).await.unwrap(), None);
    drop(client);
    assert!(soon(server.drain(HANG)).await);
    log
}

pub(super) async fn tcp() -> Log {
    talk(config(), Client::to).await
}

pub(super) async fn tls() -> Log {
    let authority = Authority::new();
    let secure = config().tls(authority.server());
    let trust = authority.client();
    let connect = |address: Address| {
        let port = address.to_string();
        let (_host, port) = port.rsplit_once(':').unwrap();
        Client::new(format!("localhost:{port}")).tls(trust)
    };
    talk(secure, connect).await
}

pub(super) async fn unix() -> Log {
    let folder = tempfile::tempdir().unwrap();
    let mut unix = config();
    unix.service.address = Address::unix(folder.path().join("socket"));
    talk(unix, Client::to).await
}

/// A session that fails by our own limit.
pub(super) async fn too_much() -> Log {
    let log = Log::default();
    let told = log.clone();
    let limits = Config::default().receive_buffer_bytes_max(1000);
    let server = Server::handlers(config().connection(limits), move |_session| Told {
        log: told.clone(),
        keeps: true,
    });
    let server = server.observe(Arc::new(log.clone())).start().unwrap();
    let client = Client::to(server.local_addr());
    let mut client = client.connect().await.unwrap();
    client.send(vec![0; 1001]).await.unwrap();
    client.flush().await.unwrap();
    log.until("disconnected").await;
    assert!(soon(server.drain(HANG)).await);
    log
}

/// Answers requests by a response, and tells of every call.
struct ToldMessages(Log);

impl fbe::Handler for ToldMessages {
    fn opened(&mut self, _session: &mut fbe::Session<'_, '_>) {
        self.0.push("opened");
    }

    fn frame(&mut self, _session: &mut fbe::Session<'_, '_>, frame: &Frame<'_>) -> Next {
        self.0.push(format!("frame {}", frame.type_number()));
        Next::Read
    }

    fn received(&mut self, session: &mut fbe::Session<'_, '_>, message: MessageRef<'_>) {
        self.0.push(format!("received {message}"));
        if let MessageRef::Request { id, .. } = message {
            let (length, hash) = (4, 7);
            let answer = MessageRef::Response { id, length, hash };
            session.send(answer).unwrap();
        }
    }

    fn disconnect_requested(&mut self, session: &mut fbe::Session<'_, '_>) {
        self.0.push("disconnect requested");
        session.close();
    }

    fn sent(&mut self, _session: &mut fbe::Session<'_, '_>, bytes: usize, pending: usize) {
        self.0.push(format!("sent {bytes}, {pending} pending"));
    }

    fn drained(&mut self, _session: &mut fbe::Session<'_, '_>) {
        self.0.push("drained");
    }

    fn closed(&mut self, outcome: Result<(), &SessionError>) {
        self.0.push(match outcome {
            Ok(()) => "closed".into(),
            Err(error) => format!("failed: {error}"),
        });
    }
}

/// Writes `pieces`, waiting behind each until as many calls have been told, and ends both.
async fn write(pieces: &[(Vec<u8>, usize)]) -> Log {
    let log = Log::default();
    let told = log.clone();
    let config = fbe::ServerConfig::with(config());
    let server = fbe::Server::new(config, move |_session| ToldMessages(told.clone()));
    let server = server.observe(Arc::new(log.clone())).start().unwrap();
    let client = Client::to(server.local_addr());
    let mut client = client.connect().await.unwrap();
    for (piece, calls) in pieces {
        client.send(piece.clone()).await.unwrap();
        client.flush().await.unwrap();
        crate::tcp::until(|| log.lines().len() >= *calls).await;
    }
    log.until("disconnected").await;
    assert!(soon(server.drain(HANG)).await);
    log
}

fn bytes(message: MessageRef<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode_into(&mut bytes).unwrap();
    bytes
}

const ID: Id = Id([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

pub(super) async fn fbe() -> Log {
    let request = bytes(MessageRef::Request {
        id: ID,
        message: "test",
    });
    let mut unknown = request.clone();
    unknown[12] = 99;
    let disconnect = bytes(MessageRef::Disconnect { id: ID });
    write(&[(request, 8), (unknown, 9), (disconnect, 13)]).await
}

pub(super) async fn broken_fbe() -> Log {
    write(&[(vec![15, 0, 0, 0], 7)]).await
}
