//! Describes what the store's thread is asked for on behalf of the outbox.

use std::{cell::Cell, sync::Arc};

use crate::{
    DeadLetter, EventBatch, NewEvent, OnOutbox, OutboxError, TargetCursor, TargetRegistration,
    UserKey,
};

/// A request with its completion.
pub(in crate::embedded) enum OutboxCommand {
    Append {
        events: Vec<NewEvent>,
        done: OnOutbox<()>,
    },
    Read {
        after: u64,
        events_max: usize,
        bytes_max: usize,
        done: OnOutbox<EventBatch>,
    },
    Register {
        targets: Vec<TargetRegistration>,
        /// The first one since the store was opened: what was open before is lost.
        is_first: bool,
        done: OnOutbox<Vec<TargetCursor>>,
    },
    Bury {
        letter: DeadLetter,
        done: OnOutbox<()>,
    },
    DeadLetters {
        after: u64,
        letters_max: usize,
        done: OnOutbox<Vec<DeadLetter>>,
    },
    RemoveDead {
        ids: Vec<u64>,
        done: OnOutbox<u64>,
        removed: Cell<u64>,
    },
}

impl OutboxCommand {
    /// Returns whether it is to be written.
    pub(in crate::embedded) fn writes(&self) -> bool {
        match self {
            Self::Append { .. }
            | Self::Register { .. }
            | Self::Bury { .. }
            | Self::RemoveDead { .. } => true,
            Self::Read { .. } | Self::DeadLetters { .. } => false,
        }
    }

    /// The bytes that it holds in memory and puts on the disk.
    pub(in crate::embedded) fn payload_bytes(&self) -> usize {
        match self {
            Self::Append { events, .. } => events.iter().map(|event| event.body.len()).sum(),
            Self::Bury { letter, .. } => letter.event.body.len(),
            Self::Read { .. }
            | Self::Register { .. }
            | Self::DeadLetters { .. }
            | Self::RemoveDead { .. } => 0,
        }
    }

    /// Whose events it brings: they stay in order with the appends for which he answers.
    pub(in crate::embedded) fn submitter(&self) -> Option<&UserKey> {
        match self {
            Self::Append { events, .. } => events.first().map(|event| &event.key),
            Self::Read { .. }
            | Self::Register { .. }
            | Self::Bury { .. }
            | Self::DeadLetters { .. }
            | Self::RemoveDead { .. } => None,
        }
    }

    /// How many events it brings.
    pub(in crate::embedded) fn events_len(&self) -> usize {
        match self {
            Self::Append { events, .. } => events.len(),
            Self::Read { .. }
            | Self::Register { .. }
            | Self::Bury { .. }
            | Self::DeadLetters { .. }
            | Self::RemoveDead { .. } => 0,
        }
    }

    /// Completes it with an error.
    pub(in crate::embedded) fn fail(self, error: OutboxError) {
        match self {
            Self::Append { done, .. } | Self::Bury { done, .. } => done(Err(error)),
            Self::Read { done, .. } => done(Err(error)),
            Self::Register { done, .. } => done(Err(error)),
            Self::DeadLetters { done, .. } => done(Err(error)),
            Self::RemoveDead { done, .. } => done(Err(error)),
        }
    }

    /// Completes it with the failure of the store.
    pub(in crate::embedded) fn store_failed(self, reason: Arc<str>) {
        self.fail(OutboxError::Failed { reason });
    }
}
