//! [`Handler`]: an application of hooks instead of a `tower` service.
//!
//! The hooks of a connection come in this order: `connected`, then for each request `received_head`, and after that
//! either `received`, or `received_cached`, or `request_error`; at last `disconnected`, once. Over HTTP/1.1 a connection
//! has one request at a time; over HTTP/2 the hooks of its requests mix, each request's own in order.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use tower_service::Service as Tower;

use super::{
    body::{BodyError, BodyLimits, RequestBody, read_body},
    builder::error_response,
    cache::CachedBody,
    session::{Listen, Session},
};
use crate::net::Peer;

/// An application that answers whole requests, and hears of what happens to connections.
///
/// ```no_run
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use tidewire::{http::{self as web, Handler, Http, Session}, service::{Config, Server}};
///
/// struct Greeter;
///
/// impl Handler for Greeter {
///     async fn received(&self, session: &Session, request: Request<Bytes>) -> Response<Bytes> {
///         web::get_response(format!("{} asks for {}\n", session.id(), request.uri()), None)
///     }
/// }
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::new("127.0.0.1:8080".parse()?);
/// let running = Server::new(config, Http::handler(Greeter, web::Config::default())).start()?;
/// # Ok(()) }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// A client has connected and sent something.
    fn connected(&self, session: &Session) {
        let _ = session;
    }

    /// A head has come, and the body not yet. The limits are those of the body; an error is the answer, and then the
    /// body is not read. Default: [`BodyLimits::default`].
    ///
    /// # Errors
    /// The answer to a request that is refused.
    #[expect(
        clippy::result_large_err,
        reason = "the answer is made once and moved once"
    )]
    fn received_head(
        &self,
        session: &Session,
        head: &Parts,
    ) -> Result<BodyLimits, Response<Bytes>> {
        let _ = (session, head);
        Ok(BodyLimits::default())
    }

    /// A request has come, with its body. The answer goes to the client.
    fn received(
        &self,
        session: &Session,
        request: Request<Bytes>,
    ) -> impl Future<Output = Response<Bytes>> + Send;

    /// A request is about to be answered out of the [cache](super::FileCache); the response may be changed. Called only
    /// if [`sees_cached`](Self::sees_cached) says so. Default: it is sent as it is.
    fn received_cached(
        &self,
        session: &Session,
        request: &Parts,
        response: &mut Response<CachedBody>,
    ) {
        let _ = (session, request, response);
    }

    /// Returns whether [`received_cached`](Self::received_cached) is to be called. Default false: then such requests
    /// take a shorter way, without `received_head` too.
    fn sees_cached(&self) -> bool {
        false
    }

    /// A request was not received: its head is malformed, its body too large, or it came too slowly. The client is
    /// told.
    fn request_error(&self, session: &Session, error: &str) {
        let _ = (session, error);
    }

    /// The connection has ended.
    fn disconnected(&self, session: &Session) {
        let _ = session;
    }
}

/// A [`Handler`] as a `tower` service.
pub struct HandlerService<H>(Arc<H>);

impl<H> HandlerService<H> {
    pub(super) fn new(handler: Arc<H>) -> Self {
        Self(handler)
    }
}

impl<H> Clone for HandlerService<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H> fmt::Debug for HandlerService<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerService").finish_non_exhaustive()
    }
}

impl<H: Handler> Tower<Request<RequestBody>> for HandlerService<H> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let handler = Arc::clone(&self.0);
        Box::pin(async move {
            let session = request.extensions().get::<Arc<Session>>();
            // Only behind a service of one's own it can be missing.
            let session = session
                .cloned()
                .unwrap_or_else(|| Arc::new(Session::new(Arc::new(Peer::default()))));
            let response = answer(&*handler, &session, request).await;
            Ok(response.map(Full::new))
        })
    }
}

async fn answer<H: Handler>(
    handler: &H,
    session: &Session,
    request: Request<RequestBody>,
) -> Response<Bytes> {
    let (head, body) = request.into_parts();
    let limits = match handler.received_head(session, &head) {
        Ok(limits) => limits,
        Err(response) => return response,
    };
    match read_body(body, limits).await {
        Ok(body) => {
            handler
                .received(session, Request::from_parts(head, body))
                .await
        }
        Err(error) => {
            let status = match error {
                BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
                BodyError::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
                BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            };
            handler.request_error(session, &error.to_string());
            error_response(status, format!("{error}\n"))
        }
    }
}

/// A [`Handler`] as one who listens.
pub(super) struct Hooks<H: Handler> {
    handler: Arc<H>,
    cached: Option<Box<CachedFn>>,
}

type CachedFn = dyn Fn(&Session, &Parts, &mut Response<CachedBody>) + Send + Sync;

impl<H: Handler> Hooks<H> {
    pub(super) fn new(handler: Arc<H>) -> Self {
        let cached = handler.sees_cached().then(|| {
            let handler = Arc::clone(&handler);
            let hook: Box<CachedFn> = Box::new(move |session, request, response| {
                handler.received_cached(session, request, response);
            });
            hook
        });
        Self { handler, cached }
    }
}

impl<H: Handler> Listen for Hooks<H> {
    fn connected(&self, session: &Session) {
        self.handler.connected(session);
    }

    fn disconnected(&self, session: &Session) {
        self.handler.disconnected(session);
    }

    fn request_error(&self, session: &Session, error: &str) {
        self.handler.request_error(session, error);
    }

    fn cached(&self) -> Option<super::session::CachedHook<'_>> {
        self.cached.as_deref()
    }
}
