//! The client's side: make an upgrade request, check the answer (RFC 6455 section 4.1).

use std::fmt::Write as _;

use super::{HeadError, ResponseHead, Url, accept_key, accept_key::base64, authority};
use crate::{
    DeflateConfig, DeflateParameters, ExtensionError, deflate, extensions::keeps_to_offer,
};

/// The part of a client's request besides the address.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestOptions<'a> {
    /// Further header fields; `Host` stands instead of the address's host.
    pub headers: &'a [(String, String)],
    /// Subprotocols offered, best first.
    pub subprotocols: &'a [String],
    /// Offer permessage-deflate with these settings.
    pub deflate: Option<&'a DeflateConfig>,
}

/// The outcome of a handshake that the server agreed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed {
    /// The chosen subprotocol.
    pub subprotocol: Option<String>,
    /// The compression, for [`Connection::with_deflate`](crate::Connection::with_deflate).
    pub deflate: Option<DeflateParameters>,
    /// The extensions of the answer as they came, when the offer was
    /// [passed on](ClientRequest::passing_on).
    pub extensions: Option<String>,
}

/// An upgrade request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequest {
    /// The request head, to be written as it is.
    pub request: String,
    accept: String,
    subprotocols: Vec<String>,
    extensions: Extensions,
}

/// Who negotiates extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extensions {
    /// We, with these settings.
    Ours(Option<DeflateConfig>),
    /// Somebody whose offer, this one, is passed on.
    PassedOn(String),
}

/// A request could not be made: an argument would break the head (CVE-2026-1527).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A header name is no token.
    #[error("header name {0:?} is not a token")]
    HeaderName(String),
    /// A header value holds control characters.
    #[error("the value of header {0:?} contains control characters")]
    HeaderValue(String),
    /// A header that the handshake sets itself.
    #[error("header {0:?} is set by the handshake")]
    Reserved(String),
    /// A subprotocol name is no token.
    #[error("subprotocol {0:?} is not a token")]
    Subprotocol(String),
}

/// The server's answer does not open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The head is no HTTP response or above the limits.
    #[error("invalid answer to the upgrade request")]
    Head(#[from] HeadError),
    /// Another status than 101.
    #[error("the server answered with HTTP status {0}")]
    Status(u16),
    /// 429 or 503 with the number of seconds after which to try again (`Retry-After`, RFC 9110
    /// section 10.2.3; a date there is not understood and comes as [`Status`](Self::Status)).
    #[error("the server answered {status} and asks to try again in {seconds} s")]
    Busy {
        /// The status.
        status: u16,
        /// The time that the server asks for; unbounded.
        seconds: u32,
    },
    /// `Upgrade: websocket` is missing.
    #[error("expected Upgrade: websocket in the answer")]
    Upgrade,
    /// `Connection: Upgrade` is missing.
    #[error("expected Connection: Upgrade in the answer")]
    Connection,
    /// The accept value is missing or not that of our key.
    #[error("Sec-WebSocket-Accept does not match the key")]
    Accept,
    /// A subprotocol we did not offer, or several.
    #[error("the server chose a subprotocol that was not offered")]
    Subprotocol,
    /// An extension we did not offer, or with parameters that are no answer to the offer.
    #[error("invalid extensions in the answer")]
    Extension(#[from] ExtensionError),
}

impl HandshakeError {
    /// Returns whether the server has answered in HTTP, whatever is wrong with the answer.
    pub fn has_status(&self) -> bool {
        !matches!(self, Self::Head(HeadError::Malformed))
    }

    /// The HTTP status, when it was another than 101.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::Busy { status, .. } => Some(*status),
            Self::Head(_)
            | Self::Upgrade
            | Self::Connection
            | Self::Accept
            | Self::Subprotocol
            | Self::Extension(_) => None,
        }
    }
}

impl ClientRequest {
    /// Makes a request for `url` with the 16 random bytes `nonce`. Credentials in the address are sent
    /// unless `options` has an `Authorization` header.
    ///
    /// # Errors
    /// [`RequestError`] for headers or subprotocols that cannot be sent.
    pub fn new(
        url: &Url,
        nonce: [u8; 16],
        options: RequestOptions<'_>,
    ) -> Result<Self, RequestError> {
        let offer = options.deflate.map(deflate::offer);
        let extensions = Extensions::Ours(options.deflate.cloned());
        Self::build(url, nonce, options, offer.as_deref(), extensions)
    }

    /// As [`new`](Self::new), for a gateway that speaks for a client and does not look into what
    /// follows: the client's offer of extensions goes out as it is, and the answer comes back
    /// as it is in [`Agreed::extensions`]. `options.deflate` does not count.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`RequestError::HeaderValue`] for an offer that cannot be sent.
    pub fn passing_on(
        url: &Url,
        nonce: [u8; 16],
        options: RequestOptions<'_>,
        extensions: Option<&str>,
    ) -> Result<Self, RequestError> {
        if let Some(offer) = extensions {
            check_value(EXTENSIONS, offer)?;
        }
        let passed_on = Extensions::PassedOn(extensions.unwrap_or_default().to_owned());
        Self::build(url, nonce, options, extensions, passed_on)
    }

    fn build(
        url: &Url,
        nonce: [u8; 16],
        options: RequestOptions<'_>,
        offer: Option<&str>,
        extensions: Extensions,
    ) -> Result<Self, RequestError> {
        let RequestOptions {
            headers,
            subprotocols,
            deflate: _,
        } = options;
        let key = base64(&nonce);
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
            url.target(),
            host(headers)?.map_or_else(|| url.host_header(), str::to_owned),
        );
        if let Some(bad) = subprotocols.iter().find(|name| !is_token(name)) {
            return Err(RequestError::Subprotocol(bad.clone()));
        }
        if !subprotocols.is_empty() {
            write!(
                request,
                "Sec-WebSocket-Protocol: {}\r\n",
                subprotocols.join(", ")
            )
            .expect("writing to a string cannot fail");
        }
        if let Some(offer) = offer {
            write!(request, "{EXTENSIONS}: {offer}\r\n").expect("writing to a string cannot fail");
        }
        if let Some(value) = authorization(url, headers) {
            write!(request, "Authorization: {value}\r\n").expect("writing to a string cannot fail");
        }
        for (name, value) in headers.iter().filter(|(name, _)| !is_host(name)) {
            check_header(name, value)?;
            write!(request, "{name}: {value}\r\n").expect("writing to a string cannot fail");
        }
        request.push_str("\r\n");
        Ok(Self {
            request,
            accept: accept_key(key.as_bytes()),
            subprotocols: subprotocols.to_vec(),
            extensions,
        })
    }

    /// Checks the server's answer; returns what was agreed on.
    ///
    /// # Errors
    /// [`HandshakeError`]: what was expected; the connection is to be dropped.
    pub fn verify(&self, head: &ResponseHead) -> Result<Agreed, HandshakeError> {
        // An older version may refuse, and nothing else.
        if head.status() != 101 {
            return Err(refused(head.status(), head.values("retry-after").next()));
        }
        if head.minor_version() < 1 {
            return Err(HeadError::Malformed.into());
        }
        if !head.has_token("upgrade", "websocket") {
            return Err(HandshakeError::Upgrade);
        }
        if !head.has_token("connection", "upgrade") {
            return Err(HandshakeError::Connection);
        }
        let mut accepts = head.values("sec-websocket-accept");
        if accepts.next() != Some(self.accept.as_bytes()) || accepts.next().is_some() {
            return Err(HandshakeError::Accept);
        }
        let answered = head.values("sec-websocket-extensions");
        let (deflate, extensions) = match &self.extensions {
            Extensions::Ours(config) => (deflate::verify(answered, config.as_ref())?, None),
            Extensions::PassedOn(offer) => {
                keeps_to_offer(head.values("sec-websocket-extensions"), offer)?;
                (None, joined(answered))
            }
        };
        let mut chosen = head.values("sec-websocket-protocol");
        let subprotocol = match (chosen.next(), chosen.next()) {
            (None, _) => None,
            (Some(name), None) => Some(self.offered(name)?),
            (Some(_), Some(_)) => return Err(HandshakeError::Subprotocol),
        };
        Ok(Agreed {
            subprotocol,
            deflate,
            extensions,
        })
    }

    fn offered(&self, subprotocol: &[u8]) -> Result<String, HandshakeError> {
        self.subprotocols
            .iter()
            .find(|offered| offered.as_bytes() == subprotocol)
            .cloned()
            .ok_or(HandshakeError::Subprotocol)
    }
}

/// The credentials in the address, unless a header has others.
pub(super) fn authorization<'a>(url: &'a Url, headers: &[(String, String)]) -> Option<&'a str> {
    let is_set = |(name, _value): &(String, String)| name.eq_ignore_ascii_case("authorization");
    url.authorization()
        .filter(|_value| !headers.iter().any(is_set))
}

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host")
}

/// The host to ask for instead of the address's.
fn host(headers: &[(String, String)]) -> Result<Option<&str>, RequestError> {
    let mut hosts = headers.iter().filter(|(name, _)| is_host(name));
    let Some((name, host)) = hosts.next() else {
        return Ok(None);
    };
    if hosts.next().is_some() {
        return Err(RequestError::Reserved(name.clone()));
    }
    authority(host).map_err(|_invalid| RequestError::HeaderValue(name.clone()))?;
    Ok(Some(host))
}

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// The values of a list header as one.
fn joined<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let values: Vec<_> = values.map(String::from_utf8_lossy).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Returns the meaning of a status other than success, with the value of `Retry-After`.
pub(super) fn refused(status: u16, retry_after: Option<&[u8]>) -> HandshakeError {
    let seconds = retry_after.and_then(|value| {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(value).ok().filter(|_text| digits)
    });
    match seconds.and_then(|text| text.parse().ok()) {
        Some(seconds) if matches!(status, 429 | 503) => HandshakeError::Busy { status, seconds },
        Some(_) | None => HandshakeError::Status(status),
    }
}

pub(super) fn check_header(name: &str, value: &str) -> Result<(), RequestError> {
    if !is_token(name) {
        return Err(RequestError::HeaderName(name.to_owned()));
    }
    check_value(name, value)?;
    let lower = name.to_ascii_lowercase();
    let reserved = [
        "upgrade",
        "connection",
        "host",
        "content-length",
        "transfer-encoding",
    ]
    .contains(&lower.as_str());
    if reserved || lower.starts_with("sec-websocket-") {
        return Err(RequestError::Reserved(name.to_owned()));
    }
    Ok(())
}

fn check_value(name: &str, value: &str) -> Result<(), RequestError> {
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(RequestError::HeaderValue(name.to_owned()));
    }
    Ok(())
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::handshake::{AcceptOptions, HeadLimits, RequestHead, accept};

    fn request(
        headers: &[(&str, &str)],
        subprotocols: &[&str],
    ) -> Result<ClientRequest, RequestError> {
        let url = Url::parse("ws://example.com:8085/chat?id=1").unwrap();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let subprotocols: Vec<_> = subprotocols.iter().map(|name| (*name).into()).collect();
        let options = RequestOptions {
            headers: &headers,
            subprotocols: &subprotocols,
            deflate: None,
        };
        ClientRequest::new(&url, *b"the sample nonce", options)
    }

    fn verify(request: &ClientRequest, answer: &str) -> Result<Agreed, HandshakeError> {
        request.verify(&ResponseHead::parse(
            Bytes::from(answer.to_owned()),
            HeadLimits::default(),
        )?)
    }

    #[test]
    fn our_request_is_accepted_by_our_server_and_the_answer_by_our_client() {
        let request = request(&[("Authorization", "Bearer x")], &["a", "b"]).unwrap();
        let head = RequestHead::parse(Bytes::from(request.request.clone()), HeadLimits::default())
            .unwrap();
        let options = AcceptOptions {
            subprotocols: &["b"],
            ..AcceptOptions::default()
        };
        let accepted = accept(&head, options).unwrap();
        let agreed = verify(&request, &accepted.response).unwrap();
        assert_eq!(agreed.subprotocol.as_deref(), Some("b"));
        assert_eq!(head.single("authorization"), Some(&b"Bearer x"[..]));
    }

    #[test]
    fn an_answer_that_does_not_prove_itself_is_refused() {
        let request = request(&[], &["a"]).unwrap();
        let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(verify(&request, good), Ok(Agreed::default()));
        for (from, to, error) in [
            (
                "101 Switching Protocols",
                "200 OK",
                HandshakeError::Status(200),
            ),
            ("Upgrade: websocket\r\n", "", HandshakeError::Upgrade),
            (
                "Connection: Upgrade",
                "Connection: close",
                HandshakeError::Connection,
            ),
            ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "", HandshakeError::Accept),
            ("xOo=", "xO", HandshakeError::Accept),
            (
                "\r\n\r\n",
                "\r\nSec-WebSocket-Protocol: b\r\n\r\n",
                HandshakeError::Subprotocol,
            ),
            (
                "\r\n\r\n",
                "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                HandshakeError::Extension(ExtensionError::NotOffered),
            ),
            (
                "HTTP/1.1",
                "HTTP/1.0",
                HandshakeError::Head(HeadError::Malformed),
            ),
        ] {
            assert_eq!(
                verify(&request, &good.replacen(from, to, 1)),
                Err(error),
                "{to}"
            );
        }
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn compression_is_agreed_on_by_our_ends_and_a_bad_answer_fails() {
        let config = DeflateConfig::default();
        let url = Url::parse("ws://example.com/").unwrap();
        let options = RequestOptions {
            deflate: Some(&config),
            ..RequestOptions::default()
        };
        let request = ClientRequest::new(&url, *b"the sample nonce", options).unwrap();
        let head = RequestHead::parse(Bytes::from(request.request.clone()), HeadLimits::default())
            .unwrap();
        let accept = |deflate| {
            let options = AcceptOptions {
                deflate,
                ..AcceptOptions::default()
            };
            accept(&head, options).unwrap()
        };
        let accepted = accept(Some(&config));
        let agreed = verify(&request, &accepted.response).unwrap();
        assert!(agreed.deflate.is_some() && agreed.deflate == accepted.deflate);
        assert_eq!(
            verify(&request, &accept(None).response),
            Ok(Agreed::default())
        );
        assert_eq!(
            verify(
                &request,
                &accepted
                    .response
                    .replace("takeover\r\n", "takeover; server_max_window_bits=16\r\n")
            ),
            Err(HandshakeError::Extension(ExtensionError::Parameters))
        );
    }

    #[test]
    fn a_busy_server_tells_when_to_try_again() {
        let request = request(&[], &[]).unwrap();
        let answer = |status: u16, field: &str| {
            let head = format!("HTTP/1.1 {status} X\r\n{field}\r\n");
            verify(&request, &head).unwrap_err()
        };
        for status in [429, 503] {
            let error = answer(status, "retry-after: 7\r\n");
            assert_eq!(error, HandshakeError::Busy { status, seconds: 7 });
            assert_eq!(error.status(), Some(status));
        }
        for (status, field) in [
            (404, "Retry-After: 7\r\n"),
            (503, ""),
            (503, "Retry-After: \r\n"),
            (503, "Retry-After: +7\r\n"),
            (503, "Retry-After: 99999999999\r\n"),
            (503, "Retry-After: Sat, 21 Nov 2026 07:00:00 GMT\r\n"),
        ] {
            assert_eq!(
                answer(status, field),
                HandshakeError::Status(status),
                "{field}"
            );
        }
    }

    #[test]
    fn cve_2026_1527_nothing_can_be_injected_into_the_request() {
        assert!(matches!(
            request(&[("a b", "c")], &[]),
            Err(RequestError::HeaderName(_))
        ));
        assert!(matches!(
            request(&[("a", "b\r\nc: d")], &[]),
            Err(RequestError::HeaderValue(_))
        ));
        assert!(matches!(
            request(&[("Sec-WebSocket-Key", "x")], &[]),
            Err(RequestError::Reserved(_))
        ));
        assert!(matches!(
            request(&[], &["a\r\nb"]),
            Err(RequestError::Subprotocol(_))
        ));
    }
}
