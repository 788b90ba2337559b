//! Whole messages and control frames, one at a time: the sink of [`recv`](super::WebSocket::recv).

use bytes::Bytes;
use tidewire_proto::{CloseFrame, Event, Message, MessageRef, ProtocolError};

use super::{
    deferred::DeferredItem,
    receiver::{Flow, Sink},
    shared::SharedConnection,
};

/// Something received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A whole message.
    Message(Message),
    /// A ping; its pong is queued, unless [`Config::answer_pings`](tidewire_proto::Config::answer_pings) leaves
    /// that to [`try_pong`](super::WebSocket::try_pong).
    Ping(Bytes),
    /// A pong, with the payload of the ping it answers.
    Pong(Bytes),
    /// The connection is ending: the peer's close frame, or `None` when it had none or broke
    /// the protocol. What remains is the end of the closing handshake.
    Closing(Option<CloseFrame>),
}

/// Takes the next thing that comes.
pub(super) struct NextIncoming<'a, S> {
    pub(super) shared: &'a SharedConnection<S>,
    pub(super) found: Option<Incoming>,
}

impl<S> NextIncoming<'_, S> {
    #[inline]
    fn found(&mut self, incoming: Incoming) -> Flow {
        self.found = Some(incoming);
        Flow::Stop
    }
}

impl<S> Sink for NextIncoming<'_, S> {
    #[inline]
    fn message(&mut self, message: MessageRef<'_>) -> Flow {
        self.found(Incoming::Message(message.to_message()))
    }

    fn ping(&mut self, payload: &[u8]) -> Flow {
        self.found(Incoming::Ping(Bytes::copy_from_slice(payload)))
    }

    fn pong(&mut self, payload: &[u8]) -> Flow {
        self.found(Incoming::Pong(Bytes::copy_from_slice(payload)))
    }

    fn closing(&mut self, frame: Option<&CloseFrame>) -> Flow {
        self.found(Incoming::Closing(frame.cloned()))
    }

    fn answer(&mut self, event: &Event<'_>) -> u32 {
        self.shared.lock().answer(event)
    }

    fn fail(&mut self, error: ProtocolError) {
        self.shared.lock().keep(DeferredItem::Failed(error));
        self.found = Some(Incoming::Closing(None));
    }
}
