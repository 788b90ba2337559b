//! Keys → the text of a TOML file, each with the key that it comes from.

use std::fmt::Write as _;

use tidewire_config::{Dict, Value};
use tidewire_table::toml_text;

use super::object::Conversion;

/// The file that says the same as the one called `name`.
pub(super) fn toml(conversion: &Conversion, name: &str) -> String {
    let mut text = String::new();
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    line(
        &mut text,
        &format!("# Made of wsserver's {name} by tidewire migrate-config."),
    );
    let notes = conversion.notes.iter().chain(&conversion.remarks);
    let mut notes = notes.peekable();
    if notes.peek().is_some() {
        line(&mut text, "#");
        line(
            &mut text,
            "# What differs from wsserver, and what stood in the file for nothing:",
        );
    }
    for (key, note) in notes {
        let subject = if key.is_empty() { "the file" } else { key };
        wrapped(&mut text, &format!("{subject} {note}"));
    }
    table(&mut text, "", &conversion.keys, conversion);
    text
}

/// The keys of a table, then the tables within.
fn table(text: &mut String, at: &str, keys: &Dict, conversion: &Conversion) {
    let path = |key: &str| {
        let key = bare(key);
        if at.is_empty() {
            key
        } else {
            format!("{at}.{key}")
        }
    };
    for (key, value) in keys {
        if is_table(value) || is_tables(value) {
            continue;
        }
        let origin = conversion.origins.get(&path(key));
        let origin = origin.filter(|origin| **origin != path(key));
        let origin = origin.map_or_else(String::new, |origin| format!("  # {origin}"));
        line(text, &format!("{} = {}{origin}", bare(key), inline(value)));
    }
    for (key, value) in keys {
        let path = path(key);
        if let Value::Dict(_, inner) = value {
            head(text, &format!("[{path}]"));
            table(text, &path, inner, conversion);
        } else if let Value::Array(_, items) = value
            && is_tables(value)
        {
            for item in items {
                head(text, &format!("[[{path}]]"));
                if let Value::Dict(_, inner) = item {
                    table(text, &path, inner, conversion);
                }
            }
        }
    }
}

fn is_table(value: &Value) -> bool {
    matches!(value, Value::Dict(..))
}

/// Lists of tables that themselves have tables get headers; small ones stand on a line.
fn is_tables(value: &Value) -> bool {
    let has_tables =
        |item: &Value| matches!(item, Value::Dict(_, inner) if inner.contains_key("attempts"));
    matches!(value, Value::Array(_, items) if items.iter().any(has_tables))
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(_, text) => toml_text(text),
        Value::Char(_, letter) => toml_text(&letter.to_string()),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => number
            .to_i128()
            .map(|number| number.to_string())
            .or_else(|| number.to_u128().map(|number| number.to_string()))
            .or_else(|| number.to_f64().map(|number| format!("{number:?}")))
            .unwrap_or_default(),
        // There is none: a null within is an error.
        Value::Empty(..) => "\"\"".to_owned(),
        Value::Array(_, items) => {
            let items: Vec<String> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Dict(_, keys) => {
            let keys: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{} = {}", bare(key), inline(value)))
                .collect();
            format!("{{ {} }}", keys.join(", "))
        }
    }
}

/// A key, in quotes where it needs them.
fn bare(key: &str) -> String {
    let is_bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare {
        key.to_owned()
    } else {
        toml_text(key)
    }
}

fn head(text: &mut String, head: &str) {
    text.push('\n');
    line(text, head);
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a text takes all");
}

/// A note as a comment of several lines.
fn wrapped(text: &mut String, note: &str) {
    let mut current = String::from("# -");
    for word in note.split_whitespace() {
        if current.len() + 1 + word.len() > 100 {
            line(text, &current);
            current = String::from("#  ");
        }
        current.push(' ');
        current.push_str(word);
    }
    line(text, &current);
}
