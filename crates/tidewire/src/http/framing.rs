//! Where each request of an HTTP/1 connection begins and ends (RFC 9112), strictly.
//!
//! In: the bytes of a client, in any cuts. Out: how many of them belong to the request under way, or why its head is
//! refused. Invariants: no head is passed on that is not whole, within the limits and beyond doubt; nothing is read
//! two ways: what a proxy in front could take for another request ends the connection.

use bytes::Bytes;
use tidewire_proto::handshake::{HeadError, HeadLimits, Refusal, RequestHead, RequestScanner};

use super::{chunked::Chunked, host};

/// Follows the requests of a connection.
#[derive(Debug)]
pub(super) struct Framing {
    limits: HeadLimits,
    /// Requests of HTTP/1.1 may lack `Host`.
    may_lack_host: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(RequestScanner),
    /// So many bytes of the body are to come.
    Length(u64),
    Chunked(Chunked),
}

/// A finding about the next bytes.
#[derive(Debug)]
pub(super) enum Step {
    /// A head, to be passed on in this form; so many bytes were its own.
    Head { head: RequestHead, len: usize },
    /// So many bytes of a body, at least one.
    Body(usize),
    /// Not known before more of them have come.
    More,
}

/// Why nothing more is passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FramingError {
    /// A head is refused, and nothing of that request was passed on.
    Head(Refusal),
    /// A chunked body is malformed in its middle.
    Body,
}

impl Framing {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            may_lack_host: false,
            state: State::Head(RequestScanner::default()),
        }
    }

    /// Takes requests of HTTP/1.1 without `Host`, or not.
    pub(super) fn may_lack_host(mut self, may_lack_host: bool) -> Self {
        self.may_lack_host = may_lack_host;
        self
    }

    /// Returns whether a body is under way.
    pub(super) fn is_in_body(&self) -> bool {
        !matches!(self.state, State::Head(_))
    }

    /// Judges the beginning of `input`: the bytes that came, without those that an earlier step has told.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<Step, FramingError> {
        match &mut self.state {
            State::Head(scanner) => {
                let found = scanner.scan(input, self.limits);
                let Some(range) = found.map_err(refused)? else {
                    return Ok(Step::More);
                };
                let len = range.end;
                let bytes = Bytes::copy_from_slice(input.get(range).unwrap_or_default());
                let head = RequestHead::parse(bytes, self.limits).map_err(refused)?;
                let may_lack_host = self.may_lack_host || head.minor_version() == 0;
                host::check(head.values("host"), head.target_authority(), may_lack_host)
                    .map_err(FramingError::Head)?;
                self.state = body(&head, self.limits).map_err(FramingError::Head)?;
                Ok(Step::Head { head, len })
            }
            _ if input.is_empty() => Ok(Step::More),
            State::Length(left) => {
                let len = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= len as u64;
                if *left == 0 {
                    self.next_request();
                }
                Ok(Step::Body(len))
            }
            State::Chunked(chunked) => {
                let (len, is_over) = chunked.advance(input).map_err(|_| FramingError::Body)?;
                if is_over {
                    self.next_request();
                }
                Ok(Step::Body(len))
            }
        }
    }

    fn next_request(&mut self) {
        self.state = State::Head(RequestScanner::default());
    }
}

fn refused(error: HeadError) -> FramingError {
    FramingError::Head(error.into())
}

/// Returns the state behind a head; refuses heads that others may read differently.
fn body(head: &RequestHead, limits: HeadLimits) -> Result<State, Refusal> {
    let mut codings = head.values("transfer-encoding");
    let lengths = head.values("content-length").count();
    if let Some(coding) = codings.next() {
        //= rfc9112#6.1: with both fields, and in HTTP/1.0, the framing is in doubt
        if lengths > 0 || head.minor_version() == 0 {
            let expected = "expected either Content-Length or, in HTTP/1.1, Transfer-Encoding";
            return Err(Refusal::new(400, expected));
        }
        if codings.next().is_some() || !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::new(
                501,
                "expected no Transfer-Encoding but chunked",
            ));
        }
        return Ok(State::Chunked(Chunked::new(
            head_limit(head),
            limits.fields_max,
        )));
    }
    match head.single("content-length") {
        None if lengths == 0 => Ok(State::Head(RequestScanner::default())),
        Some(digits) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            match length(digits) {
                None => Err(Refusal::new(413, "the body is too large")),
                Some(0) => Ok(State::Head(RequestScanner::default())),
                Some(length) => Ok(State::Length(length)),
            }
        }
        _ => Err(Refusal::new(400, "expected one Content-Length, in digits")),
    }
}

/// `None`: larger than anything that will ever be sent.
fn length(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let length: u64 = digits.parse().ok()?;
    i64::try_from(length).ok().map(|_| length)
}

/// Bytes of trailer fields: as many as the head may still have used.
fn head_limit(head: &RequestHead) -> usize {
    head.as_bytes().len().max(TRAILERS_BYTES_MIN)
}

const TRAILERS_BYTES_MIN: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes_max: 1000,
        fields_max: 16,
    };

    /// The heads of `input` with the lengths of their bodies as they were sent, and how it ends.
    fn requests(input: &[u8], step: usize) -> (Vec<(String, usize)>, Result<(), FramingError>) {
        let mut framing = Framing::new(LIMITS);
        let mut requests: Vec<(String, usize)> = Vec::new();
        let (mut from, mut to) = (0, 0);
        loop {
            match framing.step(&input[from..to]) {
                Ok(Step::Head { head, len }) => {
                    let head = String::from_utf8(head.as_bytes().to_vec()).unwrap();
                    let line = head.lines().next().unwrap_or_default();
                    requests.push((line.to_owned(), 0));
                    from += len;
                }
                Ok(Step::Body(len)) => {
                    requests.last_mut().unwrap().1 += len;
                    from += len;
                }
                Ok(Step::More) if to == input.len() => return (requests, Ok(())),
                Ok(Step::More) => to = input.len().min(to + step),
                Err(error) => return (requests, Err(error)),
            }
        }
    }

    #[test]
    fn requests_with_every_kind_of_body_follow_each_other_in_any_cut() {
        let input = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
            POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n\
            POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n\
            5;a=b\r\nhello\r\n0\r\nTrailer: x\r\n\r\n\
            GET /4 HTTP/1.0\r\n\r\n\
            POST /5 HTTP/1.1\r\nHost:\r\nContent-Length: 000\r\n\r\n\
            GET  HTTP/1.1\r\nHost: [::1]:8092\r\nContent-Length: 3\r\n\r\nGET\
            GET http://a/7 HTTP/1.1\r\nHost: A\r\n\r\n";
        let expected = [
            ("GET /1 HTTP/1.1", 0),
            ("POST /2 HTTP/1.1", 5),
            ("POST /3 HTTP/1.1", 31),
            ("GET /4 HTTP/1.0", 0),
            ("POST /5 HTTP/1.1", 0),
            ("GET / HTTP/1.1", 3),
            ("GET http://a/7 HTTP/1.1", 0),
        ];
        for step in 1..=input.len() {
            let (found, end) = requests(input, step);
            assert_eq!(end, Ok(()), "{step}");
            let found: Vec<_> = found
                .iter()
                .map(|(line, len)| (line.as_str(), *len))
                .collect();
            assert_eq!(found, expected, "{step}");
        }
    }

    /// Each is refused as the first request of a connection and as a later one.
    #[test]
    fn a_head_that_others_may_read_differently_is_refused_wherever_it_comes() {
        let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        let large = format!("X: {}", "a".repeat(1000));
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\nHost: a\n\n\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n".to_owned(), 400),
            (
                "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(),
                400,
            ),
            ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 400),
            ("nonsense\r\n\r\n".to_owned(), 400),
            (with("Host: a"), 400),
            (with("Content-Length: 5\r\nContent-Length: 5"), 400),
            (with("Content-Length: 5, 5"), 400),
            (with("Content-Length: +5"), 400),
            (with("Content-Length: -5"), 400),
            (with("Content-Length: 0x5"), 400),
            (with("Content-Length:"), 400),
            (with("Content-Length: 5 5"), 400),
            (with("Content-Length: 5\r\nTransfer-Encoding: chunked"), 400),
            (with("Transfer-Encoding: chunked\r\nContent-Length: 5"), 400),
            (with("Transfer-Encoding: gzip, chunked"), 501),
            (with("Transfer-Encoding: chunked, chunked"), 501),
            (
                with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
                501,
            ),
            (with("Transfer-Encoding: identity"), 501),
            (with("Transfer-Encoding: xchunked"), 501),
            (with("X : y"), 400),
            (with("X: y\r\n folded"), 400),
            (with("X: \0"), 400),
            (
                "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
                400,
            ),
            (with("Content-Length: 9223372036854775808"), 413),
            (with(&format!("Content-Length: {}", "9".repeat(100))), 413),
            (with(&large), 431),
            (with("X: y\r\n".repeat(16).trim_end()), 431),
        ];
        for (head, status) in cases {
            for before in [
                "",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ] {
                let (found, end) = requests(format!("{before}{head}").as_bytes(), 7);
                let Err(FramingError::Head(refusal)) = end else {
                    panic!("{head:?} behind {before:?}: {end:?}");
                };
                assert_eq!(refusal.status, status, "{head:?}: {}", refusal.reason);
                assert_eq!(found.len(), usize::from(!before.is_empty()), "{head:?}");
            }
        }
    }

    #[test]
    fn a_request_without_host_is_taken_only_where_that_is_allowed() {
        let head = b"TRACE / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        assert!(Framing::new(LIMITS).step(head).is_err());
        let mut lenient = Framing::new(LIMITS).may_lack_host(true);
        let step = lenient.step(head);
        assert!(matches!(step, Ok(Step::Head { len: 39, .. })), "{step:?}");
        let two = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        assert!(lenient.step(two).is_err(), "two are in doubt all the same");
    }

    #[test]
    fn the_largest_length_is_one_that_an_integer_holds() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n";
        let mut framing = Framing::new(LIMITS);
        let first = framing.step(head.as_bytes());
        assert!(matches!(first, Ok(Step::Head { .. })), "{first:?}");
        assert!(matches!(framing.step(b"abc"), Ok(Step::Body(3))));
        assert!(framing.is_in_body());
    }

    #[test]
    fn a_malformed_chunk_ends_the_connection() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (found, end) = requests(format!("{head}5\nhello").as_bytes(), 100);
        assert_eq!((found.len(), end), (1, Err(FramingError::Body)));
    }
}
