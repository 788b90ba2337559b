//! [`Refusal`]: the answer to a handshake that fails, over HTTP/1.1 and HTTP/2 alike.
//!
//! In: what was expected, from a server's checks or the application. Out: a whole response. Invariant: no header of it can
//! become two.

use std::{borrow::Cow, fmt::Write as _};

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
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// One line for people: the response's body, unless it has one of its own.
    pub reason: String,
    /// Further header fields, name and value. Left out are those that are no field, and those that the response sets
    /// itself: `Connection`, `Content-Type`, `Content-Length` and `Transfer-Encoding`.
    pub headers: Vec<(String, String)>,
    /// Media type and text of the body instead of `reason`. Default `None`.
    pub body: Option<(String, String)>,
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
    pub fn body(mut self, media_type: impl Into<String>, text: impl Into<String>) -> Self {
        self.body = Some((media_type.into(), text.into()));
        self
    }

    /// 426, which names the protocol that is spoken (RFC 9110 section 15.5.22).
    pub fn upgrade_required(reason: impl Into<String>) -> Self {
        Self::new(426, reason).header("Upgrade", "websocket")
    }

    /// Media type and text of the body.
    pub fn content(&self) -> (&str, Cow<'_, str>) {
        match &self.body {
            Some((media_type, text)) if is_field_value(media_type) => {
                (media_type, Cow::Borrowed(text))
            }
            Some((_, text)) => (PLAIN_TEXT, Cow::Borrowed(text)),
            None => (PLAIN_TEXT, Cow::Owned(format!("{}\n", self.reason))),
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

    /// The whole response, with `Connection: close`.
    pub fn to_response(&self) -> String {
        //= rfc9110#7.8: who sends Upgrade names it in Connection
        let upgrade = self.headers.iter().any(|(name, _)| name == "Upgrade");
        let upgrade = if upgrade { ", upgrade" } else { "" };
        let (media_type, body) = self.content();
        let mut out = format!(
            "HTTP/1.1 {} {}\r\nConnection: close{upgrade}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n",
            self.status,
            phrase(self.status),
            body.len(),
        );
        for (name, value) in self.sendable() {
            write!(out, "{name}: {value}\r\n").expect("writing to a string cannot fail");
        }
        write!(out, "\r\n{body}").expect("writing to a string cannot fail");
        out
    }
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        let status = match error {
            HeadError::TooLarge { .. } => 431,
            HeadError::Malformed => 400,
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
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
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
