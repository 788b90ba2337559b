//! The loop between a socket and its session.
//!
//! In: the peer's messages, which a dialect turns into commands; the session's events, which it turns into
//! messages. Out: confirmations of what has arrived. Invariants: at most [`WRITE_QUEUE`] bytes (or one
//! message) are queued on the socket; while the peer takes nothing and its send queue is full, it is
//! not read from either; the session ends as soon as the connection does. What the peer has read is for
//! `confirmation` to say, and for the peer's answer to our close frame.

mod incoming; // socket → session
mod due; // deadlines

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tidewire::ws::{CloseCode, DeflateConfig, SendError, WebSocket};
use tidewire_dialect::{Dialect, Ending};
use tidewire_hub::{Begin, Event, Mark, Outgoing, Session, SessionEnd, Unproven};
use tokio::time::{Instant, Sleep};

use self::incoming::Pacing;
use super::{
    Behaviour, Confirm,
    confirmation::{Action, Beginning, Confirmation, Queued, Window, seed},
    frames::frame,
    identity::expiry,
};
use crate::shaping::{CloseReason, Pace, Tally};

/// Queued bytes above which no further messages are taken from the session.
const WRITE_QUEUE: usize = 64 << 10;

/// Messages of one batch, before the other direction gets its turn.
const TURN: usize = 256;

/// A messaging connection whose client speaks `D`; a future that is ready when it has ended.
pub(super) struct ChatConnection<D> {
    socket: WebSocket,
    /// `None` once the connection is ending.
    session: Option<Session>,
    confirmation: Confirmation,
    /// What the session had handed out without a proof when we began to close.
    unproven: Option<Box<Unproven>>,
    /// The answer to our close frame comes from who has read the messages.
    close_proves: bool,
    pacing: Option<Box<Pacing>>,
    tally: Tally,
    /// Pings for which the socket had no room yet; two at most, but for a peer that answers none.
    unsent_pings: Vec<[u8; 8]>,
    /// Messages queued on the socket, in all.
    sent: u64,
    /// Of these, the last that the system has taken.
    written: Mark,
    /// Their bytes.
    sent_bytes: u64,
    /// Bytes received and sent when last looked at.
    moved: (u64, u64),
    /// Taken from the session, waiting for room on the socket; in reverse order.
    taken: Vec<Event>,
    /// The session had nothing more to hand out when it was last asked.
    handed_out: bool,
    timer: Option<Pin<Box<Sleep>>>,
    inactive_timeout: Option<Duration>,
    last_message: Instant,
    /// When the credentials are good no more.
    expires: Option<Instant>,
    /// Present when compressed messages were agreed on.
    deflate: Option<Arc<DeflateConfig>>,
    dialect: PhantomData<fn() -> D>,
}

/// The terms of a connection, besides its session.
pub(super) struct Shaped {
    /// The answer to our close frame comes from who has read the messages.
    pub(super) close_proves: bool,
    /// The rates of the client's messages.
    pub(super) pace: Option<Box<Pace>>,
    /// Counts the end.
    pub(super) tally: Tally,
    /// Present when compressed messages were agreed on.
    pub(super) deflate: Option<Arc<DeflateConfig>>,
}

/// What a turn of one direction came to.
enum Turn {
    /// Something was done; look again.
    Progress,
    /// Nothing to do; the task is woken when there is.
    Waiting,
    /// The connection is over.
    Over,
}

/// How far [`ChatConnection::poll_move`] came.
enum Moved {
    /// The session has nothing more; it wakes the task when it has.
    All,
    /// The socket's queue is full; writing makes room.
    UpToTheQueue,
    /// The connection is ending.
    Ending,
}

impl<D: Dialect> Future for ChatConnection<D> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let outgoing = this.poll_outgoing(cx);
            let incoming = this.poll_incoming(cx);
            match (outgoing, incoming) {
                (Turn::Over, _) | (_, Turn::Over) => return Poll::Ready(()),
                (Turn::Progress, _) | (_, Turn::Progress) => {}
                (Turn::Waiting, Turn::Waiting) => {
                    this.note_movement();
                    ready!(this.poll_due(cx));
                }
            }
        }
    }
}

impl<D: Dialect> ChatConnection<D> {
    pub(super) fn new(
        socket: WebSocket,
        session: Session,
        behaviour: &Behaviour,
        shaped: Shaped,
    ) -> Self {
        let now = Instant::now();
        let (messages_max, bytes_max) = session.window_max();
        let expires = expiry(session.identity(), now);
        let beginning = Beginning {
            by_pong: behaviour.confirm == Confirm::Pong,
            timing: Arc::clone(&behaviour.timing),
            unproven_sessions: session.unproven_sessions(),
            is_waiting: session.is_waiting(),
            window_max: Window {
                messages: u32::try_from(messages_max).unwrap_or(u32::MAX),
                bytes: u32::try_from(bytes_max).unwrap_or(u32::MAX),
            },
            seed: seed(),
        };
        let mut this = Self {
            confirmation: Confirmation::new(beginning, now),
            socket,
            session: Some(session),
            unproven: None,
            close_proves: shaped.close_proves,
            pacing: shaped.pace.map(|pace| {
                Box::new(Pacing {
                    pace: *pace,
                    paused_until: None,
                })
            }),
            tally: shaped.tally,
            deflate: shaped.deflate,
            unsent_pings: Vec::new(),
            sent: 0,
            written: Mark::default(),
            sent_bytes: 0,
            moved: (0, 0),
            taken: Vec::new(),
            handed_out: false,
            timer: None,
            inactive_timeout: behaviour.inactive_timeout,
            last_message: now,
            expires,
            dialect: PhantomData,
        };
        this.act();
        this
    }

    /// Session → socket.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Turn {
        let Some(session) = &self.session else {
            return Turn::Waiting;
        };
        if let Some(dismissal) = session.dismissal() {
            let dismissal = dismissal.clone();
            self.end(&Ending::Dismissed(&dismissal));
            return Turn::Progress;
        }
        let moved = match self.poll_move(cx) {
            Moved::All => true,
            Moved::UpToTheQueue => false,
            Moved::Ending => return Turn::Progress,
        };
        self.send_pings();
        self.handed_out = moved;
        self.note_queued();
        match self.socket.poll_flush(cx) {
            Poll::Ready(Err(error)) => self.over(&error),
            Poll::Ready(Ok(())) if moved => {
                self.send_pings();
                self.note_queued();
                match self.socket.queued() {
                    0 => Turn::Waiting,
                    _ => Turn::Progress, // the ping just queued
                }
            }
            // There is room again, and the session has not been asked to wake us.
            Poll::Ready(Ok(())) => Turn::Progress,
            Poll::Pending => match &self.session {
                // The client reads nothing: that is to keep nobody from ending the session.
                Some(session) if session.poll_dismissed(cx).is_ready() => Turn::Progress,
                _ => Turn::Waiting,
            },
        }
    }

    /// Moves messages from the session to the socket's queue.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Moved {
        let Some(session) = &self.session else {
            return Moved::Ending;
        };
        loop {
            while let Some(event) = self.taken.pop() {
                if self.socket.queued() >= WRITE_QUEUE {
                    self.taken.push(event);
                    return Moved::UpToTheQueue;
                }
                let frame = frame::<D>(&event, session.user(), self.deflate.as_deref());
                let sent = match &frame {
                    Some(frame) => self.socket.try_send_prepared(frame),
                    None => Ok(()),
                };
                match sent {
                    Ok(()) => {
                        let bytes = frame.map_or(0, |frame| frame.frame().len());
                        session.count_sent(bytes);
                        self.sent += 1;
                        self.sent_bytes += bytes as u64;
                    }
                    Err(SendError::Full) => {
                        drop(frame);
                        self.taken.push(event);
                        return Moved::UpToTheQueue;
                    }
                    Err(_closing) => {
                        // What was not sent stays in the mailbox.
                        self.end_session();
                        return Moved::Ending;
                    }
                }
            }
            if self.socket.queued() >= WRITE_QUEUE {
                return Moved::UpToTheQueue;
            }
            match session.poll_outgoing(cx, &mut self.taken, WRITE_QUEUE) {
                Poll::Ready(Outgoing::Events) => self.taken.reverse(),
                Poll::Ready(Outgoing::End(reason)) => {
                    self.end(&Ending::Session(reason));
                    return Moved::Ending;
                }
                Poll::Pending => {
                    if self.taken.capacity() > TURN {
                        self.taken = Vec::new();
                    }
                    return Moved::All;
                }
            }
        }
    }

    /// Tells the confirmation what has been queued on the socket by now.
    fn note_queued(&mut self) {
        let Some(session) = &self.session else { return };
        let mark = Mark::from(self.sent);
        let unwritten = self.socket.queued();
        if unwritten == 0 && self.written != mark {
            self.written = mark;
            if self.confirmation.is_unanswered() {
                session.written(mark);
            }
        }
        let queued = Queued {
            mark,
            bytes: self.sent_bytes,
            unwritten,
        };
        self.confirmation.handle_queued(queued, Instant::now());
        self.act();
    }

    /// Tells the confirmation whether bytes have moved.
    fn note_movement(&mut self) {
        let moved = self.socket.bytes_moved();
        if moved == self.moved {
            return;
        }
        let now = Instant::now();
        if moved.0 != self.moved.0 {
            self.confirmation.handle_received(now);
        }
        if moved.1 != self.moved.1 {
            self.confirmation.handle_written(now);
        }
        self.moved = moved;
        self.note_visit();
    }

    /// Does what the confirmation wants.
    fn act(&mut self) {
        while let Some(action) = self.confirmation.poll_action() {
            let Some(session) = &self.session else { return };
            match action {
                Action::Answers => session.begin(Begin::Everything),
                Action::BeginUnanswered => session.begin(Begin::BehindRepeated),
                Action::Confirm(mark) => session.confirm(mark),
                Action::Forget(mark) => session.forget_unproven(mark),
                Action::Hold => session.hold_unproven(),
                Action::Release => session.release_unproven(),
                Action::SetWindow(Window { messages, bytes }) => {
                    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
                    session.set_window(size(messages), size(bytes));
                }
                Action::Ping(payload) => {
                    self.unsent_pings.push(payload);
                    self.send_pings();
                }
                Action::GiveUp => self.end(&Ending::Unanswered),
            }
        }
    }

    /// Queues the pings that are due. Behind a message larger than the socket's queue they wait until it has
    /// gone: there is always a ping behind a message.
    fn send_pings(&mut self) {
        while let Some(payload) = self.unsent_pings.first() {
            match self.socket.try_ping(payload) {
                Ok(()) => {}
                Err(SendError::Full) => return,
                Err(error) => tracing::debug!(%error, "no ping: the connection is closing"),
            }
            self.unsent_pings.remove(0);
        }
    }

    /// Tells the access log's record how far the connection has come.
    pub(super) fn note_visit(&mut self) {
        if let Some(visit) = self.tally.visit() {
            visit.bytes = self.socket.bytes_moved();
            visit.messages_out = self.sent;
        }
    }

    /// Ends the session at once and the connection with a closing handshake.
    fn end(&mut self, ending: &Ending<'_, D::Error>) {
        let close = D::close(ending);
        self.tally.note(CloseReason::of_ending(ending));
        self.tally.note_code(close.code);
        if let Some(session) = &self.session {
            session.ends_with(SessionEnd::new(close.code, &*close.reason));
        }
        self.taken = Vec::new();
        self.end_session();
        self.socket
            .start_close(CloseCode(close.code), &close.reason);
    }

    /// Ends the session; what is unproven may still be proved by the answer to our close frame.
    fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.unproven = Some(Box::new(session.into_unproven(Mark::from(self.sent))));
        }
    }

    fn over(&mut self, error: &SendError) -> Turn {
        tracing::debug!(error = %tidewire::ErrorChain(&error), "connection ended");
        if let (Some(session), Some(ours)) = (&self.session, self.socket.started_close()) {
            session.ends_with(SessionEnd::new(ours.code.0, ours.reason));
        }
        self.session = None;
        self.ended(if matches!(error, SendError::TimedOut) {
            CloseReason::TimedOut
        } else {
            CloseReason::Lost
        })
    }
}
