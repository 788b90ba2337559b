//! A logical socket: what its owner does with a stream.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tidewire_proto::{CloseCode, CloseFrame, Message, Text, mux::DataFlags};

use super::{
    Lost, RecvError, SendError,
    stream::{Item, Stream},
    streams::Handle,
};

/// A WebSocket to an endpoint, over the connection to its gateway.
///
/// It keeps the connection open. Dropping it gives it up at once: the backend sees code 1001;
/// [`close`](Self::close) ends it properly. To send from other tasks, take a [`sender`](Self::sender).
pub struct LogicalSocket {
    owner: Owner,
    name: String,
    subprotocol: Option<String>,
    message_bytes_max: usize,
    /// The message that is being received.
    partial: BytesMut,
    failed: Option<RecvError>,
}

/// Something received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// The gateway has lost the backend and tries to reach it, or another one, again; what is sent
    /// meanwhile is kept by the gateway, as far as its credit goes. Of several in a row that were not
    /// received in time, only the newest is told.
    Down {
        /// How long the gateway waits before its next attempt.
        retry: Duration,
    },
    /// There is a backend again.
    Up,
}

/// Sends on a [`LogicalSocket`] that somebody else receives from; clones send on the same.
#[derive(Clone)]
pub struct LogicalSender {
    handle: Arc<Handle>,
    stream: Arc<Stream>,
}

/// Gives the stream up when it is dropped, whether it was open already or not.
pub(super) struct Owner {
    handle: Arc<Handle>,
    pub(super) stream: Arc<Stream>,
}

impl fmt::Debug for LogicalSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogicalSocket")
            .field("name", &self.name)
            .field("subprotocol", &self.subprotocol)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LogicalSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogicalSender").finish_non_exhaustive()
    }
}

impl LogicalSocket {
    pub(super) fn new(
        owner: Owner,
        name: String,
        subprotocol: Option<String>,
        message_bytes_max: usize,
    ) -> Self {
        Self {
            owner,
            name,
            subprotocol,
            message_bytes_max,
            partial: BytesMut::new(),
            failed: None,
        }
    }

    /// The next message; `None` once the socket was closed, by the backend, the gateway or this end (see
    /// [`close_frame`](Self::close_frame)).
    ///
    /// # Errors
    /// [`RecvError`]; the socket is over, later calls return it again.
    ///
    /// # Cancel safety
    /// Cancel safe: no message is lost when the future is dropped.
    pub async fn recv(&mut self) -> Result<Option<Message>, RecvError> {
        loop {
            match self.recv_any().await? {
                Some(Event::Message(message)) => return Ok(Some(message)),
                Some(Event::Down { .. } | Event::Up) => {}
                None => return Ok(None),
            }
        }
    }

    /// As [`recv`](Self::recv), but also tells when the backend goes and comes back.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn recv_any(&mut self) -> Result<Option<Event>, RecvError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            match self.owner.next().await? {
                Some(Item::Data(flags, payload)) => match self.put_together(flags, payload) {
                    Ok(None) => {}
                    Ok(Some(message)) => return Ok(Some(Event::Message(message))),
                    Err((code, error)) => {
                        self.owner.abort(CloseFrame::new(code, error.to_string()));
                        self.partial = BytesMut::new();
                        self.failed = Some(error.clone());
                        return Err(error);
                    }
                },
                Some(Item::Down(retry_ms)) => {
                    let retry = Duration::from_millis(retry_ms.into());
                    return Ok(Some(Event::Down { retry }));
                }
                Some(Item::Up) => return Ok(Some(Event::Up)),
                None => return Ok(None),
            }
        }
    }

    /// Adds a piece; gives the message it ends. A message of one piece is not copied.
    fn put_together(
        &mut self,
        flags: DataFlags,
        payload: Bytes,
    ) -> Result<Option<Message>, (CloseCode, RecvError)> {
        let max = self.message_bytes_max;
        if self.partial.len().saturating_add(payload.len()) > max {
            return Err((CloseCode::TOO_BIG, RecvError::TooBig { max }));
        }
        let whole = if flags.last && self.partial.is_empty() {
            payload
        } else {
            self.partial.extend_from_slice(&payload);
            if !flags.last {
                return Ok(None);
            }
            std::mem::take(&mut self.partial).freeze()
        };
        if flags.binary {
            return Ok(Some(Message::Binary(whole)));
        }
        let text = Text::try_from(whole);
        let text = text.map_err(|_bytes| (CloseCode::INVALID_PAYLOAD, RecvError::InvalidUtf8))?;
        Ok(Some(Message::Text(text)))
    }

    /// Sends a message; waits while the one before has not gone out. A message above the gateway's credit
    /// goes out in pieces, as the credit comes; other sockets go on meanwhile.
    ///
    /// # Errors
    /// [`SendError`]; the message was not taken. A message that was taken is lost if the socket
    /// ends before it went out.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, the message was not taken.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        send(&self.owner.handle, &self.owner.stream, message.into()).await
    }

    /// A handle to send from other tasks and threads. It does not keep the socket open, but the
    /// connection.
    pub fn sender(&self) -> LogicalSender {
        LogicalSender {
            handle: Arc::clone(&self.owner.handle),
            stream: Arc::clone(&self.owner.stream),
        }
    }

    /// Ends the socket: after the messages taken for sending it sends CLOSE, and waits for the
    /// gateway's. What still comes in is thrown away. Returns the CLOSE of the other end, if it has a
    /// code. There is no deadline: a backend that takes no messages holds it up; drop the socket to give up.
    ///
    /// # Errors
    /// [`RecvError::Lost`].
    ///
    /// # Cancel safety
    /// When dropped, the socket goes on closing; a later call goes on waiting.
    pub async fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
    ) -> Result<Option<CloseFrame>, RecvError> {
        self.owner
            .stream
            .lock()
            .close(CloseFrame::new(code, reason));
        self.owner.ready();
        self.owner.stream.writable.notify_waiters();
        while self.owner.next().await?.is_some() {}
        Ok(self.close_frame())
    }

    /// What the other end's CLOSE said, if it has come and had a code.
    pub fn close_frame(&self) -> Option<CloseFrame> {
        self.owner.stream.lock().close_frame().cloned()
    }

    /// The subprotocol the backend chose.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The endpoint's name, as it was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl LogicalSender {
    /// As [`LogicalSocket::send`]. Messages of several senders never mix; those of one stay in order.
    ///
    /// # Errors
    /// As [`LogicalSocket::send`].
    ///
    /// # Cancel safety
    /// As [`LogicalSocket::send`].
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        send(&self.handle, &self.stream, message.into()).await
    }
}

async fn send(handle: &Handle, stream: &Arc<Stream>, message: Message) -> Result<(), SendError> {
    loop {
        // Before the look, so that no wake is missed.
        let writable = stream.writable.notified();
        {
            let mut state = stream.lock();
            if let Some(lost) = &state.lost {
                return Err(lost.clone().into());
            }
            if state.is_closing() {
                return Err(SendError::Closed);
            }
            if !state.is_full() {
                state.offer(message);
                break;
            }
        }
        writable.await;
    }
    handle.streams.ready(stream);
    Ok(())
}

impl Owner {
    pub(super) fn new(handle: Arc<Handle>, credit: u32) -> Self {
        Self {
            handle,
            stream: Arc::new(Stream::new(credit)),
        }
    }

    /// What is received next; `None` after the end.
    async fn next(&self) -> Result<Option<Item>, Lost> {
        loop {
            let popped = {
                let mut state = self.stream.lock();
                let item = state.pop();
                match (&item, &state.lost) {
                    (None, _) if state.is_over() => return Ok(None),
                    (None, Some(lost)) => return Err(lost.clone()),
                    (Some(_) | None, _) => item,
                }
            };
            if popped.is_some() {
                self.ready(); // with credit to give back
                return Ok(popped);
            }
            self.stream.readable.notified().await;
        }
    }

    fn ready(&self) {
        self.handle.streams.ready(&self.stream);
    }

    /// Closes at once, and forgets what waits.
    pub(super) fn abort(&self, frame: CloseFrame) {
        self.stream.lock().abort(frame);
        self.ready();
        self.stream.writable.notify_waiters();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.abort(CloseFrame::new(CloseCode::GOING_AWAY, ""));
        let opened = self.stream.lock().number().is_some();
        if !opened {
            self.handle.streams.forget(&self.stream);
        }
    }
}
