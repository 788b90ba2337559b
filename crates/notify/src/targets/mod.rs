//! The types of targets there are.
//!
//! A type has a table of keys, which becomes a member of [`TargetConfig`] and of `Kind` once it is checked, and a [`Target`].

mod file; // lines of a file
mod postback; // HTTP requests
#[cfg_attr(
    not(all(feature = "redis", feature = "sql", feature = "amqp", feature = "nats")),
    expect(dead_code, reason = "tables are checked alike without the clients")
)]
pub mod services; // systems with a protocol of their own
mod socket; // lines and datagrams of sockets

use std::sync::Arc;

use tidewire_config::{Checker, quote};

pub use self::{
    file::{FileConfig, FileTarget},
    postback::{PostbackConfig, PostbackMethod, PostbackTarget},
    socket::{SocketConfig, SocketTarget},
};
use self::{postback::PostbackSettings, services::Service, socket::SocketAddress};
use crate::{Target, TargetConfig};

/// A checked target of some type.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Postback(Box<PostbackSettings>),
    File(FileConfig),
    Socket(SocketAddress),
    Service(Box<Service>),
}

/// The names of the tables that say of which type a target is, and are there.
pub(crate) fn types_of(config: &TargetConfig) -> Vec<&'static str> {
    let there = [
        config.postback.as_ref().is_some_and(|table| table.enabled),
        config.file.as_ref().is_some_and(|table| table.enabled),
        config.socket.as_ref().is_some_and(|table| table.enabled),
    ];
    let services = services::TYPES.iter().zip(services::there(config));
    let named = TYPES.iter().zip(there).chain(services);
    named
        .filter_map(|(name, is_there)| is_there.then_some(*name))
        .collect()
}

/// The names of all such tables.
pub(crate) const TYPES: &[&str] = &["postback", "file", "socket"];

/// Checks the table of the type. `None` only when something was noted.
pub(crate) fn check(check: &mut Checker<'_>, at: &str, config: &TargetConfig) -> Option<Kind> {
    if let Some(table) = config.postback.as_ref().filter(|table| table.enabled) {
        let settings = postback::check(check, &format!("{at}.postback"), table)?;
        return Some(Kind::Postback(Box::new(settings)));
    }
    if let Some(table) = config.file.as_ref().filter(|table| table.enabled) {
        if table.path.is_empty() {
            let key = format!("{at}.file.path");
            check.value(&key, &quote(""), "the path of a file");
            return None;
        }
        return Some(Kind::File(table.clone()));
    }
    if let Some(table) = config.socket.as_ref().filter(|table| table.enabled) {
        let key = format!("{at}.socket.address");
        let address = socket::check(check, &key, table)?;
        return Some(Kind::Socket(address));
    }
    let service = services::check(check, at, config)?;
    Some(Kind::Service(Box::new(service)))
}

impl Kind {
    /// The name of the type.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Postback(_) => "postback",
            Self::File(_) => "file",
            Self::Socket(_) => "socket",
            Self::Service(service) => service.name(),
        }
    }

    /// How many events one delivery takes at most.
    pub(crate) fn batch_max(&self) -> usize {
        match self {
            Self::Postback(settings) => settings.batch_max(),
            Self::File(_) | Self::Socket(_) | Self::Service(_) => usize::MAX,
        }
    }

    /// Makes the target. Nothing is connected or opened yet.
    pub(crate) fn make(&self, config: &TargetConfig) -> Arc<dyn Target> {
        match self {
            Self::Postback(settings) => {
                let settings = PostbackSettings::clone(settings);
                Arc::new(PostbackTarget::new(
                    settings,
                    config.timeout,
                    config.parallel,
                ))
            }
            Self::File(table) => Arc::new(FileTarget::new(table.clone())),
            Self::Socket(address) => Arc::new(SocketTarget::new(address.clone())),
            Self::Service(service) => service.make(),
        }
    }
}
