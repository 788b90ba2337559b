//! The `config.json` of wsserver → the keys of ours.
//!
//! In: the text of such a file, in the form of its README or of the one that it is shipped with. Out: the keys that say
//! the same, as if they stood in a TOML file; what is different here, for the log; and problems, which name the keys of
//! the original. Where README and program disagree the README counts, and a note says what the program did.
//!
//! Invariants: what the original let pass by mistake (a type of authentication that it did not know, a
//! misspelt key) is an error; no message repeats a secret.

mod node; // JSON as it was written
mod object; // members by name, and what was made of them
mod auth; // authentication objects
mod listeners; // `server`, `restApi`
mod chat; // `chat`
mod events; // `event`
mod toml; // the keys as a file

use std::path::Path;

use serde::Deserialize as _;
use tidewire_config::{ConfigError, Loader, Rule};

use self::{
    node::Node,
    object::{Conversion, Object},
};
use super::Warning;

/// Returns whether a text is meant to be JSON: no TOML begins so.
pub(super) fn is_json(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_start().starts_with('{')
}

/// The keys that a file has become, and what is to be said of it.
#[derive(Debug, Default)]
pub(super) struct Converted(Conversion);

impl Converted {
    /// Converts the text of a file.
    pub(super) fn of(text: &str) -> Self {
        let mut out = Conversion::default();
        if let Some(root) = parse(&mut out, text) {
            convert(&mut out, &root);
        }
        Self(out)
    }

    /// Adds the keys to the layers.
    pub(super) fn add_to(&self, loader: &mut Loader<'_>, path: &Path) {
        for (key, rule) in &self.0.problems {
            loader.complain(path, key, rule.clone());
        }
        loader.file(path, self.0.keys.clone());
    }

    /// Says what is different here.
    pub(super) fn warnings(&self, path: &Path) -> impl Iterator<Item = Warning> {
        self.0.notes.iter().map(move |(key, text)| {
            Warning::Converted(format!("file {}: {key} {text}", path.display()))
        })
    }

    /// The error with the names that the file has for the keys.
    pub(super) fn in_its_words(&self, error: ConfigError) -> ConfigError {
        error.with_keys_of_files(|key| {
            if self.0.problems.iter().any(|(theirs, _)| theirs == key) {
                return None;
            }
            let mut at = key;
            loop {
                if let Some(theirs) = self.0.origins.get(at) {
                    return Some(format!("{theirs} ({key})"));
                }
                at = at.get(..at.rfind(['.', '['])?)?;
            }
        })
    }

    /// The keys as a TOML file, of which `name` is said to be the source.
    pub(super) fn toml(&self, name: &str) -> String {
        toml::toml(&self.0, name)
    }
}

/// The first value of the text, as in the original; what follows is not looked at.
fn parse(out: &mut Conversion, text: &str) -> Option<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match Node::deserialize(&mut deserializer) {
        Ok(root) => {
            if deserializer.end().is_err() {
                out.note(
                    "",
                    "has something behind its end, which is not looked at, as in wsserver",
                );
            }
            Some(root)
        }
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            // The position stands there already.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            let message =
                format!("{message} (the file is JSON, as wsserver's; JSON has no comments)");
            let rule = Rule::Syntax {
                line,
                column,
                message,
            };
            out.problems.push((String::new(), rule));
            None
        }
    }
}

fn convert(out: &mut Conversion, root: &Node) {
    let Some(root) = Object::new(out, "", root) else {
        return;
    };
    root.only(out, &["server", "restApi", "chat", "event"]);
    let none = Node::Object(Vec::new());
    let server = match root.get("server") {
        Some(_) => root.object(out, "server"),
        None => Object::new(out, "server", &none),
    };
    let server_auth = server.and_then(|server| listeners::server(out, &server));
    if let Some(auth) = &server_auth {
        out.set("server.auth", auth.table.clone(), "server.auth");
    }
    let rest = root.object(out, "restApi");
    let rest_auth = listeners::rest(out, rest.as_ref(), server_auth.as_ref());
    if let Some(auth) = &rest_auth {
        out.set("rest.auth", auth.table.clone(), "restApi.auth");
    }
    listeners::exposure(out, server_auth.as_ref(), rest_auth.as_ref());
    let chat = root.object(out, "chat");
    chat::chat(out, chat.as_ref());
    if let Some(event) = root.object(out, "event") {
        events::event(out, &event);
    }
}
