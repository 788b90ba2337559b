//! Who sent a request, when HTTP proxies stand in front: `X-Forwarded-For`, and `Forwarded`
//! of RFC 7239.
//!
//! Anybody can write these fields, so only what a trusted proxy appended is believed: the
//! list is read from its right end as long as the writer is trusted, and the first address
//! that is not trusted is the client's. Of the two fields only the one that the proxies are
//! known to write counts: a proxy passes the other one through as the client sent it.

use std::net::{IpAddr, SocketAddr};

use super::Network;
use crate::handshake::RequestHead;

/// The field the trusted proxies append to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ForwardedBy {
    /// `X-Forwarded-For: client, proxy`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy`.
    Forwarded,
}

/// The client's address: of the chain client → proxies → `peer`, the last one that is in none
/// of the `trusted` blocks. An entry that is no address (`unknown`, a hidden name, nonsense)
/// ends the search at the proxy that wrote it; if all are trusted it is the first of the chain.
/// With nobody trusted it is `peer`.
pub fn client_ip(peer: IpAddr, head: &RequestHead, trusted: &[Network], by: ForwardedBy) -> IpAddr {
    let mut hop = peer.to_canonical();
    let fields: Vec<&[u8]> = match by {
        ForwardedBy::XForwardedFor => head.values("x-forwarded-for").collect(),
        ForwardedBy::Forwarded => head.values("forwarded").collect(),
    };
    // Several fields are one list in order (RFC 9110 section 5.3). It is split at every comma,
    // also between quotes: else a quote that the client left open would swallow what a proxy
    // appended. A part of a torn quoted string is no address, so it ends the search.
    let mut entries = fields
        .iter()
        .rev()
        .flat_map(|field| field.rsplit(|byte| *byte == b','));
    while trusted.iter().any(|network| network.contains(hop)) {
        let entry = entries.next().and_then(|entry| {
            let entry = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
            match by {
                ForwardedBy::XForwardedFor => address(entry),
                ForwardedBy::Forwarded => forwarded_for(entry),
            }
        });
        let Some(before) = entry else { break };
        hop = before.to_canonical();
    }
    hop
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(entry: &str) -> Option<IpAddr> {
    if let Ok(ip) = entry.parse() {
        return Some(ip);
    }
    if let Ok(address) = entry.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let bare = entry.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse().ok().map(IpAddr::V6)
}

/// The address of the `for` parameter of one element, if the whole element is well formed.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        let value = match value.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"')?,
            None => value,
        };
        // No parameter needs an escape; a quote inside belongs to a torn string.
        if name.is_empty() || value.is_empty() || value.contains(['"', '\\']) {
            return None;
        }
        if name.eq_ignore_ascii_case("for") && found.replace(address(value)).is_some() {
            return None;
        }
    }
    found.flatten()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::handshake::HeadLimits;

    fn ask(by: ForwardedBy, peer: &str, trusted: &[&str], fields: &[&str]) -> String {
        let mut head = String::from("GET / HTTP/1.1\r\n");
        for field in fields {
            head.push_str(field);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let head = RequestHead::parse(Bytes::from(head), HeadLimits::default()).unwrap();
        let trusted: Vec<Network> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        client_ip(peer.parse().unwrap(), &head, &trusted, by).to_string()
    }

    /// Proxies at 10.x; the client is 203.0.113.9, what it claims is 6.6.6.6.
    #[test]
    fn x_forwarded_for_is_believed_only_as_far_as_trusted_proxies_wrote_it() {
        let ten: &[&str] = &["10.0.0.0/8"];
        for (peer, trusted, fields, client) in [
            // Nobody is trusted by default.
            (
                "10.0.0.1",
                &[][..],
                &["X-Forwarded-For: 6.6.6.6"][..],
                "10.0.0.1",
            ),
            // The peer is no proxy of ours.
            (
                "203.0.113.9",
                ten,
                &["X-Forwarded-For: 6.6.6.6"],
                "203.0.113.9",
            ),
            (
                "203.0.113.9",
                ten,
                &["X-Forwarded-For: 10.0.0.9"],
                "203.0.113.9",
            ),
            // One proxy, two proxies.
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 203.0.113.9"],
                "203.0.113.9",
            ),
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 203.0.113.9, 10.0.0.2"],
                "203.0.113.9",
            ),
            // What the client wrote in front is not reached.
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 6.6.6.6, 203.0.113.9"],
                "203.0.113.9",
            ),
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 10.0.0.7,203.0.113.9 ,10.0.0.2"],
                "203.0.113.9",
            ),
            // Several fields are one list.
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 203.0.113.9"],
                "203.0.113.9",
            ),
        ] {
            let found = ask(ForwardedBy::XForwardedFor, peer, trusted, fields);
            assert_eq!(found, client, "{peer} {fields:?}");
        }
    }

    #[test]
    fn spellings_of_an_address_and_other_fields_dodge_nothing() {
        let ten: &[&str] = &["10.0.0.0/8"];
        for (peer, trusted, fields, client) in [
            // Nonsense ends the search at the proxy that passed it on.
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 6.6.6.6, unknown"][..],
                "10.0.0.1",
            ),
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 6.6.6.6,, 10.0.0.2"],
                "10.0.0.2",
            ),
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 6.6.6.6, 10.0.0.999"],
                "10.0.0.1",
            ),
            ("10.0.0.1", ten, &["X-Forwarded-For: "], "10.0.0.1"),
            ("10.0.0.1", ten, &[], "10.0.0.1"),
            // All trusted: the first.
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 10.0.0.3, 10.0.0.2"],
                "10.0.0.3",
            ),
            // Spellings.
            (
                "::ffff:10.0.0.1",
                ten,
                &["X-Forwarded-For: 203.0.113.9:4711"],
                "203.0.113.9",
            ),
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 203.0.113.9, ::ffff:10.0.0.2"],
                "203.0.113.9",
            ),
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: [2001:db8::9]:4711"],
                "2001:db8::9",
            ),
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: [2001:db8::9]"],
                "2001:db8::9",
            ),
            (
                "10.0.0.1",
                ten,
                &["X-Forwarded-For: 2001:db8::9"],
                "2001:db8::9",
            ),
            // The other field is the client's own invention.
            ("10.0.0.1", ten, &["Forwarded: for=6.6.6.6"], "10.0.0.1"),
            ("10.0.0.1", ten, &["X-Real-IP: 6.6.6.6"], "10.0.0.1"),
        ] {
            let found = ask(ForwardedBy::XForwardedFor, peer, trusted, fields);
            assert_eq!(found, client, "{peer} {fields:?}");
        }
    }

    #[test]
    fn forwarded_is_believed_only_as_far_as_trusted_proxies_wrote_it() {
        for (fields, client) in [
            (&["Forwarded: for=203.0.113.9"][..], "203.0.113.9"),
            (
                &["Forwarded: FOR=\"[2001:db8::9]:4711\";proto=https;by=10.0.0.1"],
                "2001:db8::9",
            ),
            (
                &["Forwarded: for=6.6.6.6, for=203.0.113.9;host=a, for=10.0.0.2"],
                "203.0.113.9",
            ),
            (
                &["Forwarded: for=6.6.6.6", "Forwarded: for=203.0.113.9"],
                "203.0.113.9",
            ),
            (&["Forwarded: for=6.6.6.6, for=unknown"], "10.0.0.1"),
            (&["Forwarded: for=6.6.6.6, for=_hidden"], "10.0.0.1"),
            (&["Forwarded: for=6.6.6.6, proto=https"], "10.0.0.1"),
            (&["Forwarded: for=6.6.6.6;for=203.0.113.9"], "10.0.0.1"),
            // A quote left open by the client does not swallow what the proxy appended.
            (
                &["Forwarded: for=\"6.6.6.6, for=203.0.113.9"],
                "203.0.113.9",
            ),
            // A host name of the client's, quoted by the proxy, is no hop.
            (
                &["Forwarded: for=203.0.113.9;host=\"x, for=6.6.6.6\""],
                "10.0.0.1",
            ),
            (
                &["Forwarded: for=203.0.113.9;host=\"x, for=6.6.6.6;a=\""],
                "10.0.0.1",
            ),
            (
                &["Forwarded: for=203.0.113.9;host=\"x, for=6.6.6.6, y\""],
                "10.0.0.1",
            ),
            (&["X-Forwarded-For: 6.6.6.6"], "10.0.0.1"),
        ] {
            let found = ask(ForwardedBy::Forwarded, "10.0.0.1", &["10.0.0.0/8"], fields);
            assert_eq!(found, client, "{fields:?}");
        }
    }
}
