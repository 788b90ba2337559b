//! Broadcast: what is published once is sent on any number of connections.
//!
//! In: messages. Out: for every member the same frames, encoded once and sent by reference, see
//! [`broadcast`](crate::broadcast).
//!
//! Invariant: a member sees every publication since it joined, in order (also with what is sent to
//! it, see `socket::publications`), or is closed, or skips what it missed.

use std::{fmt, sync::Arc, task::Waker};

use bytes::{Bytes, BytesMut};
use tidewire_proto::{CloseCode, CloseFrame, Kind, Prepared};

use crate::broadcast::{self, Behind, Broadcast};

/// Bounds of a topic.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopicConfig {
    /// Most bytes kept for members that are behind; a member for which more would have to be
    /// kept is too slow. Default 1 MiB, for the whole topic.
    pub backlog_bytes_max: usize,
    /// The treatment of a member that is too slow. Default: its connection is closed with 1013.
    pub too_slow: TooSlow,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            backlog_bytes_max: 1 << 20,
            too_slow: TooSlow::Close(CloseFrame::new(
                CloseCode::TRY_AGAIN_LATER,
                "too slow for what is published",
            )),
        }
    }
}

/// The answer to a member that does not take what is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TooSlow {
    /// Close its connection with this frame.
    Close(CloseFrame),
    /// Skip what it missed; it goes on with the oldest publication still kept.
    Skip,
}

/// Many connections that are sent the same.
///
/// A socket [joins](super::WebSocket::join) and is sent what is published from then on, while it is
/// received from. Clones are the same topic. Only for servers: clients would have to mask.
///
/// # Order
/// A member sees what one task publishes and sends to it in that order, whichever handle of the
/// connection it sends by: a message goes behind everything that was published before, and its
/// close frame too, as far as there is room. So a message to a slow member can be refused with
/// [`SendError::Full`](super::SendError::Full), or wait, because of publications. Pings and pongs keep no
/// order with publications, nor do two tasks that do not wait for one another.
#[derive(Clone)]
pub struct Topic {
    broadcast: Broadcast,
    too_slow: Arc<TooSlow>,
}

impl Default for Topic {
    fn default() -> Self {
        Self::new(TopicConfig::default())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("members", &self.members())
            .finish_non_exhaustive()
    }
}

impl Topic {
    /// A topic with bounds of its own.
    pub fn new(config: TopicConfig) -> Self {
        let behind = match config.too_slow {
            TooSlow::Close(_) => Behind::Missed,
            TooSlow::Skip => Behind::Skip,
        };
        Self {
            broadcast: Broadcast::new(config.backlog_bytes_max, behind),
            too_slow: Arc::new(config.too_slow),
        }
    }

    /// Sends a text message to every member.
    pub fn publish_text(&self, text: &str) {
        self.publish_with(None, |open| {
            Prepared::append(open, Kind::Text, text.as_bytes());
        });
    }

    /// Sends a binary message to every member.
    pub fn publish_binary(&self, bytes: &[u8]) {
        self.publish_with(None, |open| Prepared::append(open, Kind::Binary, bytes));
    }

    /// Sends a ping of at most 125 bytes to every member; a longer one is cut.
    pub fn publish_ping(&self, payload: &[u8]) {
        self.publish_with(None, |open| Prepared::append_ping(open, payload));
    }

    /// Sends a prepared message to every member.
    pub fn publish(&self, message: &Prepared) {
        self.publish_with(None, |open| open.extend_from_slice(message.frame()));
    }

    /// Sends a prepared message to every member except this one, usually its author.
    pub fn publish_except(&self, message: &Prepared, member: &Membership) {
        let except = member.is_of(self).then_some(member.number);
        self.publish_with(except, |open| open.extend_from_slice(message.frame()));
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.broadcast.members()
    }

    fn publish_with(&self, except: Option<usize>, encode: impl FnOnce(&mut BytesMut)) {
        self.broadcast.publish(except, encode);
    }

    /// A new member, from now on: its name, and where it is in what is published.
    pub(super) fn join(&self) -> (Membership, Cursor) {
        // Before, so that what is published meanwhile is news.
        let published = self.broadcast.published();
        let cursor = self.broadcast.join();
        let membership = Membership {
            topic: self.clone(),
            number: cursor.number(),
            handed_out: published,
        };
        let cursor = Cursor {
            cursor,
            too_slow: Arc::clone(&self.too_slow),
        };
        (membership, cursor)
    }
}

/// A socket's place in a topic, to publish to everybody else in it.
pub struct Membership {
    topic: Topic,
    number: usize,
    /// How many publications there were when all of them had been queued.
    handed_out: u64,
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Membership {
    /// The topic it is a place in.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn is_of(&self, topic: &Topic) -> bool {
        self.topic.broadcast.is(&topic.broadcast)
    }

    /// Returns whether something was published since [`Self::catch_up`]; without a lock, for every message
    /// that a member sends.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.topic.broadcast.published() != self.handed_out
    }

    /// All that is published now is about to be queued.
    pub(super) fn catch_up(&mut self) {
        self.handed_out = self.topic.broadcast.published();
    }

    /// Not all of it could be queued.
    pub(super) fn fall_back(&mut self) {
        self.handed_out = self.handed_out.wrapping_sub(1);
    }
}

/// How far a member has taken what is published; dropping it leaves the topic.
pub(super) struct Cursor {
    cursor: broadcast::Cursor,
    too_slow: Arc<TooSlow>,
}

/// The next thing for a member.
pub(super) enum NextSegment {
    /// There is nothing new.
    Nothing,
    /// Whole frames, and how many.
    Frames(Bytes, u64),
    /// It missed something, and its connection is to be closed for that.
    TooSlow(CloseFrame),
}

impl Cursor {
    pub(super) fn is_of(&self, topic: &Topic) -> bool {
        self.cursor.is_of(&topic.broadcast)
    }

    /// Another task waits from now on.
    pub(super) fn forget_task(&mut self) {
        self.cursor.forget_task();
    }

    /// As [`broadcast::Cursor::take_next`].
    pub(super) fn take_next(&mut self, waker: Option<&Waker>) -> NextSegment {
        match self.cursor.take_next(waker) {
            broadcast::NextSegment::Nothing => NextSegment::Nothing,
            broadcast::NextSegment::Messages(frames, count) => NextSegment::Frames(frames, count),
            broadcast::NextSegment::Missed => match &*self.too_slow {
                TooSlow::Close(frame) => NextSegment::TooSlow(frame.clone()),
                TooSlow::Skip => NextSegment::Nothing, // a log that skips never says so
            },
        }
    }
}
