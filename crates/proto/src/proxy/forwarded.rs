//! Who sent a request and what was asked for, when HTTP proxies stand in front: `Forwarded` of RFC 7239, and the
//! fields that are older, `X-Forwarded-*`, `Front-End-Https` and `X-Real-IP`.
//!
//! Anybody can write these fields, so only what a trusted proxy appended is believed: a list of addresses is read from
//! its right end as long as the writer is trusted, and the first address that is not trusted is the client's. Scheme
//! and host come without the address of their writer. Of their lists the first entry counts, which is the client's;
//! a client that invents one deceives nobody but itself, since pages in a browser cannot set these fields for others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Network, Node};
use crate::handshake::RequestHead;

/// The fields that the trusted proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ForwardedBy {
    /// `X-Forwarded-For: client, proxy`, and the like with `X-`. `Forwarded` and `X-Real-IP` do not count: a proxy that
    /// does not write them passes them through as the client sent them.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy`. Nothing with `X-` counts.
    Forwarded,
    /// For proxies of all kinds: `X-Forwarded-For` where it is there, else `Forwarded`, else `X-Real-IP`. Proxies that
    /// write only a later one of these, and pass the earlier ones through, need their own kind named: the client could
    /// write those.
    Either,
}

/// All that trusted proxies have told about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded {
    /// The client's address: of the chain client → proxies → peer, the last one that is not trusted. An entry that
    /// is no address (`unknown`, a hidden name, nonsense) ends the search at the proxy that wrote it; if all are
    /// trusted it is the first of the chain. With nobody trusted it is the peer's. `None` when who is found has no
    /// address: a peer, or a client of a proxy (`unix:`), on a Unix socket.
    pub client: Option<IpAddr>,
    /// The client as [`client`](Self::client), also where it has no address.
    pub node: Node,
    /// The peer is a trusted proxy. Without one nothing else here is told.
    pub by_proxy: bool,
    /// The client used TLS, or did not; `None` if no proxy has said so.
    pub secure: Option<bool>,
    /// The host that the client asked for, with its port as far as it was told beside it.
    pub host: Option<String>,
    /// The port that the client asked for, where it was told apart from the host.
    pub port: Option<u16>,
    /// The proxies have not told who the client is: they write none of the fields, or hide the address (`unknown`,
    /// `_name`). Never because of what a client has sent.
    pub is_client_hidden: bool,
}

impl Forwarded {
    /// Reads the fields that the proxies in `trusted` write, out of `values`: the values of all fields of a name in any
    /// case, in order.
    pub fn read<'a>(
        peer: impl Into<Node>,
        trusted: &[Network],
        by: ForwardedBy,
        values: impl Fn(&str) -> Vec<&'a [u8]>,
    ) -> Self {
        let is_trusted = |node: Node| trusted.iter().any(|network| network.contains_node(node));
        let peer = peer.into().to_canonical();
        let mut told = Self {
            client: peer.ip(),
            node: peer,
            ..Self::default()
        };
        if !is_trusted(peer) {
            return told;
        }
        told.by_proxy = true;
        let older = match by {
            ForwardedBy::Forwarded => None,
            ForwardedBy::XForwardedFor | ForwardedBy::Either => {
                told.secure = scheme(&values);
                told.host = ["x-forwarded-host", "x-original-host"]
                    .iter()
                    .find_map(|name| first(&values(name), host));
                told.port = first(&values("x-forwarded-port"), |port| {
                    port.parse().ok().filter(|port| *port != 0)
                });
                if told.secure.is_none() && told.port == Some(443) {
                    told.secure = Some(true);
                }
                let fields = values("x-forwarded-for");
                (!fields.is_empty()).then(|| chain(peer, is_trusted, entries(&fields)))
            }
        };
        let standard = match by {
            ForwardedBy::XForwardedFor => None,
            ForwardedBy::Forwarded | ForwardedBy::Either => {
                standard(peer, is_trusted, &values("forwarded"), &mut told)
            }
        };
        let client = older.or(standard).unwrap_or_else(|| match by {
            ForwardedBy::XForwardedFor | ForwardedBy::Forwarded => Hop::hidden(peer),
            ForwardedBy::Either => {
                let fields = values("x-real-ip");
                let only = (fields.len() == 1).then(|| entries(&fields).next().and_then(node));
                only.flatten().map_or_else(|| Hop::hidden(peer), Hop::shown)
            }
        });
        told.client = client.node.ip();
        told.node = client.node;
        told.is_client_hidden = client.is_hidden;
        told
    }
}

/// The client's address of [`Forwarded::read`], for a request head.
pub fn client_ip(peer: IpAddr, head: &RequestHead, trusted: &[Network], by: ForwardedBy) -> IpAddr {
    let told = Forwarded::read(peer, trusted, by, |name| head.values_of(name));
    told.client.unwrap_or(peer)
}

/// Who is found in a chain of proxies.
#[derive(Clone, Copy, Debug)]
struct Hop {
    node: Node,
    /// A trusted proxy hides who is before this one.
    is_hidden: bool,
}

impl Hop {
    fn shown(node: Node) -> Self {
        Self {
            node: node.to_canonical(),
            is_hidden: false,
        }
    }

    fn hidden(node: Node) -> Self {
        Self {
            node,
            is_hidden: true,
        }
    }
}

/// Follows the addresses from the nearest one as long as their writers are trusted.
fn chain<'a>(
    peer: Node,
    is_trusted: impl Fn(Node) -> bool,
    mut entries: impl Iterator<Item = &'a str>,
) -> Hop {
    let mut hop = Hop::shown(peer);
    while is_trusted(hop.node)
        && let Some(entry) = entries.next()
    {
        match node(entry) {
            Some(before) => hop = Hop::shown(before),
            None if is_hidden(entry) => return Hop::hidden(hop.node),
            None => break,
        }
    }
    hop
}

/// Returns whether a proxy says that it does not tell (RFC 7239 section 6.2 and 6.3).
fn is_hidden(node: &str) -> bool {
    let node = unquoted(node);
    let name = node.split_once(':').map_or(node, |(name, _port)| name);
    name.eq_ignore_ascii_case("unknown") || is_obfuscated(name)
}

fn is_obfuscated(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let rest = text.strip_prefix('_');
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_part))
}

/// The entries of all fields, the last one first. Several fields are one list in order (RFC 9110 section 5.3). It is
/// split at every comma, also between quotes: else a quote that the client left open would swallow what a proxy
/// appended. A part of a torn quoted string is no address, so it ends the search.
fn entries<'a>(fields: &[&'a [u8]]) -> impl Iterator<Item = &'a str> {
    fields
        .iter()
        .rev()
        .flat_map(|field| field.rsplit(|byte| *byte == b','))
        // What is no text is an entry too, of which nothing can be read.
        .map(|entry| std::str::from_utf8(entry).map_or("", str::trim_ascii))
}

/// The first entry in which `read` finds something.
fn first<T>(fields: &[&[u8]], read: impl Fn(&str) -> Option<T>) -> Option<T> {
    entries(fields).filter_map(read).last()
}

/// Returns whether the fields that are older than `Forwarded` tell of TLS.
fn scheme<'a>(values: &impl Fn(&str) -> Vec<&'a [u8]>) -> Option<bool> {
    let named = [
        "x-forwarded-proto",
        "x-forwarded-protocol",
        "x-forwarded-scheme",
        "x-url-scheme",
        "x-scheme",
        "cloudfront-forwarded-proto",
        "fly-forwarded-proto",
    ];
    let switched = ["x-forwarded-ssl", "x-forwarded-https", "front-end-https"];
    let named = named
        .iter()
        .find_map(|name| first(&values(name), is_secure));
    let switched = || {
        let found = |name: &&str| first(&values(name), is_on);
        switched.iter().find_map(found)
    };
    // There only with TLS, and then with words about the certificate.
    let certificate = || (!values("x-arr-ssl").is_empty()).then_some(true);
    named.or_else(switched).or_else(certificate)
}

/// Returns whether a switch is on; `None` for what is no switch.
fn is_on(word: &str) -> Option<bool> {
    let is = |words: &[&str]| {
        words
            .iter()
            .any(|expected| word.eq_ignore_ascii_case(expected))
    };
    let on = is(&["on", "1", "true", "yes"]);
    (on || is(&["off", "0", "false", "no"])).then_some(on)
}

/// Returns whether a scheme is one with TLS; `None` for one that is neither HTTP's nor WebSocket's.
fn is_secure(scheme: &str) -> Option<bool> {
    let is = |expected: &str| scheme.eq_ignore_ascii_case(expected);
    let secure = is("https") || is("wss");
    (secure || is("http") || is("ws")).then_some(secure)
}

/// A host with or without a port, as in `Host`.
fn host(entry: &str) -> Option<String> {
    let entry = unquoted(entry);
    let is_text = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is_host = !entry.is_empty() && entry.len() <= HOST_BYTES_MAX && entry.bytes().all(is_text);
    (is_host && !entry.starts_with(':')).then(|| entry.to_owned())
}

/// A name is 253 bytes long at most, a port five.
const HOST_BYTES_MAX: usize = 260;

/// An address, or `unix:`, as nginx shows a client on a Unix socket.
fn node(entry: &str) -> Option<Node> {
    if unquoted(entry) == "unix:" {
        return Some(Node::Unix);
    }
    address(entry).map(Node::Ip)
}

/// An address with or without a port, which may be hidden (RFC 7239 section 6), and with or without the zone of a
/// link-local one: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:_p`.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = unquoted(entry);
    let v6 = |text: &str| {
        let text = text
            .split_once('%')
            .map_or(text, |(address, _zone)| address);
        text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    if let Some(rest) = entry.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return v6(address).filter(|_| is_port);
    }
    let v4 = |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    v4(entry).or_else(|| v6(entry)).or_else(|| {
        let (address, port) = entry.split_once(':')?;
        v4(address).filter(|_| is_port(port))
    })
}

/// A port or the name that hides one.
fn is_port(text: &str) -> bool {
    let is_number = |text: &str| {
        (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    is_number(text) || is_obfuscated(text)
}

fn unquoted(text: &str) -> &str {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(text)
}

/// Reads `Forwarded` as far as trusted proxies have written it, and notes what it tells besides the client, unless that
/// is known. `None`: there is no element that names a client.
fn standard(
    peer: Node,
    is_trusted: impl Fn(Node) -> bool,
    fields: &[&[u8]],
    told: &mut Forwarded,
) -> Option<Hop> {
    let mut hop = Hop::shown(peer);
    let mut is_told = false;
    let (mut secure, mut host) = (None, None);
    let mut elements = entries(fields);
    while is_trusted(hop.node)
        && let Some(element) = elements.next()
    {
        let Some(element) = Element::parse(element) else {
            // There may be a client in it.
            is_told = true;
            break;
        };
        // That of the proxy next to the client counts.
        secure = element.proto.and_then(is_secure).or(secure);
        host = element.host.and_then(self::host).or(host);
        let Some(client) = element.client else {
            break;
        };
        is_told = true;
        let Some(before) = node(client) else {
            hop.is_hidden = is_hidden(client);
            break;
        };
        hop = Hop::shown(before);
    }
    told.secure = told.secure.or(secure);
    told.host = told.host.take().or(host);
    is_told.then_some(hop)
}

/// One element of `Forwarded`: what one proxy has told.
#[derive(Clone, Copy, Debug, Default)]
struct Element<'a> {
    client: Option<&'a str>,
    proto: Option<&'a str>,
    host: Option<&'a str>,
}

impl<'a> Element<'a> {
    /// `None` unless the whole element is well formed.
    fn parse(text: &'a str) -> Option<Self> {
        let mut element = Self::default();
        // Pairs may be empty (RFC 7239 section 4).
        let pairs = text.split(';').map(str::trim_ascii);
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            // There are no blanks around the sign, but for those who write some.
            let (name, value) = pair.split_once('=')?;
            let (name, value) = (name.trim_ascii_end(), value.trim_ascii_start());
            let value = match value.strip_prefix('"') {
                Some(rest) => rest.strip_suffix('"')?,
                None => value,
            };
            // No parameter needs an escape; a quote inside belongs to a torn string.
            if name.is_empty() || value.is_empty() || value.contains(['"', '\\']) {
                return None;
            }
            let parameter = match name.to_ascii_lowercase().as_str() {
                "for" => &mut element.client,
                "proto" => &mut element.proto,
                "host" => &mut element.host,
                _ => continue,
            };
            if parameter.replace(value).is_some() {
                return None;
            }
        }
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    //! The forms there are: a list in one field or in several; entries with and without spaces, ports (also hidden
    //! ones), brackets, quotes, zones; any case of letters; empty, `unknown` and obfuscated entries; one, two and
    //! three hops; fields of several kinds that contradict each other; fields of those who are no proxies, in front of
    //! what proxies wrote and alone; addresses in their IPv4-mapped form.

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

    /// Reads the words of 10.0.0.1, whose network is trusted.
    fn told(fields: &[&str]) -> Forwarded {
        let mut head = String::from("GET / HTTP/1.1\r\n");
        for field in fields {
            head.push_str(field);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let head = RequestHead::parse(Bytes::from(head), HeadLimits::default()).unwrap();
        let trusted: Network = "10.0.0.0/8".parse().unwrap();
        let values = |name: &str| head.values_of(name);
        let peer = "10.0.0.1".parse::<IpAddr>().ok();
        Forwarded::read(peer, &[trusted], ForwardedBy::Either, values)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of inputs")]
    fn of_all_kinds_of_fields_the_first_that_is_there_tells_the_client() {
        for (fields, client, is_hidden) in [
            (&["X-Forwarded-For: 203.0.113.9"][..], "203.0.113.9", false),
            (
                &["x-forwarded-for:203.0.113.9 , 10.0.0.2"],
                "203.0.113.9",
                false,
            ),
            (
                &["Forwarded: for=203.0.113.9;proto=https;"],
                "203.0.113.9",
                false,
            ),
            (
                &["Forwarded: For=\"203.0.113.9:4711\" ; proto=https, for=10.0.0.2"],
                "203.0.113.9",
                false,
            ),
            (
                &["Forwarded: for=\"[2001:db8::9]:_port\""],
                "2001:db8::9",
                false,
            ),
            (&["X-Real-IP: 203.0.113.9"], "203.0.113.9", false),
            (&["X-Real-IP: [2001:DB8::9]:80"], "2001:db8::9", false),
            // A client that adds another kind deceives nobody.
            (
                &["X-Forwarded-For: 203.0.113.9", "Forwarded: for=6.6.6.6"],
                "203.0.113.9",
                false,
            ),
            (
                &["X-Forwarded-For: 203.0.113.9", "X-Real-IP: 6.6.6.6"],
                "203.0.113.9",
                false,
            ),
            (
                &["Forwarded: for=203.0.113.9", "X-Real-IP: 6.6.6.6"],
                "203.0.113.9",
                false,
            ),
            (
                &[
                    "Forwarded: for=203.0.113.9;host=\"a, b\"",
                    "X-Real-IP: 6.6.6.6",
                ],
                "10.0.0.1",
                false,
            ),
            // Two are none.
            (
                &["X-Real-IP: 6.6.6.6", "X-Real-IP: 203.0.113.9"],
                "10.0.0.1",
                true,
            ),
            // Proxies that do not tell.
            (&[], "10.0.0.1", true),
            (&["X-Forwarded-For: unknown"], "10.0.0.1", true),
            (
                &["X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.2"],
                "10.0.0.2",
                true,
            ),
            (&["Forwarded: for=_hidden"], "10.0.0.1", true),
            (
                &["Forwarded: for=\"_gazonk:_p\";proto=http"],
                "10.0.0.1",
                true,
            ),
            (&["Forwarded: for=unknown, for=10.0.0.2"], "10.0.0.2", true),
            (&["Forwarded: proto=https"], "10.0.0.1", true),
            // Nonsense is not told, and not hidden either: a client may have made it.
            (&["X-Forwarded-For: "], "10.0.0.1", false),
            (&["X-Forwarded-For: 203.0.113.999"], "10.0.0.1", false),
            (&["X-Forwarded-For: 203.0.113.9:123456"], "10.0.0.1", false),
            (&["X-Forwarded-For: [203.0.113.9]"], "10.0.0.1", false),
            (
                &["X-Forwarded-For: 203.0.113.9 203.0.113.8"],
                "10.0.0.1",
                false,
            ),
            (&["Forwarded: for"], "10.0.0.1", false),
            (&["Forwarded: for = 203.0.113.9"], "203.0.113.9", false),
            // Spellings.
            (&["X-Forwarded-For: \"203.0.113.9\""], "203.0.113.9", false),
            (
                &["X-Forwarded-For: 203.0.113.9:99999"],
                "203.0.113.9",
                false,
            ),
            (
                &["X-Forwarded-For: ::ffff:203.0.113.9"],
                "203.0.113.9",
                false,
            ),
            (
                &["X-Forwarded-For: [::ffff:203.0.113.9]:80"],
                "203.0.113.9",
                false,
            ),
            (&["X-Forwarded-For: fe80::1%eth0"], "fe80::1", false),
            (&["X-Forwarded-For: [fe80::1%25eth0]:80"], "fe80::1", false),
        ] {
            let told = told(fields);
            let found = (told.client.unwrap().to_string(), told.is_client_hidden);
            assert_eq!(found, (client.to_owned(), is_hidden), "{fields:?}");
            assert!(told.by_proxy);
        }
    }

    #[test]
    fn the_scheme_is_the_one_the_client_used_in_front_of_all_proxies() {
        for (fields, secure) in [
            (&["X-Forwarded-Proto: https"][..], Some(true)),
            (&["X-Forwarded-Proto: HTTPS"], Some(true)),
            (&["X-Forwarded-Proto: wss"], Some(true)),
            (&["X-Forwarded-Proto: http"], Some(false)),
            (&["X-Forwarded-Proto: ws"], Some(false)),
            (&["X-Forwarded-Proto: https,http"], Some(true)),
            (&["X-Forwarded-Proto: http , https"], Some(false)),
            (
                &["X-Forwarded-Proto: https", "x-forwarded-proto: http"],
                Some(true),
            ),
            (&["X-Forwarded-Proto: , https"], Some(true)),
            (&["X-Forwarded-Proto: unknown"], None),
            (&["X-Forwarded-Proto: httpsx"], None),
            (&["X-Forwarded-Proto: "], None),
            (&["X-Forwarded-Protocol: https"], Some(true)),
            (&["X-Forwarded-Scheme: https"], Some(true)),
            (&["X-Url-Scheme: https"], Some(true)),
            (&["X-Forwarded-Ssl: on"], Some(true)),
            (&["X-Forwarded-Ssl: OFF"], Some(false)),
            (&["Front-End-Https: On"], Some(true)),
            (&["Front-End-Https: 1"], Some(true)),
            (&["X-Forwarded-Ssl: true"], Some(true)),
            (&["X-Forwarded-Ssl: 0"], Some(false)),
            (&["X-Forwarded-Ssl: maybe"], None),
            (&["X-Forwarded-HTTPS: on"], Some(true)),
            (&["X-Scheme: https"], Some(true)),
            (&["CloudFront-Forwarded-Proto: https"], Some(true)),
            (&["Fly-Forwarded-Proto: http"], Some(false)),
            (&["X-ARR-SSL: 2048|256|C=US"], Some(true)),
            (&["X-Forwarded-Proto: http", "X-ARR-SSL: y"], Some(false)),
            (&["X-Forwarded-Port: 443"], Some(true)),
            (&["X-Forwarded-Port: 80"], None),
            (
                &[
                    "X-Forwarded-Proto: http",
                    "X-Forwarded-Ssl: on",
                    "X-Forwarded-Port: 443",
                ],
                Some(false),
            ),
            (&["Forwarded: proto=https"], Some(true)),
            (
                &["Forwarded: for=203.0.113.9;Proto=\"HTTPS\", for=10.0.0.2;proto=http"],
                Some(true),
            ),
            // What stands in front of the client was written by itself.
            (
                &["Forwarded: for=6.6.6.6;proto=https, for=203.0.113.9;proto=http"],
                Some(false),
            ),
            (
                &["X-Forwarded-Proto: http", "Forwarded: proto=https"],
                Some(false),
            ),
            (&["x_forwarded_proto: https"], None),
        ] {
            assert_eq!(told(fields).secure, secure, "{fields:?}");
        }
    }

    #[test]
    fn host_and_port_are_those_the_client_asked_for() {
        for (fields, host, port) in [
            (
                &["X-Forwarded-Host: a.example"][..],
                Some("a.example"),
                None,
            ),
            (
                &["X-Forwarded-Host: a.example:8443, inner"],
                Some("a.example:8443"),
                None,
            ),
            (
                &["X-Forwarded-Host: a.example", "X-Forwarded-Host: inner"],
                Some("a.example"),
                None,
            ),
            (
                &["X-Forwarded-Host: a.example", "X-Forwarded-Port: 8443"],
                Some("a.example"),
                Some(8443),
            ),
            (&["X-Original-Host: a.example"], Some("a.example"), None),
            (
                &["X-Original-Host: b.example", "X-Forwarded-Host: a.example"],
                Some("a.example"),
                None,
            ),
            (&["X-Forwarded-Port: 8443, 80"], None, Some(8443)),
            (&["X-Forwarded-Port: 0"], None, None),
            (&["X-Forwarded-Port: 65536"], None, None),
            (
                &["X-Forwarded-Host: [2001:db8::1]:8443"],
                Some("[2001:db8::1]:8443"),
                None,
            ),
            (&["X-Forwarded-Host: a b"], None, None),
            (&["X-Forwarded-Host: http://a.example"], None, None),
            (&["X-Forwarded-Host: "], None, None),
            (
                &["Forwarded: host=\"a.example:8443\""],
                Some("a.example:8443"),
                None,
            ),
            (
                &["Forwarded: for=203.0.113.9;host=a.example, for=10.0.0.2;host=inner"],
                Some("a.example"),
                None,
            ),
            (
                &["Forwarded: host=evil;for=6.6.6.6, for=203.0.113.9;host=a.example"],
                Some("a.example"),
                None,
            ),
            (
                &["X-Forwarded-Host: a.example", "Forwarded: host=b.example"],
                Some("a.example"),
                None,
            ),
        ] {
            let told = told(fields);
            assert_eq!(
                (told.host.as_deref(), told.port),
                (host, port),
                "{fields:?}"
            );
        }
        let long = format!("X-Forwarded-Host: {}", "a".repeat(HOST_BYTES_MAX + 1));
        assert_eq!(told(&[&long]).host, None);
    }

    #[test]
    fn a_proxy_on_a_unix_socket_is_trusted_by_its_own_word_only() {
        let ten: &[&str] = &["10.0.0.0/8", "0.0.0.0/0", "::/0"];
        let unix: &[&str] = &["unix", "10.0.0.0/8"];
        for (trusted, fields, client, by_proxy, is_hidden) in [
            (ten, "203.0.113.9", None, false, false),
            (unix, "203.0.113.9", Some("203.0.113.9"), true, false),
            (
                unix,
                "203.0.113.9, 10.0.0.7",
                Some("203.0.113.9"),
                true,
                false,
            ),
            // A proxy whose own client is on a Unix socket, which is trusted like all of them.
            (unix, "203.0.113.9, unix:", Some("203.0.113.9"), true, false),
            (unix, "unix:", None, true, false),
            (unix, "unknown", None, true, true),
            (unix, "nonsense", None, true, false),
        ] {
            let head = format!("GET / HTTP/1.1\r\nX-Forwarded-For: {fields}\r\n\r\n");
            let head = RequestHead::parse(head.into(), HeadLimits::default()).unwrap();
            let trusted: Vec<Network> = trusted.iter().map(|it| it.parse().unwrap()).collect();
            let values = |name: &str| head.values_of(name);
            let told = Forwarded::read(Node::Unix, &trusted, ForwardedBy::Either, values);
            let client = client.map(|client| client.parse().unwrap());
            assert_eq!(
                (told.client, told.by_proxy, told.is_client_hidden),
                (client, by_proxy, is_hidden),
                "{fields:?} {trusted:?}"
            );
        }
    }

    #[test]
    fn who_is_no_trusted_proxy_tells_nothing() {
        let head = "GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
            X-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6;proto=https\r\nX-Real-IP: 6.6.6.6\r\n\r\n";
        let head = RequestHead::parse(head.into(), HeadLimits::default()).unwrap();
        let trusted: Network = "10.0.0.0/8".parse().unwrap();
        for peer in [Some("203.0.113.9"), Some("::ffff:203.0.113.9"), None] {
            let peer = peer.map(|peer| peer.parse::<IpAddr>().unwrap());
            let values = |name: &str| head.values_of(name);
            let told = Forwarded::read(peer, &[trusted], ForwardedBy::Either, values);
            let nothing = Forwarded {
                client: peer.map(|peer| peer.to_canonical()),
                node: Node::from(peer).to_canonical(),
                ..Forwarded::default()
            };
            assert_eq!(told, nothing);
        }
    }

    #[test]
    fn proxies_of_one_kind_tell_nothing_in_fields_of_the_other() {
        let head = "GET / HTTP/1.1\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
            Forwarded: for=198.51.100.7;proto=http;host=a.example\r\n\r\n";
        let head = RequestHead::parse(head.into(), HeadLimits::default()).unwrap();
        let trusted: Network = "10.0.0.1".parse().unwrap();
        let read = |by| {
            let values = |name: &str| head.values_of(name);
            Forwarded::read(IpAddr::from([10, 0, 0, 1]), &[trusted], by, values)
        };
        let older = read(ForwardedBy::XForwardedFor);
        assert_eq!((older.secure, older.host), (Some(true), None));
        assert_eq!(older.client, "203.0.113.9".parse().ok());
        let standard = read(ForwardedBy::Forwarded);
        assert_eq!(
            (standard.secure, standard.host.as_deref()),
            (Some(false), Some("a.example"))
        );
        assert_eq!(standard.client, "198.51.100.7".parse().ok());
    }
}
