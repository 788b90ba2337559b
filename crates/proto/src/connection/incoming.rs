//! The receiving half: what the peer sent, event by event.
//!
//! In: bytes as they came, in any cut. Out: at most one [`Event`] per call. Invariants: nothing is
//! handed out after a close frame or a broken rule; nothing is answered here, so that receiving
//! needs no access to what is being sent.

use std::{fmt, sync::Arc};

use super::{
    Event,
    decode::{Decoder, Wanted},
};
use crate::{Config, DeflateParameters, ProtocolError, Role, deflate::Inflater};

/// Whether anything is still received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Receiving,
    /// The peer's close frame has come.
    Closed,
    Failed(ProtocolError),
}

/// The receiving half of a [`Connection`](super::Connection): decodes, answers nothing.
///
/// Give every event to [`Outgoing::answer`](super::Outgoing::answer) and every error to
/// [`Outgoing::fail`](super::Outgoing::fail).
pub struct Incoming {
    role: Role,
    state: State,
    config: Arc<Config>,
    decoder: Decoder,
    messages: u64,
    bytes: u64,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("role", &self.role)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Incoming {
    pub(super) fn new(role: Role, config: Arc<Config>) -> Self {
        Self {
            role,
            state: State::Receiving,
            config,
            decoder: Decoder::default(),
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
        self.decoder.inflate_with(inflater);
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

    /// As [`receive`](Self::receive), but data comes as it arrives, in
    /// [chunks](Event::Chunk) that are never put together: for messages too large to hold. The
    /// limits on frame, message and fragments do not apply, since nothing is kept. What was
    /// already put together of a message comes as its first chunk, for which no input is taken.
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
        match self.decoder.take(self.role, &self.config, input, wanted) {
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
                self.state = State::Failed(error);
                (len, Err(error))
            }
        }
    }

    /// Whether `input`, which has been read and not yet received, completes at least one
    /// message: then a driver may wait with writing until that has been answered too (one write
    /// per batch).
    #[inline]
    pub fn completes_message(&self, input: &[u8]) -> bool {
        self.decoder.completes_message(self.role, input)
    }

    /// Whether nothing more is received: a close frame came, or the peer broke a rule.
    pub fn is_finished(&self) -> bool {
        self.state != State::Receiving
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
