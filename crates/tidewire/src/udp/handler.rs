//! Handler style: calls that borrow each datagram from the read buffer.
//!
//! In: batches of datagrams. Out: calls, in order, one at a time. Invariants: after warm-up nothing is allocated per
//! datagram; all answers to one batch leave together; while the system takes no answers, nothing more is read.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use super::{
    bind::Change,
    buffer::Buffer,
    datagram::{DatagramRef, Origin},
    error::{GroupError, RecvError, SendError, SocketError},
    group::Group,
    outgoing::{Entry, Full, Outgoing},
    sender::Sender,
    shared::{Flushed, Outcome, Shared, is_about_earlier},
};

/// How many batches are handled until other tasks of the thread have their turn.
pub(super) const BATCHES_MAX: usize = 8;

/// How many are handled when the socket is to be closed: more than the system holds by itself, but not what somebody
/// sends without end.
pub(super) const LAST_BATCHES_MAX: usize = 128;

/// The events of one socket. Every call returns quickly; work that takes time goes into a task of its own, with a
/// [`Session::sender`] to answer by.
///
/// Their order: `opened`; `joined` for the groups of the configuration; `drained`; then `received`, `sent`, `drained`,
/// `failed`, `joined` and `left` as things happen, where `sent` of a batch's answers follows the last `received` of the
/// batch; at last `closed`.
pub trait Handler: Send + 'static {
    /// The socket is bound.
    fn opened(&mut self, session: &mut Session<'_>) {
        let _ = session;
    }

    /// A datagram came.
    fn received(&mut self, session: &mut Session<'_>, datagram: DatagramRef<'_>);

    /// A datagram that was queued by the [`Session`] has been given to the system. Those of a [`Sender`] are not told.
    #[inline]
    fn sent(&mut self, session: &mut Session<'_>, to: SocketAddr, bytes: usize) {
        let _ = (session, to, bytes);
    }

    /// All that was queued has been given to the system, after it had taken no more for a while; also called once when
    /// the socket is opened.
    fn drained(&mut self, session: &mut Session<'_>) {
        let _ = session;
    }

    /// A datagram was not sent, or did not arrive as far as the system was told (ICMP). The socket goes on.
    fn failed(&mut self, session: &mut Session<'_>, error: &SocketError) {
        let _ = (session, error);
    }

    /// The socket has become a member of a group.
    fn joined(&mut self, session: &mut Session<'_>, group: &Group) {
        let _ = (session, group);
    }

    /// The socket has left a group.
    fn left(&mut self, session: &mut Session<'_>, group: &Group) {
        let _ = (session, group);
    }

    /// The socket is closed: on request, or since the system has failed.
    fn closed(&mut self, outcome: Result<(), &RecvError>) {
        outcome.ok();
    }
}

/// A socket, as its [`Handler`] sees it during a call.
pub struct Session<'a> {
    shared: &'a Arc<Shared>,
    out: &'a mut Outgoing,
    /// Of the datagram that the call is about.
    origin: Option<Origin>,
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("local", &self.shared.core.local)
            .finish_non_exhaustive()
    }
}

impl Session<'_> {
    /// Queues a datagram to the sender of the one that was received, from the address which that was sent to. Sent when the
    /// calls for this batch are through.
    ///
    /// # Errors
    /// [`SendError`]; also when the call is not about a datagram.
    #[inline]
    pub fn reply(&mut self, payload: &[u8]) -> Result<(), SendError> {
        let origin = self.origin.ok_or(SendError::NoPeer)?;
        let to = self.shared.core.check(payload.len(), Some(origin.from))?;
        let source = self.shared.core.source_of_reply(&origin);
        let pushed = self.out.push(payload, to, source);
        pushed.map_err(|Full| SendError::Full)
    }

    /// Queues a datagram to the peer of a client.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.push(payload, None)
    }

    /// Queues a datagram to `to`.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_to(&mut self, payload: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.push(payload, Some(to))
    }

    fn push(&mut self, payload: &[u8], to: Option<SocketAddr>) -> Result<(), SendError> {
        let to = self.shared.core.check(payload.len(), to)?;
        let pushed = self.out.push(payload, to, None);
        pushed.map_err(|Full| SendError::Full)
    }

    /// Closes the socket when what is queued has been sent.
    pub fn close(&mut self) {
        self.shared.start_close();
    }

    /// A handle to send from other tasks, and to join groups.
    pub fn sender(&self) -> Sender {
        Sender {
            shared: Arc::clone(self.shared),
        }
    }

    /// See [`Sender::join`].
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn join(&mut self, group: &Group) -> Result<(), GroupError> {
        self.shared.join(group)
    }

    /// See [`Sender::leave`].
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn leave(&mut self, group: &Group) -> Result<(), GroupError> {
        self.shared.leave(group)
    }

    /// Bytes of payload queued by the handler and not yet given to the system.
    pub fn queued(&self) -> usize {
        self.out.queued()
    }

    /// The address the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.core.local
    }

    /// The peer of a client.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.shared.core.peer
    }
}

/// A handler at work.
struct Running<'a, H> {
    shared: &'a Arc<Shared>,
    handler: &'a mut H,
}

impl<H: Handler> Outcome for Running<'_, H> {
    #[inline]
    fn sent(&mut self, out: &mut Outgoing, entry: Entry) {
        let (handler, mut session) = self.session(out, None);
        handler.sent(&mut session, entry.to, entry.len);
    }

    fn failed(&mut self, out: &mut Outgoing, error: SocketError) {
        let (handler, mut session) = self.session(out, None);
        handler.failed(&mut session, &error);
    }

    fn lost(&mut self, out: &mut Outgoing, error: SocketError) {
        self.failed(out, error);
    }
}

impl<H: Handler> Running<'_, H> {
    fn session<'a>(
        &'a mut self,
        out: &'a mut Outgoing,
        origin: Option<Origin>,
    ) -> (&'a mut H, Session<'a>) {
        let session = Session {
            shared: self.shared,
            out,
            origin,
        };
        (self.handler, session)
    }

    /// Handles a batch; returns whether there may be more to read.
    #[inline]
    fn receive(&mut self, out: &mut Outgoing) -> Result<bool, RecvError> {
        Buffer::lend(|buffer| match self.shared.recv(buffer) {
            Ok(reads) => {
                let (mut datagrams, mut bytes) = (0, 0);
                for datagram in buffer.datagrams(reads.count, self.shared.system.local) {
                    datagrams += 1;
                    bytes += datagram.payload.len() as u64;
                    if self
                        .shared
                        .core
                        .admit(datagram.payload.len(), &datagram.origin)
                    {
                        let (handler, mut session) = self.session(out, Some(datagram.origin));
                        handler.received(&mut session, datagram);
                    }
                }
                self.shared.core.counters.received(datagrams, bytes);
                Ok(!reads.is_last)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if is_about_earlier(&error) => {
                self.errors(out, Some(error));
                Ok(true)
            }
            Err(error) => Err(RecvError::Io(error)),
        })
    }

    /// Tells what the system has learned of; `error` is one that a call gave, for a system that has no queue of them.
    fn errors(&mut self, out: &mut Outgoing, error: Option<io::Error>) {
        let mut error = error;
        while let Some(queued) = self.shared.take_error() {
            error = None;
            self.failed(out, queued);
        }
        if let Some(error) = error {
            let to = self.shared.core.peer;
            let error = SocketError { to, error };
            self.shared.count(&error);
            self.failed(out, error);
        }
    }

    fn attend(&mut self, out: &mut Outgoing) {
        for (change, group) in self.shared.take_changes() {
            let (handler, mut session) = self.session(out, None);
            match change {
                Change::Join => handler.joined(&mut session, &group),
                Change::Leave => handler.left(&mut session, &group),
            }
        }
        if self.shared.drained.swap(false, Ordering::AcqRel) {
            let (handler, mut session) = self.session(out, None);
            handler.drained(&mut session);
        }
        self.errors(out, None);
    }

    /// Sends what the handler has queued, waiting for the system.
    async fn flush(&mut self, out: &mut Outgoing) {
        let mut was_blocked = false;
        loop {
            let shared = self.shared;
            let flushed = shared.flush_queue(out, self);
            shared.handler_queued.store(out.queued(), Ordering::Relaxed);
            match flushed {
                Flushed::Empty => break,
                Flushed::Paused => tokio::task::yield_now().await,
                Flushed::Blocked => {
                    was_blocked = true;
                    // An error is told by the next call.
                    shared.io.writable().await.ok();
                }
            }
        }
        if was_blocked {
            out.shrink();
            self.shared.drained.store(true, Ordering::Release);
            self.attend(out);
        }
    }
}

/// Lets `handler` see a socket until it is closed.
///
/// # Errors
/// [`RecvError::Io`].
pub(super) async fn run<H: Handler>(
    shared: &Arc<Shared>,
    handler: &mut H,
) -> Result<(), RecvError> {
    let mut out = Outgoing::new(shared.core.config.send_queue_bytes_max);
    let out = &mut out;
    let mut running = Running { shared, handler };
    shared.watch_changes();
    shared.drained.store(true, Ordering::Release);
    let (handler, mut session) = running.session(out, None);
    handler.opened(&mut session);
    running.attend(out);
    running.flush(out).await;
    loop {
        let is_closing = shared.is_closing();
        let batches_max = if is_closing {
            LAST_BATCHES_MAX
        } else {
            BATCHES_MAX
        };
        for batch in 1..=batches_max {
            let more = running.receive(out)?;
            running.flush(out).await;
            if !more {
                break;
            }
            if batch.is_multiple_of(BATCHES_MAX) {
                tokio::task::yield_now().await;
            }
        }
        running.attend(out);
        running.flush(out).await;
        if is_closing {
            return Ok(()); // what had come before has been read
        }
        shared.ready().await;
    }
}
