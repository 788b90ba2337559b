//! What a server does with its sockets.

use std::{fmt, pin::Pin, sync::Arc};

use super::{Handler, Socket};

/// Serves the sockets of a server: one per [worker](super::ServerConfig::workers), each in a task of its own.
///
/// Simple ones are async functions of a [`Socket`], or [`Handlers`]: see [`IntoEndpoint`].
pub trait Endpoint: Send + Sync + 'static {
    /// Talks until the socket is closed. Ends with the server: [`Socket::recv`] tells of a drain by `None`; who does not
    /// listen is aborted at its deadline. When it ends earlier, the socket is closed.
    fn serve(&self, socket: Socket) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The argument of [`Server::new`](super::Server::new): an [`Endpoint`], or an async function of a [`Socket`].
///
/// `Kind` tells these apart and is inferred.
pub trait IntoEndpoint<Kind> {
    /// The endpoint.
    fn into_endpoint(self) -> Arc<dyn Endpoint>;
}

impl<E: Endpoint> IntoEndpoint<()> for E {
    fn into_endpoint(self) -> Arc<dyn Endpoint> {
        Arc::new(self)
    }
}

impl<F, T> IntoEndpoint<fn(Socket) -> T> for F
where
    F: Fn(Socket) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    fn into_endpoint(self) -> Arc<dyn Endpoint> {
        Arc::new(OfSocket(self))
    }
}

struct OfSocket<F>(F);

impl<F, T> Endpoint for OfSocket<F>
where
    F: Fn(Socket) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    fn serve(&self, socket: Socket) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.0(socket))
    }
}

/// An endpoint in handler style: makes a [`Handler`] for each socket.
#[derive(Clone, Copy, Debug)]
pub struct Handlers<F>(
    /// Called with each socket.
    pub F,
);

impl<F, H> Endpoint for Handlers<F>
where
    F: Fn(&Socket) -> H + Send + Sync + 'static,
    H: Handler,
{
    fn serve(&self, socket: Socket) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let handler = self.0(&socket);
        Box::pin(async move {
            if let Err(error) = socket.run(handler).await {
                tracing::error!(error = %crate::ErrorChain(&error), "a socket has failed");
            }
        })
    }
}

impl fmt::Debug for dyn Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}
