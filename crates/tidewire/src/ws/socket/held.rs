//! Memory that a connection holds for its peer: the beginning of a message that has not ended, and what the peer does not read.
//!
//! In: how much memory the decoder and the send queue have, whenever the task looks at them. Out: the same, reserved in the
//! connection's account, and the time by which a message must go on. Invariant: looking costs two comparisons while nothing
//! has changed, and nothing is reserved for what is small.

use std::{sync::Arc, time::Duration};

use tidewire_proto::{Decoder, PROGRESS_BYTES};
use tokio::time::Instant;

use super::shared::SharedConnection;
use crate::{
    memory::{MemoryExhausted, Reservation},
    net::timer::after,
};

/// No more than this is not counted: about as much as a connection costs anyway.
const FREE: usize = 4 << 10;

/// Bytes that a slow peer does not read are counted in steps.
const STEP: usize = 16 << 10;

/// See the module. Boxed: most connections never need it.
#[derive(Debug, Default)]
pub(super) struct Held(Option<Box<More>>);

#[derive(Debug, Default)]
struct More {
    /// Of the decoder, when it was last looked at.
    message: usize,
    /// Of the send queue, rounded.
    queue: usize,
    reservation: Option<Reservation>,
    stall: Option<Stall>,
}

/// A message that has to go on.
#[derive(Debug)]
struct Stall {
    due: Instant,
    /// Messages received when it was looked at, and bytes of the one under way.
    messages: u64,
    len: usize,
}

impl Held {
    /// Counts what the decoder holds.
    #[inline]
    pub(super) fn message<S: Send + 'static>(
        &mut self,
        bytes: usize,
        shared: &Arc<SharedConnection<S>>,
    ) -> Result<(), MemoryExhausted> {
        if bytes == self.0.as_ref().map_or(0, |more| more.message) {
            return Ok(());
        }
        let more = self.0.get_or_insert_default();
        more.message = bytes;
        more.reserve(shared)
    }

    /// Counts what the peer does not read.
    #[inline]
    pub(super) fn queue<S: Send + 'static>(
        &mut self,
        bytes: usize,
        shared: &Arc<SharedConnection<S>>,
    ) -> Result<(), MemoryExhausted> {
        let bytes = bytes.next_multiple_of(STEP);
        if bytes == self.0.as_ref().map_or(0, |more| more.queue) {
            return Ok(());
        }
        let more = self.0.get_or_insert_default();
        more.queue = bytes;
        more.reserve(shared)
    }

    /// The time by which the message under way has to go on, if there is one.
    #[inline]
    pub(super) fn due(&mut self, decoder: &Decoder) -> Option<Instant> {
        if let Some(len) = decoder.unfinished() {
            return self.stall_due(decoder, len);
        }
        if let Some(more) = &mut self.0 {
            more.stall = None;
        }
        None
    }

    fn stall_due(&mut self, decoder: &Decoder, len: usize) -> Option<Instant> {
        let timeout = decoder.config().message_timeout?;
        let more = self.0.get_or_insert_default();
        let stall = more
            .stall
            .get_or_insert_with(|| Stall::new(decoder, len, timeout));
        Some(stall.due)
    }

    /// Returns whether a message should have gone on before `now`.
    pub(super) fn is_stalled(&mut self, decoder: &Decoder, now: Instant) -> bool {
        let Some(more) = &mut self.0 else {
            return false;
        };
        let (Some(stall), Some(len), Some(timeout)) = (
            &more.stall,
            decoder.unfinished(),
            decoder.config().message_timeout,
        ) else {
            more.stall = None;
            return false;
        };
        if now < stall.due {
            return false;
        }
        // Who drips a small message costs no more than what it has sent.
        let step = if len <= PROGRESS_BYTES {
            1
        } else {
            PROGRESS_BYTES
        };
        let goes_on =
            decoder.messages_received() != stall.messages || len >= stall.len.saturating_add(step);
        if goes_on {
            more.stall = Some(Stall::new(decoder, len, timeout));
        }
        !goes_on
    }
}

impl More {
    #[inline(never)]
    fn reserve<S: Send + 'static>(
        &mut self,
        shared: &Arc<SharedConnection<S>>,
    ) -> Result<(), MemoryExhausted> {
        let counted = |bytes: usize| if bytes <= FREE { 0 } else { bytes };
        let bytes = counted(self.message) + counted(self.queue);
        if bytes == 0 && self.reservation.is_none() {
            return Ok(());
        }
        let reservation = &mut self.reservation;
        let reservation = reservation.get_or_insert_with(|| shared.account().reserve());
        reservation.resize(bytes)
    }
}

impl Stall {
    fn new(decoder: &Decoder, len: usize, timeout: Duration) -> Self {
        Self {
            due: after(timeout),
            messages: decoder.messages_received(),
            len,
        }
    }
}
