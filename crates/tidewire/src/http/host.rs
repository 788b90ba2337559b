//! Whom a request asks: its `Host` field and the authority of its target.
//!
//! In: both, of any version of HTTP. Out: one `Host` that may be trusted to be what every other reader takes, or a
//! refusal. Invariant: who asks over HTTP/2 is held to the same rules, and what reads `Host` finds it there too.

use http::{HeaderValue, Request, header, uri::Authority};
use tidewire_proto::handshake::Refusal;

/// RFC 9112 section 3.2: HTTP/1.1 has exactly one `Host`, others at most one.
pub(super) fn check<'a>(
    mut hosts: impl Iterator<Item = &'a [u8]>,
    authority: Option<&str>,
    may_lack: bool,
) -> Result<(), Refusal> {
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && !may_lack) {
        return Err(Refusal::new(400, "expected exactly one Host field"));
    }
    let Some(host) = host else { return Ok(()) };
    let is_host_byte = |byte: &u8| byte.is_ascii_alphanumeric() || HOST_BYTES.contains(byte);
    if !host.iter().all(is_host_byte) {
        return Err(Refusal::new(
            400,
            "expected a host and perhaps a port in Host",
        ));
    }
    //= rfc9112#3.2.2: the authority in the target counts; one that differs is meant to deceive
    //= rfc9113#8.3.1: a host field that differs makes the request malformed
    match authority {
        Some(authority) if !host.eq_ignore_ascii_case(authority.as_bytes()) => {
            Err(Refusal::new(400, "expected a Host field as in the target"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Besides letters and digits (RFC 3986 section 3.2.2).
const HOST_BYTES: &[u8] = b"-._~!$&'()*+,;=%:[]";

/// Checks a request that came over HTTP/2, whose clients leave `Host` out, and gives it the field.
pub(super) fn complete<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    let authority = request.uri().authority().cloned();
    let headers = request.headers_mut();
    if let Some(authority) = &authority
        && !headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(header::HOST, host);
    }
    let hosts = headers.get_all(header::HOST).iter();
    let authority = authority.as_ref().map(Authority::as_str);
    //= rfc9113#8.3.1: the authority may be left out where the request has none
    check(hosts.map(HeaderValue::as_bytes), authority, true)
}
