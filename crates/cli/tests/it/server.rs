//! [`Server`]: the server as a process of its own, on free ports.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout},
};

use crate::{
    program::{self, BINARY},
    rest::Rest,
};

/// A folder with everything one server needs; outlives the processes that use it.
#[derive(Debug)]
pub(crate) struct Home {
    directory: TempDir,
    arguments: Vec<String>,
}

impl Home {
    /// `config` is TOML.
    pub(crate) fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("tidewire.toml");
        fs::write(&file, config).expect("writable");
        let data = directory.path().join("data");
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--rest-listen",
            "127.0.0.1:0",
            "--config",
            file.to_str().expect("UTF-8"),
            "--data-dir",
            data.to_str().expect("UTF-8"),
        ];
        Self {
            arguments: arguments.map(str::to_owned).to_vec(),
            directory,
        }
    }

    pub(crate) fn with_echo(mut self) -> Self {
        self.arguments.push("--echo".to_owned());
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Gives it another configuration; a server that runs has to be told.
    pub(crate) fn write_config(&self, config: &str) {
        fs::write(self.path().join("tidewire.toml"), config).expect("writable");
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// `tidewire serve …`.
    pub(crate) fn command(&self) -> Command {
        self.command_under(BINARY, &[])
    }

    /// The same, run by another program; the child has to be the server all the same.
    pub(crate) fn command_under(&self, program: &str, before: &[&str]) -> Command {
        let mut command = program::command(program, self.path());
        command.args(before).args(&self.arguments);
        command
    }

    /// Starts the server and waits until it is ready.
    pub(crate) async fn start(&self) -> Server {
        self.start_by(self.command()).await
    }

    pub(crate) async fn start_by(&self, command: Command) -> Server {
        let mut server = self.spawn(command);
        server.wait_until_ready().await;
        server
    }

    /// Starts the server and does not wait.
    pub(crate) fn spawn(&self, mut command: Command) -> Server {
        let log = self.path().join("server.log");
        let errors = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("writable");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts");
        Server {
            pid: child.id().expect("it has just been started"),
            stdout: BufReader::new(child.stdout.take().expect("piped")),
            child,
            log,
            urls: BTreeMap::new(),
            has_echo: self.arguments.iter().any(|argument| argument == "--echo"),
        }
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: u32,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
    urls: BTreeMap<String, String>,
    has_echo: bool,
}

impl Server {
    pub(crate) async fn wait_until_ready(&mut self) {
        let expected = if self.has_echo { 4 } else { 3 };
        while self.urls.len() < expected {
            let mut line = String::new();
            let count = self.stdout.read_line(&mut line).await.expect("UTF-8");
            assert!(count > 0, "not ready:\n{}", self.log());
            let (label, url) = line.trim_end().split_at_checked(11).expect("label and URL");
            self.urls.insert(label.trim().to_owned(), url.to_owned());
        }
    }

    /// The URL printed with this label.
    pub(crate) fn url(&self, label: &str) -> &str {
        self.urls
            .get(label)
            .unwrap_or_else(|| panic!("no {label} in {:?}", self.urls))
    }

    pub(crate) async fn rest(&self) -> Rest {
        Rest::connect(self.url("rest"))
            .await
            .expect("the server listens")
    }

    pub(crate) fn signal(&self, name: &str) {
        program::signal(name, self.pid);
    }

    /// The process that the one we have started has started.
    pub(crate) fn only_child(&self) -> u32 {
        let pid = self.pid;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("it runs");
        children.trim().parse().expect("one")
    }

    /// The exit code; `None` when a signal has ended the server.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        self.child.wait().await.expect("a child").code()
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.start_kill().expect("it is running");
        assert_eq!(
            self.end().await,
            None,
            "it ended by itself:\n{}",
            self.log()
        );
    }

    /// SIGTERM, and the graceful end it promises.
    pub(crate) async fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.end().await, Some(0), "{}", self.log());
    }

    /// Waits until the servers of this home have logged `part` so often.
    pub(crate) async fn until_logged(&self, part: &str, times: usize) {
        while self.log().matches(part).count() < times {
            tokio::task::yield_now().await;
        }
    }

    /// Returns what the servers of this home have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("readable")
    }
}
