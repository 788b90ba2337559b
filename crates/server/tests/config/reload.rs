//! A running server takes parts of a configuration that was read again.
//!
//! Kinds: a key that can change, one that cannot, both at once, nothing, a file that is wrong, a file that is gone, and
//! a mixture of old and new that would be wrong although each is right.

use tidewire_server::config::{ConfigError, Overrides, Reload, reload};

use crate::{Fixture, pairs, settings};

/// Reads `now` while a server runs by `before`.
fn read(before: &str, now: &str) -> Result<Reload, ConfigError> {
    let running = settings(before).config;
    let fixture = Fixture::new(now);
    reload(
        Some(&fixture.file),
        pairs(&[]),
        &Overrides::default(),
        &running,
    )
}

#[test]
fn changed_keys_are_named_and_those_that_need_a_restart_stay() {
    let before =
        "data_dir = \"/a\"\n[server]\nallowed_origins = [\"https://a\"]\n[mailbox]\nttl = \"1h\"\n";
    let now = "data_dir = \"/b\"\n[server]\nlisten = \"127.0.0.1:1\"\nendpoint = \"/ws\"\n\
               [server.limits]\nheaders_max = 100\n[mailbox]\nttl = \"2h\"\n[log]\nlevel = \"debug\"\n";
    let found = read(before, now).expect("valid");
    assert_eq!(
        found.changed,
        [
            "server.endpoint",
            "server.allowed_origins",
            "server.limits.headers_max",
            "log.level"
        ]
    );
    assert_eq!(
        found.needs_restart,
        ["data_dir", "server.listen", "mailbox.ttl"]
    );
    let config = &found.settings.config;
    assert_eq!(
        (config.data_dir.as_str(), config.server.endpoint.as_str()),
        ("/a", "/ws")
    );
    assert_eq!(
        found
            .settings
            .server
            .listen
            .socket_addr()
            .expect("an IP address")
            .port(),
        8085
    );
    assert_eq!(config.log.level, "debug");
}

#[test]
fn nothing_changed_is_nothing() {
    let text = "[server]\nworkers = 3\n[rest.auth]\ntype = \"bearer\"\nvalue = \"x\"\n";
    let found = read(text, text).expect("valid");
    assert!(
        found.changed.is_empty() && found.needs_restart.is_empty(),
        "{found:?}"
    );
}

#[test]
fn secrets_are_named_by_their_key_alone() {
    let table = |token: &str| format!("[server.auth]\ntype = \"bearer\"\nvalue = \"{token}\"\n");
    let found = read(&table("old-token"), &table("new-token")).expect("valid");
    assert_eq!(found.changed, ["server.auth"]);
    let auth = &found.settings.server.auth;
    assert!(
        auth.check_now(&[("authorization", "Bearer new-token")])
            .is_ok()
    );
    assert!(
        auth.check_now(&[("authorization", "Bearer old-token")])
            .is_err()
    );
}

#[test]
fn what_is_wrong_is_taken_in_no_part() {
    for (now, word) in [
        (
            "[server]\nendpoint = \"/ws\"\nworkers = \"x\"\n",
            "server.workers",
        ),
        (
            "[server]\nendpoint = \"/ws\"\n[mailbox]\nttl = 5\n",
            "mailbox.ttl",
        ),
        ("[server]\nendpoint = ", "line 2"),
    ] {
        let error = read("", now).expect_err("refused");
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// The socket stays where it is until a restart: what was right for loopback would let everybody in there.
#[test]
fn a_mixture_of_old_and_new_is_checked_too() {
    let before = "[server]\nlisten = \"*:8085\"\n[server.auth]\ntype = \"bearer\"\nvalue = \"x\"\n";
    let now = "[server]\nlisten = \"127.0.0.1:8085\"\n";
    let error = read(before, now).expect_err("refused").to_string();
    assert!(error.contains("0.0.0.0:8085 is reachable"), "{error}");
    settings(now);
}
