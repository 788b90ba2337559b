//! Handler style: hooks that borrow the bytes from the read buffer.
//!
//! In: what happens on a connection. Out: calls, in order, one at a time. Invariants: after warm-up nothing is
//! allocated per call; all answers to one read leave in one write; while the peer does not take answers, nothing
//! more is read from it.

use std::{
    fmt, mem,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    RecvError, SendError, Sender,
    io::{Io, WRITE_AT},
    shared::End,
};
use crate::net::{Peer, Stream, buffer, timer::after};

/// Slices from this length on are given to the system without being copied, if nothing waits in front of them.
const WRITE_THROUGH_AT: usize = 4 << 10;

/// After so many reads in a row, other tasks have their turn.
const READS_MAX: u32 = 16;

/// The events of one connection. Every call returns quickly; work that takes time goes into a task of its own, with a
/// [`Session::sender`] to answer by.
///
/// Order of the calls: [`opened`](Self::opened) and [`drained`](Self::drained) once; then
/// [`received`](Self::received), [`sent`](Self::sent) and `drained` as it happens, `sent` before `drained`;
/// [`finished`](Self::finished) when the peer has sent its last byte, and no `received` after it; at last
/// [`closed`](Self::closed), once, after which nothing is called. With TLS the handshake is done before `opened`;
/// [`Session::peer`] tells what it brought.
///
/// ```no_run
/// use tidewire::tcp::{Handler, Server, ServerConfig, Session};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     fn received(&mut self, session: &mut Session<'_>, bytes: &[u8]) {
///         // Full: the peer does not read its answers; then it is told no more of them.
///         if session.send(bytes).is_err() {
///             session.abort();
///         }
///     }
/// }
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ServerConfig::new("127.0.0.1:7".parse()?);
/// let server = Server::handlers(config, |_session| Echo).start()?;
/// println!("{}", server.local_addr());
/// # Ok(()) }
/// ```
pub trait Handler<S: AsyncRead + AsyncWrite + Unpin + Send + 'static = Stream>:
    Send + 'static
{
    /// The connection is open.
    fn opened(&mut self, session: &mut Session<'_, S>) {
        let _ = session;
    }

    /// Bytes came: at least one, cut anywhere. Those that are of no use before more have come can be
    /// [left](Session::keep_unread).
    fn received(&mut self, session: &mut Session<'_, S>, bytes: &[u8]);

    /// So many bytes were given to the system since the last call; `pending` wait still.
    fn sent(&mut self, session: &mut Session<'_, S>, bytes: usize, pending: usize) {
        let _ = (session, bytes, pending);
    }

    /// Nothing waits to be sent: everything has been given to the system. Also called behind
    /// [`opened`](Self::opened).
    fn drained(&mut self, session: &mut Session<'_, S>) {
        let _ = session;
    }

    /// The peer has sent its last byte; it may still receive. By default the connection is
    /// [closed](Session::close), behind what is queued.
    fn finished(&mut self, session: &mut Session<'_, S>) {
        session.close();
    }

    /// The connection is over: properly, by either end, or with an error.
    fn closed(&mut self, outcome: Result<(), &RecvError>) {
        outcome.ok();
    }
}

/// A connection, as its [`Handler`] sees it during a call.
pub struct Session<'a, S: AsyncRead + AsyncWrite + Unpin + Send + 'static = Stream> {
    io: &'a mut Io<S>,
    waker: &'a Waker,
    keep: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> fmt::Debug for Session<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", self.peer())
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Session<'_, S> {
    /// Sends bytes: queues them, to be written when the call is through; a large slice in front of which nothing
    /// waits is written at once, as far as the system takes it.
    ///
    /// # Errors
    /// [`SendError::Full`], when more than [`send_queue_bytes_max`](super::Config::send_queue_bytes_max) would be
    /// queued; [`SendError::Closed`]. Nothing was sent then.
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        if bytes.len() < WRITE_THROUGH_AT {
            return self.io.queue_slice(bytes);
        }
        self.send_large(bytes)
    }

    #[inline(never)]
    fn send_large(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        // Nothing is sent of what may not be sent whole.
        self.io.queue_slice(&[])?;
        let queued = self.io.shared.queued.load(Ordering::Relaxed);
        if queued > 0 && queued.saturating_add(bytes.len()) > self.io.config.send_queue_bytes_max {
            return Err(SendError::Full);
        }
        let written = self.io.write_through(self.waker, bytes);
        if written == bytes.len() {
            return Ok(());
        }
        self.io.queue_slice(&bytes[written..])
    }

    /// Sends owned or shared bytes; from 1 KiB on they are not copied.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_bytes(&mut self, bytes: impl Into<Bytes>) -> Result<(), SendError> {
        self.io.queue(bytes.into())
    }

    /// Sends bytes to every session of the server, this one too; see
    /// [`RunningServer::broadcast`](super::RunningServer::broadcast). Does nothing without a server.
    pub fn broadcast(&self, bytes: &[u8]) {
        if let Some(broadcaster) = self.io.broadcaster() {
            broadcaster.send(bytes);
        }
    }

    /// Leaves the last `count` bytes of those that [`received`](Handler::received) was called with: the next call
    /// begins with them. More than [`receive_buffer_bytes_max`](super::Config::receive_buffer_bytes_max) end the
    /// connection with [`RecvError::TooMuch`].
    pub fn keep_unread(&mut self, count: usize) {
        self.keep = count;
    }

    /// Ends the connection when everything queued has been sent.
    pub fn close(&mut self) {
        self.io.shared.end(End::Closed);
    }

    /// Ends the connection at once; what is queued is dropped.
    pub fn abort(&mut self) {
        self.io.shared.end(End::Aborted);
    }

    /// A handle to send from other tasks and threads.
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.io.shared))
    }

    /// The number a server gave this session, from 1 and never twice; 0 without a server.
    pub fn id(&self) -> u64 {
        self.io.shared.id
    }

    /// Who is at the other end, and what the TLS handshake told.
    pub fn peer(&self) -> &Peer {
        &self.io.shared.peer
    }

    /// Our address of the connection.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.io.shared.local
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.io.shared.queued.load(Ordering::Relaxed)
    }

    /// Bytes given to the system on this connection.
    pub fn bytes_sent(&self) -> u64 {
        self.io.shared.sent.load(Ordering::Relaxed)
    }

    /// Bytes received on this connection.
    pub fn bytes_received(&self) -> u64 {
        self.io.shared.received.load(Ordering::Relaxed)
    }

    /// The byte stream below, for addresses and options: to read from it or write to it breaks the connection.
    pub fn stream(&self) -> &S {
        self.io.stream()
    }
}

/// A connection at work with its handler.
pub(super) struct Running<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H: Handler<S>> {
    io: Io<S>,
    handler: H,
    phase: Phase,
    /// Bytes that the handler has left.
    held: Vec<u8>,
    /// Bytes sent when the handler was last told.
    told_sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Finished,
    Ending { deadline: Instant },
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H: Handler<S>> Running<S, H> {
    pub(super) fn new(io: Io<S>, handler: H) -> Self {
        Self {
            io,
            handler,
            phase: Phase::Opening,
            held: Vec::new(),
            told_sent: 0,
        }
    }

    fn call(&mut self, waker: &Waker, call: impl FnOnce(&mut H, &mut Session<'_, S>)) {
        call(
            &mut self.handler,
            &mut Session {
                io: &mut self.io,
                waker,
                keep: 0,
            },
        );
    }

    fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        if self.phase == Phase::Opening {
            self.phase = Phase::Open;
            self.call(cx.waker(), H::opened);
            if self.io.queued() == 0 {
                self.call(cx.waker(), H::drained);
            }
        }
        let mut reads = 0;
        loop {
            if let Phase::Ending { deadline } = self.phase {
                ready!(self.io.poll_finish(cx, deadline));
                return Poll::Ready(self.io.failed().cloned().map_or(Ok(()), Err));
            }
            let written = self.io.poll_write_out(cx)?;
            if self.tell_sent(cx.waker(), written.is_ready()) {
                continue; // it may have queued something
            }
            if self.io.end().is_some() {
                let deadline = after(self.io.config.close_timeout);
                self.phase = Phase::Ending { deadline };
                continue;
            }
            if self.io.queued() >= WRITE_AT || self.phase == Phase::Finished {
                return self.io.poll_deadlines(cx).map(Err);
            }
            if reads == READS_MAX {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            match self.io.poll_fill(cx)? {
                Poll::Ready(true) => self.hand_out(cx.waker())?,
                Poll::Ready(false) => {
                    self.phase = Phase::Finished;
                    self.call(cx.waker(), H::finished);
                }
                Poll::Pending => return self.io.poll_deadlines(cx).map(Err),
            }
        }
    }

    /// Tells what was sent; returns whether it was.
    fn tell_sent(&mut self, waker: &Waker, is_drained: bool) -> bool {
        let sent = self.io.shared.sent.load(Ordering::Relaxed);
        if sent == self.told_sent {
            return false;
        }
        let count = usize::try_from(sent - self.told_sent).unwrap_or(usize::MAX);
        self.told_sent = sent;
        let pending = self.io.queued();
        self.call(waker, |handler, session| {
            handler.sent(session, count, pending);
        });
        if is_drained && self.io.queued() == 0 {
            self.call(waker, H::drained);
        }
        true
    }

    /// Gives the handler what was read, behind what it has left.
    fn hand_out(&mut self, waker: &Waker) -> Result<(), RecvError> {
        let Some(input) = self.io.take_input() else {
            return Ok(());
        };
        let mut session = Session {
            io: &mut self.io,
            waker,
            keep: 0,
        };
        if self.held.is_empty() {
            let bytes = input.unread();
            self.handler.received(&mut session, bytes);
            let keep = session.keep.min(bytes.len());
            if keep > 0 {
                self.held = buffer::write_buffer();
                self.held.extend_from_slice(&bytes[bytes.len() - keep..]);
            }
        } else {
            self.held.extend_from_slice(input.unread());
            drop(input); // into the pool
            self.handler.received(&mut session, &self.held);
            let used = self.held.len() - session.keep.min(self.held.len());
            self.held.drain(..used);
            if self.held.is_empty() {
                buffer::keep_write_buffer(mem::take(&mut self.held));
            }
        }
        if self.held.len() > self.io.config.receive_buffer_bytes_max {
            return Err(self.io.fail(RecvError::TooMuch));
        }
        Ok(())
    }

    fn close(&mut self, outcome: Result<(), &RecvError>) {
        self.phase = Phase::Over;
        self.io.shared.abandon();
        self.handler.closed(outcome);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H: Handler<S>> Unpin for Running<S, H> {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H: Handler<S>> Future for Running<S, H> {
    type Output = Result<(), RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.poll_run(cx));
        self.close(outcome.as_ref().map(|_ended| ()));
        Poll::Ready(outcome)
    }
}

/// However it ends, the handler is told.
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static, H: Handler<S>> Drop for Running<S, H> {
    fn drop(&mut self) {
        match self.phase {
            Phase::Opening => self.io.shared.abandon(), // it knows of nothing
            Phase::Open | Phase::Finished | Phase::Ending { .. } => {
                self.close(Err(&RecvError::Aborted));
            }
            Phase::Over => {}
        }
    }
}
