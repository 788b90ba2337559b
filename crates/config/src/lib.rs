//! Configuration: what the operator writes, in layers, becomes one checked value.
//!
//! In: a [`Schema`] (which keys a program has, with their defaults, from the tables its crates declare with
//! `tidewire-table`), a file, environment variables, flags. Out: the program's own raw type, read from the layers joined, and a [`Checker`]
//! with which the program turns it into settings; or a [`ConfigError`] that lists every problem
//! found with its source, key and expectation.
//!
//! Invariants: an unknown key or a value that is not understood is never ignored; no error
//! repeats what stands under an `auth` key. Knows the keys of no program.
#![forbid(unsafe_code)]

mod schema; // which keys there are
mod renamed; // what they were called before
mod auth; // authentication tables as values of keys
mod template; // keys → the commented example file
mod reference; // keys → the reference page
mod json_schema; // keys → JSON schema
mod error; // what can be wrong
mod layer; // one source of keys
mod environment; // variables → layer
mod near_miss; // variables that are almost ours
mod surroundings; // the process's variables, small files, references to secrets
mod load; // layers → raw
mod report; // what the reader of layers says → problems
mod checker; // raw → settings: collects problems
mod single; // the rules for one value each
mod tls; // files of certificates and keys
mod value; // texts with a grammar of their own: addresses, origins, log filters
mod activation; // sockets that a service manager has bound
mod descriptors; // how many connections the process can hold
#[cfg(feature = "contract")]
pub mod contract; // what holds for every program, as tests

pub use activation::{Unclaimed, activated_sockets, unclaimed_sockets};
pub use auth::Auth;
pub use checker::{Checker, Sources};
pub use descriptors::connections_max;
pub use error::{ConfigError, Problem, Rule, Source};
pub use figment::value::{Dict, Value};
pub use json_schema::json_schema;
pub use layer::{Layer, LayerKind};
pub use load::{Flag, Loader, is_toml, toml_tables};
pub use near_miss::NearMiss;
pub use reference::reference;
pub use report::quote;
pub use schema::Schema;
pub use single::LIST_LENGTH_MAX;
pub use surroundings::{Surroundings, read_text};
pub use template::template;
pub use tls::{FILES_LOOKED_AT_EVERY, IdentityFiles, tls_warnings};
pub use value::{ForwardedFields, LogFormat, is_log_filter, listen_address, origin};
