//! A backend session while its backend is there.
//!
//! One future polls both directions by hand, since each must go on while the other waits: a backend
//! that takes nothing while it sends is no reason to stop reading from it.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::Bytes;
use tidewire::ws::{
    CloseCode, CloseFrame, Incoming, IncomingChunk, RecvError, SendError, WebSocket,
};

use super::{Backend, BackendSession, unhealthy};
use crate::backend::queue::{Down, Piece, Up};

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

/// Pings and pongs that a backend may send before others have their turn.
const CONTROLS_PER_POLL: u32 = 256;

/// How far one direction has come.
enum Step {
    /// Nothing more can be done now.
    Waits,
    /// The send queue is full.
    Full,
    Ended(Outcome),
}

impl BackendSession {
    /// Relays until either side ends.
    pub(super) async fn relay(&mut self, backend: &mut Backend) -> Outcome {
        let record = std::sync::Arc::clone(&self.record);
        let Backend {
            socket,
            lease,
            end_to_end,
            head: _,
        } = backend;
        let end_to_end = *end_to_end;
        let relay = poll_fn(|cx| match lease.poll_unhealthy(cx) {
            Poll::Ready(()) => Poll::Ready(self.leave(socket, end_to_end, cx)),
            Poll::Pending => self.poll_relay(socket, end_to_end, cx),
        });
        tokio::select! {
            outcome = relay => outcome,
            frame = record.asked_to_end() => Outcome::Ended(frame),
        }
    }

    /// Nothing more goes up to a backend that hangs; what it has said before is passed on.
    fn leave(&mut self, socket: &mut WebSocket, end_to_end: bool, cx: &mut Context<'_>) -> Outcome {
        match self.poll_down(socket, end_to_end, cx) {
            Step::Ended(outcome) => outcome,
            Step::Waits | Step::Full if self.resume.is_some() => Outcome::Unhealthy,
            Step::Waits | Step::Full => Outcome::Ended(unhealthy()),
        }
    }

    fn poll_relay(
        &mut self,
        socket: &mut WebSocket,
        end_to_end: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome> {
        loop {
            let up = self.poll_up(socket, cx);
            if let Step::Ended(outcome) = up {
                // What the client proved before its end goes before the close.
                self.poll_answers(socket, cx);
                return Poll::Ready(outcome);
            }
            if let Step::Ended(outcome) = self.poll_down(socket, end_to_end, cx) {
                return Poll::Ready(outcome);
            }
            let answers = self.poll_answers(socket, cx);
            // Writes also what is not waited for by a receive.
            let flushed = socket.poll_flush(cx);
            if self.ledger.keeps() {
                self.ledger.settle(socket.stats().bytes_sent);
            }
            let full = matches!(up, Step::Full) || matches!(answers, Step::Full);
            match flushed {
                Poll::Ready(Err(_error)) => return Poll::Ready(self.broken()),
                // There is room again.
                Poll::Ready(Ok(())) if full => {}
                Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
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
        let held = if piece.last {
            0
        } else {
            self.partial.capacity()
        };
        if held != self.partial_memory.bytes() && self.partial_memory.resize(held).is_err() {
            self.account.evict();
        }
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
    fn poll_down(
        &mut self,
        socket: &mut WebSocket,
        end_to_end: bool,
        cx: &mut Context<'_>,
    ) -> Step {
        let mut controls = CONTROLS_PER_POLL;
        while self.down.poll_room(cx).is_ready() {
            let received = if self.whole {
                poll_message(socket, cx)
            } else {
                poll_chunk(socket, cx)
            };
            match received {
                Poll::Pending => return Step::Waits,
                Poll::Ready(Ok(Some(Received::Piece(piece)))) => {
                    self.has_spoken = true;
                    self.count_down(piece.data.len(), piece.last);
                    self.down.push(Down::Piece(piece));
                }
                Poll::Ready(Ok(Some(control))) => {
                    if controls == 0 {
                        cx.waker().wake_by_ref(); // after the others' turn
                        return Step::Waits;
                    }
                    controls -= 1;
                    self.control(control, socket, end_to_end, cx);
                }
                Poll::Ready(Ok(None)) => {
                    return Step::Ended(Outcome::Backend(socket.close_frame().cloned()));
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(error = %tidewire::ErrorChain(&error), "backend lost");
                    return Step::Ended(self.broken());
                }
            }
        }
        Step::Waits
    }

    /// The backend's socket has failed, or was ended here, together with the client's, to make room for others.
    fn broken(&self) -> Outcome {
        if self.account.is_evicted() {
            let why = "the memory for connections is used up";
            return Outcome::Ended(CloseFrame::new(CloseCode::TRY_AGAIN_LATER, why));
        }
        Outcome::BackendLost
    }

    fn control(
        &mut self,
        control: Received,
        socket: &mut WebSocket,
        end_to_end: bool,
        cx: &Context<'_>,
    ) {
        match control {
            Received::Ping(payload) if end_to_end => {
                let number = self.pings.received(payload);
                self.down.push_ping(number);
            }
            Received::Ping(payload) => send_pong(socket, &payload),
            Received::Pong(payload) => {
                self.ledger.confirmed(&payload);
                // There may be room to send more.
                cx.waker().wake_by_ref();
            }
            Received::Piece(_) | Received::Nothing => {}
        }
    }

    /// Answers the backend's pings as far as the client has.
    fn poll_answers(&mut self, socket: &mut WebSocket, cx: &Context<'_>) -> Step {
        if self.pings.is_empty() {
            return Step::Waits;
        }
        let proved = self.proved.newest(cx);
        // Behind much that is queued only the newest pong would be kept, and the backend may wait for each.
        let queue_max = self.config.control_queue_bytes_max;
        while socket.queued() <= queue_max {
            if let Some((number, payload)) = self.proved.take_odd() {
                if self.pings.has_until(number) {
                    send_pong(socket, &payload);
                }
            } else if let Some(payload) = self.pings.pong(proved) {
                send_pong(socket, &payload);
            } else {
                return Step::Waits;
            }
        }
        Step::Full
    }
}

/// What came from a backend.
enum Received {
    Piece(Piece),
    Ping(Bytes),
    Pong(Bytes),
    /// The beginning of its end.
    Nothing,
}

fn poll_message(
    socket: &mut WebSocket,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Received>, RecvError>> {
    socket.poll_recv_any(cx).map_ok(|incoming| {
        incoming.map(|incoming| match incoming {
            Incoming::Message(message) => Received::Piece(Piece {
                kind: message.kind(),
                data: message.payload().clone(),
                last: true,
            }),
            Incoming::Ping(payload) => Received::Ping(payload),
            Incoming::Pong(payload) => Received::Pong(payload),
            Incoming::Closing(_) | _ => Received::Nothing,
        })
    })
}

fn poll_chunk(
    socket: &mut WebSocket,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Received>, RecvError>> {
    socket.poll_recv_chunk_any(cx).map_ok(|incoming| {
        incoming.map(|incoming| match incoming {
            IncomingChunk::Chunk(chunk) => Received::Piece(Piece {
                kind: chunk.kind,
                data: chunk.data,
                last: chunk.last,
            }),
            IncomingChunk::Ping(payload) => Received::Ping(payload),
            IncomingChunk::Pong(payload) => Received::Pong(payload),
            _ => Received::Nothing,
        })
    })
}

fn send_pong(socket: &mut WebSocket, payload: &[u8]) {
    if let Err(error) = socket.try_pong(payload) {
        tracing::debug!(error = %tidewire::ErrorChain(&error), "a pong was not sent");
    }
}
