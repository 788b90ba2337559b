//! The port [`Outbox`]: events for other systems, durable, read by each target at its own pace.
//!
//! In: events, with the append that causes them ([`Append::events`](crate::Append::events)) or on their own. Out:
//! the events in the order in which they were stored, to as many targets as are registered, each with a cursor of
//! its own. An event leaves when every target's cursor has passed it. What a target cannot be given becomes a
//! dead letter of that target. Invariants: events that an append causes are on disk exactly when the append is;
//! a target that does not move costs at most [`OutboxConfig::bytes_max`].

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{SubmitError, UserKey};

/// The name of a target, as in the configuration.
pub type TargetName = Arc<str>;

/// Tells what has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A message was accepted.
    Message,
    /// A session has begun.
    Connected,
    /// A session has ended.
    Disconnected,
    /// A session was open when the process ended abruptly. Made by the store when it opens, with the body of the
    /// event of its beginning.
    Lost,
    /// A message did not reach the mailbox of a recipient.
    Undeliverable,
    /// A message was waiting for longer than it may. Made by the store, with the message's body.
    Expired,
    /// A recipient has proved to have received a message.
    Delivered,
}

impl EventKind {
    /// The number that stands for it in a store.
    pub fn code(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Connected => 2,
            Self::Disconnected => 3,
            Self::Lost => 4,
            Self::Undeliverable => 5,
            Self::Expired => 6,
            Self::Delivered => 7,
        }
    }

    /// The kind with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Message,
            2 => Self::Connected,
            3 => Self::Disconnected,
            4 => Self::Lost,
            5 => Self::Undeliverable,
            6 => Self::Expired,
            7 => Self::Delivered,
            _ => return None,
        })
    }
}

/// An event that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Tells what has happened.
    pub kind: EventKind,
    /// Events of one key are given to a target in order, and counted.
    pub key: UserKey,
    /// When it happened: milliseconds since 1970.
    pub time_ms: u64,
    /// Tells what there is to say, opaque to the engine.
    pub body: Bytes,
    /// The session that it begins or ends, if it does.
    pub session: Option<SessionChange>,
}

/// Tells what an event says about a session, which has a number of its own within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// It has begun: should the process end abruptly, the store makes an [`EventKind::Lost`] of it.
    Began(u64),
    /// It has ended.
    Ended(u64),
}

/// An event read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the outbox: at least 1, rising by one.
    pub sequence: u64,
    /// Whose it is.
    pub key: UserKey,
    /// Its number among the events of this key: at least 1, rising by one, but for keys that were forgotten
    /// ([`OutboxConfig::keys_max`]), which go on above every number that a forgotten key had.
    pub key_sequence: u64,
    /// Tells what has happened.
    pub kind: EventKind,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
    /// Tells what there is to say.
    pub body: Bytes,
}

/// The answer to a [`Outbox::read_events`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// Identity of this life of the store: numbers are only comparable within one.
    pub epoch: u64,
    /// Events behind the asked number, rising. A gap before the first one: those between were dropped.
    pub events: Vec<StoredEvent>,
    /// True when there are more behind the last one returned.
    pub more: bool,
    /// Events up to here are read: go on behind it. Damaged events are passed over.
    pub read_up_to: u64,
}

/// Tells what the outbox does when it is full and this target has not taken the oldest event yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// The target misses the oldest events.
    DropOldest,
    /// Appends with events are refused.
    Refuse,
}

/// A target that is to get events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRegistration {
    /// Under this name its cursor is kept.
    pub name: TargetName,
    /// Tells what the outbox does when it is full.
    pub on_full: OnFull,
}

/// A registered target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetCursor {
    /// Its name.
    pub name: TargetName,
    /// Everything up to here is done with. A new target begins with what is stored from now on.
    pub cursor: u64,
}

/// An event that a target could not be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number among the dead letters; 0 for one that is to be stored.
    pub id: u64,
    /// Which target.
    pub target: TargetName,
    /// The life of the store in which the event's number was given.
    pub epoch: u64,
    /// The event.
    pub event: StoredEvent,
    /// Why not, of the last attempt; for people.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up: milliseconds since 1970.
    pub died_ms: u64,
}

/// Tells what the outbox may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxConfig {
    /// Bytes of events that not all targets have taken. Lifecycle events, which nobody can refuse, may go an
    /// eighth beyond it. One event is always taken. Default: 64 MiB.
    pub bytes_max: u64,
    /// Keys whose last number is remembered, about 100 bytes of disk each; beyond it about the ones that are
    /// silent longest are forgotten. Default: 1 000 000.
    pub keys_max: u64,
    /// Dead letters kept; beyond it the oldest go. Default: 10 000.
    pub dead_letters_max: u64,
    /// Their bytes. Default: 64 MiB.
    pub dead_letter_bytes_max: u64,
    /// Makes events of messages that expire in a mailbox. Default: no.
    pub expired: bool,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
            keys_max: 1_000_000,
            dead_letters_max: 10_000,
            dead_letter_bytes_max: 64 << 20,
            expired: false,
        }
    }
}

/// Something was not done. Nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The outbox is at its bound, and a target that may miss nothing has not moved.
    #[error("the outbox is full")]
    Full,
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// The store failed and has stopped for good.
    #[error("the store has failed: {reason}")]
    Failed {
        /// Tells what the store reported.
        reason: Arc<str>,
    },
}

/// Called once with the outcome; it runs on the store's thread and must neither block nor panic.
pub type OnOutbox<T> = Box<dyn FnOnce(Result<T, OutboxError>) + Send>;

/// Called after each commit that has stored events; on the store's thread, so it must neither block nor panic.
pub type OnNewEvents = Arc<dyn Fn() + Send + Sync>;

/// Durable events for other systems.
///
/// Contract, checked by the contract suite for every adapter:
/// - the events of an append are stored when and only when the append is;
/// - events are read in the order in which they were stored, and so are those of one key, whose numbers rise by one;
/// - an event stays until the cursor of every target has passed it, across restarts, or until the outbox is full
///   and all targets that have not passed it are [`OnFull::DropOldest`];
/// - a command that was taken is completed exactly once; no method blocks on I/O.
pub trait Outbox: Send + Sync + fmt::Debug {
    /// Stores events that no append causes. Without a registered target they are gone.
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled.
    fn append_events(&self, events: Vec<NewEvent>, done: OnOutbox<()>) -> Result<(), SubmitError>;

    /// Reads events behind `after`, at most `events_max` and about `bytes_max` bytes, at least one if there is one.
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled.
    fn read_events(
        &self,
        after: u64,
        events_max: usize,
        bytes_max: usize,
        done: OnOutbox<EventBatch>,
    ) -> Result<(), SubmitError>;

    /// The target is done with everything up to `up_to`. Cumulative; made durable with the next batch, so a crash
    /// means a repetition, never a loss.
    ///
    /// # Errors
    /// [`SubmitError::Closed`].
    fn advance(&self, target: &TargetName, up_to: u64) -> Result<(), SubmitError>;

    /// These, and no others, are the targets from now on: what only others waited for goes.
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled.
    fn register_targets(
        &self,
        targets: Vec<TargetRegistration>,
        done: OnOutbox<Vec<TargetCursor>>,
    ) -> Result<(), SubmitError>;

    /// Keeps a dead letter. Done before an [`advance`](Self::advance) that is submitted after it.
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled.
    fn bury(&self, letter: DeadLetter, done: OnOutbox<()>) -> Result<(), SubmitError>;

    /// Reads dead letters with an id greater than `after`, oldest first.
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled.
    fn dead_letters(
        &self,
        after: u64,
        letters_max: usize,
        done: OnOutbox<Vec<DeadLetter>>,
    ) -> Result<(), SubmitError>;

    /// Removes dead letters; `done` gets how many there were.
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled.
    fn remove_dead_letters(&self, ids: Vec<u64>, done: OnOutbox<u64>) -> Result<(), SubmitError>;

    /// Has `told` called from now on, in place of what was called before.
    fn on_new_events(&self, told: OnNewEvents);

    /// A snapshot of the counters.
    fn outbox_stats(&self) -> OutboxStats;
}

/// Counters of an outbox since it was opened; gauges where marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxStats {
    /// Gauge: events that not all targets have taken.
    pub pending_events: u64,
    /// Gauge: about how many bytes they take.
    pub pending_bytes: u64,
    /// Events stored.
    pub appended: u64,
    /// Appends refused because the outbox was full.
    pub refused: u64,
    /// Events that should have been stored and were not: the outbox or the disk was full, or a row was damaged.
    pub lost: u64,
    /// Gauge: dead letters.
    pub dead_letters: u64,
    /// Gauge: their bytes.
    pub dead_letter_bytes: u64,
    /// Dead letters that went because there were too many.
    pub dead_letters_dropped: u64,
    /// The targets.
    pub targets: Vec<TargetStats>,
}

/// Tells what is known of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetStats {
    /// Its name.
    pub name: TargetName,
    /// Gauge: events that it has not taken.
    pub pending: u64,
    /// Events that it has missed because the outbox was full.
    pub dropped: u64,
}
