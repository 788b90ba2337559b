//! Configuration of the embedded store: what it may use, and where it lives.

use std::{path::PathBuf, time::Duration};

use tidewire_table::{DAY, HOUR, MILLISECOND, SECOND, Size, Table as _, table};

use super::{error::OpenError, senders::Amount};
use crate::OutboxConfig;

table! {
    /// What is kept for absent users. All of it is disk, not memory, unless said otherwise. The limits are checked
    /// before anything is written, so a refused message costs no disk.
    pub struct Config {
        /// Whether messages are kept for absent users. `false`, or 0 for `ttl` or for one of the four limits of
        /// users and store: nothing is stored, messages only reach users who are connected. What is stored already is
        /// still delivered.
        enabled: bool = true;
        /// How long an undelivered message is kept unless its sender says otherwise; `"0s"` = nothing is stored.
        ttl: Duration = DAY, in Duration::ZERO..=TTL_MAX, was "ttl_seconds";
        /// How long an undelivered message is kept at most, whatever its sender says.
        ttl_max: Duration = DAY * 30, in SECOND..=TTL_MAX, was "ttl_seconds_max";
        /// Messages waiting for one user; more are refused. Each costs about 32 bytes of memory. 0 = nothing is
        /// stored.
        user_messages_max: u64 = 1000, in 0..=MESSAGES_MAX;
        /// Bytes waiting for one user, so many that the share of one sender holds several messages of the largest
        /// size; more are refused. No message is larger than this, nor than 512 MiB. 0 = nothing is stored.
        user_bytes_max: u64 as Size = 64 << 20, in 0..=BYTES_MAX;
        /// Messages waiting for all users; 1,000,000 cost about 50 MB of memory. 0 = nothing is stored.
        messages_max: u64 = 1_000_000, in 0..=MESSAGES_MAX;
        /// Bytes waiting for all users. The file grows somewhat larger (row and page overhead) and is checked
        /// completely at the start. 0 = nothing is stored.
        bytes_max: u64 as Size = 4 << 30, in 0..=BYTES_MAX;
        /// Messages of one sender waiting in all mailboxes; 0 = no limit of its own. Messages sent over REST count for
        /// the sender they name, but are not refused for it.
        sender_messages_max: u64 = 50_000, in 0..=MESSAGES_MAX;
        /// Bytes of one sender waiting in all mailboxes, each mailbox counted; 0 = no limit of its own.
        sender_bytes_max: u64 as Size = 256 << 20, in 0..=BYTES_MAX;
        /// How much of one mailbox's messages and bytes a sender may fill, in percent; 100 = all. The first message
        /// of a sender is always taken.
        sender_share_percent: u64 = 50, in 1..=100;
        /// Bytes of messages on their way to the disk, from all connections together, each counted once. Further ones
        /// are refused as busy, and connections are not read from. One is always taken. Memory is about twice this.
        queue_bytes_max: usize as Size = 64 << 20, in 1 << 10..=1 << 30;
        /// Commands waiting for the store; further ones are refused as busy. Acknowledgements are merged per user and
        /// do not count.
        queue_max: usize = 8192, in 1..=1 << 20;
        /// Entries and reads in one transaction. Larger ones cost latency for everybody in them and bring little
        /// throughput.
        batch_messages_max: usize = 4096, in 1..=1 << 20;
        /// Bytes of messages in one transaction; one command is always taken.
        batch_bytes_max: usize as Size = 1 << 20, in 1 << 10..=1 << 30;
        /// Users without waiting messages whose last offset is kept in memory, about 200 bytes each; the others are
        /// looked up in the file when they are touched.
        idle_users_max: usize = 65_536, in 1..=100_000_000;
        /// Size that the database file may reach; beyond it messages are refused as on a full disk. The write-ahead log
        /// beside it usually takes about 16 MiB more. 0 = the disk decides.
        file_bytes_max: Option<u64> as Size = None, in None..=Some(BYTES_MAX);
        /// Disk space kept in a file and given up when the disk is so full that not even acknowledgements could be
        /// written. While the disk has no room for it, messages are mostly refused. 0 = none is kept, and a store on a
        /// full disk still reads but forgets acknowledgements in a crash.
        reserve_bytes: u64 as Size = 16 << 20, in 0..=1 << 40;
        /// Time between two runs that counts at once towards the times to live; `"0s"` trusts no gap at once. When the
        /// clock says that more has passed, nothing expires for it until the store has run for `clock_confirm_after`:
        /// the clock may be wrong.
        clock_jump_max: Duration = HOUR, in Duration::ZERO..=TTL_MAX, was "clock_jump_seconds_max";
        /// How long the store has to run until a longer gap counts; `"0s"` believes every clock. A clock set right in
        /// that time takes the gap back.
        clock_confirm_after: Duration = DAY, in Duration::ZERO..=TTL_MAX, was "clock_confirm_seconds";
    }
    besides {
        /// Directory of the store. It is created (mode 0700) if absent and belongs to one process
        /// at a time. It must be on a local file system whose fsync can be trusted.
        dir: PathBuf = PathBuf::new();
        /// The room for events for other systems.
        outbox: OutboxConfig = OutboxConfig::default();
    }
}

impl Config {
    /// The least that [`file_bytes_max`](Self::file_bytes_max) may be: the empty tables and a handful of messages.
    pub const FILE_BYTES_MIN: u64 = 64 << 10;

    /// The defaults, for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            ..Self::default()
        }
    }

    /// Whether messages are stored: switched on, and nothing that is kept has a limit of 0.
    pub fn stores(&self) -> bool {
        let kept = [
            self.user_messages_max,
            self.user_bytes_max,
            self.messages_max,
            self.bytes_max,
        ];
        self.enabled && !self.ttl.is_zero() && !kept.contains(&0)
    }

    /// What a store works with that hands out what it has when these keys say that nothing new is
    /// stored: limits of 0 become the smallest with which it opens, those of a sender none.
    #[must_use]
    pub fn opened(mut self) -> Self {
        self.ttl = self.ttl.max(MILLISECOND);
        for limit in [
            &mut self.user_messages_max,
            &mut self.user_bytes_max,
            &mut self.messages_max,
            &mut self.bytes_max,
        ] {
            *limit = (*limit).max(1);
        }
        for limit in [&mut self.sender_messages_max, &mut self.sender_bytes_max] {
            if *limit == 0 {
                *limit = u64::MAX;
            }
        }
        self
    }

    /// Refuses values with which the store could never take a message.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let invalid = |field, expected| OpenError::Config {
            path: self.dir.clone(),
            field,
            expected,
        };
        // 0 is a value of these keys, but not for a store that opens.
        let positive = [
            ("ttl", !self.ttl.is_zero()),
            ("user_messages_max", self.user_messages_max > 0),
            ("user_bytes_max", self.user_bytes_max > 0),
            ("messages_max", self.messages_max > 0),
            ("bytes_max", self.bytes_max > 0),
            ("sender_messages_max", self.sender_messages_max > 0),
            ("sender_bytes_max", self.sender_bytes_max > 0),
        ];
        let mut field = positive
            .into_iter()
            .find_map(|(field, holds)| (!holds).then_some(field));
        self.violations("", &mut |violation| {
            if matches!(violation.found.as_str(), "0" | "0s") {
                field.get_or_insert(violation.name);
            }
        });
        if let Some(field) = field {
            return Err(invalid(field, "at least 1"));
        }
        if self.dir.as_os_str().is_empty() {
            return Err(invalid("dir", "a directory"));
        }
        for (field, value) in [
            ("ttl_max", self.ttl_max),
            ("clock_jump_max", self.clock_jump_max),
            ("clock_confirm_after", self.clock_confirm_after),
        ] {
            if value > TTL_MAX {
                return Err(invalid(field, "at most 10 years"));
            }
        }
        if self
            .file_bytes_max
            .is_some_and(|bytes| bytes < Self::FILE_BYTES_MIN)
        {
            return Err(invalid("file_bytes_max", "at least 65536 (64 KiB)"));
        }
        Ok(())
    }

    /// The largest payload one entry may have.
    pub(super) fn payload_bytes_max(&self) -> u64 {
        self.user_bytes_max.min(PAYLOAD_BYTES_MAX)
    }

    /// What one sender may fill of one mailbox.
    pub(super) fn sender_share(&self) -> Amount {
        let share = |limit: u64| {
            let percent = u128::from(self.sender_share_percent.min(100));
            let share = u128::from(limit) * percent / 100;
            u64::try_from(share).unwrap_or(limit).max(1)
        };
        Amount {
            messages: share(self.user_messages_max),
            bytes: share(self.user_bytes_max),
        }
    }

    /// How long a message is kept that asks for `asked_ms`.
    pub(super) fn ttl_ms(&self, asked_ms: Option<u64>) -> u64 {
        asked_ms
            .unwrap_or_else(|| millis(self.ttl))
            .min(millis(self.ttl_max))
    }
}

/// Whole milliseconds, in which the store counts.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Ten years: keeps every expiry far inside the range of SQLite's signed integers.
const TTL_MAX: Duration = Duration::from_hours(10 * 365 * 24);
/// More messages than any disk holds; keeps sums of counts far from overflow.
const MESSAGES_MAX: u64 = 1 << 40;
/// A pebibyte, likewise.
const BYTES_MAX: u64 = 1 << 50;
/// SQLite refuses rows of about 1 GB; half of it leaves room for the rest of the row.
const PAYLOAD_BYTES_MAX: u64 = 512 << 20;
