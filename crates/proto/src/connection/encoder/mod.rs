//! The sending half: commands of the application, answers to the peer, deadlines.
//!
//! ```text
//!              send close                  peer's close
//!   Open ───────────────────▶ CloseSent ──────────────▶ Closed
//!    │ peer's close (answered)               ▲             ▲
//!    ├───────────────────────────────────────┼─────────────┤
//!    │ broken rule: close queued, Failed ────┘ sent        │
//!    └── no pong in time / no close in time ───────────────┘
//! ```
//!
//! In: what [`Decoder`](super::Decoder) found, messages, the time. Out: bytes to write.
//! Invariants: control frames are never held back by a message; after a close frame is queued
//! no data follows it.

mod compressed; // what goes through the compressor
mod controls; // pings and pongs
mod keep_alive; // deadlines

use std::{fmt, io::IoSlice, sync::Arc, time::Instant};

use bytes::Bytes;

use self::keep_alive::KeepAlive;
use super::{Event, MaskKeys, transmit::Transmit};
use crate::{
    CloseCode, CloseFrame, Config, Kind, Message, Prepared, ProtocolError, Role, SendError,
    deflate::Deflater, frame::Opcode,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is queued or sent, the peer's has not come.
    CloseSent {
        deadline: Instant,
    },
    /// The peer broke a rule: our close frame is queued, nothing more is read.
    Failed,
    /// Both close frames exist, or the wait for one is over.
    Closed,
}

/// The sending half of a [`Connection`](super::Connection).
pub struct Encoder {
    role: Role,
    state: State,
    /// A message sent in fragments has begun and not ended.
    fragmenting: bool,
    config: Arc<Config>,
    transmit: Transmit,
    mask_keys: Option<Box<dyn MaskKeys>>,
    /// Present when compressed messages were agreed on.
    deflater: Option<Box<Deflater>>,
    /// The newest ping that could not be answered yet, because too much waits to be sent.
    pong_waiting: Option<Box<[u8]>>,
    /// The frame that [`Self::close`] has queued. Boxed: most connections have none.
    close_started: Option<Box<CloseFrame>>,
    keep_alive: KeepAlive,
    pings: u32,
    messages: u64,
    bytes: u64,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("queued", &self.transmit.len())
            .finish_non_exhaustive()
    }
}

/// Commands of the application.
impl Encoder {
    pub(super) fn new(
        role: Role,
        config: Arc<Config>,
        mask_keys: Option<Box<dyn MaskKeys>>,
        now: Instant,
    ) -> Self {
        Self {
            role,
            state: State::Open,
            fragmenting: false,
            config,
            transmit: Transmit::default(),
            mask_keys,
            deflater: None,
            pong_waiting: None,
            close_started: None,
            keep_alive: KeepAlive::Quiet { since: now },
            pings: 0,
            messages: 0,
            bytes: 0,
        }
    }

    /// Queues a message; compressed, when that was agreed on and makes it smaller.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`], [`SendError::InFragments`]; the message is not
    /// queued.
    #[inline]
    pub fn send(&mut self, message: &Message) -> Result<(), SendError> {
        if self.deflater.is_some() && self.compressed(message.kind(), message.payload())? {
            return Ok(());
        }
        self.send_uncompressed(message)
    }

    /// Queues a message as it is: for one that holds a secret next to text that others choose,
    /// which compression would leak by its size.
    ///
    /// # Errors
    /// As [`Self::send`].
    #[inline]
    pub fn send_uncompressed(&mut self, message: &Message) -> Result<(), SendError> {
        let payload = message.payload();
        if self.role == Role::Client || payload.len() > self.config.send_frame_bytes_max {
            return self.plain(message.kind(), payload);
        }
        self.room_for_message(payload.len())?;
        self.transmit.shared(opcode_of(message.kind()), payload);
        self.messages = self.messages.wrapping_add(1);
        Ok(())
    }

    /// Queues a borrowed message, copying it.
    ///
    /// # Errors
    /// As [`Self::send`].
    #[inline]
    pub fn send_ref(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        if self.deflater.is_some() && self.compressed(kind, payload)? {
            return Ok(());
        }
        self.plain(kind, payload)
    }

    /// Queues a message that was encoded once for many connections; compressed, when it was
    /// [prepared so](Prepared::compress) and the peer can take it. A client encodes it anew, since
    /// it must mask with a fresh key.
    ///
    /// # Errors
    /// As [`Self::send`].
    #[inline]
    pub fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        if self.deflater.is_some() && self.prepared_compressed(prepared)? {
            return Ok(());
        }
        let len = prepared.payload().len();
        if self.role == Role::Client || len > self.config.send_frame_bytes_max {
            return self.plain(prepared.kind(), prepared.payload());
        }
        self.room_for_message(len)?;
        self.transmit.prepared(prepared);
        self.messages = self.messages.wrapping_add(1);
        Ok(())
    }

    /// Queues whole frames that were encoded once for many connections of servers, `count`
    /// messages in all. They are never refused as too many: the caller looks at
    /// [`Self::queued`] before.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::InFragments`]; [`SendError::NotMasked`] for a client, which
    /// has to mask.
    pub fn send_frames(&mut self, frames: &Bytes, count: u64) -> Result<(), SendError> {
        if self.role == Role::Client {
            return Err(SendError::NotMasked);
        }
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        if self.fragmenting {
            return Err(SendError::InFragments);
        }
        self.transmit.frames(frames);
        self.messages = self.messages.wrapping_add(count);
        Ok(())
    }

    /// Queues a part of a message as one frame (RFC 6455 section 5.4); `last` ends the message.
    /// `kind` counts with the first part. Until the last part, other messages are refused;
    /// pings and pongs go in between. When compression was agreed on, it decides by the first
    /// part whether the message is compressed.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]; the part is not queued.
    pub fn send_fragment(
        &mut self,
        kind: Kind,
        payload: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        self.room_for(payload.len())?;
        let opcode = if self.fragmenting {
            Opcode::Continuation
        } else {
            opcode_of(kind)
        };
        let key = self.key();
        self.fragment(opcode, payload, last, key);
        self.fragmenting = !last;
        self.messages = self.messages.wrapping_add(u64::from(last));
        Ok(())
    }

    /// Starts the closing handshake; does nothing when it has started already. A code that
    /// must not be on the wire sends a close frame without code.
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Instant) {
        if self.state != State::Open {
            return;
        }
        let frame = CloseFrame::new(code, reason);
        let body = if code.is_valid_on_wire() {
            frame.encode()
        } else {
            Vec::new()
        };
        self.close_frame(&body);
        self.close_started = Some(Box::new(frame));
        self.state = State::CloseSent {
            deadline: after(now, self.config.close_timeout),
        };
    }

    #[inline]
    fn plain(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.room_for_message(payload.len())?;
        if payload.len() <= self.config.send_frame_bytes_max {
            let key = self.key();
            self.transmit.frame(true, opcode_of(kind), payload, key);
        } else {
            self.in_fragments(kind, payload);
        }
        self.messages = self.messages.wrapping_add(1);
        Ok(())
    }

    fn in_fragments(&mut self, kind: Kind, payload: &[u8]) {
        let parts = payload.chunks(self.config.send_frame_bytes_max.max(1));
        let last = parts.len().saturating_sub(1);
        for (number, part) in parts.enumerate() {
            let opcode = if number == 0 {
                opcode_of(kind)
            } else {
                Opcode::Continuation
            };
            let key = self.key();
            self.transmit.frame(number == last, opcode, part, key);
        }
    }

    #[inline]
    fn room_for_message(&self, len: usize) -> Result<(), SendError> {
        self.room_for(len)?;
        if self.fragmenting {
            return Err(SendError::InFragments);
        }
        Ok(())
    }

    #[inline]
    fn room_for(&self, len: usize) -> Result<(), SendError> {
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        let queued = self.transmit.len();
        if queued > 0 && queued.saturating_add(len) > self.config.send_queue_bytes_max {
            return Err(SendError::Full);
        }
        Ok(())
    }

    #[inline]
    fn key(&mut self) -> Option<[u8; 4]> {
        self.mask_keys.as_mut().map(|keys| keys.next_key())
    }
}

/// Inputs from outside.
impl Encoder {
    /// Answers what was received: a ping with its pong, unless [`Config::answer_pings`] leaves that to the
    /// application; a close frame with ours.
    #[inline]
    pub fn answer(&mut self, event: &Event<'_>) {
        match event {
            Event::Ping(body) if self.config.answer_pings => self.answer_ping(body),
            Event::Ping(_) | Event::Message(_) | Event::Chunk(_) | Event::Pong(_) => {}
            Event::Close(frame) => self.answer_close(frame.as_ref()),
        }
    }

    //= rfc6455#7.1.7: fail the connection: send an appropriate close frame, then close
    /// The peer broke a rule: queues the close frame that tells which.
    pub fn fail(&mut self, error: ProtocolError) {
        if self.state == State::Open {
            let body = CloseFrame::new(error.close_code(), error.to_string()).encode();
            self.close_frame(&body);
        }
        if self.state != State::Closed {
            self.state = State::Failed;
        }
    }

    //= rfc6455#5.5.1: answer a close frame with one, echoing the code
    fn answer_close(&mut self, frame: Option<&CloseFrame>) {
        if self.state == State::Open {
            let code = frame.map(|frame| frame.code.0.to_be_bytes());
            self.close_frame(code.as_ref().map_or(&[][..], |code| &code[..]));
        }
        self.state = State::Closed;
    }

    fn close_frame(&mut self, body: &[u8]) {
        self.pong_waiting = None;
        let key = self.key();
        self.transmit.frame(true, Opcode::Close, body, key);
    }
}

/// Results.
impl Encoder {
    /// Fills `parts` with the bytes to write next, oldest first; returns how many parts were
    /// set. Report what was written with [`Self::transmitted`].
    #[inline]
    pub fn poll_transmit<'a>(&'a self, parts: &mut [IoSlice<'a>]) -> usize {
        self.transmit.parts(parts)
    }

    /// `count` bytes of [`Self::poll_transmit`] were written.
    #[inline]
    pub fn transmitted(&mut self, count: usize) {
        self.bytes = self.bytes.wrapping_add(count as u64);
        self.transmit.advance(count);
        if self.transmit.len() <= self.config.control_queue_bytes_max
            && let Some(body) = self.pong_waiting.take()
        {
            let key = self.key();
            self.transmit.frame(true, Opcode::Pong, &body, key);
        }
    }

    /// Gives the queue a buffer to encode into, if it has none. Its content is cleared.
    #[inline]
    pub fn lend_buffer(&mut self, lend: impl FnOnce() -> Vec<u8>) {
        self.transmit.lend_buffer(lend);
    }

    /// Takes the buffer of an empty queue, so that it can serve another connection and an idle
    /// connection owns none. `None` while something is queued, or when there is no buffer.
    #[inline]
    pub fn reclaim_buffer(&mut self) -> Option<Vec<u8>> {
        self.transmit.reclaim_buffer()
    }

    /// Returns whether compressed messages were agreed on for this direction (RFC 7692).
    pub fn is_compressing(&self) -> bool {
        self.deflater.is_some()
    }

    /// Bytes waiting to be written.
    #[inline]
    pub fn queued(&self) -> usize {
        self.transmit.len()
    }

    /// Bytes of memory held for what waits to be written, for who counts the memory of many connections. Whatever is
    /// [published to many](Self::send_frames) by reference is not this connection's. Looks at every queued part.
    pub fn memory(&self) -> usize {
        self.transmit.memory()
    }

    /// Returns whether a message sent in fragments has not ended.
    #[inline]
    pub fn is_fragmenting(&self) -> bool {
        self.fragmenting
    }

    /// The close frame by which this end began the closing handshake; `None` while it has not, and
    /// when the peer was first. The peer's close frame then is the answer to it, unless both
    /// ends began at the same time.
    pub fn started_close(&self) -> Option<&CloseFrame> {
        self.close_started.as_deref()
    }

    /// Returns whether messages can still be sent.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Returns whether the protocol is through: when nothing is queued any more, drop the socket (the
    /// server first, RFC 6455 section 7.1.1).
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Closed | State::Failed)
    }

    /// Which end this is.
    #[inline]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The limits in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Messages queued for sending.
    pub fn messages_sent(&self) -> u64 {
        self.messages
    }

    /// Pings queued for sending, ours and the application's; wraps around.
    pub fn pings_sent(&self) -> u32 {
        self.pings
    }

    /// Bytes confirmed by [`Self::transmitted`].
    pub fn bytes_sent(&self) -> u64 {
        self.bytes
    }
}

const fn opcode_of(kind: Kind) -> Opcode {
    match kind {
        Kind::Text => Opcode::Text,
        Kind::Binary => Opcode::Binary,
    }
}

/// A deadline; a duration past the end of time never comes.
fn after(from: Instant, wait: std::time::Duration) -> Instant {
    const FAR: std::time::Duration = std::time::Duration::from_hours(8760);
    from.checked_add(wait)
        .or_else(|| from.checked_add(FAR))
        .unwrap_or(from)
}
