//! Configuration: what the operator writes becomes what the server runs by.
//!
//! In: defaults ([`DEFAULT_TOML`]), a TOML file, environment variables and flags, each layer
//! over the one before. Out: [`Settings`], in which every value has been checked, or a
//! [`ConfigError`] that lists every problem found with its source, key and expectation.
//!
//! Invariants: an unknown key or a value that is not understood is never ignored; no error
//! repeats what stands under an `auth` key; everything behind this module takes [`Settings`].

mod agree; // the rules between keys
mod check; // raw → settings, table by table
mod environment; // variables → layer
mod error; // what can be wrong
mod example; // every key with its default, as TOML
mod layer; // one source of keys
mod load; // layers → raw
mod raw; // the keys as written
mod report; // what the reader of layers says → problems
mod settings; // the checked result
mod single; // the rules for one value each
mod value; // texts with a grammar of their own: sizes, addresses, choices

pub use error::{ConfigError, Problem, Rule, Source};
pub use example::DEFAULT_TOML;
pub use load::{Overrides, load, load_from_process};
pub use raw::{
    ChatConfig, Config, EchoLimitsConfig, KeepAliveConfig, LimitsConfig, LogConfig, MailboxConfig,
    RestConfig, ServerConfig, TlsConfig,
};
pub use settings::{
    AllowedOrigins, ChatSettings, EchoLimitsSettings, KeepAliveSettings, LimitsSettings,
    MailboxSettings, RestSettings, ServerSettings, Settings, TlsSettings, Warning,
};
pub use value::{ByteSize, Confirm, LogFormat, Runtime};
