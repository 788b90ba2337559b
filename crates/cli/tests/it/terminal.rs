//! The chat at a terminal: prompts, editing, history. `script` lends the terminal.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    program::{BINARY, command},
    run,
    server::Home,
};

/// A chat at a terminal.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    output: ChildStdout,
    shown: String,
}

impl Terminal {
    fn start(home: &Home, arguments: &str) -> Self {
        let mut script = command("script", home.path());
        script
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", home.path().join("state"))
            .args(["--quiet", "--return", "--command"])
            .arg(format!("{BINARY} chat {arguments}"))
            .arg("/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = Command::from(script)
            .kill_on_drop(true)
            .spawn()
            .expect("script (util-linux) is installed");
        Self {
            keys: child.stdin.take().expect("piped"),
            output: child.stdout.take().expect("piped"),
            child,
            shown: String::new(),
        }
    }

    async fn press(&mut self, keys: &str) {
        self.keys
            .write_all(keys.as_bytes())
            .await
            .expect("it is running");
    }

    /// Waits until `text` is shown and returns what stood before it.
    async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(position) = self.shown.find(text) {
                let rest = self.shown.split_off(position + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            let mut bytes = [0; 4096];
            let count = self.output.read(&mut bytes).await.unwrap_or(0);
            assert!(count > 0, "ended before {text:?}: {:?}", self.shown);
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    async fn end(mut self) -> Option<i32> {
        self.child.wait().await.expect("a child").code()
    }
}

#[test]
fn prompts_tell_whether_there_is_a_connection() {
    run(async {
        let home = Home::new("").with_echo();
        let server = home.start().await;
        let mut terminal = Terminal::start(&home, "");
        let banner = terminal.until("> ").await;
        assert!(banner.starts_with("---<Command Line Chat Initialized!>---\r\n"));
        terminal
            .press(&format!("connect {}\r", server.url("echo")))
            .await;
        terminal.until("Connected successfully.").await;
        terminal.until("msg> ").await;
        terminal.press("helo\x1b[Dl\r").await;
        // Above the prompt, which is drawn again below.
        terminal.until("rcv=> hello").await;
        terminal.until("msg> ").await;
        terminal.press("__disconnect\r").await;
        terminal.until("Disconnected successfully!").await;
        terminal.until("> ").await;
        terminal.press("exit\r").await;
        terminal.until("Exiting Program!").await;
        assert_eq!(terminal.end().await, Some(0));
    });
}

#[test]
fn lines_are_remembered_for_the_next_time_and_nobody_else() {
    run(async {
        let home = Home::new("").with_echo();
        let server = home.start().await;
        let url = server.url("echo");
        let mut first = Terminal::start(&home, url);
        first.until("msg> ").await;
        first.press("remember me\r").await;
        first.until("rcv=> remember me").await;
        // Ctrl-D on an empty line.
        first.until("msg> ").await;
        first.press("\x04").await;
        first.until("Disconnected successfully!").await;
        assert_eq!(first.end().await, Some(0));

        let folder = home.path().join("state/tidewire");
        for (path, mode) in [
            (folder.clone(), 0o700),
            (folder.join("chat-history"), 0o600),
        ] {
            let found = fs::metadata(&path).expect("created").permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }

        let mut second = Terminal::start(&home, url);
        second.until("msg> ").await;
        second.press("\x1b[A\r").await;
        second.until("rcv=> remember me").await;
        second.until("msg> ").await;
        second.press("\x03").await;
        second.until("Exiting Program!").await;
        assert_eq!(second.end().await, Some(0));
    });
}

#[test]
fn an_address_with_a_password_is_not_remembered() {
    run(async {
        let home = Home::new("").with_echo();
        let server = home.start().await;
        let url = server.url("echo");
        let mut terminal = Terminal::start(&home, url);
        terminal.until("msg> ").await;
        terminal.press("a message\r").await;
        terminal.until("rcv=> a message").await;
        terminal.press("__disconnect\r").await;
        terminal.until("Disconnected successfully!").await;
        let secret = url.replace("ws://", "ws://user:secret@");
        terminal.press(&format!("connect {secret}\r")).await;
        terminal.until("Connected successfully.").await;
        terminal.press("__disconnect\r").await;
        terminal.until("Disconnected successfully!").await;
        terminal.press("exit\r").await;
        assert_eq!(terminal.end().await, Some(0));
        let kept = fs::read_to_string(home.path().join("state/tidewire/chat-history"));
        let kept = kept.expect("a history");
        assert!(
            kept.contains("a message") && !kept.contains("secret"),
            "{kept}"
        );
    });
}

#[test]
fn a_line_typed_for_a_lost_connection_is_no_command() {
    run(async {
        let home = Home::new("").with_echo();
        let server = home.start().await;
        let mut terminal = Terminal::start(&home, server.url("echo"));
        terminal.until("msg> ").await;
        server.kill().await;
        terminal.until("Connection lost: (").await;
        terminal.press("exit\r").await;
        terminal.until("Error while sending: ").await;
        terminal.until("> ").await;
        terminal.press("exit\r").await;
        terminal.until("Exiting Program!").await;
        assert_eq!(terminal.end().await, Some(0));
    });
}
