//! How a session gets every message of its user once and in order: [`Delivery`].
//!
//! In: completions of appends and reads, in the order in which the store executed them. Out:
//! the outbox's messages, and reads the store is asked for. Sans-I/O: no locks, wakers or store
//! in here.
//!
//! ```text
//!   connect ─▶ CatchingUp ──read says no more──▶ Live
//!                  ▲  │                           │
//!                  │  └─read says more, outbox    │ outbox full: the mailbox has it
//!                  │    half empty: next read     │
//!                  └──────────────────────────────┘
//!   any ──overtaken, store failed──▶ Ended        any ──handle dropped──▶ Closed
//! ```
//!
//! Invariant: the cursor is the last offset that was queued. Appends are queued in `Live` only;
//! in `CatchingUp` the next read finds them. The read that says "no more" is completed before any
//! append executed after it, so the change to `Live` neither misses nor repeats a message.

use crate::{
    close::{End, INTERNAL_ERROR, TRY_AGAIN_LATER},
    outbox::{Item, Limits, Outbox, Room},
};

/// The delivery state of one session.
#[derive(Debug)]
pub(crate) struct Delivery {
    phase: Phase,
    epoch: Option<u64>,
    pub(crate) outbox: Outbox,
}

#[derive(Debug)]
enum Phase {
    /// `cursor` is `None` until the first read has told where the mailbox begins.
    CatchingUp {
        cursor: Option<u64>,
        reading: bool,
    },
    Live {
        cursor: u64,
    },
    /// The consumer gets what is queued, then this.
    Ended(End),
    /// The handle is gone.
    Closed,
}

/// A read the store should be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadRequest {
    pub(crate) after: u64,
    pub(crate) room: Room,
}

/// A read's result, decoded: the messages rise in their offsets.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    pub(crate) epoch: u64,
    pub(crate) gone_up_to: u64,
    /// The offset of the last message of the batch, decodable or not.
    pub(crate) last: Option<u64>,
    pub(crate) items: Vec<Item>,
    pub(crate) more: bool,
}

impl Delivery {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            phase: Phase::CatchingUp {
                cursor: None,
                reading: false,
            },
            epoch: None,
            outbox: Outbox::new(limits),
        }
    }

    /// A message was stored for the session's user. Returns whether there was no room, so that a
    /// read will have to find it.
    pub(crate) fn handle_appended(&mut self, epoch: u64, offset: u64, item: Item) -> bool {
        let Phase::Live { cursor } = &mut self.phase else {
            return false;
        };
        if self.epoch != Some(epoch) {
            self.end(mailbox_reset());
            return false;
        }
        debug_assert!(offset > *cursor, "offset {offset} after {cursor}");
        if self.outbox.fits(item.frame.frame().len(), 0) {
            *cursor = offset;
            self.outbox.push(item);
            return false;
        }
        // Between the cursor and this message there is nothing, though offsets may be skipped.
        self.phase = Phase::CatchingUp {
            cursor: Some(offset - 1),
            reading: false,
        };
        true
    }

    /// The read of [`Delivery::next_read`] has completed. Returns how many messages it brought.
    pub(crate) fn handle_read(&mut self, caught_up: CaughtUp) -> u64 {
        let Phase::CatchingUp {
            cursor,
            reading: true,
        } = self.phase
        else {
            return 0;
        };
        self.outbox.release_reserved();
        let CaughtUp {
            epoch,
            gone_up_to,
            last,
            items,
            more,
        } = caught_up;
        if *self.epoch.get_or_insert(epoch) != epoch {
            self.end(mailbox_reset());
            return 0;
        }
        if cursor.is_some_and(|cursor| gone_up_to > cursor) {
            self.end(overtaken());
            return 0;
        }
        let start = cursor.unwrap_or(0).max(gone_up_to);
        let cursor = last.unwrap_or(start).max(start);
        let mut queued = 0;
        for item in items {
            debug_assert!(
                item.durable
                    .as_ref()
                    .is_some_and(|durable| durable.offset > start)
            );
            self.outbox.push(item);
            queued += 1;
        }
        self.phase = match (more, last) {
            (false, _) => Phase::Live { cursor },
            (true, Some(_)) => Phase::CatchingUp {
                cursor: Some(cursor),
                reading: false,
            },
            // "More" without any would be asked for forever.
            (true, None) => Phase::Ended(End::new(INTERNAL_ERROR, "the store reads nothing")),
        };
        queued
    }

    /// The read could not be submitted; the next [`Delivery::next_read`] asks again.
    pub(crate) fn handle_read_not_taken(&mut self) {
        if let Phase::CatchingUp { reading, .. } = &mut self.phase {
            *reading = false;
            self.outbox.release_reserved();
        }
    }

    /// The read to submit now, if any. Asked for after everything that moves the state.
    pub(crate) fn next_read(&mut self) -> Option<ReadRequest> {
        if !self.wants_read() {
            return None;
        }
        let Phase::CatchingUp { cursor, reading } = &mut self.phase else {
            return None;
        };
        *reading = true;
        Some(ReadRequest {
            after: cursor.unwrap_or(0),
            room: self.outbox.reserve(),
        })
    }

    /// Queues something that is lost with the connection. `extra`: how far beyond the bound it
    /// may go. Returns whether it was taken.
    pub(crate) fn offer(&mut self, item: Item, extra: usize) -> bool {
        let open = match self.phase {
            Phase::CatchingUp { .. } | Phase::Live { .. } => true,
            Phase::Ended(_) | Phase::Closed => false,
        };
        let taken = open && self.outbox.fits(item.frame.frame().len(), extra);
        if taken {
            self.outbox.push(item);
        }
        taken
    }

    /// Ends the session from the hub's side; the first reason stays.
    pub(crate) fn end(&mut self, end: End) {
        match self.phase {
            Phase::CatchingUp { .. } | Phase::Live { .. } => self.phase = Phase::Ended(end),
            Phase::Ended(_) | Phase::Closed => {}
        }
        self.outbox.release_reserved();
    }

    /// The handle is gone: nothing is taken any more, what is unconfirmed stays in the mailbox.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.outbox.clear();
    }

    /// Whether [`Delivery::next_read`] would ask for one.
    pub(crate) fn wants_read(&self) -> bool {
        matches!(self.phase, Phase::CatchingUp { reading: false, .. })
            && self.outbox.is_half_empty()
    }

    /// Why the session has ended, if it has.
    pub(crate) fn ended(&self) -> Option<&End> {
        match &self.phase {
            Phase::Ended(end) => Some(end),
            Phase::CatchingUp { .. } | Phase::Live { .. } | Phase::Closed => None,
        }
    }

    /// Whether the consumer would get something: messages, or the end.
    pub(crate) fn has_output(&self) -> bool {
        self.outbox.front_may_go() || self.outbox.is_empty() && self.ended().is_some()
    }
}

fn overtaken() -> End {
    End::new(
        TRY_AGAIN_LATER,
        "slow consumer: messages were delivered to another connection or have expired",
    )
}

fn mailbox_reset() -> End {
    End::new(TRY_AGAIN_LATER, "the mailbox was reset, please reconnect")
}
