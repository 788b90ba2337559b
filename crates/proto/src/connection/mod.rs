//! One WebSocket connection after the handshake, as a state machine without I/O.
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
//! Invariants: text handed out is valid; control frames are never held back by a message;
//! after a close frame is queued no data follows it; after [`Connection::is_finished`] only
//! the socket remains to be dropped.

mod receive; // bytes → frames and messages
mod transmit; // frames → bytes to write

use std::{fmt, io::IoSlice, sync::Arc, time::Instant};

use self::{
    receive::{Received, Receiver},
    transmit::Transmit,
};
use crate::{
    CloseCode, CloseFrame, Config, Kind, Message, MessageRef, Prepared, ProtocolError, Role,
    SendError, frame::Opcode,
};

/// Where a client's masking keys come from: unpredictable bytes, fresh for every frame
/// (RFC 6455 sections 5.3 and 10.3).
pub trait MaskKeys: Send {
    /// Four bytes of strong entropy.
    fn next_key(&mut self) -> [u8; 4];
}

/// Something that came from the peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A whole message.
    Message(MessageRef<'a>),
    /// A ping; its pong is already queued.
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer's close frame; ours, if it was not sent yet, is already queued. Nothing is
    /// received after it.
    Close(Option<CloseFrame>),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is queued or sent, the peer's has not come.
    CloseSent {
        deadline: Instant,
    },
    /// The peer broke a rule: our close frame is queued, nothing more is read.
    Failed(ProtocolError),
    /// Both close frames exist, or the wait for one is over.
    Closed,
}

#[derive(Clone, Copy, Debug)]
enum KeepAlive {
    /// Ping when nothing was received since.
    Quiet { since: Instant },
    /// Our ping is out; something must be received before.
    Pinged { deadline: Instant },
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
    role: Role,
    config: Arc<Config>,
    state: State,
    receiver: Receiver,
    transmit: Transmit,
    mask_keys: Option<Box<dyn MaskKeys>>,
    /// The newest ping that could not be answered yet, because too much waits to be sent.
    pong_waiting: Option<Box<[u8]>>,
    keep_alive: KeepAlive,
    stats: Stats,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("state", &self.state)
            .field("queued", &self.transmit.len())
            .finish_non_exhaustive()
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
            role,
            config,
            state: State::Open,
            receiver: Receiver::default(),
            transmit: Transmit::default(),
            mask_keys,
            pong_waiting: None,
            keep_alive: KeepAlive::Quiet { since: now },
            stats: Stats::default(),
        }
    }

    /// Takes received bytes from the start of `input` (they are unmasked in place); returns
    /// how many were taken and what they completed. `input` must not be empty; call with the
    /// rest until it is. After a close frame or an error all input is taken and ignored.
    ///
    /// # Errors
    /// The peer broke a rule or a limit: the close frame is queued. Returned again by every
    /// later call.
    #[inline]
    pub fn receive<'a>(
        &'a mut self,
        input: &'a mut [u8],
    ) -> (usize, Result<Option<Event<'a>>, ProtocolError>) {
        let len = input.len();
        match self.state {
            State::Open | State::CloseSent { .. } => {}
            State::Failed(error) => return (len, Err(error)),
            State::Closed => return (len, Ok(None)),
        }
        let mut answer = Answer {
            config: &self.config,
            state: &mut self.state,
            transmit: &mut self.transmit,
            mask_keys: &mut self.mask_keys,
            pong_waiting: &mut self.pong_waiting,
        };
        match self.receiver.receive(self.role, &self.config, input) {
            Ok((used, received)) => {
                self.stats.bytes_received = self.stats.bytes_received.wrapping_add(used as u64);
                let event = match received {
                    None => Ok(None),
                    Some(Received::Message(message)) => {
                        self.stats.messages_received = self.stats.messages_received.wrapping_add(1);
                        Ok(Some(Event::Message(message)))
                    }
                    Some(Received::Control(opcode, body)) => answer.control(opcode, body).map(Some),
                };
                (used, event)
            }
            Err(error) => {
                answer.fail(error);
                (len, Err(error))
            }
        }
    }

    /// Something was received at `now`: the peer lives. Once per read is enough.
    #[inline]
    pub fn handle_activity(&mut self, now: Instant) {
        self.keep_alive = KeepAlive::Quiet { since: now };
    }

    /// The time is `now`: sends what is due. Returns whether the peer is given up (no pong,
    /// or no close frame, in time); then write once what is queued, without waiting, and drop
    /// the socket.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed | State::Failed(_) => return false,
            State::CloseSent { deadline } => {
                if now >= deadline {
                    self.state = State::Closed;
                    return true;
                }
                return false;
            }
            State::Open => {}
        }
        let Some(ping_every) = self.config.ping_every else {
            return false;
        };
        match self.keep_alive {
            KeepAlive::Quiet { since } if now >= after(since, ping_every) => {
                self.keep_alive = KeepAlive::Pinged {
                    deadline: after(now, self.config.pong_within),
                };
                // A full queue is a ping of its own: its bytes must be acknowledged.
                self.ping(b"").is_err() && self.is_finished()
            }
            KeepAlive::Pinged { deadline } if now >= deadline => {
                let body = self.config.silence.encode();
                self.transmit
                    .frame(true, Opcode::Close, &body, key(&mut self.mask_keys));
                self.state = State::Closed;
                true
            }
            KeepAlive::Quiet { .. } | KeepAlive::Pinged { .. } => false,
        }
    }

    /// When to call [`Self::handle_timeout`] next. It only ever moves later between calls
    /// (except by [`Self::close`]), so a driver may let its timer run and ask again then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.state, self.keep_alive, self.config.ping_every) {
            (State::CloseSent { deadline }, ..)
            | (State::Open, KeepAlive::Pinged { deadline }, Some(_)) => Some(deadline),
            (State::Open, KeepAlive::Quiet { since }, Some(ping_every)) => {
                Some(after(since, ping_every))
            }
            (State::Open | State::Failed(_) | State::Closed, ..) => None,
        }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]; the message is not queued.
    #[inline]
    pub fn send(&mut self, message: &Message) -> Result<(), SendError> {
        self.room_for(message.payload().len())?;
        let opcode = opcode_of(message.kind());
        match self.role {
            Role::Server => self.transmit.shared(opcode, message.payload()),
            Role::Client => {
                self.transmit
                    .frame(true, opcode, message.payload(), key(&mut self.mask_keys));
            }
        }
        self.stats.messages_sent = self.stats.messages_sent.wrapping_add(1);
        Ok(())
    }

    /// Queues a borrowed message, copying it.
    ///
    /// # Errors
    /// As [`Self::send`].
    #[inline]
    pub fn send_ref(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.room_for(payload.len())?;
        self.transmit
            .frame(true, opcode_of(kind), payload, key(&mut self.mask_keys));
        self.stats.messages_sent = self.stats.messages_sent.wrapping_add(1);
        Ok(())
    }

    /// Queues a message that was encoded once for many connections. A client encodes it
    /// anew, since it must mask with a fresh key.
    ///
    /// # Errors
    /// As [`Self::send`].
    #[inline]
    pub fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        if self.role == Role::Client {
            let kind = if prepared.is_text() {
                Kind::Text
            } else {
                Kind::Binary
            };
            return self.send_ref(kind, prepared.payload());
        }
        self.room_for(prepared.payload().len())?;
        self.transmit.prepared(prepared);
        self.stats.messages_sent = self.stats.messages_sent.wrapping_add(1);
        Ok(())
    }

    /// Queues a ping.
    ///
    /// # Errors
    /// [`SendError::ControlTooLong`] above 125 bytes, [`SendError::Full`], [`SendError::Closed`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > 125 {
            return Err(SendError::ControlTooLong);
        }
        self.room_for(payload.len())?;
        self.transmit
            .frame(true, Opcode::Ping, payload, key(&mut self.mask_keys));
        Ok(())
    }

    /// Starts the closing handshake; does nothing when it has started already. A code that
    /// must not be on the wire sends a close frame without code.
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Instant) {
        if self.state != State::Open {
            return;
        }
        let body = if code.is_valid_on_wire() {
            CloseFrame::new(code, reason).encode()
        } else {
            Vec::new()
        };
        self.pong_waiting = None;
        self.transmit
            .frame(true, Opcode::Close, &body, key(&mut self.mask_keys));
        self.state = State::CloseSent {
            deadline: after(now, self.config.close_within),
        };
    }

    /// Fills `parts` with the bytes to write next, oldest first; returns how many parts were
    /// set. Report what was written with [`Self::transmitted`].
    #[inline]
    pub fn poll_transmit<'a>(&'a self, parts: &mut [IoSlice<'a>]) -> usize {
        self.transmit.parts(parts)
    }

    /// `count` bytes of [`Self::poll_transmit`] were written.
    #[inline]
    pub fn transmitted(&mut self, count: usize) {
        self.stats.bytes_sent = self.stats.bytes_sent.wrapping_add(count as u64);
        self.transmit.advance(count);
        if self.transmit.len() <= self.config.control_queue_bytes_max
            && let Some(body) = self.pong_waiting.take()
        {
            self.transmit
                .frame(true, Opcode::Pong, &body, key(&mut self.mask_keys));
        }
    }

    /// Bytes waiting to be written.
    #[inline]
    pub fn queued(&self) -> usize {
        self.transmit.len()
    }

    /// Whether `input`, which has been read and not yet received, completes at least one
    /// message: then a driver may wait with writing until that has been answered too (one write
    /// per batch).
    #[inline]
    pub fn completes_message(&self, input: &[u8]) -> bool {
        self.receiver.completes_message(self.role, input)
    }

    /// Whether messages can still be sent and received.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the protocol is through: when nothing is queued any more, drop the socket (the
    /// server first, RFC 6455 section 7.1.1).
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Closed | State::Failed(_))
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The limits in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        self.stats
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
}

/// The parts of a connection that answer what was received, while that is still borrowed from
/// the receiver.
struct Answer<'c> {
    config: &'c Config,
    state: &'c mut State,
    transmit: &'c mut Transmit,
    mask_keys: &'c mut Option<Box<dyn MaskKeys>>,
    pong_waiting: &'c mut Option<Box<[u8]>>,
}

impl Answer<'_> {
    fn control<'a>(&mut self, opcode: Opcode, body: &'a [u8]) -> Result<Event<'a>, ProtocolError> {
        match opcode {
            Opcode::Ping => {
                self.pong(body);
                Ok(Event::Ping(body))
            }
            Opcode::Close => self.peer_close(body).map(Event::Close),
            Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                Ok(Event::Pong(body))
            }
        }
    }

    //= rfc6455#5.5.3: a pong carries the ping's application data
    fn pong(&mut self, body: &[u8]) {
        if *self.state != State::Open {
            return; // nothing follows our close frame
        }
        if self.transmit.len() <= self.config.control_queue_bytes_max {
            self.transmit
                .frame(true, Opcode::Pong, body, key(self.mask_keys));
        } else {
            *self.pong_waiting = Some(body.into());
        }
    }

    //= rfc6455#5.5.1: answer a close frame with one, echoing the code
    fn peer_close(&mut self, body: &[u8]) -> Result<Option<CloseFrame>, ProtocolError> {
        let parsed = CloseFrame::parse(body);
        if *self.state == State::Open {
            *self.pong_waiting = None;
            let reply = match &parsed {
                Ok(Some(_)) => body.get(..2).unwrap_or_default().to_vec(),
                Ok(None) => Vec::new(),
                Err(error) => CloseFrame::new(error.close_code(), error.to_string()).encode(),
            };
            self.transmit
                .frame(true, Opcode::Close, &reply, key(self.mask_keys));
        }
        *self.state = parsed
            .as_ref()
            .map_or_else(|error| State::Failed(*error), |_| State::Closed);
        parsed
    }

    //= rfc6455#7.1.7: fail the connection: send an appropriate close frame, then close
    fn fail(&mut self, error: ProtocolError) {
        if *self.state == State::Open {
            let body = CloseFrame::new(error.close_code(), error.to_string()).encode();
            self.transmit
                .frame(true, Opcode::Close, &body, key(self.mask_keys));
        }
        *self.pong_waiting = None;
        *self.state = State::Failed(error);
    }
}

#[inline]
fn key(mask_keys: &mut Option<Box<dyn MaskKeys>>) -> Option<[u8; 4]> {
    mask_keys.as_mut().map(|keys| keys.next_key())
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

#[cfg(test)]
mod tests;
