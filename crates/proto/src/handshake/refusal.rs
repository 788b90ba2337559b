//! [`Refusal`]: the answer to a handshake that fails, over HTTP/1.1 and HTTP/2 alike.
//!
//! In: what was expected, from a server's checks or the application. Out: a whole response. Invariant: no header of it can
//! become two.

use std::fmt::Write as _;

use super::HeadError;

/// An HTTP answer that ends the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// One line for people: the response's body.
    pub reason: String,
    /// Further header fields; one whose value holds control characters is left out.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal without further header fields.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            headers: Vec::new(),
        }
    }

    /// 426, which names the protocol that is spoken (RFC 9110 section 15.5.22).
    pub fn upgrade_required(reason: impl Into<String>) -> Self {
        let mut refusal = Self::new(426, reason);
        refusal.headers.push(("Upgrade", "websocket".into()));
        refusal
    }

    /// The whole response, with `Connection: close`.
    pub fn to_response(&self) -> String {
        //= rfc9110#7.8: who sends Upgrade names it in Connection
        let upgrade = self.headers.iter().any(|(name, _)| *name == "Upgrade");
        let upgrade = if upgrade { ", upgrade" } else { "" };
        let mut out = format!(
            "HTTP/1.1 {} {}\r\nConnection: close{upgrade}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n",
            self.status,
            phrase(self.status),
            self.reason.len().saturating_add(1),
        );
        for (name, value) in &self.headers {
            if !value.chars().any(|c| c.is_control() && c != '\t') {
                write!(out, "{name}: {value}\r\n").expect("writing to a string cannot fail");
            }
        }
        write!(out, "\r\n{}\n", self.reason).expect("writing to a string cannot fail");
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
        let mut refusal = Refusal::new(403, "no");
        refusal.headers.push(("X", "a\r\nSet-Cookie: b".into()));
        assert!(!refusal.to_response().contains("Set-Cookie"));
    }
}
