//! Data directories on file systems that lack something. strace makes the kernel say so.
//!
//! Kinds: fsync of a directory refused as SMB, 9p and FUSE file systems do it (invalid, not there, no right, no such
//! descriptor), fsync of a directory that fails, no file locks, read-only, no room at all, a path with spaces and
//! letters beyond ASCII, a file in place of the directory, a directory of somebody else.

use std::{fs, process::Command};

use crate::{
    peer::{Peer, message},
    program::{self, Ended, end},
    run,
    server::Home,
};

/// The server under strace, which makes `calls` on the data directory itself, not on its files, fail.
fn failing(home: &Home, calls: &str, error: &str) -> Command {
    let installed = Command::new("strace").arg("-V").output();
    assert!(installed.is_ok(), "this test needs strace: {installed:?}");
    // strace looks up the paths when it starts.
    fs::create_dir_all(home.data_dir()).expect("writable");
    let directory = home.data_dir().display().to_string();
    let inject = format!("inject={calls}:error={error}");
    let trace = format!("trace={calls}");
    let arguments = [
        "-D",
        "-f",
        "-o",
        "/dev/null",
        "-P",
        &directory,
        "-e",
        &trace,
        "-e",
        &inject,
        program::BINARY,
    ];
    home.command_under("strace", &arguments)
}

fn refusal(command: Command) -> Ended {
    let ended = end(command, "");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(1), ""),
        "{}",
        ended.stderr
    );
    ended
}

#[test]
fn a_file_system_that_cannot_sync_directories_is_told_and_loses_nothing_in_a_crash() {
    run(async {
        for error in ["EINVAL", "ENOSYS", "EOPNOTSUPP", "EBADF", "EACCES"] {
            let home = Home::new("");
            let server = home
                .start_by(failing(&home, "fsync,fdatasync", error))
                .await;
            let log = server.log();
            assert!(log.contains("cannot sync directories"), "{error}: {log}");
            let mut rest = server.rest().await;
            let sent = rest.send_message(&message(0, &[8], "kept")).await;
            assert_eq!(sent.expect("an answer").status, 202, "{error}");
            server.kill().await;
            let again = home
                .start_by(failing(&home, "fsync,fdatasync", error))
                .await;
            let mut reader = Peer::connect(&again, 8).await.expect("it runs");
            reader.until("kept").await;
            again.stop().await;
        }
    });
}

#[test]
fn a_directory_whose_sync_fails_is_refused_as_a_failing_disk() {
    let home = Home::new("");
    let ended = refusal(failing(&home, "fsync,fdatasync", "EIO"));
    assert!(
        ended
            .stderr
            .contains("the disk or its file system has failed"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("permission"), "{}", ended.stderr);
}

#[test]
fn a_file_system_without_locks_is_refused_for_that_reason() {
    for error in ["ENOLCK", "ENOSYS", "EOPNOTSUPP"] {
        let home = Home::new("");
        let installed = Command::new("strace").arg("-V").output();
        assert!(installed.is_ok(), "this test needs strace: {installed:?}");
        let inject = format!("inject=flock:error={error}");
        let arguments = [
            "-D",
            "-f",
            "-o",
            "/dev/null",
            "-e",
            "trace=flock",
            "-e",
            &inject,
            program::BINARY,
        ];
        let ended = refusal(home.command_under("strace", &arguments));
        assert!(
            ended.stderr.contains("has no file locks"),
            "{error}: {}",
            ended.stderr
        );
    }
}

#[test]
fn what_stands_in_the_way_of_the_directory_is_told_with_what_helps() {
    let home = Home::new("");
    fs::write(home.data_dir(), "a file").expect("writable");
    let ended = refusal(home.command());
    assert!(
        ended
            .stderr
            .contains("a file stands where a directory has to be"),
        "{}",
        ended.stderr
    );

    fs::remove_file(home.data_dir()).expect("ours");
    fs::create_dir(home.data_dir()).expect("new");
    let mount = home.data_dir().display().to_string();
    // A mount in a namespace of its own goes away with the process.
    let script = "mount -t tmpfs -o ro none \"$0\" && exec \"$@\"";
    let arguments = ["--mount", "sh", "-c", script, &mount, program::BINARY];
    let ended = refusal(home.command_under("unshare", &arguments));
    assert!(
        ended.stderr.contains("mounted read-only"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_path_with_spaces_and_other_letters_is_a_path() {
    run(async {
        let home = Home::new("");
        let strange = home.path().join("données d'été \u{1f4e8}");
        let mut command = program::command(program::BINARY, home.path());
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--rest-listen",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(&strange);
        home.start_by(command).await.stop().await;
        assert!(strange.join("mailbox.db").is_file());
    });
}
