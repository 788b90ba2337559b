//! Versions, application protocols, and hellos that never end.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tidewire::{
    tls::{ClientTls, ServerTls, TlsVersion},
    ws::ConnectError,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Authority, Served, clients_usage, servers_usage};

pub(super) fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(authority.ca()).unwrap();
    roots.add(ca).unwrap();
    roots
}

/// The settings of a client of our own, for what [`ClientTls`] cannot be made to do. It shows a
/// certificate when asked.
pub(super) fn raw_config(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let (certificate, key) = authority.sign("raw", &clients_usage());
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots(authority))
        .with_client_auth_cert(chain, key)
        .unwrap()
}

pub(super) async fn raw(
    served: &Served,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> io::Result<TlsStream<TcpStream>> {
    connect(served, &Arc::new(raw_config(authority, version))).await
}

/// Does the handshake on a connection, as a client that knows the authority.
pub(crate) async fn connect_raw(tcp: TcpStream, authority: &Authority) -> TlsStream<TcpStream> {
    let config = Arc::new(raw_config(authority, &rustls::version::TLS13));
    let connector = TlsConnector::from(config);
    let name = "localhost".try_into().unwrap();
    connector.connect(name, tcp).await.unwrap()
}

pub(super) async fn connect(
    served: &Served,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(served.server.local_addr())
        .await
        .unwrap();
    TlsConnector::from(Arc::clone(config))
        .connect("localhost".try_into().unwrap(), tcp)
        .await
}

fn with(authority: &Authority, min_version: TlsVersion, alpn: &[&str]) -> Served {
    let identity = authority.identity("server", &servers_usage());
    let builder = ServerTls::builder(identity).min_version(min_version);
    let tls = builder.alpn(alpn.iter().map(|name| name.as_bytes()));
    Served::start(tls.build().unwrap())
}

#[tokio::test]
async fn the_least_version_is_kept() {
    let authority = Authority::new();
    let from_1_2 = with(&authority, TlsVersion::V1_2, &["http/1.1"]);
    let from_1_3 = with(&authority, TlsVersion::V1_3, &["http/1.1"]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        raw(&from_1_2, &authority, version).await.unwrap();
    }
    raw(&from_1_3, &authority, &rustls::version::TLS13)
        .await
        .unwrap();
    let error = raw(&from_1_3, &authority, &rustls::version::TLS12)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

/// A whole hello up to that version, which offers something for TLS 1.2 and for older ones.
fn hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]); // random
    body.push(0); // no session
    body.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x09]); // ECDHE_ECDSA with AES_128 in GCM and in CBC
    body.extend([1, 0]); // no compression
    body.extend([0, 22]); // extensions:
    body.extend([0, 10, 0, 4, 0, 2, 0, 23]); // supported_groups: secp256r1
    body.extend([0, 11, 0, 2, 1, 0]); // ec_point_formats: uncompressed
    body.extend([0, 13, 0, 4, 0, 2, 4, 3]); // signature_algorithms: ecdsa_secp256r1_sha256
    let mut handshake = vec![1, 0, 0, u8::try_from(body.len()).unwrap()];
    handshake.extend(body);
    let mut record = vec![22, 3, 1, 0, u8::try_from(handshake.len()).unwrap()];
    record.extend(handshake);
    record
}

#[tokio::test]
async fn tls_1_0_and_1_1_cannot_be_spoken() {
    let authority = Authority::new();
    let served = Served::start(authority.server());
    let address = served.server.local_addr();
    for version in [[3, 0], [3, 1], [3, 2]] {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(&hello(version)).await.unwrap();
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await.unwrap();
        // A fatal alert, protocol_version (RFC 8446 section 6.2), and nothing else.
        assert_eq!(answer.len(), 7, "{answer:?}");
        assert!(
            answer.starts_with(&[21]) && answer.ends_with(&[2, 70]),
            "{answer:?}"
        );
    }
    // The same hello for TLS 1.2 is answered by a handshake record.
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(&hello([3, 3])).await.unwrap();
    assert_eq!(tcp.read_u8().await.unwrap(), 22);
}

#[tokio::test]
async fn a_plain_request_to_a_tls_server_is_told_so_and_served_nothing() {
    let authority = Authority::new();
    let served = Served::start(authority.server());
    let mut tcp = TcpStream::connect(served.server.local_addr())
        .await
        .unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    tcp.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("this address speaks TLS"), "{answer}");
    served.empty().await;
    assert_eq!(served.server.stats().refused, 1);
}

/// How the handshake went, after which the client has what it needs to resume the session.
async fn handshake(served: &Served, config: &Arc<ClientConfig>) -> HandshakeKind {
    let mut stream = connect(served, config).await.unwrap();
    upgrade(&mut stream).await;
    let (_tcp, session) = stream.get_ref();
    session.handshake_kind().unwrap()
}

pub(super) async fn upgrade(stream: &mut TlsStream<TcpStream>) {
    assert!(is_upgraded(stream).await);
}

/// Asks for a WebSocket and reads the answer, if the server gives one.
pub(super) async fn is_upgraded(stream: &mut TlsStream<TcpStream>) -> bool {
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(_refused) => return false,
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    true
}

#[tokio::test]
async fn sessions_are_resumed_until_a_reload_and_never_with_mutual_tls() {
    let authority = Authority::new();
    let identity = authority.identity("server", &servers_usage());
    let builder = ServerTls::builder(identity);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(raw_config(&authority, version));
        let tls = builder.clone().build().unwrap();
        let served = Served::start(tls.clone());
        assert_eq!(handshake(&served, &config).await, HandshakeKind::Full);
        assert_eq!(handshake(&served, &config).await, HandshakeKind::Resumed);
        tls.reload().unwrap();
        assert_eq!(handshake(&served, &config).await, HandshakeKind::Full);
        assert_eq!(handshake(&served, &config).await, HandshakeKind::Resumed);

        let config = Arc::new(raw_config(&authority, version));
        let mutual = builder.clone().client_ca_file(authority.ca());
        let served = Served::start(mutual.build().unwrap());
        for _ in 0..3 {
            assert_eq!(handshake(&served, &config).await, HandshakeKind::Full);
        }
    }
}

#[tokio::test]
async fn the_application_protocol_is_agreed_on_or_the_handshake_fails() {
    let authority = Authority::new();
    let mut served = with(&authority, TlsVersion::V1_2, &["h2", "http/1.1"]);
    let client = |alpn: &[&'static str]| {
        let builder = ClientTls::builder().ca_file(authority.ca());
        builder.alpn(alpn.iter().copied()).build().unwrap()
    };
    for (offered, agreed) in [
        (&["http/1.1"][..], Some("http/1.1")),
        (&["http/1.1", "h2"], Some("h2")),
        (&[], None),
    ] {
        let socket = served.connect("localhost", &client(offered)).await.unwrap();
        let ours = socket.peer().tls.as_ref().unwrap();
        assert_eq!(ours.alpn.as_deref(), agreed.map(str::as_bytes));
        assert_eq!(served.peer().await.tls.unwrap().alpn, ours.alpn);
    }
    let error = served.connect("localhost", &client(&["mqtt"])).await;
    assert!(matches!(error, Err(ConnectError::Tls { .. })), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn half_a_hello_is_cut_at_the_deadline_of_tls() {
    let authority = Authority::new();
    let whole = hello([3, 3]);
    for sent in [&whole[..0], &whole[..5], &whole[..20]] {
        let served = Served::start(authority.server());
        let began = Instant::now();
        let mut tcp = TcpStream::connect(served.server.local_addr())
            .await
            .unwrap();
        tcp.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty(), "{answer:?}");
        let took = began.elapsed();
        // The deadline of the whole handshake is at 10 s.
        assert!(
            (Duration::from_secs(5)..Duration::from_secs(6)).contains(&took),
            "{took:?}"
        );
        assert_eq!(served.server.stats().refused, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_whole_handshake_holds_for_tls_too() {
    let authority = Authority::new();
    let served = Served::start_with(authority.server(), |config| {
        config.limits.handshake_timeout = Duration::from_secs(2);
    });
    let began = Instant::now();
    let mut tcp = TcpStream::connect(served.server.local_addr())
        .await
        .unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
}
