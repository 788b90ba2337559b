//! The receiving side of a connection: the decoder, what was read and not yet handled, and the count of
//! control frames.
//!
//! In: read buffers. Out: calls of a [`Sink`], in the order in which things came, until it wants no
//! more or everything is handled. Every style of receiving is a sink of this one step, so that each
//! limit is checked and each control frame answered in one place. Invariants: while there is input, it
//! is not empty, and neither did the peer close nor did it break a rule; after one of both,
//! everything that is read is ignored.

use tidewire_proto::{Chunk, CloseFrame, Decoder, Event, MessageRef, ProtocolError};

use super::controls::{Answered, Control};
use crate::net::buffer::ReadBuffer;

/// How a sink answers what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the receiver stops when the sink wants it to"]
pub(super) enum Flow {
    /// It takes more.
    Continue,
    /// It takes no more for now.
    Stop,
}

/// Takes what is received, and speaks with the encoder on the receiver's behalf.
pub(super) trait Sink {
    /// Data is wanted as it comes, in chunks, instead of put together.
    const CHUNKS: bool = false;

    /// A whole message came.
    fn message(&mut self, message: MessageRef<'_>) -> Flow;

    /// A piece of a message came; only with [`CHUNKS`](Self::CHUNKS).
    fn chunk(&mut self, chunk: Chunk<'_>) -> Flow {
        let _ = chunk;
        Flow::Continue
    }

    /// A ping came and has been answered.
    fn ping(&mut self, payload: &[u8]) -> Flow;

    /// A pong came.
    fn pong(&mut self, payload: &[u8]) -> Flow;

    /// The peer's close frame came, perhaps empty, and has been answered.
    fn closing(&mut self, frame: Option<&CloseFrame>) -> Flow;

    /// Answers a control frame; returns [`pings_sent`](tidewire_proto::Encoder::pings_sent).
    fn answer(&mut self, event: &Event<'_>) -> u32;

    /// Tells the peer which rule it broke.
    fn fail(&mut self, error: ProtocolError);
}

/// See the module.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) decoder: Decoder,
    /// Bytes read and not yet handled.
    input: Option<ReadBuffer>,
    /// The next read takes a large buffer: the last one filled its own.
    busy: bool,
    answered: Answered,
    /// The peer's close frame. Boxed: most connections have none.
    close_frame: Option<Box<CloseFrame>>,
}

impl Receiver {
    /// `leftover` is what was read behind the handshake.
    pub(super) fn new(decoder: Decoder, leftover: Vec<u8>) -> Self {
        Self {
            decoder,
            input: (!leftover.is_empty()).then(|| ReadBuffer::holding(leftover)),
            busy: false,
            answered: Answered::default(),
            close_frame: None,
        }
    }

    /// Takes what was read; it is not empty.
    #[inline]
    pub(super) fn fill(&mut self, input: ReadBuffer) {
        self.busy = input.is_full() || (self.busy && input.unread().len() > 4096);
        self.input = Some(input);
    }

    /// Gives what was read to `sink`, in order, until it wants no more or all is handled.
    #[inline]
    pub(super) fn decode<K: Sink>(&mut self, sink: &mut K) -> Flow {
        while let Some(input) = &mut self.input {
            let mut flow = Flow::Continue;
            while !K::CHUNKS
                && flow == Flow::Continue
                && let Some((used, message)) = self.decoder.receive_whole(input.unread_mut())
            {
                flow = sink.message(message);
                input.handled(used);
            }
            if flow == Flow::Continue && !input.unread().is_empty() {
                flow = self.decode_any(sink);
            }
            if self.input.as_ref().is_some_and(|it| it.unread().is_empty()) {
                self.discard_input();
            }
            if flow == Flow::Stop {
                return flow;
            }
        }
        Flow::Continue
    }

    /// Decodes once; for what is no small whole message.
    #[inline(never)]
    fn decode_any<K: Sink>(&mut self, sink: &mut K) -> Flow {
        let Some(input) = &mut self.input else {
            return Flow::Continue;
        };
        let (used, event) = if K::CHUNKS {
            self.decoder.receive_chunk(input.unread_mut())
        } else {
            self.decoder.receive(input.unread_mut())
        };
        let result = match event {
            Ok(None) => Ok(Flow::Continue),
            Ok(Some(Event::Message(message))) => Ok(sink.message(message)),
            Ok(Some(Event::Chunk(chunk))) => Ok(sink.chunk(chunk)),
            Ok(Some(event)) => {
                let pings_sent = sink.answer(&event);
                let (flow, control) = match event {
                    Event::Ping(body) => (sink.ping(body), Some(Control::Ping)),
                    Event::Pong(body) => (sink.pong(body), Some(Control::Pong)),
                    Event::Close(frame) => {
                        let flow = sink.closing(frame.as_ref());
                        self.close_frame = frame.map(Box::new);
                        (flow, None) // it comes once
                    }
                    Event::Message(_) | Event::Chunk(_) | _ => (Flow::Continue, None),
                };
                let (answered, decoder) = (&mut self.answered, &mut self.decoder);
                let counted = control.map(|it| answered.count(it, pings_sent, decoder));
                counted.unwrap_or(Ok(())).map(|()| flow)
            }
            Err(error) => Err(error),
        };
        input.handled(used);
        self.decoder.settle();
        result.unwrap_or_else(|error| {
            sink.fail(error);
            Flow::Stop
        })
    }

    /// Forgets what was read: it was handled, or the connection is over.
    #[inline(never)]
    pub(super) fn discard_input(&mut self) {
        self.input = None;
    }

    /// Returns whether something was read and not yet handled.
    #[inline]
    pub(super) fn has_input(&self) -> bool {
        self.input.is_some()
    }

    /// Returns whether the next read takes a large buffer.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// The peer's close frame.
    pub(super) fn close_frame(&self) -> Option<&CloseFrame> {
        self.close_frame.as_deref()
    }
}
