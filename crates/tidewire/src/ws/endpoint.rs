//! What a server does with a connection: look at the request, then talk.

use std::{fmt, pin::Pin, sync::Arc};

use tidewire_proto::handshake::{Refusal, RequestHead};

use super::{Handler, Peer, WebSocket};

/// An upgrade request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// The request head.
    pub head: Arc<RequestHead>,
    /// Who sent it.
    pub peer: Arc<Peer>,
}

/// How an endpoint accepts a request.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Response {
    /// Subprotocols this endpoint speaks, best first.
    pub subprotocols: &'static [&'static str],
    /// Further fields of the answer, name and value: what the endpoint has to tell clients that know it. One that is no
    /// field or that the handshake sets itself is left out. Keep them short: some clients
    /// take no answer above 512 bytes.
    pub headers: &'static [(&'static str, &'static str)],
}

/// Serves the connections of one path.
///
/// A plain async function of a [`WebSocket`] is an endpoint too; so are [`Handlers`].
pub trait Endpoint: Send + Sync + 'static {
    /// Looks at the request before it is answered; the default accepts every one.
    ///
    /// # Errors
    /// The HTTP answer that ends the handshake.
    fn accept(&self, request: &Request) -> Result<Response, Refusal> {
        let _ = request;
        Ok(Response::default())
    }

    /// Talks until the connection is over. Ends with the server: a socket tells of the drain
    /// by its closing handshake; whoever does not listen is aborted at the drain deadline.
    fn serve(
        &self,
        socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// The limits and deadlines of this endpoint's connections; `None` takes the server's.
    fn config(&self) -> Option<Arc<tidewire_proto::Config>> {
        None
    }
}

impl<F, T> Endpoint for F
where
    F: Fn(WebSocket) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    fn serve(
        &self,
        socket: WebSocket,
        _request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self(socket))
    }
}

/// An endpoint in handler style: makes a [`Handler`] for each connection.
#[derive(Clone, Copy, Debug)]
pub struct Handlers<F>(
    /// Called with the request of each connection.
    pub F,
);

impl<F, H> Endpoint for Handlers<F>
where
    F: Fn(&Request) -> H + Send + Sync + 'static,
    H: Handler,
{
    fn serve(
        &self,
        socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let handler = self.0(&request);
        drop(request);
        Box::pin(async move {
            if let Err(error) = socket.run(handler).await {
                tracing::debug!(%error, "connection ended");
            }
        })
    }
}

impl fmt::Debug for dyn Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}
