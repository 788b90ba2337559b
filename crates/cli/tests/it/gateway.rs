//! The gateway as a process: ready, reload, log, stop.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tempfile::TempDir;
use tidewire::ws::{Client, CloseCode, Message, RunningServer, Server, ServerConfig, WebSocket};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout},
};

use crate::{
    program::{signal, tidewire},
    run,
};

/// A backend that answers each text with `name`.
pub(crate) fn backend(name: &'static str) -> RunningServer {
    let config = ServerConfig::new("127.0.0.1:0".parse().expect("an address"));
    Server::new(config)
        .route("/", move |mut socket: WebSocket| async move {
            while let Ok(Some(_)) = socket.recv().await {
                if socket.send(Message::text(name)).await.is_err() {
                    break;
                }
            }
        })
        .start()
        .expect("it starts")
}

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    directory: Arc<TempDir>,
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) url: String,
}

impl Gateway {
    /// With this config.ini.
    async fn start(config: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("config.ini"), config).expect("writable");
        Self::start_in(Arc::new(directory), "config.ini", arguments).await
    }

    /// With the configuration that is there.
    pub(crate) async fn start_in(
        directory: Arc<TempDir>,
        config: &str,
        arguments: &[&str],
    ) -> Self {
        let errors = File::options()
            .append(true)
            .create(true)
            .open(directory.path().join("errors"))
            .expect("writable");
        let first = ["gateway", "--config", config, "--listen", "127.0.0.1:0"];
        let mut command = tidewire(directory.path(), &[&first, arguments].concat());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).await.expect("UTF-8");
        let Some(url) = line.strip_prefix("gateway    ") else {
            panic!("not ready: {line:?} {}", read(directory.path(), "errors"));
        };
        Self {
            url: url.trim_end().to_owned(),
            directory,
            child,
            stdout,
        }
    }

    /// Returns what the endpoint `name` answers, or `None` when it cannot be reached.
    async fn ask(&self, name: &str) -> Option<String> {
        let url = format!("{}?ROUTENAME={name}", self.url);
        let mut socket = Client::new(&url).expect("a URL").connect().await.ok()?;
        socket.send(Message::text("who?")).await.expect("open");
        match socket.recv().await.expect("open") {
            Some(Message::Text(text)) => Some(text.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// The URL of its admin listener; to be asked for once.
    pub(crate) async fn admin(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).await.expect("UTF-8");
        let url = line.strip_prefix("admin ").expect("the next line");
        url.trim().to_owned()
    }

    fn write_config(&self, config: &str) {
        fs::write(self.directory.path().join("config.ini"), config).expect("writable");
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id().expect("it runs"));
    }

    fn text_of(&self, name: &str) -> String {
        read(self.directory.path(), name)
    }

    /// Waits until the file `name` has `part` in it.
    pub(crate) async fn until(&self, name: &str, part: &str) {
        while !self.text_of(name).contains(part) {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn stop(mut self) {
        self.signal("TERM");
        let status = self.child.wait().await.expect("a child");
        assert_eq!(status.code(), Some(0), "{}", self.text_of("errors"));
    }
}

fn read(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).expect("readable")
}

fn section(title: &str, server: &RunningServer) -> String {
    let port = server.local_addr().port();
    format!("[{title}]\nName = {title}\nPort = {port}\nResume = no\n")
}

/// Parity: M-05, M-29.
#[test]
fn a_config_ini_is_all_it_needs() {
    run(async {
        let (one, two) = (backend("one"), backend("two"));
        let config = section("Endpoint1", &one) + &section("Endpoint2", &two) + "\nUsage\n";
        let gateway = Gateway::start(&config, &[]).await;
        assert_eq!(gateway.ask("endpoint1").await.as_deref(), Some("one"));
        assert_eq!(gateway.ask("ENDPOINT2").await.as_deref(), Some("two"));
        assert_eq!(gateway.ask("endpoint3").await, None);
        let errors = gateway.text_of("errors");
        assert!(errors.contains("WARN"), "{errors}");
        assert!(errors.contains("line 10: skipped \"Usage\""), "{errors}");
        gateway.stop().await;
    });
}

#[test]
fn a_hangup_reads_the_configuration_again_and_keeps_the_old_when_it_is_wrong() {
    run(async {
        let (one, two) = (backend("one"), backend("two"));
        let gateway = Gateway::start(&section("A", &one), &[]).await;
        assert_eq!(gateway.ask("b").await, None);

        gateway.write_config(&(section("A", &one) + &section("B", &two)));
        gateway.signal("HUP");
        gateway
            .until("errors", "the configuration was read again")
            .await;
        assert_eq!(gateway.ask("b").await.as_deref(), Some("two"));

        gateway.write_config("[A]\nPort = none\n");
        gateway.signal("HUP");
        gateway.until("errors", "stays in use").await;
        let errors = gateway.text_of("errors");
        assert!(errors.contains("config.ini: line 2: [A] Port"), "{errors}");
        assert_eq!(gateway.ask("a").await.as_deref(), Some("one"));
        assert_eq!(gateway.ask("b").await.as_deref(), Some("two"));
        gateway.stop().await;
    });
}

/// Parity: M-05, M-12.
/// Of the kinds of messages that are held whole: of `SMHandshake`, of an endpoint with resume, of one with rates.
#[test]
fn a_share_of_memory_that_holds_no_largest_message_is_told_at_the_start_and_at_a_reload() {
    const TOLD: &str = "a connection may hold less than one largest message";
    let of = |memory: &str, rest: &str| {
        format!(
            "[limits]\nmemory_bytes_max = \"{memory}\"\n[endpoints.a]\nupstreams = [\"ws://127.0.0.1:1/\"]\n{rest}"
        )
    };
    let off = "[classic]\nenabled = false\n";
    let write = |directory: &Path, config: &str| {
        fs::write(directory.join("gateway.toml"), config).expect("writable");
    };
    run(async {
        for (rest, message) in [
            (String::new(), "largest=1048576"),
            (
                format!("[endpoints.a.resume]\nbytes_max = \"2MiB\"\n{off}"),
                "largest=2097152",
            ),
            (
                format!("[endpoints.a.rates]\nmessage_bytes_max = \"3MiB\"\n{off}"),
                "largest=3145728",
            ),
        ] {
            let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
            write(directory.path(), &of("2MiB", &rest));
            let gateway = Gateway::start_in(Arc::clone(&directory), "gateway.toml", &[]).await;
            let log = gateway.text_of("errors");
            let line = log
                .lines()
                .find(|line| line.contains(TOLD))
                .expect("a line");
            assert!(
                line.contains("share=524288") && line.contains(message),
                "{line}"
            );
            gateway.stop().await;

            let directory = Arc::new(tempfile::tempdir().expect("a temporary directory"));
            write(directory.path(), &of("16MiB", &rest));
            let gateway = Gateway::start_in(Arc::clone(&directory), "gateway.toml", &[]).await;
            assert!(!gateway.text_of("errors").contains(TOLD));
            write(directory.path(), &of("3MiB", &rest));
            gateway.signal("HUP");
            gateway.until("errors", TOLD).await;
            gateway.stop().await;
        }
    });
}

#[test]
fn events_go_to_the_log_file_which_a_hangup_opens_again() {
    run(async {
        let one = backend("one");
        let config = section("A", &one) + "Usage\n";
        let gateway = Gateway::start(&config, &["--log", "server.log", "--verbose"]).await;
        gateway.until("server.log", "skipped \"Usage\"").await;
        assert_eq!(gateway.ask("a").await.as_deref(), Some("one"));
        gateway.until("server.log", "connection accepted").await;
        let log = gateway.directory.path().join("server.log");
        fs::rename(&log, log.with_extension("old")).expect("movable");
        gateway.signal("HUP");
        while !log.exists() {
            tokio::task::yield_now().await;
        }
        gateway
            .until("server.log", "the configuration was read again")
            .await;
        assert!(!gateway.text_of("server.old").contains("read again"));
        assert_eq!(gateway.text_of("errors"), "");
        gateway.stop().await;
    });
}

#[test]
fn a_log_file_that_cannot_be_opened_is_told_with_code_1() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("config.ini"), "[A]\nPort = 1\n").expect("writable");
    let arguments = ["gateway", "--config", "config.ini", "--log", "no/such.log"];
    let ended = crate::program::end(tidewire(directory.path(), &arguments), "");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended
            .stderr
            .contains("cannot open the log file no/such.log"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_taken_port_is_told_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("config.ini"), "[A]\nPort = 1\n").expect("writable");
    let arguments = ["gateway", "--config", "config.ini", "--listen", &address];
    let ended = crate::program::end(tidewire(directory.path(), &arguments), "");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let told = format!("error: cannot start the gateway\n  cannot listen on {address}\n");
    assert!(ended.stderr.starts_with(&told), "{}", ended.stderr);
}

#[cfg(unix)]
#[test]
fn a_new_process_takes_over_and_no_connection_is_refused() {
    run(async {
        let one = backend("one");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = format!(
            "handover = \"handover.sock\"\n[drain]\nper_second = 20\n[endpoints.a]\nupstreams = [\"ws://{}/\"]\n",
            one.local_addr()
        );
        fs::write(directory.path().join("gateway.toml"), config).expect("writable");
        let directory = Arc::new(directory);
        let mut old = Gateway::start_in(Arc::clone(&directory), "gateway.toml", &[]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let url = format!("{}?ROUTENAME=a", old.url);
        let connecting = tokio::spawn(keep_connecting(url.clone(), Arc::clone(&stop)));
        for _ in 0..3 {
            let mut sockets = Vec::new();
            for _ in 0..5 {
                let client = Client::new(&url).expect("a URL");
                sockets.push(client.connect().await.expect("it accepts"));
            }
            let new = Gateway::start_in(Arc::clone(&directory), "gateway.toml", &[]).await;
            assert_eq!(new.url, old.url);
            for socket in &mut sockets {
                assert!(socket.recv().await.expect("a close").is_none());
                let code = socket.close_frame().map(|frame| frame.code);
                assert_eq!(code, Some(CloseCode::SERVICE_RESTART));
            }
            let status = old.child.wait().await.expect("a child");
            assert_eq!(status.code(), Some(0), "{}", old.text_of("errors"));
            old = new;
        }
        // One that is killed on the way changes nothing.
        let mut socket =
            std::os::unix::net::UnixStream::connect(directory.path().join("handover.sock"))
                .expect("it waits for the next");
        std::io::Write::write_all(&mut socket, b"{\"hello\":{\"version\":1}}\n").expect("open");
        drop(socket);
        old.until("errors", "not handed over").await;
        stop.store(true, Ordering::Relaxed);
        let count = connecting.await.expect("no panic");
        assert!(count > 10, "{count}");
        old.stop().await;
        assert!(!directory.path().join("handover.sock").exists());
    });
}

/// Connects again and again; gives how often. Who is ended by a drain is ended in good form.
async fn keep_connecting(url: String, stop: Arc<AtomicBool>) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let client = Client::new(&url).expect("a URL");
        let mut socket = client.connect().await.expect("somebody accepts");
        let sent = socket.send(Message::text("who?")).await;
        let answer = socket.recv().await;
        match &answer {
            Ok(Some(Message::Text(text))) if text.as_str() == "one" => {}
            Ok(None) if socket.close_frame().is_some() => {}
            _ => panic!("{sent:?} {answer:?} after {count}"),
        }
        count += 1;
    }
    count
}
