//! Handler style: hooks that borrow the messages from the read buffer.
//!
//! In: the calls of a [`tcp::Handler`]. Out: those of a [`Handler`], in the same order. Invariants: a message that lies
//! whole in what was read is not copied; after warm-up nothing is allocated per message; after the first error nothing
//! more is handed out.

use std::{fmt, sync::Arc};

use tidewire_proto::fbe::{DecodeError, Decoder, Frame, MessageRef};

use super::{Config, Direction, Log, SendError, Sender, SessionError};
use crate::{net::Peer, service::Observer, tcp};

/// Bytes of the buffer for encoding that a quiet connection keeps.
const KEPT_BYTES_MAX: usize = 256;

/// The events of one connection. Every call returns quickly; work that takes time goes into a task of its own, with a
/// [`Session::sender`] to answer by.
///
/// Order of the calls: [`opened`](Self::opened) and [`drained`](Self::drained) once; then, for each message,
/// [`frame`](Self::frame) and, unless that says otherwise, [`received`](Self::received) or
/// [`disconnect_requested`](Self::disconnect_requested); [`sent`](Self::sent) and `drained` as it happens; at last
/// [`closed`](Self::closed), once. With TLS the handshake is done before `opened`.
pub trait Handler: Send + 'static {
    /// The connection is open.
    fn opened(&mut self, session: &mut Session<'_, '_>) {
        let _ = session;
    }

    /// A whole message came, of any type. A proxy [passes it on](Sender::try_send_frame) unread. By default it is read.
    fn frame(&mut self, session: &mut Session<'_, '_>, frame: &Frame<'_>) -> Next {
        let _ = (session, frame);
        Next::Read
    }

    /// A message came, of any type that is known but the wish to disconnect.
    fn received(&mut self, session: &mut Session<'_, '_>, message: MessageRef<'_>);

    /// The peer wishes to disconnect. By default the connection is closed, behind what is queued.
    fn disconnect_requested(&mut self, session: &mut Session<'_, '_>) {
        session.close();
    }

    /// So many bytes were given to the system since the last call; `pending` wait still.
    fn sent(&mut self, session: &mut Session<'_, '_>, bytes: usize, pending: usize) {
        let _ = (session, bytes, pending);
    }

    /// Nothing waits to be sent. Also called behind [`opened`](Self::opened).
    fn drained(&mut self, session: &mut Session<'_, '_>) {
        let _ = session;
    }

    /// The connection is over: properly, by either end, or with an error.
    fn closed(&mut self, outcome: Result<(), &SessionError>) {
        outcome.ok();
    }
}

/// The treatment of a [frame](Handler::frame).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// It is read, and handed out if its type is known.
    Read,
    /// It is not looked into.
    Skip,
}

/// A connection, as its [`Handler`] sees it during a call.
pub struct Session<'a, 'b> {
    tcp: &'a mut tcp::Session<'b>,
    scratch: &'a mut Vec<u8>,
    log: Option<&'a Log>,
    is_ended: &'a mut bool,
}

impl fmt::Debug for Session<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", self.peer())
            .finish_non_exhaustive()
    }
}

impl Session<'_, '_> {
    /// Queues a message, to be written when the call is through.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    pub fn send(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        self.scratch.clear();
        message
            .encode_into(self.scratch)
            .map_err(SendError::Encode)?;
        self.tcp.send(self.scratch)?;
        if let Some(log) = self.log {
            log.tell(Direction::Sent, &message);
        }
        Ok(())
    }

    /// Passes a message on as it was received, whatever its type.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued.
    pub fn send_frame(&mut self, frame: &Frame<'_>) -> Result<(), SendError> {
        Ok(self.tcp.send(frame.bytes())?)
    }

    /// Sends a message to every session of the server, this one too. Does nothing without a server.
    ///
    /// # Errors
    /// [`SendError::Encode`]; nobody was sent anything.
    pub fn broadcast(&mut self, message: MessageRef<'_>) -> Result<(), SendError> {
        self.scratch.clear();
        message
            .encode_into(self.scratch)
            .map_err(SendError::Encode)?;
        // First, so that it stands before the answers.
        if let Some(log) = self.log
            && self.id() > 0
        {
            log.tell(Direction::Sent, &message);
        }
        self.tcp.broadcast(self.scratch);
        Ok(())
    }

    /// Ends the connection when everything queued has been sent. Nothing more is received.
    pub fn close(&mut self) {
        *self.is_ended = true;
        self.tcp.close();
    }

    /// Ends the connection at once; what is queued is dropped.
    pub fn abort(&mut self) {
        *self.is_ended = true;
        self.tcp.abort();
    }

    /// A handle to send from other tasks and threads.
    pub fn sender(&self) -> Sender {
        Sender::new(self.tcp.sender(), self.log.cloned())
    }

    /// The number a server gave this session, from 1 and never twice; 0 without a server.
    pub fn id(&self) -> u64 {
        self.tcp.id()
    }

    /// Who is at the other end, and what the TLS handshake told.
    pub fn peer(&self) -> &Peer {
        self.tcp.peer()
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.tcp.queued()
    }
}

/// A [`Handler`] as the [`tcp::Handler`] of its connection.
pub(super) struct Adapter<H> {
    handler: H,
    decoder: Decoder,
    scratch: Vec<u8>,
    log: Option<Log>,
    failed: Option<DecodeError>,
    is_ended: bool,
    observer: Option<Arc<dyn Observer<Sender>>>,
}

impl<H: Handler> Adapter<H> {
    pub(super) fn new(
        handler: H,
        config: &Config,
        observer: Option<Arc<dyn Observer<Sender>>>,
    ) -> Self {
        Self {
            handler,
            decoder: Decoder::new(config.message_bytes_max),
            scratch: Vec::new(),
            log: config.log.clone(),
            failed: None,
            is_ended: false,
            observer,
        }
    }

    fn call(
        &mut self,
        tcp: &mut tcp::Session<'_>,
        call: impl FnOnce(&mut H, &mut Session<'_, '_>),
    ) {
        call(
            &mut self.handler,
            &mut Session {
                tcp,
                scratch: &mut self.scratch,
                log: self.log.as_ref(),
                is_ended: &mut self.is_ended,
            },
        );
    }

    /// Hands out what lies in `input`, until something ends the connection.
    fn decode(&mut self, tcp: &mut tcp::Session<'_>, mut input: &[u8]) -> Result<(), DecodeError> {
        while !input.is_empty() && !self.is_ended {
            let (used, frame) = self.decoder.receive(input);
            input = input.get(used..).unwrap_or(&[]);
            let Some(frame) = frame? else { continue };
            let mut session = Session {
                tcp: &mut *tcp,
                scratch: &mut self.scratch,
                log: self.log.as_ref(),
                is_ended: &mut self.is_ended,
            };
            if self.handler.frame(&mut session, &frame) == Next::Skip {
                continue;
            }
            let Some(message) = frame.message()? else {
                continue;
            };
            if let Some(log) = session.log {
                log.tell(Direction::Received, &message);
            }
            if let MessageRef::Disconnect { .. } = message {
                self.handler.disconnect_requested(&mut session);
            } else {
                self.handler.received(&mut session, message);
            }
        }
        Ok(())
    }
}

impl<H: Handler> tcp::Handler for Adapter<H> {
    fn opened(&mut self, session: &mut tcp::Session<'_>) {
        self.call(session, H::opened);
    }

    fn received(&mut self, session: &mut tcp::Session<'_>, bytes: &[u8]) {
        if let Err(error) = self.decode(session, bytes) {
            self.failed = Some(error);
            self.is_ended = true;
            session.close();
        }
    }

    fn sent(&mut self, session: &mut tcp::Session<'_>, bytes: usize, pending: usize) {
        self.call(session, |handler, session| {
            handler.sent(session, bytes, pending);
        });
    }

    fn drained(&mut self, session: &mut tcp::Session<'_>) {
        self.call(session, H::drained);
        if self.scratch.capacity() > KEPT_BYTES_MAX {
            self.scratch = Vec::new();
        }
    }

    fn closed(&mut self, outcome: Result<(), &tcp::RecvError>) {
        let outcome: Result<(), SessionError> = match (self.failed, outcome) {
            (Some(error), _) => Err(SessionError::Protocol(error)),
            (None, Err(error)) => Err(SessionError::Tcp(error.clone())),
            // A message that will never be whole.
            (None, Ok(())) if !self.decoder.is_between_messages() && !self.is_ended => {
                Err(SessionError::Tcp(tcp::RecvError::Truncated))
            }
            (None, Ok(())) => Ok(()),
        };
        match &outcome {
            Ok(()) => self.handler.closed(Ok(())),
            Err(error) => self.handler.closed(Err(error)),
        }
        // Those of the connection below are told by it.
        if let (Err(error @ SessionError::Protocol(_)), Some(observer)) = (&outcome, &self.observer)
        {
            observer.error(error);
        }
    }
}
