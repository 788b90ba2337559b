//! The body of an HTTP/1.1 answer to a handshake (RFC 9112 section 6), up to a limit.
//!
//! In: what came behind the head, in any cut. Out: the body's first bytes, and how it ended. Invariant: no
//! more is kept than the limit, whatever lengths the peer announces, or how it cuts its chunks.

use bytes::Bytes;

use super::ResponseHead;

/// Puts a body together.
///
/// Give it bytes until they are [taken no more](Self::is_over), then take the [body](Self::finish).
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    body: Vec<u8>,
    body_bytes_max: usize,
    /// The beginning of a line of the chunked coding.
    line: Vec<u8>,
    /// Bytes of such lines altogether.
    overhead: usize,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyEnd {
    /// All of it is there.
    Complete,
    /// It goes on above the limit.
    TooLarge,
    /// The connection or the time ended before the body did.
    Cut,
    /// Its length or its chunks break the rules.
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes follow.
    Length(u64),
    /// To the end of the connection.
    UntilEnd,
    /// The line with a chunk's size follows.
    ChunkSize,
    /// So many bytes of a chunk follow.
    Chunk(u64),
    /// The line end behind a chunk follows.
    ChunkEnd,
    /// Lines up to an empty one follow.
    Trailers,
    Over(BodyEnd),
}

impl BodyReader {
    /// For the body that follows `head`; of it at most `body_bytes_max` bytes are kept.
    pub fn new(head: &ResponseHead, body_bytes_max: usize) -> Self {
        Self {
            state: framing(head),
            body: Vec::new(),
            body_bytes_max,
            line: Vec::new(),
            overhead: 0,
        }
    }

    /// Takes what was received.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_over() {
            bytes = match self.state {
                State::Length(left) => self.data(bytes, left, State::Length),
                State::UntilEnd => self.data(bytes, u64::MAX, |_left| State::UntilEnd),
                State::Chunk(left) => self.data(bytes, left, State::Chunk),
                State::ChunkSize | State::ChunkEnd | State::Trailers => self.line(bytes),
                State::Over(_) => return,
            };
        }
    }

    /// The connection has ended.
    pub fn handle_end(&mut self) {
        match self.state {
            State::UntilEnd => self.state = State::Over(BodyEnd::Complete),
            State::Length(_)
            | State::ChunkSize
            | State::Chunk(_)
            | State::ChunkEnd
            | State::Trailers => self.state = State::Over(BodyEnd::Cut),
            State::Over(_) => {}
        }
    }

    /// Returns whether nothing more is taken.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// The body as far as it came, and how it ended: [`BodyEnd::Cut`] before its end.
    pub fn finish(self) -> (Bytes, BodyEnd) {
        let end = match self.state {
            State::Over(end) => end,
            State::Length(_)
            | State::UntilEnd
            | State::ChunkSize
            | State::Chunk(_)
            | State::ChunkEnd
            | State::Trailers => BodyEnd::Cut,
        };
        (Bytes::from(self.body), end)
    }

    /// Keeps bytes of the body, of which `left` are to come; gives what lies behind them.
    fn data<'a>(&mut self, bytes: &'a [u8], left: u64, goes_on: fn(u64) -> State) -> &'a [u8] {
        let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (data, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        let room = self.body_bytes_max.saturating_sub(self.body.len());
        self.body.extend(data.iter().take(room));
        self.state = match left.saturating_sub(count as u64) {
            _ if data.len() > room => State::Over(BodyEnd::TooLarge),
            0 if matches!(self.state, State::Chunk(_)) => State::ChunkEnd,
            0 => State::Over(BodyEnd::Complete),
            left => goes_on(left),
        };
        rest
    }

    /// Reads on in a line of the chunked coding; gives what lies behind it.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(bytes.len(), |end| end.saturating_add(1));
        let (part, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        self.line.extend_from_slice(part);
        self.overhead = self.overhead.saturating_add(part.len());
        // Chunks of a byte each would make a small body of endless lines.
        let overhead_max = self.body_bytes_max.saturating_add(OVERHEAD_BYTES_MAX);
        if self.line.len() > LINE_BYTES_MAX || self.overhead > overhead_max {
            self.state = State::Over(BodyEnd::Malformed);
        } else if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.state = self.after_line(&line);
        }
        rest
    }

    fn after_line(&self, line: &[u8]) -> State {
        let Some(text) = line.strip_suffix(b"\r\n") else {
            return State::Over(BodyEnd::Malformed);
        };
        match self.state {
            State::ChunkEnd if text.is_empty() => State::ChunkSize,
            // The parser takes a line without digits for a size of 0.
            State::ChunkSize if !text.first().is_some_and(u8::is_ascii_hexdigit) => {
                State::Over(BodyEnd::Malformed)
            }
            State::ChunkSize => match httparse::parse_chunk_size(line) {
                Ok(httparse::Status::Complete((_, 0))) => State::Trailers,
                Ok(httparse::Status::Complete((_, size))) => State::Chunk(size),
                Ok(httparse::Status::Partial) | Err(_) => State::Over(BodyEnd::Malformed),
            },
            State::Trailers if text.is_empty() => State::Over(BodyEnd::Complete),
            State::Trailers => State::Trailers,
            State::ChunkEnd
            | State::Length(_)
            | State::UntilEnd
            | State::Chunk(_)
            | State::Over(_) => State::Over(BodyEnd::Malformed),
        }
    }
}

/// RFC 9112 section 6.3, for an answer to GET.
fn framing(head: &ResponseHead) -> State {
    if matches!(head.status(), 100..200 | 204 | 304) {
        return State::Over(BodyEnd::Complete);
    }
    let mut codings = head.values("transfer-encoding").peekable();
    if codings.peek().is_some() {
        let last = codings.last().unwrap_or_default();
        let last = last.rsplit(|byte| *byte == b',').next().unwrap_or_default();
        let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        // An HTTP/1.0 server cannot know the coding (section 6.1).
        return if is_chunked && head.minor_version() > 0 {
            State::ChunkSize
        } else {
            State::UntilEnd
        };
    }
    let mut lengths = head
        .values("content-length")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let Some(length) = lengths.next() else {
        return State::UntilEnd;
    };
    if lengths.any(|other| other != length) {
        return State::Over(BodyEnd::Malformed);
    }
    let digits = length.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(length).ok().filter(|_text| digits);
    match number.and_then(|text| text.parse().ok()) {
        Some(0) => State::Over(BodyEnd::Complete),
        Some(length) => State::Length(length),
        None => State::Over(BodyEnd::Malformed),
    }
}

/// Longest line of the chunked coding.
const LINE_BYTES_MAX: usize = 1024;

/// Most bytes in lines of the chunked coding, besides as many as the body may have.
const OVERHEAD_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::HeadLimits;

    const MAX: usize = 16;

    fn head(version: &str, status: u16, fields: &str) -> ResponseHead {
        let head = format!("HTTP/{version} {status} X\r\n{fields}\r\n");
        ResponseHead::parse(Bytes::from(head), HeadLimits::default()).unwrap()
    }

    /// Reads `bytes` whole and byte by byte, with the end of the connection behind them, and expects the
    /// same of both.
    fn read(head: &ResponseHead, bytes: &[u8]) -> (Bytes, BodyEnd) {
        let read = |size: usize| {
            let mut reader = BodyReader::new(head, MAX);
            for part in bytes.chunks(size) {
                reader.handle_bytes(part);
            }
            reader.handle_end();
            assert!(reader.is_over());
            reader.finish()
        };
        let whole = read(bytes.len().max(1));
        assert_eq!(read(1), whole, "byte by byte");
        whole
    }

    fn check(head: &ResponseHead, bytes: &str, body: &str, end: BodyEnd) {
        let read = read(head, bytes.as_bytes());
        assert_eq!(read, (Bytes::from(body.to_owned()), end), "{bytes:?}");
    }

    #[test]
    fn bodies_of_a_known_length_end_there() {
        let five = head("1.1", 401, "Content-Length: 5\r\n");
        check(&five, "hello", "hello", BodyEnd::Complete);
        check(&five, "hello, more", "hello", BodyEnd::Complete);
        check(&five, "hell", "hell", BodyEnd::Cut);
        check(
            &head("1.1", 401, "Content-Length: 0\r\n"),
            "x",
            "",
            BodyEnd::Complete,
        );
        let twice = head("1.1", 401, "Content-Length: 5\r\ncontent-length: 5, 5\r\n");
        check(&twice, "hello", "hello", BodyEnd::Complete);
        let exactly = head("1.1", 401, "Content-Length: 16\r\n");
        check(
            &exactly,
            "0123456789abcdef",
            "0123456789abcdef",
            BodyEnd::Complete,
        );
        for length in ["17", "1000000000000000", "18446744073709551615"] {
            let long = head("1.1", 401, &format!("Content-Length: {length}\r\n"));
            check(
                &long,
                "0123456789abcdefg",
                "0123456789abcdef",
                BodyEnd::TooLarge,
            );
        }
        for field in ["-1", "5, 6", "0x5", "5 5", "18446744073709551616", ""] {
            let wrong = head("1.1", 401, &format!("Content-Length: {field}\r\n"));
            check(&wrong, "hello", "", BodyEnd::Malformed);
        }
    }

    #[test]
    fn bodies_without_a_length_end_with_the_connection() {
        for head in [
            head("1.0", 404, ""),
            head("1.1", 404, "Connection: close\r\n"),
            head("1.1", 404, "Transfer-Encoding: gzip\r\n"),
            head("1.0", 404, "Transfer-Encoding: chunked\r\n"),
        ] {
            check(&head, "5\r\nhello", "5\r\nhello", BodyEnd::Complete);
            check(&head, "", "", BodyEnd::Complete);
            check(
                &head,
                "0123456789abcdefg",
                "0123456789abcdef",
                BodyEnd::TooLarge,
            );
        }
        for status in [204, 304] {
            check(&head("1.1", status, ""), "x", "", BodyEnd::Complete);
        }
    }

    #[test]
    fn chunks_are_put_together() {
        for fields in [
            "Transfer-Encoding: chunked\r\n",
            "transfer-encoding: gzip , Chunked\r\nContent-Length: 3\r\n",
        ] {
            let chunked = head("1.1", 503, fields);
            for (bytes, body, end) in [
                ("5\r\nhello\r\n0\r\n\r\n", "hello", BodyEnd::Complete),
                ("0\r\n\r\n", "", BodyEnd::Complete),
                (
                    "3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nT: x\r\n\r\nmore",
                    "hello",
                    BodyEnd::Complete,
                ),
                ("A\r\n0123456789\r\na\r\n", "0123456789", BodyEnd::Cut),
                (
                    "10\r\n0123456789abcdef\r\n1\r\ng",
                    "0123456789abcdef",
                    BodyEnd::TooLarge,
                ),
                (
                    "ffffffffffffffff\r\n0123456789abcdefg",
                    "0123456789abcdef",
                    BodyEnd::TooLarge,
                ),
                ("5\r\nhel", "hel", BodyEnd::Cut),
                ("5\r\nhello", "hello", BodyEnd::Cut),
                ("5\r\nhello\r\n0\r\n", "hello", BodyEnd::Cut),
                ("5\r\nhelloX\r\n", "hello", BodyEnd::Malformed),
                ("5\nhello\n0\n\n", "", BodyEnd::Malformed),
                ("x\r\n", "", BodyEnd::Malformed),
                ("\r\n", "", BodyEnd::Malformed),
                ("10000000000000000\r\n", "", BodyEnd::Malformed),
            ] {
                check(&chunked, bytes, body, end);
            }
        }
    }

    #[test]
    fn endless_lines_of_the_chunked_coding_are_given_up() {
        let chunked = head("1.1", 503, "Transfer-Encoding: chunked\r\n");
        let extension = format!("1;{}", "x".repeat(LINE_BYTES_MAX));
        check(&chunked, &extension, "", BodyEnd::Malformed);
        let trailers = format!("0\r\n{}", "T: x\r\n".repeat(OVERHEAD_BYTES_MAX));
        check(&chunked, &trailers, "", BodyEnd::Malformed);
    }
}
