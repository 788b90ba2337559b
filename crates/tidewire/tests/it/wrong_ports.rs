//! Clients at a port that does not speak what the address says, or that nobody serves.
//!
//! Other inputs of this kind, each below: TLS where `ws://` expects HTTP (an alert, a hello), HTTP, SSH, SMTP, FTP, POP3
//! and binary greetings at both schemes, page errors of servers that know of the mistake, servers that end the
//! connection without a word, HTTP/2 without a request for it; names without an address, ports where nothing listens. None
//! of them waits for the connect deadline: the tests have none that would end in time.

use std::error::Error;

#[cfg(feature = "tls")]
use tidewire::ws::OtherProtocol;
use tidewire::ws::{Client, ConnectError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// How a server behaves.
#[derive(Clone, Copy, Debug)]
enum Server {
    /// Greets without having been asked, and stays.
    Greets(&'static [u8]),
    /// Answers the first bytes, whatever they are, and stays.
    Answers(&'static [u8]),
    /// Ends the connection after the first bytes.
    Ends,
}

/// The port of a server for one connection.
async fn serve(server: Server) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        if let Server::Greets(bytes) = server {
            stream.write_all(bytes).await.unwrap();
        }
        let mut request = [0; 4096];
        assert_ne!(stream.read(&mut request).await.unwrap(), 0);
        match server {
            Server::Answers(bytes) => stream.write_all(bytes).await.unwrap(),
            Server::Ends => return,
            Server::Greets(_) => {}
        }
        while stream.read(&mut request).await.is_ok_and(|count| count > 0) {}
    });
    port
}

/// Without a deadline that would end a wait.
fn client(url: &str) -> Client {
    let client = Client::new(url).unwrap();
    let client = client.connect_timeout(std::time::Duration::from_hours(24));
    #[cfg(feature = "tls")]
    let client = client.tls(tidewire::tls::ClientTls::danger_unverified().unwrap());
    client
}

/// The error with all its causes.
fn chain(error: &ConnectError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn check(scheme: &str, server: Server, expected: &str) -> ConnectError {
    let port = serve(server).await;
    let error = client(&format!("{scheme}://127.0.0.1:{port}/"))
        .connect()
        .await
        .unwrap_err();
    let text = chain(&error);
    assert!(text.contains(expected), "{scheme} {server:?}: {text}");
    error
}

const HANDSHAKE_FAILURE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";
const HTTP2_SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64";
const MYSQL_GREETING: &[u8] = b"\x4a\0\0\0\x0a9.1.0\0";

#[tokio::test]
async fn a_plain_client_is_told_at_once_what_answers_instead_of_http() {
    for (server, expected) in [
        (
            Server::Answers(HANDSHAKE_FAILURE),
            "speaks TLS: connect to wss:// instead of ws://",
        ),
        (
            Server::Answers(b"\x15\x03\x01\x00\x02\x02\x46"),
            "speaks TLS",
        ),
        (Server::Greets(b"\x16\x03\x03\x00\x7a"), "speaks TLS"),
        (
            Server::Greets(b"SSH-2.0-OpenSSH_10.0\r\n"),
            "speaks SSH: is the port right?",
        ),
        (
            Server::Greets(b"220 mail.example ESMTP\r\n"),
            "speaks SMTP or FTP",
        ),
        (
            Server::Greets(b"+OK POP3 ready\r\n"),
            "it answered \"+OK POP3 ready\\r\\n\"",
        ),
        (
            Server::Greets(MYSQL_GREETING),
            "it answered \"J\\x00\\x00\\x00\\n9.1.0\\x00\"",
        ),
        (Server::Greets(HTTP2_SETTINGS), "speaks HTTP/2 only"),
        (
            Server::Answers(b"-ERR unknown command 'GET'\r\n"),
            "it answered \"-ERR unknown",
        ),
        (
            Server::Answers(b"<html>HTTP/0.9</html>"),
            "speaks another protocol, it answered \"<html>",
        ),
        (Server::Ends, "ended the connection without an answer"),
    ] {
        let error = check("ws", server, expected).await;
        let lost = matches!(
            error,
            ConnectError::Lost(_) | ConnectError::OtherProtocol { .. }
        );
        assert!(lost && !error.is_permanent(), "{error:?}");
    }
}

#[tokio::test]
async fn a_page_that_asks_for_tls_is_understood() {
    for body in [
        "<title>400 The plain HTTP request was sent to HTTPS port</title>",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
        "Client sent an HTTP request to an HTTPS server.\n",
        "Bad Request\nThis combination of host and port requires TLS.\n",
    ] {
        let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length:";
        let answer = format!("{head} {}\r\n\r\n{body}", body.len());
        let answer = Server::Answers(Box::leak(answer.into_bytes().into_boxed_slice()));
        let error = check(
            "ws",
            answer,
            "this port wants TLS: connect to wss:// instead of ws://",
        )
        .await;
        assert_eq!(error.status(), Some(400));
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_tls_client_is_told_at_once_what_answers_instead_of_tls() {
    let plain = "speaks HTTP without TLS: connect to ws:// instead of wss://";
    for (server, expected) in [
        (
            Server::Answers(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
            plain,
        ),
        (Server::Answers(b"<html>400</html>"), plain),
        (Server::Greets(b"SSH-2.0-OpenSSH_10.0\r\n"), "speaks SSH"),
        (
            Server::Greets(b"220 mail.example ESMTP\r\n"),
            "speaks SMTP or FTP",
        ),
        (
            Server::Greets(b"+OK POP3 ready\r\n"),
            "it answered \"+OK POP3 ready",
        ),
        (Server::Greets(MYSQL_GREETING), "it answered \"J\\x00"),
        (Server::Greets(HTTP2_SETTINGS), "speaks HTTP/2 only"),
        (
            Server::Ends,
            "expect no TLS (then connect to ws:// instead of wss://)",
        ),
        (
            Server::Answers(HANDSHAKE_FAILURE),
            "the peer ended the handshake: handshake failure",
        ),
    ] {
        let error = check("wss", server, expected).await;
        assert!(!error.is_permanent(), "{error:?}");
    }
    let error = check(
        "wss",
        Server::Answers(b"HTTP/1.0 400 Bad Request\r\n\r\n"),
        plain,
    )
    .await;
    let ConnectError::OtherProtocol { host, found, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (host.as_str(), found),
        ("127.0.0.1", OtherProtocol::PlainHttp)
    );
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn an_http2_client_at_an_http1_server_is_told_so() {
    let port = serve(Server::Answers(
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    ))
    .await;
    let error = client(&format!("ws://127.0.0.1:{port}/"))
        .http2()
        .connect()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("does not speak HTTP/2"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for (url, expected) in [
        (
            format!("ws://127.0.0.1:{port}/"),
            format!("cannot reach 127.0.0.1:{port} (nothing listens there): Connection refused"),
        ),
        (
            "ws://no-such-host.invalid/".to_owned(),
            "cannot reach no-such-host.invalid:80 (the name has no address: is it right?)"
                .to_owned(),
        ),
    ] {
        let error = client(&url).connect().await.unwrap_err();
        let text = chain(&error);
        assert!(text.starts_with(&expected), "{text}");
    }
}
