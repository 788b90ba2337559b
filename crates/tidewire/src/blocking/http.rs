//! HTTP requests that block the thread: [`Client`].

use bytes::Bytes;
use http::{Method, Request, Response};

use super::runtime;
use crate::http::{self as web, ClientConfig, RequestError};

/// Sends requests and waits for their responses. Clones share connections and limits.
///
/// ```no_run
/// use tidewire::{blocking::http::Client, http::ClientConfig};
///
/// let client = Client::new(ClientConfig::default()).base("http://127.0.0.1:8080")?;
/// client.put("/api/cache?key=a", "hello")?;
/// println!("{}", client.get("/api/cache?key=a")?.status());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Client(web::Client);

impl Client {
    /// A client without connections yet.
    pub fn new(config: ClientConfig) -> Self {
        Self(web::Client::new(config))
    }

    /// As [`web::Client::base`].
    ///
    /// # Errors
    /// [`RequestError::Invalid`].
    pub fn base(self, url: &str) -> Result<Self, RequestError> {
        self.0.base(url).map(Self)
    }

    /// Sends a request and waits for the whole response, within
    /// [`ClientConfig::request_timeout`].
    ///
    /// # Errors
    /// [`RequestError`]. A response of any status is none.
    pub fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, RequestError> {
        let client = self.0.clone();
        let sent = runtime::wait(async move { client.send(request).await });
        sent.unwrap_or_else(|error| Err(RequestError::Connect(error.into())))
    }

    /// Sends HEAD. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn head(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::HEAD, url)
    }

    /// Sends GET. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn get(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::GET, url)
    }

    /// Sends POST with a text. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn post(&self, url: &str, body: impl Into<Bytes>) -> Result<Response<Bytes>, RequestError> {
        self.with_body(Method::POST, url, body.into())
    }

    /// Sends PUT with a text. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn put(&self, url: &str, body: impl Into<Bytes>) -> Result<Response<Bytes>, RequestError> {
        self.with_body(Method::PUT, url, body.into())
    }

    /// Sends DELETE. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn delete(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::DELETE, url)
    }

    /// Sends OPTIONS. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn options(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::OPTIONS, url)
    }

    /// Sends TRACE. As [`send`](Self::send).
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn trace(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        self.without_body(Method::TRACE, url)
    }

    fn without_body(&self, method: Method, url: &str) -> Result<Response<Bytes>, RequestError> {
        let request = web::request(method, url);
        self.send(request.map_err(|error| RequestError::Invalid(error.into()))?)
    }

    fn with_body(
        &self,
        method: Method,
        url: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, RequestError> {
        let request = web::request_with_body(method, url, body);
        self.send(request.map_err(|error| RequestError::Invalid(error.into()))?)
    }
}
