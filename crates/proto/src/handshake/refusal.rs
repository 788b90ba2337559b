//! [`Refusal`]: the answer to a handshake that fails, over HTTP/1.1 and HTTP/2 alike.
//!
//! In: what was expected, from a server's checks or the application. Out: a whole response. Invariant: no header of it can
//! become two.

use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;

use super::{HeadError, client::is_token};

/// An HTTP answer that ends the handshake.
///
/// ```
/// use tidewire_proto::handshake::Refusal;
///
/// let refusal = Refusal::new(429, "too many attempts")
///     .header("Retry-After", "30")
///     .body("application/json", r#"{"error":"too many attempts"}"#);
/// assert!(refusal.to_response().starts_with("HTTP/1.1 429 "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, 300 to 599.
    pub status: u16,
    /// One line for people: the response's body, unless it has one of its own.
    pub reason: String,
    /// Further header fields, name and value. Left out are those that are no field, and those that the response sets
    /// itself: `Connection`, `Content-Type`, `Content-Length` and `Transfer-Encoding`.
    pub headers: Vec<(String, String)>,
    /// Media type and body instead of `reason`; without a media type the response has no `Content-Type`. Default
    /// `None`.
    pub body: Option<(String, Bytes)>,
}

impl Refusal {
    /// A refusal without further header fields.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body and its media type, for example `application/json`. A media type that cannot be sent is
    /// `text/plain`.
    #[must_use]
    pub fn body(mut self, media_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        self.body = Some((media_type.into(), body.into()));
        self
    }

    /// 426, which names the protocol that is spoken (RFC 9110 section 15.5.22).
    pub fn upgrade_required(reason: impl Into<String>) -> Self {
        Self::new(426, reason).header("Upgrade", "websocket")
    }

    /// Media type, empty if there is none, and body.
    pub fn content(&self) -> (&str, Cow<'_, [u8]>) {
        match &self.body {
            Some((media_type, body)) if is_field_value(media_type) => {
                (media_type, Cow::Borrowed(body))
            }
            Some((_, body)) => (PLAIN_TEXT, Cow::Borrowed(body)),
            None => (
                PLAIN_TEXT,
                Cow::Owned(format!("{}\n", self.reason).into_bytes()),
            ),
        }
    }

    /// The further header fields that can be sent.
    pub(super) fn sendable(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, value)| is_token(name) && is_field_value(value))
            .filter(|(name, _)| !OWN_FIELDS.iter().any(|own| name.eq_ignore_ascii_case(own)))
    }

    /// The whole response, with `Connection: close`, for people: a body that is no text is shown as one.
    pub fn to_response(&self) -> String {
        String::from_utf8_lossy(&self.to_bytes()).into_owned()
    }

    /// The whole response, with `Connection: close`.
    pub fn to_bytes(&self) -> Vec<u8> {
        //= rfc9110#7.8: who sends Upgrade names it in Connection
        let upgrade = self.headers.iter().any(|(name, _)| name == "Upgrade");
        let upgrade = if upgrade { ", upgrade" } else { "" };
        let (media_type, body) = self.content();
        let mut out = format!(
            "HTTP/1.1 {} {}\r\nConnection: close{upgrade}\r\n",
            self.status,
            phrase(self.status),
        );
        if !media_type.is_empty() {
            write!(out, "Content-Type: {media_type}\r\n").expect("writing to a string cannot fail");
        }
        //= rfc9110#8.6: 304 tells no length, for it has no body
        if self.status != 304 {
            write!(out, "Content-Length: {}\r\n", body.len())
                .expect("writing to a string cannot fail");
        }
        for (name, value) in self.sendable() {
            write!(out, "{name}: {value}\r\n").expect("writing to a string cannot fail");
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        if self.status != 304 {
            out.extend_from_slice(&body);
        }
        out
    }
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        let status = match error {
            HeadError::TooLarge { .. } => 431,
            HeadError::Malformed | HeadError::NotHttp(_) => 400,
        };
        Self::new(status, error.to_string())
    }
}

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// Fields that the response sets itself.
const OWN_FIELDS: [&str; 4] = [
    "connection",
    "content-type",
    "content-length",
    "transfer-encoding",
];

fn is_field_value(value: &str) -> bool {
    !value.chars().any(|c| c.is_control() && c != '\t')
}

fn phrase(status: u16) -> &'static str {
    match status {
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_cannot_be_split_by_its_headers() {
        let injected = "a\r\nSet-Cookie: b";
        let refusal = Refusal::new(403, "no")
            .header("X", injected)
            .header(injected, "a")
            .body(injected, "no");
        assert!(!refusal.to_response().contains("Set-Cookie"));
    }

    #[test]
    fn a_body_of_bytes_needs_no_type_and_304_has_none() {
        let refusal = Refusal::new(401, "no").body("", Bytes::from_static(b"\xff"));
        let expected =
            b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 1\r\n\r\n\xff";
        assert_eq!(refusal.to_bytes(), expected);
        let refusal = Refusal::new(304, "no").body("", "x").header("ETag", "1");
        let expected = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: 1\r\n\r\n";
        assert_eq!(refusal.to_response(), expected);
    }

    #[test]
    fn a_body_of_its_own_has_its_type_and_length_once() {
        let refusal = Refusal::new(403, "no")
            .header("Content-Length", "7")
            .header("X-Code", "9")
            .body("application/json", "{\"no\":\"\u{e9}\"}");
        assert_eq!(
            refusal.to_response(),
            "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: 11\r\nX-Code: 9\r\n\r\n{\"no\":\"\u{e9}\"}"
        );
        let fields: Vec<_> = refusal.http2_fields().collect();
        assert_eq!(fields, [("X-Code", "9")]);
    }
}
