//! [`Auth`]: authentication tables as values of keys.

use serde::{Deserialize as _, Deserializer};
use tidewire_auth::AuthConfig;
use tidewire_table::{Shape, Value};

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
}
