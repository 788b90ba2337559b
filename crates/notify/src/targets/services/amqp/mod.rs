//! AMQP 0-9-1: RabbitMQ and what speaks as it does.

#[cfg(feature = "amqp")]
mod confirms; // what the server has answered
#[cfg(feature = "amqp")]
mod target; // the deliveries

use tidewire_auth::Secret;
use tidewire_config::{Checker, quote};
use tidewire_table::{OnceThere, table};

#[cfg(feature = "amqp")]
pub use self::target::AmqpTarget;
use super::access::{self, ServiceTlsConfig, Template, TlsFiles};

table! {
    /// A RabbitMQ server, or another one that speaks AMQP 0-9-1.
    pub struct AmqpConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// Host name or address.
        address: String = "127.0.0.1".to_owned();
        /// Port; 5671 is usual with TLS.
        port: u16 = 5672, in 1..=65535;
        /// Virtual host.
        virtual_host: String = "/".to_owned();
        /// User.
        user: String = "guest".to_owned();
        /// Password, or a reference such as `"${env:RABBITMQ_PASSWORD}"`.
        password: String = "guest".to_owned();
        /// Exchange; empty = the default one, where `routing_key` is the name of a queue. The server makes none.
        exchange: String;
        /// Routing key, with places for what an event has: `{kind}`, `{user}`, `{type}`; what is filled in has `_` for
        /// `.`, `*`, `#` and white space.
        routing_key: String = "tidewire.events.{kind}".to_owned();
        /// An event that no queue gets is refused, not lost.
        mandatory: bool = true;
        /// Messages are on the server's disk before they count as taken, if their queue is durable.
        persistent: bool = true;
        /// Connections at a time.
        connections: usize = 1, in 1..=64;
        tls: Option<ServiceTlsConfig> as OnceThere = None;
    }
}

/// The checked settings of an AMQP target.
#[derive(Clone, Debug)]
pub(crate) struct AmqpSettings {
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) virtual_host: String,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) exchange: String,
    pub(super) routing_key: Template,
    pub(super) mandatory: bool,
    pub(super) persistent: bool,
    pub(super) connections: usize,
    pub(super) tls: Option<TlsFiles>,
}

/// Checks the table at `at`. `None` only when something was noted.
pub(crate) fn check(
    check: &mut Checker<'_>,
    at: &str,
    config: &AmqpConfig,
) -> Option<AmqpSettings> {
    let endpoint = access::endpoint(check, at, &config.address, config.port, "");
    let tls = access::tls(check, at, config.tls.as_ref(), &config.address);
    let password = access::password(check, at, &config.password);
    let routing_key = Template::of(check, &format!("{at}.routing_key"), &config.routing_key);
    let names = [
        ("virtual_host", &config.virtual_host),
        ("exchange", &config.exchange),
        ("user", &config.user),
    ];
    let mut is_sound = true;
    for (name, text) in names {
        if text.len() > SHORT_TEXT_MAX {
            let shown: String = text.chars().take(32).collect();
            check.value(&format!("{at}.{name}"), &quote(&shown), "at most 255 bytes");
            is_sound = false;
        }
    }
    endpoint?;
    let (tls, password) = (tls.ok()?, password.ok()?);
    let routing_key = routing_key?;
    is_sound.then(|| AmqpSettings {
        address: config.address.clone(),
        port: config.port,
        virtual_host: config.virtual_host.clone(),
        user: config.user.clone(),
        password,
        exchange: config.exchange.clone(),
        routing_key,
        mandatory: config.mandatory,
        persistent: config.persistent,
        connections: config.connections,
        tls,
    })
}

/// A short string of AMQP in bytes.
pub(super) const SHORT_TEXT_MAX: usize = 255;
