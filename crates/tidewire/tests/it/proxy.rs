//! Clients behind proxies: small real proxies over loopback sockets.

use std::{error::Error, net::SocketAddr, time::Duration};

use tidewire::{
    proto::proxy::{Credentials, ProxyEnvironment, SocksReply, TunnelError},
    ws::{
        AcceptFuture, Client, ConnectError, Endpoint, Message, Proxy, ProxyError, Refusal, Request,
        RunningServer, Server, Url, WebSocket,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use crate::{
    server::{config, echo},
    tls::Authority,
};

/// A proxy that serves every connection by `serve`.
async fn proxy<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}

async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Writes byte by byte, so that the client reads in many pieces.
async fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    for byte in bytes {
        stream.write_u8(*byte).await.unwrap();
        tokio::task::yield_now().await;
    }
}

async fn join(mut client: TcpStream, server: SocketAddr) {
    let mut server = TcpStream::connect(server).await.unwrap();
    copy_bidirectional(&mut client, &mut server).await.ok();
}

/// An HTTP proxy that knows where `chat.example` is and wants user:pass.
async fn http_proxy(server: SocketAddr) -> SocketAddr {
    proxy(move |mut client| async move {
        let head = read_head(&mut client).await;
        let target = format!("chat.example:{}", server.port());
        let begin = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        assert!(head.starts_with(&begin), "{head}");
        if !head.contains("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n") {
            let answer = b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n\r\n";
            client.write_all(answer).await.unwrap();
            return;
        }
        drip(&mut client, b"HTTP/1.0 200 OK\r\nVia: test\r\n\r\n").await;
        join(client, server).await;
    })
    .await
}

/// The same in SOCKS5.
async fn socks_proxy(server: SocketAddr) -> SocketAddr {
    proxy(move |mut client| async move {
        if read(&mut client, 3).await == b"\x05\x01\x00" {
            client.write_all(b"\x05\xff").await.unwrap();
            return;
        }
        assert_eq!(read(&mut client, 1).await, b"\x02");
        drip(&mut client, b"\x05\x02").await;
        assert_eq!(read(&mut client, 11).await, b"\x01\x04user\x04pass");
        drip(&mut client, b"\x01\x00").await;
        assert_eq!(
            read(&mut client, 17).await,
            b"\x05\x01\x00\x03\x0cchat.example"
        );
        assert_eq!(client.read_u16().await.unwrap(), server.port());
        drip(&mut client, b"\x05\x00\x00\x03\x04host\x00\x50").await;
        join(client, server).await;
    })
    .await
}

fn start() -> RunningServer {
    Server::new(config()).route("/", echo).start().unwrap()
}

/// A client for a name that only the proxy knows.
fn client(server: &RunningServer, proxy: &str) -> Client {
    let url = format!("ws://chat.example:{}/", server.local_addr().port());
    Client::new(&url).unwrap().proxy(Proxy::new(proxy).unwrap())
}

async fn is_echoed(mut socket: WebSocket) {
    socket.send("through").await.unwrap();
    let message = socket.recv().await.unwrap();
    assert_eq!(message, Some(Message::text("through")));
}

/// What a client says when its proxy answers anything with `answer`, then ends.
async fn failure(scheme: &str, answer: &'static [u8]) -> ConnectError {
    let address = proxy(move |mut client| async move {
        read(&mut client, 3).await;
        client.write_all(answer).await.unwrap();
        client.shutdown().await.ok();
        // Reads the rest: unread bytes would reset the connection before the answer is read.
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.ok();
    })
    .await;
    let client = Client::new("ws://chat.example/").unwrap();
    let proxy = Proxy::new(&format!("{scheme}://{address}")).unwrap();
    client.proxy(proxy).connect().await.unwrap_err()
}

#[track_caller]
fn proxy_error(error: ConnectError) -> ProxyError {
    let text = format!("{error:?}");
    let ConnectError::Proxy { source, .. } = error else {
        panic!("expected blame on the proxy, got {text}");
    };
    source
}

#[tokio::test]
async fn a_websocket_goes_through_http_and_socks_proxies_with_credentials() {
    let server = start();
    let http = http_proxy(server.local_addr()).await;
    let socks = socks_proxy(server.local_addr()).await;
    for (scheme, address) in [("http", http), ("socks5", socks), ("socks5h", socks)] {
        let good = client(&server, &format!("{scheme}://user:pass@{address}"));
        is_echoed(good.connect().await.unwrap()).await;
        let none = client(&server, &format!("{scheme}://{address}"));
        let error = proxy_error(none.connect().await.unwrap_err());
        assert!(
            matches!(error, ProxyError::Tunnel(TunnelError::Unauthorized)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn wss_goes_through_proxies_with_tls_up_to_the_server() {
    let authority = Authority::new();
    let mut config = config();
    config.tls = Some(authority.server_called("chat.example"));
    let server = Server::new(config).route("/", echo).start().unwrap();
    let url = format!("wss://chat.example:{}/", server.local_addr().port());
    for proxy in [
        format!("http://{}", http_proxy(server.local_addr()).await),
        format!("socks5://{}", socks_proxy(server.local_addr()).await),
    ] {
        let login = Credentials::new("user", "pass");
        let client = Client::new(&url)
            .unwrap()
            .proxy(Proxy::with_credentials(&proxy, login).unwrap())
            .tls(authority.client());
        is_echoed(client.connect().await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_proxys_refusal_is_told_and_blamed_on_the_proxy() {
    use TunnelError::{Reply, Status, Unexpected};
    for (scheme, answer, expected) in [
        (
            "http",
            &b"HTTP/1.1 502 Bad Gateway\r\n\r\n"[..],
            Status(502),
        ),
        (
            "http",
            b"SSH-2.0-OpenSSH\r\n",
            Unexpected("an HTTP/1 answer"),
        ),
        (
            "socks5",
            b"\x05\x00\x05\x05",
            Reply(SocksReply::ConnectionRefused),
        ),
        (
            "socks5",
            b"HTTP/1.1 400 Bad\r\n\r\n",
            Unexpected("SOCKS version 5"),
        ),
    ] {
        let error = failure(scheme, answer).await;
        assert!(error.to_string().contains("through the proxy"), "{error}");
        let error = proxy_error(error);
        assert!(
            matches!(&error, ProxyError::Tunnel(error) if *error == expected),
            "expected {expected:?}, got {error:?}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_ends_the_connection_is_blamed() {
    for (scheme, answer) in [
        ("http", &b""[..]),
        ("http", b"HTTP/1.1 200 OK\r\n"),
        ("socks5", b""),
        ("socks5", b"\x05\x00\x05\x00\x00\x01\x7f"),
    ] {
        let error = proxy_error(failure(scheme, answer).await);
        assert!(matches!(error, ProxyError::Lost(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_without_its_credentials() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::new(&format!("http://alice:secret@{address}")).unwrap();
    let client = Client::new("ws://chat.example/").unwrap().proxy(proxy);
    let error = client.connect().await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(&format!("proxy http://{address}")),
        "{error}"
    );
    let printed = format!("{error:?} {error} {:?} {client:?}", error.source());
    assert!(!printed.contains("alice") && !printed.contains("secret"));
    assert!(matches!(proxy_error(error), ProxyError::Unreachable(_)));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_silent_or_drips_without_end_is_left_at_the_deadline() {
    let within = Duration::from_secs(7);
    let silent = proxy(|mut client| async move {
        read(&mut client, 3).await;
        std::future::pending::<()>().await;
    })
    .await;
    let dripping = proxy(|mut client| async move {
        client.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.ok();
        while client.write_all(b"a").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    for proxy in [
        format!("http://{silent}"),
        format!("socks5://{silent}"),
        format!("http://{dripping}"),
    ] {
        let start = Instant::now();
        let client = Client::new("ws://chat.example/").unwrap();
        let client = client
            .connect_timeout(within)
            .proxy(Proxy::new(&proxy).unwrap());
        let error = proxy_error(client.connect().await.unwrap_err());
        assert!(matches!(error, ProxyError::TimedOut), "{error:?}");
        let took = start.elapsed();
        assert!(took >= within && took < within + Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_behind_a_proxy_is_not_blamed_on_the_proxy() {
    let within = Duration::from_secs(7);
    let address = proxy(|mut client| async move {
        read_head(&mut client).await;
        sleep(Duration::from_secs(3)).await;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        read_head(&mut client).await;
        std::future::pending::<()>().await;
    })
    .await;
    let start = Instant::now();
    let client = Client::new("ws://chat.example/").unwrap();
    let client = client
        .connect_timeout(within)
        .proxy(Proxy::new(&format!("http://{address}")).unwrap());
    let error = client.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut), "{error:?}");
    let took = start.elapsed();
    assert!(
        took >= within && took < within + Duration::from_secs(1),
        "one deadline for all: {took:?}"
    );
}

#[tokio::test]
async fn bytes_behind_the_proxys_answer_are_the_servers() {
    for (scheme, answer) in [
        (
            "http",
            &b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 418 Teapot\r\n\r\n"[..],
        ),
        (
            "socks5",
            b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0HTTP/1.1 418 Teapot\r\n\r\n",
        ),
    ] {
        let error = failure(scheme, answer).await;
        assert!(error.status() == Some(418), "{scheme}: {error:?}");
    }
}

#[tokio::test]
async fn the_environment_decides_which_addresses_go_through_the_proxy() {
    let server = start();
    let http = http_proxy(server.local_addr()).await;
    let environment = ProxyEnvironment::read(|name| match name {
        "http_proxy" => Some(format!("http://user:pass@{http}")),
        "no_proxy" => Some("127.0.0.0/8".into()),
        _ => None,
    })
    .unwrap();
    let port = server.local_addr().port();
    // The proxy would refuse the second: it knows the first only.
    for host in ["chat.example", "127.0.0.1"] {
        let client = Client::new(&format!("ws://{host}:{port}/")).unwrap();
        let client = client.proxy(environment.clone());
        is_echoed(client.connect().await.unwrap()).await;
    }
}

#[test]
#[ignore = "run by the next test, in an environment of its own"]
fn tell_the_proxies_of_the_environment() {
    let tell = |url: &str| match Proxy::from_env() {
        Ok(proxy) => format!("{:?}", proxy.for_url(&Url::parse(url).unwrap())),
        Err(error) => error.to_string(),
    };
    println!("{} {}", tell("wss://a.example/"), tell("wss://b.example/"));
}

#[test]
fn the_environment_of_the_process_is_read() {
    for (value, told) in [
        (
            "socks5://u:p@proxy",
            "Some(ProxyUrl(socks5h://proxy:1080)) None",
        ),
        ("ftp://proxy", "variable HTTPS_PROXY names no proxy"),
    ] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "--exact"])
            .arg("proxy::tell_the_proxies_of_the_environment")
            .env_clear()
            .env("HTTPS_PROXY", value)
            .env("NO_PROXY", "b.example")
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        assert!(output.contains(told), "{output}");
    }
}

struct TellHost;

impl Endpoint for TellHost {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        let host = request.head.single("host").unwrap_or_default();
        let host = String::from_utf8_lossy(host).into_owned();
        let status = if host == "chat.example:81" { 418 } else { 400 };
        Refusal::new(status, host).into()
    }

    fn serve(
        &self,
        _: WebSocket,
        _: Request,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {})
    }
}

/// Parity: W-22.
#[tokio::test]
async fn an_explicit_address_is_dialled_and_the_url_names_the_host() {
    let server = Server::new(config()).route("/", TellHost).start().unwrap();
    let client = Client::new("ws://chat.example:81/").unwrap();
    let error = client
        .address(server.local_addr())
        .connect()
        .await
        .unwrap_err();
    assert!(error.status() == Some(418), "{error:?}");
}

/// Parity: W-22.
#[tokio::test]
async fn a_proxy_is_asked_for_the_explicit_address() {
    let server = start();
    let to = server.local_addr();
    let address = proxy(move |mut client| async move {
        let head = read_head(&mut client).await;
        assert!(head.starts_with(&format!("CONNECT {to} ")), "{head}");
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        join(client, to).await;
    })
    .await;
    let client = Client::new("ws://chat.example:81/").unwrap();
    let client = client
        .address(to)
        .proxy(Proxy::new(&address.to_string()).unwrap());
    is_echoed(client.connect().await.unwrap()).await;
}
