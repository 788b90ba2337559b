//! From an entry and the fields of a request to an answer: conditional, ranges, codings (RFC 9110 sections 12 to 15).

use std::{collections::VecDeque, io, ops::Range, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use tokio::{fs::File, io::AsyncSeekExt as _};

use super::{
    body::CachedBody,
    entry::{Content, Entry, Representation, not_modified},
};
use crate::http::{
    conditional::{Asked, Outcome, accepts},
    range::{self, Wanted},
};

/// The form of an entry that the client takes.
pub(super) fn negotiate<'a>(entry: &'a Entry, asked: &Asked<'_>) -> &'a Representation {
    let Some(list) = asked
        .accept_encoding
        .as_deref()
        .filter(|_| !entry.encoded.is_empty())
    else {
        return &entry.plain;
    };
    let is_taken = |form: &&Representation| form.coding.is_some_and(|coding| accepts(list, coding));
    entry.encoded.iter().find(is_taken).unwrap_or(&entry.plain)
}

/// Preconditions are for answers that succeed (RFC 9110 section 13.2.1).
pub(super) fn judge(entry: &Entry, form: &Representation, asked: &Asked<'_>) -> Outcome {
    if entry.status != StatusCode::OK {
        return Outcome::Send;
    }
    let etag = form.etag.as_ref().map(HeaderValue::as_bytes);
    asked.judge(etag, entry.modified)
}

/// The answer to a GET or HEAD request.
pub(super) async fn answer(
    entry: &Arc<Entry>,
    method: &Method,
    asked: &Asked<'_>,
) -> io::Result<Response<CachedBody>> {
    let form = negotiate(entry, asked);
    match judge(entry, form, asked) {
        Outcome::NotModified => {
            let headers = not_modified(&form.headers);
            return Ok(build(
                StatusCode::NOT_MODIFIED,
                headers,
                CachedBody::empty(),
            ));
        }
        Outcome::Failed => {
            let headers = HeaderMap::new();
            return Ok(build(
                StatusCode::PRECONDITION_FAILED,
                headers,
                CachedBody::empty(),
            ));
        }
        Outcome::Send => {}
    }
    let len = match &entry.content {
        Content::Memory => form.body.len() as u64,
        Content::Disk { len, .. } => *len,
    };
    let mut headers = form.headers.clone();
    if *method == Method::HEAD {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
        return Ok(build(entry.status, headers, CachedBody::empty()));
    }
    let etag = form.etag.as_ref().map(HeaderValue::as_bytes);
    let field = (entry.status == StatusCode::OK)
        .then(|| asked.valid_range(etag, entry.modified))
        .flatten();
    let wanted = field.map_or(Wanted::Whole, |field| range::parse(field, len));
    let part = match (wanted, &entry.content) {
        (Wanted::Unsatisfiable, _) => {
            let mut headers = HeaderMap::new();
            content_range(&mut headers, &format!("bytes */{len}"));
            return Ok(build(
                StatusCode::RANGE_NOT_SATISFIABLE,
                headers,
                CachedBody::empty(),
            ));
        }
        (Wanted::Parts(parts), Content::Memory) if parts.len() > 1 => {
            let body = several(&mut headers, form, &parts, len);
            return Ok(build(StatusCode::PARTIAL_CONTENT, headers, body));
        }
        (Wanted::Parts(mut parts), _) if parts.len() == 1 => Some(parts.remove(0)),
        // Several pieces of a file on disk: the whole is an answer too.
        (Wanted::Parts(_) | Wanted::Whole, _) => None,
    };
    let status = match &part {
        Some(part) => {
            content_range(&mut headers, &one_range(part, len));
            StatusCode::PARTIAL_CONTENT
        }
        None => entry.status,
    };
    let body = read(entry, form, &part.unwrap_or(0..len)).await?;
    Ok(build(status, headers, body))
}

async fn read(entry: &Entry, form: &Representation, part: &Range<u64>) -> io::Result<CachedBody> {
    let (path, len) = match &entry.content {
        Content::Memory => return Ok(CachedBody::whole(slice(&form.body, part))),
        Content::Disk { path, len } => (path, *len),
    };
    // A link may have taken its place since it was found.
    if tokio::fs::canonicalize(path).await? != *path {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut file = File::open(path).await?;
    if file.metadata().await?.len() != len {
        // It is being written; what is sent must be of one piece.
        return Err(io::Error::other("the file has changed"));
    }
    if part.start > 0 {
        file.seek(io::SeekFrom::Start(part.start)).await?;
    }
    Ok(CachedBody::file(file, part.end - part.start))
}

fn build(status: StatusCode, headers: HeaderMap, body: CachedBody) -> Response<CachedBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// `multipart/byteranges` (RFC 9110 section 14.6).
fn several(
    headers: &mut HeaderMap,
    form: &Representation,
    parts: &[Range<u64>],
    len: u64,
) -> CachedBody {
    let boundary = boundary();
    let content_type = headers.remove(header::CONTENT_TYPE);
    let content_type = content_type.as_ref().and_then(|value| value.to_str().ok());
    let mut pieces = VecDeque::new();
    for (number, part) in parts.iter().enumerate() {
        let before = if number == 0 { "" } else { "\r\n" };
        let range = one_range(part, len);
        let typed = content_type.map(|it| format!("Content-Type: {it}\r\n"));
        let typed = typed.unwrap_or_default();
        let head = format!("{before}--{boundary}\r\n{typed}Content-Range: {range}\r\n\r\n");
        pieces.push_back(Bytes::from(head));
        pieces.push_back(slice(&form.body, part));
    }
    pieces.push_back(Bytes::from(format!("\r\n--{boundary}--\r\n")));
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    if let Ok(value) = HeaderValue::try_from(content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    CachedBody::pieces(pieces)
}

/// A line that nobody can have put into the body, since nobody knew it.
fn boundary() -> String {
    format!(
        "tidewire-{:032x}",
        u128::from_ne_bytes(crate::entropy::random())
    )
}

fn one_range(part: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", part.start, part.end - 1)
}

fn content_range(headers: &mut HeaderMap, range: &str) {
    if let Ok(value) = HeaderValue::try_from(range) {
        headers.insert(header::CONTENT_RANGE, value);
    }
}

/// Inside, as [`range::parse`] makes sure.
fn slice(body: &Bytes, part: &Range<u64>) -> Bytes {
    let index = |at: u64| usize::try_from(at).map_or(body.len(), |at| at.min(body.len()));
    body.slice(index(part.start)..index(part.end))
}
