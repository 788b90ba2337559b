//! `tidewire token`.

use std::{fs, path::Path};

use tempfile::tempdir;

use crate::program::{end, tidewire};

const SECRET: &str = "a secret of thirty-two bytes or more";

fn run(directory: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let ended = end(tidewire(directory, arguments), input);
    (ended.code, ended.stdout, ended.stderr)
}

#[test]
fn tokens_are_made_and_looked_into() {
    let directory = tempdir().expect("a temporary directory");
    let directory = directory.path();
    fs::write(directory.join("secret"), format!("{SECRET}\n")).expect("writable");
    let config = |more: &str| {
        format!(
            "[server.auth]\ntype = \"jwt\"\nalgorithms = [\"HS256\"]\nsecret = \"{SECRET}\"\ndevice_claim = \"device\"\n{more}"
        )
    };
    fs::write(directory.join("t.toml"), config("audience = \"chat\"\n")).expect("writable");
    let make = ["token", "make", "--key", "secret", "--user", "alice"];
    let more = [
        "--device",
        "phone",
        "--audience",
        "chat",
        "--send-to",
        "team-*",
        "--admin",
        "--key-id",
        "k",
        "--claim",
        "n=[1]",
    ];
    let (code, token, errors) = run(directory, &[&make[..], &more[..]].concat(), "");
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let inspect = ["token", "inspect", "--config", "t.toml"];
    let (code, shown, _) = run(directory, &inspect, &token);
    assert_eq!(code, Some(0), "{shown}");
    for part in [
        "\"kid\":\"k\"",
        "\"sub\":\"alice\"",
        "\"n\":[1]",
        "\"send_to\":[\"team-*\"]",
        "accepted   as alice, administrator",
        "expires    in ",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (code, shown, _) = run(directory, &["token", "inspect"], &token);
    assert!(code == Some(0) && shown.contains("not checked"), "{shown}");
    // For another audience.
    let (_, other, _) = run(directory, &make, "");
    let (code, shown, errors) = run(directory, &inspect, &other);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("refused    bad token"), "{shown}");
    assert!(!format!("{shown}{errors}").contains(SECRET));
}

#[test]
fn what_makes_no_token_is_told_without_the_secret() {
    let directory = tempdir().expect("a temporary directory");
    let directory = directory.path();
    fs::write(directory.join("secret"), format!("{SECRET}\n")).expect("writable");
    for wrong in [
        &["token", "make", "--key", "none", "--user", "a"][..],
        &["token", "make", "--key", "secret", "--user", ""],
        &[
            "token",
            "make",
            "--key",
            "secret",
            "--user",
            "a",
            "--algorithm",
            "none",
        ],
        &[
            "token",
            "make",
            "--key",
            "secret",
            "--user",
            "a",
            "--algorithm",
            "HS512",
        ],
        &[
            "token",
            "make",
            "--key",
            "secret",
            "--user",
            "a",
            "--algorithm",
            "ES256",
        ],
        &[
            "token",
            "make",
            "--key",
            "secret",
            "--user",
            "a",
            "--lifetime",
            "soon",
        ],
        &[
            "token", "make", "--key", "secret", "--user", "a", "--claim", "x",
        ],
        &["token", "inspect"],
    ] {
        let (code, shown, errors) = run(directory, wrong, "no token");
        assert!(
            code != Some(0) && shown.is_empty() && !errors.is_empty(),
            "{wrong:?}"
        );
        assert!(!errors.contains(SECRET), "{errors}");
    }
}
