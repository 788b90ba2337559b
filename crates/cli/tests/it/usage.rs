//! Help, version, exit codes, and the commands about configuration.

use std::fs;

use tempfile::tempdir;

use crate::program::{Ended, end, tidewire};

fn run(arguments: &[&str]) -> Ended {
    let directory = tempdir().expect("a temporary directory");
    end(tidewire(directory.path(), arguments), "")
}

fn check_config(text: &str) -> Ended {
    let directory = tempdir().expect("a temporary directory");
    fs::write(directory.path().join("t.toml"), text).expect("writable");
    let arguments = ["check-config", "--config", "t.toml"];
    end(tidewire(directory.path(), &arguments), "")
}

#[test]
fn help_goes_to_the_standard_output_with_examples_and_exit_codes() {
    for arguments in [
        &["--help"] as &[&str],
        &["help"],
        &["serve", "--help"],
        &["gateway", "--help"],
        &["help", "chat"],
        &["check-config", "-h"],
        &["default-config", "--help"],
        &["certs", "--help"],
        &["bench", "--help"],
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}");
        assert_eq!(ended.stderr, "");
        for part in [
            "Usage: tidewire",
            "EXAMPLES\n",
            "EXIT CODES\n  0  ",
            "\n  2  ",
        ] {
            assert!(
                ended.stdout.contains(part),
                "{arguments:?}: {}",
                ended.stdout
            );
        }
    }
}

#[test]
fn the_version_is_one_line() {
    let ended = run(&["--version"]);
    assert_eq!(
        ended.stdout,
        concat!("tidewire ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn wrong_usage_is_told_with_code_2() {
    for (arguments, part) in [
        (&["srve"] as &[&str], "unrecognized subcommand 'srve'"),
        (&["serve", "--lisen", "x"], "unexpected argument '--lisen'"),
        (&["serve", "--listen"], "a value is required"),
        (
            &["serve", "--listen", "8085"],
            "flag --listen: server.listen: found \"8085\"",
        ),
        (
            &["serve", "--config", "none.toml"],
            "file none.toml: cannot be read",
        ),
        (
            &["gateway", "--config", "none.ini"],
            "file none.ini: cannot be read",
        ),
        (&["gateway", "--port", "1"], "unexpected argument '--port'"),
        (&["check-config", "--gateway"], "endpoints: there is none"),
        (&["chat", "http://a/"], "cannot connect as asked"),
        (&["chat", "ws://a", "--header", "x"], "expected NAME: VALUE"),
        (&["chat", "wss://a", "--ca", "none.pem"], "none.pem"),
        (
            &["chat", "ws://a", "--to", "2"],
            "--to needs a URL with ?id=",
        ),
        (&["chat", "--to", "2"], "URL"),
    ] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(part),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn a_right_configuration_is_valid() {
    for text in ["", "[server]\nlisten = \"127.0.0.1:0\"\n"] {
        let ended = check_config(text);
        assert_eq!(ended.stdout, "configuration is valid\n");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn warnings_do_not_make_a_configuration_invalid() {
    let ended = check_config("[chat]\ncheck_sender = false\n");
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "configuration is valid\n")
    );
    assert!(
        ended.stderr.starts_with("warning: chat.check_sender"),
        "{}",
        ended.stderr
    );
}

#[test]
fn every_problem_of_a_configuration_is_told() {
    let ended = check_config("data_dir = 7\n[server]\nlisten = \"nowhere\"\nworkers = \"x\"\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    for part in [
        "error: invalid configuration\n",
        "file t.toml: data_dir: ",
        "server.workers: ",
        "server.listen: found \"nowhere\"",
    ] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    let rules = check_config("[server]\nlisten = \"nowhere\"\n[chat]\ntime_zone = \"Mars\"\n");
    for part in [
        "server.listen: found \"nowhere\"",
        "chat.time_zone: found \"Mars\"",
    ] {
        assert!(rules.stderr.contains(part), "{}", rules.stderr);
    }
}

#[test]
fn the_environment_names_and_overrides_the_file() {
    let directory = tempdir().expect("a temporary directory");
    fs::write(
        directory.path().join("t.toml"),
        "[log]\nlevel = \"debug\"\n",
    )
    .expect("writable");
    let check = |variables: &[(&str, &str)]| {
        let mut check = tidewire(directory.path(), &["check-config"]);
        check.envs(variables.iter().copied());
        end(check, "")
    };
    assert_eq!(check(&[("TIDEWIRE_CONFIG", "t.toml")]).code, Some(0));
    let missing = check(&[("TIDEWIRE_CONFIG", "none.toml")]);
    assert!(
        missing.stderr.contains("file none.toml"),
        "{}",
        missing.stderr
    );
    let wrong = check(&[
        ("TIDEWIRE_CONFIG", "t.toml"),
        ("TIDEWIRE_LOG__LEVEL", "loud"),
    ]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong
            .stderr
            .contains("environment variable TIDEWIRE_LOG__LEVEL")
    );
}

#[test]
fn the_default_configuration_is_accepted() {
    let default = run(&["default-config"]);
    assert_eq!((default.code, default.stderr.as_str()), (Some(0), ""));
    let checked = check_config(&default.stdout);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
}

#[test]
fn the_gateways_configuration_is_checked_when_asked_for() {
    let directory = tempdir().expect("a temporary directory");
    let check = |name: &str, text: &str, variables: &[(&str, &str)]| {
        fs::write(directory.path().join(name), text).expect("writable");
        let arguments = ["check-config", "--gateway"];
        let mut check = tidewire(directory.path(), &arguments);
        check.env("TIDEWIRE_GATEWAY_CONFIG", name);
        check.envs(variables.iter().copied());
        end(check, "")
    };
    let default = run(&["default-config", "--gateway"]);
    assert_eq!((default.code, default.stderr.as_str()), (Some(0), ""));
    let whole = check("gateway.toml", &default.stdout, &[]);
    assert_eq!(whole.stdout, "configuration is valid\n");
    assert_eq!((whole.code, whole.stderr.as_str()), (Some(0), ""));

    let prose = check("config.ini", "[A]\nPort = 80\nUsage\n", &[]);
    assert_eq!(prose.code, Some(0));
    assert!(
        prose.stderr.starts_with("warning: file config.ini: line 3"),
        "{}",
        prose.stderr
    );

    let wrong = [("TIDEWIRE_GATEWAY_WORKERS", "many")];
    let wrong = check("config.ini", "[A]\nPort = x\n", &wrong);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""));
    for part in [
        "file config.ini: line 2: [A] Port: found \"x\"",
        "environment variable TIDEWIRE_GATEWAY_WORKERS: workers: found \"many\"",
    ] {
        assert!(wrong.stderr.contains(part), "{}", wrong.stderr);
    }
}

#[test]
fn the_gateways_configuration_is_recognised() {
    let directory = tempdir().expect("a temporary directory");
    let run = |text: &str, arguments: &[&str]| {
        fs::write(directory.path().join("t.toml"), text).expect("writable");
        end(tidewire(directory.path(), arguments), "")
    };
    let right = "[endpoints.a]\nupstreams = [\"ws://127.0.0.1:1/\"]\n";
    let wrong = format!("{right}zones = 1\n[mux]\nstreams_max = 0\n");
    for check in [
        &["check-config", "t.toml"] as &[&str],
        &["check-config", "--config", "t.toml"],
    ] {
        let ended = run(right, check);
        assert_eq!(ended.stdout, "configuration of the gateway is valid\n");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let ended = run(&wrong, check);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
        for part in [
            "error: invalid configuration of the gateway\n",
            "2 problems",
            "endpoints.a.zones: unknown key",
            "mux.streams_max: found 0, expected 1 to 65536",
        ] {
            assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
        }
    }
    let served = run(right, &["serve", "--config", "t.toml"]);
    assert_eq!(served.code, Some(2));
    let hint = "error: this looks like a gateway's configuration: use tidewire gateway --config";
    assert!(served.stderr.starts_with(hint), "{}", served.stderr);
}

#[test]
fn the_variables_of_the_gateway_are_not_the_servers() {
    let directory = tempdir().expect("a temporary directory");
    let mut check = tidewire(directory.path(), &["check-config"]);
    check.env("TIDEWIRE_GATEWAY_WORKERS", "many");
    assert_eq!(end(check, "").code, Some(0));
}

/// Parity: M-05.
#[test]
fn a_gateway_without_a_configuration_says_what_socketmaster_says() {
    let ended = run(&["gateway"]);
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.stderr,
        "Error: Configuration file not specified; give it with --config FILE\n"
    );
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let directory = tempdir().expect("a temporary directory");
    for arguments in [
        &["default-config"] as &[&str],
        &["check-config"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = tidewire(directory.path(), arguments)
            .stdout(writer)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}
