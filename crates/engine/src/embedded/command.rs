//! What the store's thread executes: [`Command`], and how much of it goes into one batch.
//!
//! In: a caller's request with its completion. Out: its size, whose turn it belongs to, and room
//! for what is planned for it.

use super::{outbox::OutboxCommand, plan::Plan, snapshot::OnSnapshot};
use crate::{
    Append, MailboxQuery, OnAppend, OnMailboxes, OnPurge, OnRead, OutboxError, Purge, UserKey,
};

/// A request with its completion.
pub(super) enum Command {
    Append {
        append: Append,
        done: OnAppend,
        plan: Plan,
    },
    Read {
        read: Read,
        done: OnRead,
    },
    Purge {
        purge: Purge,
        done: OnPurge,
    },
    Mailboxes {
        query: MailboxQuery,
        done: OnMailboxes,
    },
    Snapshot {
        done: OnSnapshot,
    },
    Outbox {
        request: OutboxCommand,
        plan: Result<(), OutboxError>,
    },
}

/// The arguments of a read.
pub(super) struct Read {
    pub(super) user: UserKey,
    pub(super) after: u64,
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
}

/// What a command adds to a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// How much one take may return.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchBounds {
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
}

impl Command {
    /// What this command adds to a batch: the disk gets the payload once, each mailbox an entry.
    pub(super) fn size(&self) -> Size {
        match self {
            Self::Append { append, .. } => Size {
                messages: append.recipients.len().max(1),
                bytes: append_bytes(append),
            },
            Self::Outbox { request, .. } => Size {
                messages: 1,
                bytes: request.payload_bytes(),
            },
            Self::Read { .. }
            | Self::Purge { .. }
            | Self::Mailboxes { .. }
            | Self::Snapshot { .. } => Size {
                messages: 1,
                bytes: 0,
            },
        }
    }

    /// Payload this command holds in memory.
    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            Self::Append { append, .. } => append_bytes(append),
            Self::Outbox { request, .. } => request.payload_bytes(),
            Self::Read { .. }
            | Self::Purge { .. }
            | Self::Mailboxes { .. }
            | Self::Snapshot { .. } => 0,
        }
    }

    /// Who waits for it: commands of one submitter keep their order. `None` stands for all
    /// commands for which nobody answers.
    pub(super) fn submitter(&self) -> Option<&UserKey> {
        match self {
            Self::Append { append, .. } => append.sender.as_ref().map(|sender| &sender.user),
            Self::Read { read, .. } => Some(&read.user),
            Self::Outbox { request, .. } => request.submitter(),
            Self::Purge { .. } | Self::Mailboxes { .. } | Self::Snapshot { .. } => None,
        }
    }

    /// Returns whether it is an event that nobody can take back, such as the end of a session. Such commands may wait beyond
    /// the bound of the others.
    pub(super) fn is_event(&self) -> bool {
        matches!(
            self,
            Self::Outbox {
                request: OutboxCommand::Append { .. },
                ..
            }
        )
    }
}

fn append_bytes(append: &Append) -> usize {
    let events = append.events.iter().map(|event| event.body.len());
    append.body.len() + events.sum::<usize>()
}

impl Size {
    pub(super) fn add(&mut self, other: Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl BatchBounds {
    /// Whether a batch of this size takes one more command.
    pub(super) fn admit_after(&self, size: Size) -> bool {
        size.messages < self.messages_max && size.bytes < self.bytes_max
    }
}
