//! Configuration: what the operator writes becomes [`Settings`](crate::settings::Settings).
//!
//! In: defaults, a file (TOML, or SocketMaster's `config.ini`), environment variables and flags, each
//! layer over the one before (`tidewire-config`). Out: settings in which every value has been
//! checked, or a [`ConfigError`] that lists every problem found with its source, key and
//! expectation.
//!
//! Invariants: an unknown key or a value that is not understood is never ignored; no error
//! repeats what stands under an `auth` key; everything behind this module takes `Settings`.

mod value; // values in more than one form
mod tables; // the keys, each declared once
mod ini; // SocketMaster's config.ini → keys
mod load; // layers → config → settings; what is generated from the keys
mod check; // config → settings: the whole
mod check_endpoint; // config → settings: an endpoint
mod check_upstream; // config → settings: how an endpoint reaches its upstreams
mod check_route; // config → settings: a route
mod rules; // which many settings share
mod agree; // the rules between keys

pub use load::{
    Overrides, default_toml, is_meant_for_gateway, json_schema, load, load_from_process, reference,
};
pub use tables::{
    AdminConfig, ClientTlsConfig, Config, EndpointConfig, ListenerConfig, OutgoingConfig,
    RouteConfig, TlsConfig,
};
pub use tidewire_config::{ConfigError, LogFormat, Problem, Rule, Source};
pub use value::{BalanceConfig, OriginsConfig, UpstreamConfig, Upstreams};
