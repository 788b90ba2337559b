//! Configuration: what the operator writes becomes what the server runs by.
//!
//! In: defaults ([`DEFAULT_TOML`]), a TOML file, environment variables and flags, each layer
//! over the one before (`tidewire-config`). Out: [`Settings`], in which every value has been checked, or a
//! [`ConfigError`] that lists every problem found with its source, key and expectation.
//!
//! Invariants: an unknown key or a value that is not understood is never ignored; no error
//! repeats what stands under an `auth` key; everything behind this module takes [`Settings`].

mod agree; // the rules between keys
mod check; // raw → settings, table by table
mod example; // every key with its default, as TOML
mod load; // layers → raw → settings
mod raw; // the keys as written
mod settings; // the checked result
mod single; // the rules for one value each that only this server has
mod value; // choices

pub use example::DEFAULT_TOML;
pub use load::{Overrides, load, load_from_process};
pub use raw::{
    ChatConfig, Config, EchoLimitsConfig, KeepAliveConfig, LimitsConfig, LogConfig, MailboxConfig,
    RestConfig, ServerConfig, TlsConfig,
};
pub use settings::{
    AllowedOrigins, ChatSettings, EchoLimitsSettings, KeepAliveSettings, LimitsSettings,
    MailboxSettings, RestSettings, ServerSettings, Settings, TlsSettings, UnprovenSettings,
    Warning,
};
pub use tidewire_config::{ByteSize, ConfigError, LogFormat, Problem, Rule, Source};
pub use value::{Confirm, Runtime};
