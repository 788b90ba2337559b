//! The client's side: make an upgrade request, check the answer (RFC 6455 section 4.1).

use std::fmt::Write as _;

use super::{HeadError, ResponseHead, Url, accept_key, accept_key::base64};

/// An upgrade request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequest {
    /// The request head, to be written as it is.
    pub request: String,
    accept: String,
    subprotocols: Vec<String>,
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
    #[error("expected HTTP status 101, the server answered {0}")]
    Status(u16),
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
    /// An extension we did not offer.
    #[error("the server chose an extension that was not offered")]
    Extension,
}

impl ClientRequest {
    /// Makes a request for `url` with the 16 random bytes `nonce`.
    ///
    /// # Errors
    /// [`RequestError`] for headers or subprotocols that cannot be sent.
    pub fn new(
        url: &Url,
        nonce: [u8; 16],
        headers: &[(String, String)],
        subprotocols: &[String],
    ) -> Result<Self, RequestError> {
        let key = base64(&nonce);
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
            url.target(),
            url.host_header(),
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
        for (name, value) in headers {
            check_header(name, value)?;
            write!(request, "{name}: {value}\r\n").expect("writing to a string cannot fail");
        }
        request.push_str("\r\n");
        Ok(Self {
            request,
            accept: accept_key(key.as_bytes()),
            subprotocols: subprotocols.to_vec(),
        })
    }

    /// Checks the server's answer; returns the chosen subprotocol.
    ///
    /// # Errors
    /// [`HandshakeError`]: what was expected; the connection is to be dropped.
    pub fn verify(&self, head: &ResponseHead) -> Result<Option<String>, HandshakeError> {
        if head.minor_version() < 1 {
            return Err(HeadError::Malformed.into());
        }
        if head.status() != 101 {
            return Err(HandshakeError::Status(head.status()));
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
        if head
            .values("sec-websocket-extensions")
            .any(|value| !value.is_empty())
        {
            return Err(HandshakeError::Extension);
        }
        let mut chosen = head.values("sec-websocket-protocol");
        match (chosen.next(), chosen.next()) {
            (None, _) => Ok(None),
            (Some(name), None) => self
                .subprotocols
                .iter()
                .find(|offered| offered.as_bytes() == name)
                .map(|offered| Some(offered.clone()))
                .ok_or(HandshakeError::Subprotocol),
            (Some(_), Some(_)) => Err(HandshakeError::Subprotocol),
        }
    }
}

fn check_header(name: &str, value: &str) -> Result<(), RequestError> {
    if !is_token(name) {
        return Err(RequestError::HeaderName(name.to_owned()));
    }
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(RequestError::HeaderValue(name.to_owned()));
    }
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

/// RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::handshake::{HeadLimits, RequestHead, accept};

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
        ClientRequest::new(&url, *b"the sample nonce", &headers, &subprotocols)
    }

    fn verify(request: &ClientRequest, answer: &str) -> Result<Option<String>, HandshakeError> {
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
        let accepted = accept(&head, &["b"]).unwrap();
        assert_eq!(verify(&request, &accepted.response), Ok(Some("b".into())));
        assert_eq!(head.single("authorization"), Some(&b"Bearer x"[..]));
    }

    #[test]
    fn an_answer_that_does_not_prove_itself_is_refused() {
        let request = request(&[], &["a"]).unwrap();
        let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(verify(&request, good), Ok(None));
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
                HandshakeError::Extension,
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

    #[test]
    fn nothing_can_be_injected_into_the_request() {
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
