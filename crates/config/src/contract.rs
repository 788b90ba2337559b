//! Promises that every program's configuration keeps, as tests for the program's own tests to call: variables that are none
//! of ours, and files that are made from the keys.
//!
//! Kinds of variables that begin with a program's prefix: what Kubernetes sets for Services beside the pod (named like
//! the program, like it with something behind, with named ports, over TCP, UDP and SCTP, with two dashes in the name),
//! what Docker sets for links, what images set (version, home), empty ones, and ones that are almost keys.

use std::{env, fs, path::Path};

/// Loads with these variables, and gives what is told in the log.
pub type Warnings<'a> = &'a dyn Fn(&[(&str, &str)]) -> Vec<String>;

/// Variables of Services, whose names begin with a program's `prefix`, and of links say nothing. `services` is what
/// follows in their names.
///
/// # Panics
/// When one of them is told, or refused.
pub fn service_links_say_nothing(prefix: &str, services: &[&str], warnings: Warnings<'_>) {
    for service in ["", "LOG_", "A__B_"].iter().chain(services) {
        for (name, value) in SERVICE_LINKS {
            silent(&format!("{prefix}{service}{name}"), value, warnings);
        }
    }
}

/// Variables that images set for their own ends say nothing.
///
/// # Panics
/// When one of them is told, or refused.
pub fn what_images_set_says_nothing(prefix: &str, warnings: Warnings<'_>) {
    for name in OF_IMAGES {
        for value in ["1.2.3", ""] {
            silent(&format!("{prefix}{name}"), value, warnings);
        }
    }
}

/// A variable that is almost a key is told with the key that may be meant.
///
/// # Panics
/// When one is not told, refused, or told with another key.
pub fn near_misses_are_told(misses: &[(&str, &str)], warnings: Warnings<'_>) {
    for (name, meant) in misses {
        let told = warnings(&[(name, "127.0.0.1:1")]);
        let expected = format!("environment variable {name} is not read: did you mean {meant}");
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert!(told.concat().starts_with(&expected), "{told:?}");
    }
}

/// The reference page and the JSON schema are as the keys make them. With the variable `TIDEWIRE_BLESS` they are
/// written anew.
///
/// # Panics
/// When a file is stale, or cannot be read.
pub fn generated_files_are_fresh(page: &Path, schema: &Path, reference: &str, json_schema: &str) {
    let found = fs::read_to_string(page).expect("the page is there");
    let marker = found
        .lines()
        .find(|line| line.starts_with(MARKER))
        .expect("the marker");
    let (before, _) = found.split_once(marker).expect("a line of the page");
    fresh(page, &found, &format!("{before}{marker}\n{reference}"));
    let found = fs::read_to_string(schema).unwrap_or_default();
    fresh(schema, &found, json_schema);
}

fn silent(name: &str, value: &str, warnings: Warnings<'_>) {
    let told = warnings(&[(name, value)]);
    assert!(told.is_empty(), "{name}: {told:?}");
}

fn fresh(path: &Path, found: &str, expected: &str) {
    if found == expected {
        return;
    }
    if env::var_os("TIDEWIRE_BLESS").is_some() {
        fs::write(path, expected).expect("writable");
        return;
    }
    let mut lines = found.lines().zip(expected.lines());
    let differs = lines.position(|(a, b)| a != b);
    let path = path.display();
    panic!("{path} is stale, first in line {differs:?}: `cargo xtask generate` writes it anew");
}

const SERVICE_LINKS: &[(&str, &str)] = &[
    ("SERVICE_HOST", "10.0.0.1"),
    ("SERVICE_PORT", "8092"),
    ("SERVICE_PORT_HTTP", "8092"),
    ("SERVICE_PORT_LISTEN", "8092"),
    ("SERVICE_PORT_WEB_SOCKET", "8085"),
    ("PORT", "tcp://10.0.0.1:8092"),
    ("PORT", "tcp://[fd00::1]:8092"),
    ("PORT_8092_TCP", "tcp://10.0.0.1:8092"),
    ("PORT_8092_TCP_PROTO", "tcp"),
    ("PORT_8092_TCP_PORT", "8092"),
    ("PORT_8092_TCP_ADDR", "fd00::1"),
    ("PORT_53_UDP_ADDR", "10.0.0.1"),
    ("PORT_9_SCTP", "sctp://10.0.0.1:9"),
    ("NAME", "/web/tidewire"),
    ("ENV_PATH", "/usr/bin"),
    ("ENV_FOO__BAR", "1"),
];

const OF_IMAGES: &[&str] = &[
    "VERSION", "HOME", "IMAGE", "USER", "UID", "HOST", "URL", "TAG", "COMMIT", "DEBUG", "PORT", "",
];

/// Behind this line a page is generated.
const MARKER: &str = "<!-- Generated from here on";
