//! [`DEFAULT_TOML`]: the documented example, which is also the weakest layer.
//!
//! Because it is the layer below all others and the raw types have no optional keys, a key
//! missing here fails every load, and so every test.

/// Every key with its default and its meaning, ready to be saved and edited.
pub const DEFAULT_TOML: &str = include_str!("default.toml");
