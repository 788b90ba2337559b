//! Requests that a proxy in front could read differently than we do.

use bytes::Bytes;
use tidewire_proto::handshake::{
    AcceptOptions, HeadLimits, HeadScanner, Refusal, RequestHead, accept,
};

use crate::heads::UPGRADE;

/// Status of the answer to what begins with these bytes; `None` when more is awaited.
fn status(bytes: &[u8]) -> Option<u16> {
    let limits = HeadLimits::default();
    let len = match HeadScanner::default().scan(bytes, limits) {
        Ok(Some(len)) => len,
        Ok(None) => return None,
        Err(error) => return Some(Refusal::from(error).status),
    };
    let head = match RequestHead::parse(Bytes::copy_from_slice(&bytes[..len]), limits) {
        Ok(head) => head,
        Err(error) => return Some(Refusal::from(error).status),
    };
    Some(match accept(&head, AcceptOptions::default()) {
        Ok(_) => 101,
        Err(refusal) => refusal.status,
    })
}

fn with(line: &str, fields: &str) -> Vec<u8> {
    format!("{line}\r\n{UPGRADE}{fields}\r\n").into_bytes()
}

/// Bodies, lengths and codings that must not come with an upgrade.
fn bodies() -> Vec<String> {
    let mut out = Vec::new();
    for value in [
        "5",
        "1",
        "+5",
        "-1",
        "0x5",
        "5, 5",
        "5,6",
        "5 5",
        "99999999999999999999",
        "",
        "a",
        "0, 5",
        "00005",
    ] {
        out.push(format!("Content-Length: {value}\r\n"));
        out.push(format!("content-length:{value}\r\n"));
        out.push(format!("Content-Length: 0\r\nContent-Length: {value}\r\n"));
        out.push(format!(
            "Content-Length: {value}\r\nTransfer-Encoding: chunked\r\n"
        ));
    }
    for value in [
        "chunked",
        "Chunked",
        "identity",
        "gzip, chunked",
        "chunked, identity",
        "chunked, chunked",
        "xchunked",
        "",
        "\"chunked\"",
        "chunked;q=1",
        "\x0bchunked",
    ] {
        out.push(format!("Transfer-Encoding: {value}\r\n"));
        out.push(format!("TRANSFER-ENCODING:\t{value}\r\n"));
        out.push(format!(
            "Transfer-Encoding: {value}\r\nTransfer-Encoding: chunked\r\n"
        ));
        out.push(format!(
            "Transfer-Encoding: {value}\r\nContent-Length: 0\r\n"
        ));
    }
    out
}

/// Fields in a syntax that some readers accept and others do not.
const SYNTAX: &[&str] = &[
    " X: folded\r\n",
    "\tX: folded\r\n",
    "X: a\r\n b\r\n",
    "X: a\r\n\tb\r\n",
    "X : a\r\n",
    "X\t: a\r\n",
    "Content-Length : 0\r\n",
    "Transfer-Encoding : chunked\r\n",
    ": a\r\n",
    "X\r\n",
    "X a\r\n",
    "X(: a\r\n",
    "X\0: a\r\n",
    "X\x7f: a\r\n",
    "X\u{e9}: a\r\n",
    "X@: a\r\n",
    "[X]: a\r\n",
    "X: a\0b\r\n",
    "X: a\x01b\r\n",
    "X: a\x7fb\r\n",
    "X: a\rb\r\n",
    "X: a\r\r\n",
    "X: \r b\r\n",
    "X: a\n",
    "\n",
    "X: a\nY: b\r\n",
    "X: a\n\r\n",
    "X: a\r\nY: b\n",
    "Content-Length: 0\n",
    "\r X: a\r\n",
];

/// Request lines.
const LINES: &[&str] = &[
    "GET / HTTP/1.0",
    "GET / HTTP/0.9",
    "GET / HTTP/1.2",
    "GET / HTTP/2.0",
    "GET / HTTP/11",
    "GET / HTTP/1.1 ",
    "GET / http/1.1",
    "GET / HTTP/1,1",
    "GET /",
    "GET",
    "",
    "GET / HTTP/1.10",
    "GET  / HTTP/1.1",
    "GET /  HTTP/1.1",
    "GET\t/ HTTP/1.1",
    " GET / HTTP/1.1",
    "GET / HTTP/1.1\n",
    "GET /\nHTTP/1.1",
    "GET /\r HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /\0 HTTP/1.1",
    "GET /\x7f HTTP/1.1",
    "G\0T / HTTP/1.1",
    "G(T / HTTP/1.1",
    "POST / HTTP/1.1",
    "HEAD / HTTP/1.1",
    "get / HTTP/1.1",
    "CONNECT a:80 HTTP/1.1",
    "PUT / HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "PRI * HTTP/2.0",
];

#[test]
fn an_upgrade_that_can_be_read_in_two_ways_is_refused() {
    assert_eq!(status(&with("GET / HTTP/1.1", "")), Some(101));
    assert_eq!(
        status(&with("GET / HTTP/1.1", "Content-Length: 0\r\n")),
        Some(101)
    );
    let mut count = 0;
    let mut check = |bytes: &[u8]| {
        count += 1;
        // What is no end here is part of the head, whatever follows.
        let status = status(bytes).or_else(|| status(&[bytes, b"\r\n\r\n"].concat()));
        let text = String::from_utf8_lossy(bytes);
        assert!(matches!(status, Some(400..=599)), "{status:?} for {text:?}");
    };
    for fields in bodies() {
        check(&with("GET / HTTP/1.1", &fields));
    }
    for fields in SYNTAX {
        check(&with("GET / HTTP/1.1", fields));
    }
    for line in LINES {
        check(&with(line, ""));
    }
    for fields in [
        "Host: b\r\n",
        "host: a\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Sec-WebSocket-Version: 13\r\n",
    ] {
        check(&with("GET / HTTP/1.1", fields));
    }
    // Line feeds alone, in all of it.
    let bare = format!("GET / HTTP/1.1\n{}", UPGRADE.replace("\r\n", "\n"));
    check(format!("{bare}\r\n\r\n").as_bytes());
    check(format!("{bare}X: a\r\n\r\n").as_bytes());
    assert!(count >= 120, "{count} requests");
}
