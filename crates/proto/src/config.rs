//! Limits and deadlines of one connection, shared by all connections of an endpoint.

use std::time::Duration;

use crate::{CloseCode, CloseFrame, ControlRate, DeflateConfig};

/// Limits on how much a peer may make this end keep, and how long it may let it wait.
///
/// The defaults are safe on the open internet; raise them for trusted peers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Largest message taken, in payload bytes after reassembly; the peer gets 1009 above it.
    /// Default 16 MiB. It is the memory one peer can make us hold, and it is only ever
    /// allocated as bytes arrive.
    pub message_bytes_max: usize,
    /// Largest single frame taken, in payload bytes; 1009 above it. Default 16 MiB.
    pub frame_bytes_max: usize,
    /// Most frames one message may consist of; 1008 above it. Default 4096. Fragments are
    /// merged as they come, so this bounds work, not memory. Of a message received in pieces only
    /// its empty fragments count.
    pub fragments_max: u32,
    /// Largest frame sent, in payload bytes: a longer message goes out in fragments of this size
    /// (RFC 6455 section 5.4). Default: no limit. For peers with small buffers.
    pub send_frame_bytes_max: usize,
    /// Compress messages, with peers that can (permessage-deflate, RFC 7692). Limits of messages
    /// count what they inflate to. Default `None`: it costs processor time and memory, and leaks
    /// secrets that share a message with text of an attacker by its size (CRIME, BREACH). Needs
    /// the cargo feature `deflate`.
    pub deflate: Option<DeflateConfig>,
    /// Most bytes queued for sending before [`crate::Connection::send`] refuses with
    /// [`crate::SendError::Full`]; an empty queue takes one message of any size. Default 1 MiB.
    pub send_queue_bytes_max: usize,
    /// While more than this waits to be sent, only the newest unanswered ping keeps its pong
    /// (RFC 6455 section 5.5.3 allows it), so a peer that pings and never reads costs nothing.
    /// Default 16 KiB.
    pub control_queue_bytes_max: usize,
    /// Answer pings with pongs (RFC 6455 section 5.5.3). Default `true`. `false` leaves the pongs to the application,
    /// which sees each ping and sends its pong by [`Encoder::pong`](crate::Encoder::pong) when what the pong
    /// stands for is true: a gateway has something to wait for, its own client. An application that never does so
    /// is taken for dead by its peer.
    pub answer_pings: bool,
    /// How often a client may send pings, and pongs that answer no ping of ours; it gets 1008 above it.
    /// `None`: as often as it likes. Default 10 per second after 600 at once. Close frames and answers to
    /// our pings are free, and each message received pays for one more: some clients learn by pings what
    /// has arrived. A client does not hold it against its server, which it chose, and which may have
    /// a lot to ping for (to learn what has arrived, for one). The core has no clock: the one
    /// who drives it tells the time, see [`Decoder::count_control`](crate::Decoder::count_control).
    pub control_rate: Option<ControlRate>,
    /// How long a message that has begun, and is put together, may bring neither its end nor another
    /// [`PROGRESS_BYTES`](crate::PROGRESS_BYTES), or as long as it is no longer than those, another byte: the peer gets 1008
    /// then. Pongs do not help it: a connection that lives may
    /// not keep the beginning of a message here for ever. `None` waits as long as the connection lives. Default 60 s,
    /// which even 70 bytes per second do. The core has no clock: who drives it looks at
    /// [`Decoder::unfinished`](crate::Decoder::unfinished).
    pub message_timeout: Option<Duration>,
    /// Send a ping when nothing was received for this long; `None` never pings. Default 25 s,
    /// below the usual 30 to 60 s after which NATs and proxies forget a connection.
    pub ping_interval: Option<Duration>,
    /// How long after our ping something must have been received. Default 10 s. While the ping
    /// waits behind other bytes, it is enough that some of those are taken.
    pub pong_timeout: Duration,
    /// The last word to a peer that did not answer in time, should it still be listening.
    /// Default 1011.
    pub silence: CloseFrame,
    /// How long after our close frame the peer's may take. Default 5 s.
    pub close_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            frame_bytes_max: 16 << 20,
            fragments_max: 4096,
            send_frame_bytes_max: usize::MAX,
            deflate: None,
            send_queue_bytes_max: 1 << 20,
            control_queue_bytes_max: 16 << 10,
            answer_pings: true,
            control_rate: Some(ControlRate::default()),
            message_timeout: Some(Duration::from_mins(1)),
            ping_interval: Some(Duration::from_secs(25)),
            pong_timeout: Duration::from_secs(10),
            silence: CloseFrame::new(CloseCode::INTERNAL_ERROR, "no answer to a ping"),
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// Bytes of a message by which a peer shows that it goes on with it, see [`Config::message_timeout`].
pub const PROGRESS_BYTES: usize = 4096;
