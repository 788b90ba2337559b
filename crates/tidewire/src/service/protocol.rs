//! [`Protocol`]: what a server speaks.

use std::{borrow::Cow, io, sync::Arc};

use super::shared::Service;
use crate::net::{Exceeded, Peer, Stream};

/// What a [`Server`](super::Server) speaks.
///
/// The server accepts, counts, reads a balancer's header and does TLS; then it is the protocol's turn. A protocol
/// is shared by all connections of a server; a [reload](super::RunningServer::reconfigure) replaces it for those
/// to come.
pub trait Protocol: Sized + Send + Sync + 'static {
    /// An open connection at work: a task of its own, which carries nothing of the opening along.
    type Connection: Future<Output = ()> + Unpin + Send + 'static;

    /// Opens a connection: reads and answers whatever comes before there is something to be kept. `None`: it is
    /// over, and the client was told why if there was something to tell.
    ///
    /// Runs within [`Limits::handshake_timeout`](super::Limits::handshake_timeout), together with PROXY header and
    /// TLS; later, and when the server drains, it is dropped, and the connection with it. The connection that it
    /// gives lives until it ends by itself, which it should do soon once [`Service::drain`] has started, or is
    /// aborted at the end of the drain.
    ///
    /// # Errors
    /// Those of the stream; they are logged.
    fn open(
        service: Arc<Service<Self>>,
        stream: Stream,
        peer: Peer,
    ) -> impl Future<Output = io::Result<Option<Self::Connection>>> + Send;

    /// What a client is told for whom there is no place. Plain bytes in front of any handshake, few enough for the
    /// buffer of a new socket. Default: nothing.
    fn busy(&self, exceeded: Exceeded) -> Cow<'static, [u8]> {
        let _ = exceeded;
        Cow::Borrowed(&[])
    }

    /// The answer to a client that begins without TLS where the server speaks TLS: plain bytes. Default: nothing, the
    /// connection ends.
    fn without_tls(&self) -> Cow<'static, [u8]> {
        Cow::Borrowed(&[])
    }

    /// The application protocol (ALPN) that is preferred to those of the TLS configuration. Default: none.
    fn preferred_alpn(&self) -> Option<&[u8]> {
        None
    }

    /// Returns whether connections begin with a request of HTTP: then the application protocol (ALPN) `http/1.1` is
    /// agreed on where the TLS configuration sets none. Default: no, and clients may offer what they like.
    fn is_http(&self) -> bool {
        false
    }

    /// An opening came to nothing: the TLS handshake failed, the peer went away or was too slow, or
    /// [`open`](Self::open) failed. For hooks; it is logged and counted anyway.
    fn opening_failed(&self, error: &io::Error) {
        let _ = error;
    }

    /// The server begins to drain; called once or more often, before [`Service::drain`] starts. For a protocol that
    /// has to end connections by itself; by default they notice.
    fn start_drain(&self) {}
}
