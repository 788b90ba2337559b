//! A connection as a member of topics: what was published goes before what is sent next.

use std::task::Waker;

use tidewire_proto::{CloseFrame, Encoder};

use super::{
    super::publications::{self, HandedOut, Queue, WRITE_AT},
    LockedConnection,
};
use crate::{
    net::{buffer, timer::after},
    ws::{
        SendError,
        topic::{Cursor, Topic},
    },
};

impl<S> LockedConnection<S> {
    /// The socket has joined a topic.
    pub(in crate::ws::socket) fn join(&mut self, cursor: Cursor) {
        self.cursors.reserve_exact(1);
        self.cursors.push(cursor);
    }

    /// The socket leaves a topic.
    pub(in crate::ws::socket) fn leave(&mut self, topic: &Topic) {
        self.cursors.retain(|cursor| !cursor.is_of(topic));
    }

    /// The socket leaves all topics.
    pub(in crate::ws::socket) fn leave_all(&mut self) {
        self.cursors = Vec::new();
    }

    /// Another task waits for publications from now on.
    pub(in crate::ws::socket) fn forget_task(&mut self) {
        self.cursors.iter_mut().for_each(Cursor::forget_task);
    }

    /// For the task that receives: queues what was published, as far as there is room. It is woken when
    /// there is more.
    #[inline]
    pub(in crate::ws::socket) fn hand_out(&mut self, waker: &Waker) -> HandedOut {
        if self.cursors.is_empty() {
            return HandedOut::All;
        }
        self.apply_deferred();
        let Some(encoder) = &mut self.encoder else {
            return HandedOut::All;
        };
        if !self.deferred.is_empty() {
            // What others sent before keeps its place; while a message in pieces holds it up, nothing is written
            // that could change that.
            return if encoder.is_fragmenting() {
                HandedOut::All
            } else {
                HandedOut::MoreWaits
            };
        }
        let queue = Queue::Encoder(encoder);
        let handed_out = publications::hand_out(&mut self.cursors, queue, WRITE_AT, Some(waker));
        self.closed_if_too_slow(handed_out)
    }

    /// For who has checked the encoder out: queues in it what others deferred, then what was published.
    pub(in crate::ws::socket) fn hand_out_into(
        &mut self,
        encoder: &mut Encoder,
        bytes_max: usize,
    ) -> HandedOut {
        encoder.lend_buffer(buffer::write_buffer);
        self.deferred.apply(encoder);
        if !self.deferred.is_empty() && !encoder.is_fragmenting() {
            return HandedOut::MoreWaits;
        }
        let queue = Queue::Encoder(encoder);
        publications::hand_out(&mut self.cursors, queue, bytes_max, None)
    }

    /// Before something is sent: queues what was published, so that it is not overtaken.
    #[inline]
    pub(in crate::ws::socket) fn hand_out_before(&mut self) -> Result<(), SendError> {
        if self.cursors.is_empty() {
            return Ok(());
        }
        match self.hand_out_for_others(self.queue_bytes_max) {
            HandedOut::All => Ok(()),
            HandedOut::MoreWaits => Err(SendError::Full),
            HandedOut::TooSlow(_) => Err(SendError::Closed),
        }
    }

    fn hand_out_for_others(&mut self, bytes_max: usize) -> HandedOut {
        self.apply_deferred();
        let queue = match &mut self.encoder {
            Some(encoder) if self.deferred.is_empty() => Queue::Encoder(encoder),
            Some(_) | None => Queue::Deferred(&mut self.deferred),
        };
        let handed_out = publications::hand_out(&mut self.cursors, queue, bytes_max, None);
        self.closed_if_too_slow(handed_out)
    }

    fn closed_if_too_slow(&mut self, handed_out: HandedOut) -> HandedOut {
        if let HandedOut::TooSlow(end) = &handed_out {
            self.close_now(end.clone());
        }
        handed_out
    }

    /// Starts the closing handshake. What was published before goes out first, as far as there is room.
    pub(in crate::ws::socket) fn close(&mut self, frame: CloseFrame) {
        if !self.cursors.is_empty() {
            let _as_far_as_there_is_room = self.hand_out_for_others(WRITE_AT);
        }
        self.close_now(frame);
    }

    fn close_now(&mut self, frame: CloseFrame) {
        self.deferred.close(frame, after(self.close_timeout));
        self.apply_deferred();
    }
}
