//! What others want to send while the socket's task has checked the encoder out.
//!
//! In: messages of senders, the server's wish to close. Out: the same, in order, when the encoder is
//! checked in. Invariant: bounded like the send queue; nothing taken is lost while the
//! connection lives.

use std::collections::VecDeque;

use bytes::Bytes;
use tidewire_proto::{
    CloseFrame, Encoder, Event, Kind, Message, Prepared, ProtocolError, SendError,
};
use tokio::time::Instant;

/// Something to send, borrowed.
#[derive(Clone, Copy)]
pub(super) enum SendItem<'a> {
    Message(&'a Message),
    /// A message that must not be compressed.
    Uncompressed(&'a Message),
    Borrowed(Kind, &'a [u8]),
    Prepared(&'a Prepared),
    Ping(&'a [u8]),
    /// The application's answer to a ping.
    Pong(&'a [u8]),
}

impl SendItem<'_> {
    #[inline]
    pub(super) fn queue(self, encoder: &mut Encoder) -> Result<(), SendError> {
        match self {
            Self::Message(message) => encoder.send(message),
            Self::Uncompressed(message) => encoder.send_uncompressed(message),
            Self::Borrowed(kind, payload) => encoder.send_ref(kind, payload),
            Self::Prepared(prepared) => encoder.send_prepared(prepared),
            Self::Ping(payload) => encoder.ping(payload),
            Self::Pong(payload) => encoder.pong(payload),
        }
    }

    /// Returns whether it is no message and need not keep its place among them.
    pub(super) fn is_control(self) -> bool {
        match self {
            Self::Ping(_) | Self::Pong(_) => true,
            Self::Message(_) | Self::Uncompressed(_) | Self::Borrowed(..) | Self::Prepared(_) => {
                false
            }
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Message(message) | Self::Uncompressed(message) => message.payload().len(),
            Self::Borrowed(_, payload) | Self::Ping(payload) | Self::Pong(payload) => payload.len(),
            Self::Prepared(prepared) => prepared.payload().len(),
        }
    }

    fn keep(self) -> DeferredItem {
        match self {
            Self::Message(message) => DeferredItem::Message(message.clone()),
            Self::Uncompressed(message) => DeferredItem::Uncompressed(message.clone()),
            Self::Borrowed(Kind::Binary, payload) => DeferredItem::Message(payload.to_vec().into()),
            Self::Borrowed(Kind::Text, payload) => {
                DeferredItem::Prepared(Prepared::new(Kind::Text, payload))
            }
            Self::Prepared(prepared) => DeferredItem::Prepared(prepared.clone()),
            Self::Ping(payload) => DeferredItem::Ping(payload.into()),
            Self::Pong(payload) => DeferredItem::Pong(payload.into()),
        }
    }
}

/// Something kept for later.
pub(super) enum DeferredItem {
    Message(Message),
    Uncompressed(Message),
    Prepared(Prepared),
    Ping(Box<[u8]>),
    Pong(Box<[u8]>),
    /// Frames of a topic, and how many.
    Publication(Bytes, u64),
    /// A ping of the peer, to be answered.
    Pinged(Box<[u8]>),
    /// The peer's close frame, to be answered.
    Closed(Option<CloseFrame>),
    /// The peer broke a rule.
    Failed(ProtocolError),
    /// Our wish to close.
    Close(CloseFrame),
}

impl DeferredItem {
    /// A control frame that is no message of the application: never held back by one.
    fn is_answer_or_end(&self) -> bool {
        match self {
            Self::Pong(_)
            | Self::Pinged(_)
            | Self::Closed(_)
            | Self::Failed(_)
            | Self::Close(_) => true,
            Self::Message(_)
            | Self::Uncompressed(_)
            | Self::Prepared(_)
            | Self::Ping(_)
            | Self::Publication(..) => false,
        }
    }

    fn queue(&self, encoder: &mut Encoder) -> Result<(), SendError> {
        match self {
            Self::Message(message) => return encoder.send(message),
            Self::Uncompressed(message) => return encoder.send_uncompressed(message),
            Self::Prepared(prepared) => return encoder.send_prepared(prepared),
            Self::Ping(payload) => return encoder.ping(payload),
            Self::Pong(payload) => return encoder.pong(payload),
            Self::Publication(frames, count) => return encoder.send_frames(frames, *count),
            Self::Pinged(payload) => encoder.answer(&Event::Ping(payload)),
            Self::Closed(frame) => encoder.answer(&Event::Close(frame.clone())),
            Self::Failed(error) => encoder.fail(*error),
            Self::Close(frame) => {
                encoder.close(frame.code, &frame.reason, Instant::now().into_std());
            }
        }
        Ok(())
    }
}

/// The queue; most connections never need one.
#[derive(Default)]
pub(super) struct Deferred(Option<Box<Queue>>);

#[derive(Default)]
struct Queue {
    /// With what they cost.
    items: VecDeque<(DeferredItem, usize)>,
    bytes: usize,
    /// The wish to close is among them; it need not wait longer.
    close_deadline: Option<Instant>,
}

impl Queue {
    fn remove(&mut self, at: usize) -> Option<DeferredItem> {
        let (kept, cost) = self.items.remove(at)?;
        self.bytes = self.bytes.saturating_sub(cost);
        Some(kept)
    }

    /// While a message in pieces is under way: takes the first thing that may go in between.
    fn remove_answer_or_end(&mut self) -> Option<DeferredItem> {
        let mut items = self.items.iter();
        let at = items.position(|(kept, _)| kept.is_answer_or_end())?;
        self.remove(at)
    }
}

impl Deferred {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Takes a message, if there is room for it.
    pub(super) fn offer(&mut self, item: SendItem<'_>, bytes_max: usize) -> Result<(), SendError> {
        // A message costs more than its payload to keep.
        let cost = item.len().saturating_add(64);
        let bytes = self.bytes();
        if bytes > 0 && bytes.saturating_add(cost) > bytes_max {
            return Err(SendError::Full);
        }
        self.push(item.keep(), cost);
        Ok(())
    }

    /// Takes frames of a topic; the caller has looked at [`bytes`](Self::bytes) before.
    pub(super) fn publication(&mut self, frames: Bytes, count: u64) {
        let cost = frames.len().saturating_add(64);
        self.push(DeferredItem::Publication(frames, count), cost);
    }

    /// Takes an answer: those are few.
    pub(super) fn keep(&mut self, kept: DeferredItem) {
        self.push(kept, 0);
    }

    /// Takes a wish to close, unless there is one: the first counts. It keeps its place behind the
    /// messages, whose peer must take them until `deadline`.
    pub(super) fn close(&mut self, frame: CloseFrame, deadline: Instant) {
        if self.close_deadline().is_none() {
            self.keep(DeferredItem::Close(frame));
        }
        if let Some(queue) = &mut self.0 {
            queue.close_deadline.get_or_insert(deadline);
        }
    }

    /// Until when a wish to close may wait here.
    #[inline]
    pub(super) fn close_deadline(&self) -> Option<Instant> {
        self.0.as_ref().and_then(|queue| queue.close_deadline)
    }

    /// Returns whether a wish to close waits here.
    pub(super) fn is_closing(&self) -> bool {
        self.close_deadline().is_some()
    }

    fn push(&mut self, kept: DeferredItem, cost: usize) {
        let queue = self.0.get_or_insert_default();
        queue.items.push_back((kept, cost));
        queue.bytes = queue.bytes.saturating_add(cost);
    }

    /// Queues what there is room for. Messages wait for the end of one in pieces; answers and the
    /// end of the connection do not.
    pub(super) fn apply(&mut self, encoder: &mut Encoder) {
        let Some(queue) = &mut self.0 else { return };
        while let Some((first, _)) = queue.items.front() {
            match first.queue(encoder) {
                Err(SendError::Full) => return,
                Err(SendError::InFragments) => {
                    let Some(kept) = queue.remove_answer_or_end() else {
                        return;
                    };
                    kept.queue(encoder).ok(); // such are refused only when the end makes them needless
                    continue;
                }
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(error = %crate::ErrorChain(&error), "a message was not sent");
                }
            }
            queue.remove(0);
        }
        self.0 = None;
    }
}
