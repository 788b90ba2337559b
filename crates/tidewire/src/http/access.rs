//! What keeps pages of other origins out: host names, origins, the challenge for credentials, what a page may
//! load.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tidewire_proto::proxy::Forwarded;

/// Whether a `Host` field names this machine: `localhost` or an address of loopback, with or without a port. A page
/// that rebinds its own name to 127.0.0.1 (DNS rebinding) is of the same origin as that name, so a server that asks
/// for no credentials on loopback serves these names only.
pub fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _port)) => address,
        None => host.split_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns whether a request comes through a trusted proxy (`told` by it), not from a browser on this machine, which may
/// have the same address. A page that rebinds its name can write every field of a proxy, but `host`, the `Host` field,
/// has the port that the browser connects to: `own_port`, that of the server; `None` at a Unix socket,
/// which no browser gets at.
pub fn is_behind_proxy(host: &str, secure: bool, own_port: Option<u16>, told: &Forwarded) -> bool {
    let port = match host.rsplit_once(':') {
        Some((_name, port)) if !port.ends_with(']') => port.parse().ok(),
        Some(_) | None => Some(if secure { 443 } else { 80 }),
    };
    let is_told = told.host.is_some() || told.secure.is_some() || !told.is_client_hidden;
    let is_elsewhere = own_port.is_none() || port != own_port;
    told.by_proxy && is_told && is_elsewhere && !host.is_empty()
}

/// Whether `origin` is that of pages from `host`. `secure` tells the scheme; `None` allows either, for servers
/// behind a proxy that may do TLS.
pub fn is_same_origin(origin: &str, host: &str, secure: Option<bool>) -> bool {
    let plain = || Some((origin.strip_prefix("http://")?, ":80"));
    let tls = || Some((origin.strip_prefix("https://")?, ":443"));
    let parts = match secure {
        Some(false) => plain(),
        Some(true) => tls(),
        None => plain().or_else(tls),
    };
    let Some((name, default_port)) = parts else {
        return false;
    };
    let host = host.strip_suffix(default_port).unwrap_or(host);
    !name.is_empty() && name.eq_ignore_ascii_case(host)
}

/// Makes an answer the 401 that asks for credentials (RFC 9110 section 15.5.2): by `challenge`, the value of
/// `WWW-Authenticate`, if a browser can ask its user for them.
pub fn challenge<B>(mut response: Response<B>, challenge: Option<&str>) -> Response<B> {
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    if let Some(Ok(challenge)) = challenge.map(HeaderValue::from_str) {
        let headers = response.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Says in an answer what a page may load (`policy`, a Content-Security-Policy), that its type is not to be guessed,
/// and that other sites do not learn its address.
pub fn protect_page(headers: &mut HeaderMap, policy: &'static str) {
    let fields = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fields {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_by_its_names_only() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8085", true),
            ("127.8.8.8", true),
            ("[::1]:8085", true),
            ("localhost.example", false),
            ("128.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_name(host), expected, "{host}");
        }
    }

    #[test]
    fn an_origin_is_compared_with_its_scheme_and_port() {
        for (origin, host, secure, expected) in [
            ("http://a:80", "a", Some(false), false),
            ("http://a", "A:80", Some(false), true),
            ("https://a", "a", Some(false), false),
            ("https://a", "a:443", Some(true), true),
            ("https://a", "a:443", None, true),
            ("http://a", "a", None, true),
            ("http://", "", None, false),
            ("null", "null", None, false),
        ] {
            assert_eq!(
                is_same_origin(origin, host, secure),
                expected,
                "{origin} {host}"
            );
        }
    }
}
