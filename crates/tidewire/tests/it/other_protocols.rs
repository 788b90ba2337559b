//! Clients that speak something else than the listener: each is answered and let go at once, not at its deadline.
//!
//! Of this kind are tried: TLS (a hello, and a real client), the SSL 2 hello, SSH, SMTP, Redis, MQTT, AMQP, Postgres,
//! RTSP, HTTP/0.9, HTTP/2 with prior knowledge, a PROXY header of either version that nobody was told of, and garbage,
//! at a listener of HTTP and at one of WebSockets; and plain requests, SSH and garbage at a listener of TLS.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use http::{Request, Response};
use http_body_util::Full;
use tidewire::{
    http::{self as web, Http, RequestBody},
    service::{self, Workers},
    ws,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tower::{service_fn, util::BoxCloneSyncService};

use crate::server::echo;

type Service = BoxCloneSyncService<Request<RequestBody>, Response<Full<bytes::Bytes>>, Infallible>;

fn http_server() -> service::RunningServer<Http<Service>> {
    let answer = |_: Request<RequestBody>| async { Ok(Response::new(Full::from("hello"))) };
    let service = BoxCloneSyncService::new(service_fn(answer));
    let mut config = service::Config::new("127.0.0.1:0".parse().unwrap());
    config.workers = Workers::Pool;
    // A server that speaks HTTP/2 takes a client with prior knowledge; this one does not.
    let http = web::Config::default();
    #[cfg(feature = "http2")]
    let http = http.http2(false);
    service::Server::new(config, Http::new(service, http))
        .start()
        .unwrap()
}

fn ws_config() -> ws::ServerConfig {
    let mut config = ws::ServerConfig::new("127.0.0.1:0".parse().unwrap());
    config.workers = Workers::Pool;
    config
}

/// The server's answer, which must come without waiting for more.
async fn answer(address: SocketAddr, bytes: &[u8]) -> String {
    let begun = Instant::now();
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    while let Ok(1..) = tcp.read_buf(&mut answer).await {}
    assert!(begun.elapsed() < Duration::from_secs(1), "{bytes:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

const BEGINNINGS: &[(&[u8], &str)] = &[
    (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "got a TLS handshake",
    ),
    (b"\x80\x2e\x01\x03\x01\x00\x15", "got a TLS handshake"),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "got an SSH client"),
    (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        "got HTTP/2",
    ),
    (
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\n",
        "got a PROXY",
    ),
    (b"PROXY UNKNOWN\r\n", "got a PROXY"),
    (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "got a PROXY"),
    (b"EHLO mail.example\r\n", "got something else"),
    (b"*1\r\n$4\r\nPING\r\n", "got something else"),
    (
        b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0",
        "got something else",
    ),
    (b"AMQP\0\0\x09\x01", "got something else"),
    (b"\0\0\0\x08\x04\xd2\x16\x2f", "got something else"),
    (b"OPTIONS rtsp://a/b RTSP/1.0\r\n", "got something else"),
    (b"GET /\r\n", "got something else"),
    (b"\xff\xfe\xfd", "got something else"),
    (b"hello\n", "got something else"),
    (b"GET / HTTP/1.1\nHost: a\n\n", "malformed"),
];

#[tokio::test(start_paused = true)]
async fn a_client_of_another_protocol_is_answered_at_once() {
    let http = http_server();
    let sockets = ws::Server::new(ws_config())
        .route("/", echo)
        .start()
        .unwrap();
    for address in [http.local_addr(), sockets.local_addr()] {
        for (bytes, expected) in BEGINNINGS {
            let answer = answer(address, bytes).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:?}: {answer}");
            assert!(answer.contains(expected), "{bytes:?}: {answer}");
        }
    }
}

/// A first byte that may become a request is waited for, and the deadline is the same for everybody.
#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_deadline() {
    let http = http_server();
    for bytes in [&b""[..], b"G", b"\r\n", b"hello"] {
        let begun = Instant::now();
        let mut tcp = TcpStream::connect(http.local_addr()).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let count = tcp.read(&mut [0]).await.unwrap_or(0);
        assert_eq!((count, begun.elapsed().as_secs()), (0, 10), "{bytes:?}");
    }
}

#[cfg(feature = "tls")]
mod with_tls {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_plain_request_at_a_port_of_tls_is_told_so() {
        let authority = crate::tls::authority::Authority::new();
        let mut config = ws_config();
        config.tls = Some(authority.server());
        let server = ws::Server::new(config).route("/", echo).start().unwrap();
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"get",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
        ] {
            let answer = answer(server.local_addr(), bytes).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:?}: {answer}");
            assert!(answer.contains("this address speaks TLS"), "{answer}");
        }
        for bytes in [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"\xff\xfe\xfd\xfc\xfb"] {
            let answer = answer(server.local_addr(), bytes).await;
            assert!(!answer.contains("HTTP"), "{bytes:?}: {answer}");
        }
    }
}
