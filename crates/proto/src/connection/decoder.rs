//! The receiving half: what the peer sent, event by event.
//!
//! In: bytes as they came, in any cut. Out: at most one [`Event`] per call. Invariants: nothing is
//! handed out after a close frame or a broken rule; nothing is answered here, so that receiving
//! needs no access to what is being sent.

use std::{fmt, sync::Arc};

use super::{
    Event,
    assembler::{Assembler, Wanted},
};
use crate::{
    Config, ControlBucket, DeflateParameters, Kind, MessageRef, ProtocolError, Role,
    deflate::Inflater, frame::WholeMessage, mask,
};

/// The state of the receiving direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Receiving,
    /// The peer's close frame has come.
    Closed,
    Failed(ProtocolError),
}

/// The receiving half of a [`Connection`](super::Connection): decodes, answers nothing.
///
/// Give every event to [`Encoder::answer`](super::Encoder::answer) and every error to
/// [`Encoder::fail`](super::Encoder::fail).
pub struct Decoder {
    role: Role,
    /// No frame or message is under way: the next byte begins a frame.
    between: bool,
    controls: ControlBucket,
    state: State,
    /// Largest message in one frame that the fast way takes.
    len_max: u32,
    /// How many messages have paid for a control frame; wraps around.
    paid: u32,
    config: Arc<Config>,
    assembler: Assembler,
    messages: u64,
    bytes: u64,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("role", &self.role)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    pub(super) fn new(role: Role, config: Arc<Config>) -> Self {
        Self {
            role,
            between: true,
            controls: ControlBucket::default(),
            state: State::Receiving,
            len_max: u32::try_from(config.frame_bytes_max.min(config.message_bytes_max))
                .unwrap_or(u32::MAX),
            paid: 0,
            config,
            assembler: Assembler::default(),
            messages: 0,
            bytes: 0,
        }
    }

    /// Takes compressed messages, as agreed on.
    pub(super) fn deflate(&mut self, agreed: DeflateParameters) {
        let sender = match self.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let config = self.config.deflate.as_ref();
        let inflater = config.map(|config| Inflater::new(agreed, sender, config));
        self.assembler.inflate_with(inflater);
    }

    /// Takes received bytes from the start of `input` (they are unmasked in place); returns
    /// how many were taken and what they completed. `input` must not be empty; call with the
    /// rest until it is. After a close frame or an error all input is taken and ignored.
    ///
    /// What is left of a message whose beginning came as [chunks](Self::receive_chunk) is
    /// skipped.
    ///
    /// # Errors
    /// The peer broke a rule or a limit. Returned again by every later call.
    #[inline]
    pub fn receive<'a>(
        &'a mut self,
        input: &'a mut [u8],
    ) -> (usize, Result<Option<Event<'a>>, ProtocolError>) {
        self.take(input, Wanted::Messages)
    }

    /// The fast way for the usual case: a whole message of one frame, uncompressed, at the
    /// start of `input`, and how many bytes it took. `None` for anything else: then
    /// [`receive`](Self::receive) tells what it is. Borrows nothing of this half.
    #[inline]
    pub fn receive_whole<'a>(&mut self, input: &'a mut [u8]) -> Option<(usize, MessageRef<'a>)> {
        if !self.between {
            self.settle();
            if !self.between {
                return None;
            }
        }
        let found = WholeMessage::find(input, self.role, self.len_max as usize)?;
        let payload = input.get_mut(found.start..found.end)?;
        let ascii = match found.key {
            Some(key) => mask::apply(payload, key, 0),
            None => found.kind == Kind::Binary || payload.is_ascii(),
        };
        if found.kind == Kind::Text && !ascii && mask::is_utf8(payload).is_none() {
            if let Some(key) = found.key {
                mask::apply(payload, key, 0); // as it was, for the one who tells
            }
            return None;
        }
        self.messages = self.messages.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(found.end as u64);
        Some((found.end, MessageRef::whole(found.kind, payload)))
    }

    /// Frees what the last event borrowed, without waiting for the next call; for a connection
    /// that may be idle from now on.
    #[inline]
    pub fn settle(&mut self) {
        if self.state == State::Receiving {
            self.assembler.forget_handed_out();
        } else {
            self.assembler.discard();
        }
        self.between = self.state == State::Receiving && self.assembler.is_between();
    }

    /// As [`receive`](Self::receive), but data comes as it arrives, in
    /// [chunks](Event::Chunk) that are never put together: for messages too large to hold. The
    /// limits on frame, message and fragments do not apply, since nothing is kept; but its empty
    /// fragments may be no more than [`Config::fragments_max`]. What was already put together of a message comes as its first chunk, for which no input is taken.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_chunk<'a>(
        &'a mut self,
        input: &'a mut [u8],
    ) -> (usize, Result<Option<Event<'a>>, ProtocolError>) {
        self.take(input, Wanted::Chunks)
    }

    #[inline]
    fn take<'a>(
        &'a mut self,
        input: &'a mut [u8],
        wanted: Wanted,
    ) -> (usize, Result<Option<Event<'a>>, ProtocolError>) {
        let len = input.len();
        match self.state {
            State::Receiving => {}
            State::Failed(error) => return (len, Err(error)),
            State::Closed => return (len, Ok(None)),
        }
        self.between = false;
        match self.assembler.take(self.role, &self.config, input, wanted) {
            Ok((used, event)) => {
                self.bytes = self.bytes.wrapping_add(used as u64);
                match &event {
                    Some(Event::Message(_)) => self.messages = self.messages.wrapping_add(1),
                    Some(Event::Chunk(chunk)) if chunk.last => {
                        self.messages = self.messages.wrapping_add(1);
                    }
                    Some(Event::Close(_)) => self.state = State::Closed,
                    Some(Event::Chunk(_) | Event::Ping(_) | Event::Pong(_)) | None => {}
                }
                (used, Ok(event))
            }
            Err(error) => {
                self.state = State::Failed(error); // `settle` frees what was kept
                (len, Err(error))
            }
        }
    }

    /// A ping came, or a pong that answers none of ours, at `now_ms` of a clock that never goes back (it may wrap
    /// around): counts it, if this is a server. Each message received pays for one. For the one who drives it, who has the clock and knows which
    /// pongs were asked for.
    ///
    /// # Errors
    /// It is above [`Config::control_rate`]: give the error to [`Encoder::fail`](super::Encoder::fail). Nothing
    /// more is received.
    pub fn count_control(&mut self, now_ms: u32) -> Result<(), ProtocolError> {
        let Some(rate) = self.config.control_rate else {
            return Ok(());
        };
        if self.role == Role::Client || self.is_finished() {
            return Ok(());
        }
        let messages = u32::try_from(self.messages & u64::from(u32::MAX)).unwrap_or(0);
        if self.paid != messages {
            self.paid = self.paid.wrapping_add(1);
            return Ok(());
        }
        if self.controls.take(rate, now_ms) {
            return Ok(());
        }
        let error = ProtocolError::TooManyControls {
            per_second: rate.per_second,
        };
        self.fail(error);
        Err(error)
    }

    /// Payload bytes kept of a message that has begun and not ended, for who has a clock and watches
    /// [`Config::message_timeout`]. `None` between messages, and while one is received in
    /// [chunks](Self::receive_chunk), of which nothing is kept.
    #[inline]
    pub fn unfinished(&self) -> Option<usize> {
        if self.between {
            return None;
        }
        self.assembler.unfinished()
    }

    /// Bytes of memory that are held for a message which has begun and not ended; for who counts the memory of many
    /// connections. 0 for a message that came in one piece.
    #[inline]
    pub fn memory(&self) -> usize {
        if self.between {
            return 0;
        }
        self.assembler.memory()
    }

    /// The connection cannot go on, for a reason that only its driver knows: as if the peer had broken that rule. Whatever was
    /// kept is freed, nothing more is received. Give the error to [`Encoder::fail`](super::Encoder::fail), unless it is
    /// `None`: then it had ended before.
    pub fn give_up(&mut self, error: ProtocolError) -> Option<ProtocolError> {
        if self.is_finished() {
            return None;
        }
        self.fail(error);
        Some(error)
    }

    /// Nothing more is received, and nothing kept.
    fn fail(&mut self, error: ProtocolError) {
        self.state = State::Failed(error);
        self.between = false;
        self.assembler.discard();
    }

    /// Returns whether nothing more is received: a close frame came, or the peer broke a rule.
    pub fn is_finished(&self) -> bool {
        self.state != State::Receiving
    }

    /// The rule the peer broke, if that is why nothing more is received.
    pub fn failure(&self) -> Option<ProtocolError> {
        match self.state {
            State::Failed(error) => Some(error),
            State::Receiving | State::Closed => None,
        }
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The limits in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whole messages received.
    pub fn messages_received(&self) -> u64 {
        self.messages
    }

    /// Bytes received.
    pub fn bytes_received(&self) -> u64 {
        self.bytes
    }
}
