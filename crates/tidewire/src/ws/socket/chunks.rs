//! Messages too large to hold, in pieces as they arrive: the sink of
//! [`recv_chunk`](super::WebSocket::recv_chunk).

use bytes::Bytes;
use tidewire_proto::{Chunk, CloseFrame, Event, Kind, MessageRef, ProtocolError};

use super::{
    deferred::DeferredItem,
    receiver::{Flow, Sink},
    shared::SharedConnection,
};

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
    /// True if the message ends here.
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

/// The treatment of pings and pongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controls {
    Told,
    Ignored,
}

/// Gathers the next piece of a message. With [`Controls::Told`] it ends before a ping or pong.
pub(super) struct NextChunk<'a, S> {
    shared: &'a SharedConnection<S>,
    controls: Controls,
    gathered: Option<(Kind, Vec<u8>)>,
    last: bool,
    /// A ping or pong that came behind it.
    control: Option<IncomingChunk>,
}

impl<'a, S> NextChunk<'a, S> {
    pub(super) fn new(shared: &'a SharedConnection<S>, controls: Controls) -> Self {
        Self {
            shared,
            controls,
            gathered: None,
            last: false,
            control: None,
        }
    }

    /// The piece that was found, and the ping or pong behind it.
    pub(super) fn into_found(self) -> (Option<MessageChunk>, Option<IncomingChunk>) {
        let last = self.last;
        let chunk = self.gathered.map(|(kind, data)| MessageChunk {
            kind,
            data: data.into(),
            last,
        });
        (chunk, self.control)
    }

    fn control(&mut self, control: impl FnOnce() -> IncomingChunk) -> Flow {
        match self.controls {
            Controls::Told => {
                self.control = Some(control());
                Flow::Stop
            }
            Controls::Ignored => Flow::Continue,
        }
    }
}

impl<S> Sink for NextChunk<'_, S> {
    const CHUNKS: bool = true;

    fn message(&mut self, message: MessageRef<'_>) -> Flow {
        let (kind, data) = (message.kind(), message.payload());
        let last = true;
        self.chunk(Chunk { kind, data, last })
    }

    fn chunk(&mut self, chunk: Chunk<'_>) -> Flow {
        let (_, data) = self.gathered.get_or_insert((chunk.kind, Vec::new()));
        data.extend_from_slice(chunk.data);
        self.last = chunk.last;
        if chunk.last || data.len() >= GATHERED_MIN {
            Flow::Stop
        } else {
            Flow::Continue
        }
    }

    fn ping(&mut self, payload: &[u8]) -> Flow {
        self.control(|| IncomingChunk::Ping(Bytes::copy_from_slice(payload)))
    }

    fn pong(&mut self, payload: &[u8]) -> Flow {
        self.control(|| IncomingChunk::Pong(Bytes::copy_from_slice(payload)))
    }

    fn closing(&mut self, _: Option<&CloseFrame>) -> Flow {
        Flow::Continue
    }

    fn answer(&mut self, event: &Event<'_>) -> u32 {
        self.shared.lock().answer(event)
    }

    fn fail(&mut self, error: ProtocolError) {
        self.shared.lock().keep(DeferredItem::Failed(error));
    }
}
