//! Messages on their way out, over as many connections as it takes.
//!
//! In: the application's messages. Out: each to the connection of the moment, and forgotten once
//! it counts as delivered. Invariants: bounded in messages and bytes, those under way included;
//! messages leave in order; a message under way when a connection ends is first in the next one.

use std::{collections::VecDeque, fmt, pin::pin, sync::Arc};

use tidewire_proto::Message;
use tokio::sync::Notify;

use crate::queue::Bounds;
use crate::sync::Mutex;

/// How much may wait to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxLimits {
    /// Most messages. Default 1024.
    pub messages_max: usize,
    /// Most payload bytes; an empty outbox takes one message of any size. Default 1 MiB.
    pub bytes_max: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            messages_max: 1024,
            bytes_max: 1 << 20,
        }
    }
}

impl OutboxLimits {
    /// Limits in messages and in payload bytes.
    pub fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            messages_max,
            bytes_max,
        }
    }
}

/// What is promised for a message that was taken into the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// A message leaves the outbox when its last byte has been given to the system (with TLS: to
    /// the TLS layer). The peer never gets it twice; when the connection breaks, what the system
    /// had taken and the peer had not read is lost. A message of which only a part was taken
    /// cannot have arrived and is sent again.
    #[default]
    AtMostOnce,
    /// A message leaves the outbox when a ping sent behind it was answered: the peer's WebSocket
    /// has read it (whether its application did, only an answer of the application could tell).
    /// Nothing is lost while this client lives; when the connection breaks, what was not yet
    /// confirmed is sent again, and the peer may get it twice. Costs a ping and a pong per round
    /// trip, while there is something to confirm.
    AtLeastOnce,
}

/// A message was not taken into the outbox; it is given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// Only from `try_send`: there is no room.
    #[error("the outbox is full")]
    Full(Message),
    /// The client was closed or dropped, or has given up.
    #[error("the client has ended")]
    Ended(Message),
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    /// For each of the first messages, those under way: the connection's byte count at its end.
    ends: VecDeque<u64>,
    closed: bool,
}

pub(super) struct Outbox {
    bounds: Bounds,
    state: Mutex<State>,
    changed: Notify,
}

impl Outbox {
    pub(super) fn new(limits: OutboxLimits) -> Self {
        Self {
            bounds: Bounds {
                items_max: limits.messages_max,
                bytes_max: limits.bytes_max,
            },
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn try_push(&self, message: Message) -> Result<(), OutboxError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(OutboxError::Ended(message));
        }
        let len = message.payload().len();
        if !self.bounds.admit(state.messages.len(), state.bytes, len) {
            return Err(OutboxError::Full(message));
        }
        state.bytes += len;
        state.messages.push_back(message);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Waits for a message that is not under way. Cancel safe: nothing is taken.
    pub(super) async fn next(&self) -> Message {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable(); // before the look, so that no change is missed
            {
                let state = self.state.lock();
                if let Some(message) = state.messages.get(state.ends.len()) {
                    return message.clone();
                }
            }
            changed.await;
        }
    }

    /// The next message is under way, and ends at this byte of the connection.
    pub(super) fn is_under_way(&self, end: u64) {
        self.state.lock().ends.push_back(end);
    }

    /// Forgets what ends up to this byte of the connection.
    pub(super) fn delivered(&self, until: u64) {
        let mut state = self.state.lock();
        let mut some = false;
        while state.ends.front().is_some_and(|end| *end <= until) {
            state.ends.pop_front();
            let message = state.messages.pop_front().expect("each end has a message");
            state.bytes -= message.payload().len();
            some = true;
        }
        drop(state);
        if some {
            self.changed.notify_waiters();
        }
    }

    /// The connection is over: what was under way is to be sent again.
    pub(super) fn interrupted(&self) {
        self.state.lock().ends.clear();
        self.changed.notify_waiters();
    }

    /// The end of the last message under way.
    pub(super) fn last_end(&self) -> Option<u64> {
        self.state.lock().ends.back().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().messages.is_empty()
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_waiters();
    }

    /// Takes nothing more and gives what is left.
    pub(super) fn end(&self) -> Vec<Message> {
        let mut state = self.state.lock();
        state.closed = true;
        state.ends.clear();
        state.bytes = 0;
        let left = state.messages.drain(..).collect();
        drop(state);
        self.changed.notify_waiters();
        left
    }
}

/// Puts messages into the outbox of a [`Reconnecting`](super::Reconnecting) client, whether it is
/// connected or not. Clones share the outbox.
#[derive(Clone)]
pub struct OutboxSender {
    pub(super) outbox: Arc<Outbox>,
}

impl fmt::Debug for OutboxSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxSender")
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}

impl OutboxSender {
    /// Queues a message; waits while the outbox is full.
    ///
    /// # Errors
    /// [`OutboxError::Ended`]; the message is in it.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, the message was not queued.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), OutboxError> {
        let mut message = message.into();
        loop {
            let mut changed = pin!(self.outbox.changed.notified());
            changed.as_mut().enable();
            match self.outbox.try_push(message) {
                Err(OutboxError::Full(back)) => message = back,
                done => return done,
            }
            changed.await;
        }
    }

    /// Queues a message if there is room, without waiting.
    ///
    /// # Errors
    /// [`OutboxError`]; the message is in it.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), OutboxError> {
        self.outbox.try_push(message.into())
    }

    /// Waits until everything queued so far and meanwhile is delivered, as promised by
    /// [`Delivery`]; over reconnects, if need be. False when the client ended before.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn delivered(&self) -> bool {
        loop {
            let mut changed = pin!(self.outbox.changed.notified());
            changed.as_mut().enable();
            {
                let state = self.outbox.state.lock();
                if state.closed {
                    return false;
                }
                if state.messages.is_empty() {
                    return true;
                }
            }
            changed.await;
        }
    }

    /// Messages in the outbox, those under way included.
    pub fn queued(&self) -> usize {
        self.outbox.state.lock().messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(messages: &[Message]) -> Vec<&str> {
        messages.iter().filter_map(Message::as_text).collect()
    }

    #[tokio::test]
    async fn what_was_under_way_is_first_again_after_an_interruption() {
        let outbox = Arc::new(Outbox::new(OutboxLimits::default()));
        let sender = OutboxSender {
            outbox: Arc::clone(&outbox),
        };
        for text in ["a", "b", "c"] {
            sender.try_send(text).unwrap();
        }
        for end in [10, 20] {
            outbox.next().await;
            outbox.is_under_way(end);
        }
        outbox.delivered(19);
        assert_eq!(outbox.next().await.as_text(), Some("c"));
        outbox.interrupted();
        assert_eq!(outbox.next().await.as_text(), Some("b"));
        assert_eq!(texts(&outbox.end()), ["b", "c"]);
        assert!(matches!(sender.try_send("d"), Err(OutboxError::Ended(_))));
    }

    #[tokio::test]
    async fn room_counts_what_is_under_way() {
        let outbox = Arc::new(Outbox::new(OutboxLimits::new(9, 4)));
        let sender = OutboxSender {
            outbox: Arc::clone(&outbox),
        };
        sender.try_send("abcd").unwrap();
        outbox.next().await;
        outbox.is_under_way(6);
        assert!(matches!(sender.try_send("e"), Err(OutboxError::Full(_))));
        outbox.delivered(6);
        sender.try_send("e").unwrap();
        assert_eq!(sender.queued(), 1);
    }
}
