//! A link while its backend is there.
//!
//! One future polls both directions by hand, since each must go on while the other waits: a backend
//! that takes nothing while it sends is no reason to stop reading from it.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use tidewire::ws::{CloseCode, CloseFrame, Incoming, RecvError, SendError, WebSocket};

use super::{Backend, Link, unhealthy};
use crate::lane::{Down, Piece, Up};

/// Why a relay ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The client closes.
    Client(Option<CloseFrame>),
    /// The client has gone without a word.
    ClientLost,
    /// The gateway ends the session.
    Ended(CloseFrame),
    /// The backend has closed properly.
    Backend(Option<CloseFrame>),
    /// It has gone otherwise.
    BackendLost,
    /// Its checks fail, and another one may serve the client.
    Unhealthy,
}

/// Pongs that a backend may send before others have their turn.
const PONGS_PER_POLL: u32 = 256;

/// How far one direction has come.
enum Step {
    /// Nothing more can be done now.
    Waits,
    /// The send queue is full.
    Full,
    Ended(Outcome),
}

impl Link {
    /// Relays until either side ends.
    pub(super) async fn relay(&mut self, backend: &mut Backend) -> Outcome {
        let record = std::sync::Arc::clone(&self.record);
        let Backend { socket, lease } = backend;
        let relay = poll_fn(|cx| match lease.poll_unhealthy(cx) {
            Poll::Ready(()) => Poll::Ready(self.leave(socket, cx)),
            Poll::Pending => self.poll_relay(socket, cx),
        });
        tokio::select! {
            outcome = relay => outcome,
            frame = record.asked_to_end() => Outcome::Ended(frame),
        }
    }

    /// Nothing more goes up to a backend that hangs; what it has said before is passed on.
    fn leave(&mut self, socket: &mut WebSocket, cx: &mut Context<'_>) -> Outcome {
        match self.poll_down(socket, cx) {
            Step::Ended(outcome) => outcome,
            Step::Waits | Step::Full if self.resume.is_some() => Outcome::Unhealthy,
            Step::Waits | Step::Full => Outcome::Ended(unhealthy()),
        }
    }

    fn poll_relay(&mut self, socket: &mut WebSocket, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            let up = self.poll_up(socket, cx);
            if let Step::Ended(outcome) = up {
                return Poll::Ready(outcome);
            }
            if let Step::Ended(outcome) = self.poll_down(socket, cx) {
                return Poll::Ready(outcome);
            }
            // Writes also what is not waited for by a receive.
            let flushed = socket.poll_flush(cx);
            if self.ledger.keeps() {
                self.ledger.settle(socket.stats().bytes_sent);
            }
            match (up, flushed) {
                (_, Poll::Ready(Err(_error))) => return Poll::Ready(Outcome::BackendLost),
                // There is room again.
                (Step::Full, Poll::Ready(Ok(()))) => {}
                (Step::Full | Step::Waits | Step::Ended(_), _) => return Poll::Pending,
            }
        }
    }

    /// From the client to the backend's send queue.
    fn poll_up(&mut self, socket: &mut WebSocket, cx: &Context<'_>) -> Step {
        while self.ledger.has_room() {
            let piece = match self.up.poll_pop(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => return Step::Ended(Outcome::ClientLost),
                Poll::Ready(Some(Up::Close(frame))) => return Step::Ended(Outcome::Client(frame)),
                Poll::Ready(Some(Up::Piece(piece))) => piece,
            };
            let piece = match self.put_together(piece) {
                Ok(Some(piece)) => piece,
                Ok(None) => continue,
                Err(frame) => return Step::Ended(Outcome::Ended(frame)),
            };
            match socket.try_send_fragment(piece.kind, &piece.data, piece.last) {
                Ok(()) => self.sent(socket, piece),
                Err(SendError::Full) => {
                    self.up.put_back(Up::Piece(piece));
                    return Step::Full;
                }
                Err(_closing) => {
                    // What comes next from the backend tells why.
                    self.up.put_back(Up::Piece(piece));
                    break;
                }
            }
        }
        let Some(ping) = self.ledger.ping() else {
            let full = !self.ledger.has_room() && self.ledger.is_settled_by_sending();
            return if full { Step::Full } else { Step::Waits };
        };
        match socket.try_ping(&ping) {
            Ok(()) => Step::Waits,
            // Without a pong nothing more might ever be sent: it is tried again.
            Err(error) => {
                self.ledger.not_pinged();
                if matches!(error, SendError::Full) {
                    Step::Full
                } else {
                    Step::Waits // it is closing
                }
            }
        }
    }

    /// Where a message may have to be sent again, it goes up whole.
    fn put_together(&mut self, piece: Piece) -> Result<Option<Piece>, CloseFrame> {
        let Some(resume) = &self.resume else {
            return Ok(Some(piece));
        };
        if self.partial.len() + piece.data.len() > resume.bytes_max {
            let why = format!("expected messages of at most {} bytes", resume.bytes_max);
            return Err(CloseFrame::new(CloseCode::TOO_BIG, why));
        }
        if piece.last && self.partial.is_empty() {
            return Ok(Some(piece));
        }
        self.partial.extend_from_slice(&piece.data);
        self.partial_kind = piece.kind;
        Ok(piece.last.then(|| Piece {
            kind: piece.kind,
            data: self.partial.split().freeze(),
            last: true,
        }))
    }

    fn sent(&mut self, socket: &WebSocket, piece: Piece) {
        self.count_up(piece.data.len(), piece.last);
        if self.ledger.keeps() {
            let end = socket.stats().bytes_sent + socket.queued() as u64;
            self.ledger.sent(piece, end);
        }
    }

    /// From the backend to the client's task, as far as there is room.
    fn poll_down(&mut self, socket: &mut WebSocket, cx: &mut Context<'_>) -> Step {
        while self.down.poll_room(cx).is_ready() {
            let received = if self.whole {
                self.poll_message(socket, cx)
            } else {
                poll_chunk(socket, cx)
            };
            match received {
                Poll::Pending => return Step::Waits,
                Poll::Ready(Ok(Some(piece))) => {
                    self.count_down(piece.data.len(), piece.last);
                    self.down.push(Down::Piece(piece));
                }
                Poll::Ready(Ok(None)) => {
                    return Step::Ended(Outcome::Backend(socket.close_frame().cloned()));
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "backend lost");
                    return Step::Ended(Outcome::BackendLost);
                }
            }
        }
        Step::Waits
    }

    fn poll_message(
        &mut self,
        socket: &mut WebSocket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, RecvError>> {
        for _ in 0..PONGS_PER_POLL {
            return match socket.poll_recv_any(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(None)) => Poll::Ready(Ok(None)),
                Poll::Ready(Ok(Some(Incoming::Message(message)))) => Poll::Ready(Ok(Some(Piece {
                    kind: message.kind(),
                    data: message.payload().clone(),
                    last: true,
                }))),
                Poll::Ready(Ok(Some(Incoming::Pong(payload)))) => {
                    self.ledger.confirmed(&payload);
                    // There may be room to send more.
                    cx.waker().wake_by_ref();
                    continue;
                }
                Poll::Ready(Ok(Some(_other))) => continue,
            };
        }
        cx.waker().wake_by_ref(); // after the others' turn
        Poll::Pending
    }
}

fn poll_chunk(
    socket: &mut WebSocket,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Piece>, RecvError>> {
    socket.poll_recv_chunk(cx).map_ok(|chunk| {
        chunk.map(|chunk| Piece {
            kind: chunk.kind,
            data: chunk.data,
            last: chunk.last,
        })
    })
}
