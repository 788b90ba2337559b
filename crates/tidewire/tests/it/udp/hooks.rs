//! In which order a handler and an observer are called.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tidewire::udp::{
    DatagramRef, Group, Handler, Observer, RecvError, Sender, Server, Session, SocketError,
};

use super::{client, config, drain, receive};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observer<Sender> for Log {
    fn started(&self) {
        self.add("server started");
    }

    fn stopped(&self) {
        self.add("server stopped");
    }

    fn connected(&self, _: &Sender) {
        self.add("socket served");
    }

    fn disconnected(&self, _: &Sender) {
        self.add("socket over");
    }

    fn error(&self, error: &(dyn std::error::Error + 'static)) {
        assert!(error.is::<SocketError>());
        self.add("failed: told to the observer");
    }
}

impl Handler for Log {
    fn opened(&mut self, _: &mut Session<'_>) {
        self.add("opened");
    }

    fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>) {
        let text = str::from_utf8(datagram.payload).unwrap();
        self.add(format!("received {text}"));
        match text {
            "join" => session.join(&group()).unwrap(),
            "leave" => session.leave(&group()).unwrap(),
            _ => {}
        }
        session.reply(text.to_uppercase().as_bytes()).unwrap();
    }

    fn sent(&mut self, _: &mut Session<'_>, _: SocketAddr, bytes: usize) {
        self.add(format!("sent {bytes}"));
    }

    fn drained(&mut self, session: &mut Session<'_>) {
        assert_eq!(session.queued(), 0);
        self.add("drained");
    }

    fn failed(&mut self, _: &mut Session<'_>, error: &SocketError) {
        self.add(format!("failed: {}", error.error.kind()));
    }

    fn joined(&mut self, _: &mut Session<'_>, group: &Group) {
        self.add(format!("joined {group}"));
    }

    fn left(&mut self, _: &mut Session<'_>, group: &Group) {
        self.add(format!("left {group}"));
    }

    fn closed(&mut self, outcome: Result<(), &RecvError>) {
        assert!(outcome.is_ok());
        self.add("closed");
    }
}

fn group() -> Group {
    Group::new([239, 255, 0, 77]).interface("lo")
}

#[tokio::test]
async fn hooks_are_called_in_the_order_that_is_documented() {
    let log = Log::default();
    let of_handler = log.clone();
    let first = Group::new([239, 255, 0, 76]).interface("lo");
    let config = config("127.0.0.1:0").group(first);
    let server = Server::handlers(config, move |_| of_handler.clone())
        .observe(Arc::new(log.clone()))
        .start()
        .unwrap();
    assert_eq!(log.take(), ["server started"]);

    let mut socket = client(server.local_addr()).await;
    socket.send(b"one").await.unwrap();
    socket.send(b"four").await.unwrap();
    assert_eq!(&receive(&mut socket).await.payload[..], b"ONE");
    assert_eq!(&receive(&mut socket).await.payload[..], b"FOUR");
    assert_eq!(
        log.take(),
        [
            "socket served",
            "opened",
            "joined 239.255.0.76 on interface lo",
            "drained",
            "received one",
            "received four",
            "sent 3",
            "sent 4",
        ]
    );

    for text in ["join", "leave"] {
        socket.send(text.as_bytes()).await.unwrap();
        receive(&mut socket).await;
    }
    // The answer may be here before the call about the group.
    socket.send(b"end").await.unwrap();
    receive(&mut socket).await;
    assert_eq!(
        log.take(),
        [
            "received join",
            "sent 4",
            "joined 239.255.0.77 on interface lo",
            "received leave",
            "sent 5",
            "left 239.255.0.77 on interface lo",
            "received end",
            "sent 3",
        ]
    );

    socket.send(b"gone").await.unwrap();
    drop(socket);
    drain(server).await;
    let mut last = log.take();
    // The system tells of the lost answer, or the drain is over before.
    last.retain(|it| !it.starts_with("failed"));
    assert_eq!(
        last,
        [
            "received gone",
            "sent 4",
            "closed",
            "socket over",
            "server stopped"
        ]
    );
}
