//! The seam between hub, dialect and server: a dialect that only these tests know talks with classic clients.
//!
//! Its clients send `TO TEXT` and get `FROM TEXT`, as binary messages; it has no receipts.

use std::sync::Arc;

use tempfile::TempDir;
use tidewire::ws::{
    Config as SocketConfig, Message, RunningServer, Server, ServerConfig, WebSocket, connect,
};
use tidewire_dialect::{Classic, Close, Dialect, Ending, Payload};
use tidewire_engine::embedded::{Config as StoreConfig, SqliteMailbox};
use tidewire_hub::{
    Command, Config as HubConfig, Draft, Hub, JsonText, Notice, Publication, Settings, UserId,
};

use super::{Admission, Behaviour, Chat, Timing};
use crate::{
    access::Access,
    config::{AllowedOrigins, Confirm, Overrides, load},
    shaping::{Rules, Shaping},
    tickets::Tickets,
};

struct Words;

#[derive(Debug, thiserror::Error)]
#[error("expected TO TEXT")]
struct NoWords;

impl Dialect for Words {
    type Error = NoWords;
    type StringIds = Self;
    const SUBPROTOCOL: &'static str = "words";

    fn decode<'a>(
        payload: &'a [u8],
        user: &UserId,
        settings: &Settings,
    ) -> Result<Command<'a>, NoWords> {
        let line = str::from_utf8(payload).map_err(|_| NoWords)?;
        let (to, text) = line.split_once(' ').ok_or(NoWords)?;
        let mut recipients = settings.recipients();
        recipients.add(to.parse().map_err(|_| NoWords)?);
        Ok(Command::Publish(Draft {
            kind: JsonText::quote("text"),
            sender: user.clone(),
            recipients: recipients.finish().map_err(|_| NoWords)?,
            text: JsonText::quote(text),
            data: "null".into(),
            timestamp: None,
            reference: None,
        }))
    }

    fn publication(publication: &Publication) -> Option<Payload> {
        let line = format!("{} {}", publication.sender(), publication.text());
        Some(Payload::Binary(line.into_bytes()))
    }

    fn notice(_notice: &Notice, _user: &UserId) -> Option<Payload> {
        None
    }

    fn close(ending: &Ending<'_, NoWords>) -> Close {
        Close::new(4999, format!("{ending:?}"))
    }
}

/// A server for both kinds of clients, on one hub.
fn start() -> (RunningServer, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mailbox = SqliteMailbox::open(StoreConfig::new(dir.path())).unwrap();
    let config = HubConfig {
        send_back: true,
        delivery_status: true,
        ..HubConfig::default()
    };
    let hub = Hub::new(config.try_into().unwrap(), mailbox);
    let settings = load(None, std::iter::empty(), &Overrides::default()).unwrap();
    let rules = Rules::of(&settings);
    let access = Access {
        trusted_proxies: Arc::default(),
        port: Arc::default(),
        auth: settings.server.auth,
        allowed_origins: Arc::new(AllowedOrigins::Any),
        secure: false,
        loopback_names_only: false,
    };
    let second = std::time::Duration::from_secs(1);
    let behaviour = Behaviour {
        confirm: Confirm::Pong,
        timing: Arc::new(Timing {
            pong_timeout: 10 * second,
            ping_interval: None,
            acknowledged_timeout: 10 * second,
            unproven_kept: 600 * second,
        }),
        inactive_timeout: None,
    };
    let socket = Arc::new(SocketConfig::default());
    let admission = Admission {
        access,
        tickets: Arc::new(Tickets::new(1)),
        shaping: Arc::new(Shaping::open(dir.path(), rules).unwrap()),
        hook: None,
    };
    let (words, classic) = (
        Chat::<Words>::new(
            hub.clone(),
            admission.clone(),
            socket.clone(),
            behaviour.clone(),
        ),
        Chat::<Classic>::new(hub, admission, socket, behaviour),
    );
    let server = Server::new(ServerConfig::new("127.0.0.1:0".parse().unwrap()))
        .route("/words", words)
        .route("/chat", classic);
    (server.start().unwrap(), dir)
}

async fn received(socket: &mut WebSocket) -> Message {
    socket.recv().await.unwrap().unwrap()
}

#[tokio::test]
async fn clients_of_two_dialects_talk_through_one_hub() {
    let (server, _dir) = start();
    let url = |path: &str| format!("ws://{}{path}", server.local_addr());
    let mut bob = connect(&url("/words?id=bob")).await.unwrap();
    let mut anna = connect(&url("/chat?id=1")).await.unwrap();
    bob.send(Message::binary(b"1 say \"hi\"".to_vec()))
        .await
        .unwrap();
    // His own copy proves that his session has begun; receipts he is told nothing of.
    assert_eq!(
        received(&mut bob).await,
        Message::binary(b"bob say \"hi\"".to_vec())
    );
    let Message::Text(heard) = received(&mut anna).await else {
        panic!("expected text");
    };
    assert!(
        heard.contains(r#""recipients":[1],"sender":"bob","text":"say \"hi\"""#),
        "{heard}"
    );
    let envelope = r#"{"type":"text","sender":1,"recipients":["bob"],"text":"h\u00e9"}"#;
    anna.send(Message::text(envelope)).await.unwrap();
    assert_eq!(
        received(&mut bob).await,
        Message::binary("1 h\u{e9}".as_bytes().to_vec())
    );
    let Message::Text(copy) = received(&mut anna).await else {
        panic!("expected text");
    };
    assert!(copy.contains(r#""text":"h\u00e9""#), "{copy}");
    // Bob's library answers the server's ping while it is read from.
    let receipt = tokio::select! {
        receipt = received(&mut anna) => receipt,
        more = bob.recv() => panic!("expected nothing, got {more:?}"),
    };
    let Message::Text(receipt) = receipt else {
        panic!("expected text");
    };
    assert!(receipt.contains("notification_received"), "{receipt}");
    bob.send(Message::binary(b"nonsense".to_vec()))
        .await
        .unwrap();
    assert_eq!(bob.recv().await.unwrap(), None);
    assert_eq!(bob.close_frame().unwrap().code.0, 4999);
}
