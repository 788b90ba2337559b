//! Configuration: what the operator writes, in layers, becomes one checked value.
//!
//! In: a [`Schema`] (which keys a program has, with their defaults), a file, environment
//! variables, flags. Out: the program's own raw type, read from the layers joined, and a [`Checker`]
//! with which the program turns it into settings; or a [`ConfigError`] that lists every problem
//! found with its source, key and expectation.
//!
//! Invariants: an unknown key or a value that is not understood is never ignored; no error
//! repeats what stands under an `auth` key. Knows the keys of no program.
#![forbid(unsafe_code)]

mod schema; // which keys there are
mod error; // what can be wrong
mod layer; // one source of keys
mod environment; // variables → layer
mod surroundings; // the process's variables, small files, references to secrets
mod load; // layers → raw
mod report; // what the reader of layers says → problems
mod checker; // raw → settings: collects problems
mod single; // the rules for one value each
mod value; // texts with a grammar of their own: sizes, times, addresses, choices
mod descriptors; // how many connections the process can hold

pub use checker::{Checker, Sources};
pub use descriptors::connections_max;
pub use error::{ConfigError, Problem, Rule, Source};
pub use figment::value::{Dict, Value};
pub use layer::{Layer, LayerKind};
pub use load::{Flag, Loader, is_toml, toml_tables};
pub use report::quote;
pub use schema::Schema;
pub use single::LIST_LENGTH_MAX;
pub use surroundings::{Surroundings, read_text};
pub use value::{ByteSize, LogFormat, Span, is_log_filter, listen_address, origin};
