//! Handler style, in virtual time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tidewire::{
    proto::{CloseCode, CloseFrame, Message, MessageRef, Prepared},
    ws::{Handler, Handlers, RecvError, Server, Session, WebSocket, connect},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

use crate::{
    driver::{Script, client, client_bytes, no_pings, server},
    server::config,
};

type Log = Arc<Mutex<Vec<String>>>;

/// Echoes, and writes down what it was told.
#[derive(Clone, Default)]
struct Echo(Log);

impl Echo {
    fn log(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
}

impl<S> Handler<S> for Echo
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    fn opened(&mut self, session: &mut Session<'_, S>) {
        self.log("opened");
        session.send_text("hello").unwrap();
    }

    fn message(&mut self, session: &mut Session<'_, S>, message: MessageRef<'_>) {
        self.log(String::from_utf8_lossy(message.payload()));
        if message.payload() == b"bye" {
            session.close(CloseCode(4000), "as you wish");
        } else {
            session.send(message.kind(), message.payload()).unwrap();
        }
    }

    fn ping(&mut self, _session: &mut Session<'_, S>, payload: &[u8]) {
        self.log(format!("ping {}", payload.len()));
    }

    fn pong(&mut self, _session: &mut Session<'_, S>, payload: &[u8]) {
        self.log(format!("pong {}", payload.len()));
    }

    fn drained(&mut self, _session: &mut Session<'_, S>) {
        self.log("drained");
    }

    fn closed(&mut self, outcome: Result<Option<&CloseFrame>, &RecvError>) {
        self.log(match outcome {
            Ok(frame) => format!("closed {:?}", frame.map(|frame| frame.code.0)),
            Err(error) => format!("failed {error}"),
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_sees_a_connection_from_beginning_to_end() {
    let (a, b) = duplex(1024);
    let handler = Echo::default();
    let running = tokio::spawn(server(a, no_pings()).run(handler.clone()));
    let mut client = client(b);
    assert_eq!(client.recv().await.unwrap(), Some(Message::text("hello")));
    client.ping(b"1234").await.unwrap();
    client.send("one").await.unwrap();
    assert_eq!(client.recv().await.unwrap(), Some(Message::text("one")));
    client.send("bye").await.unwrap();
    assert_eq!(client.recv().await.unwrap(), None);
    assert_eq!(client.close_frame().unwrap().reason, "as you wish");
    let frame = running.await.unwrap().unwrap().unwrap();
    assert_eq!(frame.code, CloseCode(4000));
    assert_eq!(
        *handler.0.lock().unwrap(),
        ["opened", "ping 4", "one", "bye", "closed Some(4000)"]
    );
}

#[tokio::test(start_paused = true)]
async fn answers_to_one_read_leave_in_one_write() {
    let script = Script::default();
    script.push(client_bytes(&["a", "b", "c"]));
    let running = server(script.clone(), no_pings()).run(Echo::default());
    timeout(Duration::from_secs(1), running).await.unwrap_err();
    let answers: Vec<u8> = ["a", "b", "c"]
        .iter()
        .flat_map(|text| Prepared::text(text).frame().to_vec())
        .collect();
    let greeting = Prepared::text("hello").frame().to_vec();
    assert_eq!(script.writes(), [greeting, answers]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_take_answers_is_not_read_from() {
    let (a, b) = duplex(1 << 10);
    let handler = Echo::default();
    let running = tokio::spawn(server(a, no_pings()).run(handler.clone()));
    let (mut read, mut write) = tokio::io::split(b);
    // 100 MB of questions, and nobody reads the answers.
    let question = client_bytes(&[&"x".repeat(10_000)]);
    let asking = tokio::spawn(async move {
        for _ in 0..10_000 {
            write.write_all(&question).await?;
        }
        std::io::Result::Ok(())
    });
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let handled = handler.0.lock().unwrap().len();
    assert!(
        handled < 20,
        "{handled} questions were handled, 64 KiB of answers are held"
    );
    // Then it asks no more and reads, and everything goes on.
    asking.abort();
    let mut sink = vec![0; 4096];
    while let Ok(Ok(1..)) = timeout(Duration::from_secs(1), read.read(&mut sink)).await {}
    let log = handler.0.lock().unwrap().clone();
    assert!(
        log.len() > handled && log.iter().any(|line| line == "drained"),
        "{}",
        log.len()
    );
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_broken_rule_ends_in_closed_with_the_reason() {
    let (a, mut b) = duplex(1024);
    let handler = Echo::default();
    let running = tokio::spawn(server(a, no_pings()).run(handler.clone()));
    b.write_all(b"\x83\x80\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    b.read_to_end(&mut answer).await.unwrap();
    assert!(answer.windows(2).any(|code| code == 1002_u16.to_be_bytes()));
    drop(b);
    assert!(matches!(
        running.await.unwrap(),
        Err(RecvError::Protocol(_))
    ));
    assert_eq!(
        handler.0.lock().unwrap().last().unwrap(),
        "failed the peer broke the protocol"
    );
}

#[tokio::test]
async fn a_route_in_handler_style_serves_many_connections() {
    let running = Server::new(config())
        .route(
            "/",
            Handlers(|_request: &tidewire::ws::Request| Echo::default()),
        )
        .start()
        .unwrap();
    for _ in 0..5 {
        let mut client = connect(&format!("ws://{}/", running.local_addr()))
            .await
            .unwrap();
        assert_eq!(client.recv().await.unwrap(), Some(Message::text("hello")));
        client.send(vec![7; 500_000]).await.unwrap();
        assert_eq!(
            client.recv().await.unwrap(),
            Some(Message::binary(vec![7; 500_000]))
        );
        client.close(CloseCode::NORMAL, "").await.unwrap();
    }
}

/// A handler can be given any stream.
fn _accepts(socket: WebSocket<DuplexStream>) -> impl Future {
    socket.run(Echo::default())
}
