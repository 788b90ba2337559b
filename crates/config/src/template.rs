//! Descriptions → the commented example file.

use std::fmt::Write as _;

use tidewire_table::{Description, Key, Presence, Shape};

/// Writes every key with its documentation, range and default as TOML. `head` stands above, as a comment.
pub fn template(description: &Description, head: &str) -> String {
    let mut text = String::new();
    comment(&mut text, head.split("\n\n").map(str::to_owned));
    text.push('\n');
    table(&mut text, "", description, Presence::Always);
    text
}

/// Writes the keys of a table, then the tables within it.
fn table(text: &mut String, at: &str, description: &Description, presence: Presence) {
    for key in &description.keys {
        plain(text, key, presence);
    }
    for key in &description.keys {
        within(text, at, key);
    }
}

/// Writes a key that is no table.
fn plain(text: &mut String, key: &Key, presence: Presence) {
    if is_table(&key.shape) {
        return;
    }
    comment(text, documentation(key));
    let name = key.name;
    if presence == Presence::OnceThere && name == "enabled" {
        text.push_str("enabled = false\n");
        return;
    }
    match (&key.default, key.example) {
        (None, Some(example)) if !key.is_shown => line(text, &format!("# {name} = {example}")),
        (_, Some(value)) => line(text, &format!("{name} = {value}")),
        (Some(default), None) => line(text, &format!("{name} = {default}")),
        (None, None) => line(text, &format!("# {name} = \"\"")),
    }
}

/// Writes a key that is a table.
fn within(text: &mut String, at: &str, key: &Key) {
    let path = tidewire_table::join_key(at, key.name);
    let head = |text: &mut String, header: &str| {
        text.push('\n');
        comment(text, documentation(key));
        line(text, header);
    };
    match &key.shape {
        Shape::Table(description, presence) => {
            head(text, &format!("[{path}]"));
            table(text, &path, description, *presence);
        }
        Shape::Tables(description) => {
            let mut list = String::new();
            head(&mut list, &format!("[[{path}]]"));
            table(&mut list, &path, description, Presence::Always);
            if key.example.is_some() && !key.is_shown {
                // By default there is none.
                list = commented_out(&list);
            }
            text.push_str(&list);
        }
        Shape::Named(description) => {
            let path = format!("{path}.{}", key.example.unwrap_or("NAME"));
            head(text, &format!("[{path}]"));
            table(text, &path, description, Presence::Always);
        }
        Shape::Auth => {
            head(text, &format!("[{path}]"));
            comment(text, [AUTH.to_owned()]);
            line(text, "type = \"noauth\"");
        }
        Shape::Texts => {
            head(text, &format!("[{path}]"));
            if let Some(example) = key.example {
                line(text, &format!("# {example}"));
            }
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
        | Shape::MixedList(_) => {}
    }
}

/// The same text with every line a comment.
fn commented_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for line in text.lines() {
        if !line.is_empty() && !line.starts_with('#') {
            out.push_str("# ");
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Returns true for what stands under a header of its own.
pub(crate) fn is_table(shape: &Shape) -> bool {
    matches!(shape, Shape::Auth | Shape::Texts) || shape.description().is_some()
}

/// The documentation of a key, or, where it has none, that of the table it is; with the range.
pub(crate) fn documentation(key: &Key) -> Vec<String> {
    let mut paragraphs = key.paragraphs();
    if paragraphs.is_empty()
        && let Some(description) = key.shape.description()
    {
        paragraphs = description.paragraphs();
    }
    if let Some(range) = key.range_in_words() {
        match paragraphs.last_mut() {
            Some(last) => {
                write!(last, " Range: {range}.").expect("a text takes all");
            }
            None => paragraphs.push(format!("Range: {range}.")),
        }
    }
    paragraphs
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Writes paragraphs as comments, wrapped between words.
fn comment(text: &mut String, paragraphs: impl IntoIterator<Item = String>) {
    for (index, paragraph) in paragraphs.into_iter().enumerate() {
        if index > 0 {
            text.push_str("#\n");
        }
        let mut width = 0;
        // Values in quotes need no further marks outside of Markdown.
        let paragraph = paragraph.replace("`\"", "\"").replace("\"`", "\"");
        for word in paragraph.split_whitespace() {
            let length = word.chars().count();
            if width > 0 && width + 1 + length > WIDTH {
                text.push('\n');
                width = 0;
            }
            if width == 0 {
                text.push('#');
                width = 1;
            }
            text.push(' ');
            text.push_str(word);
            width += 1 + length;
        }
        if width > 0 {
            text.push('\n');
        }
    }
}

/// Columns of a line of comment.
const WIDTH: usize = 80;

/// What stands in any table with credentials.
pub(crate) const AUTH: &str = "`type` is one of noauth; basic (user, password); bearer (value, and query = name of a query parameter that may carry it); header (name, value); \
    cookie (name, value); jwt (algorithms; secret, public_key, jwks, ca; issuer, audience, leeway; user_claim, device_claim, grants_claim; cookie, query, first_message); \
    remote (source, url; method, headers, data; timeout, cache_ttl, denied_ttl, cache_entries_max, requests_max; binds_user, danger_allow_http, ca); certificate (name, prefix, suffix); \
    oneOf, allOf (types = [{ type = ... }, ...]). docs/access.md explains them. Texts may be \"${env:NAME}\" or \
    \"${file:/path}\"; prefer that for secrets.";
