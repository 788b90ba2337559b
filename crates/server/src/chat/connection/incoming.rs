//! The way from the socket to the session.
//!
//! In: messages, pongs and the close frame of the peer. Out: commands to the session, or the end. Invariant: nothing is
//! read while the session takes nothing, or while the client has sent more than it may.

use std::task::{Context, Poll};

use tidewire::ws::{CloseFrame, Incoming, Message, RecvError};
use tidewire_dialect::{Dialect, Ending};
use tidewire_hub::{Command, Refusal, Session, SessionEnd};
use tokio::time::Instant;

use super::{ChatConnection, TURN, Turn};
use crate::chat::frames::{is_answer, submit};
use crate::shaping::{CloseReason, Pace, Paced, retry_after};

/// How fast the client may send.
pub(super) struct Pacing {
    pub(super) pace: Pace,
    /// Nothing is read before.
    pub(super) paused_until: Option<Instant>,
}

impl<D: Dialect> ChatConnection<D> {
    /// Socket → session.
    pub(super) fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut turn = Turn::Waiting;
        for _ in 0..TURN {
            if self.is_paused() {
                return turn;
            }
            if let Some(session) = &self.session {
                // Everything there is has been handed out and is with the system: what the
                // send queue still holds waits for a pong, which may stand behind messages of the
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
                Poll::Ready(Ok(None)) => return self.ended(CloseReason::Client),
                Poll::Ready(Err(RecvError::TimedOut)) if self.session.is_some() => {
                    tracing::debug!("connection given up: no sign of life");
                    return self.ended(CloseReason::TimedOut);
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(error = %tidewire::ErrorChain(&error), "connection ended");
                    return self.ended(CloseReason::of_error(&error));
                }
            }
        }
        Turn::Progress
    }

    fn received(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Message(message) => {
                let Some(session) = &self.session else { return };
                self.last_message = Instant::now();
                if let Some(visit) = self.tally.visit() {
                    visit.messages_in += 1;
                }
                let payload = match &message {
                    Message::Text(text) => text.as_bytes(),
                    Message::Binary(bytes) => bytes,
                };
                let paced = match &mut self.pacing {
                    Some(pacing) => pacing.charge(payload.len(), self.last_message),
                    None => Paced::Go,
                };
                let submitted = match paced {
                    Paced::Go | Paced::Wait(_) => submit::<D>(session, payload),
                    Paced::Refuse => Self::refuse(session, payload),
                    Paced::Close(wait) => Err(Ending::TooMany {
                        what: "messages",
                        retry_after: retry_after(wait),
                    }),
                };
                if let Err(ending) = submitted {
                    self.end(&ending);
                }
            }
            Incoming::Pong(payload) => {
                self.confirmation.handle_pong(&payload, Instant::now());
                self.act();
            }
            Incoming::Closing(frame) => self.closing(frame.as_ref()),
            Incoming::Ping(_) | _ => {}
        }
    }

    /// Refuses a message because there were too many, if it is one.
    fn refuse<'a>(session: &Session, payload: &[u8]) -> Result<(), Ending<'a, D::Error>> {
        let command = D::decode(payload, session.user(), session.settings());
        let command = match command {
            Ok(Command::Publish(draft)) => Command::Refuse {
                refusal: Refusal::RateLimited,
                reference: draft.reference,
            },
            Ok(other) => other,
            Err(error) => {
                session.count_invalid();
                return Err(Ending::Invalid(error));
            }
        };
        let told = session.submit(command, payload.len());
        told.map_err(|_ended| Ending::ForeignSender)
    }

    /// Returns whether nothing is to be read, because the client has sent more than it may.
    fn is_paused(&self) -> bool {
        let pacing = self.pacing.as_ref();
        self.session.is_some() && pacing.is_some_and(|pacing| pacing.paused_until.is_some())
    }

    /// The connection is over; `otherwise` says why, if this end has not begun the close.
    pub(super) fn ended(&mut self, otherwise: CloseReason) -> Turn {
        self.note_visit();
        let ours = self.socket.started_close();
        if let Some(ours) = &ours {
            self.tally.note_code(ours.code.0);
        }
        self.tally.note(match ours {
            Some(ours) => CloseReason::of_close(&ours),
            None => otherwise,
        });
        Turn::Over
    }

    /// The peer's close frame came. If it answers ours, the peer has read what was sent before that. A close
    /// frame of its own proves nothing: the peer may have left without reading.
    fn closing(&mut self, frame: Option<&CloseFrame>) {
        let ours = self.socket.started_close();
        self.tally.note(match &ours {
            Some(ours) => CloseReason::of_close(ours),
            None => CloseReason::Client,
        });
        if let Some(frame) = ours.as_ref().or(frame) {
            self.tally.note_code(frame.code.0);
        }
        if let (Some(session), Some(frame)) = (&self.session, ours.as_ref().or(frame)) {
            session.ends_with(SessionEnd::new(frame.code.0, &*frame.reason));
        }
        self.end_session();
        if let (Some(unproven), Some(ours), Some(frame)) = (self.unproven.take(), ours, frame)
            && self.close_proves
            && is_answer(frame, &ours)
        {
            unproven.confirm();
        }
    }
}

impl Pacing {
    fn charge(&mut self, bytes: usize, now: Instant) -> Paced {
        let paced = self.pace.charge(bytes, now);
        if let Paced::Wait(wait) = paced {
            self.paused_until = Some(now + wait);
        }
        paced
    }
}
