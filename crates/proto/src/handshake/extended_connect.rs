//! The opening handshake over HTTP/2 (RFC 8441): an extended CONNECT instead of an upgrade.
//!
//! In: the pseudo-header and header fields of a stream, as an HTTP/2 implementation decoded
//! them. Out: a [`RequestHead`] as endpoints know it, and the fields of the answer. There is no
//! key to prove: the framing cannot be mistaken (section 5). Invariant: a head holds what
//! HTTP/1.1 allows, within the same limits, whatever the decoder let through.

use bytes::Bytes;

use super::{
    AcceptOptions, Agreed, HandshakeError, HeadError, HeadLimits, Refusal, RequestError,
    RequestHead, RequestOptions, Url,
    client::{authorization, check_header, is_token, refused},
};
use crate::{DeflateConfig, DeflateParameters, deflate};

impl RequestHead {
    /// The head of a request that came over HTTP/2; `authority` becomes the `Host` field, and
    /// cookies in several fields become one (RFC 9113 section 8.2.3).
    ///
    /// # Errors
    /// [`HeadError`]; malformed is also a `Host` field that contradicts `authority`.
    pub fn from_http2<'a>(
        method: &str,
        target: &str,
        authority: &str,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        limits: HeadLimits,
    ) -> Result<Self, HeadError> {
        let one_word = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic());
        if ![method, target, authority].into_iter().all(one_word) {
            return Err(HeadError::Malformed);
        }
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
        let mut cookies = Vec::new();
        for (name, value) in fields {
            // What is no token or holds a line break would become another field.
            if !is_token(name) || value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                return Err(HeadError::Malformed);
            }
            match name {
                //= rfc9113#8.3.1: a host field that differs makes the request malformed
                "host" if value.eq_ignore_ascii_case(authority.as_bytes()) => {}
                "host" => return Err(HeadError::Malformed),
                "cookie" => {
                    if !cookies.is_empty() {
                        cookies.extend_from_slice(b"; ");
                    }
                    cookies.extend_from_slice(value);
                }
                _ => push_field(&mut head, name, value),
            }
        }
        if !cookies.is_empty() {
            push_field(&mut head, "cookie", &cookies);
        }
        head.extend_from_slice(b"\r\n");
        Self::parse_http2(Bytes::from(head), limits)
    }
}

fn push_field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// The answer to a valid extended CONNECT: status 200 with these fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtendedAccepted {
    /// Header fields; names are in lower case, but for those of [`AcceptOptions::headers`], which are as given.
    pub fields: Vec<(String, String)>,
    /// The chosen subprotocol.
    pub subprotocol: Option<String>,
    /// The compression agreed on, for
    /// [`Connection::with_deflate`](crate::Connection::with_deflate).
    pub deflate: Option<DeflateParameters>,
}

/// As [`accept`](super::accept), for an extended CONNECT whose `:protocol` is `websocket`.
///
/// # Errors
/// The answer for a request that breaks a rule: what was expected is named.
pub fn accept_extended(
    head: &RequestHead,
    options: AcceptOptions<'_>,
) -> Result<ExtendedAccepted, Refusal> {
    check_extended(head)?;
    let mut accepted = ExtendedAccepted::default();
    if let Some(ours) = options.subprotocol_for(head) {
        accepted
            .fields
            .push(("sec-websocket-protocol".to_owned(), ours.to_owned()));
        accepted.subprotocol = Some(ours.to_owned());
    }
    if let Some(config) = options.deflate {
        let agreed = deflate::accept(head.values("sec-websocket-extensions"), config)
            //= rfc6455#9.1: a malformed list of extensions MUST fail the connection
            .map_err(|error| Refusal::new(400, error.to_string()))?;
        if let Some((parameters, answer)) = agreed {
            let name = "sec-websocket-extensions".to_owned();
            accepted.fields.push((name, answer));
            accepted.deflate = Some(parameters);
        }
    }
    accepted.fields.extend(options.sendable().cloned());
    Ok(accepted)
}

/// Returns whether a request keeps the rules of an extended CONNECT.
pub(super) fn check_extended(head: &RequestHead) -> Result<(), Refusal> {
    if head.method() != "CONNECT" {
        let refusal = Refusal::new(405, "a WebSocket is opened with CONNECT over HTTP/2");
        return Err(refusal.header("Allow", "CONNECT"));
    }
    if head.single("host").is_none_or(<[u8]>::is_empty) {
        return Err(Refusal::new(400, "expected :authority"));
    }
    // 426 would have to name an upgrade, which HTTP/2 does not have.
    if head.single("sec-websocket-version") != Some(b"13") {
        let refusal = Refusal::new(400, "expected Sec-WebSocket-Version: 13");
        return Err(refusal.header("Sec-WebSocket-Version", "13"));
    }
    Ok(())
}

impl Refusal {
    /// The further header fields of this refusal over HTTP/2: without those of a connection
    /// (RFC 9113 section 8.2.2).
    pub fn http2_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sendable().filter(|(name, _)| !is_of_connection(name))
    }
}

fn is_of_connection(name: &str) -> bool {
    [
        "connection",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "te",
    ]
    .iter()
    .any(|field| name.eq_ignore_ascii_case(field))
}

/// A client's extended CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedConnect {
    fields: Vec<(String, String)>,
    subprotocols: Vec<String>,
    deflate: Option<DeflateConfig>,
}

impl ExtendedConnect {
    /// A request for `url` with these further header fields, offering these subprotocols. Credentials in the
    /// address are sent unless `options` has an `Authorization` header.
    ///
    /// # Errors
    /// [`RequestError`] for headers or subprotocols that cannot be sent.
    pub fn new(url: &Url, options: RequestOptions<'_>) -> Result<Self, RequestError> {
        let RequestOptions {
            headers,
            subprotocols,
            deflate,
        } = options;
        let mut fields = vec![("sec-websocket-version".to_owned(), "13".to_owned())];
        if let Some(bad) = subprotocols.iter().find(|name| !is_token(name)) {
            return Err(RequestError::Subprotocol(bad.clone()));
        }
        if !subprotocols.is_empty() {
            fields.push(("sec-websocket-protocol".to_owned(), subprotocols.join(", ")));
        }
        if let Some(config) = deflate {
            fields.push((
                "sec-websocket-extensions".to_owned(),
                deflate::offer(config),
            ));
        }
        if let Some(value) = authorization(url, headers) {
            fields.push(("authorization".to_owned(), value.to_owned()));
        }
        for (name, value) in headers {
            check_header(name, value)?;
            if is_of_connection(name) {
                return Err(RequestError::Reserved(name.clone()));
            }
            fields.push((name.to_ascii_lowercase(), value.clone()));
        }
        Ok(Self {
            fields,
            subprotocols: subprotocols.to_vec(),
            deflate: deflate.cloned(),
        })
    }

    /// The header fields, names in lower case; the pseudo-header fields are the caller's.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Checks the server's answer; returns what was agreed on.
    ///
    /// # Errors
    /// [`HandshakeError`]; the stream is to be reset.
    pub fn verify<'a>(
        &self,
        status: u16,
        fields: &[(&'a str, &'a [u8])],
    ) -> Result<Agreed, HandshakeError> {
        let values = |wanted: &'static str| {
            fields
                .iter()
                .filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| *value)
        };
        if !(200..300).contains(&status) {
            return Err(refused(status, values("retry-after").next()));
        }
        let deflate = deflate::verify(values("sec-websocket-extensions"), self.deflate.as_ref())?;
        let mut subprotocol = None;
        for value in values("sec-websocket-protocol") {
            let offered = self
                .subprotocols
                .iter()
                .find(|offered| offered.as_bytes() == value);
            if offered.is_none() || subprotocol.is_some() {
                return Err(HandshakeError::Subprotocol);
            }
            subprotocol = offered.cloned();
        }
        Ok(Agreed {
            subprotocol,
            deflate,
            extensions: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExtensionError;

    fn accept(head: &RequestHead, subprotocols: &[&str]) -> Result<ExtendedAccepted, Refusal> {
        accept_extended(
            head,
            AcceptOptions {
                subprotocols,
                ..AcceptOptions::default()
            },
        )
    }

    fn connect(
        headers: &[(String, String)],
        subprotocols: &[String],
    ) -> Result<ExtendedConnect, RequestError> {
        let url = Url::parse("wss://example.com:8443/chat?id=1").unwrap();
        let options = RequestOptions {
            headers,
            subprotocols,
            deflate: None,
        };
        ExtendedConnect::new(&url, options)
    }

    fn head(method: &str, fields: &[(&str, &str)]) -> Result<RequestHead, HeadError> {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        RequestHead::from_http2(
            method,
            "/chat?id=1",
            "example.com:8443",
            fields,
            HeadLimits::default(),
        )
    }

    #[test]
    fn the_request_of_rfc_8441_is_accepted_and_looks_like_any_other() {
        let head = head(
            "CONNECT",
            &[
                ("sec-websocket-protocol", "chat, superchat"),
                ("sec-websocket-version", "13"),
                ("origin", "http://www.example.com"),
            ],
        )
        .unwrap();
        assert!(head.is_http2());
        assert_eq!((head.path(), head.query()), ("/chat", Some("id=1")));
        assert_eq!(head.single("Host"), Some(&b"example.com:8443"[..]));
        assert_eq!(head.single("Origin"), Some(&b"http://www.example.com"[..]));
        let accepted = accept(&head, &["superchat"]).unwrap();
        assert_eq!(accepted.subprotocol.as_deref(), Some("superchat"));
        assert_eq!(
            accepted.fields,
            [("sec-websocket-protocol".to_owned(), "superchat".to_owned())]
        );
        assert_eq!(accept(&head, &[]), Ok(ExtendedAccepted::default()));
        let options = AcceptOptions {
            headers: &[("X-Told", "yes"), ("connection", "close")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
            ..AcceptOptions::default()
        };
        let accepted = accept_extended(&head, options).unwrap();
        assert_eq!(accepted.fields, [("X-Told".to_owned(), "yes".to_owned())]);
    }

    #[test]
    fn each_broken_rule_has_its_status() {
        for (method, version, status) in [("GET", "13", 405), ("CONNECT", "8", 400)] {
            let head = head(method, &[("sec-websocket-version", version)]).unwrap();
            assert_eq!(accept(&head, &[]).unwrap_err().status, status);
        }
        let head = head("CONNECT", &[]).unwrap();
        let refusal = accept(&head, &[]).unwrap_err();
        assert_eq!(
            refusal.http2_fields().collect::<Vec<_>>(),
            [("Sec-WebSocket-Version", "13")]
        );
    }

    #[test]
    fn cookies_in_several_fields_become_one() {
        let head = head(
            "CONNECT",
            &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")],
        )
        .unwrap();
        assert_eq!(head.single("cookie"), Some(&b"a=1; b=2"[..]));
    }

    #[test]
    fn a_host_field_may_repeat_the_authority_but_not_contradict_it() {
        let same = head("CONNECT", &[("host", "EXAMPLE.com:8443")]).unwrap();
        assert_eq!(same.values("host").count(), 1);
        assert_eq!(
            head("CONNECT", &[("host", "evil.example")]).unwrap_err(),
            HeadError::Malformed
        );
    }

    #[test]
    fn no_field_can_become_two_and_no_head_can_pass_the_limits() {
        for (name, value) in [("a", "b\r\nc: d"), ("a\r\nb", "c"), ("", "c"), ("a", "b\0")] {
            assert_eq!(
                head("CONNECT", &[(name, value)]).unwrap_err(),
                HeadError::Malformed,
                "{name:?}: {value:?}"
            );
        }
        for authority in ["a\r\nb: c", "a b"] {
            let head = RequestHead::from_http2(
                "CONNECT",
                "/",
                authority,
                std::iter::empty(),
                HeadLimits::default(),
            );
            assert_eq!(head.unwrap_err(), HeadError::Malformed, "{authority:?}");
        }
        let long = "a".repeat(20_000);
        assert!(matches!(
            head("CONNECT", &[("x", &long)]),
            Err(HeadError::TooLarge { .. })
        ));
    }

    #[test]
    fn the_answer_is_checked() {
        let request = connect(&[("X-A".into(), "1".into())], &["a".into()]).unwrap();
        assert!(request.fields().any(|field| field == ("x-a", "1")));
        let verify = |status, name, value: &'static str| {
            request
                .verify(status, &[(name, value.as_bytes())])
                .map(|agreed| agreed.subprotocol)
        };
        assert_eq!(verify(200, "x", "y"), Ok(None));
        assert_eq!(
            verify(200, "sec-websocket-protocol", "a"),
            Ok(Some("a".into()))
        );
        assert_eq!(
            verify(200, "sec-websocket-protocol", "b"),
            Err(HandshakeError::Subprotocol)
        );
        assert_eq!(
            verify(200, "sec-websocket-extensions", "foo"),
            Err(HandshakeError::Extension(ExtensionError::NotOffered))
        );
        assert_eq!(verify(403, "x", "y"), Err(HandshakeError::Status(403)));
        assert_eq!(verify(101, "x", "y"), Err(HandshakeError::Status(101)));
    }

    #[test]
    fn fields_of_a_connection_are_not_sent() {
        for name in ["Connection", "TE", "Keep-Alive", "Sec-WebSocket-Key"] {
            assert!(
                matches!(
                    connect(&[(name.into(), "x".into())], &[]),
                    Err(RequestError::Reserved(_))
                ),
                "{name}"
            );
        }
    }
}
