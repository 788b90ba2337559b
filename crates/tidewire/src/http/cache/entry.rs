//! [`Entry`], the thing under one path: a file in memory, a file on disk, or a response of the application.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::time::Instant;

use crate::http::{builder::title_case, content_type::content_type};

/// Something to be served under a path. Never changed once it is in the table, only replaced.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) status: StatusCode,
    pub(super) content: Content,
    /// The same in codings, best first.
    pub(super) encoded: Vec<Representation>,
    pub(super) plain: Representation,
    pub(super) modified: Option<SystemTime>,
    /// When it is dropped; `None`: when its directory says so, or never.
    pub(super) expires: Option<Instant>,
    /// The directory it came from; `None`: the application.
    pub(super) owner: Option<u64>,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Content {
    /// In [`Representation::body`].
    Memory,
    Disk {
        path: PathBuf,
        len: u64,
    },
}

/// One form of an entry, ready to be sent.
#[derive(Debug)]
pub(super) struct Representation {
    /// `Content-Encoding`.
    pub(super) coding: Option<&'static str>,
    pub(super) etag: Option<HeaderValue>,
    /// Of the whole answer, without `Content-Length` and `Date`.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Status line and fields of HTTP/1.1, to be followed by `Date` and the empty line.
    pub(super) head: Bytes,
    /// The same of the 304.
    pub(super) not_modified: Bytes,
}

/// The circumstances of a file that is loaded.
pub(super) struct FileOrigin<'a> {
    pub(super) name: &'a str,
    pub(super) modified: Option<SystemTime>,
    pub(super) max_age: Duration,
    pub(super) owner: u64,
}

impl Entry {
    /// A file in memory.
    pub(super) fn in_memory(
        origin: &FileOrigin<'_>,
        body: Bytes,
        encoded: Vec<(&'static str, Bytes)>,
    ) -> Self {
        let varies = !encoded.is_empty();
        let form = |coding: Option<&'static str>, body: Bytes| {
            let etag = content_tag(&body, coding);
            let headers = file_headers(origin, etag.clone(), coding, varies);
            Representation::new(StatusCode::OK, coding, etag, headers, body)
        };
        Self {
            status: StatusCode::OK,
            content: Content::Memory,
            plain: form(None, body),
            encoded: encoded
                .into_iter()
                .map(|(coding, body)| form(Some(coding), body))
                .collect(),
            modified: origin.modified,
            expires: None,
            owner: Some(origin.owner),
        }
    }

    /// A file that stays on disk.
    pub(super) fn on_disk(origin: &FileOrigin<'_>, path: PathBuf, len: u64) -> Self {
        let stamp = origin
            .modified
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let stamp = stamp.unwrap_or_default().as_nanos();
        let etag = HeaderValue::try_from(format!("\"{stamp:x}-{len:x}\"")).ok();
        let headers = file_headers(origin, etag.clone(), None, false);
        Self {
            status: StatusCode::OK,
            content: Content::Disk { path, len },
            plain: Representation::new(StatusCode::OK, None, etag, headers, Bytes::new()),
            encoded: Vec::new(),
            modified: origin.modified,
            expires: None,
            owner: Some(origin.owner),
        }
    }

    /// A complete response of the application.
    pub(super) fn response(response: Response<Bytes>, expires: Option<Instant>) -> Self {
        let (parts, body) = response.into_parts();
        let mut headers = parts.headers;
        // The server says these by itself.
        for name in [
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
        ] {
            headers.remove(name);
        }
        let etag = headers.get(header::ETAG).cloned();
        let modified = headers.get(header::LAST_MODIFIED);
        let modified = modified
            .and_then(|value| value.to_str().ok())
            .and_then(|value| httpdate::parse_http_date(value).ok());
        Self {
            status: parts.status,
            content: Content::Memory,
            plain: Representation::new(parts.status, None, etag, headers, body),
            encoded: Vec::new(),
            modified,
            expires,
            owner: None,
        }
    }

    /// The response as a whole; of a file on disk without its bytes.
    pub(super) fn to_response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.plain.body.clone());
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.plain.headers);
        response
    }

    /// The bytes it costs in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let cost = |form: &Representation| {
            form.body.len() + 2 * (form.head.len() + form.not_modified.len()) + 256
        };
        ENTRY_BYTES + cost(&self.plain) + self.encoded.iter().map(cost).sum::<usize>()
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The table's own part of an entry.
const ENTRY_BYTES: usize = 512;

impl Representation {
    fn new(
        status: StatusCode,
        coding: Option<&'static str>,
        etag: Option<HeaderValue>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Self {
        Self {
            head: head(status, &headers, Some(body.len())),
            not_modified: head(StatusCode::NOT_MODIFIED, &not_modified(&headers), None),
            coding,
            etag,
            headers,
            body,
        }
    }
}

/// A 304 has the fields that say what is still the same, and nothing about a body (RFC 9110 section 15.4.5).
pub(super) fn not_modified(headers: &HeaderMap) -> HeaderMap {
    let kept = [
        header::CACHE_CONTROL,
        header::CONTENT_LOCATION,
        header::ETAG,
        header::EXPIRES,
        header::LAST_MODIFIED,
        header::VARY,
    ];
    let mut out = HeaderMap::new();
    for name in kept {
        for value in headers.get_all(&name) {
            out.append(name.clone(), value.clone());
        }
    }
    out
}

fn head(status: StatusCode, headers: &HeaderMap, len: Option<usize>) -> Bytes {
    let mut out = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in headers {
        let name = title_case(name.as_str());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(len) = len {
        out.extend_from_slice(format!("Content-Length: {len}\r\n").as_bytes());
    }
    Bytes::from(out)
}

fn file_headers(
    origin: &FileOrigin<'_>,
    etag: Option<HeaderValue>,
    coding: Option<&'static str>,
    varies: bool,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, content_type(origin.name));
    let max_age = format!("max-age={}", origin.max_age.as_secs());
    if let Ok(value) = HeaderValue::try_from(max_age) {
        headers.insert(header::CACHE_CONTROL, value);
    }
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
    if let Some(modified) = origin.modified
        && let Ok(value) = HeaderValue::try_from(httpdate::fmt_http_date(modified))
    {
        headers.insert(header::LAST_MODIFIED, value);
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    if varies {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    headers
}

/// A hash of the bytes, so that the same file has the same tag on every server that runs the same program.
fn content_tag(body: &[u8], coding: Option<&'static str>) -> Option<HeaderValue> {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let hash = hasher.finish();
    let suffix = coding
        .map(|coding| format!("-{coding}"))
        .unwrap_or_default();
    HeaderValue::try_from(format!("\"{hash:016x}-{:x}{suffix}\"", body.len())).ok()
}
