//! Heads of HTTP/1 answers (RFC 9112), as servers of every age send them.
//!
//! In: the bytes of a head, found by [`HeadScanner`](super::HeadScanner::scan_answer). Out: status and fields. Invariant:
//! what opens a WebSocket is read strictly, what refuses one is read as far as it can be understood.

use bytes::Bytes;
use httparse::ParserConfig;

use super::{
    HeadError, HeadLimits,
    head::{Field, FieldStorage, fields, fields_in, has_bare_line_end, has_token, too_large},
};

/// A response head.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    bytes: Bytes,
    minor_version: u8,
    status: u16,
    fields: Vec<Field>,
}

impl ResponseHead {
    /// Reads a whole head as found by [`HeadScanner`](super::HeadScanner).
    ///
    /// A 101 must be as the RFC says. Of another answer somebody shall learn what it says, so what old servers send
    /// is understood: HTTP/1.0, no reason phrase, line feeds alone, folded lines (which become one, RFC 9112
    /// section 5.2), blanks before a colon; a line that is no field is passed over. It is safe because nothing on the
    /// connection follows such an answer.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn parse(bytes: Bytes, limits: HeadLimits) -> Result<Self, HeadError> {
        Self::parse_unless_strict(bytes, limits, |status| status == 101)
    }

    /// The same for the answer to a CONNECT: behind a 2xx the tunnel begins, so that one must keep every rule.
    pub(crate) fn parse_of_connect(bytes: Bytes, limits: HeadLimits) -> Result<Self, HeadError> {
        Self::parse_unless_strict(bytes, limits, |status| (200..300).contains(&status))
    }

    /// Understands what breaks rules, but not if something follows on the connection.
    fn parse_unless_strict(
        bytes: Bytes,
        limits: HeadLimits,
        goes_on: impl Fn(u16) -> bool,
    ) -> Result<Self, HeadError> {
        let strict = Self::parse_as(&ParserConfig::default(), bytes.clone(), limits);
        let (head, is_strict) = match strict {
            Err(HeadError::Malformed) => {
                (Self::parse_as(&tolerant(), unfolded(bytes), limits)?, false)
            }
            strict => (strict?, true),
        };
        if goes_on(head.status) && (!is_strict || has_bare_line_end(&head.bytes)) {
            return Err(HeadError::Malformed);
        }
        Ok(head)
    }

    fn parse_as(
        config: &ParserConfig,
        bytes: Bytes,
        limits: HeadLimits,
    ) -> Result<Self, HeadError> {
        let mut storage = FieldStorage::new(limits);
        let mut response = httparse::Response::new(storage.fields());
        match config.parse_response(&mut response, &bytes) {
            Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(too_large(limits)),
            Ok(_) | Err(_) => return Err(HeadError::Malformed),
        }
        let (Some(status), Some(minor_version)) = (response.code, response.version) else {
            return Err(HeadError::Malformed);
        };
        let fields = fields_in(&bytes, response.headers);
        Ok(Self {
            bytes,
            minor_version,
            status,
            fields,
        })
    }

    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// All header fields in order, names as sent.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        fields(&self.bytes, &self.fields)
    }

    /// The values of all fields with this name, any case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns whether the comma-separated list in the fields `name` holds `token`, any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name).any(|value| has_token(value, token))
    }
}

/// The settings of the parser for an answer that opens nothing.
fn tolerant() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true);
    config
}

/// Returns the head with each folded line as part of the line before, which is as long as it was.
fn unfolded(head: Bytes) -> Bytes {
    let mut head = Vec::from(head);
    for at in 0..head.len() {
        let folds = matches!(head.get(at.saturating_add(1)), Some(b' ' | b'\t'));
        if head.get(at) != Some(&b'\n') || !folds {
            continue;
        }
        let begin = match at.checked_sub(1) {
            Some(before) if head.get(before) == Some(&b'\r') => before,
            Some(_) | None => at,
        };
        if let Some(line_end) = head.get_mut(begin..=at) {
            line_end.fill(b' ');
        }
    }
    Bytes::from(head)
}

#[cfg(test)]
mod tests {
    //! Answers of other servers than those of the RFC. Of their kind there are also: a number that is no status, a
    //! version that is none, a head without end, fields without colon.

    use super::*;
    use crate::handshake::HeadScanner;

    /// Status, minor version, and the fields as `name=value`.
    fn read(answer: &str) -> Result<(u16, u8, Vec<String>), HeadError> {
        let limits = HeadLimits::default();
        let mut found = None;
        let mut scanner = HeadScanner::default();
        for len in 0..=answer.len() {
            found = scanner.scan_answer(&answer.as_bytes()[..len], limits)?;
            if found.is_some() {
                break;
            }
        }
        let whole = HeadScanner::default().scan_answer(answer.as_bytes(), limits)?;
        assert_eq!(found, whole, "{answer:?}");
        let len = found.ok_or(HeadError::Malformed)?;
        let bytes = Bytes::from(answer.as_bytes()[..len].to_vec());
        let head = ResponseHead::parse(bytes, limits)?;
        let fields = head.fields();
        let fields = fields.map(|(name, value)| format!("{name}={}", value.escape_ascii()));
        Ok((head.status(), head.minor_version(), fields.collect()))
    }

    #[test]
    fn answers_of_old_servers_are_understood() {
        for (answer, status, minor, fields) in [
            ("HTTP/1.0 404 Not Found\r\n\r\n", 404, 0, &[][..]),
            ("HTTP/1.0 404\r\nA: 1\r\n\r\nbody", 404, 0, &["A=1"]),
            ("HTTP/1.1 404 \r\nA: 1\r\n\r\n", 404, 1, &["A=1"]),
            ("HTTP/1.1  404  Not Found\r\nA: 1\r\n\r\n", 404, 1, &["A=1"]),
            (
                "HTTP/1.1 404 Not Found\nA: 1\n\nbody\r\n\r\n",
                404,
                1,
                &["A=1"],
            ),
            ("HTTP/1.1 404 Not Found\r\nA: 1\n\r\nbody", 404, 1, &["A=1"]),
            (
                "HTTP/1.1 401 Who\r\nA: 1,\r\n\t2\r\n  3\r\nB: 4\r\n\r\n",
                401,
                1,
                &["A=1,  \\t2    3", "B=4"],
            ),
            ("HTTP/1.1 403 No\nA: 1\n 2\n\n", 403, 1, &["A=1  2"]),
            ("HTTP/1.1 403 No\r\nA : 1\r\n\r\n", 403, 1, &["A=1"]),
            (
                "HTTP/1.1 403 No\r\nno field\r\nA: 1\r\n\r\n",
                403,
                1,
                &["A=1"],
            ),
            (
                "HTTP/1.1 403 N\u{e9}in\r\nA: \u{e9}\r\n\r\n",
                403,
                1,
                &["A=\\xc3\\xa9"],
            ),
            ("HTTP/1.1 999 Else\r\n\r\n", 999, 1, &[]),
        ] {
            let fields = fields.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(read(answer), Ok((status, minor, fields)), "{answer:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_at_once() {
        for answer in [
            "SSH-2.0-OpenSSH_9.6\r\n",
            "\n\n",
            "HTTP/2.0 400 Bad\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 40\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "http/1.1 404 Not Found\r\n\r\n",
            "\u{15}\u{3}\u{1}",
        ] {
            assert_eq!(read(answer), Err(HeadError::Malformed), "{answer:?}");
        }
        // A byte says it.
        let mut scanner = HeadScanner::default();
        let told = scanner.scan_answer(b"S", HeadLimits::default());
        assert_eq!(told, Err(HeadError::Malformed));
    }

    #[test]
    fn what_opens_a_websocket_is_read_strictly() {
        for answer in [
            "HTTP/1.1 101 S\nUpgrade: websocket\n\n",
            "HTTP/1.1 101 S\r\nUpgrade: websocket\n\r\n",
            "HTTP/1.1 101 S\r\nUpgrade: web\r\n socket\r\n\r\n",
            "HTTP/1.1 101 S\r\nUpgrade : websocket\r\n\r\n",
            "HTTP/1.1 101 S\r\nno field\r\n\r\n",
            "HTTP/1.1  101 S\r\n\r\n",
        ] {
            assert_eq!(read(answer), Err(HeadError::Malformed), "{answer:?}");
        }
    }

    #[test]
    fn more_fields_than_on_the_stack_are_found_when_the_limits_allow() {
        let limits = HeadLimits {
            bytes_max: 64 << 10,
            fields_max: 300,
        };
        let head = |count: usize| {
            let answer = format!("HTTP/1.1 400 No\r\n{}\r\n", "A: 1\r\n".repeat(count));
            ResponseHead::parse(answer.into(), limits).map(|head| head.fields().count())
        };
        assert_eq!(head(300), Ok(300));
        assert_eq!(head(301), Err(too_large(limits)));
    }
}
