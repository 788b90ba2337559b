//! Ports of the messaging engine and their adapters.
//!
//! The hub decides *what* happens to a message; the engine keeps it. Today there are three
//! ports, [`Mailbox`], [`Outbox`] and [`Registry`], each with an adapter in [`embedded`]. Further ports (bus,
//! history) stand beside them when their time comes.
//!
//! In: accepted messages as opaque bytes with their recipients. Out: completions, called in
//! the order in which the store executed the commands. Invariant: a completion that says
//! *stored* is only called once the bytes have reached the disk.
#![forbid(unsafe_code)]

#[cfg(feature = "contract")]
pub mod contract; // what every adapter promises, as tests
pub mod embedded; // one node, one SQLite file
pub mod mailbox; // the port of what waits
pub mod outbox; // the port of what other systems are told
pub mod registry; // the port of who is online

pub use embedded::SqliteMailbox;
pub use mailbox::{
    Append, AppendError, Appended, Batch, Mailbox, MailboxInfo, MailboxPage, MailboxQuery,
    MailboxRefusal, MailboxStats, OnAppend, OnExpired, OnMailboxes, OnPurge, OnRead, Placed,
    Position, Purge, ReadError, Sender, Stored, SubmitError, UserKey,
};
pub use outbox::{
    DeadLetter, EventBatch, EventKind, NewEvent, OnFull, OnNewEvents, OnOutbox, Outbox,
    OutboxConfig, OutboxError, OutboxStats, SessionChange, StoredEvent, TargetCursor, TargetName,
    TargetRegistration, TargetStats,
};
pub use registry::{OnAreOnline, OnOnlineUsers, Registry, RegistryError};
