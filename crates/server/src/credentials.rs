//! Requests as authentication sees them.
//!
//! In: requests of the toolkit's and of the HTTP library's. Out: their fields, their query, whose connection it is.

use std::sync::Arc;

use tidewire::ws::{Peer, Request};
use tidewire_access::certificate_names;
use tidewire_auth::{CertificatePart, Headers};

/// A request for a WebSocket.
#[derive(Clone, Copy)]
pub(crate) struct UpgradeHeaders<'a> {
    request: &'a Request,
    first_message: Option<&'a [u8]>,
}

impl<'a> UpgradeHeaders<'a> {
    pub(crate) fn of(request: &'a Request) -> Self {
        Self {
            request,
            first_message: None,
        }
    }

    /// With the token that came behind it.
    pub(crate) fn with_first_message(self, token: &'a [u8]) -> Self {
        Self {
            first_message: Some(token),
            ..self
        }
    }
}

impl Headers for UpgradeHeaders<'_> {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        Box::new(self.request.head.values(name))
    }

    fn query(&self) -> Option<&str> {
        self.request.head.query()
    }

    fn certificate_names(&self, part: CertificatePart) -> Vec<String> {
        certificate_names(&self.request.peer, part)
    }

    fn first_message(&self) -> Option<&[u8]> {
        self.first_message
    }
}

/// The HTTP library's request.
pub(crate) struct PartsHeaders<'a> {
    headers: &'a axum::http::HeaderMap,
    query: Option<&'a str>,
    peer: Option<&'a Arc<Peer>>,
}

impl<'a> PartsHeaders<'a> {
    pub(crate) fn of<B>(request: &'a axum::http::Request<B>) -> Self {
        Self {
            headers: request.headers(),
            query: request.uri().query(),
            peer: request.extensions().get(),
        }
    }
}

impl Headers for PartsHeaders<'_> {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        let values = self.headers.get_all(name).iter();
        Box::new(values.map(axum::http::HeaderValue::as_bytes))
    }

    fn query(&self) -> Option<&str> {
        self.query
    }

    fn certificate_names(&self, part: CertificatePart) -> Vec<String> {
        let names = self.peer.map(|peer| certificate_names(peer, part));
        names.unwrap_or_default()
    }
}

/// To whoever cannot be told yes or no.
pub(crate) const CANNOT_TELL: &str = "the credentials cannot be checked now, try again later";
