//! [`Requests`]: a client's stream as hyper may read it.
//!
//! In: the bytes of a connection. Out: whole heads that keep every rule, and bodies; then, when a head breaks a rule or
//! does not come in time, the end, and the answer that the client is to get behind those under way. Invariant: every
//! request of a connection is held to the same limits and the same strictness.
//!
//! hyper reads on only when it has answered what came before, so that what is waited for here is the client's to send.
//! A request that needs no service ([`Shortcuts`]) is answered here at once: when hyper asks for the next request and all that it
//! has written has gone out, nothing is under way that such an answer could overtake.
//!
//! While further requests lie in the input (pipelining), small answers are [held](Batch) and leave with one write: before
//! the client is waited for, and at the latest with the next turn of the connection's task, so that no answer waits for
//! a request that takes its time.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tidewire_proto::handshake::{HeadLimits, Refusal};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    batch::Batch,
    cache::Ready,
    framing::{Framing, FramingError, Step},
    shortcuts::Shortcuts,
};

/// How long a client may take between its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the end of an answer to the first byte of the next head.
    pub(super) idle: Duration,
    /// From there to the end of the head.
    pub(super) head: Duration,
}

/// A stream of requests.
#[derive(Debug)]
pub(super) struct Requests<S> {
    stream: S,
    framing: Framing,
    patience: Patience,
    /// Came and was not looked at, or was and is to be passed on.
    input: BytesMut,
    /// A head to be passed on.
    head: Bytes,
    /// So much of the input is a body to be passed on.
    body: usize,
    timer: Pin<Box<Sleep>>,
    waiting: Waiting,
    end: Option<End>,
    shortcuts: Shortcuts,
    /// An answer on its way that hyper knows nothing of.
    answer: Option<Ready>,
    /// All that hyper has written has left it: for the system, or for what is held.
    is_flushed: bool,
    /// Small answers that leave together.
    held: Batch,
}

/// The wait that the timer bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Idle,
    Head,
}

/// Why nothing more is passed on.
#[derive(Debug)]
pub(super) enum End {
    /// The client has said that nothing more comes.
    Client,
    /// No further request has come.
    Idle,
    /// The next request is refused.
    Refused(Refusal),
    /// A body is malformed.
    Body,
}

impl<S> Requests<S> {
    pub(super) fn new(
        stream: S,
        limits: HeadLimits,
        patience: Patience,
        shortcuts: Shortcuts,
    ) -> Self {
        Self {
            stream,
            framing: Framing::new(limits),
            patience,
            input: BytesMut::new(),
            head: Bytes::new(),
            body: 0,
            timer: Box::pin(sleep(patience.idle)),
            waiting: Waiting::Nothing,
            end: None,
            shortcuts,
            answer: None,
            is_flushed: true,
            held: Batch::default(),
        }
    }

    /// Takes requests of HTTP/1.1 without `Host`, or not.
    pub(super) fn may_lack_host(mut self, may_lack_host: bool) -> Self {
        self.framing = self.framing.may_lack_host(may_lack_host);
        self
    }

    /// The stream, why it has ended, and whether bytes may be on their way that nobody has read.
    pub(super) fn into_parts(self) -> (S, Option<End>, bool) {
        let is_unread = self.framing.is_in_body() || !self.input.is_empty();
        (self.stream, self.end, is_unread)
    }

    /// Passes on what is known to belong to a request.
    fn pass(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let room = buffer.remaining();
        if !self.head.is_empty() {
            let len = room.min(self.head.len());
            buffer.put_slice(&self.head.split_to(len));
        } else if self.body > 0 {
            let len = room.min(self.body);
            buffer.put_slice(&self.input[..len]);
            self.input.advance(len);
            self.body -= len;
        } else {
            return false;
        }
        true
    }

    /// Looks at the input. `false`: more of it is needed.
    fn step(&mut self) -> io::Result<bool> {
        match self.framing.step(&self.input) {
            Ok(Step::Head { head, len }) => {
                self.input.advance(len);
                self.waiting = Waiting::Nothing;
                self.shortcuts.count();
                if self.is_flushed && !self.framing.is_in_body() {
                    self.answer = self.shortcuts.answer(&head);
                }
                if self.answer.is_none() {
                    self.shortcuts.keep(&head);
                    self.head = head.as_bytes().clone();
                } else {
                    self.hold_answer();
                }
            }
            Ok(Step::Body(len)) => self.body = len,
            Ok(Step::More) => return Ok(false),
            Err(FramingError::Head(refusal)) => self.end = Some(End::Refused(refusal)),
            Err(FramingError::Body) => {
                self.end = Some(End::Body);
                let malformed = "malformed chunked body";
                return Err(io::Error::new(io::ErrorKind::InvalidData, malformed));
            }
        }
        Ok(true)
    }

    /// Returns whether the next request follows what was passed on, so that an answer need not leave alone.
    fn is_pipelined(&self) -> bool {
        !self.input.is_empty()
            && self.head.is_empty()
            && self.body == 0
            && !self.framing.is_in_body()
    }

    /// Lets an answer of our own wait for that to the next request.
    fn hold_answer(&mut self) {
        if !self.is_pipelined() {
            return;
        }
        if let Some(answer) = &self.answer {
            let mut pieces = [IoSlice::new(&[]); Ready::PIECES];
            let count = answer.chunks(&mut pieces);
            let pieces = pieces.get(..count).unwrap_or_default();
            if self.held.take(pieces).is_some() {
                self.answer = None;
            }
        }
    }

    /// While the client sends nothing: looks at the time. `Ready`: it has ended.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let waiting = match (self.framing.is_in_body(), self.input.is_empty()) {
            // A body is waited for by whoever wants it.
            (true, _) => Waiting::Nothing,
            (false, true) => Waiting::Idle,
            (false, false) => Waiting::Head,
        };
        let patience = match waiting {
            Waiting::Nothing => return Poll::Pending,
            Waiting::Idle => self.patience.idle,
            Waiting::Head => self.patience.head,
        };
        if self.waiting != waiting {
            self.waiting = waiting;
            self.timer.as_mut().reset(Instant::now() + patience);
        }
        ready!(self.timer.as_mut().poll(context));
        self.end = Some(match waiting {
            Waiting::Head => {
                End::Refused(Refusal::new(408, "the request's head did not come in time"))
            }
            Waiting::Idle | Waiting::Nothing => End::Idle,
        });
        Poll::Ready(())
    }
}

impl<S: AsyncWrite + Unpin> Requests<S> {
    /// Sends what is held, and leaves nothing in the stream.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.held.poll_flush(context, &mut self.stream)
    }

    /// Sends what is on its way of an answer of our own, behind what is held.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(answer) = &mut self.answer else {
            return Poll::Ready(Ok(()));
        };
        ready!(self.held.poll_write_out(context, &mut self.stream))?;
        while answer.has_remaining() {
            let mut slices = [IoSlice::new(&[]); Ready::PIECES];
            let count = answer.chunks(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write_vectored(context, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            answer.advance(written);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.answer = None;
        Poll::Ready(Ok(()))
    }

    /// Sends what is held, and the rest of an answer of our own, which hyper would leave where it is.
    pub(super) async fn finish_answer(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_answer(context)).await?;
        poll_fn(|context| self.poll_held(context)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Requests<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_answer(context))?;
            if this.pass(buffer) || this.end.is_some() {
                return Poll::Ready(Ok(()));
            }
            if this.step()? {
                continue;
            }
            // Nobody waits for a client that waits for its answers.
            ready!(this.poll_held(context))?;
            let mut chunk = [MaybeUninit::uninit(); READ_BYTES];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            match Pin::new(&mut this.stream).poll_read(context, &mut chunk) {
                Poll::Ready(Ok(())) if chunk.filled().is_empty() => this.end = Some(End::Client),
                Poll::Ready(Ok(())) => this.input.extend_from_slice(chunk.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => ready!(this.poll_patience(context)),
            }
        }
    }
}

/// Bytes read at a time.
const READ_BYTES: usize = 8 << 10;

/// Small writes wait for those that follow at once; everything else passes.
impl<S: AsyncWrite + Unpin> AsyncWrite for Requests<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.is_flushed = false;
        if this.is_pipelined()
            && let Some(count) = this.held.take(slices)
        {
            return Poll::Ready(Ok(count));
        }
        ready!(this.held.poll_write_out(context, &mut this.stream))?;
        Pin::new(&mut this.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper has nothing to flush while an answer of our own is on its way, which flushes at its end. A flush in its
        // middle would be taken for a client that has read.
        if this.answer.is_some() {
            return Poll::Ready(Ok(()));
        }
        // hyper flushes when it has nothing left of its own. What it has just written may wait for the next answer
        // until the task's next turn, which has nothing new to say if that answer takes longer.
        if this.held.was_fresh() && this.is_pipelined() {
            this.is_flushed = true;
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(this.held.poll_write_out(context, &mut this.stream))?;
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        this.is_flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.held.poll_write_out(context, &mut this.stream))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}
