//! The tables `[events]` and `[[targets]]` of the server's file.

use std::time::Duration;

use tidewire_table::{
    DAY, HOUR, MILLISECOND, MINUTE, OnceThere, SECOND, Size, Tables, choice, table,
};

use crate::targets::{
    FileConfig, PostbackConfig, SocketConfig,
    services::{AmqpConfig, MysqlConfig, NatsConfig, PostgresConfig, RedisConfig},
};

table! {
    /// Tells what other systems are told: messages, and what becomes of users and messages. Off while there are no targets.
    pub struct EventsConfig {
        /// Passes events on. `false` forgets what they have not taken yet.
        enabled: bool = true;
        /// Disk that events may take which a target has not taken yet. When it is used up, `on_full` of the targets
        /// that lag says what happens.
        max_size: u64 as Size = 64 << 20, in 1 << 20..=1 << 40;
        /// Tells of messages of the administrator (sender 0) too.
        bot_messages: bool = false;
        /// Types of messages that no target gets, in any case. At most 256.
        ignore_types: Vec<String>;
        /// Users whose events are counted, about 100 bytes of disk each; beyond it about the ones that are silent
        /// longest are forgotten, and their numbers skip some when they come back.
        users_max: u64 = 1_000_000, in 1..=1 << 32;
        /// Dead letters kept: events that a target could not be given; beyond it the oldest go.
        dead_letters_max: u64 = 10_000, in 1..=1 << 32;
        /// Bytes of dead letters.
        dead_letters_max_size: u64 as Size = 64 << 20, in 1 << 10..=1 << 40;
        /// How long the server, when it stops, goes on giving targets what they have not taken; the rest comes after
        /// the next start.
        stop_timeout: Duration = SECOND * 2, in Duration::ZERO..=HOUR;
    }
}

choice! {
    /// The form in which a target gets events.
    pub enum EventFormat {
        /// As docs/events.md describes them.
        Events = "events",
        /// Messages alone, as wsserver's event notifier makes them.
        Classic = "classic",
    }
}

choice! {
    /// The answer when the outbox is full and a target lags.
    pub enum OnFullConfig {
        /// It misses the oldest events.
        DropOldest = "drop-oldest",
        /// New messages are refused as busy.
        Refuse = "refuse",
    }
}

choice! {
    /// How the pause between attempts grows.
    pub enum BackoffConfig {
        /// Doubled each time, with a random part.
        Exponential = "exponential",
        /// Always the same.
        Fixed = "fixed",
    }
}

table! {
    /// A system that gets events. One of the tables behind it, such as `[targets.postback]`, says of which type it is. Up to 64.
    pub struct TargetConfig {
        /// Its name in logs, metrics and `fallback`, unlike any other: letters, digits, `-`, `_` and `.`, at most 64.
        /// Tells what it has taken is remembered under this name.
        name: String, example "\"backend\"";
        /// Kinds of events: `"message"`, `"connected"`, `"disconnected"`, `"undeliverable"`, `"expired"`,
        /// `"delivered"`. None: it only stands in for others, as a fallback.
        kinds: Vec<String> = vec!["message".to_owned()];
        /// Types of messages that it gets, in any case; empty = all.
        types: Vec<String>;
        /// Types of messages that it does not get, in any case.
        ignore_types: Vec<String>;
        /// Users whose events, and messages from and to whom, it gets; empty = all.
        users: Vec<String>;
        /// The answer when `events.max_size` is used up and this target has not taken the oldest events:
        /// `"drop-oldest"` = it misses them; `"refuse"` = new messages are refused as busy until it has.
        on_full: OnFullConfig = OnFullConfig::DropOldest;
        /// Events delivered together, where the type can.
        batch_max: usize = 100, in 1..=10_000;
        /// Bytes of events delivered together; one is always.
        batch_max_size: usize as Size = 1 << 20, in 1 << 10..=64 << 20;
        /// Deliveries under way at a time. Events of one user are never in two of them.
        parallel: usize = 16, in 1..=256;
        /// How long a delivery may take.
        timeout: Duration = SECOND * 10, in MILLISECOND * 100..=MINUTE * 10;
        /// Deliveries tried before an event goes to the fallbacks and then to the dead letters; 0 and 1 = one. While the
        /// target as a whole does not work (`breaker_failures`) none counts.
        attempts: u32 = 10, in 0..=1000;
        /// Pause behind the first failed attempt.
        retry_interval: Duration = SECOND, in MILLISECOND..=DAY;
        /// Longest pause between attempts.
        retry_interval_max: Duration = MINUTE * 5, in MILLISECOND..=DAY;
        /// How the pause grows: `"exponential"` = doubled each time, with a random part; `"fixed"` = always
        /// `retry_interval`.
        backoff: BackoffConfig = BackoffConfig::Exponential;
        /// Failures in a row after which the target is left alone for a while: first for `retry_interval`, then longer.
        breaker_failures: u32 = 5, in 1..=1_000_000;
        /// Names of targets that get what this one does not take, in turn.
        fallback: Vec<String>;
        postback: Option<PostbackConfig> as OnceThere = None;
        file: Option<FileConfig> as OnceThere = None;
        socket: Option<SocketConfig> as OnceThere = None;
        redis: Option<RedisConfig> as OnceThere = None;
        postgres: Option<PostgresConfig> as OnceThere = None;
        mysql: Option<MysqlConfig> as OnceThere = None;
        amqp: Option<AmqpConfig> as OnceThere = None;
        nats: Option<NatsConfig> as OnceThere = None;
    }
}

/// The key of the list of targets.
pub type TargetTables = Tables;
