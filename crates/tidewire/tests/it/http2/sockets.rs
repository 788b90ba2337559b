//! Our client against our server: what endpoints and applications see.

use std::{num::NonZeroUsize, pin::Pin, time::Duration};

use tidewire::{
    proto::CloseCode,
    service::Workers,
    ws::{
        AcceptFuture, Client, ConnectError, Decision, Endpoint, Kind, Message, RecvError, Refusal,
        Request, Server, WebSocket,
    },
};
use tokio::sync::mpsc;

use super::{client, connect, echoes, start, start_with, until, within};

#[tokio::test]
async fn messages_of_all_kinds_are_echoed_on_many_sockets_of_one_connection() {
    for workers in [
        Workers::Pool,
        Workers::PerCore(NonZeroUsize::new(2).unwrap()),
    ] {
        let server = start_with(|config| config.workers = workers);
        let connection = connect(&server).await;
        let mut sockets = Vec::new();
        for _ in 0..50 {
            sockets.push(connection.open(&client(&server, "/echo")).await.unwrap());
        }
        for socket in &mut sockets {
            echoes(socket, "κόσμε").await;
            echoes(socket, "").await;
            echoes(socket, vec![7; 300_000]).await;
        }
        assert_eq!(server.stats().sessions, 50);
        for mut socket in sockets {
            let frame = within(socket.close(CloseCode::NORMAL, "")).await.unwrap();
            assert_eq!(frame.unwrap().code, CloseCode::NORMAL);
        }
        until(|| server.stats().sessions == 0).await;
        drop(connection);
        assert!(server.drain(Duration::from_secs(30)).await);
    }
}

#[tokio::test]
async fn many_messages_in_a_row_come_back_in_order() {
    let server = start();
    let mut socket = client(&server, "/echo").http2().connect().await.unwrap();
    let sender = socket.sender();
    let sending = tokio::spawn(async move {
        for number in 0..10_000 {
            sender.send(format!("{number}")).await.unwrap();
        }
    });
    for number in 0..10_000 {
        let message = within(socket.recv()).await.unwrap();
        assert_eq!(message, Some(Message::text(format!("{number}"))));
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn a_message_in_fragments_arrives_whole() {
    let server = start();
    let mut socket = client(&server, "/echo").http2().connect().await.unwrap();
    let mut message = socket.start_message(Kind::Binary);
    for piece in 0..20 {
        message.write(&[piece; 5000]).await.unwrap();
    }
    message.finish().await.unwrap();
    let expected: Vec<u8> = (0..20).flat_map(|piece| [piece; 5000]).collect();
    assert_eq!(
        within(socket.recv()).await.unwrap(),
        Some(Message::binary(expected))
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
            let host = request.head.single("host").unwrap_or_default();
            let about = format!(
                "{:?} {:?} {} {}",
                socket.subprotocol(),
                request.head.single("x-name"),
                String::from_utf8_lossy(host),
                socket.peer().address.is_some(),
            );
            socket.send(about).await.ok();
            socket.close(CloseCode::NORMAL, "").await.ok();
        })
    }
}

#[tokio::test]
async fn the_same_endpoint_serves_both_versions_alike() {
    let mut config = crate::server::config();
    config.http2 = true;
    let server = Server::new(config).route("/", Picky).start().unwrap();
    let mut told = Vec::new();
    for with_http2 in [false, true] {
        let version = |client: Client| {
            if with_http2 { client.http2() } else { client }
        };
        let refused = version(client(&server, "/")).connect().await.unwrap_err();
        assert_eq!(refused.status(), Some(403), "{refused:?}");
        let missing = version(client(&server, "/x")).connect().await.unwrap_err();
        assert_eq!(missing.status(), Some(404), "{missing:?}");
        let client = version(client(&server, "/?please"))
            .header("X-Name", "a")
            .subprotocol("v1")
            .subprotocol("v3");
        let mut socket = client.connect().await.unwrap();
        assert_eq!(socket.subprotocol(), Some("v1"));
        told.push(within(socket.recv()).await.unwrap().unwrap());
        assert_eq!(within(socket.recv()).await.unwrap(), None, "closed");
    }
    assert_eq!(told[0], told[1]);
    let expected = format!("Some(\"v1\") Some([97]) {} true", server.local_addr());
    assert_eq!(told[0], Message::text(expected));
}

#[tokio::test]
async fn a_drain_closes_everyone_with_1001() {
    let server = start();
    let connection = connect(&server).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(connection.open(&client(&server, "/echo")).await.unwrap());
    }
    let clients = tokio::spawn(async move {
        for mut socket in sockets {
            assert_eq!(socket.recv().await.unwrap(), None);
            assert_eq!(socket.close_frame().unwrap().code, CloseCode::GOING_AWAY);
        }
    });
    assert!(
        within(server.drain(Duration::from_secs(30))).await,
        "nobody had to be aborted"
    );
    within(clients).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_a_drain_up() {
    let server = start();
    let _connection = connect(&server).await;
    assert!(within(server.drain(Duration::from_secs(30))).await);
}

#[tokio::test]
async fn a_dropped_socket_is_a_reset_for_the_other_end_and_nobody_else() {
    let (noticed, mut notice) = mpsc::channel(1);
    let mut config = crate::server::config();
    config.http2 = true;
    let server = super::server(config)
        .route("/notice", move |mut socket: WebSocket| {
            let noticed = noticed.clone();
            async move { noticed.send(socket.recv().await).await.unwrap() }
        })
        .start()
        .unwrap();
    let connection = connect(&server).await;
    let mut neighbour = connection.open(&client(&server, "/echo")).await.unwrap();

    let ours = connection.open(&client(&server, "/notice")).await.unwrap();
    drop(ours);
    let seen = within(notice.recv()).await.unwrap().unwrap_err();
    let RecvError::Io(error) = &seen else {
        panic!("expected a reset, got {seen:?}");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let mut aborted = connection.open(&client(&server, "/abort")).await.unwrap();
    let seen = within(aborted.recv()).await.unwrap_err();
    assert!(matches!(seen, RecvError::Io(_)), "{seen:?}");
    let sent = within(async {
        while aborted.send("too late").await.is_ok() {}
        aborted.send("again").await
    });
    assert!(sent.await.is_err());

    echoes(&mut neighbour, "unharmed").await;
}

#[tokio::test]
async fn the_connection_ends_with_its_last_socket() {
    let server = start();
    let connection = connect(&server).await;
    let mut first = connection.open(&client(&server, "/echo")).await.unwrap();
    let second = connection.open(&client(&server, "/echo")).await.unwrap();
    drop((connection, second));
    until(|| server.stats().sessions == 1).await;
    echoes(&mut first, "still here").await;
    drop(first);
    until(|| server.stats().connections == 0).await;
}

#[tokio::test]
async fn a_connection_leads_to_one_origin_only() {
    let (server, other) = (start(), start());
    let connection = connect(&server).await;
    let error = connection.open(&client(&other, "/echo")).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::OtherOrigin { .. }),
        "{error:?}"
    );
}

#[cfg(feature = "deflate")]
#[tokio::test]
async fn compression_is_agreed_on_and_used() {
    let mut socket_config = tidewire::ws::Config::default();
    socket_config.deflate = Some(tidewire::ws::DeflateConfig::default());
    let config = socket_config.clone();
    let server = start_with(|server| server.socket = std::sync::Arc::new(config));
    let client = client(&server, "/echo").http2().config(socket_config);
    let mut socket = client.connect().await.unwrap();
    echoes(&mut socket, "a".repeat(60_000)).await;
    let stats = server.traffic();
    assert!(stats.total.bytes_sent < 10_000, "{stats:?}");
}
