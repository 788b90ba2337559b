//! Requests that are answered by somebody else: tunnels through a server to another one.

use std::sync::Arc;

use tidewire::{
    net::relay::{Relay, RelayLimits},
    ws::{
        Answer, Client, CloseCode, ConnectError, Established, Opening, Refusal, RunningServer,
        Server, ServerConfig, TunnelAnswer, WebSocket,
    },
};
use tokio::io::AsyncWriteExt as _;

/// A guard against hanging, no statement about speed.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let limit = std::time::Duration::from_mins(1);
    tokio::time::timeout(limit, work).await.unwrap()
}

fn plain(build: impl FnOnce(ServerConfig) -> Server) -> RunningServer {
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    build(config).start().unwrap()
}

async fn echo(mut socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// A server that asks `upstream` before it answers.
fn proxy(upstream: &RunningServer) -> RunningServer {
    let upstream = upstream.local_addr();
    let interceptor = move |opening: Opening| {
        Box::pin(async move { pass_on(opening, &format!("ws://{upstream}")).await }) as _
    };
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let server = Server::new(config).intercept(Arc::new(interceptor));
    server.start().unwrap()
}

async fn pass_on(opening: Opening, upstream: &str) -> Option<Established> {
    let path = opening.request().head.path().to_owned();
    let extensions = opening.request().head.values("sec-websocket-extensions");
    let extensions = extensions
        .last()
        .map(|value| String::from_utf8_lossy(value).into_owned());
    let client = Client::new(&format!("{upstream}{path}")).unwrap();
    match client.tunnel(extensions.as_deref()).await.unwrap() {
        TunnelAnswer::Open(tunnel) => {
            let answer = Answer {
                extensions: tunnel.extensions.as_deref(),
                ..Answer::default()
            };
            let stream = opening.accept_raw(&answer).await.ok()?;
            let mut relay = Relay::new(stream, tunnel.stream, RelayLimits::default());
            Some(Box::pin(async move {
                relay.run().await;
            }))
        }
        TunnelAnswer::Refused { head, .. } => {
            let refusal = Refusal::new(head.status(), "refused upstream");
            opening.refuse(&refusal).await.ok()?;
            None
        }
        TunnelAnswer::Silent(_) | _ => unreachable!(),
    }
}

#[tokio::test]
async fn a_tunnel_carries_messages_compression_and_the_close_from_end_to_end() {
    let upstream = plain(|mut config| {
        Arc::make_mut(&mut config.socket).deflate = Some(tidewire::ws::DeflateConfig::default());
        Server::new(config).route("/echo", echo)
    });
    let server = proxy(&upstream);
    let mut config = tidewire::ws::Config::default();
    config.deflate = Some(tidewire::ws::DeflateConfig::default());
    let url = format!("ws://{}/echo", server.local_addr());
    let client = Client::new(&url).unwrap().config(config);
    in_time(async {
        let mut socket = client.connect().await.unwrap();
        let text = "again and again ".repeat(1000);
        socket.send(text.as_str()).await.unwrap();
        assert_eq!(
            socket.recv().await.unwrap().unwrap().as_text(),
            Some(text.as_str())
        );
        let code = CloseCode(4321);
        let answer = socket.close(code, "enough").await.unwrap().unwrap();
        assert_eq!(answer.code, code);
    })
    .await;
    assert_eq!(server.stats().opened, 1);
}

#[tokio::test]
async fn the_refusal_of_the_upstream_reaches_the_client() {
    let upstream = plain(|config| Server::new(config).route("/echo", echo));
    let server = proxy(&upstream);
    let url = format!("ws://{}/other", server.local_addr());
    let refused = in_time(tidewire::ws::connect(&url)).await.unwrap_err();
    assert!(refused.status() == Some(404), "{refused:?}");
}

#[tokio::test]
async fn an_answer_without_proof_opens_no_tunnel() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let client = Client::new(&url).unwrap();
        let fake = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let (opened, _stream) = in_time(async { tokio::join!(client.tunnel(None), fake) }).await;
        assert!(
            matches!(opened, Err(ConnectError::Handshake(_))),
            "{opened:?}"
        );
    }
}

#[tokio::test]
async fn listeners_are_handed_to_a_successor_without_losing_a_connection() {
    let build = |config| Server::new(config).route("/echo", echo);
    let mut first = plain(build);
    let address = first.local_addr();
    let listeners = first
        .listeners()
        .iter()
        .map(|listener| listener.try_clone().unwrap());
    let listeners: Vec<_> = listeners.collect();
    first.start_drain();
    // Nobody accepts now; the system keeps the connection for the successor.
    let waiting = tokio::net::TcpStream::connect(address).await.unwrap();
    let second = build(ServerConfig::new(address.into()))
        .start_on(listeners)
        .unwrap();
    assert_eq!(second.local_addr(), address);
    drop(waiting);
    let url = format!("ws://{address}/echo");
    in_time(async {
        let mut socket = tidewire::ws::connect(&url).await.unwrap();
        socket.send("x").await.unwrap();
        socket.recv().await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn another_configuration_is_for_new_connections_and_leaves_the_others() {
    let mut config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    let mut running = Server::new(config.clone())
        .route("/echo", echo)
        .start()
        .unwrap();
    let address = running.local_addr();
    let mut old = in_time(tidewire::ws::connect(&format!("ws://{address}/echo"))).await;
    let old = old.as_mut().unwrap();
    config.limits.connections_max = 2;
    running.reconfigure(&Server::new(config).route("/other", echo));

    let gone = in_time(tidewire::ws::connect(&format!("ws://{address}/echo"))).await;
    assert!(
        matches!(&gone, Err(error) if error.status() == Some(404)),
        "{gone:?}"
    );
    let url = format!("ws://{address}/other");
    // The refused one may still be counted for a moment.
    let _new = in_time(async {
        loop {
            if let Ok(socket) = tidewire::ws::connect(&url).await {
                return socket;
            }
        }
    })
    .await;
    let full = in_time(tidewire::ws::connect(&url)).await;
    assert!(
        matches!(&full, Err(error) if error.status() == Some(503)),
        "{full:?}"
    );
    running.stop_accepting();
    in_time(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        old.send("x").await.unwrap();
        old.recv().await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_opening_goes_on_while_nothing_more_is_accepted() {
    let (asked, mut arrivals) = tokio::sync::mpsc::channel(1);
    let go_on = Arc::new(tokio::sync::Notify::new());
    let wait = Arc::clone(&go_on);
    let interceptor = Arc::new(move |opening: Opening| {
        let (asked, wait) = (asked.clone(), Arc::clone(&wait));
        Box::pin(async move {
            asked.send(()).await.unwrap();
            wait.notified().await;
            let answer = Answer::default();
            let mut socket = opening.accept(&answer, None).await.ok()?;
            let session = async move { while let Ok(Some(_)) = socket.recv().await {} };
            Some(Box::pin(session) as Established)
        }) as _
    });
    let mut running = plain(|config| Server::new(config).intercept(interceptor));
    let url = format!("ws://{}/", running.local_addr());
    let connecting = tokio::spawn(async move { tidewire::ws::connect(&url).await });
    in_time(arrivals.recv()).await.unwrap();
    running.stop_accepting();
    go_on.notify_one();
    let mut socket = in_time(connecting).await.unwrap().unwrap();
    socket.close(CloseCode::NORMAL, "").await.ok();
    in_time(running.ended()).await;
}
