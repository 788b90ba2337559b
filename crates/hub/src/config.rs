//! Limits and switches of the hub: [`Config`] as written, [`Settings`] as checked.
//!
//! In: a table of a configuration file. Out: values everything downstream relies on. Invariant:
//! [`Settings`] only exist for a configuration that can work.

use jiff::tz::TimeZone;
use tidewire_table::{Size, Table as _, table};

use crate::{EventSelection, Recipients, TraceConfig};

table! {
    /// What happens to messages.
    pub struct Config {
        /// Whether a message's sender must be the user of its connection. `false` lets every client write as anybody,
        /// the administrator included, as old servers did: for trusted back ends only.
        check_sender: bool = true;
        /// Whether senders are told when a message was delivered. Costs a message per message and recipient.
        delivery_status: bool = false;
        /// Whether a sender gets its own messages back on all its connections.
        send_back: bool = false;
        /// Message types that are never sent back, in any case. At most 256.
        send_back_ignored_types: Vec<String>;
        /// Message types, in any case, that only reach users who are connected: they are never stored. Meant for
        /// typing notices and the like. At most 256.
        live_only_types: Vec<String>;
        /// Whether a recipient who is named several times gets a message as often, as from old servers. `false`:
        /// recipients are a set.
        repeat_recipients: bool = false;
        /// IANA name of the zone of server-made timestamps.
        time_zone: String = "UTC".to_owned();
        /// Recipients of one message. Each costs a row in the store.
        recipients_max: usize = 256, in 1..=1 << 16;
        /// Size of a message times its recipients: what one submission can make the store write.
        fanout_bytes_max: usize as Size = 32 << 20, in 1 << 10..=1 << 30;
        /// Deliveries to users that are stored and not made yet, about 64 bytes each; above it no messages are taken, as
        /// when the store is busy.
        fanout_pending_max: usize = 262_144, in 1..=100_000_000;
        /// Messages waiting in memory for one connection; the rest stays in the mailbox.
        outbox_messages_max: usize = 1024, in 1..=1 << 20;
        /// Bytes waiting in memory for one connection; the rest stays in the mailbox. One message is taken whatever
        /// its size. Worst case memory is this times the number of slow readers.
        outbox_bytes_max: usize as Size = 256 << 10, in 1 << 10..=1 << 30;
        /// Messages handed to a connection and not yet confirmed; no more are handed out.
        in_flight_messages_max: usize = 1024, in 1..=1 << 20;
        /// Bytes handed to a connection and not yet confirmed; no more are handed out. One message is handed out
        /// whatever its size.
        in_flight_bytes_max: usize as Size = 1 << 20, in 1 << 10..=1 << 30;
        /// Connections on which a message is delivered to clients that never answer a ping; afterwards it waits for
        /// one that does. 0 = no limit, it comes at every connect.
        unproven_deliveries_max: usize = 3, in 0..=16;
        /// Messages kept for a redelivery while their user is connected with a client that never answers a ping; older
        /// ones leave once it has sent something since and its system has acknowledged them. No more than half of
        /// `in_flight_messages_max` and of `mailbox.user_messages_max` count.
        unproven_messages_kept: usize = 256, in 1..=1 << 16;
        /// Users of whom is remembered what they were handed without a proof, about 200 bytes each. Above it those
        /// recorded longest ago are forgotten, which costs repetitions.
        unproven_users_max: usize = 65_536, in 1..=100_000_000;
        /// Messages of one connection that are not stored yet; the connection is not read from above it.
        submissions_max: usize = 256, in 1..=1 << 16;
        /// Bytes of one connection's messages that are not stored yet; the connection is not read from above it. One
        /// message is taken whatever its size.
        submissions_bytes_max: usize as Size = 1 << 20, in 1 << 10..=1 << 30;
        /// Connections of all users at a time.
        sessions_max: usize = 1_000_000, in 1..=100_000_000;
        /// Connections of one user at a time. Each gets every message for the user.
        sessions_per_user_max: usize = 64, in 1..=1 << 16;
        /// Users with statistics, about 200 bytes each; above it those longest offline are forgotten. Users who are
        /// online are kept beyond it.
        stats_users_max: usize = 100_000, in 1..=100_000_000;
    }
    besides {
        /// Whether messages are stored at all. `false` makes every type live-only; what already
        /// waits is still delivered. Default `true`.
        stores: bool = true;
        /// Connections to which a message is delivered on the store's thread; of one to more, all are delivered by
        /// the executor, which costs more of the processor. Default 1024: less than a millisecond, about as long as
        /// an fsync.
        fanout_inline_max: usize = 1024;
        /// Messages that a mailbox holds. A full one would take nothing new, so no more than half of it is kept for a
        /// redelivery. Default: unlimited.
        mailbox_messages_max: usize = usize::MAX;
        /// Which events for other systems are made. Default: none.
        events: EventSelection = EventSelection::default();
        /// The trace of messages. Default: as that of a server.
        trace: TraceConfig = TraceConfig::default();
    }
}

/// A [`Config`] that was checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) config: Config,
    pub(crate) zone: TimeZone,
}

impl Settings {
    /// The configuration these settings were made from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// An empty list of recipients with the bounds of this configuration.
    pub fn recipients(&self) -> Recipients {
        Recipients::new(self.config.recipients_max, self.config.repeat_recipients)
    }

    pub(crate) fn sends_back(&self, kind: &str) -> bool {
        self.config.send_back && !contains(&self.config.send_back_ignored_types, kind)
    }

    /// Whether messages of this type are passed on without being stored.
    pub(crate) fn is_live_only(&self, kind: &str) -> bool {
        !self.config.stores || contains(&self.config.live_only_types, kind)
    }
}

/// Types are compared without regard to ASCII case.
fn contains(kinds: &[String], kind: &str) -> bool {
    kinds.iter().any(|listed| listed.eq_ignore_ascii_case(kind))
}

impl TryFrom<Config> for Settings {
    type Error = ConfigError;

    fn try_from(config: Config) -> Result<Self, ConfigError> {
        let mut zero = None;
        config.violations("", &mut |violation| {
            if violation.found == "0" {
                zero.get_or_insert(violation.name);
            }
        });
        if let Some(key) = zero {
            return Err(ConfigError::Zero { key });
        }
        let zone = TimeZone::get(&config.time_zone).map_err(|_| ConfigError::UnknownTimezone {
            value: config.time_zone.clone(),
        })?;
        Ok(Self { config, zone })
    }
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit of nothing would refuse everything.
    #[error("{key} = 0: expected at least 1")]
    Zero {
        /// Which limit.
        key: &'static str,
    },
    /// No such time zone.
    #[error("time_zone = {value:?}: expected an IANA time zone name such as \"Europe/Berlin\"")]
    UnknownTimezone {
        /// What was written.
        value: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_works() {
        assert!(Settings::try_from(Config::default()).is_ok());
    }

    #[test]
    fn a_limit_of_zero_is_refused_by_name() {
        let config = Config {
            submissions_max: 0,
            ..Config::default()
        };
        let error = Settings::try_from(config).unwrap_err();
        assert_eq!(
            error.to_string(),
            "submissions_max = 0: expected at least 1"
        );
    }

    #[test]
    fn an_unknown_time_zone_or_key_is_refused() {
        let config = Config {
            time_zone: "Mars/Base".to_owned(),
            ..Config::default()
        };
        assert!(
            Settings::try_from(config)
                .unwrap_err()
                .to_string()
                .contains("Mars/Base")
        );
        assert!(serde_json::from_str::<Config>(r#"{"check_sendr":false}"#).is_err());
    }

    /// S-27: ignored types are compared without regard to case.
    #[test]
    fn ignored_types_are_case_insensitive() {
        let config = Config {
            send_back: true,
            send_back_ignored_types: vec!["User_Typing".to_owned()],
            ..Config::default()
        };
        let settings = Settings::try_from(config).unwrap();
        assert!(settings.sends_back("text"));
        assert!(!settings.sends_back("user_TYPING"));
    }
}
