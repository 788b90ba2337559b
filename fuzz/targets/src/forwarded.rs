//! What a trusted proxy tells of a client, behind anything that the client has written itself.

use std::net::IpAddr;

use tidewire_proto::proxy::{Forwarded, ForwardedBy, Network};

/// Fields that are looked at; the rest of an input is their values.
const NAMES: &[&str] = &[
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-ssl",
    "front-end-https",
];

const KINDS: &[ForwardedBy] = &[
    ForwardedBy::XForwardedFor,
    ForwardedBy::Forwarded,
    ForwardedBy::Either,
];

/// Names and values.
type Fields<'a> = &'a [(&'a str, &'a [u8])];

/// Lines of `N VALUE`, where N chooses the name.
pub(crate) fn run(data: &[u8]) {
    let written: Vec<(&str, &[u8])> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let (name, value) = line.split_first()?;
            Some((NAMES[usize::from(*name) % NAMES.len()], value))
        })
        .collect();
    let proxy = address("192.0.2.1");
    let trusted: [Network; 2] =
        ["192.0.2.0/24", "2001:db8::/32"].map(|text| text.parse().expect("a network"));
    for by in KINDS {
        let read = |peer, fields: &[(&str, &[u8])]| {
            Forwarded::read(Some(peer), &trusted, *by, |name| {
                let named = fields.iter().filter(|(field, _)| *field == name);
                named.map(|(_, value)| *value).collect()
            })
        };
        check(&read(proxy, &written));
        let stranger = address("198.51.100.7");
        let of_stranger = read(stranger, &written);
        let nothing = read(stranger, &[]);
        assert_eq!(of_stranger, nothing, "nobody else is believed");
        assert_eq!(nothing.client, Some(stranger));

        for client in ["203.0.113.9", "2001:db9::7"] {
            appended(*by, client, &written, &|fields| read(proxy, fields));
        }
    }
}

/// A proxy appends the client's address to what the client has written: to the last line of the field, or as a new one.
fn appended(
    by: ForwardedBy,
    client: &str,
    written: &[(&str, &[u8])],
    read: &dyn Fn(Fields<'_>) -> Forwarded,
) {
    let (name, entry) = match by {
        ForwardedBy::XForwardedFor | ForwardedBy::Either => ("x-forwarded-for", client.to_owned()),
        ForwardedBy::Forwarded => (
            "forwarded",
            format!("for=\"[{client}]\";proto=https;host=a.example"),
        ),
    };
    // RFC 7239 section 6.3: only IPv6 has brackets.
    let entry = if client.contains(':') {
        entry
    } else {
        entry.replace(['[', ']'], "")
    };
    let mut lines = written.to_vec();
    lines.push((name, entry.as_bytes()));
    let as_line = read(&lines);
    let mut joined = Vec::new();
    let mut lines = written.to_vec();
    if let Some(last) = lines.iter_mut().rfind(|(field, _)| *field == name) {
        joined.extend_from_slice(last.1);
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(entry.as_bytes());
        last.1 = &joined;
    } else {
        lines.push((name, entry.as_bytes()));
    }
    for told in [as_line, read(&lines)] {
        assert_eq!(
            told.client,
            Some(address(client)),
            "the proxy's word counts"
        );
        assert!(told.by_proxy && !told.is_client_hidden);
        if by == ForwardedBy::Forwarded {
            assert_eq!(told.secure, Some(true));
            assert_eq!(told.host.as_deref(), Some("a.example"));
        }
        check(&told);
    }
}

fn check(told: &Forwarded) {
    assert!(told.by_proxy, "the peer is trusted");
    if let Some(host) = &told.host {
        let is_text = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        assert!(
            (1..=260).contains(&host.len()) && host.bytes().all(is_text),
            "{host:?}"
        );
    }
    assert!(told.port != Some(0) && told.client.is_some());
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
