//! The request as the upstream gets it.
//!
//! In: a client's request and its endpoint. Out: header fields, path and query for the upstream.
//! Invariants: what belongs to one connection (RFC 9110 section 7.6.1) ends here; only a WebSocket upgrade
//! is ever asked for; who the client is said to be is what the gateway knows, not what the client
//! claims.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tidewire::{
    proto::{
        handshake::RequestHead,
        proxy::{Forwarded, Header, Node},
    },
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

/// Returns whether proxies tell by a field of this name, in lower case, who the client is. A backend that believes one of them
/// would believe whoever asks. `HTTP_CLIENT_IP` is what programs of CGI's time read, under whichever name it comes.
fn tells_of_client(name: &str) -> bool {
    let name = name.strip_prefix("http-").unwrap_or(name);
    name.starts_with("x-forwarded")
        || CLIENT.contains(&name)
        || CLIENT_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// How such names end in proxies of all kinds.
const CLIENT_ENDINGS: &[&str] = &[
    "arr-ssl",
    "client-ip",
    "clientip",
    "connecting-ip",
    "forwarded-for",
    "forwarded-host",
    "forwarded-port",
    "forwarded-proto",
    "real-ip",
    "remote-addr",
    "remote-ip",
    "socketip",
    "src-ip",
];

/// Further fields by which proxies tell of the client, besides `Forwarded`. `Proxy` would become `HTTP_PROXY` in a CGI
/// program, the proxy that its own requests go through (CVE-2016-5385). Some frameworks take the path from
/// `X-Original-URL` and `X-Rewrite-URL` (CVE-2018-14773), past the conditions of routes.
const CLIENT: &[&str] = &[
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "cf-visitor",
    "client-address",
    "coming-from",
    "forwarded",
    "front-end-https",
    "proxy",
    "remote-address",
    "remote-host",
    "x-appengine-user-ip",
    "x-client",
    "x-coming-from",
    "x-envoy-external-address",
    "x-host",
    "x-https",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-remote-address",
    "x-remote-host",
    "x-rewrite-url",
    "x-scheme",
    "x-ssl",
    "x-url-scheme",
];

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The words of trusted proxies in front, to be continued.
    pub(crate) forwarded: Forwarded,
    /// Whether it came encrypted.
    pub(crate) secure: bool,
    /// The proxies write fields older than `Forwarded`: otherwise these are the client's own.
    pub(crate) writes_older: bool,
}

impl Client {
    /// The client for records: its address, or a Unix socket.
    pub(crate) fn node(&self) -> Node {
        self.forwarded.node
    }

    /// The client's address, as far as it is known.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.forwarded.client
    }
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
        // Some servers read `X_Real_IP` as `X-Real-IP` (CGI variables know no hyphen). No proxy writes it so, but for
        // those that write the names of the variables.
        let lower = name.to_ascii_lowercase().replace('_', "-");
        let is_own_spelling = !name.contains('_') || lower.starts_with("http-");
        let is_believed = client.forwarded.by_proxy && client.writes_older && is_own_spelling;
        let ends_here = HOP.contains(&lower.as_str())
            || connection
                .iter()
                .any(|field| field.eq_ignore_ascii_case(name))
            || lower.starts_with("sec-websocket-")
            || lower.eq_ignore_ascii_case(ROUTE_NAME)
            || (tells_of_client(&lower) && !is_believed);
        if ends_here {
            continue;
        }
        // A value that is no text cannot be passed on as it is, and not otherwise either.
        if let Ok(value) = std::str::from_utf8(value) {
            out.push((name.to_owned(), value.to_owned()));
        }
    }
    say_for_whom(&mut out, head, peer, client);
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
fn say_for_whom(out: &mut Vec<(String, String)>, head: &RequestHead, peer: &Peer, client: &Client) {
    let nearest = peer
        .client_address()
        .map(|address| address.ip().to_string());
    // A proxy on a Unix socket has no address of its own that would tell anything.
    if nearest.is_some() || client.forwarded.by_proxy {
        let name = "X-Forwarded-For";
        let mut before: Vec<String> = values_of(out, name);
        out.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        // It was told in another field.
        let told = client.ip().map(|ip| ip.to_string());
        before.extend(told.filter(|told| before.is_empty() && Some(told) != nearest.as_ref()));
        before.extend(nearest);
        if !before.is_empty() {
            out.push((name.to_owned(), before.join(", ")));
        }
    }
    let missing = |out: &[(String, String)], name: &str| {
        !out.iter()
            .any(|(field, _)| field.eq_ignore_ascii_case(name))
    };
    if missing(out, "x-forwarded-proto") {
        let scheme = if client.secure { "https" } else { "http" };
        out.push(("X-Forwarded-Proto".to_owned(), scheme.to_owned()));
    }
    let told = client.forwarded.host.as_deref();
    let host = told.or_else(|| request::header(head, "host"));
    if let Some(host) = host.filter(|_| missing(out, "x-forwarded-host")) {
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

/// Which path the upstream gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UpstreamPath<'a> {
    /// That of its address.
    Own,
    /// That of the request.
    Kept,
    /// That of its address, with that of the request without this prefix behind it.
    Behind(&'a str),
}

/// Returns what is asked of the upstream: its own path, or that of the request, or the rest of the request's behind
/// it; and the client's query behind the upstream's own.
pub(crate) fn target(
    upstream: &Url,
    path: &str,
    query: Option<&str>,
    upstream_path: UpstreamPath<'_>,
) -> String {
    let (base, own_query) = match upstream.target().split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (upstream.target(), None),
    };
    let mut target = match upstream_path {
        UpstreamPath::Kept => path.to_owned(),
        UpstreamPath::Behind(prefix) => {
            let rest = path.strip_prefix(prefix).unwrap_or(path);
            let rest = rest.trim_start_matches('/');
            format!("{}/{rest}", base.trim_end_matches('/'))
        }
        UpstreamPath::Own => base.to_owned(),
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
/// client connected to; `None` is a Unix socket, in whose place stands the nowhere of the client's family: the header
/// has no word for a client whose address is known and that came in over one.
pub(crate) fn proxy_header(
    version: OutgoingProxyProtocol,
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
) -> Vec<u8> {
    let header = source.map_or_else(Header::local, |source| {
        let nowhere = || match source {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        Header::tcp(source, destination.unwrap_or_else(nowhere))
    });
    match version {
        OutgoingProxyProtocol::V1 => header.encode_v1().into_bytes(),
        OutgoingProxyProtocol::V2 => header
            .encode_v2(false)
            .expect("addresses alone are short enough"),
    }
}
