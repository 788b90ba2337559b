//! [`Rules`]: the keys of `server.rates` as what the checks use.
//!
//! In: checked settings. Out: rates, and who is exempt. A reload makes them anew; what was counted stays.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use tidewire::{proto::proxy::Network, service::Rate as AcceptRate};
use tidewire_auth::Identity;
use tidewire_hub::UserId;

use super::{bucket::Rate, logins::LoginLimits};
use crate::config::{RatesConfig, Settings, WhenExceeded};

/// How much may happen in a time.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Messages and bytes of a connection, of a user, from an address.
    pub(super) connection: Flow,
    pub(super) user: Flow,
    pub(super) address: Flow,
    pub(super) when_exceeded: WhenExceeded,
    pub(super) connects: Option<Rate>,
    pub(super) user_connects: Option<Rate>,
    pub(super) requests: Option<Rate>,
    pub(super) logins: LoginLimits,
    pub(super) entries_max: usize,
    exempt_users: BTreeSet<UserId>,
    exempt_networks: Vec<Network>,
}

/// Messages and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) messages: Option<Rate>,
    pub(super) bytes: Option<Rate>,
}

impl Flow {
    fn new(messages: u32, bytes: u64, burst: Duration) -> Self {
        Self {
            messages: Rate::new(messages.into(), SECOND, burst),
            bytes: Rate::new(bytes, SECOND, burst),
        }
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.messages.is_none() && self.bytes.is_none()
    }
}

impl Rules {
    pub(crate) fn of(settings: &Settings) -> Self {
        let config = &settings.config.server.rates;
        let burst = config.burst_time;
        let limit = |count: u32| (count > 0).then_some(count);
        let requests = config.requests_per_second.into();
        Self {
            connection: Flow::new(config.messages_per_second, config.bytes_per_second, burst),
            user: Flow::new(
                config.user_messages_per_second,
                config.user_bytes_per_second,
                burst,
            ),
            address: Flow::new(
                config.address_messages_per_second,
                config.address_bytes_per_second,
                burst,
            ),
            when_exceeded: config.when_exceeded,
            connects: Rate::new(config.connects_per_minute.into(), MINUTE, MINUTE),
            user_connects: Rate::new(config.user_connects_per_minute.into(), MINUTE, MINUTE),
            requests: Rate::new(requests, SECOND, 2 * SECOND),
            logins: LoginLimits {
                per_account: limit(config.failed_logins_per_minute),
                per_address: limit(config.failed_logins_per_address),
                pause_max: config.login_pause_max,
                entries_max: config.entries_max,
            },
            entries_max: config.entries_max,
            exempt_users: settings.shaping.exempt_users.clone(),
            exempt_networks: settings.shaping.exempt_networks.clone(),
        }
    }

    /// Returns whether clients at this address have no limits; `None`: on a Unix socket.
    pub(super) fn exempts_address(&self, address: Option<IpAddr>) -> bool {
        self.exempt_networks.iter().any(|network| match address {
            Some(address) => network.contains(address),
            None => *network == Network::UNIX,
        })
    }

    /// Returns whether a user has no limits; who only claims to be one has them.
    pub(super) fn exempts_user(&self, user: &UserId, identity: &Identity) -> bool {
        identity.user().is_some() && self.exempt_users.contains(user)
    }
}

/// How often a listener takes a connection.
pub(crate) fn accept_rate(config: &RatesConfig) -> Option<AcceptRate> {
    let rate = || AcceptRate::new(config.accepts_per_second, config.accepts_burst);
    (config.accepts_per_second > 0).then(rate)
}

/// How many connections of a listener may not be open yet.
pub(crate) fn half_open_max(config: &RatesConfig, connections_max: usize) -> usize {
    match config.half_open_max {
        0 => (connections_max / 5).max(HALF_OPEN_MIN),
        limit => limit as usize,
    }
}

/// Fewer would end slow clients of a small server.
const HALF_OPEN_MIN: usize = 64;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
