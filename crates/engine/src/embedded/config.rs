//! Configuration of the embedded store.

use std::path::PathBuf;

use super::{error::OpenError, senders::Amount};

/// What the embedded store may use, and where it lives.
///
/// The limits are checked before anything is written, so a refused message costs no disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of the store. It is created (mode 0700) if absent and belongs to one process
    /// at a time. It must be on a local file system whose fsync can be trusted.
    pub dir: PathBuf,
    /// How long a message is kept when its append does not say; milliseconds. Default 24 h.
    pub ttl_default_ms: u64,
    /// The longest a message is kept, whatever its append says; milliseconds. Default 30 days.
    pub ttl_max_ms: u64,
    /// Messages one mailbox holds at most. Default 1000. Costs about 32 bytes of memory for
    /// each message waiting; works together with `messages_max`.
    pub user_messages_max: u64,
    /// Payload bytes one mailbox holds at most. Default 64 MiB. A single message can never be
    /// larger than this (nor than 512 MiB, so that a row stays far from the limits of SQLite).
    pub user_bytes_max: u64,
    /// Messages the store holds at most, over all users. Default 1,000,000, which costs about
    /// 50 MB of memory when reached.
    pub messages_max: u64,
    /// Payload bytes the store holds at most, over all users. Default 4 GiB. The file grows
    /// somewhat larger (row and page overhead) and is checked completely at open.
    pub bytes_max: u64,
    /// Messages of one sender in all mailboxes together at most. Default 50,000. Applies, like
    /// the two below, to appends with a limited [`Sender`](crate::Sender).
    pub sender_messages_max: u64,
    /// Their payload bytes, each mailbox counted. Default 256 MiB.
    pub sender_bytes_max: u64,
    /// How much of one mailbox a sender may fill, in percent of its messages and of its bytes; his
    /// first message is always taken. Default 50, 1 to 100.
    pub sender_share_percent: u64,
    /// Payload bytes of appends waiting for the store at most, each payload counted once; further
    /// ones get [`SubmitError::Busy`](crate::SubmitError::Busy). One is always taken. Default
    /// 64 MiB.
    pub queue_bytes_max: usize,
    /// Commands waiting for the store at most; further ones get
    /// [`SubmitError::Busy`](crate::SubmitError::Busy). Default 8192. Acknowledgements are
    /// merged per user and do not count.
    pub queue_max: usize,
    /// Entries and reads taken into one transaction at most. Default 4096. Larger batches cost
    /// latency for everybody in the batch and bring little throughput.
    pub batch_messages_max: usize,
    /// Payload bytes taken into one transaction at most (one command is always taken). Default
    /// 1 MiB.
    pub batch_bytes_max: usize,
    /// Users without waiting messages whose last offset is kept in memory. Default 65,536,
    /// about 200 bytes each; the others are looked up in the file when they are touched.
    pub idle_users_max: usize,
    /// Size the database file may reach in bytes; beyond it appends get
    /// [`AppendError::DiskFull`](crate::AppendError::DiskFull). Default `None`: the disk
    /// decides. The write-ahead log beside it usually takes about 16 MiB more.
    pub file_bytes_max: Option<u64>,
    /// Disk space kept in a file and given up when the disk is so full that not even
    /// acknowledgements could be written. Default 16 MiB. While the disk has no room for it,
    /// the database does not grow and appends mostly get
    /// [`AppendError::DiskFull`](crate::AppendError::DiskFull). 0 keeps none, and then a store
    /// on a full disk still reads but forgets acknowledgements in a crash.
    pub reserve_bytes: u64,
    /// Time between two runs that is believed at once; milliseconds. Default 1 h. When the wall
    /// clock says that more has passed, nothing expires for it before
    /// [`clock_confirm_ms`](Self::clock_confirm_ms).
    pub clock_jump_max_ms: u64,
    /// How long the store has to run until a longer gap is believed; milliseconds. Default
    /// 24 h. A wall clock set right in that time takes the gap back.
    pub clock_confirm_ms: u64,
}

impl Config {
    /// The defaults, for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            ttl_default_ms: 24 * HOUR_MS,
            ttl_max_ms: 30 * 24 * HOUR_MS,
            user_messages_max: 1000,
            user_bytes_max: 64 << 20,
            messages_max: 1_000_000,
            bytes_max: 4 << 30,
            sender_messages_max: 50_000,
            sender_bytes_max: 256 << 20,
            sender_share_percent: 50,
            queue_bytes_max: 64 << 20,
            queue_max: 8192,
            batch_messages_max: 4096,
            batch_bytes_max: 1 << 20,
            idle_users_max: 65_536,
            file_bytes_max: None,
            reserve_bytes: 16 << 20,
            clock_jump_max_ms: HOUR_MS,
            clock_confirm_ms: 24 * HOUR_MS,
        }
    }

    /// Refuses values with which the store could never take a message.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let positive = [
            ("ttl_default_ms", self.ttl_default_ms > 0),
            ("ttl_max_ms", self.ttl_max_ms > 0),
            ("user_messages_max", self.user_messages_max > 0),
            ("user_bytes_max", self.user_bytes_max > 0),
            ("messages_max", self.messages_max > 0),
            ("bytes_max", self.bytes_max > 0),
            ("sender_messages_max", self.sender_messages_max > 0),
            ("sender_bytes_max", self.sender_bytes_max > 0),
            ("sender_share_percent", self.sender_share_percent > 0),
            ("queue_bytes_max", self.queue_bytes_max > 0),
            ("queue_max", self.queue_max > 0),
            ("batch_messages_max", self.batch_messages_max > 0),
            ("batch_bytes_max", self.batch_bytes_max > 0),
        ];
        let invalid = |field, expected| OpenError::Config {
            path: self.dir.clone(),
            field,
            expected,
        };
        if let Some((field, _)) = positive.into_iter().find(|(_, holds)| !holds) {
            return Err(invalid(field, "at least 1"));
        }
        if self.dir.as_os_str().is_empty() {
            return Err(invalid("dir", "a directory"));
        }
        if self.ttl_max_ms > TTL_MS_MAX {
            return Err(invalid("ttl_max_ms", "at most 100 years"));
        }
        if self.clock_jump_max_ms > TTL_MS_MAX {
            return Err(invalid("clock_jump_max_ms", "at most 100 years"));
        }
        if self.clock_confirm_ms > TTL_MS_MAX {
            return Err(invalid("clock_confirm_ms", "at most 100 years"));
        }
        if self
            .file_bytes_max
            .is_some_and(|bytes| bytes < FILE_BYTES_MIN)
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
        asked_ms.unwrap_or(self.ttl_default_ms).min(self.ttl_max_ms)
    }
}

const HOUR_MS: u64 = 60 * 60 * 1000;
/// Keeps every expiry far inside the range of SQLite's signed integers.
const TTL_MS_MAX: u64 = 100 * 366 * 24 * HOUR_MS;
/// SQLite refuses rows of about 1 GB; half of it leaves room for the rest of the row.
const PAYLOAD_BYTES_MAX: u64 = 512 << 20;
/// The empty tables and a handful of messages.
const FILE_BYTES_MIN: u64 = 64 << 10;
