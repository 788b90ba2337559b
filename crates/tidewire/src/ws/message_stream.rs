//! [`MessageStream`]: a socket for code that is written for `Stream` and `Sink`.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use tidewire_proto::{CloseCode, Message};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{RecvError, SendError, WebSocket};
use crate::net::Stream as ByteStream;

/// A [`WebSocket`] as a [`Stream`] and a [`Sink`] of messages, both with [`MessageStreamError`], so that
/// `forward`, `split`, codecs and combinators work.
///
/// As a stream it ends when the connection was closed properly by both ends, and after an error. As a
/// sink it holds one message beyond the socket's send queue; closing it starts the closing handshake
/// with code 1000, which goes on while the stream is read. The socket's own rules stay: pings are
/// answered and deadlines kept only while it is received from.
///
/// ```no_run
/// use futures_util::{SinkExt as _, StreamExt as _};
/// use tidewire::ws::{Message, MessageStream};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let socket = tidewire::ws::connect("ws://127.0.0.1:9001/").await?;
/// let (mut sink, mut messages) = MessageStream::new(socket).split();
/// sink.send(Message::text("hello")).await?;
/// while let Some(message) = messages.next().await {
///     println!("{:?}", message?);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct MessageStream<S: AsyncRead + AsyncWrite + Unpin + Send + 'static = ByteStream> {
    socket: WebSocket<S>,
    /// The message for which the send queue had no room.
    waiting: Option<Message>,
    has_ended: bool,
}

/// Receiving or sending failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageStreamError {
    /// Receiving ended otherwise than by a closing handshake.
    #[error(transparent)]
    Recv(#[from] RecvError),
    /// A message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MessageStream<S> {
    /// Takes a socket over.
    pub fn new(socket: WebSocket<S>) -> Self {
        Self {
            socket,
            waiting: None,
            has_ended: false,
        }
    }

    /// The socket, for what is neither receiving nor sending.
    pub fn get_ref(&self) -> &WebSocket<S> {
        &self.socket
    }

    /// As [`get_ref`](Self::get_ref), to change it.
    pub fn get_mut(&mut self) -> &mut WebSocket<S> {
        &mut self.socket
    }

    /// Gives the socket back. A message that waits for room in the send queue is lost: flush before.
    pub fn into_inner(self) -> WebSocket<S> {
        self.socket
    }

    /// Queues the message that waits.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        while let Some(message) = &self.waiting {
            match self.socket.try_send(message) {
                Ok(()) => self.waiting = None,
                Err(SendError::Full) => ready!(self.socket.poll_flush(cx))?,
                Err(error) => {
                    self.waiting = None;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> From<WebSocket<S>> for MessageStream<S> {
    fn from(socket: WebSocket<S>) -> Self {
        Self::new(socket)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for MessageStream<S> {
    type Item = Result<Message, MessageStreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        let item = match ready!(this.socket.poll_recv(cx)) {
            Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
            Ok(None) => None,
            Err(error) => Some(Err(error.into())),
        };
        this.has_ended = true;
        Poll::Ready(item)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> FusedStream for MessageStream<S> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Sink<Message> for MessageStream<S> {
    type Error = MessageStreamError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.get_mut().poll_waiting(cx).map_err(Into::into)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        let this = self.get_mut();
        debug_assert!(this.waiting.is_none(), "`poll_ready` comes first");
        match this.socket.try_send(&message) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => {
                this.waiting = Some(message);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        ready!(this.poll_waiting(cx))?;
        this.socket.poll_flush(cx).map_err(Into::into)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        if this.socket.is_open() {
            ready!(this.poll_waiting(cx))?;
            this.socket.start_close(CloseCode::NORMAL, "");
        }
        match ready!(this.socket.poll_flush(cx)) {
            // Whoever was first, the connection closes.
            Ok(()) | Err(SendError::Closed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}
