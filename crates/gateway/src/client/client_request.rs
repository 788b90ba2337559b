//! [`ClientRequest`]: who connects, and where.
//!
//! In: a request, and the listener it came in at. Out: the client's address, as far as it can be believed, and what
//! upstreams are asked for this client.

use std::{borrow::Cow, net::SocketAddr};

use tidewire::{
    proto::handshake::query_parameter,
    ws::{ForwardedBy, Refusal, Request},
};

use crate::{
    backend::{forward, reach::UpstreamRequest},
    record::{Dialect, Refused},
    routing::request,
    settings::{Balance, Endpoint, HashKey, Listener},
};

/// Who connects, and where.
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    pub(crate) request: Request,
    pub(crate) client: forward::Client,
    /// Where the client connected to.
    pub(crate) listener: SocketAddr,
}

impl ClientRequest {
    /// Reads who asks from a request that came in at `listener`.
    pub(crate) fn new(request: Request, listener: &Listener, address: SocketAddr) -> Self {
        let forwarded = listener
            .proxies()
            .forwarded_in(&request.peer, &request.head);
        Self {
            client: forward::Client {
                secure: forwarded.secure.unwrap_or(request.peer.secure),
                writes_older: listener.forwarded_by != ForwardedBy::Forwarded,
                forwarded,
            },
            request,
            listener: address,
        }
    }

    /// Returns what the upstreams of `endpoint` are asked for this client, with `query` for them.
    pub(crate) fn ask(&self, endpoint: &Endpoint, query: Option<String>) -> UpstreamRequest {
        let head = &self.request.head;
        let hashed = match &endpoint.balance {
            Balance::Hash(HashKey::Header(name)) => request::header(head, name).map(str::to_owned),
            Balance::Hash(HashKey::Query(name)) => {
                let value = query
                    .as_deref()
                    .and_then(|query| query_parameter(query, name));
                value.map(Cow::into_owned)
            }
            Balance::Hash(HashKey::Cookie(name)) => head.cookie(name).map(str::to_owned),
            Balance::Hash(HashKey::Ip) | Balance::RoundRobin | Balance::LeastConnections => None,
        };
        let source = self.client_address();
        let preface = endpoint
            .proxy_protocol
            .map(|version| forward::proxy_header(version, source, self.listener));
        UpstreamRequest {
            headers: forward::headers(head, &self.request.peer, &self.client, endpoint),
            subprotocols: Vec::new(),
            path: head.path().to_owned(),
            query,
            strip_prefix: None,
            keep_path: false,
            preface: preface.unwrap_or_default().into(),
            ip: self.client.ip(),
            hashed: hashed.map(String::into_bytes),
        }
    }

    /// The client's address, with its port as far as that is known: a trusted proxy tells none.
    fn client_address(&self) -> Option<SocketAddr> {
        let nearest = self.request.peer.client_address()?;
        match self.client.ip() {
            Some(ip) if ip.to_canonical() != nearest.ip().to_canonical() => Some((ip, 0).into()),
            Some(_) | None => Some(nearest),
        }
    }

    /// For access records: a logical socket in `dialect` that was refused.
    pub(crate) fn refused<'a>(&'a self, dialect: Dialect, refusal: &'a Refusal) -> Refused<'a> {
        Refused {
            id: 0,
            parent: None,
            dialect: Some(dialect),
            endpoint: None,
            client: self.client.ip(),
            request: None,
            trace: request::trace(&self.request.head),
            status: refusal.status,
            reason: &refusal.reason,
        }
    }

    /// For access records: the trace that the request belongs to.
    pub(crate) fn trace(&self) -> Option<Box<str>> {
        request::trace(&self.request.head).map(Into::into)
    }

    /// For access records: method and path.
    pub(crate) fn request_line(&self) -> Box<str> {
        format!(
            "{} {}",
            self.request.head.method(),
            self.request.head.path()
        )
        .into()
    }
}
