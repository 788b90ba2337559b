//! A socket in async style: datagrams are received one by one, as owned values.

use std::{collections::VecDeque, fmt, io, net::SocketAddr, sync::Arc};

use bytes::BytesMut;

use super::{
    buffer::Buffer,
    datagram::{Datagram, Origin},
    error::{RecvError, SendError, SocketError},
    handler::{self, BATCHES_MAX, Handler, LAST_BATCHES_MAX},
    sender::Sender,
    shared::{Shared, is_about_earlier},
};

/// A bound UDP socket: a server's, or a [client's](super::Client).
///
/// Datagrams are given to the system at once, except while the task of a server is being polled: then the answers to a batch
/// of datagrams leave together. Receiving needs no arming. Dropping the socket closes it.
pub struct Socket {
    pub(super) sender: Sender,
    /// Of the last call, not asked for yet.
    inbox: VecDeque<Datagram>,
    batches: usize,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("local", &self.local_addr())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

/// Something that happened at a socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A datagram came.
    Datagram(Datagram),
    /// A datagram did not arrive, as the system has learned. The socket goes on.
    Error(SocketError),
}

/// A datagram in a buffer of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Bytes in the buffer.
    pub len: usize,
    /// The datagram was longer than the buffer; its end is lost, and
    /// [counted](super::Traffic::datagrams_oversized).
    pub is_truncated: bool,
    /// Where it came from.
    pub origin: Origin,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shared().close();
    }
}

impl Socket {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            sender: Sender { shared },
            inbox: VecDeque::new(),
            batches: 0,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.sender.shared
    }

    /// The next datagram; `None` once the socket is to be closed, by a drain or [`Sender::close`], and what had come
    /// before has been received.
    ///
    /// # Errors
    /// [`RecvError`]. On a socket with a peer, [`RecvError::Unreachable`] tells that the peer does not listen; the socket
    /// goes on, and can be received from again. On others such errors are counted only: use [`event`](Self::event) to
    /// see them.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn recv(&mut self) -> Result<Option<Datagram>, RecvError> {
        loop {
            match self.event().await? {
                None => return Ok(None),
                Some(Event::Datagram(datagram)) => return Ok(Some(datagram)),
                Some(Event::Error(error)) if self.peer().is_some() => {
                    return Err(RecvError::Unreachable(error));
                }
                Some(Event::Error(error)) => {
                    tracing::debug!(error = %crate::ErrorChain(&error), "datagram lost");
                }
            }
        }
    }

    /// As [`recv`](Self::recv), into a buffer of the caller.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn recv_into(&mut self, buffer: &mut [u8]) -> Result<Option<Received>, RecvError> {
        let Some(datagram) = self.recv().await? else {
            return Ok(None);
        };
        let len = datagram.payload.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram.payload[..len]);
        let is_truncated = len < datagram.payload.len();
        if is_truncated {
            self.shared().core.counters.oversized();
        }
        Ok(Some(Received {
            len,
            is_truncated,
            origin: datagram.origin,
        }))
    }

    /// As [`recv`](Self::recv), for those who also want to see what did not arrive.
    ///
    /// # Errors
    /// [`RecvError::Io`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn event(&mut self) -> Result<Option<Event>, RecvError> {
        loop {
            if let Some(datagram) = self.inbox.pop_front() {
                return Ok(Some(Event::Datagram(datagram)));
            }
            if self.inbox.capacity() > INBOX_KEPT {
                self.inbox = VecDeque::new();
            }
            if let Some(error) = self.shared().take_error() {
                return Ok(Some(Event::Error(error)));
            }
            let is_closing = self.shared().is_closing();
            if self.batches != 0 && self.batches.is_multiple_of(BATCHES_MAX) {
                tokio::task::yield_now().await; // others have their turn
            }
            // Answers to the last batch leave before the next one is read.
            self.shared().flush_turn();
            match self.read()? {
                Read::Datagrams => self.batches += 1,
                Read::Error(error) => return Ok(Some(Event::Error(error))),
                Read::Nothing if is_closing => return Ok(None),
                Read::Nothing => {
                    self.batches = 0;
                    self.shared().ready().await;
                }
            }
            if is_closing && self.batches >= LAST_BATCHES_MAX {
                return Ok(None);
            }
        }
    }

    /// Reads a batch into the inbox.
    fn read(&mut self) -> Result<Read, RecvError> {
        let shared = Arc::clone(self.shared());
        let read = Buffer::lend(|buffer| {
            let reads = shared.recv(buffer)?;
            let (mut datagrams, mut bytes) = (0, 0);
            let all = || buffer.datagrams(reads.count, shared.system.local);
            let mut payloads = BytesMut::with_capacity(all().map(|it| it.payload.len()).sum());
            for datagram in all() {
                datagrams += 1;
                bytes += datagram.payload.len() as u64;
                if shared.core.admit(datagram.payload.len(), &datagram.origin) {
                    payloads.extend_from_slice(datagram.payload);
                    self.inbox.push_back(Datagram {
                        payload: payloads.split().freeze(),
                        origin: datagram.origin,
                    });
                }
            }
            shared.core.counters.received(datagrams, bytes);
            Ok(())
        });
        match read {
            Ok(()) => Ok(Read::Datagrams),
            Err(error) => self.read_failed(error),
        }
    }

    fn read_failed(&self, error: io::Error) -> Result<Read, RecvError> {
        if error.kind() == io::ErrorKind::WouldBlock {
            return Ok(Read::Nothing);
        }
        if !is_about_earlier(&error) {
            return Err(RecvError::Io(error));
        }
        let queued = self.shared().take_error();
        Ok(Read::Error(queued.unwrap_or_else(|| {
            let to = self.peer();
            let error = SocketError { to, error };
            self.shared().count(&error);
            error
        })))
    }

    /// Answers a datagram, from the address it was sent to; waits while the queue is full.
    ///
    /// # Errors
    /// [`SendError`]; the answer was not sent.
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn reply(&self, to: &Origin, payload: &[u8]) -> Result<(), SendError> {
        let source = self.shared().core.source_of_reply(to);
        self.shared().send(payload, Some(to.from), source).await
    }

    /// See [`Sender::send`].
    ///
    /// # Errors
    /// [`SendError`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn send(&self, payload: &[u8]) -> Result<(), SendError> {
        self.sender.send(payload).await
    }

    /// See [`Sender::send_to`].
    ///
    /// # Errors
    /// [`SendError`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`].
    pub async fn send_to(&self, payload: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.sender.send_to(payload, to).await
    }

    /// A handle to send from other tasks and threads, to join groups, and to close the socket.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// The address the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.sender.local_addr()
    }

    /// The peer of a client.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.sender.peer()
    }

    /// Lets a handler see the socket until it is closed.
    ///
    /// # Errors
    /// [`RecvError::Io`].
    ///
    /// # Cancel safety
    /// Not cancel safe: when dropped, the socket is closed, and [`Handler::closed`] is not called.
    pub async fn run(self, mut handler: impl Handler) -> Result<(), RecvError> {
        let outcome = handler::run(self.shared(), &mut handler).await;
        self.shared().close();
        handler.closed(outcome.as_ref().copied());
        outcome
    }
}

/// Room for datagrams that is kept when none waits.
const INBOX_KEPT: usize = 64;

/// The result of a call.
enum Read {
    Datagrams,
    Error(SocketError),
    Nothing,
}
