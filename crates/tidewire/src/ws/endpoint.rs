//! What a server does with a connection: look at the request, then talk.

use std::{fmt, pin::Pin, sync::Arc};

use super::{AcceptFuture, Decision, Handler, Request, WebSocket};

/// Serves the connections of one path.
///
/// Simple ones are functions: see [`IntoEndpoint`].
///
/// ```
/// use std::pin::Pin;
/// use tidewire::ws::{AcceptFuture, Decision, Endpoint, Refusal, Request, WebSocket};
///
/// struct Account {
///     name: String,
/// }
///
/// struct Chat;
///
/// impl Chat {
///     /// Asks a database, for example.
///     async fn account(&self, token: &str) -> Option<Account> {
///         (token == "secret").then(|| Account { name: "Ada".to_owned() })
///     }
/// }
///
/// impl Endpoint for Chat {
///     fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
///         let Some(token) = request.head.bearer() else {
///             return Refusal::new(401, "expected a bearer token").into();
///         };
///         AcceptFuture::wait(async move {
///             match self.account(token).await {
///                 Some(account) => Ok(Decision::new().subprotocol("chat").extension(account)),
///                 None => Err(Refusal::new(403, "unknown token")),
///             }
///         })
///     }
///
///     fn serve(
///         &self,
///         mut socket: WebSocket,
///         request: Request,
///     ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
///         Box::pin(async move {
///             if let Some(account) = request.extension::<Account>() {
///                 socket.send(format!("hello {}", account.name)).await.ok();
///             }
///         })
///     }
/// }
/// ```
pub trait Endpoint: Send + Sync + 'static {
    /// Decides about the request before it is answered; the default accepts every one.
    ///
    /// The handshake's deadline ([`Limits::handshake_timeout`](super::Limits::handshake_timeout)) covers the wait.
    ///
    /// # Errors
    /// The future gives the HTTP answer that ends the handshake.
    ///
    /// # Cancel safety
    /// The future must be cancel safe: it is dropped when the client goes away, at the handshake's deadline, and when
    /// the server drains. What it has taken until then must be given back when it is dropped. After it is ready the
    /// request may still be refused for what is wrong with it, or the client may have gone: then the decision is
    /// dropped, with its [extensions](Decision::extension), and [`serve`](Self::serve) is not called.
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        let _ = request;
        Decision::default().into()
    }

    /// Talks until the connection is over. Ends with the server: a socket tells of the drain
    /// by its closing handshake; whoever does not listen is aborted at the drain deadline.
    ///
    /// The request is the endpoint's. Held for the whole connection it costs about 1 KiB.
    fn serve(
        &self,
        socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The argument of [`Server::route`](super::Server::route): an [`Endpoint`], or an async function of a [`WebSocket`] or of
/// a [`WebSocket`] and its [`Request`].
///
/// A function of the socket alone finds the request by [`WebSocket::request`] before it receives.
///
/// `Kind` tells these apart and is inferred.
///
/// ```
/// use tidewire::ws::{Request, Server, ServerConfig, WebSocket};
///
/// async fn greet(mut socket: WebSocket, request: Request) {
///     let name = request.head.query_parameter("name");
///     let greeting = format!("hello {}", name.as_deref().unwrap_or("you"));
///     socket.send(greeting).await.ok();
/// }
///
/// let server = Server::new(ServerConfig::new("127.0.0.1:0".parse()?))
///     .route("/greet", greet)
///     .route("/once", |mut socket: WebSocket| async move {
///         socket.recv().await.ok();
///     });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait IntoEndpoint<Kind> {
    /// The endpoint.
    fn into_endpoint(self) -> Arc<dyn Endpoint>;
}

impl<E: Endpoint> IntoEndpoint<()> for E {
    fn into_endpoint(self) -> Arc<dyn Endpoint> {
        Arc::new(self)
    }
}

impl<F, T> IntoEndpoint<fn(WebSocket) -> T> for F
where
    F: Fn(WebSocket) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    fn into_endpoint(self) -> Arc<dyn Endpoint> {
        Arc::new(OfSocket(self))
    }
}

impl<F, T> IntoEndpoint<fn(WebSocket, Request) -> T> for F
where
    F: Fn(WebSocket, Request) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    fn into_endpoint(self) -> Arc<dyn Endpoint> {
        Arc::new(OfSocketAndRequest(self))
    }
}

/// A function of the socket.
struct OfSocket<F>(F);

impl<F, T> Endpoint for OfSocket<F>
where
    F: Fn(WebSocket) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    fn serve(
        &self,
        socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.0(socket.with_request(request)))
    }
}

/// A function of the socket and the request.
struct OfSocketAndRequest<F>(F);

impl<F, T> Endpoint for OfSocketAndRequest<F>
where
    F: Fn(WebSocket, Request) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    fn serve(
        &self,
        socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.0(socket, request))
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
                tracing::debug!(error = %crate::ErrorChain(&error), "connection ended");
            }
        })
    }
}

impl fmt::Debug for dyn Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}
