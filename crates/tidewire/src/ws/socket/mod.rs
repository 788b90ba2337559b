//! The driver: joins a byte stream with the protocol core.
//!
//! In: bytes, when the stream is readable, and the application's messages. Out: the peer's
//! messages, and one write per read batch. It takes no protocol decision.
//!
//! The decoder belongs to the [`WebSocket`] and needs no lock. The encoder and the stream are shared
//! (`shared`) with [`Sender`]s, with [`Topic`](super::Topic)s and with the server, which may close a
//! connection while its task is busy elsewhere.
//!
//! **One receiver.** `recv`, handlers and chunks are three sinks of one step (`receiver`), driven by
//! one loop (`driver`), so that a limit or an answer to the peer stands in one place.
//!
//! **Auto-cork.** A message sent while more of the last read waits to be received is written
//! together with the answers to that, or when the task yields, whichever is first (`cork`). So the
//! plain loop "receive, send" costs one read and one write per batch, however many messages a batch
//! holds, and nothing is ever held back while the task waits.
//!
//! **Idle costs nothing.** Buffers are taken from a pool when bytes are there; the core keeps
//! none while no frame is under way; one lazy timer serves all deadlines and is never touched
//! per message.

mod deferred; // what others want to send while the encoder is checked out
mod publications; // what topics publish, into what is sent
mod locked; // stream and encoder, under the lock
mod cork; // when held-back messages are written
mod shared; // what several places of a program share of a connection
mod sender; // sending from anywhere
mod controls; // how many pings and pongs a client may send
mod receiver; // decodes what was read, for a sink
mod held; // memory that the peer makes us hold
mod ending; // the end of the stream, after the end of the protocol
mod driver; // what happens when a socket is polled
mod incoming; // sink: whole messages, one at a time
mod chunks; // sink: messages too large to hold
mod handler; // sink: callbacks with borrowed messages
mod writer; // a message sent in pieces
mod serving; // the task that serves a socket
mod websocket; // the application's end

pub(super) use self::shared::SharedConnection;
pub use self::{
    chunks::{IncomingChunk, MessageChunk},
    handler::{Handler, Session},
    incoming::Incoming,
    sender::Sender,
    serving::Serving,
    websocket::WebSocket,
    writer::MessageWriter,
};
