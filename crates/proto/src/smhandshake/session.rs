//! The dialect over the life of a connection: message in, reaction out.
//!
//! In: every message of a client, whole and in order; the time-out of the handshake. Out: a
//! [`Reaction`] to each. Nothing waits inside: the caller does what the reaction says before
//! it gives the next message. Invariants: no message is forwarded before the handshake is over; after a failure every input gives
//! the same failure again.

use super::{
    ACK, ERROR, Event, EventError, Expected, Failure, Fault, Form, HANDSHAKE, HANDSHAKE_END, NACK,
    Refusal, RouteLine, RouteLineError, SYN_ACK, handshake::Step, is_reserved, render,
    route_line::is_name,
};

/// A client's session.
#[derive(Debug)]
pub struct Session {
    state: State,
    /// The client's last event had this form: answers have it too.
    form: Form,
    limits: Limits,
}

/// The limits of a session, and the form of its answers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Answer names and the end with a bare `ACK` or `NACK` instead of an object (M-24). Default false.
    pub bare_ack: bool,
    /// Largest message, route line included, bytes; default 1 MiB. Above it a message is refused, one by one.
    pub message_bytes_max: usize,
}

/// A message of a client.
#[derive(Clone, Copy, Debug)]
pub enum Incoming<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// The effect of a message. Texts go to the client, as text messages.
#[derive(Debug, PartialEq, Eq)]
pub enum Reaction<'a, R> {
    /// Nothing to be said.
    Nothing,
    /// Send this.
    Answer(String),
    /// The client has named a route that is known; send this. It does not use it yet.
    Announced {
        /// The result of the look-up.
        route: R,
        /// The acknowledgement.
        answer: String,
    },
    /// The handshake is over: send this, and stop the time-out.
    Ready(String),
    /// Send what follows the line to this route, as text or binary as it came.
    Forward {
        /// The result of the look-up.
        route: R,
        /// The name as written, and where the payload begins.
        line: RouteLine<'a>,
    },
    /// The message is not forwarded: send this, and go on.
    Refused {
        /// Why, to be counted.
        refusal: Refusal,
        /// The `SMError` object.
        answer: String,
    },
    /// Send this, then close with [`Failure::close_code`] and the failure as reason.
    Close {
        /// Why.
        failure: Failure,
        /// The `SMError` object.
        error: String,
    },
}

#[derive(Clone, Copy, Debug)]
enum State {
    Opening(Expected),
    Ready,
    Failed(Failure),
}

impl Session {
    /// A session that waits for `SYN`.
    pub fn new(limits: Limits) -> Self {
        Self {
            state: State::Opening(Expected::Syn),
            form: Form::default(),
            limits,
        }
    }

    /// Takes the client's next message. `known` finds a route by its name as the client wrote it; it is asked at most
    /// once, for names that can be one.
    pub fn receive<'a, R>(
        &mut self,
        message: Incoming<'a>,
        known: impl FnOnce(&str) -> Option<R>,
    ) -> Reaction<'a, R> {
        match self.state {
            State::Opening(expected) => self.open(expected, message, known),
            State::Ready => self.route(message, known),
            State::Failed(failure) => self.close(failure),
        }
    }

    /// The handshake's time is up. `None`: it was over before.
    pub fn handle_timeout<R>(&mut self) -> Option<Reaction<'static, R>> {
        match self.state {
            State::Opening(expected) => Some(self.close(expected.but(Fault::Silence))),
            State::Ready => None,
            State::Failed(failure) => Some(self.close(failure)),
        }
    }

    /// Returns whether the handshake is over and messages are forwarded.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// How the client writes: the form of its last event, JSON before it.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The object that says why a message that was given out as [`Reaction::Forward`] could not be
    /// forwarded after all. `route` as the client wrote it.
    pub fn refuse(&self, refusal: Refusal, route: &str) -> String {
        refusal.render(self.form, Some(route))
    }

    fn open<'a, R>(
        &mut self,
        expected: Expected,
        message: Incoming<'a>,
        known: impl FnOnce(&str) -> Option<R>,
    ) -> Reaction<'a, R> {
        let Incoming::Text(text) = message else {
            return self.close(expected.but(Fault::Binary));
        };
        let Ok((event, form)) = Event::parse(text) else {
            return self.close(expected.but(Fault::NoEvent));
        };
        self.form = form;
        let (next, step) = match expected.step(&event) {
            Ok(taken) => taken,
            Err(failure) => return self.close(failure),
        };
        self.state = State::Opening(next);
        match step {
            Step::Greet => Reaction::Answer(render(form, HANDSHAKE, Some(SYN_ACK), None)),
            Step::Go => Reaction::Nothing,
            Step::Name(name) => self.announce(name, known),
            Step::End => {
                self.state = State::Ready;
                Reaction::Ready(self.acknowledge(HANDSHAKE_END, ACK, None))
            }
        }
    }

    fn route<'a, R>(
        &mut self,
        message: Incoming<'a>,
        known: impl FnOnce(&str) -> Option<R>,
    ) -> Reaction<'a, R> {
        let bytes = match message {
            Incoming::Text(text) => text.as_bytes(),
            Incoming::Binary(bytes) => bytes,
        };
        if bytes.len() > self.limits.message_bytes_max {
            let name = RouteLine::parse(bytes).ok().map(|line| line.name);
            return self.refused(Refusal::TooLarge(self.limits.message_bytes_max), name);
        }
        match RouteLine::parse(bytes) {
            Ok(line) => match known(line.name) {
                Some(route) => Reaction::Forward { route, line },
                None => self.refused(Refusal::NoSuchRoute, Some(line.name)),
            },
            Err(RouteLineError::Missing) => match message {
                Incoming::Text(text) => self.late_event(text, known),
                Incoming::Binary(_) => self.refused(Refusal::NoRouteLine, None),
            },
            Err(error) => self.refused(error.into(), None),
        }
    }

    /// Text without a route line, after the handshake: another name may be announced, the end may be said again.
    fn late_event<'a, R>(
        &mut self,
        text: &str,
        known: impl FnOnce(&str) -> Option<R>,
    ) -> Reaction<'a, R> {
        let (event, form) = match Event::parse(text) {
            Ok(read) => read,
            Err(EventError::TooLong) if text.starts_with('{') => {
                return self.refused(Refusal::EventTooLong, None);
            }
            Err(EventError::TooLong | EventError::Malformed) => {
                return self.refused(Refusal::NoRouteLine, None);
            }
        };
        self.form = form;
        match (event.name.as_str(), event.data.as_deref()) {
            (HANDSHAKE, Some(name)) if !is_reserved(name) => self.announce(name, known),
            (HANDSHAKE_END, _) => Reaction::Answer(self.acknowledge(HANDSHAKE_END, ACK, None)),
            _ => self.refused(Refusal::NoRouteLine, None),
        }
    }

    fn announce<'a, R>(
        &self,
        name: &str,
        known: impl FnOnce(&str) -> Option<R>,
    ) -> Reaction<'a, R> {
        match is_name(name).then(|| known(name)).flatten() {
            Some(route) => Reaction::Announced {
                route,
                answer: self.acknowledge(HANDSHAKE, ACK, Some(name)),
            },
            None => Reaction::Answer(self.acknowledge(HANDSHAKE, NACK, Some(name))),
        }
    }

    fn acknowledge(&self, event: &str, word: &str, route: Option<&str>) -> String {
        if self.limits.bare_ack {
            return word.to_owned();
        }
        render(self.form, event, Some(word), route)
    }

    fn refused<'a, R>(&self, refusal: Refusal, route: Option<&str>) -> Reaction<'a, R> {
        Reaction::Refused {
            refusal,
            answer: refusal.render(self.form, route),
        }
    }

    fn close<'a, R>(&mut self, failure: Failure) -> Reaction<'a, R> {
        self.state = State::Failed(failure);
        Reaction::Close {
            failure,
            error: render(self.form, ERROR, Some(&failure.to_string()), None),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bare_ack: false,
            message_bytes_max: 1 << 20,
        }
    }
}
