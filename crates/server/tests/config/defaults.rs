//! The example file is the default.

use std::{net::SocketAddr, time::Duration};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use tidewire_auth::NoLookup;
use tidewire_server::config::{AllowedOrigins, Config, default_toml};
use tidewire_table::{Description, Shape, Table as _};

use crate::{load_text, load_variables, settings};

#[test]
fn the_example_equals_the_default() {
    let example: Config = Figment::from(Toml::string(&default_toml()))
        .extract()
        .expect("the example is right");
    assert_eq!(example, Config::default());
}

/// A key that the example lacks would have no variable, and nobody would know of it.
#[test]
fn every_key_stands_in_the_example() {
    fn check(figment: &Figment, at: &str, table: &Description) {
        for key in &table.keys {
            let path = tidewire_table::join_key(at, key.name);
            if matches!(key.shape, Shape::Tables(_)) {
                // By default there is none, so it is a comment.
                let header = format!("\n# [[{path}]]\n");
                assert!(default_toml().contains(&header), "{path}");
                continue;
            }
            assert!(figment.contains(&path), "{path}");
            if let Some(table) = key.shape.description() {
                check(figment, &path, table);
            }
        }
    }
    let example = Figment::from(Toml::string(&default_toml()));
    check(&example, "", &Config::describe());
}

#[test]
fn every_key_of_the_example_stands_below_a_comment() {
    let mut is_commented = false;
    for line in default_toml().lines() {
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
    assert_eq!(settings.config.server.endpoint, "/chat");
    assert_eq!(settings.allowed_origins, AllowedOrigins::Only(vec![]));
    assert_eq!(
        settings.config.server.drain_timeout,
        Duration::from_secs(10)
    );
    assert_eq!(settings.config.server.limits.head_bytes_max, 16_384);
    assert_eq!(settings.config.server.limits.send_queue_bytes_max, 1 << 20);
    assert_eq!(
        settings.config.server.limits.control_rate(),
        Some(tidewire::ws::ControlRate::default())
    );
    assert_eq!(
        settings.config.server.echo_limits.message_bytes_max,
        16 << 20
    );
    assert_eq!(settings.config.server.echo_limits.fragments_max, 4096);
    assert!(settings.server.auth.is_open());
    assert_eq!(
        settings.rest.expect("served by default").listen,
        loopback(8092)
    );
    assert_eq!(settings.config.server.limits.message_bytes_max, 10 << 20);
    assert!(settings.config.chat.check_sender);
    assert_eq!(settings.config.mailbox.bytes_max, 4 << 30);
    assert_eq!(
        settings.config.mailbox.clock_jump_max,
        Duration::from_hours(1)
    );
    assert_eq!(
        settings.config.mailbox.clock_confirm_after,
        Duration::from_hours(24)
    );
    assert_eq!(
        settings.config.server.limits.answer_timeout,
        Duration::from_secs(30)
    );
    assert_eq!(settings.config.server.limits.answers_bytes_max, 64 << 20);
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    assert!(Config::default().check(&NoLookup).is_ok());
}

#[test]
fn the_example_as_a_file_changes_nothing() {
    let from_file = settings(&default_toml());
    let from_nothing = settings("");
    assert_eq!(format!("{from_file:?}"), format!("{from_nothing:?}"));
    assert!(load_text(&default_toml()).is_ok());
}
