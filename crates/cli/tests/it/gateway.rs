//! The gateway as a process: ready, reload, log, stop.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use tempfile::TempDir;
use tidewire::ws::{Client, Message, RunningServer, Server, ServerConfig, WebSocket};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
};

use crate::{
    program::{signal, tidewire},
    run,
};

/// A backend that answers each text with `name`.
fn backend(name: &'static str) -> RunningServer {
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
struct Gateway {
    directory: TempDir,
    child: Child,
    url: String,
}

impl Gateway {
    /// With this config.ini.
    async fn start(config: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("config.ini"), config).expect("writable");
        let errors = File::create(directory.path().join("errors")).expect("writable");
        let first = [
            "gateway",
            "--config",
            "config.ini",
            "--listen",
            "127.0.0.1:0",
        ];
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
        }
    }

    /// What the endpoint `name` answers, or `None` when it cannot be reached.
    async fn ask(&self, name: &str) -> Option<String> {
        let url = format!("{}?ROUTENAME={name}", self.url);
        let mut socket = Client::new(&url).expect("a URL").connect().await.ok()?;
        socket.send(Message::text("who?")).await.expect("open");
        match socket.recv().await.expect("open") {
            Some(Message::Text(text)) => Some(text.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn write_config(&self, config: &str) {
        fs::write(self.directory.path().join("config.ini"), config).expect("writable");
    }

    fn signal(&self, name: &str) {
        signal(name, self.child.id().expect("it runs"));
    }

    fn text_of(&self, name: &str) -> String {
        read(self.directory.path(), name)
    }

    /// Waits until the file `name` has `part` in it.
    async fn until(&self, name: &str, part: &str) {
        while !self.text_of(name).contains(part) {
            tokio::task::yield_now().await;
        }
    }

    async fn stop(mut self) {
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

#[test]
fn m_05_m_29_a_config_ini_is_all_it_needs() {
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
        gateway.until("errors", "the old one stays in use").await;
        let errors = gateway.text_of("errors");
        assert!(errors.contains("config.ini: line 2: [A] Port"), "{errors}");
        assert_eq!(gateway.ask("a").await.as_deref(), Some("one"));
        assert_eq!(gateway.ask("b").await.as_deref(), Some("two"));
        gateway.stop().await;
    });
}

#[test]
fn m_05_events_go_to_the_log_file_which_a_hangup_opens_again() {
    run(async {
        let one = backend("one");
        let config = section("A", &one) + "Usage\n";
        let gateway = Gateway::start(&config, &["--log", "server.log", "--verbose"]).await;
        gateway.until("server.log", "skipped \"Usage\"").await;
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
