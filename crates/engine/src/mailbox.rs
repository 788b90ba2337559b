//! The port [`Mailbox`]: a durable, ordered queue per user.
//!
//! Commands go in without waiting ([`Mailbox::append`], [`Mailbox::read`], [`Mailbox::ack`]);
//! results come back through completions. That shape, instead of `async fn`, is what makes
//! "enqueue + look-up + wake" one step: the hub looks up live sessions *inside* the
//! completion, and completions of one user are never reordered, so a session that goes live
//! in the completion of its last read has missed nothing and gets nothing twice.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::NewEvent;

/// The user a mailbox belongs to: 1 to 128 bytes, compared byte by byte.
///
/// The engine does not interpret it; the hub makes it from a user id.
pub type UserKey = Arc<str>;

/// Where a message stands in its user's mailbox.
///
/// Offsets of one user rise strictly within an epoch, above every offset that was ever given
/// to this user. While messages are waiting the next offset is the last one plus 1; into an
/// empty mailbox it may skip some, because a store need not remember users who have nothing
/// waiting. The epoch is drawn at random when a store is created and again whenever it has
/// lost something, so an offset is only comparable within one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Identity of this life of the store; below 2^53, so that JSON numbers hold it exactly.
    pub epoch: u64,
    /// At least 1, rising per user.
    pub offset: u64,
}

/// One message for the mailboxes of all its recipients.
///
/// Each mailbox decides for itself: one that is full keeps the message from nobody else.
#[derive(Clone, Debug)]
pub struct Append {
    /// Whose mailboxes; a user who occurs twice gets the message twice. Not empty.
    pub recipients: Vec<UserKey>,
    /// What to keep, once for all recipients: opaque to the engine, at most `u32::MAX` bytes.
    pub body: Bytes,
    /// Who answers for it; `None`: nobody, and no budget applies.
    pub sender: Option<Sender>,
    /// How long the message is kept, in milliseconds from the moment it is stored;
    /// `None` takes the store's default. The store caps it at its maximum.
    pub ttl_ms: Option<u64>,
    /// The events of it for other systems, stored when and only when the message is. Empty in a store that is no
    /// [`Outbox`](crate::Outbox).
    pub events: Vec<NewEvent>,
}

/// Who answers for a message until it has left every mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Under this key the message is counted, and found by a purge.
    pub user: UserKey,
    /// Whether the budgets of one sender apply. A trusted caller is counted without a limit.
    pub limited: bool,
}

/// An [`Append`] is on disk in every mailbox that took it, which is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Identity of this life of the store.
    pub epoch: u64,
    /// For each of [`Append::recipients`], in their order: the place in the mailbox, or why it
    /// did not take the message.
    pub outcomes: Vec<Result<Placed, MailboxRefusal>>,
}

/// Where a mailbox has put a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// At least 1, rising per user.
    pub offset: u64,
    /// The offset given to this user right before, in this epoch: a reader who has not come so far
    /// has missed something, and finds out by reading. 0: there was none. `None`: not known,
    /// because the store does not remember users who have nothing waiting; an adapter whose
    /// completions can be lost or can overtake each other has to remember them.
    pub previous: Option<u64>,
}

/// One mailbox did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailboxRefusal {
    /// It is at its limit of messages or bytes.
    #[error("the mailbox is full")]
    Full,
    /// The sender has filled his share of this mailbox; others still have room in it.
    #[error("the sender has filled his share of the mailbox")]
    SenderShare,
}

/// A message read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its offset in the user's mailbox.
    pub offset: u64,
    /// What was appended.
    pub body: Bytes,
}

/// The answer to a [`Mailbox::read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Identity of this life of the store.
    pub epoch: u64,
    /// Pending messages behind the asked offset, rising.
    pub messages: Vec<Stored>,
    /// Everything up to here has left the mailbox (acknowledged, expired) or was never in it.
    /// A reader who asks behind an offset at which a message was waiting, or right before the
    /// next one, has missed something iff this is greater than the offset it asked for.
    pub gone_up_to: u64,
    /// No message that was stored by now has a greater offset. It is beyond the last one waiting when
    /// those behind that have left before it.
    pub last_offset: u64,
    /// Whether more messages are pending behind the last one returned. When this is false,
    /// nothing was appended to this mailbox between the read and its completion.
    pub more: bool,
}

/// A command was not taken: nothing happened, its completion is never called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The command queue is at its bound; try again when earlier commands have completed.
    #[error("the store's command queue is full")]
    Busy,
    /// The store has been stopped or has failed for good.
    #[error("the store is closed")]
    Closed,
}

/// An [`Append`] was refused. Unless said otherwise nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No recipient's mailbox took the message.
    #[error("no mailbox has room for the message")]
    NoMailbox {
        /// The reasons, in the order of [`Append::recipients`].
        refusals: Vec<MailboxRefusal>,
    },
    /// As much of this sender waits in mailboxes as he may have waiting in all of them.
    #[error("too many messages of the sender are waiting")]
    SenderFull,
    /// The store as a whole is at its limit of messages or bytes.
    #[error("the store is at its limit")]
    StoreFull,
    /// The outbox has no room for the events, and a target of them may miss nothing.
    #[error("the outbox of events is full")]
    OutboxFull,
    /// The disk is full. Later appends succeed again as soon as there is room.
    #[error("the disk is full")]
    DiskFull,
    /// The store failed (I/O error, failed fsync, corruption) and has stopped for good;
    /// whether this message is on disk is unknown. The process should be restarted.
    #[error("the store has failed: {reason}")]
    Failed {
        /// What the store reported.
        reason: Arc<str>,
    },
}

/// A [`Mailbox::read`] or [`Mailbox::purge`] failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store failed and has stopped for good.
    #[error("the store has failed: {reason}")]
    Failed {
        /// What the store reported.
        reason: Arc<str>,
    },
}

/// Called once with the result of an append. It runs on the store's thread and must
/// neither block nor panic; it may submit further commands.
pub type OnAppend = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;

/// Called once with the result of a read; the same rules as for [`OnAppend`].
pub type OnRead = Box<dyn FnOnce(Result<Batch, ReadError>) + Send>;

/// Called once with how many messages a purge has removed; the same rules as for [`OnAppend`].
pub type OnPurge = Box<dyn FnOnce(Result<u64, ReadError>) + Send>;

/// Called for each message that has left a mailbox because its time to live was over, with the mailbox's user and the
/// message's offset; the same rules as for [`OnAppend`].
pub type OnExpired = Arc<dyn Fn(&UserKey, u64) + Send + Sync>;
/// Called once with the mailboxes that were asked for; the same rules as for [`OnAppend`].
pub type OnMailboxes = Box<dyn FnOnce(Result<MailboxPage, ReadError>) + Send>;

/// The mailboxes that [`Mailbox::mailboxes`] tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailboxQuery {
    /// That of one user.
    Of(UserKey),
    /// At most `count` of those with something in them, the one first whose next message expires first; the ones
    /// behind `after`, if it is given.
    Page {
        /// Where the page before ended ([`MailboxPage::next`]).
        after: Option<(u64, UserKey)>,
        /// Mailboxes of an answer.
        count: usize,
    },
}

/// A mailbox from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxInfo {
    /// Whose it is.
    pub user: UserKey,
    /// Messages in it.
    pub messages: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
    /// Time until the next one expires, if nothing is confirmed before.
    pub expires_in_ms: u64,
}

/// Mailboxes, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxPage {
    /// In the order of the query; none of them is empty.
    pub mailboxes: Vec<MailboxInfo>,
    /// Where to go on; `None` behind the last one. Mailboxes that change meanwhile may be missed, or be told twice.
    pub next: Option<(u64, UserKey)>,
}

/// Which messages a [`Mailbox::purge`] removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Everything waiting for this user.
    Recipient(UserKey),
    /// Everything this user has sent, in all mailboxes.
    Sender(UserKey),
    /// What `sender` has sent to `recipient`.
    Between {
        /// Whose mailbox.
        recipient: UserKey,
        /// Whose messages.
        sender: UserKey,
    },
}

/// Durable, ordered mailboxes.
///
/// Contract, checked by the contract suite for every adapter:
/// - the commands of one user (appends he answers for, reads of his mailbox) are executed in the
///   order of submission, and so are those for which nobody answers (appends without a sender,
///   purges); acknowledgements may be earlier, see [`Mailbox::ack`];
/// - commands of different users may be executed in any order, so that one who submits much
///   does not make the others wait;
/// - completions are called in the order of execution;
/// - `Ok` of an append means that the message is on disk, fsynced, in every mailbox that took it;
/// - a command that was taken is completed exactly once, with an error if the store fails or
///   is stopped first;
/// - no method blocks on I/O.
pub trait Mailbox: Send + Sync + fmt::Debug {
    /// Stores one message in the mailbox of each recipient who has room for it.
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled.
    fn append(&self, append: Append, done: OnAppend) -> Result<(), SubmitError>;

    /// Reads pending messages of `user` with an offset greater than `after`, oldest first, at
    /// most `messages_max` of them and about `bytes_max` bytes (always at least one message if
    /// there is one).
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled.
    fn read(
        &self,
        user: UserKey,
        after: u64,
        messages_max: usize,
        bytes_max: usize,
        done: OnRead,
    ) -> Result<(), SubmitError>;

    /// Everything of `user` up to and including `up_to` was delivered and may go. Cumulative:
    /// lower values than an earlier one change nothing, and offsets not yet given out do not
    /// count. It takes effect before every command submitted after it, and may overtake
    /// commands that are still queued. Made durable lazily, with the next batch: an
    /// acknowledgement lost in a crash means a duplicate, never a loss.
    ///
    /// # Errors
    /// [`SubmitError::Closed`]. Never [`SubmitError::Busy`]: acknowledgements make room, so they are
    /// merged per user and always taken.
    fn ack(&self, user: &UserKey, up_to: u64) -> Result<(), SubmitError>;

    /// Removes waiting messages. Like acknowledgements made durable with the next batch: what a
    /// crash brings back was removed a moment before it. A session that has not come to the
    /// removed messages yet sees them as gone ([`Batch::gone_up_to`]).
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled.
    fn purge(&self, purge: Purge, done: OnPurge) -> Result<(), SubmitError>;

    /// From now on `told` is called for what expires; only the first one that is given is. For those who want to explain
    /// why a message is gone: an adapter that does not know in time may leave it out, as this default does.
    fn on_expired(&self, told: OnExpired) {
        drop(told);
    }

    /// Tells which mailboxes there are, without what is in them. The store's thread does it between other commands,
    /// in time in proportion to the answer.
    ///
    /// # Errors
    /// [`SubmitError`]: not taken, `done` is dropped uncalled. Stores that cannot tell are always
    /// [closed](SubmitError::Closed), which is what this does unless it is implemented.
    fn mailboxes(&self, query: MailboxQuery, done: OnMailboxes) -> Result<(), SubmitError> {
        drop((query, done));
        Err(SubmitError::Closed)
    }

    /// A snapshot of the store's counters.
    fn stats(&self) -> MailboxStats;

    /// Completes what was taken, then closes the store; returns when that is done. Later
    /// commands get [`SubmitError::Closed`]. Blocking; a second call is a no-op.
    fn stop(&self);
}

/// Counters of a store since it was opened; gauges where marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailboxStats {
    /// Gauge: messages waiting, over all users.
    pub pending_messages: u64,
    /// Gauge: the bytes of their bodies, each mailbox counted.
    pub pending_bytes: u64,
    /// Gauge: users with at least one message waiting.
    pub pending_users: u64,
    /// Entries stored.
    pub appended: u64,
    /// Entries that left by acknowledgement.
    pub acked: u64,
    /// Entries that left because their time to live was over.
    pub expired: u64,
    /// Entries removed by purges.
    pub purged: u64,
    /// Appends that no mailbox took, because mailboxes, the sender's budget, the store or the
    /// disk was full.
    pub refused: u64,
    /// Gauge: the last append that came so far was refused because the store as a whole is at
    /// its limit, and nothing has left since.
    pub store_full: bool,
    /// Entries found damaged and set aside.
    pub corrupt: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions that were committed and are missing since the store was opened.
    pub lost_commits: u64,
    /// Gauge: time the wall clock says has passed before this run, and that expires nothing
    /// until it is confirmed; 0 if there is none.
    pub clock_gap_ms: u64,
    /// Gauge: the last commit found the disk full.
    pub disk_full: bool,
    /// Gauge: the store has failed for good; the reason.
    pub failed: Option<Arc<str>>,
}
