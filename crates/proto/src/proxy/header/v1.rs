//! Version 1, section 2.1 of the specification: one line of text.
//!
//! `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`; strict: one blank between parts, no
//! leading zeros, addresses of the family that is named.

use std::{
    net::{SocketAddrV4, SocketAddrV6},
    str::FromStr,
};

use super::{Addresses, Command, Header, HeaderError, Tlvs, Transport, Version};

/// How a line begins.
pub(super) const START: &[u8] = b"PROXY ";

/// The longest line, CR LF included: two IPv6 addresses in full.
const LINE_MAX: usize = 107;

pub(super) fn scan(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let window = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if bytes.len() >= LINE_MAX {
            Err(HeaderError::LineTooLong)
        } else {
            Ok(None)
        };
    };
    let (line, rest) = window.split_at_checked(end).unwrap_or_default();
    match rest {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if end.saturating_add(2) <= LINE_MAX => return Ok(None),
        _ => return Err(HeaderError::Line("CR LF at the end")),
    }
    let line = std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_prefix("PROXY "))
        .ok_or(HeaderError::Line("text"))?;
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (transport, addresses) = match family {
        "TCP4" => (Transport::Stream, tcp4(rest)?),
        "TCP6" => (Transport::Stream, tcp6(rest)?),
        // Whatever stands behind UNKNOWN must be ignored.
        "UNKNOWN" => (Transport::Unspecified, Addresses::Unspecified),
        _ => return Err(HeaderError::Line("TCP4, TCP6 or UNKNOWN")),
    };
    let header = Header {
        version: Version::V1,
        command: Command::Proxy,
        transport,
        addresses,
        tlvs: Tlvs::default(),
    };
    Ok(Some((header, end.saturating_add(2))))
}

fn tcp4(rest: &str) -> Result<Addresses, HeaderError> {
    let [source, destination, source_port, destination_port] =
        four(rest, "two IPv4 addresses and two ports")?;
    let expected = "IPv4 addresses behind TCP4";
    Ok(Addresses::V4 {
        source: SocketAddrV4::new(address(source, expected)?, port(source_port)?),
        destination: SocketAddrV4::new(address(destination, expected)?, port(destination_port)?),
    })
}

fn tcp6(rest: &str) -> Result<Addresses, HeaderError> {
    let [source, destination, source_port, destination_port] =
        four(rest, "two IPv6 addresses and two ports")?;
    let expected = "IPv6 addresses behind TCP6";
    Ok(Addresses::V6 {
        source: SocketAddrV6::new(address(source, expected)?, port(source_port)?, 0, 0),
        destination: SocketAddrV6::new(
            address(destination, expected)?,
            port(destination_port)?,
            0,
            0,
        ),
    })
}

fn four<'a>(rest: &'a str, expected: &'static str) -> Result<[&'a str; 4], HeaderError> {
    let mut parts = rest.split(' ');
    match (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) {
        (Some(a), Some(b), Some(c), Some(d), None) => Ok([a, b, c, d]),
        _ => Err(HeaderError::Line(expected)),
    }
}

fn address<T: FromStr>(text: &str, expected: &'static str) -> Result<T, HeaderError> {
    text.parse().map_err(|_| HeaderError::Line(expected))
}

fn port(text: &str) -> Result<u16, HeaderError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    text.parse()
        .ok()
        .filter(|_| plain && !leading_zero)
        .ok_or(HeaderError::Line("ports from 0 to 65535"))
}
