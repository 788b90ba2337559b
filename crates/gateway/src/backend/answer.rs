//! An upstream's answer as the client gets it.
//!
//! In: the head of an answer, and the body of a refusal. Out: header fields for the client's 101, or a refusal. Invariants: what
//! belongs to the connection to the upstream (RFC 9110 section 7.6.1), and what the gateway's own handshake with
//! the client decides, ends here; everything else passes, in its order and as often as it came.

use bytes::Bytes;
use tidewire::{proto::handshake::ResponseHead, ws::Refusal};

/// The field of its answer by which a server says that it takes pongs as proofs of receipt, as a Tidewire messaging server
/// does; and its value. In our request it says that pongs are the client's, and answers to close frames are not.
pub(crate) const CONFIRM: (&str, &str) = ("Tidewire-Confirm", "pong");

/// Fields that end here, besides those that `Connection` names and those of the handshake.
const HOP: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Returns what the client gets of a 101 besides what the handshake agrees on. A value that is no text is left out.
pub(crate) fn fields(head: &ResponseHead) -> Vec<(String, String)> {
    let fields = head.fields().filter(|(name, _)| {
        let lower = name.to_ascii_lowercase();
        !HOP.contains(&lower.as_str())
            && !lower.starts_with("sec-websocket-")
            && !head.has_token("connection", name)
    });
    fields
        .filter_map(|(name, value)| {
            let value = std::str::from_utf8(value).ok()?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// As [`fields`], where the gateway answers pings itself or has its own say about who does.
pub(crate) fn fields_without_confirm(head: &ResponseHead) -> Vec<(String, String)> {
    let mut fields = fields(head);
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case(CONFIRM.0));
    fields
}

/// Returns what the client is told when the upstream refuses: its status, fields and body. `None` as body: there is one
/// that cannot be passed on.
pub(crate) fn refusal(head: &ResponseHead, body: Option<Bytes>) -> Refusal {
    let status = head.status();
    let reason = format!("the backend answered with status {status}");
    // What comes with a success is no reason to refuse, but perhaps somebody's page.
    if !(300..600).contains(&status) {
        return Refusal::new(502, reason);
    }
    let mut refusal = Refusal::new(status, reason);
    let mut media_type = String::new();
    for (name, value) in fields(head) {
        if name.eq_ignore_ascii_case("content-type") {
            media_type = value;
            continue;
        }
        // It speaks of the upstream's body, not of ours.
        let of_body = ["content-encoding", "content-md5", "etag", "digest"];
        let is_of_body = of_body.iter().any(|of| name.eq_ignore_ascii_case(of));
        if body.is_some() || !is_of_body {
            refusal = refusal.header(name, value);
        }
    }
    //= rfc9110#15.5.22: a 426 names the protocol, whose field ends here
    if status == 426 {
        refusal = refusal.header("Upgrade", "websocket");
        for version in head.values("sec-websocket-version") {
            if let Ok(version) = std::str::from_utf8(version) {
                refusal = refusal.header("Sec-WebSocket-Version", version);
            }
        }
    }
    match body {
        Some(body) => refusal.body(media_type, body),
        None => refusal,
    }
}

#[cfg(test)]
mod tests {
    use tidewire::ws::HeadLimits;

    use super::*;

    fn head(text: &str) -> ResponseHead {
        ResponseHead::parse(text.replace('\n', "\r\n").into(), HeadLimits::default()).unwrap()
    }

    #[test]
    fn what_belongs_to_a_connection_ends_here_and_all_else_passes() {
        let head = head(
            "HTTP/1.1 101 S\nUpgrade: websocket\nConnection: Upgrade, X-Hop\nX-Hop: 1\n\
             Keep-Alive: timeout=5\nSec-WebSocket-Accept: x\nSet-Cookie: a=1\nSet-Cookie: b=2\n\
             Server: s\nTidewire-Confirm: pong\n\n",
        );
        let of = |fields: Vec<(String, String)>| {
            let fields = fields.into_iter();
            let fields = fields.map(|(name, value)| format!("{name}={value}"));
            fields.collect::<Vec<_>>()
        };
        let all = [
            "Set-Cookie=a=1",
            "Set-Cookie=b=2",
            "Server=s",
            "Tidewire-Confirm=pong",
        ];
        assert_eq!(of(fields(&head)), all);
        assert_eq!(of(fields_without_confirm(&head)), all[..3]);
    }

    #[test]
    fn a_refusal_keeps_status_fields_and_body_and_a_success_is_none() {
        let answer = head(
            "HTTP/1.0 401 Unauthorized\nContent-Type: application/json\nContent-Length: 2\n\
             WWW-Authenticate: Basic realm=\"a\"\nWWW-Authenticate: Bearer\nETag: \"1\"\n\n",
        );
        let whole = refusal(&answer, Some(Bytes::from_static(b"{}")));
        assert_eq!(whole.status, 401);
        let body = ("application/json".to_owned(), Bytes::from_static(b"{}"));
        assert_eq!(whole.body, Some(body));
        assert_eq!(whole.headers.len(), 3);
        let cut = refusal(&answer, None);
        assert_eq!((cut.body, cut.headers.len()), (None, 2));
        for success in ["200 OK", "204 No Content", "999 Else"] {
            let answer = head(&format!("HTTP/1.1 {success}\nSet-Cookie: a=1\n\n"));
            let refusal = refusal(&answer, Some(Bytes::from_static(b"page")));
            assert_eq!((refusal.status, refusal.headers), (502, Vec::new()));
            assert_eq!(refusal.body, None);
        }
        let old = head("HTTP/1.1 426 U\nSec-WebSocket-Version: 8\nUpgrade: h2c\n\n");
        let refusal = refusal(&old, Some(Bytes::new()));
        let fields = ["Upgrade=websocket", "Sec-WebSocket-Version=8"];
        let told = refusal.headers.iter();
        assert!(
            told.map(|(name, value)| format!("{name}={value}"))
                .eq(fields)
        );
    }
}
