//! Handler style: callbacks that borrow each message from the read buffer.
//!
//! In: what arrived. Out: calls, in order, one at a time. Invariants: after warm-up nothing is
//! allocated per message; all answers to one read leave in one write; while the peer does not
//! take answers, nothing more is read from it.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tidewire_proto::{CloseCode, CloseFrame, Encoder, Event, Kind, Message, MessageRef, Prepared};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    Ending, LastControl, Sender, WebSocket, controls::Control, driver::WRITE_AT,
    shared::SharedConnection,
};
use crate::{
    net::Stream,
    ws::{Membership, Peer, RecvError, SendError, Topic},
};

/// What happens on one connection. Every call returns quickly; work that takes time goes into a
/// task of its own, with a [`Session::sender`] to answer by.
pub trait Handler<S: AsyncRead + AsyncWrite + Unpin + Send + 'static = Stream>:
    Send + 'static
{
    /// The connection is open.
    fn opened(&mut self, session: &mut Session<'_, S>) {
        let _ = session;
    }

    /// A message came.
    fn message(&mut self, session: &mut Session<'_, S>, message: MessageRef<'_>);

    /// A ping came; its pong is queued, unless [`Config::answer_pings`](tidewire_proto::Config::answer_pings) leaves
    /// that to [`Session::send_pong`].
    fn ping(&mut self, session: &mut Session<'_, S>, payload: &[u8]) {
        let _ = (session, payload);
    }

    /// A pong came.
    fn pong(&mut self, session: &mut Session<'_, S>, payload: &[u8]) {
        let _ = (session, payload);
    }

    /// The peer was slow, and has now been sent all that was queued.
    fn drained(&mut self, session: &mut Session<'_, S>) {
        let _ = session;
    }

    /// The connection has ended: with the peer's close frame, if it sent one, or with an error.
    fn closed(&mut self, outcome: Result<Option<&CloseFrame>, &RecvError>) {
        outcome.ok();
    }
}

/// A connection, as its [`Handler`] sees it during a call.
pub struct Session<'a, S: AsyncRead + AsyncWrite + Unpin + Send + 'static = Stream> {
    shared: &'a Arc<SharedConnection<S>>,
    encoder: &'a mut Encoder,
    memberships: &'a mut Vec<Membership>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> fmt::Debug for Session<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", self.shared.peer())
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Session<'_, S> {
    /// Queues a message; it is written when the calls for this read are through.
    ///
    /// # Errors
    /// [`SendError::Full`], when this call alone queues more than
    /// [`send_queue_bytes_max`](tidewire_proto::Config::send_queue_bytes_max); [`SendError::Closed`].
    #[inline]
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        Ok(self.encoder.send_ref(kind, payload)?)
    }

    /// Queues a text message.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_text(&mut self, text: &str) -> Result<(), SendError> {
        self.send(Kind::Text, text.as_bytes())
    }

    /// Queues a binary message.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_binary(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.send(Kind::Binary, bytes)
    }

    /// Queues an owned message; a large one is not copied.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_message(&mut self, message: &Message) -> Result<(), SendError> {
        Ok(self.encoder.send(message)?)
    }

    /// Queues a message that is never compressed: one that holds a secret next to text that
    /// others choose.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_uncompressed(&mut self, message: &Message) -> Result<(), SendError> {
        Ok(self.encoder.send_uncompressed(message)?)
    }

    /// Queues a message that was encoded once for many connections.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        Ok(self.encoder.send_prepared(prepared)?)
    }

    /// Queues a ping of at most 125 bytes.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::ControlTooLong`].
    pub fn send_ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        Ok(self.encoder.ping(payload)?)
    }

    /// Queues a pong of at most 125 bytes; see [`WebSocket::try_pong`].
    ///
    /// # Errors
    /// [`SendError`]; it was not queued.
    pub fn send_pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        Ok(self.encoder.pong(payload)?)
    }

    /// Starts the closing handshake. Messages may still arrive until the peer's close frame.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        let now = Instant::now().into_std();
        self.encoder.close(code, reason, now);
    }

    /// A handle to send from other tasks.
    pub fn sender(&self) -> Sender<S> {
        Sender::new(Arc::clone(self.shared))
    }

    /// See [`WebSocket::join`].
    pub fn join(&mut self, topic: &Topic) {
        if self.membership(topic).is_none() {
            self.memberships.reserve_exact(1);
            self.memberships.push(topic.join());
        }
    }

    /// See [`WebSocket::leave`].
    pub fn leave(&mut self, topic: &Topic) {
        self.memberships.retain(|member| !member.is_of(topic));
    }

    /// See [`WebSocket::membership`].
    pub fn membership(&self, topic: &Topic) -> Option<&Membership> {
        self.memberships.iter().find(|member| member.is_of(topic))
    }

    /// Bytes queued and not yet given to the system.
    pub fn queued(&self) -> usize {
        self.encoder.queued()
    }

    /// The number a server gave this session, from 1; 0 without a server.
    pub fn id(&self) -> u64 {
        self.shared.id()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        self.shared.peer()
    }

    /// The subprotocol agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.subprotocol()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// Lets `handler` see the connection until it has ended. Returns the peer's close frame, if
    /// it sent one.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// When dropped, the connection is aborted.
    pub async fn run(
        mut self,
        mut handler: impl Handler<S>,
    ) -> Result<Option<CloseFrame>, RecvError> {
        let outcome = poll_fn(|cx| self.poll_opened(cx, &mut handler)).await;
        let outcome = match outcome {
            Ok(()) => poll_fn(|cx| self.poll_handle(cx, &mut handler)).await,
            Err(error) => Err(error),
        };
        handler.closed(outcome.as_ref().map(|()| self.inner.close_frame()));
        outcome.map(|()| self.inner.close_frame().cloned())
    }

    /// Calls with the connection, if the encoder is to be had.
    fn session<R>(&mut self, call: impl FnOnce(&mut Session<'_, S>) -> R) -> Option<R> {
        let mut encoder = self.inner.shared.check_out()?;
        let result = call(&mut Session {
            shared: &self.inner.shared,
            encoder: &mut encoder,
            memberships: &mut self.inner.memberships,
        });
        self.inner.shared.check_in(encoder);
        Some(result)
    }

    fn poll_opened(
        &mut self,
        cx: &mut Context<'_>,
        handler: &mut impl Handler<S>,
    ) -> Poll<Result<(), RecvError>> {
        while self.session(|session| handler.opened(session)).is_none() {
            ready!(self.poll_behind_others(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_handle(
        &mut self,
        cx: &mut Context<'_>,
        handler: &mut impl Handler<S>,
    ) -> Poll<Result<(), RecvError>> {
        loop {
            if self.inner.ending != Ending::No {
                ready!(self.poll_end(cx))?;
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = &self.inner.failed {
                return Poll::Ready(Err(error.clone()));
            }
            if self.inner.input.is_some() {
                let Some(full) = self.handle_buffered(handler) else {
                    // Somebody else's messages wait to be queued first.
                    ready!(self.poll_behind_others(cx))?;
                    continue;
                };
                if full {
                    // The peer must take what is queued before more of its own is handled.
                    if ready!(self.poll_flush(cx)).is_err() && self.inner.failed.is_none() {
                        let error = self.inner.shared.lock().failed().cloned();
                        self.fail(error.unwrap_or(RecvError::Lost));
                    }
                    continue;
                }
            }
            if self.inner.ending == Ending::No && self.inner.failed.is_none() {
                let input = self.poll_input(cx);
                if self.inner.shared.lock().take_drained() {
                    self.session(|session| handler.drained(session));
                    continue;
                }
                ready!(input)?;
            }
        }
    }

    /// Hands out what was read. Returns whether it stopped early because too much is queued;
    /// `None` when the encoder is checked out.
    #[inline]
    fn handle_buffered(&mut self, handler: &mut impl Handler<S>) -> Option<bool> {
        let input = self.inner.input.as_mut()?;
        let mut encoder = self.inner.shared.check_out()?;
        let mut session = Session {
            shared: &self.inner.shared,
            encoder: &mut encoder,
            memberships: &mut self.inner.memberships,
        };
        while !input.unread().is_empty() && session.encoder.queued() < WRITE_AT {
            if let Some((used, message)) = self.inner.decoder.receive_whole(input.unread_mut()) {
                handler.message(&mut session, message);
                input.handled(used);
                continue;
            }
            let (used, event) = self.inner.decoder.receive(input.unread_mut());
            let broken = match event {
                Ok(Some(Event::Message(message))) => {
                    handler.message(&mut session, message);
                    None
                }
                Ok(Some(event)) => {
                    let control = Control::of(&event);
                    session.encoder.answer(&event);
                    match event {
                        Event::Ping(body) => handler.ping(&mut session, body),
                        Event::Pong(body) => handler.pong(&mut session, body),
                        Event::Close(frame) => {
                            self.inner.last_control = LastControl::close(frame);
                        }
                        Event::Message(_) | Event::Chunk(_) | _ => {}
                    }
                    let pings_sent = session.encoder.pings_sent();
                    let (answered, decoder) = (&mut self.inner.answered, &mut self.inner.decoder);
                    control.and_then(|it| answered.count(it, pings_sent, decoder).err())
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = broken {
                session.encoder.fail(error);
                self.inner.failed = Some(RecvError::Protocol(error));
            }
            input.handled(used);
        }
        let full = encoder.queued() >= WRITE_AT;
        self.inner.shared.check_in(encoder);
        self.after_events();
        Some(full && self.inner.ending == Ending::No)
    }
}
