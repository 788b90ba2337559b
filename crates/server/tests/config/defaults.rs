//! The example file is the default.

use std::{net::SocketAddr, time::Duration};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use tidewire_auth::NoLookup;
use tidewire_server::config::{AllowedOrigins, Config, DEFAULT_TOML};

use crate::{load_text, load_variables, settings};

/// No key of the raw types is optional, so this also shows that the example has every key.
#[test]
fn the_example_equals_the_default() {
    let example: Config = Figment::from(Toml::string(DEFAULT_TOML))
        .extract()
        .expect("the example is complete");
    assert_eq!(example, Config::default());
}

#[test]
fn a_key_missing_in_the_example_would_be_noticed() {
    let keys: Vec<&str> = DEFAULT_TOML
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains(" = "))
        .collect();
    assert!(keys.len() > 50, "{}", keys.len());
    for line in keys {
        let shorter = DEFAULT_TOML.replacen(&format!("\n{line}\n"), "\n", 1);
        let result: Result<Config, _> = Figment::from(Toml::string(&shorter)).extract();
        assert!(result.is_err(), "nobody misses {line}");
    }
}

#[test]
fn every_key_of_the_example_stands_below_a_comment() {
    let mut is_commented = false;
    for line in DEFAULT_TOML.lines() {
        if line.starts_with('#') {
            is_commented = true;
        } else if line.is_empty() || line.starts_with('[') {
            is_commented = false;
        } else {
            assert!(is_commented, "no comment above {line}");
        }
    }
}

#[test]
fn the_default_is_valid_and_safe() {
    let settings = load_variables(&[]).expect("valid");
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(settings.server.listen, loopback(8085));
    assert_eq!(settings.server.endpoint, "/chat");
    assert_eq!(
        settings.server.allowed_origins,
        AllowedOrigins::Only(vec![])
    );
    assert_eq!(settings.server.drain, Duration::from_secs(10));
    assert_eq!(settings.server.limits.head_bytes_max, 16_384);
    assert_eq!(settings.server.limits.send_queue_bytes_max, 1 << 20);
    assert_eq!(
        settings.server.limits.control_rate,
        Some(tidewire::ws::ControlRate::default())
    );
    assert_eq!(settings.server.echo_limits.message_bytes_max, 16 << 20);
    assert_eq!(settings.server.echo_limits.fragments_max, 4096);
    assert!(settings.server.auth.is_open());
    assert_eq!(
        settings.rest.expect("served by default").listen,
        loopback(8092)
    );
    assert_eq!(settings.chat.message_bytes_max, 10 << 20);
    assert!(settings.chat.check_sender);
    assert_eq!(settings.mailbox.bytes_max, 4 << 30);
    assert_eq!(settings.mailbox.clock_jump_max, Duration::from_hours(1));
    assert_eq!(settings.mailbox.clock_confirm, Duration::from_hours(24));
    assert_eq!(
        settings.server.limits.answer_within,
        Duration::from_secs(30)
    );
    assert_eq!(settings.server.limits.answers_bytes_max, 64 << 20);
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    assert!(Config::default().check(&NoLookup).is_ok());
}

#[test]
fn the_example_as_a_file_changes_nothing() {
    let from_file = settings(DEFAULT_TOML);
    let from_nothing = settings("");
    assert_eq!(format!("{from_file:?}"), format!("{from_nothing:?}"));
    assert!(load_text(DEFAULT_TOML).is_ok());
}
