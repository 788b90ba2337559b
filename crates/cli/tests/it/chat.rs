//! The chat, its lines coming from a script.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::{
    program::{Ended, end, tidewire},
    run,
    server::{Home, Server},
};

const BANNER: &str = "---<Command Line Chat Initialized!>---";

/// Runs a chat with these arguments and lines; it sees no prompt, only what is said.
fn chat(home: &Home, arguments: &[&str], lines: &str) -> Ended {
    end(
        tidewire(home.path(), &[&["chat"], arguments].concat()),
        lines,
    )
}

/// Expects the lines behind the banner, and the exit code.
fn check(ended: &Ended, lines: &[&str], code: i32) {
    let shown: Vec<&str> = ended.stdout.lines().collect();
    let expected: Vec<&str> = [&[BANNER], lines].concat();
    assert_eq!(shown, expected, "{}", ended.stderr);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(code), ""));
}

async fn echo() -> (Home, Server) {
    let home = Home::new("").with_echo();
    let server = home.start().await;
    (home, server)
}

const USAGE: [&str; 5] = [
    "Usage:",
    "  connect [URL]  connect to URL, or to ws://127.0.0.1:8080",
    "  __disconnect   end the connection; any other line is sent",
    "  exit           leave the program",
    "  help           show this text",
];

/// Parity: R-06.
#[test]
fn commands_are_understood_while_disconnected() {
    let home = Home::new("");
    let ended = chat(&home, &[], "help\n\n  \nnonsense\nexit\nnever read\n");
    let lines = [&USAGE, &["Command not recognized!"] as &[&str], &USAGE].concat();
    check(
        &ended,
        &[&lines as &[&str], &["Exiting Program!"]].concat(),
        0,
    );
}

/// Parity: R-06.
#[test]
fn every_line_is_sent_while_connected_except_disconnect() {
    run(async {
        let (home, server) = echo().await;
        let script = format!(
            "connect {}\nhello\n\nexit\n__disconnect\nexit\n",
            server.url("echo")
        );
        check(
            &chat(&home, &[], &script),
            &[
                "Connected successfully.",
                "rcv=> hello",
                "rcv=> exit",
                "Disconnected successfully!",
                "Exiting Program!",
            ],
            0,
        );
    });
}

#[test]
fn the_end_of_the_input_waits_for_the_last_answer() {
    run(async {
        let (home, server) = echo().await;
        let ended = chat(&home, &[server.url("echo")], "one\r\ntwo\nthe last");
        check(
            &ended,
            &[
                "Connected successfully.",
                "rcv=> one",
                "rcv=> two",
                "rcv=> the last",
                "Disconnected successfully!",
                "Exiting Program!",
            ],
            0,
        );
    });
}

#[test]
fn what_strangers_write_does_not_steer_the_terminal() {
    run(async {
        let (home, server) = echo().await;
        let ended = chat(&home, &[server.url("echo")], "\u{1b}[2J\u{7}\u{202e}a\tü\n");
        assert!(
            ended
                .stdout
                .contains("rcv=> \\u{1b}[2J\\u{7}\\u{202e}a\\tü\n"),
            "{}",
            ended.stdout
        );
    });
}

/// An echo server stops reading when we do: neither may wait for the other.
#[test]
fn more_than_all_buffers_hold_comes_back() {
    run(async {
        let (home, server) = echo().await;
        let line = "x".repeat(8 << 10);
        let script = format!("{line}\n").repeat(4 << 10);
        let ended = chat(&home, &[server.url("echo")], &script);
        let answer = format!("rcv=> {line}");
        let count = ended.stdout.lines().filter(|line| *line == answer).count();
        assert_eq!((count, ended.code), (4 << 10, Some(0)), "{}", ended.stderr);
    });
}

/// Parity: R-07.
#[test]
fn a_failed_connection_is_told_and_counts_in_a_script() {
    let home = Home::new("");
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound").port()
    };
    let ended = chat(&home, &[&format!("ws://127.0.0.1:{port}/")], "exit\n");
    let told = format!(
        "Connection failed: (cannot reach 127.0.0.1:{port} (nothing listens there): Connection refused (os error 111))"
    );
    check(&ended, &[&told, "Exiting Program!"], 1);
    let unknown = chat(&home, &[], "connect http://a/\n");
    assert!(
        unknown
            .stdout
            .contains("Connection failed: (\"http://a/\": invalid address: "),
        "{}",
        unknown.stdout
    );
    assert_eq!(unknown.code, Some(1));
}

#[test]
fn a_refused_handshake_is_told() {
    run(async {
        let (home, server) = echo().await;
        let url = server.url("echo").replace("/echo", "/nowhere");
        let ended = chat(&home, &[&url], "");
        assert!(
            ended
                .stdout
                .contains("Connection failed: (the server did not accept"),
            "{}",
            ended.stdout
        );
        assert_eq!(ended.code, Some(1));
    });
}

/// A line that was meant as a message is never taken for a command.
#[test]
fn a_connection_the_server_has_ended_takes_no_more_lines() {
    run(async {
        let (home, server) = echo().await;
        let script = "exit\n".repeat(10) + &"help\n".repeat(100);
        let ended = chat(&home, &[server.url("messaging")], &script);
        let lines: Vec<&str> = ended.stdout.lines().skip(1).collect();
        let closed = "Disconnected by the server (4000 Id required in query parameter: ?id={id})";
        assert!(lines.contains(&closed), "{lines:?}");
        assert!(!lines.contains(&"Usage:"), "{lines:?}");
        assert_eq!(ended.code, Some(1));
    });
}

#[test]
fn to_writes_envelopes_and_shows_their_sender_and_text() {
    run(async {
        let (home, server) = echo().await;
        let url = |user: &str| format!("{}?id={user}", server.url("messaging"));
        let first = chat(&home, &[&url("1"), "--to", "b%20b"], "for nobody\n");
        assert_eq!(first.code, Some(0), "{}", first.stdout);
        let second = chat(&home, &[&url("1"), "--to", "böb"], "say \"hi\"\nand\u{7}\n");
        assert_eq!(second.code, Some(0), "{}", second.stdout);

        let to = ["chat", &url("b%C3%B6b"), "--to", "1"];
        let mut reading = tidewire(home.path(), &to)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut shown = BufReader::new(reading.stdout.take().expect("piped")).lines();
        for expected in [
            BANNER,
            "Connected successfully.",
            "rcv=> 1: say \"hi\"",
            "rcv=> 1: and\\u{7}",
        ] {
            assert_eq!(shown.next().expect("a line").expect("UTF-8"), expected);
        }
        drop(reading.stdin.take());
        assert_eq!(reading.wait().expect("a child").code(), Some(0));
    });
}

#[test]
fn headers_go_with_the_handshake() {
    run(async {
        let config = "[server.auth]\ntype = \"bearer\"\nvalue = \"letmein\"\n";
        let home = Home::new(config).with_echo();
        let server = home.start().await;
        let url = server.url("echo");
        let header = ["--header", "Authorization: Bearer letmein"];
        let ended = chat(&home, &[&[url], &header as &[&str]].concat(), "in\n");
        assert!(ended.stdout.contains("rcv=> in\n"), "{}", ended.stdout);
        assert_eq!(chat(&home, &[url], "in\n").code, Some(1));
    });
}

#[test]
fn a_chat_nobody_watches_ends_quietly() {
    run(async {
        let (home, server) = echo().await;
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = tidewire(home.path(), &["chat", server.url("echo")])
            .stdout(writer)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    });
}
