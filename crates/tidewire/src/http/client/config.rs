//! Limits and deadlines of a client, and the way it takes.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, response::Parts};

use super::RequestError;
use crate::net::{Address, Proxy};

/// Settings of a [`Client`](super::Client).
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// A connection must be made within: name, TCP, proxy and TLS. Default 10 s.
    pub connect_timeout: Duration,
    /// A request must be answered within, connection and body included. Default 1 minute.
    pub request_timeout: Duration,
    /// In a response that is read piece by piece, the next piece must come within. Default 30 s.
    pub read_timeout: Duration,
    /// A connection without a request is kept for. Default 60 s, less than most servers keep theirs.
    pub idle_timeout: Duration,
    /// Connections without a request that are kept per host. Default 8; 0: none is used again.
    pub idle_per_host_max: usize,
    /// Requests under way at a time; more wait, within their deadline. Default 256.
    pub requests_max: usize,
    /// Bytes of a response's head, at least 8 KiB. Default 64 KiB.
    pub head_bytes_max: usize,
    /// Fields of a response's head. Default 100.
    pub head_fields_max: usize,
    /// Bytes of a response's body. Default 10 MiB.
    pub body_bytes_max: usize,
    /// Redirections that are followed. Default 0: the response that redirects is the response. Credentials and cookies
    /// do not follow to another host, and nothing follows from https to http.
    pub redirects_max: usize,
    /// Whom to trust over https. Default: the system's certificate authorities.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls::ClientTls>,
    /// Connect here, whatever host the URL names: a Unix socket, or an address that no name resolves to. Goes before
    /// [`proxy`](Self::proxy). Default: none.
    pub address: Option<Address>,
    /// Decides for each address of a host name whether it may be connected to: the one that is looked at is the one that
    /// is taken. Not asked with [`address`](Self::address) or a proxy. Default: all may.
    pub allow_address: Option<AllowAddress>,
    /// Write the names of header fields as `Content-Type` instead of `content-type`, as old programs expect them. HTTP/2
    /// knows small letters only. Default false.
    pub title_case: bool,
    /// The way out: HTTP `CONNECT` or SOCKS5, for http and https alike. Default: none.
    pub proxy: Option<Proxy>,
    /// Offer HTTP/2 to servers of https. Default true.
    #[cfg(feature = "http2")]
    pub http2: bool,
    /// Speak HTTP/2 from the first byte, also without TLS. Default false.
    #[cfg(feature = "http2")]
    pub http2_prior_knowledge: bool,
    /// Who is told of responses and errors. Default: nobody.
    pub hooks: Option<Arc<dyn ClientHooks>>,
}

/// Decides whether an address, which a name resolves to, may be connected to.
pub type AllowAddress = Arc<dyn Fn(&str, IpAddr) -> bool + Send + Sync>;

/// Hooks of a client's requests, besides their results.
pub trait ClientHooks: Send + Sync {
    /// The head of a response has come.
    fn response_head(&self, head: &Parts) {
        let _ = head;
    }

    /// A response has come as a whole.
    fn response(&self, response: &Response<Bytes>) {
        let _ = response;
    }

    /// A request has failed.
    fn error(&self, error: &RequestError) {
        let _ = error;
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_mins(1),
            read_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(1),
            idle_per_host_max: 8,
            requests_max: 256,
            head_bytes_max: 64 << 10,
            head_fields_max: 100,
            body_bytes_max: 10 << 20,
            redirects_max: 0,
            #[cfg(feature = "tls")]
            tls: None,
            address: None,
            allow_address: None,
            title_case: false,
            proxy: None,
            #[cfg(feature = "http2")]
            http2: true,
            #[cfg(feature = "http2")]
            http2_prior_knowledge: false,
            hooks: None,
        }
    }
}

impl ClientConfig {
    /// Sets the field `hooks`.
    #[must_use]
    pub fn hooks(mut self, hooks: impl ClientHooks + 'static) -> Self {
        self.hooks = Some(Arc::new(hooks));
        self
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("requests_max", &self.requests_max)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
