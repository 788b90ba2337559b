//! Servers and clients over loopback sockets.

use std::{num::NonZeroUsize, pin::Pin, time::Duration};

use tidewire::{
    proto::CloseCode,
    service::Workers,
    ws::{
        AcceptFuture, Client, ConnectError, Decision, Endpoint, Message, RecvError, Refusal,
        Request, RunningServer, Server, ServerConfig, WebSocket, connect,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) fn config() -> ServerConfig {
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into());
    config.workers = Workers::Pool;
    config
}

pub(crate) async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

fn start(config: ServerConfig) -> RunningServer {
    Server::new(config).route("/echo", echo).start().unwrap()
}

fn url(server: &RunningServer) -> String {
    format!("ws://{}/echo", server.local_addr())
}

/// Writes raw bytes and reads until the server ends the connection.
async fn raw(server: &RunningServer, request: &str) -> String {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

pub(crate) const UPGRADE: &str = "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn messages_are_echoed_in_both_scaling_designs() {
    for workers in [
        Workers::Pool,
        Workers::PerCore(NonZeroUsize::new(2).unwrap()),
    ] {
        let mut config = config();
        config.workers = workers;
        let server = start(config);
        for _ in 0..8 {
            let mut socket = connect(&url(&server)).await.unwrap();
            for message in [
                Message::text("κόσμε"),
                Message::binary(vec![7; 300_000]),
                Message::text(""),
            ] {
                socket.send(message.clone()).await.unwrap();
                assert_eq!(socket.recv().await.unwrap(), Some(message));
            }
            socket.close(CloseCode::NORMAL, "").await.unwrap();
        }
        assert_eq!(server.stats().opened, 8);
        assert!(server.drain(Duration::from_secs(30)).await);
    }
}

#[tokio::test]
async fn a_frame_in_the_same_segment_as_the_request_is_not_lost() {
    let server = start(config());
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let early = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; // "Hello", masked as in RFC 6455 section 5.7
    stream
        .write_all(&[UPGRADE.as_bytes(), early].concat())
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x81\x05Hello") {
        answer.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn what_is_no_websocket_here_is_refused_with_a_reason() {
    let server = start(config());
    for (request, status) in [
        (UPGRADE.replace("/echo", "/other"), "404"),
        (UPGRADE.replace("Version: 13", "Version: 12"), "426"),
        (UPGRADE.replace("Upgrade: websocket\r\n", ""), "426"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(20_000)),
            "431",
        ),
    ] {
        let answer = raw(&server, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request:.40}: {answer}"
        );
    }
    let error = connect(&url(&server).replace("/echo", "/other"))
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(404), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_dripped_or_never_comes_is_cut_at_the_deadline() {
    let server = start(config());
    for sent in ["", "GET /echo HT"] {
        assert_eq!(raw(&server, sent).await, "");
    }
    assert_eq!(server.stats().refused, 2);
}

#[tokio::test]
async fn connections_above_the_limits_get_503() {
    let mut config = config();
    config.limits.connections_max = 3;
    config.limits.per_ip_max = 2;
    let server = start(config);
    let first = connect(&url(&server)).await.unwrap();
    let _second = connect(&url(&server)).await.unwrap();
    let error = connect(&url(&server)).await.unwrap_err();
    assert_eq!(error.status(), Some(503), "{error:?}");
    // Each client is told another time of up to ten seconds.
    let told = error.retry_after().unwrap();
    assert!((1..=10).contains(&told.as_secs()), "{told:?}");
    drop(first);
    // The place is free as soon as the server has noticed.
    while connect(&url(&server)).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_drain_closes_everyone_with_1001_and_refuses_newcomers() {
    let server = start(config());
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(connect(&url(&server)).await.unwrap());
    }
    let url = url(&server);
    let clients = tokio::spawn(async move {
        for mut socket in sockets {
            assert_eq!(socket.recv().await.unwrap(), None);
            assert_eq!(socket.close_frame().unwrap().code, CloseCode::GOING_AWAY);
        }
    });
    assert!(
        server.drain(Duration::from_secs(30)).await,
        "nobody had to be aborted"
    );
    clients.await.unwrap();
    assert!(matches!(
        connect(&url).await.unwrap_err(),
        ConnectError::Io { .. }
    ));
}

#[tokio::test]
async fn a_handler_that_does_not_listen_is_aborted_at_the_drain_deadline() {
    let server = Server::new(config())
        .route("/deaf", |socket: WebSocket| async move {
            std::future::pending::<()>().await;
            drop(socket);
        })
        .start()
        .unwrap();
    let _socket = connect(&format!("ws://{}/deaf", server.local_addr()))
        .await
        .unwrap();
    assert!(!server.drain(Duration::from_millis(10)).await);
}

#[tokio::test]
async fn a_reset_connection_is_noticed() {
    let (noticed, mut notice) = tokio::sync::mpsc::channel(1);
    let server = Server::new(config())
        .route("/", move |mut socket: WebSocket| {
            let noticed = noticed.clone();
            async move { noticed.send(socket.recv().await).await.unwrap() }
        })
        .start()
        .unwrap();
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream
        .write_all(UPGRADE.replace("/echo", "/").as_bytes())
        .await
        .unwrap();
    stream.read_u8().await.unwrap();
    drop(stream); // with unread bytes: the system resets the connection
    let result = notice.recv().await.unwrap();
    assert!(
        matches!(result, Err(RecvError::Io(_) | RecvError::Lost)),
        "{result:?}"
    );
}

struct Picky;

impl Endpoint for Picky {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        if request.head.query() != Some("please") {
            return Refusal::new(403, "say please").into();
        }
        Decision::new().subprotocol("v2").subprotocol("v1").into()
    }

    fn serve(
        &self,
        mut socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let about = format!(
                "{:?} {}",
                socket.subprotocol(),
                request.head.single("x-name").is_some()
            );
            socket.send(about).await.ok();
            socket.close(CloseCode::NORMAL, "").await.ok();
        })
    }
}

#[tokio::test]
async fn an_endpoint_sees_the_request_and_chooses_the_subprotocol() {
    let server = Server::new(config()).route("/", Picky).start().unwrap();
    let base = format!("ws://{}/", server.local_addr());
    assert_eq!(connect(&base).await.unwrap_err().status(), Some(403));
    let client = Client::new(&format!("{base}?please"))
        .unwrap()
        .header("X-Name", "a")
        .subprotocol("v1")
        .subprotocol("v3");
    let mut socket = client.connect().await.unwrap();
    assert_eq!(socket.subprotocol(), Some("v1"));
    assert_eq!(
        socket.recv().await.unwrap(),
        Some(Message::text("Some(\"v1\") true"))
    );
}

#[tokio::test]
async fn a_frame_in_the_same_segment_as_the_101_is_not_lost() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        let key = request
            .split("Sec-WebSocket-Key: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next())
            .unwrap();
        let accept = tidewire::proto::handshake::accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        let mut bytes = answer.into_bytes();
        bytes.extend_from_slice(b"\x81\x05early");
        stream.write_all(&bytes).await.unwrap();
        stream
    });
    let mut socket = connect(&format!("ws://{address}/")).await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some(Message::text("early")));
    drop(server.await.unwrap());
    let error = socket.recv().await.unwrap_err();
    assert!(
        matches!(error, RecvError::Lost | RecvError::Io(_)),
        "{error:?}"
    );
}

/// An endpoint that tells its clients something in the answer.
struct TellingMore;

impl Endpoint for TellingMore {
    fn accept<'a>(&'a self, _request: &'a Request) -> AcceptFuture<'a> {
        Decision::new().header("X-Told", "yes").into()
    }

    fn serve(
        &self,
        mut socket: WebSocket,
        _request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { while let Ok(Some(_)) = socket.recv().await {} })
    }
}

#[tokio::test]
async fn a_client_reads_the_fields_of_the_endpoint_in_the_answer() {
    let running = Server::new(config())
        .route("/", TellingMore)
        .start()
        .unwrap();
    let target = Client::new(&format!("ws://{}/", running.local_addr())).unwrap();
    let (mut socket, head) = target.connect_with_head().await.unwrap();
    let told: Vec<_> = head.values("x-told").collect();
    assert_eq!(told, [b"yes"]);
    socket.close(CloseCode::NORMAL, "").await.unwrap();
}
