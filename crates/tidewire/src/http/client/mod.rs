//! A client of HTTP/1.1 and HTTP/2: [`Client`].
//!
//! In: requests. Out: responses, or why there is none. Connections are kept and used again (hyper-util's pool);
//! a request that finds its kept connection gone before anything was sent is sent again on a new one. Invariants: every
//! request ends within its deadline; heads and bodies are bounded; how many requests are under way is bounded.

mod config; // limits, deadlines, the way
mod error; // why there is no response
mod connector; // TCP, proxies, TLS
mod redirect; // to another address
mod body; // what is read piece by piece

use std::{error::Error, fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Body;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

pub use self::{
    body::ResponseBody,
    config::{AllowAddress, ClientConfig, ClientHooks},
    error::RequestError,
};
use self::{connector::Connector, redirect::Redirect};
use super::builder;

type Outgoing = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Sends requests. Clones share connections and limits; make one and keep it.
///
/// ```no_run
/// use std::time::Duration;
///
/// use tidewire::http::{Client, ClientConfig};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ClientConfig::default().request_timeout(Duration::from_secs(5));
/// let client = Client::new(config).base("http://127.0.0.1:8080")?;
/// client.post("/api/cache?key=a", "hello").await?;
/// let response = client.get("/api/cache?key=a").await?;
/// assert_eq!(response.body(), "hello");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    base: Option<Uri>,
}

struct Shared {
    config: ClientConfig,
    pool: legacy::Client<Connector, Outgoing>,
    places: Arc<Semaphore>,
}

impl Client {
    /// A client without connections yet.
    pub fn new(config: ClientConfig) -> Self {
        let mut rules = legacy::Client::builder(TokioExecutor::new());
        rules
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.idle_per_host_max)
            .http1_max_buf_size(config.head_bytes_max.max(BUFFER_BYTES_MIN))
            .http1_title_case_headers(config.title_case)
            .http1_max_headers(config.head_fields_max);
        #[cfg(feature = "http2")]
        {
            let head = u32::try_from(config.head_bytes_max).unwrap_or(u32::MAX);
            rules
                .http2_only(config.http2_prior_knowledge)
                .http2_max_header_list_size(head)
                .http2_initial_stream_window_size(STREAM_WINDOW)
                .http2_initial_connection_window_size(CONNECTION_WINDOW);
        }
        let pool = rules.build(Connector::new(&config));
        let places = Arc::new(Semaphore::new(
            config.requests_max.min(Semaphore::MAX_PERMITS),
        ));
        let shared = Arc::new(Shared {
            config,
            pool,
            places,
        });
        Self { shared, base: None }
    }

    /// Returns a client of the same connections whose requests for a path alone (`/api`) go to this address.
    ///
    /// # Errors
    /// [`RequestError::Invalid`]: `url` has no scheme or no host.
    pub fn base(mut self, url: &str) -> Result<Self, RequestError> {
        let url: Uri = url.parse().map_err(RequestError::invalid)?;
        if url.scheme().is_none() || url.authority().is_none() {
            return Err(RequestError::invalid("expected a URL with scheme and host"));
        }
        self.base = Some(url);
        Ok(self)
    }

    /// Sends a request and reads the whole response, within
    /// [`ClientConfig::request_timeout`].
    ///
    /// # Errors
    /// [`RequestError`]. A response of any status is none.
    ///
    /// # Cancel safety
    /// Not cancel safe: the request may have been sent.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, RequestError> {
        let within = self.shared.config.request_timeout;
        let sent = self.send_until(request, Instant::now().checked_add(within));
        let result = sent.await;
        if let Some(hooks) = &self.shared.config.hooks {
            match &result {
                Ok(response) => hooks.response(response),
                Err(error) => hooks.error(error),
            }
        }
        result
    }

    /// Sends a request whose body may be made on the way, and gives the response as soon as its head is there, both
    /// within [`ClientConfig::request_timeout`]. Redirections are not followed.
    ///
    /// # Errors
    /// [`RequestError`].
    ///
    /// # Cancel safety
    /// Not cancel safe: the request may have been sent.
    pub async fn send_streaming<B>(
        &self,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, RequestError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let within = self.shared.config.request_timeout;
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let deadline = Instant::now().checked_add(within);
        let response = self.exchange(request, deadline).await;
        if let (Err(error), Some(hooks)) = (&response, &self.shared.config.hooks) {
            hooks.error(error);
        }
        response
    }

    /// Sends HEAD. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn head(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::HEAD, url).await
    }

    /// Sends GET. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn get(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::GET, url).await
    }

    /// Sends POST with a text. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn post(
        &self,
        url: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, RequestError> {
        self.with_body(Method::POST, url, body.into()).await
    }

    /// Sends PUT with a text. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn put(
        &self,
        url: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, RequestError> {
        self.with_body(Method::PUT, url, body.into()).await
    }

    /// Sends DELETE. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn delete(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::DELETE, url).await
    }

    /// Sends OPTIONS. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn options(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::OPTIONS, url).await
    }

    /// Sends TRACE. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn trace(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::TRACE, url).await
    }

    async fn without_body(
        &self,
        method: Method,
        url: &str,
    ) -> Result<Response<Bytes>, RequestError> {
        let request = builder::request(method, url).map_err(RequestError::invalid)?;
        self.send(request).await
    }

    async fn with_body(
        &self,
        method: Method,
        url: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, RequestError> {
        let request = builder::request_with_body(method, url, body);
        self.send(request.map_err(RequestError::invalid)?).await
    }

    /// Follows redirections as far as it may. Without a deadline when the clock cannot tell it.
    async fn send_until(
        &self,
        mut request: Request<Bytes>,
        deadline: Option<Instant>,
    ) -> Result<Response<Bytes>, RequestError> {
        *request.uri_mut() = self.absolute(request.uri())?;
        let mut redirects_left = self.shared.config.redirects_max;
        loop {
            let redirect = (redirects_left > 0).then(|| Redirect::of(&request));
            let outgoing = request.map(|body| {
                let body = Full::new(body).map_err(|never| match never {});
                body.boxed_unsync()
            });
            let response = self.exchange(outgoing, deadline).await?;
            let next = redirect.map(|redirect| redirect.follow(&response));
            match next.transpose()?.flatten() {
                Some(next) => {
                    redirects_left -= 1;
                    request = next;
                }
                None => return self.read(response, deadline).await,
            }
        }
    }

    /// One request, until the head of its response is there.
    async fn exchange(
        &self,
        mut request: Request<Outgoing>,
        deadline: Option<Instant>,
    ) -> Result<Response<ResponseBody>, RequestError> {
        *request.uri_mut() = self.absolute(request.uri())?;
        clean(request.headers_mut());
        let config = &self.shared.config;
        let exchange = async {
            let place = Arc::clone(&self.shared.places).acquire_owned().await;
            // The semaphore lives as long as this client, and is never closed.
            let place = place.map_err(RequestError::invalid)?;
            let response = self.shared.pool.request(request).await;
            response
                .map_err(RequestError::of_pool)
                .map(|it| (it, place))
        };
        let (response, place) = within(deadline, exchange, config).await?;
        let response = response
            .map(|body| ResponseBody::new(body, config.body_bytes_max, config.read_timeout, place));
        let (parts, body) = response.into_parts();
        if let Some(hooks) = &config.hooks {
            hooks.response_head(&parts);
        }
        Ok(Response::from_parts(parts, body))
    }

    async fn read(
        &self,
        response: Response<ResponseBody>,
        deadline: Option<Instant>,
    ) -> Result<Response<Bytes>, RequestError> {
        let (parts, body) = response.into_parts();
        let body = within(deadline, body.read(), &self.shared.config).await?;
        Ok(Response::from_parts(parts, body))
    }

    fn absolute(&self, url: &Uri) -> Result<Uri, RequestError> {
        if url.scheme().is_some() {
            return Ok(url.clone());
        }
        // A name alone is read as a host.
        let Some(base) = self.base.as_ref().filter(|_| url.authority().is_none()) else {
            return Err(RequestError::invalid("expected a URL with scheme and host"));
        };
        let mut parts = base.clone().into_parts();
        let path = url.path_and_query().cloned();
        parts.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
        Uri::from_parts(parts).map_err(RequestError::invalid)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(ClientConfig::default())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

/// hyper reads no head into less.
const BUFFER_BYTES_MIN: usize = 8 << 10;

/// Bytes that a server may send ahead of what is read: enough for a fast line of 50 ms.
#[cfg(feature = "http2")]
const STREAM_WINDOW: u32 = 1 << 20;
#[cfg(feature = "http2")]
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Fields of a connection are not the caller's to set.
fn clean(headers: &mut HeaderMap) {
    for name in [header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
}

async fn within<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = Result<T, RequestError>>,
    config: &ClientConfig,
) -> Result<T, RequestError> {
    let Some(deadline) = deadline else {
        return future.await;
    };
    timeout_at(deadline, future)
        .await
        .unwrap_or_else(|_elapsed| {
            Err(RequestError::TimedOut {
                within: config.request_timeout,
            })
        })
}
