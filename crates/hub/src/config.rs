//! Limits and switches of the hub: [`Config`] as written, [`Settings`] as checked.
//!
//! In: a configuration file's section. Out: values everything downstream relies on. Invariant:
//! [`Settings`] only exist for a configuration that can work.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Recipients;

/// Limits and switches as the operator writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, named as in the configuration"
)]
pub struct Config {
    /// The envelope's sender must be the connection's user. `false` lets every client write
    /// as anybody, the administrator included: compatibility with trusted back ends only.
    pub check_sender: bool,
    /// Confirmed deliveries are told to the sender with `notification_received` (S-28).
    pub delivery_status: bool,
    /// The sender's connections get a copy of what he sends (S-27).
    pub send_back: bool,
    /// Message types that are not sent back, ASCII case ignored.
    pub send_back_ignored_types: Vec<String>,
    /// Message types, ASCII case ignored, that are passed on to live sessions and never stored:
    /// who is absent misses them.
    pub live_only_types: Vec<String>,
    /// Whether messages are stored at all. `false` makes every type live-only; what already
    /// waits is still delivered.
    pub stores: bool,
    /// A recipient who is named several times gets a message as often, as from old servers.
    /// `false`: recipients are a set.
    pub repeat_recipients: bool,
    /// IANA name of the zone of server-made time stamps.
    pub timezone: String,
    /// Recipients of one message. Each costs one stored copy.
    pub recipients_max: usize,
    /// Size of a message times its recipients, in bytes: what one submission can make the
    /// store write.
    pub fanout_bytes_max: usize,
    /// Messages waiting in memory for one connection. Further ones wait in the mailbox.
    pub outbox_messages_max: usize,
    /// Bytes waiting in memory for one connection; one message always fits.
    pub outbox_bytes_max: usize,
    /// Messages handed to a connection and not yet confirmed; no more are handed out.
    pub in_flight_messages_max: usize,
    /// Bytes handed to a connection and not yet confirmed; one message always fits.
    pub in_flight_bytes_max: usize,
    /// Sessions in which a message is handed out to clients that never answer a ping. Afterwards
    /// it waits in the mailbox for a client that does. 0: no limit, the message comes at every connect.
    pub unproven_deliveries_max: usize,
    /// Messages that stay in the mailbox of a user who is connected with a client that never answers a
    /// ping; older ones are forgotten here and stay there, until the connection lets them go. At most half of
    /// `in_flight_messages_max` counts.
    pub unproven_messages_kept: usize,
    /// Users of whom is remembered what they were handed without a proof; about 200 bytes each. Above it those
    /// recorded longest ago are forgotten, which costs repetitions.
    pub unproven_users_max: usize,
    /// Messages of one connection that the store has not settled yet; the connection is not
    /// read from above it.
    pub submissions_max: usize,
    /// Bytes of one connection's messages that the store has not settled yet, with something
    /// for each recipient; the connection is not read from above it. One message is always
    /// taken.
    pub submissions_bytes_max: usize,
    /// Live connections in all.
    pub sessions_max: usize,
    /// Live connections of one user. Each gets every message for the user.
    pub sessions_per_user_max: usize,
    /// Users with statistics; above it those longest offline are forgotten. About 200 bytes
    /// each. Users who are online are kept beyond it.
    pub stats_users_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            check_sender: true,
            delivery_status: false,
            send_back: false,
            send_back_ignored_types: Vec::new(),
            live_only_types: Vec::new(),
            stores: true,
            repeat_recipients: false,
            timezone: "UTC".to_owned(),
            recipients_max: 256,
            fanout_bytes_max: 32 * 1024 * 1024,
            outbox_messages_max: 1024,
            outbox_bytes_max: 256 * 1024,
            in_flight_messages_max: 1024,
            in_flight_bytes_max: 1024 * 1024,
            unproven_deliveries_max: 3,
            unproven_messages_kept: 256,
            unproven_users_max: 65_536,
            submissions_max: 256,
            submissions_bytes_max: 1024 * 1024,
            sessions_max: 1_000_000,
            sessions_per_user_max: 64,
            stats_users_max: 100_000,
        }
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
        let positive = [
            ("recipients_max", config.recipients_max),
            ("fanout_bytes_max", config.fanout_bytes_max),
            ("outbox_messages_max", config.outbox_messages_max),
            ("outbox_bytes_max", config.outbox_bytes_max),
            ("in_flight_messages_max", config.in_flight_messages_max),
            ("in_flight_bytes_max", config.in_flight_bytes_max),
            ("submissions_max", config.submissions_max),
            ("submissions_bytes_max", config.submissions_bytes_max),
            ("sessions_max", config.sessions_max),
            ("sessions_per_user_max", config.sessions_per_user_max),
            ("stats_users_max", config.stats_users_max),
        ];
        if let Some(&(key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Zero { key });
        }
        let zone = TimeZone::get(&config.timezone).map_err(|_| ConfigError::UnknownTimezone {
            value: config.timezone.clone(),
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
    #[error("timezone = {value:?}: expected an IANA time zone name such as \"Europe/Berlin\"")]
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
            timezone: "Mars/Base".to_owned(),
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
