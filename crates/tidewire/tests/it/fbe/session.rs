//! A server against a peer that writes bytes by hand.

use std::sync::{Arc, Mutex};

use tidewire::{
    fbe::{
        Config, Direction, Frame, Handler, Id, Log, Message, MessageRef, Next, Server, Session,
        SessionError,
    },
    tcp,
};
use tokio::sync::mpsc;

use super::{bytes, config, connect, raw, start, within};

const ID: Id = Id([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

const REQUEST: MessageRef<'static> = MessageRef::Request {
    id: ID,
    message: "test",
};

/// Everything until the end.
async fn rest(connection: &mut tcp::Connection) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Some(bytes)) = within(connection.recv()).await {
        all.extend_from_slice(&bytes);
    }
    all
}

fn greeting() -> Vec<u8> {
    let notification = "hello";
    bytes(MessageRef::Notify { notification })
}

#[tokio::test]
async fn answers_have_exact_bytes_however_the_requests_are_cut() {
    let server = start();
    let empty = MessageRef::Request {
        id: ID,
        message: "",
    };
    let mut unknown = bytes(REQUEST);
    unknown[12] = 99;
    let disconnect = MessageRef::Disconnect { id: ID };
    let stream = [bytes(REQUEST), unknown, bytes(empty), bytes(disconnect)].concat();
    let response = MessageRef::Response {
        id: ID,
        length: 4,
        hash: 0x0a7a_19fb,
    };
    let reject = MessageRef::Reject {
        id: ID,
        error: "Request message is empty!",
    };
    let expected = [greeting(), bytes(response), bytes(reject)].concat();
    for piece in [1, 7, 43, stream.len()] {
        let mut peer = raw(&server).await;
        for piece in stream.chunks(piece) {
            peer.send(piece.to_vec()).await.unwrap();
            peer.flush().await.unwrap();
        }
        assert_eq!(rest(&mut peer).await, expected, "in pieces of {piece}");
    }
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_told_apart_and_hurts_nobody_else() {
    struct Outcomes(mpsc::UnboundedSender<Option<SessionError>>);

    impl Handler for Outcomes {
        fn received(&mut self, session: &mut Session<'_, '_>, message: MessageRef<'_>) {
            session.send(message).unwrap();
        }

        fn closed(&mut self, outcome: Result<(), &SessionError>) {
            self.0.send(outcome.err().cloned()).ok();
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "one outcome per connection of the test"
    )]
    let (sender, mut outcomes) = mpsc::unbounded_channel();
    let limits = Config::default().message_bytes_max(1000);
    let config = config().connection(limits);
    let server = Server::new(config, move |_session| Outcomes(sender.clone()));
    let server = server.start().unwrap();
    let bystander = connect(&server).await;

    let mut not_text = bytes(REQUEST);
    not_text[40] = 0xff;
    for (hostile, expected) in [
        (0x7fff_ffff_u32.to_le_bytes().to_vec(), "at most 1000 bytes"),
        (15_u32.to_le_bytes().to_vec(), "at least 16 bytes"),
        (not_text, "UTF-8"),
    ] {
        let mut peer = raw(&server).await;
        // What came before it is answered all the same.
        peer.send([bytes(REQUEST), hostile].concat()).await.unwrap();
        assert_eq!(rest(&mut peer).await, bytes(REQUEST), "{expected}");
        let outcome = within(outcomes.recv()).await.flatten().expect(expected);
        let text = tidewire::ErrorChain(&outcome).to_string();
        assert!(text.contains(expected), "{text}");
    }
    let mut peer = raw(&server).await;
    peer.send(bytes(REQUEST)[..20].to_vec()).await.unwrap();
    peer.finish_sending().await.unwrap();
    let outcome = within(outcomes.recv()).await.flatten();
    let outcome = outcome.expect("half a message is no proper end");
    assert!(outcome.is_disconnect(), "{outcome:?}");

    bystander.notify("still here").await.unwrap();
    let echoed = within(bystander.recv())
        .await
        .map(|it| it.as_ref().to_string());
    assert_eq!(echoed.unwrap(), "SimpleNotify(Notification=\"still here\")");
}

/// Passes everything on to the other, whatever it is, and reads nothing.
#[tokio::test]
async fn a_proxy_passes_messages_of_any_type_on_unread() {
    struct Proxy;

    impl Handler for Proxy {
        fn frame(&mut self, session: &mut Session<'_, '_>, frame: &Frame<'_>) -> Next {
            session.send_frame(frame).unwrap();
            Next::Skip
        }

        fn received(&mut self, _session: &mut Session<'_, '_>, message: MessageRef<'_>) {
            panic!("read: {message}");
        }
    }

    let server = Server::new(config(), |_session| Proxy).start().unwrap();
    let mut stream = bytes(REQUEST);
    stream[12] = 77;
    stream.extend(bytes(MessageRef::Disconnect { id: ID }));
    let mut peer = raw(&server).await;
    peer.send(stream.clone()).await.unwrap();
    let back = within(peer.recv_exact(stream.len())).await.unwrap();
    assert_eq!(back.as_deref(), Some(stream.as_slice()));
}

/// Lines as `> SimpleNotify`, and the log that writes them.
fn log() -> (Log, Arc<Mutex<Vec<String>>>) {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Log::new({
        let lines = Arc::clone(&lines);
        move |direction, message| {
            let way = match direction {
                Direction::Received => "<",
                Direction::Sent => ">",
            };
            let text = message.to_string();
            let kind = text.split('(').next().unwrap_or_default();
            lines.lock().unwrap().push(format!("{way} {kind}"));
        }
    });
    (log, lines)
}

#[tokio::test]
async fn the_log_is_told_of_every_message_in_order() {
    let (log, lines) = log();
    let config = config().connection(Config::default().log(log));
    let server = Server::new(config, |_session| super::Hashes)
        .start()
        .unwrap();
    let client = connect(&server).await;
    client.request("test").await.unwrap();
    assert_eq!(
        *lines.lock().unwrap(),
        ["> SimpleNotify", "< SimpleRequest", "> SimpleResponse"]
    );
}

#[tokio::test]
async fn the_log_is_told_of_a_broadcast_once_and_of_nothing_that_was_refused() {
    /// Passes on to all.
    struct ToAll;

    impl Handler for ToAll {
        fn received(&mut self, session: &mut Session<'_, '_>, message: MessageRef<'_>) {
            session.broadcast(message).unwrap();
        }
    }

    let (log, lines) = log();
    let config = config().connection(Config::default().log(log));
    let server = Server::new(config, |_session| ToAll).start().unwrap();
    let (client, other) = (connect(&server).await, connect(&server).await);
    // Only those that are served are sent it.
    while server.sessions().len() < 2 {
        tokio::task::yield_now().await;
    }
    client.notify("to all").await.unwrap();
    for client in [&client, &other] {
        assert!(within(client.recv()).await.is_some());
    }
    assert_eq!(*lines.lock().unwrap(), ["< SimpleNotify", "> SimpleNotify"]);
    lines.lock().unwrap().clear();
    let session = server.sessions()[0].clone();
    server.drain(super::GUARD).await;
    session.try_send(REQUEST).unwrap_err();
    session.send(REQUEST).await.unwrap_err();
    session
        .send_timeout(REQUEST, super::GUARD)
        .await
        .unwrap_err();
    assert!(lines.lock().unwrap().is_empty());
}

#[tokio::test]
async fn sessions_can_be_found_and_broadcast_to_and_are_gone_after_a_drain() {
    let server = start();
    let (one, two) = (connect(&server).await, connect(&server).await);
    for client in [&one, &two] {
        assert!(within(client.recv()).await.is_some(), "greeted");
    }
    assert_eq!(server.sessions().len(), 2);
    let notification = "to all";
    server
        .broadcast(MessageRef::Notify { notification })
        .unwrap();
    let expected = Message::Notify {
        notification: notification.to_owned(),
    };
    for client in [&one, &two] {
        assert_eq!(within(client.recv()).await.as_ref(), Some(&expected));
    }
    let id = server.sessions()[0].id();
    server.find(id).expect("it is open").close();
    assert!(server.drain(super::GUARD).await);
    for client in [&one, &two] {
        assert!(within(client.closed()).await.is_ok());
        assert_eq!(within(client.recv()).await, None);
    }
}
