//! How a server speaks HTTP.

use std::time::Duration;

use tidewire_proto::handshake::HeadLimits;

use super::{cache::FileCache, held::AnswerBudget};

/// How HTTP is spoken.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, each set by its name"
)]
pub struct Config {
    /// Whether a connection may carry several requests. Default true. Off where upgrades arrive too: only a
    /// connection's first request can become a WebSocket.
    pub keep_alive: bool,
    /// Bounds of a request's head, the same for every request of a connection. With [`keep_alive`](Self::keep_alive) a
    /// body that is no part of the rules has none: see [`read_body`](super::read_body).
    pub head: HeadLimits,
    /// The head of a later request must be complete within, from its first byte; after that the client gets 408.
    /// Default 10 s. The first one belongs to the opening of the connection
    /// ([`Limits::handshake_timeout`](crate::service::Limits::handshake_timeout)).
    pub head_timeout: Duration,
    /// How long a connection may be without a request; then it is closed. Default 75 s, which is longer than proxies
    /// keep theirs by default (60 s): who keeps it shorter now and then closes it while a request is on its way, and
    /// the proxy's client gets 502. Over HTTP/2 it is closed after one to two times as long.
    pub idle_timeout: Duration,
    /// A client that keeps an answer waiting has to take 16 KiB of it within; else its connection ends. Default 30 s.
    /// Over HTTP/2 this goes for each answer that is under way, and the connection ends after one to two times as long.
    pub answer_timeout: Duration,
    /// What answers hold in memory, together with those of all listeners that share it. Default 64 MiB.
    pub answers: AnswerBudget,
    /// Files and responses that GET and HEAD are answered with before the service is asked. Default: none.
    pub files: Option<FileCache>,
    /// Answer TRACE with the request as it was received, without fields that hold credentials (RFC 9110 section 9.3.8).
    /// Default false: TRACE goes to the service like any other request. A request with a body, and one over HTTP/2, does
    /// so in any case.
    pub trace: bool,
    /// Give the answers to TRACE that [`trace`](Self::trace) makes a field `Date`, as RFC 9110 wants it of a
    /// server that has a clock. Default true.
    pub trace_date: bool,
    /// Take requests of HTTP/1.1 that have no `Host`, as simple clients send them, against RFC 9112 section 3.2. Default
    /// false: they get 400. Only for services whose answers do not depend on the host.
    pub may_lack_host: bool,
    /// Give requests the extension [`ReceivedHead`](super::ReceivedHead). Default false.
    pub keep_heads: bool,
    /// Speak HTTP/2 too (RFC 9113): over TLS to clients that agree by ALPN, without TLS to those that begin with its
    /// preface (prior knowledge). Default true. On a listener of its own; a WebSocket server's
    /// [`fallback`](super::fallback) speaks HTTP/1.1.
    #[cfg(feature = "http2")]
    pub http2: bool,
    /// Requests of one HTTP/2 connection that are under way at a time. Default 100.
    #[cfg(feature = "http2")]
    pub streams_per_connection_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keep_alive: true,
            head: HeadLimits::default(),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            answer_timeout: Duration::from_secs(30),
            answers: AnswerBudget::new(64 << 20),
            files: None,
            trace: false,
            trace_date: true,
            may_lack_host: false,
            keep_heads: false,
            #[cfg(feature = "http2")]
            http2: true,
            #[cfg(feature = "http2")]
            streams_per_connection_max: 100,
        }
    }
}
