//! From ready to stopped, and what stands in the way.

use std::{fs, net::TcpListener};

use tidewire::ws::{CloseCode, Incoming};

use crate::{
    peer::{Peer, message},
    program::{self, end, tidewire},
    run,
    server::Home,
};

#[test]
fn a_ready_server_tells_where_it_listens() {
    run(async {
        let home = Home::new("").with_echo();
        let server = home.start().await;
        for (label, start, path) in [
            ("messaging", "ws://127.0.0.1:", "/chat"),
            ("rest", "http://127.0.0.1:", "/"),
            ("web chat", "http://127.0.0.1:", "/"),
            ("echo", "ws://127.0.0.1:", "/echo"),
        ] {
            let url = server.url(label);
            assert!(
                url.starts_with(start) && url.ends_with(path),
                "{label}: {url}"
            );
            assert!(!url.contains(":0/"), "{url}");
        }
        let health = server.rest().await.get("/health").await.expect("an answer");
        assert_eq!(health.status, 200, "{health:?}");
        server.stop().await;
    });
}

#[test]
fn without_a_command_it_says_what_starts_and_where_its_data_lies() {
    run(async {
        let home = Home::new("");
        let mut command = program::command(program::BINARY, home.path());
        command
            .env("TIDEWIRE_SERVER__LISTEN", "127.0.0.1:0")
            .env("TIDEWIRE_REST__LISTEN", "127.0.0.1:0");
        let server = home.start_by(command).await;
        let log = server.log();
        let store = home.path().join("tidewire-data");
        for part in [
            "starts the messaging server, as `tidewire serve`",
            "Ctrl-C",
            "tidewire --help",
            &format!("messages are kept in {}", store.display()),
        ] {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert!(store.join("mailbox.db").is_file());
        server.stop().await;

        let server = home.start().await;
        assert!(!server.log().replace(&log, "").contains("no command"));
        server.stop().await;
    });
}

#[test]
fn sigterm_and_ctrl_c_close_with_1001_and_end_with_0() {
    run(async {
        for signal in ["TERM", "INT"] {
            let home = Home::new("");
            let mut server = home.start().await;
            let mut peer = Peer::connect(&server, 7).await.expect("it runs");
            let mut rest = server.rest().await;
            let sent = rest.send_message(&message(0, &[7, 8], "kept")).await;
            assert_eq!(sent.expect("an answer").status, 202);
            peer.until("kept").await;

            server.signal(signal);
            assert_eq!(peer.next().await.expect("a proper end"), None);
            let frame = peer.socket.close_frame().expect("a close frame");
            assert_eq!(frame.code, CloseCode::GOING_AWAY);
            assert_eq!(server.end().await, Some(0), "{signal}: {}", server.log());

            let again = home.start().await;
            let mut absent = Peer::connect(&again, 8).await.expect("it runs");
            absent.until("kept").await;
        }
    });
}

#[test]
fn a_second_signal_ends_at_once_with_1() {
    run(async {
        let home = Home::new("[server]\ndrain_timeout = \"1h\"\n");
        let mut server = home.start().await;
        // A client that does not answer a close frame, because nobody reads.
        let mut peer = Peer::connect(&server, 7).await.expect("it runs");
        peer.socket.ping(b"here").await.expect("open");
        while !matches!(peer.socket.recv_any().await, Ok(Some(Incoming::Pong(_)))) {}
        server.signal("TERM");
        while !server.log().contains("stopping") {
            tokio::task::yield_now().await;
        }
        server.signal("TERM");
        assert_eq!(server.end().await, Some(1), "{}", server.log());
    });
}

/// A large store is checked for minutes. A file from which nothing can be read stands in for it.
#[test]
fn a_signal_before_the_server_is_ready_ends_it_with_0() {
    run(async {
        for signal in ["TERM", "INT"] {
            let home = Home::new("");
            fs::create_dir(home.data_dir()).expect("new");
            let endless = home.data_dir().join("commits");
            let made = std::process::Command::new("mkfifo").arg(&endless).status();
            assert!(made.expect("mkfifo is there").success());
            let mut server = home.spawn(home.command());
            while !server.log().contains("opening the message store") {
                tokio::task::yield_now().await;
            }
            server.signal(signal);
            assert_eq!(server.end().await, Some(0), "{signal}: {}", server.log());
            assert!(server.log().contains("before the server was ready"));
            fs::remove_file(endless).expect("there");
            home.start().await.stop().await;
        }
    });
}

/// Process 1 of a container: what has no handler there does nothing.
#[cfg(target_os = "linux")]
#[test]
fn as_process_1_it_obeys_while_the_store_is_checked_and_while_it_serves() {
    run(async {
        for signal in ["TERM", "INT"] {
            let home = Home::new("");
            let command = || home.command_under("unshare", &["--pid", "--fork", program::BINARY]);
            fs::create_dir(home.data_dir()).expect("new");
            let endless = home.data_dir().join("commits");
            let made = std::process::Command::new("mkfifo").arg(&endless).status();
            assert!(made.expect("mkfifo is there").success());
            let mut server = home.spawn(command());
            server.until_logged("opening the message store", 1).await;
            program::signal(signal, server.only_child());
            assert_eq!(server.end().await, Some(0), "{signal}: {}", server.log());
            fs::remove_file(endless).expect("there");

            let mut server = home.start_by(command()).await;
            let first = server.only_child();
            program::signal("HUP", first);
            server
                .until_logged("the configuration was read again", 1)
                .await;
            program::signal(signal, first);
            assert_eq!(server.end().await, Some(0), "{signal}: {}", server.log());
            assert!(server.log().contains("stopped"), "{}", server.log());
        }
    });
}

#[test]
fn a_store_belongs_to_one_server() {
    run(async {
        let home = Home::new("");
        let server = home.start().await;
        let second = end(home.command(), "");
        assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""));
        let store = home.data_dir().display().to_string();
        for part in [
            "error: cannot start the server\n",
            &store,
            "in use by another process",
        ] {
            assert!(second.stderr.contains(part), "{part}: {}", second.stderr);
        }
        server.stop().await;
        home.start().await.stop().await;
    });
}

#[test]
fn a_taken_port_is_told_with_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = [
        "serve",
        "--rest-listen",
        &address,
        "--listen",
        "127.0.0.1:0",
    ];
    let ended = end(tidewire(directory.path(), &arguments), "");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let told = format!("cannot listen on {address}");
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
}

#[test]
fn what_is_allowed_but_dangerous_is_logged() {
    run(async {
        let home = Home::new("[chat]\ncheck_sender = false\n");
        let server = home.start().await;
        assert!(server.log().contains("WARN"), "{}", server.log());
        assert!(server.log().contains("chat.check_sender is false"));
    });
}

#[test]
fn logs_follow_the_configuration_unless_rust_log_is_set() {
    run(async {
        let home = Home::new("[log]\nlevel = \"off\"\n[chat]\ncheck_sender = false\n");
        let server = home.start().await;
        assert_eq!(server.log(), "");
        server.stop().await;

        let mut command = home.command();
        command
            .env("RUST_LOG", "warn")
            .env("TIDEWIRE_LOG__FORMAT", "json");
        let server = home.start_by(command).await;
        assert!(server.log().starts_with('{'), "{}", server.log());
        assert!(
            server.log().contains("\"level\":\"WARN\""),
            "{}",
            server.log()
        );
        server.stop().await;

        let mut command = home.command();
        command.env("RUST_LOG", "warn,=,");
        let ended = end(command, "");
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("RUST_LOG"), "{}", ended.stderr);
    });
}

#[test]
fn the_data_directory_is_created_where_it_was_asked_for() {
    run(async {
        let home = Home::new("");
        home.start().await.stop().await;
        assert!(fs::metadata(home.data_dir()).expect("created").is_dir());
    });
}

#[test]
fn a_share_of_memory_that_holds_no_largest_message_is_told_at_the_start() {
    const TOLD: &str = "a connection may hold less than one largest message";
    let of = |memory: &str| {
        format!("[server.limits]\nmemory_bytes_max = \"{memory}\"\nmessage_bytes_max = \"1MiB\"\n")
    };
    run(async {
        for (memory, is_told) in [("2MiB", true), ("4MiB", false)] {
            let home = Home::new(&of(memory));
            let server = home.start().await;
            let log = server.log();
            assert_eq!(log.contains(TOLD), is_told, "{log}");
            if is_told {
                assert!(
                    log.contains("share=524288") && log.contains("largest=1048576"),
                    "{log}"
                );
            }
            server.stop().await;
        }
    });
}
