//! Descriptions → the reference page.

use std::fmt::Write as _;

use tidewire_table::{Description, Key, Presence, Shape};

use crate::template::{AUTH, documentation, is_table};

/// Writes a table of keys in Markdown for every table of the file.
pub fn reference(description: &Description) -> String {
    let mut text = String::new();
    if description.keys.iter().any(|key| !is_table(&key.shape)) {
        text.push_str("\n### At the top\n");
        rows(&mut text, description, Presence::Always);
    }
    tables_within(&mut text, "", description);
    text
}

fn tables_within(text: &mut String, at: &str, description: &Description) {
    for key in &description.keys {
        within(text, at, key);
    }
}

fn within(text: &mut String, at: &str, key: &Key) {
    let path = tidewire_table::join_key(at, key.name);
    let mut head = |header: String, more: &str| {
        write!(text, "\n### `{header}`\n").expect("a text takes all");
        let mut paragraphs = documentation(key);
        paragraphs.extend((!more.is_empty()).then(|| more.to_owned()));
        for paragraph in paragraphs {
            write!(text, "\n{paragraph}\n").expect("a text takes all");
        }
    };
    let (path, description, presence) = match &key.shape {
        Shape::Table(description, presence) => {
            let more = match presence {
                Presence::OnceThere => {
                    "Off while it is absent, on once it is there, unless `enabled = false`."
                }
                Presence::Always | Presence::UnlessDisabled => "",
            };
            head(format!("[{path}]"), more);
            (path, description, *presence)
        }
        Shape::Tables(description) => {
            head(format!("[[{path}]]"), "");
            (path, description, Presence::Always)
        }
        Shape::Named(description) => {
            let path = format!("{path}.NAME");
            head(format!("[{path}]"), "");
            (path, description, Presence::Always)
        }
        Shape::Auth => {
            head(format!("[{path}]"), AUTH);
            return;
        }
        Shape::Texts => {
            let example = key
                .example
                .map(|example| format!("For example `{example}`."));
            head(format!("[{path}]"), &example.unwrap_or_default());
            return;
        }
        Shape::Boolean
        | Shape::Number
        | Shape::Size
        | Shape::Duration
        | Shape::Text
        | Shape::List
        | Shape::Numbers
        | Shape::Words(_)
        | Shape::Mixed(_)
        | Shape::MixedList(_) => return,
    };
    rows(text, description, presence);
    tables_within(text, &path, description);
}

fn rows(text: &mut String, description: &Description, presence: Presence) {
    let keys = description.keys.iter().filter(|key| !is_table(&key.shape));
    for (index, key) in keys.enumerate() {
        if index == 0 {
            text.push_str("\n| key | default | range | meaning |\n|---|---|---|---|\n");
        }
        let default = match (&key.default, key.example) {
            (None, None) => String::new(),
            (None, Some(example)) => format!("e.g. `{example}`"),
            (Some(_), _) if presence == Presence::OnceThere && key.name == "enabled" => {
                "`true`".to_owned()
            }
            (Some(default), _) => format!("`{default}`"),
        };
        let range = key.range_in_words().unwrap_or_default();
        let meaning = key.paragraphs().join(" ").replace('|', "\\|");
        writeln!(text, "| `{}` | {default} | {range} | {meaning} |", key.name)
            .expect("a text takes all");
    }
}
