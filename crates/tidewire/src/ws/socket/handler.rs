//! Handler style: callbacks that borrow each message from the read buffer.
//!
//! In: what arrived. Out: calls, in order, one at a time. Invariants: after warm-up nothing is
//! allocated per message; all answers to one read leave in one write; while the peer does not
//! take answers, nothing more is read from it.

use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tidewire_proto::{
    CloseCode, CloseFrame, Encoder, Event, Kind, Message, MessageRef, Prepared, ProtocolError,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    driver::{Decoded, Driver},
    publications::WRITE_AT,
    receiver::{Flow, Sink},
    sender::Sender,
    shared::SharedConnection,
};
use crate::{
    net::Stream,
    ws::{Membership, Peer, RecvError, SendError, Topic},
};

/// The events of one connection. Every call returns quickly; work that takes time goes into a
/// task of its own, with a [`Session::sender`] to answer by.
///
/// Order of the calls: [`opened`](Self::opened) once, when the client has been answered (TLS is done long before);
/// then [`message`](Self::message), [`ping`](Self::ping), [`pong`](Self::pong) as they come, and
/// [`drained`](Self::drained) as it happens; at last [`closed`](Self::closed), once, after which nothing is called.
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
    /// [`send_queue_bytes_max`](tidewire_proto::Config::send_queue_bytes_max), together with what was published
    /// before; [`SendError::Closed`].
    #[inline]
    pub fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.hand_out_before()?;
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
        self.hand_out_before()?;
        Ok(self.encoder.send(message)?)
    }

    /// Queues a message that is never compressed: one that holds a secret next to text that
    /// others choose.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_uncompressed(&mut self, message: &Message) -> Result<(), SendError> {
        self.hand_out_before()?;
        Ok(self.encoder.send_uncompressed(message)?)
    }

    /// Queues a message that was encoded once for many connections.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, prepared: &Prepared) -> Result<(), SendError> {
        self.hand_out_before()?;
        Ok(self.encoder.send_prepared(prepared)?)
    }

    /// Queues a ping of at most 125 bytes.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::ControlTooLong`].
    pub fn send_ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        Ok(self.encoder.ping(payload)?)
    }

    /// Queues a pong of at most 125 bytes; see [`WebSocket::try_pong`](super::WebSocket::try_pong).
    ///
    /// # Errors
    /// [`SendError`]; it was not queued.
    pub fn send_pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        Ok(self.encoder.pong(payload)?)
    }

    /// Starts the closing handshake. Messages may still arrive until the peer's close frame. What was
    /// published to its topics before goes out first, as far as there is room.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.shared.close_into(self.encoder, code, reason);
    }

    /// Queues first what was published before.
    #[inline]
    fn hand_out_before(&mut self) -> Result<(), SendError> {
        Ok(self
            .shared
            .hand_out_before(self.memberships, self.encoder)?)
    }

    /// A handle to send from other tasks.
    pub fn sender(&self) -> Sender<S> {
        Sender::new(Arc::clone(self.shared))
    }

    /// See [`WebSocket::join`](super::WebSocket::join).
    pub fn join(&mut self, topic: &Topic) {
        if self.membership(topic).is_none() {
            let (membership, cursor) = topic.join();
            self.memberships.reserve_exact(1);
            self.memberships.push(membership);
            self.shared.lock().join(cursor);
        }
    }

    /// See [`WebSocket::leave`](super::WebSocket::leave).
    pub fn leave(&mut self, topic: &Topic) {
        self.memberships.retain(|member| !member.is_of(topic));
        self.shared.lock().leave(topic);
    }

    /// See [`WebSocket::membership`](super::WebSocket::membership).
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

/// Calls a handler with what is received.
struct Calls<'a, 'h, S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H> {
    session: Session<'a, S>,
    handler: &'h mut H,
    /// It was called.
    called: bool,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H> Calls<'a, '_, S, H> {
    /// Returns whether the peer must take what is queued before more of its own is handled.
    #[inline]
    fn flow(&self) -> Flow {
        if self.session.encoder.queued() >= WRITE_AT {
            Flow::Stop
        } else {
            Flow::Continue
        }
    }

    #[inline]
    fn call(&mut self, call: impl FnOnce(&mut H, &mut Session<'a, S>)) -> Flow {
        self.called = true;
        call(self.handler, &mut self.session);
        self.flow()
    }
}

impl<S, H> Sink for Calls<'_, '_, S, H>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler<S>,
{
    #[inline]
    fn message(&mut self, message: MessageRef<'_>) -> Flow {
        self.call(|handler, session| handler.message(session, message))
    }

    fn ping(&mut self, payload: &[u8]) -> Flow {
        self.call(|handler, session| handler.ping(session, payload))
    }

    fn pong(&mut self, payload: &[u8]) -> Flow {
        self.call(|handler, session| handler.pong(session, payload))
    }

    fn closing(&mut self, _: Option<&CloseFrame>) -> Flow {
        Flow::Continue // told when the connection has ended
    }

    fn answer(&mut self, event: &Event<'_>) -> u32 {
        self.session.encoder.answer(event);
        self.session.encoder.pings_sent()
    }

    fn fail(&mut self, error: ProtocolError) {
        self.session.encoder.fail(error);
    }
}

/// Lets `handler` see the connection until it has ended, properly or with an error.
///
/// # Errors
/// As [`recv`](super::WebSocket::recv).
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    driver: &mut Driver<S>,
    handler: &mut impl Handler<S>,
) -> Result<(), RecvError> {
    poll_fn(|cx| poll_opened(driver, cx, handler)).await?;
    poll_fn(|cx| {
        driver.poll_receive(cx, |driver, drained| -> Decoded<Infallible> {
            if drained {
                with_session(driver, |session| handler.drained(session));
            }
            decode(driver, handler)
        })
    })
    .await
    .map(|_ended| ())
}

fn poll_opened<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    driver: &mut Driver<S>,
    cx: &mut Context<'_>,
    handler: &mut impl Handler<S>,
) -> Poll<Result<(), RecvError>> {
    while with_session(driver, |session| handler.opened(session)).is_none() {
        ready!(driver.poll_behind_others(cx))?;
    }
    Poll::Ready(Ok(()))
}

/// Calls with the connection, unless the encoder is checked out.
fn with_session<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, R>(
    driver: &mut Driver<S>,
    call: impl FnOnce(&mut Session<'_, S>) -> R,
) -> Option<R> {
    let mut encoder = driver.shared.check_out()?;
    let result = call(&mut Session {
        shared: &driver.shared,
        encoder: &mut encoder,
        memberships: &mut driver.memberships,
    });
    driver.shared.check_in(encoder);
    Some(result)
}

/// Hands out what was read.
#[inline]
fn decode<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, T>(
    driver: &mut Driver<S>,
    handler: &mut impl Handler<S>,
) -> Decoded<T> {
    if !driver.receiver.has_input() {
        return Decoded::Exhausted;
    }
    let Some(mut encoder) = driver.shared.check_out() else {
        return Decoded::Waiting;
    };
    let mut calls = Calls {
        session: Session {
            shared: &driver.shared,
            encoder: &mut encoder,
            memberships: &mut driver.memberships,
        },
        handler,
        called: false,
    };
    let mut flow = calls.flow();
    if flow == Flow::Continue {
        flow = driver.receiver.decode(&mut calls);
    }
    let called = calls.called;
    driver.shared.check_in(encoder);
    match (flow, called) {
        (Flow::Stop, _) => Decoded::Full,
        (Flow::Continue, true) => Decoded::Delivered,
        (Flow::Continue, false) => Decoded::Exhausted,
    }
}
