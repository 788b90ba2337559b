//! The host of an address in the form that DNS, TLS and the `Host` header take.
//!
//! In: what stands between `://` (or `@`) and the port, as people write it. Out: a name in lower case and
//! ASCII, or an address; an IPv6 address without brackets, with the zone of a link-local one.

use std::net::Ipv6Addr;

use super::{UrlError, percent};

/// Reads a host. Names outside of ASCII become what DNS knows (`münchen.example` →
/// `xn--mnchen-3ya.example`, UTS 46), also when they are percent-encoded.
pub(super) fn read(host: &str) -> Result<String, UrlError> {
    if let Some(inner) = host.strip_prefix('[') {
        return ipv6(inner.strip_suffix(']').ok_or(UrlError::Host)?);
    }
    let name = if host.is_ascii() && !host.contains('%') {
        host.to_ascii_lowercase()
    } else {
        let decoded = String::from_utf8(percent::decode(host));
        to_ascii(&decoded.map_err(|_not_utf8| UrlError::Host)?)?
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if name.trim_end_matches('.').is_empty() || !name.chars().all(plain) {
        return Err(UrlError::Host);
    }
    Ok(name)
}

/// An IPv6 address, with a zone behind `%25` (RFC 6874) or, as people write it, behind `%`.
fn ipv6(inner: &str) -> Result<String, UrlError> {
    let (address, zone) = match inner.split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
        None => (inner, None),
    };
    let address: Ipv6Addr = address.parse().map_err(|_error| UrlError::Host)?;
    match zone {
        None => Ok(address.to_string()),
        Some(zone) if is_zone(zone) => Ok(format!("{address}%{zone}")),
        Some(_) => Err(UrlError::Host),
    }
}

/// Returns whether this may name a network interface.
fn is_zone(zone: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    !zone.is_empty() && zone.len() <= ZONE_BYTES_MAX && zone.chars().all(plain)
}

/// More than any system's names of interfaces have.
const ZONE_BYTES_MAX: usize = 64;

#[cfg(feature = "idn")]
fn to_ascii(name: &str) -> Result<String, UrlError> {
    if name.is_ascii() {
        return Ok(name.to_ascii_lowercase());
    }
    idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::URL)
        .map(std::borrow::Cow::into_owned)
        .map_err(|_invalid| UrlError::Host)
}

#[cfg(not(feature = "idn"))]
fn to_ascii(name: &str) -> Result<String, UrlError> {
    if name.is_ascii() {
        return Ok(name.to_ascii_lowercase());
    }
    Err(UrlError::NotAscii)
}
