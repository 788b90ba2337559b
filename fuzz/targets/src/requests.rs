//! The requests of an HTTP/1 connection: the same in any cut, and hyper, which reads what is passed on, finds the same
//! ones. What the two read differently could be smuggled past whoever trusts the first reading.

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Response, Version,
    body::{Bytes, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tidewire::http::{Passed, PassedEnd, passed};
use tidewire_proto::handshake::HeadLimits;
use tokio::runtime;

const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 2000,
    fields_max: 16,
};

/// A request as hyper has read it.
#[derive(Debug)]
struct Read {
    method: Method,
    fields: Vec<(String, Vec<u8>)>,
    /// `None`: it ended before its end.
    body: Option<Vec<u8>>,
    /// Nothing need follow.
    is_last: bool,
}

pub(crate) fn run(data: &[u8]) {
    let Some((piece, input)) = data.split_first() else {
        return;
    };
    let (requests, end) = passed(input, LIMITS, input.len());
    let (in_pieces, end_in_pieces) = passed(input, LIMITS, usize::from(*piece));
    assert_eq!(end, end_in_pieces, "in pieces of {piece}");
    if end == PassedEnd::MalformedBody {
        // How much of such a body was passed on before depends on the pieces.
        let heads = |all: &[Passed]| all.iter().map(|one| one.head.clone()).collect::<Vec<_>>();
        assert_eq!(heads(&requests), heads(&in_pieces), "in pieces of {piece}");
    } else {
        assert_eq!(requests, in_pieces, "in pieces of {piece}");
    }
    let mut on = Vec::new();
    for request in &requests {
        on.extend_from_slice(&request.head);
        on.extend_from_slice(&request.body);
    }
    assert!(
        on.len() <= input.len() + requests.len(),
        "nothing is added but the path of an empty target"
    );
    let (again, end_again) = passed(&on, LIMITS, on.len().max(1));
    assert_eq!(again, requests, "what is passed on passes again");
    assert_eq!(end_again, PassedEnd::More);
    let (read, is_refused) = read_by_hyper(on);
    agree(&requests, &read, is_refused);
}

/// hyper may refuse a request; it may find no other.
fn agree(passed: &[Passed], read: &[Read], is_refused: bool) {
    for (ours, theirs) in passed.iter().zip(read) {
        assert!(
            ours.head.starts_with(theirs.method.as_str().as_bytes()),
            "{theirs:?} is not {ours:?}"
        );
        assert_eq!(fields(&ours.head), theirs.fields, "{ours:?}");
        match &theirs.body {
            Some(body) => {
                assert!(ours.is_whole, "{theirs:?} is no part of {ours:?}");
                assert_eq!(*body, decoded(ours), "{ours:?}");
            }
            None => assert!(!ours.is_whole, "{theirs:?} lacks what {ours:?} has"),
        }
    }
    assert!(read.len() <= passed.len(), "{:?} is smuggled", read.last());
    let ended = is_refused
        || read
            .last()
            .is_some_and(|last| last.is_last || last.body.is_none());
    assert!(
        ended || read.len() == passed.len(),
        "{:?} is lost",
        passed.get(read.len())
    );
}

/// Names in lower case and values of a head.
fn fields(head: &[u8]) -> Vec<(String, Vec<u8>)> {
    let text = head.strip_suffix(b"\r\n\r\n").expect("a whole head");
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    let mut fields: Vec<_> = lines[1..]
        .iter()
        .map(|line| {
            let at = line.iter().position(|byte| *byte == b':').expect("a colon");
            let name = String::from_utf8_lossy(&line[..at]).to_ascii_lowercase();
            (name, line[at + 1..].trim_ascii().to_vec())
        })
        .collect();
    fields.sort();
    fields
}

/// The content of a whole body, by a slow reading of RFC 9112 section 7.1.
fn decoded(request: &Passed) -> Vec<u8> {
    let is_chunked = fields(&request.head)
        .iter()
        .any(|(name, _)| name == "transfer-encoding");
    if !is_chunked {
        return request.body.clone();
    }
    let mut content = Vec::new();
    let mut rest = request.body.as_slice();
    loop {
        let line = rest
            .windows(2)
            .position(|two| two == b"\r\n")
            .expect("a size");
        let size = rest[..line]
            .split(|byte| *byte == b';')
            .next()
            .expect("a size");
        let size = std::str::from_utf8(size).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("digits");
        rest = &rest[line + 2..];
        if size == 0 {
            return content;
        }
        content.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n", "the end of a chunk");
        rest = &rest[size + 2..];
    }
}

/// All requests that hyper finds, each answered as it comes, and whether it has refused what follows.
fn read_by_hyper(bytes: Vec<u8>) -> (Vec<Read>, bool) {
    let found = Rc::new(RefCell::new(Vec::new()));
    let requests = Rc::clone(&found);
    let service = service_fn(move |request: Request<Incoming>| {
        let requests = Rc::clone(&requests);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.ok();
            let body = body.map(|body| body.to_bytes().to_vec());
            requests.borrow_mut().push(read(&parts, body));
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let stream = tokio::io::join(std::io::Cursor::new(bytes), tokio::io::sink());
    let connection = http1::Builder::new()
        .half_close(true)
        .max_headers(LIMITS.fields_max)
        .serve_connection(TokioIo::new(stream), service);
    let runtime = runtime::Builder::new_current_thread().build();
    let ended = runtime.expect("a runtime").block_on(connection);
    // Other errors are requests that are cut.
    let is_refused = ended.is_err_and(|error| error.is_parse());
    (found.take(), is_refused)
}

fn read(parts: &hyper::http::request::Parts, body: Option<Vec<u8>>) -> Read {
    let mut fields: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    fields.sort();
    // Behind the answer to these a connection may end, or be no HTTP any more.
    let is_last = parts.version == Version::HTTP_10
        || parts.method == Method::CONNECT
        || parts.headers.contains_key(header::CONNECTION)
        || parts.headers.contains_key(header::UPGRADE);
    Read {
        method: parts.method.clone(),
        fields,
        body,
        is_last,
    }
}
