//! Inbox style: the tests that its requirements name (W-33 to W-41), and the defects that must
//! not come back.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rcgen::KeyPair;
use tidewire::{
    inbox::{
        Client, ClientConfig, ConnectError, InboxLimits, Security, SendError, Server, ServerConfig,
        StartError, destroy, get_instance,
    },
    proto::{Kind, Message},
    ws,
};

use crate::tls::{
    Authority,
    authority::{clients_usage, servers_usage, write_key},
};

fn config(sessions_max: usize) -> ServerConfig {
    let mut config = ServerConfig::new(0, sessions_max);
    config.address = (Ipv4Addr::LOCALHOST, 0).into();
    config
}

fn started(config: ServerConfig) -> Server {
    let server = Server::new(config);
    server.start().unwrap();
    server
}

fn port(server: &Server) -> u16 {
    server.local_addr().expect("it runs").port()
}

/// A client with this security, connected.
fn connected(server: &Server, security: &Security) -> Client {
    let client = Client::new(ClientConfig::default().security(security.clone()));
    client.try_connect("localhost", port(server)).unwrap();
    client
}

/// Waits for what the other end's thread does; the limit only keeps a failing test from hanging.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < limit, "never: {what}");
        thread::yield_now();
    }
}

/// Waits for the next message.
fn next(what: &str, mut read: impl FnMut() -> Option<bytes::Bytes>) -> String {
    let mut message = None;
    until(what, || {
        message = read();
        message.is_some()
    });
    String::from_utf8(message.unwrap().to_vec()).unwrap()
}

/// Security of a server and its clients, by files of one authority that is to be kept.
struct Files {
    _authority: Authority,
    server: Security,
    client: Security,
    /// A client without a certificate that trusts the authority.
    nobody: Security,
}

impl Files {
    fn mutual() -> Self {
        let authority = Authority::new();
        let ca = authority.ca();
        let (certificate, key) = authority.sign("server", &servers_usage());
        let server = Security::mutual(key, certificate, &ca);
        let (certificate, key) = authority.sign("client", &clients_usage());
        let client = Security::mutual(key, certificate, &ca);
        Self {
            _authority: authority,
            server,
            client,
            nobody: Security::unverified("/nowhere"),
        }
    }

    fn unverified() -> Self {
        let (authority, unknown) = (Authority::new(), Authority::new());
        let (certificate, key) = authority.sign("server", &servers_usage());
        let server = Security::Unverified {
            key,
            certificate: Some(certificate),
        };
        let (certificate, key) =
            unknown.sign_key("client", &clients_usage(), &KeyPair::generate().unwrap());
        let copy = |path: PathBuf, name: &str| {
            let kept = authority.path(name);
            write_key(&kept, &std::fs::read_to_string(path).unwrap());
            kept
        };
        let client = Security::Unverified {
            key: copy(key, "shown.key"),
            certificate: Some(copy(certificate, "shown.pem")),
        };
        Self {
            _authority: authority,
            server,
            client,
            nobody: Security::unverified("/nowhere"),
        }
    }
}

/// One client comes and goes.
fn one_client(server: &Security, client: &Security) {
    let server = Server::new(config(4).security(server.clone()));
    assert!(!server.is_running() && !server.is_serving());
    server.start().unwrap();
    assert!(server.is_running() && !server.is_serving());
    let client = connected(&server, client);
    assert!(client.check_connection());
    assert!(server.is_serving());
    assert!(server.check_session(1) && !server.check_session(2));
    assert_eq!(server.sessions_count(), 1);
    client.disconnect();
    assert!(!client.check_connection());
    until("the session ends", || !server.check_session(1));
    assert!(!server.is_serving());
    assert_eq!(server.sessions_count(), 0);
    server.stop();
    assert!(!server.is_running());
}

/// Parity: W-33.
#[test]
fn one_plain_client() {
    one_client(&Security::Plain, &Security::Plain);
}

/// Parity: W-34.
#[test]
fn one_client_over_mutual_tls_and_none_without_a_certificate() {
    let files = Files::mutual();
    one_client(&files.server, &files.client);
    let server = started(config(4).security(files.server.clone()));
    let nobody = Client::new(ClientConfig::default().security(files.nobody));
    // TLS 1.3 clients learn of the refusal with their first read.
    let error = nobody.try_connect("localhost", port(&server)).unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Connect(ws::ConnectError::Tls { .. } | ws::ConnectError::Lost(_))
        ),
        "{error:?}"
    );
    let wrong_name = Client::new(ClientConfig::default().security(files.client));
    assert!(!wrong_name.connect("127.0.0.1", port(&server)));
    assert_eq!(server.sessions_count(), 0);
}

/// Parity: W-35.
#[test]
fn one_client_over_unverified_tls_with_a_certificate_and_without() {
    let files = Files::unverified();
    one_client(&files.server, &files.client);
    one_client(&files.server, &files.nobody);
}

/// Parity: W-35.
#[cfg(feature = "self-signed")]
#[test]
fn a_bare_key_is_enough_for_unverified_tls() {
    let authority = Authority::new();
    let key = authority.path("bare.key");
    write_key(&key, &KeyPair::generate().unwrap().serialize_pem());
    one_client(&Security::unverified(&key), &Security::unverified(&key));
}

/// Parity: W-36.
#[test]
fn the_fifth_client_is_refused_with_503_and_counts_go_down_as_clients_leave() {
    let server = started(config(4));
    let clients: Vec<_> = (0..4)
        .map(|_| connected(&server, &Security::Plain))
        .collect();
    assert_eq!(server.sessions_count(), 4);
    let fifth = Client::default();
    assert!(!fifth.connect("localhost", port(&server)));
    let error = fifth.try_connect("localhost", port(&server)).unwrap_err();
    let ConnectError::Connect(refused) = error else {
        panic!("{error:?}");
    };
    assert_eq!(refused.status(), Some(503));
    assert!(refused.retry_after().is_some());
    for (client, left) in clients.iter().zip([3, 2, 1, 0]) {
        client.disconnect();
        until("one less", || server.sessions_count() == left);
    }
    assert!(fifth.connect("localhost", port(&server)));
}

/// Parity: W-36.
#[test]
fn above_the_limit_over_tls_it_is_503_as_well() {
    let files = Files::unverified();
    let server = started(config(1).security(files.server));
    let _first = connected(&server, &files.client);
    let second = Client::new(ClientConfig::default().security(files.client));
    let error = second.try_connect("localhost", port(&server)).unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    let refused: &ws::ConnectError = source.downcast_ref().unwrap();
    assert_eq!(refused.status(), Some(503));
}

/// Parity: W-37.
#[test]
fn three_tls_clients_and_three_messages_each_way_in_order() {
    let files = Files::mutual();
    let server = started(config(4).security(files.server));
    let clients: Vec<_> = (0..3).map(|_| connected(&server, &files.client)).collect();
    for (id, client) in (1..).zip(&clients) {
        for count in 0..3 {
            assert!(client.send_message(format!("to server {id} {count}").as_bytes()));
            assert!(server.send_message(id, format!("to client {id} {count}").as_bytes()));
        }
    }
    for (id, client) in (1..).zip(&clients) {
        for count in 0..3 {
            assert!(server.wait_inbox(id, Duration::from_mins(1)));
            let got = next("at the server", || server.read_message(id));
            assert_eq!(got, format!("to server {id} {count}"));
            let got = next("at the client", || client.read_message());
            assert_eq!(got, format!("to client {id} {count}"));
        }
        assert!(!server.check_inbox(id) && !client.check_inbox());
        assert!(server.read_message(id).is_none() && client.read_message().is_none());
    }
}

/// Parity: W-38.
#[test]
fn stop_and_start_again() {
    let server = started(config(4));
    let client = connected(&server, &Security::Plain);
    server.send_message(1, b"not read");
    client.send_message(b"not read either");
    until("it arrived", || server.check_inbox(1));
    server.stop();
    assert!(!server.is_running() && !server.is_serving() && !server.check_session(1));
    assert!(!server.check_inbox(1), "forgotten");
    assert!(server.local_addr().is_none());
    until("the client notices", || !client.check_connection());
    server.stop();
    server.start().unwrap();
    server.start().unwrap();
    assert!(
        client.connect("localhost", port(&server)),
        "self disconnected"
    );
    assert!(!client.check_inbox(), "a new connection has a new inbox");
    assert!(server.check_session(1));
}

/// Parity: W-38.
#[test]
fn nobody_there_is_false() {
    let server = started(config(4));
    assert!(!server.send_message(1, b"x"));
    let error = server.try_send(1, b"x").unwrap_err();
    assert!(matches!(error, SendError::NoSession), "{error:?}");
    assert!(server.read_message(1).is_none() && !server.check_inbox(1));
    assert!(
        !server.wait_inbox(1, Duration::from_mins(1)),
        "nothing to wait for"
    );
    server.close_session(1);
    let port = port(&server);
    server.stop();
    let client = Client::default();
    assert!(!client.connect("localhost", port), "a stopped server");
    assert!(!client.send_message(b"x") && client.read_message().is_none());
    client.disconnect();
}

/// Parity: W-38.
#[test]
fn a_session_closed_by_the_server_ends_the_clients_connection() {
    let server = started(config(4));
    let (first, second) = (
        connected(&server, &Security::Plain),
        connected(&server, &Security::Plain),
    );
    server.close_session(1);
    until("the client notices", || !first.check_connection());
    until("the number is free", || !server.check_session(1));
    assert!(second.check_connection() && server.check_session(2));
    assert!(first.connect("localhost", port(&server)));
    assert!(server.check_session(1), "the smallest free number again");
}

/// Parity: W-38, W-05.
#[test]
fn one_server_per_kind_and_other_parameters_are_an_error() {
    let files = Files::unverified();
    let plain = get_instance(config(4)).unwrap();
    assert!(Arc::ptr_eq(&plain, &get_instance(config(4)).unwrap()));
    let error = get_instance(config(5)).unwrap_err();
    assert_eq!(error.existing.sessions_max, 4);
    assert!(error.to_string().contains("127.0.0.1:0"), "{error}");
    let secure = get_instance(config(5).security(files.server)).unwrap();
    plain.start().unwrap();
    secure.start().unwrap();
    let client = connected(&plain, &Security::Plain);
    assert!(destroy(&plain));
    assert!(!plain.is_running());
    until("the client notices", || !client.check_connection());
    assert!(!destroy(&plain), "it is forgotten already");
    let other = get_instance(config(5)).unwrap();
    assert!(!Arc::ptr_eq(&plain, &other));
    other.start().unwrap();
    assert!(client.connect("localhost", port(&other)));
    assert!(destroy(&other) && destroy(&secure));
}

/// Parity: W-39.
#[test]
#[expect(clippy::needless_collect, reason = "all clients connect at once")]
fn twenty_five_clients_at_once() {
    let server = started(config(25));
    let port = port(&server);
    let connecting: Vec<_> = (0..25)
        .map(|_| {
            thread::spawn(move || {
                let client = Client::default();
                assert!(client.connect("localhost", port));
                client
            })
        })
        .collect();
    let clients: Vec<_> = connecting.into_iter().map(|c| c.join().unwrap()).collect();
    assert_eq!(server.sessions_count(), 25);
    assert!((1..=25).all(|id| server.check_session(id)));
    assert!(!Client::default().connect("localhost", port));
    for id in 1..=25 {
        assert!(server.send_message(id, id.to_string().as_bytes()));
    }
    let mut got: Vec<usize> = clients
        .iter()
        .map(|client| {
            next("its number", || client.read_message())
                .parse()
                .unwrap()
        })
        .collect();
    got.sort_unstable();
    assert_eq!(got, (1..=25).collect::<Vec<_>>());
}

/// Parity: W-40.
#[test]
fn a_client_has_one_connection() {
    let (server, other) = (started(config(4)), started(config(4)));
    let client = connected(&server, &Security::Plain);
    assert!(client.connect("localhost", port(&server)), "there already");
    assert_eq!(server.sessions_count(), 1);
    let error = client.try_connect("localhost", port(&other)).unwrap_err();
    assert!(
        matches!(&error, ConnectError::Elsewhere { port: at, .. } if *at == port(&server)),
        "{error:?}"
    );
    client.disconnect();
    assert!(client.connect("localhost", port(&other)));
}

/// Parity: W-41.
#[test]
fn a_server_that_cannot_be_reached_is_false() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let client = Client::default();
    assert!(!client.connect("127.0.0.1", port));
    assert!(!client.connect("no such host", port));
    assert!(!client.check_connection());
}

/// Parity: W-41.
#[test]
fn a_dropped_connection_is_noticed_and_what_it_brought_can_be_read() {
    let server = started(config(1));
    let client = connected(&server, &Security::Plain);
    client.send_message(b"last words");
    until("it arrived", || server.check_inbox(1));
    drop(client); // without a close frame
    until("the session ends", || !server.check_session(1));
    assert_eq!(server.read_message(1).unwrap(), "last words");
    let _next = connected(&server, &Security::Plain);
    assert!(server.check_session(1) && !server.check_inbox(1));
}

/// Parity: W-41.
#[test]
fn a_silent_tcp_connection_takes_no_session_and_holds_nobody_up() {
    let server = started(config(1));
    let _silent: Vec<_> = (0..5)
        .map(|_| std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap())
        .collect();
    let _client = connected(&server, &Security::Plain);
    assert_eq!(server.sessions_count(), 1);
}

#[test]
fn text_that_is_no_utf8_never_leaves_and_binary_is_free() {
    let mut text = config(1);
    text.outgoing = Kind::Text;
    let server = started(text);
    let client = connected(&server, &Security::Plain);
    let error = server.try_send(1, b"\xff").unwrap_err();
    assert!(matches!(error, SendError::NotUtf8), "{error:?}");
    assert!(!client.send_message(b"\xff"));

    let mut binary = config(1);
    binary.outgoing = Kind::Binary;
    let server = started(binary);
    let mut settings = ClientConfig::default();
    settings.outgoing = Kind::Binary;
    let client = Client::new(settings);
    assert!(client.connect("localhost", port(&server)));
    assert!(server.send_message(1, b"\xff") && client.send_message(b"\xfe"));
    until("both arrived", || {
        client.check_inbox() && server.check_inbox(1)
    });
    assert_eq!(client.read(), Some(Message::binary(b"\xff".to_vec())));
    assert_eq!(server.read(1), Some(Message::binary(b"\xfe".to_vec())));
}

#[test]
fn every_message_arrives_in_order_through_a_narrow_inbox() {
    let mut narrow = config(1);
    narrow.inbox = InboxLimits::new(2, 100);
    let server = started(narrow);
    let client = connected(&server, &Security::Plain);
    let sending = thread::spawn(move || {
        for number in 0..2000 {
            assert!(client.send_message(format!("{number:>2000}").as_bytes()));
        }
        client
    });
    for number in 0..2000 {
        let got = next("the next", || server.read_message(1));
        assert_eq!(got.trim(), number.to_string());
    }
    sending.join().unwrap();
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let first = started(config(1));
    let mut taken = config(1);
    taken.address = first.address().unwrap();
    let second = Server::new(taken);
    let error = second.start().unwrap_err();
    assert!(matches!(error, StartError::Start(_)), "{error:?}");
    assert!(!second.is_running());
    let files = Security::mutual("/nowhere/key", "/nowhere/certificate", "/nowhere/ca");
    let error = Server::new(config(1).security(files)).start().unwrap_err();
    assert!(matches!(error, StartError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn an_async_program_waits_for_an_inbox() {
    let server = started(config(1));
    let url = format!("ws://{}/any/path?is=fine", server.local_addr().unwrap());
    let mut client = ws::connect(&url).await.unwrap();
    client.send("hello").await.unwrap();
    assert!(server.inbox_filled(1).await);
    assert_eq!(server.read_message(1).unwrap(), "hello");
    drop(client);
    assert!(!server.inbox_filled(1).await, "the session has ended");
    server.stop();
}
