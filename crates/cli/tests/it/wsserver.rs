//! The program in the place of wsserver: its file, its flags, its name.
#![cfg(unix)]

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use tempfile::{TempDir, tempdir};

use crate::{
    program::{BINARY, Ended, command, end, tidewire},
    server::Home,
};

const CONFIG: &str = r#"{
    "server": { "address": "127.0.0.1", "port": 0, "auth": { "type": "noauth" } },
    "restApi": { "enabled": true, "address": "127.0.0.1", "port": 0 },
    "chat": { "enableUndeliveredQueue": false, "message": { "maxSize": "10M" } },
    "event": { "enabled": false }
}"#;

const VERIFIED: &str = "Configuration verified - everything is ok!\n";

/// A directory with the file, and a link called `wsserver`.
fn installed() -> TempDir {
    let directory = tempdir().expect("a temporary directory");
    fs::write(directory.path().join("config.json"), CONFIG).expect("writable");
    fs::write(
        directory.path().join("wrong.json"),
        "{\"server\": {\"port\": \"x\"}}",
    )
    .expect("writable");
    symlink(BINARY, directory.path().join("wsserver")).expect("a link");
    directory
}

fn wsserver(directory: &Path, arguments: &[&str]) -> Command {
    let program = directory.join("wsserver");
    let mut command = command(program.to_str().expect("UTF-8"), directory);
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Ended {
    let directory = installed();
    end(wsserver(directory.path(), arguments), "")
}

#[test]
fn the_configuration_test_has_every_form_of_its_flags() {
    for arguments in [
        &["-C", "config.json", "-T"] as &[&str],
        &["-C", "config.json", "-T", "1"],
        &["-T", "-C", "config.json"],
        &["-Cconfig.json", "-T1"],
        &["--config", "config.json", "--test"],
        &["--config", "config.json", "--test=1"],
        &["--config=config.json", "--test=1", "--verbosity", "2"],
        &["--config=config.json", "--test=1", "-l", "0"],
        &["--config=config.json", "--test=1", "-v", "1"],
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, VERIFIED, "{arguments:?}");
        assert!(
            ended.stderr.contains("warning: file config.json: server "),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn what_is_wrong_ends_with_1_under_its_name_and_with_2_under_ours() {
    for (arguments, part) in [
        (&[] as &[&str], "expected --config FILE"),
        (&["-T"], "expected --config FILE"),
        (&["-C"], "a value is required"),
        (&["--conf", "x"], "unexpected argument"),
        (&["-C", "config.json", "-T", "2"], "expected 0 or 1"),
        (&["-C", "config.json", "-l", "all"], "invalid value"),
        (&["-C", "none.json"], "none.json: cannot be read"),
        (&["-C", "wrong.json", "-T", "1"], "server.port: found \"x\""),
        (&["-C", "wrong.json"], "server.port: found \"x\""),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(
            ended.stderr.contains(part),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
    let directory = installed();
    for arguments in [
        &["serve", "-C", "wrong.json", "--test=1"] as &[&str],
        &["check-config", "wrong.json"],
        &["migrate-config", "wrong.json"],
        &["migrate-config", "none.json"],
    ] {
        let ended = end(tidewire(directory.path(), arguments), "");
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_told() {
    for arguments in [&["-?"] as &[&str], &["--help"], &["-h"]] {
        let ended = run(arguments);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
        for part in ["--config", "-C", "--test", "--verbosity", "EXAMPLES"] {
            assert!(ended.stdout.contains(part), "{}", ended.stdout);
        }
    }
    let ended = run(&["-v"]);
    let version = concat!(env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), version));
}

#[test]
fn serve_and_check_config_take_the_file_as_it_is() {
    let directory = installed();
    let tested = end(
        tidewire(
            directory.path(),
            &["serve", "-C", "config.json", "--test=1"],
        ),
        "",
    );
    assert_eq!((tested.code, tested.stdout.as_str()), (Some(0), VERIFIED));
    let checked = end(
        tidewire(directory.path(), &["check-config", "config.json"]),
        "",
    );
    assert_eq!(
        (checked.code, checked.stdout.as_str()),
        (Some(0), "configuration is valid\n")
    );
    assert!(
        checked.stderr.contains("server.allowed_origins"),
        "{}",
        checked.stderr
    );
}

#[test]
fn a_converted_file_is_valid_and_says_what_differs() {
    let directory = installed();
    let migrated = end(
        tidewire(directory.path(), &["migrate-config", "config.json"]),
        "",
    );
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert!(
        migrated.stderr.contains("warning: file config.json: "),
        "{}",
        migrated.stderr
    );
    fs::write(directory.path().join("t.toml"), &migrated.stdout).expect("writable");
    let checked = end(tidewire(directory.path(), &["check-config", "t.toml"]), "");
    assert_eq!(
        checked.code,
        Some(0),
        "{}\n{}",
        checked.stderr,
        migrated.stdout
    );
    // What is not there on this machine is told, and the TOML is there all the same.
    let secure = CONFIG.replace("\"port\": 0, \"auth\"", "\"port\": 0, \"secure\": { \"enabled\": true, \"crtPath\": \"a.crt\", \"keyPath\": \"a.key\" }, \"auth\"");
    fs::write(directory.path().join("secure.json"), secure).expect("writable");
    let migrated = end(
        tidewire(directory.path(), &["migrate-config", "secure.json"]),
        "",
    );
    assert_eq!(migrated.code, Some(2), "{}", migrated.stderr);
    assert!(
        migrated.stderr.contains("server.secure.crtPath"),
        "{}",
        migrated.stderr
    );
    assert!(
        migrated.stdout.contains("certificate = \"a.crt\""),
        "{}",
        migrated.stdout
    );
}

#[test]
fn a_server_started_by_its_name_serves_reloads_and_ends_with_0() {
    crate::run(async {
        let home = Home::new("");
        fs::write(home.path().join("config.json"), CONFIG).expect("writable");
        symlink(BINARY, home.path().join("wsserver")).expect("a link");
        let arguments = [
            "--config",
            "config.json",
            "--verbosity",
            "1",
            "--data-dir",
            "data",
        ];
        let server = home.start_by(wsserver(home.path(), &arguments)).await;
        assert!(server.url("messaging").starts_with("ws://127.0.0.1:"));
        server.signal("HUP");
        server
            .until_logged("the configuration was read again", 1)
            .await;
        server.stop().await;
    });
}
