//! HTTP/1.1 request heads (RFC 9112): found without rescanning, parsed once, kept as one block of
//! bytes with ranges.

use std::ops::Range;

use bytes::Bytes;

use super::ClientProtocol;

/// Bounds of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Most bytes up to and including the empty line. Default 16 KiB.
    pub bytes_max: usize,
    /// Most header fields; at most 1024. Default 64.
    pub fields_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes_max: 16 << 10,
            fields_max: 64,
        }
    }
}

/// A head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// More bytes or fields than the limits allow; answered with 431.
    #[error("head above the limit of {bytes_max} bytes or {fields_max} fields")]
    TooLarge {
        /// [`HeadLimits::bytes_max`].
        bytes_max: usize,
        /// [`HeadLimits::fields_max`].
        fields_max: usize,
    },
    /// Not an HTTP/1.1 head; answered with 400.
    #[error("malformed HTTP head")]
    Malformed,
    /// The client speaks something else; answered with 400.
    #[error("expected an HTTP/1.1 request, got {0}")]
    NotHttp(ClientProtocol),
}

/// Finds the end of a head in a growing buffer, looking at every byte once
/// (RUSTSEC-2023-0065: re-parsing per read made dripped heads quadratic).
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScanner {
    scanned: usize,
}

impl HeadScanner {
    /// The length of the head, empty line included, once `buffer` holds all of it. `buffer`
    /// must be what it was before, with more at its end.
    ///
    /// # Errors
    /// [`HeadError::TooLarge`] as soon as the limit is passed.
    pub fn scan(&mut self, buffer: &[u8], limits: HeadLimits) -> Result<Option<usize>, HeadError> {
        let from = self.scanned.saturating_sub(3);
        let found = buffer
            .get(from..)
            .unwrap_or_default()
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        let len = found.map(|at| at.saturating_add(from).saturating_add(4));
        self.found(buffer, len, limits)
    }

    /// As [`scan`](Self::scan), for the head of an answer: of old servers a line ends with a line feed alone
    /// (RFC 9112 section 2.2). Bytes that begin no HTTP/1 answer are refused at once, for they may never bring an
    /// empty line.
    ///
    /// # Errors
    /// [`HeadError::TooLarge`], and [`HeadError::Malformed`] for what is no HTTP/1.
    pub fn scan_answer(
        &mut self,
        buffer: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<usize>, HeadError> {
        if !buffer
            .iter()
            .zip(b"HTTP/1.")
            .all(|(byte, start)| byte == start)
        {
            return Err(HeadError::Malformed);
        }
        let from = self.scanned.saturating_sub(2);
        let new = buffer.get(from..).unwrap_or_default();
        let bare = new.windows(2).position(|two| two == b"\n\n");
        let whole = new.windows(3).position(|three| three == b"\n\r\n");
        let ends = [bare.map(|at| (at, 2)), whole.map(|at| (at, 3))];
        let first = ends.into_iter().flatten().min();
        let len = first.map(|(at, size)| from.saturating_add(at).saturating_add(size));
        self.found(buffer, len, limits)
    }

    fn found(
        &mut self,
        buffer: &[u8],
        len: Option<usize>,
        limits: HeadLimits,
    ) -> Result<Option<usize>, HeadError> {
        self.scanned = buffer.len();
        if len.unwrap_or(buffer.len()) > limits.bytes_max {
            return Err(too_large(limits));
        }
        Ok(len)
    }
}

pub(super) type Field = (Range<usize>, Range<usize>);

/// A request head.
#[derive(Clone, Debug)]
pub struct RequestHead {
    bytes: Bytes,
    method: Range<usize>,
    target: Range<usize>,
    minor_version: u8,
    http2: bool,
    fields: Vec<Field>,
}

impl RequestHead {
    /// Reads a whole head as found by [`HeadScanner`].
    ///
    /// An empty request target (`GET  HTTP/1.1`, as `rusty_socket` sends it) is read as `/`. A
    /// line feed alone ends no line (RFC 9112 section 2.2 leaves the choice): where a proxy in front
    /// reads one line and we two, a request could be smuggled past it.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn parse(bytes: Bytes, limits: HeadLimits) -> Result<Self, HeadError> {
        let bytes = match bytes.strip_prefix(b"GET  HTTP/") {
            Some(rest) => Bytes::from([b"GET / HTTP/", rest].concat()),
            None => bytes,
        };
        if has_bare_line_end(&bytes) {
            return Err(HeadError::Malformed);
        }
        let mut storage = FieldStorage::new(limits);
        let mut request = httparse::Request::new(storage.fields());
        match request.parse(&bytes) {
            Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(too_large(limits)),
            Ok(_) | Err(_) => return Err(HeadError::Malformed),
        }
        let (Some(method), Some(target), Some(minor_version)) =
            (request.method, request.path, request.version)
        else {
            return Err(HeadError::Malformed);
        };
        let method = range_in(&bytes, method.as_bytes());
        let target = range_in(&bytes, target.as_bytes());
        let fields = fields_in(&bytes, request.headers);
        Ok(Self {
            bytes,
            method,
            target,
            minor_version,
            http2: false,
            fields,
        })
    }

    /// Reads a head that was put together from the fields of an HTTP/2 request.
    pub(super) fn parse_http2(bytes: Bytes, limits: HeadLimits) -> Result<Self, HeadError> {
        if bytes.len() > limits.bytes_max {
            return Err(too_large(limits));
        }
        Ok(Self {
            http2: true,
            ..Self::parse(bytes, limits)?
        })
    }

    /// The head as it came, but for an empty request target, which has become `/`.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The method, as sent.
    pub fn method(&self) -> &str {
        text(&self.bytes, &self.method)
    }

    /// The request target, as sent: path and query, usually.
    pub fn target(&self) -> &str {
        text(&self.bytes, &self.target)
    }

    /// The target's path. Of a target in absolute form (`GET http://host/path`), which servers must
    /// take too (RFC 9112 section 3.2.2), the path in it.
    pub fn path(&self) -> &str {
        let target = self.target();
        let (target, root) = match absolute_form(target) {
            Some((_, rest)) => (rest, "/"),
            None => (target, ""),
        };
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        if path.is_empty() { root } else { path }
    }

    /// The authority in a target in absolute form.
    pub fn target_authority(&self) -> Option<&str> {
        absolute_form(self.target()).map(|(authority, _)| authority)
    }

    /// Returns the part of the target behind its first `?`.
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// Returns whether this is a stream of an HTTP/2 connection: then the method of a WebSocket is
    /// `CONNECT`, and the request has no key.
    pub fn is_http2(&self) -> bool {
        self.http2
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

    /// As [`values`](Self::values), collected, so that the name need not live as long as they.
    pub fn values_of<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
        let fields = self.fields();
        let named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).collect()
    }

    /// The value of the only field with this name: `None` when there is none or several.
    pub fn single<'a>(&'a self, name: &str) -> Option<&'a [u8]> {
        let mut values = self
            .fields()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        let first = values.next();
        if values.next().is_some() { None } else { first }
    }

    /// Returns whether the comma-separated list in the fields `name` holds `token`, any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name).any(|value| has_token(value, token))
    }

    /// Returns whether the client asks for a WebSocket (RFC 6455 section 4.1), rightly or wrongly:
    /// such a request is answered by [`super::accept`], any other by an HTTP server.
    pub fn wants_websocket(&self) -> bool {
        self.has_token("upgrade", "websocket")
    }
}

/// How many fields a head may have at most, whatever the limits say.
const FIELDS_MAX: usize = 1024;

/// Of so many fields no memory is taken to find them.
const FIELDS_ON_STACK: usize = 128;

/// Room for as many fields as the limits allow.
pub(super) struct FieldStorage<'b> {
    stack: [httparse::Header<'b>; FIELDS_ON_STACK],
    heap: Vec<httparse::Header<'b>>,
    count: usize,
}

impl<'b> FieldStorage<'b> {
    pub(super) fn new(limits: HeadLimits) -> Self {
        let count = limits.fields_max.min(FIELDS_MAX);
        let on_heap = if count > FIELDS_ON_STACK { count } else { 0 };
        Self {
            stack: [httparse::EMPTY_HEADER; FIELDS_ON_STACK],
            heap: vec![httparse::EMPTY_HEADER; on_heap],
            count,
        }
    }

    pub(super) fn fields(&mut self) -> &mut [httparse::Header<'b>] {
        if self.heap.is_empty() {
            self.stack.get_mut(..self.count).unwrap_or_default()
        } else {
            &mut self.heap
        }
    }
}

pub(super) fn too_large(limits: HeadLimits) -> HeadError {
    HeadError::TooLarge {
        bytes_max: limits.bytes_max,
        fields_max: limits.fields_max,
    }
}

/// Returns whether a line ends otherwise than by CR LF. Some readers take that for a line end and others
/// do not, so that they would see different fields (RFC 9112 section 11.2).
pub(super) fn has_bare_line_end(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().any(|byte| {
        let bare = (before == b'\r') != (*byte == b'\n');
        before = *byte;
        bare
    })
}

/// Authority and the rest of a target in absolute form (RFC 6455 section 4.2.1).
fn absolute_form(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    let known = ["http", "https", "ws", "wss"];
    let known = known.iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    known.then(|| rest.split_at(end))
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start.saturating_add(part.len())
}

pub(super) fn fields_in(whole: &[u8], headers: &[httparse::Header<'_>]) -> Vec<Field> {
    headers
        .iter()
        .map(|header| {
            (
                range_in(whole, header.name.as_bytes()),
                range_in(whole, header.value),
            )
        })
        .collect()
}

fn text<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a str {
    bytes
        .get(range.clone())
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .unwrap_or_default()
}

pub(super) fn fields<'a>(
    bytes: &'a [u8],
    fields: &'a [Field],
) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    fields.iter().map(|(name, value)| {
        (
            text(bytes, name),
            bytes.get(value.clone()).unwrap_or_default(),
        )
    })
}

pub(super) fn has_token(value: &[u8], token: &str) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<RequestHead, HeadError> {
        RequestHead::parse(Bytes::from(head.to_owned()), HeadLimits::default())
    }

    #[test]
    fn the_end_of_a_head_is_found_in_any_cut_and_looked_for_once() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nleftover";
        for step in 1..head.len() {
            let mut scanner = HeadScanner::default();
            let found = (1..=head.len())
                .filter(|len| len % step == 0 || *len == head.len())
                .find_map(|len| scanner.scan(&head[..len], HeadLimits::default()).unwrap());
            assert_eq!(found, Some(27), "step {step}");
        }
    }

    #[test]
    fn cve_2024_37890_a_head_above_the_limit_is_refused_before_its_end() {
        let limits = HeadLimits {
            bytes_max: 100,
            fields_max: 2,
        };
        assert!(HeadScanner::default().scan(&[b'a'; 101], limits).is_err());
        assert_eq!(HeadScanner::default().scan(&[b'a'; 100], limits), Ok(None));
        let three = Bytes::from_static(b"GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n");
        assert_eq!(
            RequestHead::parse(three, limits).unwrap_err(),
            HeadError::TooLarge {
                bytes_max: 100,
                fields_max: 2
            }
        );
    }

    #[test]
    fn parts_of_a_request_are_found() {
        let head = parse("GET /chat?id=42&x=?1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nX: 1\r\nx: 2\r\n\r\n").unwrap();
        assert_eq!(
            (head.method(), head.path(), head.query()),
            ("GET", "/chat", Some("id=42&x=?1"))
        );
        assert!(head.has_token("connection", "upgrade") && !head.has_token("connection", "up"));
        assert_eq!(head.values("X").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(
            (head.single("host"), head.single("x"), head.single("y")),
            (Some(&b"a"[..]), None, None)
        );
    }

    #[test]
    fn an_empty_target_is_read_as_the_root() {
        assert_eq!(
            parse("GET  HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().path(),
            "/"
        );
    }

    #[test]
    fn a_target_in_absolute_form_is_read_as_its_path() {
        for (target, path, query, authority) in [
            ("http://a/chat?id=1", "/chat", Some("id=1"), Some("a")),
            ("WSS://a:443/", "/", None, Some("a:443")),
            ("http://a", "/", None, Some("a")),
            ("http://a?id=1", "/", Some("id=1"), Some("a")),
            ("/see?u=http://a/b", "/see", Some("u=http://a/b"), None),
            ("//a/b", "//a/b", None, None),
            ("gopher://a/b", "gopher://a/b", None, None),
            ("*", "*", None, None),
        ] {
            let head = parse(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
            assert_eq!(
                (head.path(), head.query(), head.target_authority()),
                (path, query, authority),
                "{target}"
            );
        }
    }

    #[test]
    fn malformed_heads_are_refused() {
        for bad in [
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
            "\0\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\0\r\n\r\n",
            "GET / HTTP/1.1\na: b\r\n\r\n",
            "GET / HTTP/1.1\r\na: b\n\r\n",
        ] {
            assert_eq!(parse(bad).unwrap_err(), HeadError::Malformed, "{bad:?}");
        }
    }
}
