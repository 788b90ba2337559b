//! [`Auth`]: authentication tables as values of keys.

use serde::{Deserialize as _, Deserializer};
use tidewire_auth::AuthConfig;
use tidewire_table::{HIDDEN, Shape, Value, join_key, toml_text};

/// A table with credentials. What stands in it is never repeated in messages.
#[derive(Debug)]
pub enum Auth {}

impl Value<Auth> for AuthConfig {
    fn shape() -> Shape {
        Shape::Auth
    }

    fn show(&self) -> Option<String> {
        None
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }

    fn entries(&self, at: &str, report: &mut dyn FnMut(String, String)) {
        self.shown(&mut |key, value| {
            let shown = value.map_or_else(|| HIDDEN.to_owned(), toml_text);
            report(join_key(at, key), shown);
        });
    }
}
