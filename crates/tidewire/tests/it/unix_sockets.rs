//! Servers and clients on Unix domain sockets: everything that TCP has, and what only a socket with a file has.
//!
//! The kinds there are: a path, a name in the abstract namespace; at the path nothing, a socket of a dead process, one of
//! a living process, a file, a link, a folder that is not there; permissions other than the umask's; the end of a server by
//! drain, drop, and after a hand-over; plain bytes and TLS, HTTP and WebSocket, clients by URL and by address; a
//! PROXY header and forwarded addresses, trusted and not; limits per address, which a client without one does not have.

use std::{
    fs,
    io::ErrorKind,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use tidewire::{
    net::{Address, Listener, UnixOptions},
    proto::proxy::{Header, Network},
    service::{StartError, Workers},
    tls::ClientTls,
    ws::{
        Client, ConnectError, Message, ProxyProtocol, RunningServer, Server, ServerConfig,
        WebSocket, client_ip,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::tls::Authority;

/// Long enough for anything that happens at all.
const HANG: Duration = Duration::from_secs(30);

/// A folder for sockets, with a path that is short enough.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    (folder, path)
}

fn server(address: impl Into<Address>, change: impl FnOnce(&mut ServerConfig)) -> Server {
    let mut config = ServerConfig::new(address.into());
    config.workers = Workers::Pool;
    change(&mut config);
    Server::new(config).route("/who", tell)
}

fn start(path: &Path) -> Result<RunningServer, StartError> {
    server(Address::unix(path), |_config| {}).start()
}

/// Tells who the client is, then repeats.
async fn tell(mut socket: WebSocket, request: tidewire::ws::Request) {
    let peer = socket.peer();
    let host = request.head.single("host").unwrap_or_default();
    let host = String::from_utf8_lossy(host);
    let text = format!(
        "{} {} {:?} {host}",
        peer.remote().unwrap(),
        peer.is_local(),
        peer.client_address().map(|it| it.to_string())
    );
    socket.send(text).await.ok();
    while let Ok(Some(message)) = socket.recv().await {
        socket.send(message).await.ok();
    }
}

async fn text(socket: &mut WebSocket) -> String {
    let Ok(Some(Message::Text(text))) = socket.recv().await else {
        panic!("a text")
    };
    text.to_string()
}

/// Why a server did not start, cause included.
fn why(started: Result<RunningServer, StartError>) -> String {
    tidewire::ErrorChain(&started.expect_err("no start")).to_string()
}

#[tokio::test]
async fn clients_reach_a_server_by_url_and_by_address() {
    let (_folder, path) = folder();
    let running = start(&path).unwrap();
    assert_eq!(running.address(), &Address::unix(&path));
    let path = path.display();
    for (url, host) in [
        (format!("unix:{path}:/who"), "localhost"),
        (format!("ws+unix:{path}:/who?a=b"), "localhost"),
        (format!("unix://{path}:/who"), "localhost"),
    ] {
        let mut socket = tidewire::ws::connect(&url).await.unwrap();
        assert_eq!(text(&mut socket).await, format!("unix: true None {host}"));
        socket.send("x".repeat(100_000)).await.unwrap();
        assert_eq!(text(&mut socket).await.len(), 100_000);
        assert_eq!(socket.peer().unix.unwrap().user, Some(rustix_uid()));
        socket
            .close(tidewire::ws::CloseCode::NORMAL, "")
            .await
            .unwrap();
    }
    let client = Client::new("ws://example.org/who").unwrap();
    let client = client.address(running.address().clone());
    let mut socket = client.connect().await.unwrap();
    assert_eq!(text(&mut socket).await, "unix: true None example.org");
    assert!(running.stats().sessions >= 1);
}

fn rustix_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_name_in_the_abstract_namespace_has_no_file() {
    let name = format!("tidewire-test-{}", std::process::id());
    let running = server(Address::unix_abstract(&name), |_config| {})
        .start()
        .unwrap();
    assert_eq!(running.address().to_string(), format!("unix:@{name}"));
    let mut socket = tidewire::ws::connect(&format!("unix:@{name}:/who"))
        .await
        .unwrap();
    assert_eq!(text(&mut socket).await, "unix: true None localhost");
    let taken = server(Address::unix_abstract(&name), |_config| {}).start();
    assert!(why(taken).contains("in use"));
}

#[tokio::test]
async fn with_a_runtime_per_core_all_threads_share_the_socket() {
    let (_folder, path) = folder();
    let config = |config: &mut ServerConfig| {
        config.workers = Workers::PerCore(3.try_into().unwrap());
    };
    let running = server(Address::unix(&path), config).start().unwrap();
    assert_eq!(running.listeners().len(), 1);
    for _ in 0..20 {
        let url = format!("unix:{}:/who", path.display());
        let mut socket = tidewire::ws::connect(&url).await.unwrap();
        text(&mut socket).await;
    }
    assert!(running.drain(HANG).await);
    assert!(!path.exists());
}

#[tokio::test]
async fn tls_goes_over_a_unix_socket_and_a_client_without_it_is_told() {
    let (_folder, path) = folder();
    let authority = Authority::new();
    let tls = authority.server_called("localhost");
    let running = server(Address::unix(&path), |config| config.tls = Some(tls))
        .start()
        .unwrap();
    let client = Client::new(&format!("wss+unix:{}:/who", path.display())).unwrap();
    let client = client.tls(ClientTls::with_ca(&authority.ca()).unwrap());
    let mut socket = client.connect().await.unwrap();
    assert_eq!(text(&mut socket).await, "unix: true None localhost");
    assert!(socket.peer().secure);
    let mut plain = UnixStream::connect(&path).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("TLS"),
        "{answer}"
    );
    drop(running);
    // And the other way round: a server without TLS.
    let running = start(&path).unwrap();
    let error = client.connect().await.expect_err("no TLS there");
    let ConnectError::OtherProtocol { host, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(host, &running.address().to_string());
}

#[tokio::test]
async fn the_file_has_the_permissions_that_were_asked_for_and_goes_with_the_server() {
    let (_folder, path) = folder();
    for (options, mode) in [
        (UnixOptions::default(), 0o660),
        (UnixOptions::default().mode(0o600), 0o600),
        (UnixOptions::default().mode(0o666), 0o666),
    ] {
        let running = server(Address::unix(&path), |config| config.unix = options)
            .start()
            .unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
        drop(running);
        assert!(!path.exists());
    }
    let foreign = UnixOptions::default().group(u32::MAX - 7);
    let refused = server(Address::unix(&path), |config| config.unix = foreign).start();
    if rustix_uid() != 0 {
        assert!(why(refused).contains("group"));
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn the_socket_of_a_dead_process_is_replaced_and_that_of_a_living_one_is_not() {
    let (_folder, path) = folder();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind");
    let running = start(&path).unwrap();
    let told = why(start(&path));
    assert!(told.contains("another process listens there"), "{told}");
    let mut socket = tidewire::ws::connect(&format!("unix:{}:/who", path.display()))
        .await
        .unwrap();
    text(&mut socket).await;
    drop(running);
    // A datagram socket is somebody's, too.
    let other = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let told = why(start(&path));
    assert!(told.contains("another process listens there"), "{told}");
    drop(other);
    drop(start(&path).unwrap());
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone_and_told_in_words() {
    let (folder, path) = folder();
    fs::write(&path, "precious").unwrap();
    let told = why(start(&path));
    assert!(told.contains("no socket"), "{told}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let link = folder.path().join("link");
    drop(UnixListener::bind(folder.path().join("dead")).unwrap());
    symlink(folder.path().join("dead"), &link).unwrap();
    assert!(why(start(&link)).contains("no socket"));
    assert!(link.is_symlink());
    assert!(why(start(folder.path())).contains("no socket"));
    let nowhere = folder.path().join("none/a.sock");
    let told = why(start(&nowhere));
    assert!(
        told.contains("does not exist") && told.contains("none"),
        "{told}"
    );
    let long = folder.path().join("x".repeat(108));
    let told = why(start(&long));
    assert!(told.contains("107 bytes at most"), "{told}");
    let error = Client::new("ws://localhost/")
        .unwrap()
        .address(Address::unix(&long));
    let error = error.connect().await.expect_err("too long");
    assert!(
        tidewire::ErrorChain(&error)
            .to_string()
            .contains("107 bytes at most")
    );
}

#[tokio::test]
async fn a_successor_gets_the_listener_and_the_file() {
    let (_folder, path) = folder();
    let mut first = start(&path).unwrap();
    let handed: Vec<Listener> = first
        .listeners()
        .iter()
        .map(|it| it.try_clone().unwrap())
        .collect();
    // As another process has it: a bare descriptor.
    let bare = handed.iter().map(|listener| {
        use std::os::fd::AsFd as _;
        let descriptor = listener.as_fd().try_clone_to_owned().unwrap();
        Listener::try_from(descriptor).unwrap()
    });
    let second = server(Address::unix(&path), |_config| {})
        .start_on(bare)
        .unwrap();
    assert!(handed[0].is_file_owner() && !second.listeners()[0].is_file_owner());
    handed[0].leave_file();
    second.listeners()[0].own_file();
    drop(handed);
    first.stop_accepting();
    drop(first);
    assert!(path.exists(), "the successor's");
    let url = format!("unix:{}:/who", path.display());
    text(&mut tidewire::ws::connect(&url).await.unwrap()).await;
    drop(second);
    assert!(!path.exists());
    // One of the standard library is somebody else's, for example a service manager's.
    let listener = UnixListener::bind(&path).unwrap();
    let running = server(Address::unix(&path), |_config| {})
        .start_on([listener])
        .unwrap();
    text(&mut tidewire::ws::connect(&url).await.unwrap()).await;
    drop(running);
    assert!(path.exists());
}

#[tokio::test]
async fn another_file_that_took_the_place_of_ours_stays() {
    let (_folder, path) = folder();
    let running = start(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(running);
    assert!(path.exists());
    drop(other);
}

#[tokio::test]
async fn a_server_is_started_again_on_the_same_path() {
    let (_folder, path) = folder();
    let server = server(Address::unix(&path), |_config| {});
    for _ in 0..3 {
        let running = server.start().unwrap();
        let url = format!("unix:{}:/who", path.display());
        text(&mut tidewire::ws::connect(&url).await.unwrap()).await;
        assert!(running.drain(HANG).await);
    }
}

#[tokio::test]
async fn clients_without_an_address_have_no_limit_per_address_and_those_of_a_balancer_do() {
    let (_folder, path) = folder();
    let limited = |config: &mut ServerConfig| config.limits.per_ip_max = 1;
    let running = server(Address::unix(&path), limited).start().unwrap();
    let url = format!("unix:{}:/who", path.display());
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut socket = tidewire::ws::connect(&url).await.unwrap();
        text(&mut socket).await;
        open.push(socket);
    }
    drop((running, open));
    let proxied = |config: &mut ServerConfig| {
        config.limits.per_ip_max = 1;
        config.proxy_protocol = ProxyProtocol::Required {
            trusted: vec![Network::UNIX],
        };
    };
    let running = server(Address::unix(&path), proxied).start().unwrap();
    let header = Header::tcp(
        "203.0.113.9:4711".parse().unwrap(),
        "198.51.100.1:443".parse().unwrap(),
    );
    let client = Client::new(&url).unwrap().preface(header.encode_v1());
    let mut socket = client.connect().await.unwrap();
    assert_eq!(
        text(&mut socket).await,
        "unix: true Some(\"203.0.113.9:4711\") localhost"
    );
    assert_eq!(
        client
            .connect()
            .await
            .expect_err("one of an address")
            .status(),
        Some(503)
    );
    drop((running, socket));
    let elsewhere = |config: &mut ServerConfig| {
        config.proxy_protocol = ProxyProtocol::Required {
            trusted: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        };
    };
    let _running = server(Address::unix(&path), elsewhere).start().unwrap();
    assert!(
        matches!(client.connect().await, Err(ConnectError::Lost(_))),
        "not trusted"
    );
}

#[tokio::test]
async fn forwarded_addresses_are_believed_on_a_unix_socket_if_that_is_trusted() {
    let (_folder, path) = folder();
    for (trusted, expected) in [("unix", "Some(203.0.113.9)"), ("0.0.0.0/0", "None")] {
        let mut config = ServerConfig::new(Address::unix(&path));
        config.workers = Workers::Pool;
        config.limits.per_ip_max = 1;
        config.trusted_proxies.networks = vec![trusted.parse().unwrap()];
        let proxies = config.trusted_proxies.clone();
        let tell = move |mut socket: WebSocket, request: tidewire::ws::Request| {
            let found = client_ip(&request.peer, &request.head, &proxies);
            async move {
                socket.send(format!("{found:?}")).await.ok();
                socket.recv().await.ok();
            }
        };
        let _running = Server::new(config).route("/", tell).start().unwrap();
        let client = Client::new(&format!("unix:{}", path.display())).unwrap();
        let client = client.header("X-Forwarded-For", "203.0.113.9");
        let mut socket = client.connect().await.unwrap();
        assert_eq!(text(&mut socket).await, expected);
        let second = client.connect().await;
        assert_eq!(
            second.is_ok(),
            trusted != "unix",
            "counted for the client that is told"
        );
    }
}

#[tokio::test]
async fn errors_name_the_socket_and_the_reason() {
    let (folder, path) = folder();
    let connect = || tidewire::ws::connect("unix:/none/of/this.sock:/ws");
    let error = connect().await.expect_err("nothing there");
    let told = tidewire::ErrorChain(&error).to_string();
    assert!(
        told.contains("cannot reach unix:/none/of/this.sock") && !told.contains(":80"),
        "{told}"
    );
    drop(UnixListener::bind(&path).unwrap());
    let error = tidewire::ws::connect(&format!("unix:{}", path.display())).await;
    let ConnectError::Io { source, .. } = error.expect_err("nobody there") else {
        panic!("another error")
    };
    assert_eq!(source.kind(), ErrorKind::ConnectionRefused);
    drop(folder);
}
