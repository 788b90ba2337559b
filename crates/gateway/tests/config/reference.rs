//! The reference in the documentation is the example.

use std::{env, fmt::Write as _, fs, path::Path};

use tidewire_gateway::config::EXAMPLE_TOML;

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/gateway/configuration.md"
);

/// Behind it the page is made.
const MARKER_END: &str = "writes it anew. -->\n";

/// One table of keys per table of the example. A comment belongs to all keys up to the next one.
fn reference() -> String {
    let mut text = String::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut in_rows = false;
    let mut is_used = false;
    for line in EXAMPLE_TOML.lines() {
        if let Some(words) = line.strip_prefix('#') {
            let words = words.trim();
            if let Some((key, value)) = words.split_once(" = ")
                && !key.contains(['{', ' '])
                && value.starts_with(['"', '{'])
            {
                // A key without a default, shown by an example.
                let shown = format!("e.g. `{value}`");
                row(&mut text, &mut in_rows, key, &shown, &comment);
                is_used = true;
            } else {
                if is_used {
                    comment.clear();
                    is_used = false;
                }
                comment.push(words);
            }
        } else if line.starts_with('[') {
            // The example's own names are not the operator's.
            let table = line.replace(".chat", ".NAME");
            write!(text, "\n### `{table}`\n\n").expect("a text");
            if !comment.is_empty() {
                write!(text, "{}\n\n", comment.join(" ")).expect("a text");
            }
            in_rows = false;
            is_used = true;
        } else if let Some((key, value)) = line.split_once(" = ") {
            if text.is_empty() {
                text.push_str("\n### At the top\n\n");
            }
            let shown = match key {
                "upstreams" | "endpoint" | "path"
                    if value.contains("9001") || value.contains("chat") =>
                {
                    format!("e.g. `{value}`")
                }
                _ => format!("`{value}`"),
            };
            row(&mut text, &mut in_rows, key, &shown, &comment);
            is_used = true;
        } else {
            comment.clear();
        }
    }
    text
}

fn row(text: &mut String, in_rows: &mut bool, key: &str, value: &str, comment: &[&str]) {
    if !*in_rows {
        text.push_str("| key | default | meaning |\n|---|---|---|\n");
        *in_rows = true;
    }
    let meaning = comment.join(" ").replace('|', "\\|");
    writeln!(text, "| `{key}` | {value} | {meaning} |").expect("a text");
}

#[test]
fn the_reference_in_the_documentation_is_the_example() {
    let page = fs::read_to_string(Path::new(PAGE)).expect("the page is there");
    let (before, found) = page.split_once(MARKER_END).expect("the marker");
    let expected = reference();
    if env::var_os("TIDEWIRE_BLESS").is_some() {
        let whole = format!("{before}{MARKER_END}{expected}");
        fs::write(PAGE, whole).expect("writable");
        return;
    }
    assert_eq!(found, expected, "see the comment in {PAGE}");
}
