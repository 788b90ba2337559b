//! Listeners, upstreams and the admin listener on Unix sockets.
//!
//! The kinds there are: an upstream with and without a path, checked and not, gone and back; a listener of each dialect,
//! trusted as a proxy and not; what records, upstreams and statuses call them; a reload that takes a listener away or changes
//! permissions; a hand-over to a successor, which owns the file then.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tidewire::{
    mux,
    net::Address,
    ws::{Client, Message, RunningServer, Server, ServerConfig, WebSocket, connect},
};
use tidewire_gateway::{
    NobodyOwns, Running,
    settings::{AccessLog, Admin, Health, Listener, OutgoingProxyProtocol, Settings},
    start, start_or_take_over,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::support::{Telling, endpoint, in_time, settings};

struct Scene {
    folder: tempfile::TempDir,
    _backend: RunningServer,
}

impl Scene {
    /// A backend that tells what it was asked, then echoes.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            _backend: backend(&folder.path().join("backend")),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A listener, and an endpoint `one` with this path behind the backend's socket.
    fn settings(&self, path: &str) -> Settings {
        let upstream = format!("unix:{}{path}", self.path("backend").display());
        let mut settings = settings(vec![endpoint("one", &[upstream])]);
        settings.listeners = vec![Listener::new(Address::unix(self.path("gateway")))];
        settings
    }

    fn url(&self, target: &str) -> String {
        format!("unix:{}:{target}", self.path("gateway").display())
    }
}

fn backend(path: &Path) -> RunningServer {
    let config = ServerConfig::new(Address::unix(path));
    Server::new(config).route_any(Telling).start().unwrap()
}

async fn text(socket: &mut WebSocket) -> String {
    let Ok(Some(Message::Text(text))) = socket.recv().await else {
        panic!("a text")
    };
    text.to_string()
}

/// Returns the answer of an HTTP listener on a Unix socket.
async fn get(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn plain_clients_go_from_a_unix_socket_to_a_unix_socket() {
    let scene = Scene::new();
    let mut settings = scene.settings(":/ws");
    settings.access_log = Some(AccessLog::File(scene.path("access")));
    let gateway = start(settings).unwrap();
    assert_eq!(gateway.listening(), [Address::unix(scene.path("gateway"))]);
    assert_eq!(gateway.addresses(), []);
    in_time(async {
        let mut socket = connect(&scene.url("/?ROUTENAME=one&a=b")).await.unwrap();
        let head = text(&mut socket).await;
        assert!(head.starts_with("GET /ws?a=b HTTP/1.1"), "{head}");
        assert!(head.contains("Host: localhost\r\n"), "{head}");
        assert!(
            !head.to_ascii_lowercase().contains("x-forwarded-for"),
            "{head}"
        );
        socket.send("x").await.unwrap();
        assert_eq!(text(&mut socket).await, "x");
        drop(socket);
        assert!(gateway.stop().await);
    })
    .await;
    assert!(!scene.path("gateway").exists());
    let record = fs::read_to_string(scene.path("access")).unwrap();
    let upstream = format!("\"upstream\":\"unix:{}\"", scene.path("backend").display());
    assert!(
        record.contains("\"client\":\"unix:\"") && record.contains(&upstream),
        "{record}"
    );
}

#[tokio::test]
async fn sockets_of_the_mux_go_over_unix_sockets_too() {
    let scene = Scene::new();
    let _gateway = start(scene.settings("")).unwrap();
    in_time(async {
        let client = mux::connect(&scene.url("/")).await.unwrap();
        let mut one = client.endpoint("one").await.unwrap();
        assert!(matches!(one.recv().await.unwrap(), Some(Message::Text(_))));
    })
    .await;
}

#[tokio::test]
async fn a_proxy_on_a_unix_socket_is_believed_if_unix_is_trusted() {
    let scene = Scene::new();
    for (trusted, told) in [(true, "X-Forwarded-For: 203.0.113.9\r\n"), (false, "")] {
        let mut settings = scene.settings("");
        if trusted {
            settings.listeners[0].trusted_proxies = vec!["unix".parse().unwrap()];
        }
        let gateway = start(settings).unwrap();
        in_time(async {
            let client = Client::new(&scene.url("/?ROUTENAME=one")).unwrap();
            let client = client.header("X-Forwarded-For", "203.0.113.9");
            let head = text(&mut client.connect().await.unwrap()).await;
            assert_eq!(head.contains("203.0.113.9"), trusted, "{head}");
            assert!(head.contains(told), "{head}");
            assert!(gateway.stop().await);
        })
        .await;
    }
}

#[tokio::test]
async fn a_backend_behind_a_unix_socket_is_told_of_clients_by_the_proxy_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend");
    let mut config = ServerConfig::new(Address::unix(&path));
    config.proxy_protocol = tidewire::ws::ProxyProtocol::Required {
        trusted: vec!["unix".parse().unwrap()],
    };
    let tell = |mut socket: WebSocket| async move {
        let address = socket.peer().client_address();
        socket.send(format!("{address:?}")).await.ok();
    };
    let _backend = Server::new(config).route_any(tell).start().unwrap();
    for version in [OutgoingProxyProtocol::V1, OutgoingProxyProtocol::V2] {
        let mut one = endpoint("one", &[format!("unix:{}", path.display())]);
        one.proxy_protocol = Some(version);
        let mut settings = settings(vec![one]);
        let listener = Listener::new(Address::unix(folder.path().join("gateway")));
        settings.listeners.push(listener);
        settings.listeners[1].trusted_proxies = vec!["unix".parse().unwrap()];
        let gateway = start(settings).unwrap();
        in_time(async {
            let url = format!("ws://{}/?ROUTENAME=one", gateway.addresses()[0]);
            let told = text(&mut connect(&url).await.unwrap()).await;
            assert!(told.starts_with("Some(127.0.0.1:"), "{told}");
            let url = format!("{}:/?ROUTENAME=one", gateway.listening()[1]);
            let told = text(&mut connect(&url).await.unwrap()).await;
            assert_eq!(told, "None", "nothing is known of the client");
            assert!(gateway.stop().await);
        })
        .await;
    }
}

#[tokio::test]
async fn a_unix_socket_is_checked_found_missing_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend");
    let mut one = endpoint("one", &[format!("unix:{}:/ws", path.display())]);
    one.health = Some(Health {
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(20),
        ..Health::default()
    });
    let mut settings = settings(vec![one]);
    settings.admin = Some(Admin::new(Address::unix(folder.path().join("admin"))));
    let mut gateway = start(settings).unwrap();
    gateway.serve_admin(Arc::new(NobodyOwns)).unwrap();
    in_time(async {
        let url = format!("ws://{}/?ROUTENAME=one", gateway.addresses()[0]);
        let admin = folder.path().join("admin");
        let shown = async |expected: &str| {
            while !get(&admin, "/api/v1/endpoints").await.contains(expected) {
                tokio::task::yield_now().await;
            }
        };
        shown("\"health\":\"unhealthy\"").await;
        shown("cannot reach unix:").await;
        assert!(connect(&url).await.is_err());
        let backend = backend(&path);
        shown("\"health\":\"healthy\"").await;
        text(&mut connect(&url).await.unwrap()).await;
        shown(&format!("\"address\":\"unix:{}:/ws\"", path.display())).await;
        drop(backend);
        shown("\"health\":\"unhealthy\"").await;
        assert!(gateway.stop().await);
    })
    .await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_reload_changes_permissions_and_takes_sockets_away() {
    let scene = Scene::new();
    let mut settings = scene.settings("");
    let gateway = start(settings.clone()).unwrap();
    in_time(async {
        let mode = || {
            fs::metadata(scene.path("gateway"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(), 0o660);
        settings.listeners[0].unix.mode = 0o600;
        let second = Address::unix(scene.path("second"));
        settings.listeners.push(Listener::new(second.clone()));
        gateway.reload(settings.clone()).unwrap();
        assert_eq!(mode(), 0o600);
        assert!(scene.path("second").exists());
        let url = format!("{second}:/?ROUTENAME=one");
        let mut socket = connect(&url).await.unwrap();
        text(&mut socket).await;
        settings.listeners.pop();
        gateway.reload(settings).unwrap();
        assert!(!scene.path("second").exists());
        assert!(connect(&url).await.is_err());
        socket.send("still there").await.unwrap();
        assert_eq!(text(&mut socket).await, "still there");
    })
    .await;
}

#[tokio::test]
async fn a_successor_takes_the_sockets_and_their_files_over() {
    let scene = Scene::new();
    let mut settings = scene.settings("");
    settings.handover = Some(scene.path("handover"));
    settings.admin = Some(Admin::new(Address::unix(scene.path("admin"))));
    in_time(async {
        let mut running = Vec::new();
        for _ in 0..3 {
            let mut gateway = start_or_take_over(settings.clone()).await.unwrap();
            gateway.serve_admin(Arc::new(NobodyOwns)).unwrap();
            running.push(operate(gateway));
            text(&mut connect(&scene.url("/?ROUTENAME=one")).await.unwrap()).await;
            assert!(
                get(&scene.path("admin"), "/health")
                    .await
                    .contains("200 OK")
            );
            if running.len() == 3 {
                break;
            }
        }
        let (operator, last) = running.pop().unwrap();
        for (_operator, ended) in running {
            assert!(ended.await.unwrap());
        }
        text(&mut connect(&scene.url("/?ROUTENAME=one")).await.unwrap()).await;
        operator.stop();
        assert!(last.await.unwrap());
        let left: Vec<_> = fs::read_dir(scene.folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "the backend's: {left:?}");
    })
    .await;
}

fn operate(gateway: Running) -> (tidewire_gateway::Operator, tokio::task::JoinHandle<bool>) {
    let (operator, requests) = gateway.operator();
    let load = Box::new(|| Err("nothing to load".to_owned()));
    (operator, tokio::spawn(gateway.operate(requests, load)))
}
