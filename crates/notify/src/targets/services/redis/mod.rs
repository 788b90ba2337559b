//! Redis and what speaks its protocol (Valkey, KeyDB, Dragonfly): a list, a channel or a stream.

#[cfg(feature = "redis")]
mod target; // the deliveries

use tidewire_auth::Secret;
use tidewire_config::{Checker, Rule};
use tidewire_table::{OnceThere, choice, table};

#[cfg(feature = "redis")]
pub use self::target::RedisTarget;
use super::access::{self, Endpoint, ServiceTlsConfig, TlsFiles};
use crate::EventFormat;

choice! {
    /// The form of events in Redis.
    pub enum RedisMode {
        /// Elements of a list, put in on the right (RPUSH).
        Queue = "queue",
        /// Messages of a channel (PUBLISH).
        Channel = "channel",
        /// Entries of a stream (XADD).
        Stream = "stream",
    }
}

table! {
    /// A Redis server.
    pub struct RedisConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// Host name or address.
        address: String = "127.0.0.1".to_owned();
        /// Port.
        port: u16 = 6379, in 1..=65535;
        /// Path of a Unix socket, instead of `address` and `port`.
        unix_socket: String;
        /// Number of the database.
        database: u32 = 0, in 0..=1_000_000;
        /// User (ACL); empty = the default one.
        user: String;
        /// Password, or a reference such as `"${env:REDIS_PASSWORD}"`.
        password: String;
        /// `"queue"` = a list (RPUSH), `"channel"` = PUBLISH: who does not listen misses it, `"stream"` = XADD.
        mode: RedisMode = RedisMode::Queue;
        /// The form of the values of a list or channel: `"events"`, or `"classic"` = messages alone, as wsserver writes
        /// them, and no other kinds.
        format: EventFormat = EventFormat::Events;
        /// Name of the list, channel or stream; empty = `wsserver_events_queue`, `wsserver_events_channel` or
        /// `tidewire_events`.
        name: String;
        /// The stream is cut to about so many entries; 0 = never.
        stream_length_max: u64 = 1_000_000, in 0..=1 << 50;
        /// Connections at a time.
        connections: usize = 2, in 1..=64;
        tls: Option<ServiceTlsConfig> as OnceThere = None;
    }
}

/// The checked settings of a Redis target.
#[derive(Clone, Debug)]
pub(crate) struct RedisSettings {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<TlsFiles>,
    pub(super) database: i64,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) mode: RedisMode,
    pub(super) format: EventFormat,
    pub(super) name: String,
    pub(super) stream_length_max: u64,
    pub(super) connections: usize,
}

/// Checks the table at `at`. `None` only when something was noted.
pub(crate) fn check(
    check: &mut Checker<'_>,
    at: &str,
    config: &RedisConfig,
) -> Option<RedisSettings> {
    let endpoint = access::endpoint(check, at, &config.address, config.port, &config.unix_socket);
    let tls = access::tls(check, at, config.tls.as_ref(), &config.address);
    let password = access::password(check, at, &config.password);
    if config.format == EventFormat::Classic && config.mode == RedisMode::Stream {
        let what = "contradicts the mode \"stream\", which wsserver does not have".to_owned();
        check.complain(&format!("{at}.format"), Rule::Missing { what });
        return None;
    }
    let name = match (&*config.name, config.mode) {
        ("", RedisMode::Queue) => "wsserver_events_queue",
        ("", RedisMode::Channel) => "wsserver_events_channel",
        ("", RedisMode::Stream) => "tidewire_events",
        (name, _) => name,
    };
    Some(RedisSettings {
        endpoint: endpoint?,
        tls: tls.ok()?,
        database: config.database.into(),
        user: config.user.clone(),
        password: password.ok()?,
        mode: config.mode,
        format: config.format,
        name: name.to_owned(),
        stream_length_max: config.stream_length_max,
        connections: config.connections,
    })
}
