//! [`Connection`]: a connection as an async function holds it.

use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{self, AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    Broadcaster, Config, Handler, RecvError, SendError, Sender,
    handler::Running,
    io::Io,
    shared::{End, Shared},
};
use crate::{
    broadcast::Cursor,
    net::{Peer, Stream, timer::after},
    sync::Mutex,
};

/// Where a connection goes that its owner has dropped, to be ended properly.
pub(super) type Returned<S> = Mutex<Option<Box<Io<S>>>>;

/// One connection: TCP, plain or with TLS, of a server or a client.
///
/// Waiting in any of its functions also writes what [senders](Sender) have queued and keeps the deadlines; a
/// connection that nobody waits on does none of that. It is `AsyncRead` and `AsyncWrite`, for whoever brings codecs.
///
/// A server ends a connection properly that its function has dropped: what is queued is sent, then TLS and the
/// stream end. Elsewhere [`close`](Self::close) does that, and dropping a connection loses what is queued.
pub struct Connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static = Stream> {
    /// `None` when it has been given back, and in no function that can be called.
    io: Option<Box<Io<S>>>,
    returned: Weak<Returned<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", self.peer())
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection<S> {
    /// A connection on a stream that the caller has, of any kind.
    pub fn new(stream: S, config: impl Into<Arc<Config>>) -> Self {
        let config = config.into();
        let shared = Shared::new(0, Peer::default(), None, config.send_queue_bytes_max);
        Self::open(stream, Arc::new(shared), config, None)
    }

    pub(super) fn open(
        stream: S,
        shared: Arc<Shared>,
        config: Arc<Config>,
        cursor: Option<Cursor>,
    ) -> Self {
        Self::from_io(Io::new(stream, shared, config, cursor))
    }

    pub(super) fn from_io(io: Io<S>) -> Self {
        Self {
            io: Some(Box::new(io)),
            returned: Weak::new(),
        }
    }

    /// Is given back by a drop.
    pub(super) fn return_to(mut self, returned: &Arc<Returned<S>>) -> Self {
        self.returned = Arc::downgrade(returned);
        self
    }

    fn io(&self) -> &Io<S> {
        self.io.as_deref().expect("it is there until the drop")
    }

    fn io_mut(&mut self) -> &mut Io<S> {
        self.io.as_deref_mut().expect("it is there until the drop")
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.io().shared
    }

    /// The next bytes, all that have come; `None` once the peer has sent its last, and once somebody
    /// [closes](Sender::close) the connection from outside, as a server does that drains.
    ///
    /// # Errors
    /// [`RecvError`]; the connection is over, later calls return it again.
    ///
    /// # Cancel safety
    /// Cancel safe: no byte is lost when the future is dropped.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, RecvError> {
        poll_fn(|cx| self.poll_recv_with(cx, Bytes::copy_from_slice)).await
    }

    /// As [`recv`](Self::recv), without copying: `take` sees the bytes in the read buffer.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// As [`recv`](Self::recv).
    pub async fn recv_with<T>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> T,
    ) -> Result<Option<T>, RecvError> {
        poll_fn(|cx| self.poll_recv_with(cx, &mut take)).await
    }

    fn poll_recv_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<Result<Option<T>, RecvError>> {
        if !ready!(self.poll_input(cx))? {
            return Poll::Ready(Ok(None));
        }
        let input = self.io_mut().take_input();
        Poll::Ready(Ok(input.map(|input| take(input.unread()))))
    }

    /// Writes what is queued, then waits for bytes; ready with `false` when none will come.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, RecvError>> {
        let io = self.io_mut();
        let _pending = io.poll_write_out(cx)?;
        if io.end() == Some(End::Closed) {
            return Poll::Ready(Ok(false));
        }
        match io.poll_fill(cx) {
            Poll::Ready(filled) => Poll::Ready(filled),
            Poll::Pending => io.poll_deadlines(cx).map(Err),
        }
    }

    /// Exactly `len` bytes; `None` when the peer had sent its last before the first of them.
    ///
    /// # Errors
    /// As [`recv`](Self::recv); [`RecvError::Truncated`] when the peer's bytes end in between;
    /// [`RecvError::TooMuch`] when `len` is above
    /// [`receive_buffer_bytes_max`](Config::receive_buffer_bytes_max).
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, the bytes that had come are lost.
    pub async fn recv_exact(&mut self, len: usize) -> Result<Option<Bytes>, RecvError> {
        if len > self.io().config.receive_buffer_bytes_max {
            return Err(self.io_mut().fail(RecvError::TooMuch));
        }
        let mut bytes = BytesMut::new();
        while bytes.len() < len {
            if !poll_fn(|cx| self.poll_input(cx)).await? {
                if bytes.is_empty() {
                    return Ok(None);
                }
                return Err(self.io_mut().fail(RecvError::Truncated));
            }
            let io = self.io_mut();
            if let Some(mut input) = io.take_input() {
                let count = input.unread().len().min(len - bytes.len());
                bytes.extend_from_slice(&input.unread()[..count]);
                input.handled(count);
                io.put_back(input);
            }
        }
        Ok(Some(bytes.freeze()))
    }

    /// Queues bytes and writes what the system takes at once; waits while the queue is full. The rest is written by
    /// whatever waits next; [`flush`](Self::flush) waits for it.
    ///
    /// # Errors
    /// [`SendError::Closed`]; nothing was queued.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, nothing was queued.
    pub async fn send(&mut self, bytes: impl Into<Bytes>) -> Result<(), SendError> {
        let bytes = bytes.into();
        poll_fn(|cx| {
            let io = self.io_mut();
            loop {
                match io.queue(bytes.clone()) {
                    Err(SendError::Full) => {
                        let before = io.queued();
                        match io.poll_write_out(cx) {
                            Poll::Ready(Ok(())) => {}
                            Poll::Ready(Err(_failed)) => {
                                return Poll::Ready(Err(SendError::Closed));
                            }
                            Poll::Pending if io.queued() < before => {}
                            Poll::Pending => {
                                let failed = io.poll_deadlines(cx);
                                return failed.map(|_error| Err(SendError::Closed));
                            }
                        }
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(()) => {
                        // A failure is told by what is called next.
                        let _written = io.poll_write_out(cx);
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        })
        .await
    }

    /// Queues bytes without writing them: whatever waits next does.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]; nothing was queued.
    pub fn try_send(&mut self, bytes: impl Into<Bytes>) -> Result<(), SendError> {
        self.io_mut().queue(bytes.into())
    }

    /// Waits until everything queued has been given to the system.
    ///
    /// # Errors
    /// [`RecvError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn flush(&mut self) -> Result<(), RecvError> {
        poll_fn(|cx| self.poll_flush_out(cx)).await
    }

    fn poll_flush_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        let io = self.io_mut();
        match io.poll_write_out(cx) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => io.poll_deadlines(cx).map(Err),
        }
    }

    /// Ends our direction behind what is queued (half close): the peer reads the end, and may go on sending. With TLS
    /// the peer is told by `close_notify`.
    ///
    /// # Errors
    /// [`RecvError`].
    ///
    /// # Cancel safety
    /// Cancel safe; nothing more can be sent.
    pub async fn finish_sending(&mut self) -> Result<(), RecvError> {
        self.io_mut().end_output();
        self.flush().await
    }

    /// Ends the connection: sends what is queued, ends our direction, and waits for the end of the peer's, at most
    /// for [`close_timeout`](Config::close_timeout); what still comes is discarded.
    ///
    /// # Errors
    /// [`RecvError`], when what was queued could not be sent.
    ///
    /// # Cancel safety
    /// When dropped, the connection is aborted.
    pub async fn close(mut self) -> Result<(), RecvError> {
        self.returned = Weak::new();
        self.finish().await
    }

    /// As [`close`](Self::close), for who cannot give the connection away.
    pub(crate) async fn finish(&mut self) -> Result<(), RecvError> {
        let io = self.io_mut();
        let deadline = after(io.config.close_timeout);
        poll_fn(|cx| io.poll_finish(cx, deadline)).await;
        match io.failed() {
            Some(error) if !io.is_output_ended() => Err(error.clone()),
            // The peer was sent everything; how it ends is its own.
            Some(_) | None => Ok(()),
        }
    }

    /// Lets `handler` see the connection until it has ended.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// When dropped, the connection is aborted.
    pub async fn run(mut self, handler: impl Handler<S>) -> Result<(), RecvError> {
        let Some(io) = self.io.take() else {
            return Err(RecvError::Aborted);
        };
        Running::new(*io, handler).await
    }

    /// Drives the connection without receiving: writes what is queued, and returns when somebody closes it or it
    /// fails.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn drive(&mut self) {
        poll_fn(|cx| match self.poll_flush_out(cx) {
            Poll::Ready(Err(_failed)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending if self.io().end().is_some() => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        })
        .await;
    }

    /// A handle to send from other tasks and threads.
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(self.shared()))
    }

    /// A handle to send to every session of the server; `None` without a server, and once the connection has failed.
    pub fn broadcaster(&self) -> Option<Broadcaster> {
        self.io().broadcaster()
    }

    /// Takes the connection apart into a part that receives and one that sends. The part that receives is the
    /// connection itself: it also writes what the other queues.
    pub fn split(self) -> (Self, Sender) {
        let sender = self.sender();
        (self, sender)
    }

    /// The number a server gave this session, from 1 and never twice; 0 without a server.
    pub fn id(&self) -> u64 {
        self.shared().id
    }

    /// Who is at the other end, and what the TLS handshake told.
    pub fn peer(&self) -> &Peer {
        &self.shared().peer
    }

    /// Our address of the connection.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared().local
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.shared().queued.load(Ordering::Relaxed)
    }

    /// Bytes given to the system on this connection.
    pub fn bytes_sent(&self) -> u64 {
        self.shared().sent.load(Ordering::Relaxed)
    }

    /// Bytes received on this connection.
    pub fn bytes_received(&self) -> u64 {
        self.shared().received.load(Ordering::Relaxed)
    }

    /// Returns whether bytes can still be sent.
    pub fn is_open(&self) -> bool {
        self.shared().is_open()
    }

    /// The byte stream below, for addresses and options: to read from it or write to it breaks the connection.
    pub fn stream(&self) -> &S {
        self.io().stream()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for Connection<S> {
    fn drop(&mut self) {
        let Some(io) = self.io.take() else {
            return;
        };
        match self.returned.upgrade() {
            Some(returned) => *returned.lock() = Some(io),
            None => io.shared.abandon(),
        }
    }
}

/// Ends a connection properly that its owner has dropped.
pub(super) async fn finish<S: AsyncRead + AsyncWrite + Unpin>(mut io: Box<Io<S>>) {
    let deadline: Instant = after(io.config.close_timeout);
    poll_fn(|cx| io.poll_finish(cx, deadline)).await;
    io.shared.abandon();
}

fn to_io(error: &RecvError) -> io::Error {
    match error {
        RecvError::Io(error) => io::Error::new(error.kind(), Arc::clone(error)),
        RecvError::WriteTimedOut | RecvError::Idle => {
            io::Error::new(io::ErrorKind::TimedOut, error.clone())
        }
        RecvError::Truncated => io::Error::new(io::ErrorKind::UnexpectedEof, error.clone()),
        RecvError::TooMuch | RecvError::TooSlow | RecvError::Aborted => {
            io::Error::new(io::ErrorKind::ConnectionAborted, error.clone())
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_input(cx)).map_err(|error| to_io(&error))? {
            let io = self.io_mut();
            if let Some(mut input) = io.take_input() {
                let count = input.unread().len().min(buf.remaining());
                buf.put_slice(&input.unread()[..count]);
                input.handled(count);
                io.put_back(input);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush_out(cx)).map_err(|error| to_io(&error))?;
        let io = self.io_mut();
        match io.queue_slice(buf) {
            Ok(()) => {
                // A failure is told by what is called next.
                let _written = io.poll_write_out(cx);
                Poll::Ready(Ok(buf.len()))
            }
            Err(_closed) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_out(cx).map_err(|error| to_io(&error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io_mut().end_output();
        self.poll_flush(cx)
    }
}
