//! Configuration: what the operator writes becomes [`Settings`](crate::settings::Settings).
//!
//! In: defaults, a file (TOML, or SocketMaster's `config.ini`), environment variables and flags, each
//! layer over the one before (`tidewire-config`). Out: settings in which every value has been
//! checked, or a [`ConfigError`] that lists every problem found with its source, key and
//! expectation.
//!
//! Invariants: an unknown key or a value that is not understood is never ignored; no error
//! repeats what stands under an `auth` key; everything behind this module takes `Settings`.

mod example; // every key with its default, as TOML
mod ini; // SocketMaster's config.ini → keys
mod load; // layers → raw → settings
mod raw; // the keys as written: the whole
mod raw_endpoint; // the keys as written: an endpoint, a route
mod value; // choices, and values in more than one form
mod check; // raw → settings: the whole
mod check_endpoint; // raw → settings: an endpoint
mod check_upstream; // raw → settings: how an endpoint reaches its upstreams
mod check_route; // raw → settings: a route
mod rules; // which many settings share
mod agree; // the rules between keys

pub use example::EXAMPLE_TOML;
pub use load::{Overrides, is_meant_for_gateway, load, load_from_process};
pub use raw::Config;
pub use tidewire_config::{ConfigError, LogFormat, Problem, Rule, Source};
