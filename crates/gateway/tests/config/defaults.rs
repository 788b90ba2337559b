//! The example file is the default, and has every key.

use std::time::Duration;

use tidewire::ws::Url;
use tidewire_gateway::{
    config::Rule,
    settings::{Balance, Endpoint, Extensions, Origins, PingAnswers, Settings, Upstream},
};

use crate::{CHAT, EXAMPLE, endpoint, load_toml, settings};

/// What the example adds to the defaults.
const ROUTE: &str =
    "[[routes]]\nendpoint = \"chat\"\npath = \"/chat*\"\nupstream_path = \"rest\"\n";

#[test]
fn every_key_of_the_example_has_its_default() {
    let example = settings(&EXAMPLE);
    let default = settings(&format!("{CHAT}{ROUTE}"));
    assert_eq!(example, default);
}

/// Where a table is off by default, its keys are not looked at; switched on, each must be the
/// default too.
#[test]
fn every_key_of_a_table_that_is_off_has_its_default() {
    for (table, needed) in [
        ("endpoints.chat.health", ""),
        ("endpoints.chat.resume", ""),
        ("endpoints.chat.process", "command = [\"true\"]\n"),
        ("endpoints.chat.tls", "danger_unverified = true\n"),
        ("admin", ""),
    ] {
        let header = format!("[{table}]\n");
        let (before, behind) = EXAMPLE.split_once(&header).expect(table);
        let (keys, behind) = behind.split_once("\n[").expect("more tables");
        let mut keys = keys.replacen("enabled = false\n", "enabled = true\n", 1);
        for line in needed.lines() {
            let (key, _) = line.split_once(" = ").expect("a key");
            let old = keys
                .lines()
                .find(|old| old.starts_with(&format!("{key} = ")))
                .expect(key)
                .to_owned();
            keys = keys.replacen(&old, line, 1);
        }
        let on = settings(&format!("{before}{header}{keys}\n[{behind}"));
        let least = settings(&format!("{CHAT}{header}{needed}{ROUTE}"));
        assert_eq!(on, least, "{table}");
        assert_ne!(on, settings(&EXAMPLE), "{table}");
    }
}

#[test]
fn every_key_is_in_the_example() {
    // An unknown key makes the error tell the known ones.
    for (table, text) in [
        ("", "zz = 1\n".to_owned() + CHAT),
        ("endpoints.chat", format!("{CHAT}zz = 1")),
        ("routes", format!("{CHAT}{ROUTE}zz = 1")),
        ("listeners", format!("{CHAT}[[listeners]]\nzz = 1")),
        (
            "listeners.tls",
            format!("{CHAT}[[listeners]]\n[listeners.tls]\nzz = 1"),
        ),
    ]
    .into_iter()
    .chain(
        [
            "endpoints.chat.auth",
            "endpoints.chat.tls",
            "endpoints.chat.opening",
            "endpoints.chat.health",
            "endpoints.chat.ejection",
            "endpoints.chat.rates",
            "endpoints.chat.resume",
            "endpoints.chat.process",
            "classic",
            "mux",
            "limits",
            "drain",
            "admin",
            "log",
        ]
        .map(|table| (table, format!("{CHAT}[{table}]\nzz = 1"))),
    ) {
        let error = load_toml(&text).expect_err(&text);
        let [problem] = error.problems() else {
            panic!("{text}: {error}");
        };
        let Rule::UnknownKey { expected } = &problem.rule else {
            panic!("{text}: {error}");
        };
        assert!(!expected.is_empty());
        for key in expected.iter().filter(|key| *key != "types") {
            let is_there = EXAMPLE.lines().any(|line| {
                let line = line.strip_prefix("# ").unwrap_or(line);
                let full = if table.is_empty() {
                    key.clone()
                } else {
                    format!("{table}.{key}")
                };
                line.starts_with(&format!("{key} = "))
                    || line == format!("[{full}]")
                    || line == format!("[[{full}]]")
                    || (key == "endpoints" && line == "[endpoints.chat]")
                    // Told in a sentence.
                    || (table.ends_with("auth") && line.contains(key.as_str()))
            });
            assert!(is_there, "{table}: {key}");
        }
    }
}

#[test]
fn every_key_of_the_example_stands_below_a_comment() {
    let mut is_commented = false;
    for line in EXAMPLE.lines() {
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
fn what_is_commented_out_in_the_example_is_valid() {
    let text: String = EXAMPLE
        .lines()
        // `strip_prefix` is an older way to say it: one of both.
        .filter(|line| !line.starts_with("upstream_path"))
        .map(|line| match line.strip_prefix("# ") {
            Some(key)
                if key.split_once(" = ").is_some_and(|(key, value)| {
                    !key.contains(['{', ' ']) && value.starts_with(['"', '{'])
                }) =>
            {
                format!("{key}\n")
            }
            Some(_) | None => format!("{line}\n"),
        })
        .collect();
    let settings = settings(&text);
    assert_eq!(settings.routes[0].conditions.len(), 6);
    assert_eq!(settings.routes[0].strip_prefix.as_deref(), Some("/chat"));
    assert_eq!(endpoint(&settings).request_headers.len(), 1);
}

#[test]
fn the_settings_made_in_code_have_the_same_defaults() {
    let upstream = Upstream::new(Url::parse("ws://127.0.0.1:9001/").expect("an address"));
    let address = "127.0.0.1:8090".parse().expect("an address");
    let mut code = Settings::new(address, vec![Endpoint::new("chat", vec![upstream])]);
    let file = settings(CHAT);
    // Who writes code knows how many descriptors there are.
    code.limits.connections_max = file.limits.connections_max;
    code.limits.backend_connections_max = file.limits.connections_max;
    code.limits.backend_connections_per_ip_max = file.limits.connections_max.div_ceil(2);
    assert_eq!(code, file);
}

#[test]
fn the_default_is_safe_and_heals() {
    let settings = settings(CHAT);
    let [listener] = settings.listeners.as_slice() else {
        panic!("{:?}", settings.listeners);
    };
    assert_eq!(listener.address.to_string(), "127.0.0.1:8090");
    assert!(listener.tls.is_none() && listener.trusted_proxies.is_empty());
    assert!(settings.admin.is_none() && settings.access_log.is_none());
    assert!(settings.handover.is_none() && settings.workers.is_none());
    assert!(settings.limits.connections_max > 0);
    assert_eq!(settings.limits.idle_timeout, None);
    assert_eq!(
        settings.limits.control_rate,
        Some(tidewire::ws::ControlRate::default())
    );
    assert_eq!(settings.limits.handshake_timeout, Duration::from_secs(15));
    assert_eq!(settings.mux.credit, 65_536);
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    let endpoint = endpoint(&settings);
    assert_eq!(endpoint.balance, Balance::RoundRobin);
    assert_eq!(endpoint.origins, Origins::Same);
    assert_eq!(endpoint.pings, PingAnswers::Auto);
    assert_eq!(endpoint.extensions, Extensions::EndToEnd);
    assert!(endpoint.ejection.is_some());
    assert!(endpoint.auth.is_none() && endpoint.resume.is_none() && endpoint.tls.is_none());
    assert!(endpoint.health.is_none() && endpoint.process.is_none());
    assert_eq!(endpoint.connections_max, usize::MAX);
}
