//! Addresses as people write them, and what goes out for them.
//!
//! The forms of addresses are tested with their parser; here, that each part arrives where it belongs: credentials in
//! the request over HTTP/1.1 and HTTP/2 (other inputs: an `Authorization` of the caller's, in any case), the host in the
//! `Host` header, in DNS and in TLS (a dot at the end, upper case, IPv6, a zone), path and query in the request line.

use tidewire::ws::{Client, CloseCode, WebSocket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

/// The request that a client sends.
async fn request(client: Client) -> String {
    let (ours, mut theirs) = duplex(4096);
    let server = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(theirs.read_u8().await.unwrap());
        }
        theirs
            .write_all(b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8(head).unwrap()
    };
    let (_refused, head) = tokio::join!(client.connect_with(ours), server);
    head
}

fn field<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

#[tokio::test]
async fn credentials_in_the_address_are_sent_once_and_the_callers_own_come_first() {
    let client = || Client::new("ws://user:pa%3Ass@example.com/x").unwrap();
    let head = request(client()).await;
    assert_eq!(
        field(&head, "authorization"),
        ["Basic dXNlcjpwYTpzcw=="],
        "{head}"
    );
    assert!(!head.contains("user"), "{head}");
    for name in ["Authorization", "AUTHORIZATION"] {
        let head = request(client().header(name, "Bearer x")).await;
        assert_eq!(field(&head, "authorization"), ["Bearer x"], "{head}");
    }
    let head = request(Client::new("ws://example.com/x").unwrap()).await;
    assert_eq!(field(&head, "authorization"), [""; 0], "{head}");
    let printed = format!("{:?}", client());
    assert!(
        !printed.contains("pa") && !printed.contains("dXNl"),
        "{printed}"
    );
}

#[tokio::test]
async fn what_the_address_says_goes_out_as_http_wants_it() {
    for (url, line, host) in [
        (
            "ws://Example.COM./a b?q=\"é\"#f",
            "GET /a%20b?q=%22%C3%A9%22 HTTP/1.1",
            "example.com.",
        ),
        ("ws://[FE80::1%25lo]:81", "GET / HTTP/1.1", "[fe80::1]:81"),
        ("wss://example.com:443?x", "GET /?x HTTP/1.1", "example.com"),
        #[cfg(feature = "idn")]
        (
            "wss://Bücher.example:80/",
            "GET / HTTP/1.1",
            "xn--bcher-kva.example:80",
        ),
    ] {
        let head = request(Client::new(url).unwrap()).await;
        assert_eq!(head.lines().next(), Some(line), "{url}");
        assert_eq!(field(&head, "host"), [host], "{url}");
    }
}

async fn echoed_authorization(mut socket: WebSocket) {
    let request = socket.request().unwrap();
    let told = request.head.single("authorization").unwrap_or_default();
    let told = String::from_utf8_lossy(told).into_owned();
    socket.send(told).await.ok();
    socket.close(CloseCode::NORMAL, "").await.ok();
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn credentials_in_the_address_go_out_over_http2_too() {
    let mut config = crate::server::config();
    config.http2 = true;
    let server = tidewire::ws::Server::new(config)
        .route("/", echoed_authorization)
        .start()
        .unwrap();
    let url = format!("ws://user:pass@{}/", server.local_addr());
    for (headers, expected) in [(None, "Basic dXNlcjpwYXNz"), (Some("Bearer x"), "Bearer x")] {
        for http2 in [false, true] {
            let mut client = Client::new(&url).unwrap();
            if http2 {
                client = client.http2();
            }
            if let Some(value) = headers {
                client = client.header("Authorization", value);
            }
            let mut socket = client.connect().await.unwrap();
            let told = socket.recv().await.unwrap().unwrap();
            assert_eq!(told.as_text(), Some(expected));
        }
    }
}

/// The loopback interface has a zone, too.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_ipv6_address_with_a_zone_is_dialled() {
    let config = tidewire::ws::ServerConfig::new("[::1]:0".parse().unwrap());
    // Machines without IPv6 have nothing to test here.
    let Ok(server) = tidewire::ws::Server::new(config)
        .route("/", echoed_authorization)
        .start()
    else {
        return;
    };
    let port = server.local_addr().port();
    for host in ["[::1]", "[::1%25lo]", "[0::1%lo]"] {
        let url = format!("ws://u@{host}:{port}/");
        let mut socket = Client::new(&url).unwrap().connect().await.unwrap();
        let told = socket.recv().await.unwrap().unwrap();
        assert_eq!(told.as_text(), Some("Basic dTo="), "{url}");
    }
}
