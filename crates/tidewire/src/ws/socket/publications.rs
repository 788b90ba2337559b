//! Publications of topics, on their way into what a connection sends.
//!
//! In: the cursors of the topics a socket has joined. Out: whole frames, into the encoder or, while it is
//! checked out, behind what others have deferred. Invariant: a member sees what one task published
//! and sent to it in that order; so whoever sends hands out what was published before.

use std::task::Waker;

use bytes::Bytes;
use tidewire_proto::{CloseFrame, Encoder};

use super::deferred::Deferred;
use crate::{
    net::buffer,
    ws::topic::{Cursor, NextSegment},
};

/// Queued bytes from which on a batch is written although it is not through.
pub(super) const WRITE_AT: usize = 64 << 10;

/// The outcome of handing out.
#[derive(Debug)]
#[must_use = "what was not handed out goes before what is sent next"]
pub(super) enum HandedOut {
    /// Everything that was published so far is queued, or nothing can be sent any more.
    All,
    /// The queue is at its bound, and there may be more.
    MoreWaits,
    /// The member missed something, and is to be closed for that.
    TooSlow(CloseFrame),
}

/// Where publications go.
pub(super) enum Queue<'a> {
    Encoder(&'a mut Encoder),
    Deferred(&'a mut Deferred),
}

impl Queue<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Encoder(encoder) => encoder.queued(),
            Self::Deferred(deferred) => deferred.bytes(),
        }
    }

    /// Returns whether it takes publications: not behind a close frame, nor inside of a message in pieces.
    fn is_open(&self) -> bool {
        match self {
            Self::Encoder(encoder) => encoder.is_open() && !encoder.is_fragmenting(),
            Self::Deferred(deferred) => !deferred.is_closing(),
        }
    }

    fn push(&mut self, frames: Bytes, count: u64) {
        match self {
            Self::Encoder(encoder) => {
                encoder.lend_buffer(buffer::write_buffer);
                if let Err(error) = encoder.send_frames(&frames, count) {
                    tracing::debug!(error = %crate::ErrorChain(&error), "a publication was not sent");
                }
            }
            Self::Deferred(deferred) => deferred.publication(frames, count),
        }
    }
}

/// Queues what was published, as long as less than `bytes_max` is queued. With a `waker`, that of the
/// task that receives, this is woken when there is more.
#[inline]
pub(super) fn hand_out(
    cursors: &mut [Cursor],
    mut queue: Queue<'_>,
    bytes_max: usize,
    waker: Option<&Waker>,
) -> HandedOut {
    let mut handed_out = HandedOut::All;
    for cursor in cursors {
        loop {
            if !queue.is_open() {
                return HandedOut::All;
            }
            if queue.bytes() >= bytes_max {
                handed_out = HandedOut::MoreWaits;
                break;
            }
            match cursor.take_next(waker) {
                NextSegment::Nothing => break,
                NextSegment::Frames(frames, count) => queue.push(frames, count),
                NextSegment::TooSlow(end) => return HandedOut::TooSlow(end),
            }
        }
    }
    handed_out
}
