//! [`Settings`]: the checked tables.

use std::{collections::HashSet, time::Duration};

use tidewire_config::{Checker, LIST_LENGTH_MAX, Rule, quote};
use tidewire_engine::{EventKind, OnFull, OutboxConfig};
use tidewire_hub::{EventSelection, UserId};

use crate::{
    Backoff, EventsConfig, Filter, TargetConfig,
    config::{BackoffConfig, OnFullConfig},
    event::KINDS,
    targets::{self, Kind},
};

/// Tells what the events run by; made by [`check`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The targets, as configured. Empty: there are no events.
    pub targets: Vec<TargetSettings>,
    /// Which events are made at all.
    pub selection: EventSelection,
    /// Tells what they may use on the disk.
    pub outbox: OutboxConfig,
    /// How long a stop waits for deliveries.
    pub stop_timeout: Duration,
}

/// A target, checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TargetSettings {
    /// As it was written.
    pub config: TargetConfig,
    /// Its type.
    pub(crate) kind: Kind,
    /// Which events it gets.
    pub filter: Filter,
    /// Tells what happens when the outbox is full and it lags.
    pub on_full: OnFull,
    /// Events in one delivery.
    pub batch_max: usize,
    /// Bytes in one delivery.
    pub batch_bytes_max: usize,
    /// Deliveries at a time.
    pub parallel: usize,
    /// How long one may take.
    pub timeout: Duration,
    /// How often an event is tried, at least 1.
    pub attempts: u32,
    /// The pauses between.
    pub backoff: Backoff,
    /// Failures in a row that open the breaker.
    pub breaker_failures: u32,
    /// How long it is open.
    pub breaker_pause: Backoff,
}

/// Checks the tables `events` and `targets`. `None` only when something was noted.
pub fn check(
    check: &mut Checker<'_>,
    events: &EventsConfig,
    targets: &[TargetConfig],
) -> Option<Settings> {
    types(check, "events.ignore_types", &events.ignore_types);
    if targets.len() > TARGETS_MAX {
        check.value("targets", &targets.len(), "at most 64 targets");
    }
    let mut names = HashSet::new();
    let mut checked = Vec::new();
    for (index, config) in targets.iter().enumerate() {
        let at = format!("targets[{index}]");
        if !names.insert(&*config.name) {
            check.value(
                &format!("{at}.name"),
                &quote(&config.name),
                "a name that no other target has",
            );
        }
        for (index, name) in config.fallback.iter().enumerate() {
            let is_other =
                *name != config.name && targets.iter().any(|target| target.name == *name);
            if !is_other {
                let key = format!("{at}.fallback[{index}]");
                check.value(&key, &quote(name), "the name of another target");
            }
        }
        checked.extend(target(check, &at, config));
    }
    if checked.len() != targets.len() {
        return None;
    }
    if !events.enabled {
        return Some(Settings::default());
    }
    let selection = selection(events, &checked);
    Some(Settings {
        outbox: OutboxConfig {
            bytes_max: events.max_size,
            keys_max: events.users_max,
            dead_letters_max: events.dead_letters_max,
            dead_letter_bytes_max: events.dead_letters_max_size,
            expired: selection.kinds.contains(&EventKind::Expired),
        },
        selection,
        targets: checked,
        stop_timeout: events.stop_timeout,
    })
}

fn target(check: &mut Checker<'_>, at: &str, config: &TargetConfig) -> Option<TargetSettings> {
    let mut is_sound = true;
    let is_name_letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = &config.name;
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_name_letter) {
        let expected = "a name of 1 to 64 letters, digits, `-`, `_` and `.`";
        check.value(&format!("{at}.name"), &quote(name), expected);
        is_sound = false;
    }
    for (index, kind) in config.kinds.iter().enumerate() {
        if !KINDS.iter().any(|(known, _)| known == kind) {
            let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            let expected = format!("one of {}", names.join(", "));
            check.value(&format!("{at}.kinds[{index}]"), &quote(kind), &expected);
            is_sound = false;
        }
    }
    types(check, &format!("{at}.types"), &config.types);
    types(check, &format!("{at}.ignore_types"), &config.ignore_types);
    let mut users = HashSet::new();
    for (index, user) in config.users.iter().enumerate() {
        if let Ok(id) = user.parse::<UserId>() {
            users.insert(id.mailbox_key().to_string());
        } else {
            let key = format!("{at}.users[{index}]");
            check.value(&key, &quote(user), "the id of a user");
            is_sound = false;
        }
    }
    let kind = one_type(check, at, config)?;
    let backoff = match config.backoff {
        BackoffConfig::Fixed => Backoff::Fixed(config.retry_interval),
        BackoffConfig::Exponential => Backoff::Exponential {
            first: config.retry_interval,
            max: config.retry_interval_max.max(config.retry_interval),
        },
    };
    is_sound.then(|| TargetSettings {
        filter: Filter {
            kinds: config.kinds.clone(),
            types: config.types.clone(),
            ignored_types: config.ignore_types.clone(),
            users,
        },
        on_full: match config.on_full {
            OnFullConfig::DropOldest => OnFull::DropOldest,
            OnFullConfig::Refuse => OnFull::Refuse,
        },
        batch_max: config.batch_max.min(kind.batch_max()),
        kind,
        batch_bytes_max: config.batch_max_size,
        parallel: config.parallel,
        timeout: config.timeout,
        attempts: config.attempts.max(1),
        backoff,
        breaker_failures: config.breaker_failures,
        breaker_pause: backoff,
        config: config.clone(),
    })
}

/// The table that says of which type a target is, if it is one and right.
fn one_type(check: &mut Checker<'_>, at: &str, config: &TargetConfig) -> Option<Kind> {
    let types = targets::types_of(config);
    match types.as_slice() {
        [_] => targets::check(check, at, config),
        [] => {
            let tables: Vec<String> = targets::TYPES
                .iter()
                .chain(&targets::services::TYPES)
                .map(|name| format!("[targets.{name}]"))
                .collect();
            let what = format!(
                "has no type: expected one of the tables {} behind it",
                tables.join(", ")
            );
            check.complain(at, Rule::Missing { what });
            None
        }
        [_, _, ..] => {
            let what = format!("has several types ({}): expected one", types.join(", "));
            check.complain(at, Rule::Missing { what });
            None
        }
    }
}

fn selection(events: &EventsConfig, targets: &[TargetSettings]) -> EventSelection {
    let mut kinds: Vec<EventKind> = Vec::new();
    let wanted = targets.iter().flat_map(|target| &target.filter.kinds);
    for wanted in wanted {
        let of_name = KINDS.iter().find(|(name, _)| name == wanted);
        for kind in of_name.map_or(&[][..], |(_, kinds)| kinds) {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
    }
    EventSelection {
        kinds,
        bot_messages: events.bot_messages,
        ignored_types: events.ignore_types.clone(),
    }
}

/// Lists are compared one by one.
fn types(check: &mut Checker<'_>, key: &str, types: &[String]) {
    if types.len() > LIST_LENGTH_MAX {
        check.value(key, &types.len(), "at most 256 types");
    }
}

const TARGETS_MAX: usize = 64;
