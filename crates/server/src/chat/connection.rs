//! The loop between a socket and its session.
//!
//! In: the peer's messages, which become submissions; the session's messages, which are
//! written. Out: confirmations of what has arrived. Invariants: at most [`WRITE_QUEUE`] bytes (or one
//! message) are queued on the socket; while the peer takes nothing and its outbox is full, it is
//! not read from either; the session ends as soon as the connection does.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tidewire::ws::{CloseCode, Incoming, Message, Prepared, RecvError, SendError, WebSocket};
use tidewire_hub::{End, Outgoing, Session};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Behaviour, code,
    confirmation::{Confirmation, Overdue, Step},
};

/// Queued bytes above which no further messages are taken from the session.
const WRITE_QUEUE: usize = 64 << 10;

/// Messages of one batch, before the other direction gets its turn.
const TURN: usize = 256;

/// A messaging connection; a future that is ready when it has ended.
pub(super) struct ChatConnection {
    socket: WebSocket,
    /// `None` once the connection is ending.
    session: Option<Session>,
    confirmation: Confirmation,
    /// Taken from the session, waiting for room on the socket; in reverse order.
    taken: Vec<Prepared>,
    /// The session had nothing more to hand out when it was last asked.
    handed_out: bool,
    timer: Option<Pin<Box<Sleep>>>,
    inactive_within: Option<Duration>,
    last_message: Instant,
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

impl Future for ChatConnection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let outgoing = this.poll_outgoing(cx);
            let incoming = this.poll_incoming(cx);
            match (outgoing, incoming) {
                (Turn::Over, _) | (_, Turn::Over) => return Poll::Ready(()),
                (Turn::Progress, _) | (_, Turn::Progress) => {}
                (Turn::Waiting, Turn::Waiting) => ready!(this.poll_due(cx)),
            }
        }
    }
}

impl ChatConnection {
    pub(super) fn new(socket: WebSocket, session: Session, behaviour: Behaviour) -> Self {
        Self {
            confirmation: Confirmation::new(
                behaviour.confirm,
                behaviour.pong_within,
                session.mark(),
            ),
            socket,
            session: Some(session),
            taken: Vec::new(),
            handed_out: false,
            timer: None,
            inactive_within: behaviour.inactive_within,
            last_message: Instant::now(),
        }
    }

    /// Session → socket.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.session.is_none() {
            return Turn::Waiting;
        }
        let moved = match self.poll_move(cx) {
            Moved::All => true,
            Moved::UpToTheQueue => false,
            Moved::Ending => return Turn::Progress,
        };
        self.handed_out = moved;
        self.confirm_queued();
        match self.socket.poll_flush(cx) {
            Poll::Ready(Err(error)) => self.over(&error),
            Poll::Ready(Ok(())) if moved => {
                self.confirm_queued();
                match self.socket.queued() {
                    0 => Turn::Waiting,
                    _ => Turn::Progress, // the ping just queued
                }
            }
            // There is room again, and the session has not been asked to wake us.
            Poll::Ready(Ok(())) => Turn::Progress,
            Poll::Pending => Turn::Waiting,
        }
    }

    /// Moves messages from the session to the socket's queue.
    fn poll_move(&mut self, cx: &mut Context<'_>) -> Moved {
        let Some(session) = &self.session else {
            return Moved::Ending;
        };
        loop {
            while let Some(message) = self.taken.pop() {
                if self.socket.queued() >= WRITE_QUEUE {
                    self.taken.push(message);
                    return Moved::UpToTheQueue;
                }
                match self.socket.try_send_prepared(&message) {
                    Ok(()) => {}
                    Err(SendError::Full) => {
                        self.taken.push(message);
                        return Moved::UpToTheQueue;
                    }
                    Err(_closing) => {
                        // What was not sent stays in the mailbox.
                        self.session = None;
                        return Moved::Ending;
                    }
                }
            }
            if self.socket.queued() >= WRITE_QUEUE {
                return Moved::UpToTheQueue;
            }
            match session.poll_outgoing(cx, &mut self.taken, WRITE_QUEUE) {
                Poll::Ready(Outgoing::Messages) => self.taken.reverse(),
                Poll::Ready(Outgoing::End(end)) => {
                    self.end(&end);
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

    /// Socket → session.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut turn = Turn::Waiting;
        for _ in 0..TURN {
            if let Some(session) = &self.session {
                // Everything there is has been handed out and is with the system: what the
                // outbox still holds waits for a pong, which may stand behind messages of the
                // peer's own.
                let peer_reads = self.handed_out && self.socket.queued() == 0;
                if session.poll_ready_to_submit(cx, peer_reads).is_pending() {
                    return turn;
                }
            }
            match self.socket.poll_recv_any(cx) {
                Poll::Pending => return turn,
                Poll::Ready(Ok(Some(incoming))) => {
                    self.received(incoming);
                    // A pong may make the next ping due, and an error the end.
                    turn = Turn::Progress;
                }
                Poll::Ready(Ok(None)) => return Turn::Over,
                Poll::Ready(Err(RecvError::TimedOut)) if self.session.is_some() => {
                    tracing::debug!("connection given up: no sign of life");
                    return Turn::Over;
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "connection ended");
                    return Turn::Over;
                }
            }
        }
        Turn::Progress
    }

    fn received(&mut self, incoming: Incoming) {
        let Some(session) = &self.session else { return };
        match incoming {
            Incoming::Message(message) => {
                self.last_message = Instant::now();
                self.confirmation.heard();
                let payload = match &message {
                    Message::Text(text) => text.as_bytes(),
                    Message::Binary(bytes) => bytes,
                };
                if let Err(end) = session.submit(payload) {
                    self.end(&end);
                }
            }
            Incoming::Pong(payload) => {
                let step = self.confirmation.pong(&payload);
                self.confirmation.heard();
                self.take(step);
            }
            Incoming::Closing(_) => self.session = None,
            Incoming::Ping(_) | _ => self.confirmation.heard(),
        }
    }

    fn confirm_queued(&mut self) {
        let Some(session) = &self.session else { return };
        if self.taken.is_empty() && self.socket.queued() < WRITE_QUEUE {
            let step =
                self.confirmation
                    .queued(session.mark(), self.socket.queued(), Instant::now());
            self.take(step);
        }
    }

    fn take(&mut self, step: Step) {
        match (step, &self.session) {
            (Step::Confirm(mark), Some(session)) => session.confirm(mark),
            (Step::Ping(payload), _) => {
                if let Err(error) = self.socket.try_ping(&payload) {
                    tracing::debug!(%error, "no ping: the connection is closing");
                }
            }
            (Step::None | Step::Confirm(_), _) => {}
        }
    }

    /// Ends the session at once and the connection with a closing handshake.
    fn end(&mut self, end: &End) {
        self.session = None;
        self.taken = Vec::new();
        self.socket.start_close(CloseCode(end.code), &end.reason);
    }

    fn over(&mut self, error: &SendError) -> Turn {
        tracing::debug!(%error, "connection ended");
        self.session = None;
        Turn::Over
    }

    /// Does what is due; pending until the next deadline, ready when something was done.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(deadline) = self.next_deadline() else {
                return Poll::Pending;
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            let now = Instant::now();
            if self.socket.queued() > 0 {
                // The ping has not even left: the socket's write deadline watches that.
                self.confirmation.postpone(now);
            }
            match self.confirmation.overdue(now) {
                Overdue::No => {}
                Overdue::Ignored(mark) => {
                    tracing::debug!("peer answers no pings: confirming what is written");
                    self.take(Step::Confirm(mark));
                    return Poll::Ready(());
                }
                Overdue::Silent => {
                    self.end(&End::new(code::INACTIVE, "Dangling connection"));
                    return Poll::Ready(());
                }
            }
            if let Some(within) = self.inactive_within
                && self.session.is_some()
                && now >= self.last_message + within
            {
                let (limit, quiet) = (within.as_secs(), self.last_message.elapsed().as_secs());
                let reason = format!("Inactive more than {limit} seconds ({quiet})");
                self.end(&End::new(code::INACTIVE, reason));
                return Poll::Ready(());
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.session.as_ref()?;
        let inactive = self
            .inactive_within
            .map(|within| self.last_message + within);
        self.confirmation
            .deadline()
            .into_iter()
            .chain(inactive)
            .min()
    }
}
