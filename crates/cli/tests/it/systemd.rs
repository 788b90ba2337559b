//! What the service manager is told, through `NOTIFY_SOCKET`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
    process::Stdio,
    sync::Arc,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixDatagram, UnixStream},
    process::{Child, Command},
};

use crate::{
    program::{BINARY, command, signal, tidewire},
    run,
    server::Home,
};

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    directory: Arc<TempDir>,
}

impl Manager {
    fn new() -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        Self {
            socket: UnixDatagram::bind(directory.path().join("notify")).expect("bindable"),
            directory,
        }
    }

    fn listens_to(&self, command: &mut std::process::Command) {
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns what is told next; its lines.
    async fn told(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let count = self.socket.recv(&mut buffer).await.expect("a datagram");
        let text = std::str::from_utf8(&buffer[..count]).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }

    /// Expects that what is told next is `first`, with this in its status.
    async fn is_told(&self, first: &str, status: &str) -> Vec<String> {
        let told = self.told().await;
        assert_eq!(told[0], first, "{told:?}");
        let last = told.last().expect("two lines");
        assert!(
            last.starts_with("STATUS=") && last.contains(status),
            "{told:?} without {status:?}"
        );
        told
    }

    /// A gateway of `gateway.toml`.
    fn gateway(&self, environment: &[(&str, &str)]) -> Child {
        let mut command = tidewire(self.path(), &["gateway", "--config", "gateway.toml"]);
        self.listens_to(&mut command);
        command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.path().join("errors")).expect("writable"));
        Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts")
    }

    fn configure(&self, endpoints: &[&str]) {
        let listener = "handover = \"handover.sock\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
        let text = endpoints.iter().fold(listener.to_owned(), |text, name| {
            text + "[endpoints." + name + "]\nupstreams = [\"ws://127.0.0.1:1/\"]\n"
        });
        fs::write(self.path().join("gateway.toml"), text).expect("writable");
    }
}

#[test]
fn a_server_tells_that_it_is_ready_and_that_it_stops() {
    run(async {
        let manager = Manager::new();
        let home = Home::new("");
        let mut command = home.command();
        manager.listens_to(&mut command);
        let server = home.start_by(command).await;
        let url = server.url("messaging").to_owned();
        manager.is_told("READY=1", &url).await;
        server.stop().await;
        manager.is_told("STOPPING=1", "stopping").await;
    });
}

#[test]
fn a_gateway_tells_of_reloads_good_and_bad() {
    run(async {
        let manager = Manager::new();
        manager.configure(&["a"]);
        let mut gateway = manager.gateway(&[]);
        let pid = gateway.id().expect("it runs");
        manager.is_told("READY=1", "serving ws://127.0.0.1:").await;

        manager.configure(&["a", "b"]);
        signal("HUP", pid);
        let told = manager.is_told("RELOADING=1", "reading").await;
        let time = told[1].strip_prefix("MONOTONIC_USEC=").expect("the time");
        assert!(time.parse::<u64>().expect("a number") > 0);
        manager.is_told("READY=1", "; reloaded: ").await;

        fs::write(manager.path().join("gateway.toml"), "wrong = 1\n").expect("writable");
        signal("HUP", pid);
        manager.is_told("RELOADING=1", "reading").await;
        let told = manager.is_told("READY=1", "; not reloaded: ").await;
        assert_eq!(told.len(), 2, "an error is one line: {told:?}");

        signal("TERM", pid);
        manager.is_told("STOPPING=1", "stopping").await;
        assert_eq!(gateway.wait().await.expect("a child").code(), Some(0));
    });
}

#[test]
fn a_new_process_becomes_the_main_one_and_the_old_one_is_silent() {
    run(async {
        let manager = Manager::new();
        manager.configure(&["a"]);
        // The variable names the process that the service manager has started.
        let mut old = manager.gateway(&[("WATCHDOG_USEC", "3600000000"), ("WATCHDOG_PID", "1")]);
        manager.is_told("READY=1", "serving").await;
        signal("USR2", old.id().expect("it runs"));
        let told = manager.told().await;
        let new = told[0].strip_prefix("MAINPID=").expect("the new process");
        let new: u32 = new.parse().expect("a number");
        assert_ne!(Some(new), old.id());
        // From the new one, which is looked for by the watchdog too now.
        manager.is_told("READY=1", "serving").await;
        assert_eq!(manager.told().await, ["WATCHDOG=1"]);
        assert_eq!(old.wait().await.expect("a child").code(), Some(0));

        signal("TERM", new);
        manager.is_told("STOPPING=1", "stopping").await;
        // It is nobody's child any more.
        while manager.path().join("handover.sock").exists() {
            tokio::task::yield_now().await;
        }
        let errors = fs::read_to_string(manager.path().join("errors")).expect("readable");
        assert!(
            !errors.contains("WARN") && !errors.contains("ERROR"),
            "{errors}"
        );
    });
}

#[test]
fn a_gateway_that_nobody_can_take_over_from_stays_when_it_is_asked_for_a_new_process() {
    run(async {
        let manager = Manager::new();
        let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[endpoints.a]\nupstreams = [\"ws://127.0.0.1:1/\"]\n";
        fs::write(manager.path().join("gateway.toml"), text).expect("writable");
        let mut gateway = manager.gateway(&[]);
        manager.is_told("READY=1", "serving").await;
        signal("USR2", gateway.id().expect("it runs"));
        let errors = manager.path().join("errors");
        while !fs::read_to_string(&errors)
            .expect("readable")
            .contains("\"handover\"")
        {
            tokio::task::yield_now().await;
        }
        signal("TERM", gateway.id().expect("it runs"));
        manager.is_told("STOPPING=1", "stopping").await;
        assert_eq!(gateway.wait().await.expect("a child").code(), Some(0));
    });
}

#[test]
fn the_watchdog_is_fed_again_and_again() {
    run(async {
        let manager = Manager::new();
        manager.configure(&["a"]);
        let gateway = manager.gateway(&[("WATCHDOG_USEC", "20000")]);
        manager.is_told("READY=1", "serving").await;
        for _ in 0..3 {
            assert_eq!(manager.told().await, ["WATCHDOG=1"]);
        }
        drop(gateway);
    });
}

/// A listening socket, as a service manager passes it to a program that it starts: from descriptor 3 on.
fn activated(manager: &Manager, address: &str, arguments: &[&str]) -> (SocketAddr, Child) {
    let socket = TcpListener::bind(address).expect("bindable");
    let bound = socket.local_addr().expect("an address");
    // Connections come before the program is there.
    socket.set_nonblocking(true).expect("a socket");
    (bound, start_with(manager, [socket.into()], arguments))
}

/// Starts the program with one socket or two.
fn start_with<const N: usize>(
    manager: &Manager,
    sockets: [OwnedFd; N],
    arguments: &[&str],
) -> Child {
    let script =
        format!("exec 3<&0 4>&1 >/dev/null; LISTEN_PID=$$ LISTEN_FDS={N} exec \"$0\" \"$@\"");
    let mut command = command("sh", manager.path());
    command.args(["-c", &script, BINARY]).args(arguments);
    manager.listens_to(&mut command);
    let mut sockets = sockets.into_iter().map(Stdio::from);
    command
        .stdin(sockets.next().expect("a socket"))
        .stdout(sockets.next().unwrap_or_else(Stdio::null))
        .stderr(fs::File::create(manager.path().join("errors")).expect("writable"));
    let child = Command::from(command).kill_on_drop(true).spawn();
    child.expect("the program starts")
}

/// A port that was free.
fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("bindable");
    socket.local_addr().expect("an address").port()
}

#[test]
fn a_gateway_takes_a_socket_that_was_bound_for_it() {
    run(async {
        let manager = Manager::new();
        let port = free_port();
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:{port}\"\n[endpoints.a]\nupstreams = [\"ws://127.0.0.1:1/\"]\n"
        );
        fs::write(manager.path().join("gateway.toml"), text).expect("writable");
        let arguments = ["gateway", "--config", "gateway.toml"];
        let address = format!("127.0.0.1:{port}");
        let (bound, mut gateway) = activated(&manager, &address, &arguments);
        // Nobody else could have bound it: ours is the only socket there.
        let mut early = TcpStream::connect(bound).await.expect("connectable");
        manager.is_told("READY=1", &address).await;
        early
            .write_all(b"GET / HTTP/1.0\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = Vec::new();
        early.read_to_end(&mut answer).await.expect("an answer");
        assert!(answer.starts_with(b"HTTP/1."));
        signal("TERM", gateway.id().expect("it runs"));
        manager.is_told("STOPPING=1", "stopping").await;
        assert_eq!(gateway.wait().await.expect("a child").code(), Some(0));
    });
}

#[test]
fn a_gateway_takes_a_unix_socket_that_was_bound_for_it_and_leaves_its_file() {
    run(async {
        let manager = Manager::new();
        let path = manager.path().join("app.sock");
        let socket = UnixListener::bind(&path).expect("bindable");
        socket.set_nonblocking(true).expect("a socket");
        let text = format!(
            "[[listeners]]\naddress = \"unix:{}\"\n[endpoints.a]\nupstreams = [\"ws://127.0.0.1:1/\"]\n",
            path.display()
        );
        fs::write(manager.path().join("gateway.toml"), text).expect("writable");
        // A connection waits before the program is there.
        let mut early = UnixStream::connect(&path).await.expect("connectable");
        let arguments = ["gateway", "--config", "gateway.toml"];
        let mut gateway = start_with(&manager, [socket.into()], &arguments);
        manager.is_told("READY=1", "serving unix:").await;
        early
            .write_all(b"GET /healthz HTTP/1.0\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = Vec::new();
        early.read_to_end(&mut answer).await.expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        signal("TERM", gateway.id().expect("it runs"));
        manager.is_told("STOPPING=1", "stopping").await;
        assert_eq!(gateway.wait().await.expect("a child").code(), Some(0));
        assert!(path.exists(), "the service manager's");
    });
}

async fn is_healthy(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let probe = b"GET /health HTTP/1.0\r\n\r\n";
    socket.write_all(probe).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
}

#[test]
fn a_server_takes_a_unix_socket_and_a_port_that_were_bound_for_it() {
    run(async {
        let manager = Manager::new();
        let path = manager.path().join("chat.sock");
        let chat = UnixListener::bind(&path).expect("bindable");
        chat.set_nonblocking(true).expect("a socket");
        let rest = TcpListener::bind("127.0.0.1:0").expect("bindable");
        rest.set_nonblocking(true).expect("a socket");
        let port = rest.local_addr().expect("an address");
        // Connections wait before the program is there.
        let over_unix = UnixStream::connect(&path).await.expect("connectable");
        let over_tcp = TcpStream::connect(port).await.expect("connectable");
        let (unix, port) = (format!("unix:{}", path.display()), port.to_string());
        let data = manager.path().join("data").display().to_string();
        let arguments = [
            "serve",
            "--data-dir",
            &data,
            "--listen",
            &unix,
            "--rest-listen",
            &port,
        ];
        let mut server = start_with(&manager, [chat.into(), rest.into()], &arguments);
        manager.is_told("READY=1", "unix:").await;
        is_healthy(over_unix).await;
        is_healthy(over_tcp).await;
        signal("TERM", server.id().expect("it runs"));
        manager.is_told("STOPPING=1", "stopping").await;
        assert_eq!(server.wait().await.expect("a child").code(), Some(0));
        assert!(path.exists(), "the service manager's");
        let errors = fs::read_to_string(manager.path().join("errors")).expect("readable");
        assert!(!errors.contains("WARN"), "{errors}");
    });
}

#[test]
fn a_server_tells_of_a_socket_for_which_it_has_no_listener() {
    run(async {
        let manager = Manager::new();
        let data = manager.path().join("data");
        let data = data.to_str().expect("UTF-8");
        let arguments = [
            "serve",
            "--data-dir",
            data,
            "--listen",
            "127.0.0.1:0",
            "--rest-listen",
            "127.0.0.1:0",
        ];
        let (bound, server) = activated(&manager, "127.0.0.1:0", &arguments);
        manager.is_told("READY=1", "").await;
        let errors = fs::read_to_string(manager.path().join("errors")).expect("readable");
        assert!(
            errors.contains(&bound.to_string()) && errors.contains("no listener is configured"),
            "{errors}"
        );
        drop(server);
    });
}
