//! Messages too large to hold: received and sent in pieces.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tidewire_proto::{CloseCode, Event, Kind};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Ending, LastControl, WebSocket, controls::Control, deferred::DeferredItem, driver::READS_MAX,
};
use crate::ws::{RecvError, SendError};

/// Pieces that arrive together are gathered up to this. Frames of a few bytes, and the steps in which a compressed
/// message is inflated, would otherwise become as many fragments where a message is passed on; there are clients
/// that count them.
const GATHERED_MIN: usize = 16 << 10;

/// A piece of a received message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageChunk {
    /// Text or binary.
    pub kind: Kind,
    /// The next payload bytes; at most one read (64 KiB), or 1 MiB of a compressed message. Text is checked so
    /// far, but may be cut within a character.
    pub data: Bytes,
    /// Whether the message ends here.
    pub last: bool,
}

/// Something received by who takes messages in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncomingChunk {
    /// A piece of a message.
    Chunk(MessageChunk),
    /// A ping; as [`Incoming::Ping`](super::Incoming::Ping).
    Ping(Bytes),
    /// A pong, with the payload of the ping it answers.
    Pong(Bytes),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// The next piece of a message, as it arrives. The limits of message and frame size do not
    /// apply, since nothing is put together. `None` once the connection was closed properly.
    ///
    /// Mixing with [`recv`](Self::recv): what is left of a message that was begun in chunks is
    /// skipped by `recv`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// Cancel safe: no piece is lost when the future is dropped.
    pub async fn recv_chunk(&mut self) -> Result<Option<MessageChunk>, RecvError> {
        poll_fn(|cx| self.poll_recv_chunk(cx)).await
    }

    /// As [`recv_chunk`](Self::recv_chunk), for those who write futures by hand.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<MessageChunk>, RecvError>> {
        loop {
            match ready!(self.poll_chunk(cx, false))? {
                Some(IncomingChunk::Chunk(chunk)) => return Poll::Ready(Ok(Some(chunk))),
                Some(IncomingChunk::Ping(_) | IncomingChunk::Pong(_)) => {} // held from before
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// As [`recv_chunk`](Self::recv_chunk), but also tells pings and pongs, in their place between the pieces.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// As [`recv_chunk`](Self::recv_chunk).
    pub async fn recv_chunk_any(&mut self) -> Result<Option<IncomingChunk>, RecvError> {
        poll_fn(|cx| self.poll_recv_chunk_any(cx)).await
    }

    /// As [`recv_chunk_any`](Self::recv_chunk_any), for those who write futures by hand.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv_chunk_any(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<IncomingChunk>, RecvError>> {
        self.poll_chunk(cx, true)
    }

    /// `controls`: pings and pongs are told, too.
    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        controls: bool,
    ) -> Poll<Result<Option<IncomingChunk>, RecvError>> {
        let mut reads = 0;
        loop {
            if let Some(control) = self.inner.take_held() {
                return Poll::Ready(Ok(Some(control)));
            }
            if self.inner.ending != Ending::No {
                let ended = ready!(self.poll_end(cx))?;
                debug_assert!(ended.is_none(), "nothing is received at the end");
                return Poll::Ready(Ok(None));
            }
            if let Some(error) = &self.inner.failed {
                return Poll::Ready(Err(error.clone()));
            }
            if let Some(chunk) = self.next_chunk(controls) {
                return Poll::Ready(Ok(Some(IncomingChunk::Chunk(chunk))));
            }
            if self.inner.holds_control() {
                continue;
            }
            if self.inner.ending == Ending::No {
                if reads == READS_MAX {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                reads += 1;
                ready!(self.poll_input(cx))?;
            }
        }
    }

    /// The next piece in the bytes already read. With `controls` it ends before a ping or pong, which is
    /// held to be handed out behind it.
    fn next_chunk(&mut self, controls: bool) -> Option<MessageChunk> {
        let input = self.inner.input.as_mut()?;
        let mut found: Option<(Kind, Vec<u8>)> = None;
        let mut last = false;
        let mut held = false;
        while !last && !held && !input.unread().is_empty() {
            if found
                .as_ref()
                .is_some_and(|(_, data)| data.len() >= GATHERED_MIN)
            {
                break;
            }
            let (used, event) = self.inner.decoder.receive_chunk(input.unread_mut());
            let broken = match event {
                Ok(Some(Event::Chunk(chunk))) => {
                    let (_, data) = found.get_or_insert((chunk.kind, Vec::new()));
                    data.extend_from_slice(chunk.data);
                    last = chunk.last;
                    None
                }
                Ok(Some(event)) => {
                    let control = Control::of(&event);
                    let pings_sent = self.inner.shared.lock().answer(&event);
                    let kept = match event {
                        Event::Ping(body) if controls => {
                            let ping = IncomingChunk::Ping(Bytes::copy_from_slice(body));
                            Some(LastControl::Held(ping))
                        }
                        Event::Pong(body) if controls => {
                            let pong = IncomingChunk::Pong(Bytes::copy_from_slice(body));
                            Some(LastControl::Held(pong))
                        }
                        Event::Close(frame) => frame.map(LastControl::Close),
                        Event::Ping(_) | Event::Pong(_) | _ => None,
                    };
                    held = matches!(kept, Some(LastControl::Held(_)));
                    self.inner.last_control = kept.map(Box::new);
                    let (answered, decoder) = (&mut self.inner.answered, &mut self.inner.decoder);
                    control.and_then(|it| answered.count(it, pings_sent, decoder).err())
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = broken {
                self.inner.shared.lock().keep(DeferredItem::Failed(error));
                self.inner.failed = Some(RecvError::Protocol(error));
            }
            input.handled(used);
        }
        self.after_events();
        found.map(|(kind, data)| MessageChunk {
            kind,
            data: data.into(),
            last,
        })
    }

    /// Queues the next piece of a message, or a whole one, as a frame of its own, without writing it; see
    /// [`try_send`](Self::try_send). `kind` counts with the first piece, `last` ends the message. Until then other
    /// messages are refused. Pieces of a text message may cut a character; the whole must be UTF-8.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]; the piece was not queued.
    pub fn try_send_fragment(
        &mut self,
        kind: Kind,
        piece: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        let mut locked = self.inner.shared.lock();
        locked.check()?;
        locked.queue(|encoder| encoder.send_fragment(kind, piece, last))
    }

    /// Begins a message that is sent in pieces, each as a fragment (RFC 6455 section 5.4).
    pub fn start_message(&mut self, kind: Kind) -> MessageWriter<'_, S> {
        MessageWriter {
            socket: self,
            kind,
            begun: false,
        }
    }
}

/// A message being sent in pieces.
///
/// Dropping it unfinished, after a first piece, ends the connection with 1011: the peer must not
/// take half a message for a whole one.
#[derive(Debug)]
#[must_use = "a message ends with `finish`"]
pub struct MessageWriter<'a, S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    socket: &'a mut WebSocket<S>,
    kind: Kind,
    begun: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MessageWriter<'_, S> {
    /// Sends the next piece; waits while the queue is full. Pieces of a text message may cut a
    /// character; the whole must be UTF-8.
    ///
    /// # Errors
    /// [`SendError`]; the piece was not queued.
    ///
    /// # Cancel safety
    /// Cancel safe: when the future is dropped before it is ready, the piece was not queued.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), SendError> {
        self.fragment(piece, false).await?;
        self.begun = true;
        Ok(())
    }

    /// Ends the message with an empty fragment.
    ///
    /// # Errors
    /// [`SendError`].
    ///
    /// # Cancel safety
    /// When dropped before it is ready, the message is unfinished.
    pub async fn finish(mut self) -> Result<(), SendError> {
        self.fragment(b"", true).await?;
        self.begun = false;
        self.socket.inner.shared.wake_senders();
        Ok(())
    }

    async fn fragment(&mut self, piece: &[u8], last: bool) -> Result<(), SendError> {
        let kind = self.kind;
        let socket = &mut *self.socket;
        poll_fn(|cx| socket.poll_queue(cx, |encoder| encoder.send_fragment(kind, piece, last)))
            .await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for MessageWriter<'_, S> {
    fn drop(&mut self) {
        if self.begun {
            self.socket
                .start_close(CloseCode::INTERNAL_ERROR, "a message was not finished");
        }
    }
}
