//! How a session gets every message of its user once and in order: [`Delivery`].
//!
//! In: completions of appends and reads, in the order in which the store executed them. Out:
//! the send queue's events, and reads the store is asked for. Sans-I/O: no locks, wakers or store
//! in here.
//!
//! ```text
//!   connect ─▶ CatchingUp ──read says no more──▶ Live
//!                  ▲  │                           │
//!                  │  └─read says more, queue     │ queue full, or one before it is missing:
//!                  │    half empty: next read     │ the mailbox has it
//!                  └──────────────────────────────┘
//!   any ──overtaken, store failed──▶ Ended        any ──handle dropped──▶ Closed
//! ```
//!
//! A session of a user whose messages were handed out often without a proof begins by *waiting* for the
//! client to answer a ping; if it does not, those messages are left out ([`Skip`]) until it does: then
//! the mailbox is read again from its start.
//!
//! Invariant: the cursor is the last offset that was queued. Appends are queued in `Live` only;
//! in `CatchingUp` the next read finds them. The read that says "no more" is completed before any
//! append executed after it, so the change to `Live` neither misses nor repeats a message.
//!
//! Nothing hangs on that alone. A completion is a hint, the mailbox is the truth: an append tells which
//! offset was given before it ([`Placed::previous`]), and a session that has not come so far goes back to
//! reading; one that is already beyond the append ignores it. So a hint that is lost is made up for by the
//! next one, and hints that overtake each other cost a read.

use tidewire_engine::Placed;

use crate::{
    Reason,
    redelivery::Skip,
    send_queue::{Item, Limits, Room, SendQueue},
};

/// The delivery state of one session.
#[derive(Debug)]
pub(crate) struct Delivery {
    phase: Phase,
    epoch: Option<u64>,
    start: Start,
    /// The running read was asked for before the mailbox was to be read from its start.
    read_is_stale: bool,
    pub(crate) send_queue: SendQueue,
}

/// Where in the mailbox the session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// At its start.
    Everything,
    /// Not decided: the client has not answered a ping yet.
    Waiting(Skip),
    /// Behind what was handed out often enough.
    Behind(Skip),
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
    Ended(Reason),
    /// The handle is gone.
    Closed,
}

/// How a session has followed an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Followed {
    /// The message is in the send queue.
    Queued,
    /// There is no room, or one before it is missing: a read has to find it.
    FellBack,
    /// The session is reading anyway, is already beyond it, or over.
    Ignored,
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
    /// No message that was stored by then has a greater offset.
    pub(crate) last_offset: u64,
    /// The offset of the last message of the batch, decodable or not.
    pub(crate) last: Option<u64>,
    pub(crate) items: Vec<Item>,
    pub(crate) more: bool,
}

impl Delivery {
    pub(crate) fn new(limits: Limits, skip: Option<Skip>) -> Self {
        Self {
            phase: Phase::CatchingUp {
                cursor: None,
                reading: false,
            },
            epoch: None,
            start: skip.map_or(Start::Everything, Start::Waiting),
            read_is_stale: false,
            send_queue: SendQueue::new(limits),
        }
    }

    /// Whether nothing is read before [`Delivery::begin`] is called.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.start, Start::Waiting(_))
    }

    /// Ends the waiting: with everything, because the client answers pings, or else behind what was
    /// handed out often enough. The former also corrects the latter, later: the mailbox is
    /// then read again from its start, and what was handed out meanwhile is repeated.
    pub(crate) fn begin(&mut self, everything: bool) {
        match self.start {
            Start::Waiting(skip) if !everything => self.start = Start::Behind(skip),
            Start::Waiting(_) => self.start = Start::Everything,
            Start::Behind(_) if everything => {
                self.start = Start::Everything;
                self.restart();
            }
            Start::Behind(_) | Start::Everything => {}
        }
    }

    fn restart(&mut self) {
        let reading = match self.phase {
            Phase::CatchingUp { reading, .. } => reading,
            Phase::Live { .. } => false,
            Phase::Ended(_) | Phase::Closed => return,
        };
        self.send_queue.forget_durable();
        self.read_is_stale = reading;
        self.phase = Phase::CatchingUp {
            cursor: None,
            reading,
        };
    }

    /// The epoch, once it is known.
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// A message was stored for the session's user.
    pub(crate) fn handle_appended(&mut self, epoch: u64, placed: Placed, item: Item) -> Followed {
        let Phase::Live { cursor } = &mut self.phase else {
            return Followed::Ignored;
        };
        if self.epoch != Some(epoch) {
            self.end(Reason::MailboxReset);
            return Followed::Ignored;
        }
        let Placed { offset, previous } = placed;
        if offset <= *cursor {
            // A late hint: a read was faster.
            return Followed::Ignored;
        }
        let has_gap = previous.is_some_and(|previous| previous > *cursor);
        if !has_gap && self.send_queue.fits(item.size, 0) {
            *cursor = offset;
            self.send_queue.push(item);
            return Followed::Queued;
        }
        // Without a gap there is nothing between the cursor and this message, though offsets may be
        // skipped: nothing that could have been missed.
        let cursor = if has_gap { *cursor } else { offset - 1 };
        self.phase = Phase::CatchingUp {
            cursor: Some(cursor),
            reading: false,
        };
        Followed::FellBack
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
        self.send_queue.release_reserved();
        let other_epoch =
            matches!(self.start, Start::Behind(skip) if skip.epoch != caught_up.epoch);
        if other_epoch {
            // Its offsets mean other messages now.
            self.start = Start::Everything;
        }
        if std::mem::take(&mut self.read_is_stale) || other_epoch && cursor.is_none() {
            self.phase = Phase::CatchingUp {
                cursor: None,
                reading: false,
            };
            return 0;
        }
        let CaughtUp {
            epoch,
            gone_up_to,
            last_offset,
            last,
            items,
            more,
        } = caught_up;
        if *self.epoch.get_or_insert(epoch) != epoch {
            self.end(Reason::MailboxReset);
            return 0;
        }
        if cursor.is_some_and(|cursor| gone_up_to > cursor) {
            self.end(Reason::Overtaken);
            return 0;
        }
        let start = cursor.unwrap_or_else(|| self.skipped()).max(gone_up_to);
        let cursor = last.unwrap_or(start).max(start);
        let mut queued = 0;
        for item in items {
            debug_assert!(item.offset.is_some_and(|offset| offset > start));
            self.send_queue.push(item);
            queued += 1;
        }
        self.phase = match (more, last) {
            // Those behind the last one have left before it: nothing is missing.
            (false, _) => Phase::Live {
                cursor: cursor.max(last_offset),
            },
            (true, Some(_)) => Phase::CatchingUp {
                cursor: Some(cursor),
                reading: false,
            },
            // "More" without any would be asked for forever.
            (true, None) => Phase::Ended(Reason::StoreStuck),
        };
        queued
    }

    /// The read could not be submitted; the next [`Delivery::next_read`] asks again.
    pub(crate) fn handle_read_not_taken(&mut self) {
        if let Phase::CatchingUp { reading, .. } = &mut self.phase {
            *reading = false;
            self.read_is_stale = false;
            self.send_queue.release_reserved();
        }
    }

    /// Everything up to here is left out.
    fn skipped(&self) -> u64 {
        match self.start {
            Start::Behind(skip) => skip.up_to,
            Start::Everything | Start::Waiting(_) => 0,
        }
    }

    /// The read to submit now, if any. Asked for after everything that moves the state.
    pub(crate) fn next_read(&mut self) -> Option<ReadRequest> {
        if !self.wants_read() {
            return None;
        }
        let skipped = self.skipped();
        let Phase::CatchingUp { cursor, reading } = &mut self.phase else {
            return None;
        };
        *reading = true;
        Some(ReadRequest {
            after: cursor.unwrap_or(skipped),
            room: self.send_queue.reserve().for_bodies(),
        })
    }

    /// Queues something that is lost with the connection. `extra`: how far beyond the bound it
    /// may go. Returns whether it was taken.
    pub(crate) fn offer(&mut self, item: Item, extra: usize) -> bool {
        let open = match self.phase {
            Phase::CatchingUp { .. } | Phase::Live { .. } => true,
            Phase::Ended(_) | Phase::Closed => false,
        };
        let taken = open && self.send_queue.fits(item.size, extra);
        if taken {
            self.send_queue.push(item);
        }
        taken
    }

    /// Ends the session from the hub's side; the first reason stays.
    pub(crate) fn end(&mut self, reason: Reason) {
        match self.phase {
            Phase::CatchingUp { .. } | Phase::Live { .. } => self.phase = Phase::Ended(reason),
            Phase::Ended(_) | Phase::Closed => {}
        }
        self.send_queue.release_reserved();
    }

    /// The handle is gone: nothing is taken any more, what is unconfirmed stays in the mailbox.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.send_queue.clear();
    }

    /// Whether [`Delivery::next_read`] would ask for one.
    pub(crate) fn wants_read(&self) -> bool {
        matches!(self.phase, Phase::CatchingUp { reading: false, .. })
            && !self.is_waiting()
            && self.send_queue.is_half_empty()
    }

    /// Why the session has ended, if it has.
    pub(crate) fn ended(&self) -> Option<Reason> {
        match self.phase {
            Phase::Ended(reason) => Some(reason),
            Phase::CatchingUp { .. } | Phase::Live { .. } | Phase::Closed => None,
        }
    }

    /// Whether the consumer would get something: messages, or the end.
    pub(crate) fn has_output(&self) -> bool {
        self.send_queue.front_may_go() || self.send_queue.is_empty() && self.ended().is_some()
    }
}
