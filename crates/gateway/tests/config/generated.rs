//! What is made from the keys and checked in: the reference page and the JSON schema.

use std::{env, fs};

use tidewire_gateway::config::{json_schema, reference};

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/gateway/configuration.md"
);

const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/gateway/configuration.schema.json"
);

/// Behind this line the page is generated.
const MARKER: &str = "<!-- Generated from here on";

fn check(path: &str, found: &str, expected: &str) {
    if found == expected {
        return;
    }
    if env::var_os("TIDEWIRE_BLESS").is_some() {
        fs::write(path, expected).expect("writable");
        return;
    }
    let differs = found
        .lines()
        .zip(expected.lines())
        .position(|(a, b)| a != b);
    panic!("{path} is stale, first in line {differs:?}: `cargo xtask generate` writes it anew");
}

#[test]
fn the_reference_page_is_generated_from_the_keys() {
    let page = fs::read_to_string(PAGE).expect("the page is there");
    let marker = page
        .lines()
        .find(|line| line.starts_with(MARKER))
        .expect("the marker");
    let (before, _) = page.split_once(marker).expect("a line of the page");
    let expected = format!("{before}{marker}\n{}", reference());
    check(PAGE, &page, &expected);
}

#[test]
fn the_schema_is_generated_from_the_keys() {
    let found = fs::read_to_string(SCHEMA).unwrap_or_default();
    check(SCHEMA, &found, &json_schema());
}
