//! Configuration: what the operator writes becomes what the server runs by.
//!
//! In: defaults, a TOML file, environment variables and flags, each layer over the one before
//! (`tidewire-config`). Out: [`Settings`], in which every value has been checked, or a
//! [`ConfigError`] that lists every problem found with its source, key and expectation.
//!
//! Invariants: an unknown key or a value that is not understood is never ignored; no error
//! repeats what stands under an `auth` key; everything behind this module takes [`Settings`].

mod tables; // the keys, each declared once
mod shaping; // the keys of rates and of the connect hook
mod wsserver; // config.json of wsserver → keys
mod load; // layers → config → settings; what is generated from the keys
mod check; // config → settings
mod single; // the rules for one value each that only this server has
mod agree; // the rules between keys
mod settings; // the checked result

pub use load::{
    Migrated, Overrides, Reload, default_toml, json_schema, load, load_from_process, migrate,
    reference, reload, reload_from_process,
};
pub(crate) use settings::HookSettings;
pub use settings::{AllowedOrigins, ListenerSettings, Settings, Warning};
pub use shaping::{ConnectHookConfig, IfUnavailable, RatesConfig, WhenExceeded};
pub use tables::{
    AdminConfig, Config, Confirm, EchoLimitsConfig, KeepAliveConfig, LimitsConfig, LogConfig,
    RestConfig, Runtime, ServerConfig, TlsConfig,
};
pub use tidewire_config::{ConfigError, LogFormat, Problem, Rule, Source};
