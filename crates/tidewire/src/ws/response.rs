//! [`HttpResponse`]: what a server said instead of opening a WebSocket.
//!
//! In: status, fields and the beginning of a body, over HTTP/1.1 or HTTP/2. Out: an error in words for people,
//! and all that was said for programs. Invariant: what the peer wrote is shown bounded, on one line and without control
//! characters.

use std::{
    error::Error,
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tidewire_proto::handshake::Url;

/// Most bytes of a refusal's body that are kept.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 10;

/// How long a refusal's body is waited for, once its head is there.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// An HTTP response other than the one that opens a WebSocket.
///
/// Its `Display` names the status and says what to do about it: where a redirect points to, which credentials
/// are wanted, when to try again, and the first line of a body that is text.
#[derive(Clone)]
pub struct HttpResponse {
    status: u16,
    fields: Vec<(String, Bytes)>,
    body: Bytes,
    body_complete: bool,
    location: Option<Url>,
    retry_after: Option<Duration>,
    secure: bool,
}

impl HttpResponse {
    /// The answer to a request for `url`.
    pub(crate) fn new(
        url: &Url,
        status: u16,
        fields: Vec<(String, Bytes)>,
        (body, body_complete): (Bytes, bool),
    ) -> Self {
        let mut response = Self {
            status,
            fields,
            body,
            body_complete,
            location: None,
            retry_after: None,
            secure: url.is_secure(),
        };
        if (300..400).contains(&status) {
            let location = response.text("location");
            response.location = location.and_then(|location| url.join(location).ok());
        }
        if matches!(status, 429 | 503) {
            response.retry_after = response.asked_wait(SystemTime::now());
        }
        response
    }

    /// The status code, 200 to 999: another than 101 over HTTP/1.1, another than 2xx over HTTP/2.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of the first header field with this name, any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers()
            .find(|(field, _value)| field.eq_ignore_ascii_case(name))
            .map(|(_field, value)| value)
    }

    /// All header fields in order; names as sent, over HTTP/2 in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let fields = self.fields.iter();
        fields.map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    /// The body without transfer codings: at most its first 16 KiB, and what has come within 2 s of the head and the
    /// connect deadline. [`is_body_complete`](Self::is_body_complete) tells whether that is all.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns whether [`body`](Self::body) is the whole body.
    pub fn is_body_complete(&self) -> bool {
        self.body_complete
    }

    /// Where a redirect (3xx with `Location`) points to, as an address for a WebSocket. Redirects are not followed, as in browsers: a
    /// client that follows them gives its messages to whom the server names. Credentials in the address that was
    /// asked for are kept for the same server only.
    pub fn location(&self) -> Option<&Url> {
        self.location.as_ref()
    }

    /// How long the server asks to wait before the next attempt (`Retry-After` of 429 and 503, RFC 9110 section
    /// 10.2.3), in its own, unbounded words. A date is measured from the response's `Date`, or the
    /// local clock when there is none.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.header(name)
            .and_then(|value| std::str::from_utf8(value).ok())
            .map(str::trim)
    }

    fn asked_wait(&self, now: SystemTime) -> Option<Duration> {
        let value = self.text("retry-after")?;
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return value.parse().ok().map(Duration::from_secs);
        }
        let until = httpdate::parse_http_date(value).ok()?;
        let date = self.text("date").map(httpdate::parse_http_date);
        let from = date.and_then(Result::ok).unwrap_or(now);
        Some(until.duration_since(from).unwrap_or(Duration::ZERO))
    }

    /// Advice for people.
    fn advice(&self) -> Option<String> {
        match self.status {
            300..400 => Some(match (self.location(), self.text("location")) {
                (Some(url), _) => format!("redirects are not followed, it points to {url}"),
                (None, Some(other)) => {
                    let other = shown(other);
                    format!(
                        "redirects are not followed, it points to {other}, where no WebSocket can be"
                    )
                }
                (None, None) => return None,
            }),
            400 if !self.secure && self.wants_tls() => {
                Some("this port wants TLS: connect to wss:// instead of ws://".to_owned())
            }
            401 => {
                let challenges = self.list("www-authenticate");
                Some(format!(
                    "expected credentials that the server accepts{challenges}"
                ))
            }
            426 => {
                let versions = self.list("sec-websocket-version");
                let upgrade = self.list("upgrade");
                Some(format!(
                    "expected another protocol{upgrade} or version{versions}"
                ))
            }
            200..300 | 404 | 405 => Some("no WebSocket is served at this path".to_owned()),
            _ => {
                let seconds = self.retry_after?.as_secs();
                Some(format!("it asks to try again in {seconds} s"))
            }
        }
    }

    /// The values of a header field in brackets, behind a blank; empty if there is none.
    fn list(&self, name: &str) -> String {
        let values: Vec<_> = self
            .headers()
            .filter(|(field, _value)| field.eq_ignore_ascii_case(name))
            .map(|(_field, value)| shown(&String::from_utf8_lossy(value)))
            .collect();
        if values.is_empty() {
            String::new()
        } else {
            format!(" ({})", values.join(", "))
        }
    }

    /// Returns whether this is how well-known servers answer plain HTTP on a port for TLS.
    fn wants_tls(&self) -> bool {
        let body = String::from_utf8_lossy(&self.body);
        [
            "sent to HTTPS port",              // nginx
            "plain HTTP to an SSL-enabled",    // Apache
            "HTTP request to an HTTPS server", // Go
            "requires TLS",                    // Tomcat
        ]
        .iter()
        .any(|words| body.contains(words))
    }

    /// The body's first line, if it is meant for people or programs and not a page.
    fn first_line(&self) -> Option<String> {
        let media_type = self.text("content-type").unwrap_or("text/plain");
        let media_type = media_type.to_ascii_lowercase();
        let page = media_type.contains("html");
        if page || !(media_type.starts_with("text/") || media_type.contains("json")) {
            return None;
        }
        let body = String::from_utf8_lossy(&self.body);
        let line = body.lines().map(str::trim).find(|line| !line.is_empty())?;
        (!line.starts_with('<')).then(|| shown(line))
    }
}

impl fmt::Display for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        if let Some(phrase) = phrase(self.status) {
            write!(f, " {phrase}")?;
        }
        if let Some(advice) = self.advice() {
            write!(f, ", {advice}")?;
        }
        if let Some(line) = self.first_line() {
            write!(f, ": {line}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for HttpResponse {
    /// Without the values of headers, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers().map(|(name, _value)| name).collect();
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .field("body_complete", &self.body_complete)
            .finish_non_exhaustive()
    }
}

impl Error for HttpResponse {}

/// Text of the peer, for an error: bounded, on one line, without characters that a terminal obeys.
pub(crate) fn shown(text: &str) -> String {
    let harmless = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut out: String = text.chars().map(harmless).take(SHOWN_CHARS_MAX).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}

const SHOWN_CHARS_MAX: usize = 200;

/// RFC 9110 section 15, of the statuses that refusals have.
fn phrase(status: u16) -> Option<&'static str> {
    Some(match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return None,
    })
}
