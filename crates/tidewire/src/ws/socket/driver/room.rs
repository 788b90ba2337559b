//! The end of a connection whose peer broke no rule of the protocol: the memory it holds has no room, or others need the
//! room, or its message does not go on. And what a connection seldom keeps.
//!
//! In: the outcome of counting. Out: the protocol's end, with a close frame that says why.

use tidewire_proto::ProtocolError;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{super::deferred::DeferredItem, Driver};
use crate::ws::socket::chunks::IncomingChunk;

/// Tells if what a peer makes us hold has room in the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "without room the connection has ended"]
pub(super) enum Room {
    Left,
    None,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Driver<S> {
    /// Ends the connection although its peer broke no rule of the protocol.
    #[cold]
    pub(super) fn give_up(&mut self, error: ProtocolError) {
        if error == ProtocolError::MemoryExhausted {
            // Whatever else is held for this peer is let go of, too.
            self.shared.account().evict();
        }
        if let Some(error) = self.receiver.decoder.give_up(error) {
            self.shared.lock().keep(DeferredItem::Failed(error));
            self.begin_end();
        }
    }

    /// Counts what the peer does not read; ends the connection if there is no room for it, or others need the room.
    #[inline]
    pub(super) fn count_queue(&mut self, bytes: usize) -> Room {
        if self.memory.queue(bytes, &self.shared).is_ok() && !self.shared.is_evicted() {
            return Room::Left;
        }
        self.give_up(ProtocolError::MemoryExhausted);
        Room::None
    }

    /// Keeps a ping or pong for the next receive.
    pub(in crate::ws::socket) fn keep_control(&mut self, control: Option<IncomingChunk>) {
        if control.is_some() {
            self.seldom.get_or_insert_default().control = control;
        }
    }

    /// The ping or pong that was kept.
    #[inline]
    pub(in crate::ws::socket) fn take_control(&mut self) -> Option<IncomingChunk> {
        self.seldom.as_mut()?.control.take()
    }
}
