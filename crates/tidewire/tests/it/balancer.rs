//! Servers behind balancers: the PROXY protocol over loopback sockets.

use std::{net::SocketAddr, time::Duration};

use tidewire::{
    proto::{
        handshake::RequestHead,
        proxy::{ForwardedBy, Header, Tlvs},
    },
    ws::{
        Client, HeadLimits, Message, Peer, ProxyProtocol, RunningServer, Server, ServerConfig,
        TrustedProxies, WebSocket, client_ip, connect,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    server::{UPGRADE, config},
    tls::Authority,
};

const CLIENT: &str = "203.0.113.9:4711";

/// A server that believes `trusted` and tells every client who it is, then echoes.
fn start(trusted: &[&str], change: impl FnOnce(&mut ServerConfig)) -> RunningServer {
    let mut config = config();
    let trusted = trusted.iter().map(|text| text.parse().unwrap()).collect();
    config.proxy_protocol = ProxyProtocol::Required { trusted };
    change(&mut config);
    Server::new(config).route("/echo", tell).start().unwrap()
}

async fn tell(mut socket: WebSocket) {
    let peer = socket.peer();
    let address = peer.client_address().unwrap();
    let tlvs = peer.proxied.as_ref().map(|header| &header.tlvs);
    let name = tlvs.and_then(Tlvs::authority).unwrap_or("-").to_owned();
    let secure = peer.secure;
    // Its length is that of the answers the tests look for.
    socket.send(format!("{address} {name} {secure}")).await.ok();
    crate::server::echo(socket).await;
}

fn header() -> Header {
    let mut header = Header::tcp(CLIENT.parse().unwrap(), "198.51.100.1:443".parse().unwrap());
    header.tlvs.push(Tlvs::AUTHORITY, b"a.b").unwrap();
    header
}

/// Writes the parts one after the other and gives all that comes back until `until` or the end.
async fn talk(server: &RunningServer, parts: &[&[u8]], until: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for part in parts {
        // The server may have closed already.
        if stream.write_all(part).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    while until.is_empty() || !answer.ends_with(until) {
        match stream.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(_) => break, // closed, or reset since it has not read everything
        }
    }
    answer
}

/// A WebSocket frame of the server with a short text.
fn frame(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    [&[0x81, len], text.as_bytes()].concat()
}

#[tokio::test]
async fn a_header_in_any_split_with_the_request_behind_it_is_read() {
    let server = start(&["127.0.0.0/8"], |_| {});
    let early: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; // "Hello", RFC 6455 section 5.7
    let v1 = header().encode_v1().into_bytes();
    for (header, told) in [
        (v1, format!("{CLIENT} - false")),
        (
            header().encode_v2(false).unwrap(),
            format!("{CLIENT} a.b false"),
        ),
        (
            header().encode_v2(true).unwrap(),
            format!("{CLIENT} a.b false"),
        ),
    ] {
        let all = [&header, UPGRADE.as_bytes(), early].concat();
        let expected = [frame(&told), frame("Hello")].concat();
        for cut in 0..header.len() + 4 {
            let (a, b) = all.split_at(cut);
            let answer = talk(&server, &[a, b], &expected).await;
            assert!(answer.ends_with(&expected), "cut at {cut}: {answer:?}");
        }
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        let answer = talk(&server, &bytes, &expected).await;
        assert!(answer.ends_with(&expected), "byte by byte: {answer:?}");
    }
}

#[tokio::test]
async fn a_balancers_own_connection_has_the_balancers_address() {
    let server = start(&["127.0.0.1"], |_| {});
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let own = stream.local_addr().unwrap();
    let local = Header::local().encode_v2(false).unwrap();
    let all = [&local, UPGRADE.as_bytes()].concat();
    stream.write_all(&all).await.unwrap();
    let expected = frame(&format!("{own} - false"));
    let mut answer = Vec::new();
    while !answer.ends_with(&expected) {
        answer.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn a_header_from_an_untrusted_address_is_not_believed() {
    for trusted in [&[][..], &["10.0.0.0/8", "::1", "2001:db8::/32"]] {
        let server = start(trusted, |_| {});
        for header in [
            header().encode_v1().into_bytes(),
            header().encode_v2(true).unwrap(),
            Header::local().encode_v2(false).unwrap(),
            Vec::new(),
        ] {
            let answer = talk(&server, &[&header, UPGRADE.as_bytes()], b"").await;
            assert_eq!(answer, b"", "{}", header.escape_ascii());
        }
        assert_eq!((server.stats().opened, server.stats().refused), (0, 4));
    }
}

#[tokio::test]
async fn a_server_that_expects_no_header_refuses_one() {
    let server = Server::new(config()).route("/echo", tell).start().unwrap();
    for header in [
        header().encode_v1().into_bytes(),
        header().encode_v2(false).unwrap(),
    ] {
        let answer = talk(&server, &[&header, UPGRADE.as_bytes()], b"").await;
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    }
    assert_eq!(server.stats().opened, 0);
}

#[tokio::test]
async fn a_trusted_balancer_without_a_valid_header_is_refused() {
    let server = start(&["127.0.0.1"], |_| {});
    let mut damaged = header().encode_v2(true).unwrap();
    damaged[20] ^= 1;
    for bytes in [
        UPGRADE.as_bytes(),
        b"PROXY TCP4 1.2.3.4\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &damaged,
    ] {
        assert_eq!(talk(&server, &[bytes], b"").await, b"");
    }
    assert_eq!((server.stats().opened, server.stats().refused), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn a_header_that_never_ends_is_cut_at_the_handshake_deadline() {
    let server = start(&["127.0.0.1"], |_| {});
    let v2 = header().encode_v2(true).unwrap();
    let start = tokio::time::Instant::now();
    for part in [&b""[..], b"PROXY TCP4 1", &v2[..20]] {
        assert_eq!(talk(&server, &[part], b"").await, b"");
    }
    let limit = Duration::from_secs(10) * 3;
    assert!((limit..limit + Duration::from_secs(1)).contains(&start.elapsed()));
    assert_eq!(server.stats().refused, 3);
}

#[tokio::test]
async fn connections_are_counted_by_the_address_in_the_header() {
    let server = start(&["127.0.0.1"], |config| config.limits.per_ip_max = 1);
    let open = async |from: &str| {
        let to = server.local_addr();
        let relay = relay(to, Header::tcp(from.parse().unwrap(), to)).await;
        let url = format!("ws://{}/echo", relay.0);
        (connect(&url).await, relay.1)
    };
    let first = open("203.0.113.1:1").await;
    assert!(first.0.is_ok());
    let again = open("203.0.113.1:2").await.0.unwrap_err();
    assert_eq!(again.status(), Some(503), "{again:?}");
    assert!(again.retry_after().is_some(), "{again:?}");
    let other = open("203.0.113.2:1").await;
    assert!(other.0.is_ok(), "another client of the same balancer");
}

/// A balancer for one connection: writes `header`, then copies.
async fn relay(to: SocketAddr, header: Header) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(to).await.unwrap();
        let header = header.encode_v2(true).unwrap();
        server.write_all(&header).await.unwrap();
        copy_bidirectional(&mut client, &mut server).await.ok();
    });
    (address, task)
}

#[tokio::test]
async fn the_header_stands_in_front_of_tls_and_the_url_names_the_server() {
    let authority = Authority::new();
    let server = start(&["127.0.0.1"], |config| {
        config.tls = Some(authority.server_called("chat.example"));
    });
    let (address, _relay) = relay(server.local_addr(), header()).await;
    let mut socket = Client::new("wss://chat.example/echo")
        .unwrap()
        .address(address)
        .tls(authority.client())
        .connect()
        .await
        .unwrap();
    let told = Message::text(format!("{CLIENT} a.b true"));
    assert_eq!(socket.recv().await.unwrap(), Some(told));
}

#[test]
fn the_chain_of_proxies_begins_at_the_address_the_balancer_told() {
    let head =
        "GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nForwarded: for=6.6.6.7\r\n\r\n";
    let head = RequestHead::parse(head.into(), HeadLimits::default()).unwrap();
    let trusted = TrustedProxies {
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        by: ForwardedBy::XForwardedFor,
    };
    let peer = |told: Option<&str>| {
        let mut peer = Peer::default();
        peer.address = Some("10.0.0.1:1".parse().unwrap());
        let to = "10.0.0.1:2".parse().unwrap();
        peer.proxied = told.map(|told| Box::new(Header::tcp(told.parse().unwrap(), to)));
        peer
    };
    for (told, trusted, client) in [
        (None, &trusted, "203.0.113.9"),
        (Some("10.0.0.2:5"), &trusted, "203.0.113.9"),
        (Some("198.51.100.3:5"), &trusted, "198.51.100.3"),
        (
            Some("198.51.100.3:5"),
            &TrustedProxies::default(),
            "198.51.100.3",
        ),
        (None, &TrustedProxies::default(), "10.0.0.1"),
    ] {
        let found = client_ip(&peer(told), &head, trusted);
        assert_eq!(found, Some(client.parse().unwrap()), "{told:?}");
    }
    assert_eq!(client_ip(&Peer::default(), &head, &trusted), None);
}
