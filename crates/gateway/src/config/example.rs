//! [`EXAMPLE_TOML`]: every key with its meaning and its default.
//!
//! It is also where the layers get the keys of from: a key missing here is not known to
//! environment variables, and a test compares both.

/// A whole configuration, ready to be saved and edited: every key with its meaning and, but for
/// the one endpoint and its route, its default.
pub const EXAMPLE_TOML: &str = include_str!("example.toml");
