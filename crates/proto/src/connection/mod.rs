//! One WebSocket connection after the handshake, as a state machine without I/O.
//!
//! Two halves that share nothing: [`Decoder`] decodes what the peer sends, [`Encoder`] encodes
//! what is sent to it, answers it and keeps the deadlines. A driver with one owner uses them
//! through [`Connection`]; one that reads and writes from different places takes them apart with
//! [`Connection::split`] and hands every event over: `encoder.answer(&event)`.
//!
//! Invariants: text handed out is valid; control frames are never held back by a message;
//! after a close frame is queued no data follows it; after [`Connection::is_finished`] only
//! the socket remains to be dropped.

mod assembler; // bytes → frames, messages, chunks
mod decoder; // what the peer sent, until it closes or breaks a rule
mod transmit; // frames → bytes to write
mod encoder; // commands, answers, deadlines

use std::{fmt, io::IoSlice, ops::AddAssign, sync::Arc, time::Instant};

pub use self::{decoder::Decoder, encoder::Encoder};
use crate::{
    CloseCode, CloseFrame, Config, DeflateParameters, Kind, Message, MessageRef, Prepared,
    ProtocolError, Role, SendError,
};

/// Where a client's masking keys come from: unpredictable bytes, fresh for every frame
/// (RFC 6455 sections 5.3 and 10.3).
pub trait MaskKeys: Send {
    /// Four bytes of strong entropy.
    fn next_key(&mut self) -> [u8; 4];
}

/// The state of the peer, as far as deadlines tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the socket of a peer that is given up is to be dropped"]
pub enum PeerState {
    /// It may still be there.
    Alive,
    /// It sent no pong, or no close frame, in time: write once what is queued, without waiting, and
    /// drop the socket.
    GivenUp,
}

/// Something that came from the peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A whole message.
    Message(MessageRef<'a>),
    /// A piece of a message, only from [`Decoder::receive_chunk`].
    Chunk(Chunk<'a>),
    /// A ping, to be answered by [`Encoder::answer`].
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer's close frame, to be answered by [`Encoder::answer`]. Nothing is received
    /// after it.
    Close(Option<CloseFrame>),
}

/// A piece of a message that is not put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Text or binary.
    pub kind: Kind,
    /// The next payload bytes. Text is checked so far, but may be cut within a character.
    pub data: &'a [u8],
    /// True if the message ends here.
    pub last: bool,
}

/// Counters of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages received.
    pub messages_received: u64,
    /// Messages queued for sending.
    pub messages_sent: u64,
    /// Bytes given to [`Connection::receive`].
    pub bytes_received: u64,
    /// Bytes confirmed by [`Connection::transmitted`].
    pub bytes_sent: u64,
}

impl AddAssign for Stats {
    fn add_assign(&mut self, more: Self) {
        self.messages_received = self.messages_received.wrapping_add(more.messages_received);
        self.messages_sent = self.messages_sent.wrapping_add(more.messages_sent);
        self.bytes_received = self.bytes_received.wrapping_add(more.bytes_received);
        self.bytes_sent = self.bytes_sent.wrapping_add(more.bytes_sent);
    }
}

impl Stats {
    /// The counters of both halves.
    pub fn of(decoder: &Decoder, encoder: &Encoder) -> Self {
        Self {
            messages_received: decoder.messages_received(),
            messages_sent: encoder.messages_sent(),
            bytes_received: decoder.bytes_received(),
            bytes_sent: encoder.bytes_sent(),
        }
    }
}

/// One end of a WebSocket connection (RFC 6455 sections 5 to 8).
///
/// Inputs are [`receive`](Self::receive), [`handle_activity`](Self::handle_activity) and
/// [`handle_timeout`](Self::handle_timeout); commands are [`send`](Self::send),
/// [`send_prepared`](Self::send_prepared), [`ping`](Self::ping) and [`close`](Self::close);
/// results are the returned events, [`poll_transmit`](Self::poll_transmit) and
/// [`poll_timeout`](Self::poll_timeout). After any input or command: write what
/// `poll_transmit` gives, then look at `poll_timeout`. Extra calls do nothing.
pub struct Connection {
    decoder: Decoder,
    encoder: Encoder,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("decoder", &self.decoder)
            .field("encoder", &self.encoder)
            .finish()
    }
}

impl Connection {
    /// A server's end, right after the handshake.
    pub fn server(config: Arc<Config>, now: Instant) -> Self {
        Self::new(Role::Server, config, None, now)
    }

    /// A client's end, right after the handshake.
    pub fn client(config: Arc<Config>, mask_keys: Box<dyn MaskKeys>, now: Instant) -> Self {
        Self::new(Role::Client, config, Some(mask_keys), now)
    }

    fn new(
        role: Role,
        config: Arc<Config>,
        mask_keys: Option<Box<dyn MaskKeys>>,
        now: Instant,
    ) -> Self {
        Self {
            decoder: Decoder::new(role, Arc::clone(&config)),
            encoder: Encoder::new(role, config, mask_keys, now),
        }
    }

    /// With the compression that the handshake agreed on; needs the same [`Config::deflate`] as
    /// there. To be called before anything else.
    #[must_use]
    pub fn with_deflate(mut self, agreed: Option<DeflateParameters>) -> Self {
        if let Some(agreed) = agreed {
            self.decoder.deflate(agreed);
            self.encoder.deflate(agreed);
        }
        self
    }

    /// The two halves, to be driven apart.
    pub fn split(self) -> (Decoder, Encoder) {
        (self.decoder, self.encoder)
    }

    /// Both halves at once: while an event borrows the receiving one, the sending one can be
    /// used, so that a message is answered without being copied.
    pub fn halves(&mut self) -> (&mut Decoder, &mut Encoder) {
        (&mut self.decoder, &mut self.encoder)
    }

    /// Takes received bytes from the start of `input` (they are unmasked in place); returns
    /// how many were taken and what they completed. Pings and close frames are answered.
    /// `input` must not be empty; call with the rest until it is. After a close frame or an
    /// error all input is taken and ignored.
    ///
    /// # Errors
    /// The peer broke a rule or a limit: the close frame is queued. Returned again by every
    /// later call.
    #[inline]
    pub fn receive<'a>(
        &'a mut self,
        input: &'a mut [u8],
    ) -> (usize, Result<Option<Event<'a>>, ProtocolError>) {
        let (used, event) = self.decoder.receive(input);
        match &event {
            Ok(Some(event)) => self.encoder.answer(event),
            Ok(None) => {}
            Err(error) => self.encoder.fail(*error),
        }
        (used, event)
    }

    /// See [`Encoder::handle_activity`].
    #[inline]
    pub fn handle_activity(&mut self, now: Instant) {
        self.encoder.handle_activity(now);
    }

    /// See [`Encoder::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) -> PeerState {
        self.encoder.handle_timeout(now)
    }

    /// See [`Encoder::poll_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.encoder.poll_timeout()
    }

    /// See [`Encoder::send`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send(&mut self, message: &Message) -> Result<(), SendError> {
        self.encoder.send(message)
    }

    /// See [`Encoder::send_uncompressed`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send_uncompressed(&mut self, message: &Message) -> Result<(), SendError> {
        self.encoder.send_uncompressed(message)
    }

    /// See [`Encoder::send_ref`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send_ref(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.encoder.send_ref(kind, payload)
    }

    /// See [`Encoder::send_prepared`].
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        self.encoder.send_prepared(prepared)
    }

    /// See [`Encoder::send_fragment`].
    ///
    /// # Errors
    /// As there.
    pub fn send_fragment(
        &mut self,
        kind: Kind,
        payload: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        self.encoder.send_fragment(kind, payload, last)
    }

    /// See [`Encoder::ping`].
    ///
    /// # Errors
    /// As there.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.encoder.ping(payload)
    }

    /// See [`Encoder::close`].
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Instant) {
        self.encoder.close(code, reason, now);
    }

    /// See [`Encoder::poll_transmit`].
    #[inline]
    pub fn poll_transmit<'a>(&'a self, parts: &mut [IoSlice<'a>]) -> usize {
        self.encoder.poll_transmit(parts)
    }

    /// See [`Encoder::transmitted`].
    #[inline]
    pub fn transmitted(&mut self, count: usize) {
        self.encoder.transmitted(count);
    }

    /// See [`Encoder::queued`].
    #[inline]
    pub fn queued(&self) -> usize {
        self.encoder.queued()
    }

    /// See [`Encoder::is_open`].
    pub fn is_open(&self) -> bool {
        self.encoder.is_open()
    }

    /// See [`Encoder::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.encoder.is_finished()
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.decoder, &self.encoder)
    }
}

#[cfg(test)]
mod tests;
