//! The request as the upstream gets it.
//!
//! In: a client's request and its endpoint. Out: header fields, path and query for the upstream.
//! Invariants: what belongs to one connection (RFC 9110 section 7.6.1) ends here; only a WebSocket upgrade
//! is ever asked for; who the client is said to be is what the gateway knows, not what the client
//! claims.

use std::net::{IpAddr, SocketAddr};

use tidewire::{
    proto::{handshake::RequestHead, proxy::Header},
    ws::{Peer, Url},
};

use crate::{
    routing::request::{self, ROUTE_NAME},
    settings::{Endpoint, OutgoingProxyProtocol},
};

/// Fields that end at the gateway, besides those that `Connection` names and those of the handshake.
const HOP: &[&str] = &[
    "connection",
    "content-length",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields by which proxies tell the client's address, besides `X-Forwarded-*` and `Forwarded`. A backend that believes
/// one of them would believe whoever asks.
const CLIENT: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded-for",
    "true-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
];

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The client's address, as far as it is known.
    pub(crate) ip: Option<IpAddr>,
    /// What a trusted proxy in front has said already, to be continued.
    pub(crate) trusted_proxy: bool,
    /// Whether it came encrypted.
    pub(crate) secure: bool,
}

/// The header fields for the upstream.
pub(crate) fn headers(
    head: &RequestHead,
    peer: &Peer,
    client: &Client,
    endpoint: &Endpoint,
) -> Vec<(String, String)> {
    let connection = request::connection_fields(head);
    let mut out: Vec<(String, String)> = Vec::new();
    for (name, value) in head.fields() {
        // Some servers read `X_Real_IP` as `X-Real-IP` (CGI variables know no hyphen). No proxy writes it so.
        let lower = name.to_ascii_lowercase().replace('_', "-");
        let tells_client = lower.starts_with("x-forwarded-") || CLIENT.contains(&lower.as_str());
        let is_believed = client.trusted_proxy && !name.contains('_');
        let ends_here = HOP.contains(&lower.as_str())
            || connection
                .iter()
                .any(|field| field.eq_ignore_ascii_case(name))
            || lower.starts_with("sec-websocket-")
            || lower.eq_ignore_ascii_case(ROUTE_NAME)
            || (tells_client && !is_believed);
        if ends_here {
            continue;
        }
        // A value that is no text cannot be passed on as it is, and not otherwise either.
        if let Ok(value) = std::str::from_utf8(value) {
            out.push((name.to_owned(), value.to_owned()));
        }
    }
    forwarded(&mut out, head, peer, client);
    for (name, value) in &endpoint.request_headers {
        out.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            out.push((name.clone(), value.clone()));
        }
    }
    let host = request::header(head, "host").filter(|_host| endpoint.preserve_host);
    let chosen = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
    if let Some(host) = host.filter(|_host| !out.iter().any(chosen)) {
        out.push(("Host".to_owned(), host.to_owned()));
    }
    out
}

/// Says for whom the gateway asks.
fn forwarded(out: &mut Vec<(String, String)>, head: &RequestHead, peer: &Peer, client: &Client) {
    let nearest = peer
        .client_address()
        .map(|address| address.ip().to_string());
    if let Some(nearest) = nearest {
        let name = "X-Forwarded-For";
        let before: Vec<String> = values_of(out, name);
        out.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        let chain = before.into_iter().chain([nearest]);
        out.push((name.to_owned(), chain.collect::<Vec<_>>().join(", ")));
    }
    let missing = |out: &[(String, String)], name: &str| {
        !out.iter()
            .any(|(field, _)| field.eq_ignore_ascii_case(name))
    };
    if missing(out, "x-forwarded-proto") {
        let scheme = if client.secure { "https" } else { "http" };
        out.push(("X-Forwarded-Proto".to_owned(), scheme.to_owned()));
    }
    if let Some(host) = request::header(head, "host").filter(|_| missing(out, "x-forwarded-host")) {
        out.push(("X-Forwarded-Host".to_owned(), host.to_owned()));
    }
}

fn values_of(fields: &[(String, String)], name: &str) -> Vec<String> {
    fields
        .iter()
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.clone())
        .collect()
}

/// Returns what is asked of the upstream: its own path, or with `strip_prefix` the rest of the request's behind
/// it; and the client's query behind the upstream's own.
pub(crate) fn target(
    upstream: &Url,
    path: &str,
    query: Option<&str>,
    strip_prefix: Option<&str>,
) -> String {
    let (base, own_query) = match upstream.target().split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (upstream.target(), None),
    };
    let mut target = match strip_prefix {
        Some(prefix) => {
            let rest = path.strip_prefix(prefix).unwrap_or(path);
            let rest = rest.trim_start_matches('/');
            format!("{}/{rest}", base.trim_end_matches('/'))
        }
        None => base.to_owned(),
    };
    let queries: Vec<&str> = own_query
        .into_iter()
        .chain(query)
        .filter(|query| !query.is_empty())
        .collect();
    if !queries.is_empty() {
        target.push('?');
        target.push_str(&queries.join("&"));
    }
    target
}

/// The header of the PROXY protocol for a connection to an upstream; `destination` is where the
/// client connected to.
pub(crate) fn proxy_header(
    version: OutgoingProxyProtocol,
    source: Option<SocketAddr>,
    destination: SocketAddr,
) -> Vec<u8> {
    let header = source.map_or_else(Header::local, |source| Header::tcp(source, destination));
    match version {
        OutgoingProxyProtocol::V1 => header.encode_v1().into_bytes(),
        OutgoingProxyProtocol::V2 => header
            .encode_v2(false)
            .expect("addresses alone are short enough"),
    }
}
