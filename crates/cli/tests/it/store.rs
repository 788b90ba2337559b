//! `tidewire store`: copies, and looks, beside a server that works and without one.
//!
//! Kinds: under load, at rest, after a kill, a target that exists or cannot be made, no store, no right, a directory
//! with a blank in its name, and going on from a copy.

use std::{fs, path::Path};

use crate::{
    peer::{Peer, message},
    program::{Ended, end, tidewire},
    run,
    server::{Home, Server},
};

async fn store(home: &Home, arguments: &[&str]) -> Ended {
    let data_dir = home.data_dir().display().to_string();
    let all = [&["store"], arguments, &["--data-dir", &data_dir]].concat();
    let command = tidewire(home.path(), &all);
    let ended = tokio::task::spawn_blocking(move || end(command, ""));
    ended.await.expect("no panic")
}

async fn send(server: &Server, recipient: u64, text: &str) {
    let mut rest = server.rest().await;
    let sent = rest.send_message(&message(0, &[recipient], text)).await;
    assert_eq!(sent.expect("an answer").status, 202);
}

/// A home whose store is this copy.
fn home_with(copy: &Path) -> Home {
    let home = Home::new("");
    fs::create_dir(home.data_dir()).expect("new");
    fs::copy(copy, home.data_dir().join("mailbox.db")).expect("copied");
    home
}

#[test]
fn a_copy_beside_a_working_server_has_all_that_was_accepted_before() {
    run(async {
        let home = Home::new("");
        let server = home.start().await;
        for number in 0..20 {
            send(&server, 7, &format!("before {number}")).await;
        }
        let load = async {
            for number in 0..20 {
                send(&server, 8, &format!("meanwhile {number}")).await;
            }
        };
        let (copied, ()) = tokio::join!(store(&home, &["backup", "copy.db"]), load);
        assert_eq!(copied.code, Some(0), "{}", copied.stderr);
        assert!(
            copied
                .stdout
                .starts_with("copied     copy.db\nserver     running\n"),
            "{}",
            copied.stdout
        );
        send(&server, 7, "the end").await;
        let mut original = Peer::connect(&server, 7).await.expect("it runs");
        assert_eq!(original.until("the end").await.len(), 20);
        server.stop().await;

        let restored = home_with(&home.path().join("copy.db"));
        let again = restored.start().await;
        send(&again, 7, "the end").await;
        let mut reader = Peer::connect(&again, 7).await.expect("it runs");
        let found = reader.until("the end").await;
        let texts: Vec<&str> = found
            .iter()
            .map(|envelope| envelope.text.as_str())
            .collect();
        let expected: Vec<String> = (0..20).map(|number| format!("before {number}")).collect();
        assert_eq!(texts, expected);
        assert!(!again.log().contains("ERROR"), "{}", again.log());
        again.stop().await;
    });
}

#[test]
fn a_look_tells_what_waits_with_and_without_a_server() {
    run(async {
        let home = Home::new("");
        let server = home.start().await;
        send(&server, 7, "one").await;
        send(&server, 8, "two").await;
        let running = store(&home, &["stats"]).await;
        assert_eq!((running.code, running.stderr.as_str()), (Some(0), ""));
        assert!(
            running
                .stdout
                .starts_with("server     running\nmessages   2\nusers      2\n"),
            "{}",
            running.stdout
        );
        server.kill().await;
        let killed = store(&home, &["stats"]).await;
        assert_eq!((killed.code, killed.stderr.as_str()), (Some(0), ""));
        let counted = |ended: &Ended| {
            ended
                .stdout
                .lines()
                .skip(1)
                .take(3)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(
            killed.stdout.starts_with("server     none\n"),
            "{}",
            killed.stdout
        );
        assert_eq!(counted(&killed), counted(&running));
        let copied = store(&home, &["backup", "copy.db"]).await;
        assert_eq!(copied.code, Some(0), "{}", copied.stderr);
        // A socket of a process that was killed is in nobody's way.
        home.start().await.stop().await;
        assert!(!home.data_dir().join("control").exists());
    });
}

#[test]
fn nothing_is_written_over_and_what_is_in_the_way_is_told() {
    run(async {
        let home = Home::new("");
        let server = home.start().await;
        fs::write(home.path().join("mine"), "precious").expect("writable");
        let there = store(&home, &["backup", "mine"]).await;
        assert_eq!(there.code, Some(1));
        assert!(
            there.stderr.contains("mine exists already"),
            "{}",
            there.stderr
        );
        assert_eq!(
            fs::read(home.path().join("mine")).expect("there"),
            b"precious"
        );
        let nowhere = store(&home, &["backup", "no/such/copy"]).await;
        assert_eq!(nowhere.code, Some(1), "{}", nowhere.stderr);
        server.stop().await;

        let empty = Home::new("");
        let missing = store(&empty, &["backup", "copy.db"]).await;
        assert_eq!(missing.code, Some(1), "{}", missing.stderr);
        assert!(missing.stderr.contains("mailbox.db"), "{}", missing.stderr);
        assert!(!empty.path().join("copy.db").exists() && !empty.data_dir().exists());
        for wrong in [
            &["store"] as &[&str],
            &["store", "backup"],
            &["store", "steal"],
        ] {
            let ended = end(tidewire(empty.path(), wrong), "");
            assert_eq!(ended.code, Some(2), "{wrong:?}: {}", ended.stderr);
        }
    });
}

#[test]
fn the_socket_is_for_the_owner_of_the_store_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    run(async {
        let home = Home::new("");
        let server = home.start().await;
        let socket = fs::metadata(home.data_dir().join("control")).expect("there");
        assert_eq!(socket.permissions().mode() & 0o777, 0o600);
        store(&home, &["backup", "copy.db"]).await;
        let copy = fs::metadata(home.path().join("copy.db")).expect("there");
        assert_eq!(copy.permissions().mode() & 0o777, 0o600);
        server.stop().await;
    });
}
