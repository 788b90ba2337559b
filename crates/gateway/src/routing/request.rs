//! The parts of a request that routes, hashes and credentials look at.
//!
//! In: a request head. Out: text. Invariant: what occurs twice where one is meant counts as
//! absent, so that the gateway and a backend cannot mean different ones.

use percent_encoding::percent_decode_str;
use tidewire::proto::handshake::RequestHead;
use tidewire_auth::BEARER_SUBPROTOCOL;
use tidewire_telemetry::TraceContext;

use crate::settings::Endpoint;

/// The query parameter and header that pins a connection to an endpoint (M-29).
pub(crate) const ROUTE_NAME: &str = "ROUTENAME";

/// The only value of a header as text.
pub(crate) fn header<'a>(head: &'a RequestHead, name: &str) -> Option<&'a str> {
    head.single(name)
        .and_then(|value| std::str::from_utf8(value).ok())
}

/// The trace of a `traceparent` header, as 32 hexadecimal digits.
pub(crate) fn trace(head: &RequestHead) -> Option<&str> {
    let value = header(head, "traceparent")?;
    TraceContext::parse(value)?;
    value.split('-').nth(1)
}

/// The `Host` header without port, in lower case.
pub(crate) fn host(head: &RequestHead) -> Option<String> {
    let host = header(head, "host")?;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    Some(name.trim_end_matches('.').to_ascii_lowercase())
}

/// How often a name is given, as a header and as a query parameter.
pub(crate) fn count(head: &RequestHead, name: &str) -> usize {
    let in_query = head.query().map_or(0, |query| {
        let parameters = form_urlencoded::parse(query.as_bytes());
        parameters.filter(|(key, _)| key == name).count()
    });
    head.values(name).count() + in_query
}

/// The query without the parameters called `name`, as it came.
pub(crate) fn query_without(query: &str, name: &str) -> String {
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let mut parsed = form_urlencoded::parse(pair.as_bytes());
            parsed.next().is_none_or(|(key, _)| key != name)
        })
        .collect();
    kept.join("&")
}

/// Returns whether a path has a segment that leads upwards, in any of the ways that servers read as one: encoded,
/// behind a backslash, with parameters. Put behind an upstream's own path it could leave that.
pub(crate) fn climbs(path: &str) -> bool {
    let path = percent_decode_str(path).collect::<Vec<u8>>();
    // What was encoded twice is decoded by those servers that decode twice.
    let path = percent_encoding::percent_decode(&path).collect::<Vec<u8>>();
    path.split(|byte| matches!(byte, b'/' | b'\\'))
        .map(|segment| segment.split(|byte| *byte == b';').next())
        .any(|segment| segment == Some(b".."))
}

/// The subprotocols the client offers, best first.
pub(crate) fn subprotocols(head: &RequestHead) -> Vec<String> {
    list(head, "sec-websocket-protocol")
}

/// The subprotocol by which a client has given a bearer token to an endpoint that asks for credentials. It is the
/// gateway's answer where the backend has chosen none: browsers give up a connection that is answered none of what they
/// offer.
pub(crate) fn credentials_subprotocol(head: &RequestHead, endpoint: &Endpoint) -> Option<String> {
    endpoint.auth.as_ref()?;
    let mut offered = subprotocols(head).into_iter();
    offered.find(|name| name.starts_with(BEARER_SUBPROTOCOL))
}

/// The members of a header that is a list.
fn list(head: &RequestHead, name: &str) -> Vec<String> {
    head.values(name)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(|member| member.trim().to_owned())
        .filter(|member| !member.is_empty())
        .collect()
}

/// Returns what the client offers as extensions, in one line.
pub(crate) fn extensions(head: &RequestHead) -> Option<String> {
    let offers = list_as_sent(head, "sec-websocket-extensions");
    (!offers.is_empty()).then(|| offers.join(", "))
}

fn list_as_sent(head: &RequestHead, name: &str) -> Vec<String> {
    head.values(name)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .map(str::to_owned)
        .collect()
}

/// The members of the `Connection` header, in lower case: header fields that end here.
pub(crate) fn connection_fields(head: &RequestHead) -> Vec<String> {
    let mut fields = list(head, "connection");
    for field in &mut fields {
        field.make_ascii_lowercase();
    }
    fields
}

#[cfg(test)]
mod tests {
    use tidewire::proto::handshake::HeadLimits;

    use super::*;

    fn head(lines: &str) -> RequestHead {
        let text = format!("{}\r\n\r\n", lines.trim().replace('\n', "\r\n"));
        RequestHead::parse(text.into(), HeadLimits::default()).unwrap()
    }

    #[test]
    fn parts_are_found_and_decoded() {
        let head = head(
            "GET /a?ROUTENAME=End%70oint+1&x=1&x=2&flag HTTP/1.1\nHost: Chat.Example.com.:8080\n\
             Cookie: a=1; sid=\"x y\"; twice=1; twice=2\nSec-WebSocket-Protocol: a, b\nSec-WebSocket-Protocol: c",
        );
        assert_eq!(
            head.query_parameter("ROUTENAME").as_deref(),
            Some("Endpoint 1")
        );
        assert_eq!(head.query_parameter("x"), None, "two are none");
        assert_eq!(head.query_parameter("flag").as_deref(), Some(""));
        assert_eq!(host(&head).as_deref(), Some("chat.example.com"));
        assert_eq!(head.cookie("sid"), Some("x y"));
        assert_eq!(head.cookie("twice"), None);
        assert_eq!(subprotocols(&head), ["a", "b", "c"]);
        let rest = query_without(head.query().unwrap(), "ROUTENAME");
        assert_eq!(rest, "x=1&x=2&flag");
    }

    #[test]
    fn a_path_that_leads_upwards_is_told_in_every_disguise() {
        for path in [
            "/app/..",
            "/app/../x",
            "/..",
            "/app/%2e%2e/x",
            "/app/%2E./x",
            "/app/..%2fx",
            "/app/x%2f..%2Fy",
            "/app\\..\\x",
            "/app%5c..%5cx",
            "/app/..;a=b/x",
            "/app/%252e%252e/x",
            "/app/%2e%2e%3bx/y",
        ] {
            assert!(climbs(path), "{path}");
        }
        for path in [
            "/",
            "/app/...",
            "/a..b/..c",
            "/app/.well-known",
            "/%2e%2ex",
            "//x//",
        ] {
            assert!(!climbs(path), "{path}");
        }
    }

    #[test]
    fn a_trace_is_taken_from_a_valid_traceparent_only() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let of = |value: &str| {
            let head = head(&format!("GET / HTTP/1.1\nHost: a\ntraceparent: {value}"));
            trace(&head).map(str::to_owned)
        };
        assert_eq!(
            of(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(),
            Some(id)
        );
        for wrong in [
            "",
            "00",
            &format!("ff-{id}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            &format!("00-{id}-00f067aa0ba902b7"),
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_ipv6_host_keeps_its_brackets() {
        assert_eq!(
            host(&head("GET / HTTP/1.1\nHost: [::1]:80")).as_deref(),
            Some("[::1]")
        );
        assert_eq!(
            host(&head("GET / HTTP/1.1\nHost: [::1]")).as_deref(),
            Some("[::1]")
        );
    }
}
