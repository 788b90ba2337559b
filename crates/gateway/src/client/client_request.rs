//! [`ClientRequest`]: who connects, and where.
//!
//! In: a request, and the listener it came in at. Out: the client's address, as far as it can be believed, and what
//! upstreams are asked for this client.

use std::net::SocketAddr;

use tidewire::{
    net::Address,
    ws::{ForwardedBy, Refusal, Request},
};
use tidewire_auth::{composed, decode_parameter, first_parameter};

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
    pub(crate) listener: Address,
}

impl ClientRequest {
    /// Reads who asks from a request that came in at `listener`.
    pub(crate) fn new(request: Request, listener: &Listener, address: &Address) -> Self {
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
            listener: address.clone(),
        }
    }

    /// Returns what the upstreams of `endpoint` are asked for this client, with `query` for them.
    pub(crate) fn ask(&self, endpoint: &Endpoint, query: Option<String>) -> UpstreamRequest {
        let head = &self.request.head;
        let hashed = match &endpoint.balance {
            Balance::Hash(HashKey::Header(name)) => request::header(head, name).map(str::to_owned),
            Balance::Hash(HashKey::Query(name)) => {
                query.as_deref().and_then(|query| user_in(query, name))
            }
            Balance::Hash(HashKey::Cookie(name)) => head.cookie(name).map(str::to_owned),
            Balance::Hash(HashKey::Ip) | Balance::RoundRobin | Balance::LeastConnections => None,
        };
        let source = self.client_address();
        let preface = endpoint
            .proxy_protocol
            .map(|version| forward::proxy_header(version, source, self.listener.socket_addr()));
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
            client: self.client.node(),
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

/// A parameter that is hashed, read as the messaging server reads its `id` (`docs/ids.md`): the devices of a user meet
/// at one upstream, however each of them writes the name. `None`: it is absent or malformed.
fn user_in(query: &str, name: &str) -> Option<String> {
    let value = decode_parameter(first_parameter(query, name)?).ok()?;
    Some(composed(&value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_is_one_key_in_every_spelling() {
        for query in [
            "id=J%C3%B6rg+K",
            "id=J%c3%b6rg%20K",
            "ID=Jo%CC%88rg+K&id=other",
            "x=1&i%64=J%C3%B6rg%20K",
        ] {
            assert_eq!(user_in(query, "id").as_deref(), Some("Jörg K"), "{query}");
        }
        for query in ["", "x=1", "id=%ff", "id=%"] {
            assert_eq!(user_in(query, "id"), None, "{query}");
        }
    }
}
