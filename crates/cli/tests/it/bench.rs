//! `tidewire bench`: a server and a client as processes, and what is said of wrong flags.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
};

use tempfile::tempdir;

use crate::program::{Ended, end, tidewire};

/// A server on a free port; it stops at the end of its input.
struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    port: String,
}

fn server(directory: &Path, names: &[&str]) -> Server {
    let mut command = tidewire(directory, &["bench"]);
    command
        .args(names)
        .args(["server", "--port", "0", "--threads", "1"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let port = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            Some(
                line.strip_prefix("Listening on ")?
                    .rsplit(':')
                    .next()?
                    .to_owned(),
            )
        })
        .expect("it tells where it listens");
    Server { child, lines, port }
}

impl Server {
    /// Returns what it said behind its address.
    fn stop(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let said = self.lines.map_while(Result::ok).collect();
        assert!(self.child.wait().expect("it ends").success());
        said
    }
}

fn client(directory: &Path, names: &[&str], port: &str, more: &[&str]) -> Ended {
    let mut command = tidewire(directory, &["bench"]);
    command.args(names).args(["client", "--port", port]);
    command.args([
        "--threads",
        "1",
        "--clients",
        "2",
        "--messages-total",
        "100",
    ]);
    end(
        {
            command.args(more);
            command
        },
        "",
    )
}

#[test]
fn server_and_client_print_what_cppservers_print() {
    let directory = tempdir().expect("a temporary directory");
    let names = ["echo", "--transport", "tcp"];
    let server = server(directory.path(), &names);
    let port = server.port.clone();
    let ended = client(directory.path(), &names, &port, &["-m", "10", "-s", "16"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let begin = format!(
        "Server address: 127.0.0.1\nServer port: {port}\nWorking threads: 1\nWorking clients: 2\nWorking messages: 10\n\
         Message size: 16\nSeconds to benchmarking: 10\n\n\
         Service starting...Done!\nClients connecting...Done!\nAll clients connected!\nBenchmarking...Done!\n\
         Clients disconnecting...Done!\nAll clients disconnected!\n\nErrors: 0\n\nTotal time: "
    );
    assert!(ended.stdout.starts_with(&begin), "{}", ended.stdout);
    for part in [
        "\nTotal data: 1.576 KiB\nTotal messages: 100\nData throughput: ",
        "/s\nMessage latency: ",
        "\nMessage throughput: ",
        " msg/s\n\nRound trip p50: ",
    ] {
        assert!(ended.stdout.contains(part), "{part:?}: {}", ended.stdout);
    }
    let said = server.stop();
    assert_eq!(
        said[..2],
        [
            "Press Enter to stop the server or '!' to restart the server...",
            "Server stopping...Done!"
        ]
    );
}

#[test]
fn a_result_as_json_is_all_that_is_printed() {
    let directory = tempdir().expect("a temporary directory");
    let names = ["trace", "--transport", "https"];
    let server = server(directory.path(), &names);
    let ended = client(directory.path(), &names, &server.port, &["--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(report["messages"], 100);
    assert_eq!(report["transport"], "https");
    assert_eq!(report["errors"], 0);
    server.stop();
}

#[test]
fn wrong_flags_are_told_in_one_line() {
    let directory = tempdir().expect("a temporary directory");
    let check = |arguments: &[&str], expected: &str| {
        let mut command = tidewire(directory.path(), &["bench"]);
        command.args(arguments);
        let ended = end(command, "");
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(expected),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert!(ended.stderr.lines().count() <= 2, "{}", ended.stderr);
    };
    check(&[], "expected echo, multicast, trace or --table");
    check(
        &["trace", "--transport", "udp", "client"],
        "there is no trace benchmark over udp; it runs over http, https",
    );
    check(
        &["echo", "--transport", "quic", "client"],
        "expected one of tcp, tls",
    );
    check(&["echo", "client", "-c", "0"], "--clients");
    check(&["echo", "client", "-m", "many"], "--messages");
    check(&["multicast", "client", "-m", "1"], "-m");
    check(
        &["echo", "client", "--ca", "ca.pem"],
        "--ca has no meaning over tcp",
    );
    check(&["echo", "server", "--key", "key.pem"], "--certificate");
    check(&["--only", "tcp"], "--table");
    check(
        &["--table", "--only", "quic"],
        "no scenario has a name with quic",
    );
}

#[test]
fn a_client_without_a_server_fails_and_says_where_it_looked() {
    let directory = tempdir().expect("a temporary directory");
    // Bound and not listening: nobody can listen there meanwhile.
    let reserved = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    let port = reserved
        .local_addr()
        .expect("an address")
        .port()
        .to_string();
    let names = ["echo", "--transport", "udp"];
    let ended = client(directory.path(), &names, &port, &["--timeout", "1"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let expected = format!("127.0.0.1:{port} sent nothing for 1 s; 0 messages came before");
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
}
