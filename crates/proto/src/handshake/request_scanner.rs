//! [`RequestScanner`]: the first bytes of a request, looked at as they come.
//!
//! In: a growing buffer. Out: where the request's head lies in it, or, as soon as it can be told, that this is no HTTP
//! request, and what it is instead. A client that speaks something else waits for a greeting or for its own handshake:
//! without an answer it would wait until its deadline.

use std::{fmt, ops::Range};

use super::{HeadError, HeadLimits, HeadScanner};

/// A protocol that a client speaks instead of HTTP/1, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientProtocol {
    /// TLS: the first bytes are a handshake record, or the hello of SSL 2.
    Tls,
    /// HTTP/2 with prior knowledge (RFC 9113 section 3.4).
    Http2,
    /// A header of the PROXY protocol, version 1 or 2.
    ProxyHeader,
    /// SSH (RFC 4253 section 4.2).
    Ssh,
    /// Something else.
    Unknown,
}

impl fmt::Display for ClientProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => {
                "a TLS handshake; there is no TLS at this address: http:// and ws:// instead of https:// and wss://"
            }
            Self::Http2 => "HTTP/2 with prior knowledge, which is not spoken at this address",
            Self::ProxyHeader => {
                "a PROXY protocol header, which this server was not told to expect from that address"
            }
            Self::Ssh => "an SSH client",
            Self::Unknown => "something else",
        })
    }
}

/// Finds the head of a request in a growing buffer, as [`HeadScanner`] does, and judges the request line byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestScanner {
    part: Part,
    /// Bytes judged.
    judged: usize,
    /// Where the request line begins.
    start: usize,
    end: HeadScanner,
}

/// The part of the request line that the next byte belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum Part {
    #[default]
    EmptyLines,
    Method,
    Target,
    /// So many bytes of [`VERSION`] were there.
    Version(usize),
    /// In the rest of that line, or in a field. A line that ends otherwise than by CR LF is malformed, and its client
    /// may never send what would end the head.
    Line,
    /// Expects the line feed.
    LineEnd,
    /// At the beginning of a field, or of the empty line.
    NextLine,
    /// Expects the line feed of the empty line.
    LastEnd,
    /// Behind the head: a body, or the next request.
    Ended,
    Malformed,
}

/// No registered method is longer than half of this.
const METHOD_LEN_MAX: usize = 40;

/// Bytes of empty lines in front of a request that are passed over. RFC 9112 section 2.2 asks for one line; old
/// clients send one more behind a body.
const EMPTY_LINES_LEN_MAX: usize = 4;

const VERSION: &[u8] = b"HTTP/";

/// The first bytes of an HTTP/2 client, up to where a head would end.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

impl RequestScanner {
    /// Where the head lies, empty line included, once `buffer` holds all of it. `buffer` must be what it was before,
    /// with more at its end. In front of the head may be empty lines.
    ///
    /// # Errors
    /// [`HeadError::NotHttp`] as soon as the bytes cannot be the beginning of a request, and [`HeadError::TooLarge`]
    /// as soon as the limit is passed.
    pub fn scan(
        &mut self,
        buffer: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<Range<usize>>, HeadError> {
        for byte in buffer.get(self.judged..).unwrap_or_default() {
            let next = self.judge(*byte);
            let Some(next) = next else {
                return Err(HeadError::NotHttp(recognise(buffer)));
            };
            self.part = next;
            self.judged = self.judged.saturating_add(1);
            if matches!(next, Part::EmptyLines) {
                self.start = self.judged;
            } else if matches!(next, Part::Malformed) {
                return Err(HeadError::Malformed);
            } else if matches!(next, Part::Ended) {
                break;
            }
        }
        let request = buffer.get(self.start..).unwrap_or_default();
        let Some(len) = self.end.scan(request, limits)? else {
            return Ok(None);
        };
        if request.starts_with(PREFACE) {
            return Err(HeadError::NotHttp(ClientProtocol::Http2));
        }
        Ok(Some(self.start..self.start.saturating_add(len)))
    }

    /// The part that follows a byte; `None` when no request has that byte there.
    fn judge(&self, byte: u8) -> Option<Part> {
        let len = self.judged.saturating_sub(self.start);
        match self.part {
            Part::EmptyLines if byte == b'\r' || byte == b'\n' => {
                // A line feed alone ends no line.
                let expected = if self.judged.is_multiple_of(2) {
                    b'\r'
                } else {
                    b'\n'
                };
                (byte == expected && self.judged < EMPTY_LINES_LEN_MAX).then_some(Part::EmptyLines)
            }
            Part::EmptyLines => {
                (self.judged.is_multiple_of(2) && is_token_byte(byte)).then_some(Part::Method)
            }
            Part::Method if byte == b' ' => Some(Part::Target),
            Part::Method => (len < METHOD_LEN_MAX && is_token_byte(byte)).then_some(Part::Method),
            Part::Target if byte == b' ' => Some(Part::Version(0)),
            Part::Target => (byte > b' ' && byte != 0x7f).then_some(Part::Target),
            Part::Version(count) if count == VERSION.len() => Some(Part::Line),
            Part::Version(count) => (VERSION.get(count) == Some(&byte))
                .then_some(Part::Version(count.saturating_add(1))),
            Part::Line | Part::NextLine => Some(match (self.part, byte) {
                (Part::NextLine, b'\r') => Part::LastEnd,
                (_, b'\r') => Part::LineEnd,
                (_, b'\n') => Part::Malformed,
                _ => Part::Line,
            }),
            Part::LineEnd | Part::LastEnd if byte != b'\n' => Some(Part::Malformed),
            Part::LineEnd => Some(Part::NextLine),
            Part::LastEnd => Some(Part::Ended),
            Part::Ended | Part::Malformed => Some(self.part),
        }
    }
}

/// Recognises protocols by the beginning of a stream.
fn recognise(bytes: &[u8]) -> ClientProtocol {
    let is_ssl2_hello =
        bytes.first().is_some_and(|byte| byte & 0x80 != 0) && bytes.get(2..4) == Some(&[1, 3]);
    if bytes.first() == Some(&0x16) || is_ssl2_hello {
        ClientProtocol::Tls
    } else if bytes.starts_with(b"PROXY ") || bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        ClientProtocol::ProxyHeader
    } else if bytes.starts_with(b"SSH-") {
        ClientProtocol::Ssh
    } else {
        ClientProtocol::Unknown
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8], step: usize) -> Result<Option<Range<usize>>, HeadError> {
        let mut scanner = RequestScanner::default();
        let mut len = 0;
        loop {
            len = bytes.len().min(len + step);
            let found = scanner.scan(&bytes[..len], HeadLimits::default())?;
            if found.is_some() || len == bytes.len() {
                return Ok(found);
            }
        }
    }

    #[test]
    fn a_head_is_found_behind_empty_lines_in_any_cut() {
        for before in ["", "\r\n", "\r\n\r\n"] {
            let request = format!("{before}GET / HTTP/1.1\r\nHost: a\r\n\r\nmore");
            let expected = before.len()..request.len() - 4;
            for step in 1..=request.len() {
                let found = scan(request.as_bytes(), step);
                assert_eq!(found, Ok(Some(expected.clone())), "{before:?} {step}");
            }
        }
    }

    /// Other methods, targets and a target that is empty are requests too.
    #[test]
    fn what_may_become_a_request_is_waited_for() {
        for beginning in [
            "",
            "\r",
            "\r\n",
            "G",
            "GET",
            "GET ",
            "GET  HTTP/1.1",
            "UPDATEREDIRECTREF /a",
            "OPTIONS * H",
            "GET http://a:1/b?c HTTP/",
            "GET /\u{e4} HTTP/1.0",
            "M-SEARCH * HTTP/1.1\r\nHost: a\r\n",
        ] {
            for step in [1, 100] {
                assert_eq!(scan(beginning.as_bytes(), step), Ok(None), "{beginning:?}");
            }
        }
    }

    #[test]
    fn what_is_no_request_is_known_from_its_first_bytes() {
        use ClientProtocol::{Http2, ProxyHeader, Ssh, Tls, Unknown};
        let long = "A".repeat(METHOD_LEN_MAX + 1);
        let cases: &[(&[u8], ClientProtocol)] = &[
            (b"\x16", Tls),
            (b"\x16\x03\x01\x02\x00\x01", Tls),
            (b"\x80\x2e\x01\x03\x01", Tls),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Ssh),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Http2),
            (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", ProxyHeader),
            (b"PROXY UNKNOWN\r\n", ProxyHeader),
            (b"\r\n\r\n\0\r\nQUIT\n\x21", ProxyHeader),
            (b"EHLO mail.example\r\n", Unknown),
            (b"*1\r\n$4\r\nPING\r\n", Unknown),
            (b"GET /\r\n", Unknown),
            (b"GET / HTP/1.1", Unknown),
            (b"OPTIONS rtsp://a/b RTSP/1.0\r\n", Unknown),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Unknown),
            (b"\x10\x0c\0\x04MQTT", Unknown),
            (b"AMQP\0\0\x09\x01", Unknown),
            (b"\n", Unknown),
            (b"\r\r", Unknown),
            (b"\rG", Unknown),
            (b"\r\n\r\n\r\n", Unknown),
            (b" GET / HTTP/1.1", Unknown),
            (b"G\xc3\xa9T / HTTP/1.1", Unknown),
            (b"GET /\t HTTP/1.1", Unknown),
            (long.as_bytes(), Unknown),
        ];
        for (bytes, expected) in cases {
            let found = scan(bytes, 100);
            assert_eq!(found, Err(HeadError::NotHttp(*expected)), "{bytes:?}");
        }
    }

    /// The end of such a head may never come.
    #[test]
    fn a_line_that_ends_otherwise_is_malformed_at_once() {
        for beginning in [
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\rH",
            "GET / HTTP/1.1\r\nHost: a\n",
            "GET / HTTP/1.1\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\rX",
        ] {
            for step in [1, 100] {
                let found = scan(beginning.as_bytes(), step);
                assert_eq!(found, Err(HeadError::Malformed), "{beginning:?}");
            }
        }
    }

    #[test]
    fn a_head_above_the_limit_is_refused_before_its_end() {
        let limits = HeadLimits {
            bytes_max: 50,
            fields_max: 2,
        };
        let request = format!("\r\nGET / HTTP/1.1\r\nX: {}", "a".repeat(40));
        let found = RequestScanner::default().scan(request.as_bytes(), limits);
        assert!(
            matches!(found, Err(HeadError::TooLarge { .. })),
            "{found:?}"
        );
    }
}
