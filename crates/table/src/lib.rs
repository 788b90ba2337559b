//! A table of a configuration file, declared in one place.
//!
//! In: [`table!`] with the keys of a crate, each with name, type, default, range and documentation. Out: a struct
//! with `Default` and `Deserialize`, the values that are out of range ([`Table::violations`]), and a
//! [`Description`] from which example file, reference page and JSON schema are made.
//!
//! ```
//! use std::time::Duration;
//! use tidewire_table::{MINUTE, Nested, SECOND, Size, Table, table};
//!
//! table! {
//!     /// Limits of a connection.
//!     pub struct Limits {
//!         /// Size of a request head.
//!         head_bytes_max: usize as Size = 16 << 10, in 1 << 10..=1 << 20;
//!         /// Time to answer a ping.
//!         pong_timeout: Duration = SECOND * 10, in SECOND..=MINUTE, was "pong_seconds";
//!     }
//! }
//!
//! table! {
//!     /// A server.
//!     pub struct Config {
//!         /// Threads; 0 = one per core.
//!         workers: usize = 0, in 0..=1024;
//!         limits: Limits as Nested;
//!     }
//! }
//!
//! let config: Config = serde_json::from_str(r#"{"limits": {"pong_timeout": "2m"}}"#)?;
//! assert_eq!(config.limits.head_bytes_max, 16_384);
//! let mut found = Vec::new();
//! config.violations("", &mut |violation| found.push(violation.to_string()));
//! assert_eq!(found, ["limits.pong_timeout: found 2m, expected 1s to 1m"]);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! A crate that has limits declares them with this crate alone; files, environment and error messages are the
//! business of `tidewire-config`, further up.
#![forbid(unsafe_code)]

mod units; // "64KiB", "10s"
mod value; // the values a key can have
mod choice; // a value that is one of some words
mod nested; // tables within tables
mod description; // what a table tells about its keys
mod declare; // the macro, and what its code calls

pub use choice::one_of;
pub use declare::{Kind, KnownKey, Table, join_key};
pub use description::{Description, Key, Presence, Shape};
pub use nested::{Members, NamedTables, Nested, OnceThere, Switched, Tables, Texts};
pub use serde;
pub use units::{
    DAY, HOUR, MILLISECOND, MINUTE, SECOND, format_duration, format_size, parse_duration,
    parse_size, read_duration, read_size,
};
pub use value::{EmptyIsNone, Plain, Size, Value, Violation, ZeroIsNone, toml_text};

/// Stands for a value that nobody may see, in [`Value::entries`].
pub const HIDDEN: &str = "(hidden)";
