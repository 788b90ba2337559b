//! WebSockets on streams that the caller has: pipes, and a connection that axum has accepted.

use std::{io, time::Duration};

use tidewire::ws::{AcceptError, Acceptor, Client, ConnectError, Message, accept, connect_with};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    net::{TcpListener, TcpStream},
};

#[path = "../../examples/axum_upgrade/echo.rs"]
mod echo;

#[tokio::test(start_paused = true)]
async fn both_ends_open_on_a_pipe_and_agree() {
    let (near, far) = duplex(64);
    let client = Client::new("ws://pipe.example/chat?id=1").unwrap();
    let client = client.subprotocol("a").subprotocol("b");
    let acceptor = Acceptor::new().subprotocol("b");
    let (client, server) = tokio::join!(client.connect_with(near), acceptor.accept_with_head(far));
    let (mut client, (mut server, head)) = (client.unwrap(), server.unwrap());
    assert_eq!((head.path(), head.query()), ("/chat", Some("id=1")));
    assert_eq!(
        (client.subprotocol(), server.subprotocol()),
        (Some("b"), Some("b"))
    );
    client.send("hello").await.unwrap();
    assert_eq!(server.recv().await.unwrap(), Some(Message::text("hello")));
}

#[tokio::test(start_paused = true)]
async fn one_line_opens_each_end_with_defaults() {
    let (near, far) = duplex(4096);
    let (client, server) = tokio::join!(connect_with("ws://pipe.example/", near), accept(far));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    server.send(b"bytes".to_vec()).await.unwrap();
    let received = client.recv().await.unwrap().unwrap();
    assert_eq!(&received.payload()[..], b"bytes");
}

#[tokio::test(start_paused = true)]
async fn frames_right_behind_the_request_are_not_lost() {
    let (mut near, far) = duplex(4096);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let frame = b"\x81\x82\0\0\0\0hi";
    let bytes = [request.as_bytes(), frame].concat();
    near.write_all(&bytes).await.unwrap();
    let mut server = accept(far).await.unwrap();
    assert_eq!(server.recv().await.unwrap(), Some(Message::text("hi")));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_none_is_answered_and_told() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("what?\r\n\r\n", 400),
    ] {
        let (mut near, far) = duplex(4096);
        near.write_all(request.as_bytes()).await.unwrap();
        match accept(far).await.unwrap_err() {
            AcceptError::Refused(refusal) => assert_eq!(refusal.status, status, "{request}"),
            AcceptError::Lost(_) | AcceptError::TimedOut | _ => panic!("not told: {request}"),
        }
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_both_sides_at_their_deadline() {
    let (near, far) = duplex(4096);
    let acceptor = Acceptor::new().handshake_timeout(Duration::from_secs(3));
    assert!(matches!(
        acceptor.accept(near).await,
        Err(AcceptError::TimedOut)
    ));
    drop(far);
    let (near, _far) = duplex(4096);
    let refused = connect_with("ws://pipe.example/", near).await;
    assert!(matches!(refused, Err(ConnectError::TimedOut)));
}

#[test]
fn parts_of_a_request_cannot_smuggle_a_field() {
    let acceptor = Acceptor::new();
    for (target, name, value) in [
        ("/ HTTP/1.1\r\nX:", "Host", "a"),
        ("/", "Host: a\r\nX", "a"),
        ("/", "X:", "a"),
        ("/", "X", "a\r\nHost: b"),
        ("/", "X", "a\0"),
    ] {
        let answer = acceptor.answer("GET", target, [(name, value.as_bytes())]);
        assert_eq!(answer.unwrap_err().status, 400, "{name:?}: {value:?}");
    }
}

#[tokio::test]
async fn a_route_of_axum_becomes_a_websocket() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async { axum::serve(listener, echo::router()).await });
    let client = Client::new(&format!("ws://{address}/echo")).unwrap();
    let mut socket = client.subprotocol("echo").connect().await.unwrap();
    assert_eq!(socket.subprotocol(), Some("echo"));
    socket.send("through hyper").await.unwrap();
    assert_eq!(
        socket.recv().await.unwrap(),
        Some(Message::text("through hyper"))
    );

    let mut plain = TcpStream::connect(address).await?;
    let request = format!("GET /echo HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    plain.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    server.abort();
    Ok(())
}
