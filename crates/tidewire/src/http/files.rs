//! Files inside the binary.
//!
//! In: the path of a request. Out: the file, or 304 for a browser that has it.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::{
    conditional::{Asked, Outcome},
    content_type::content_type,
};

/// A file to be served.
#[derive(Clone, Debug)]
pub struct File {
    /// What is in it.
    pub bytes: Cow<'static, [u8]>,
    /// A hash of that; equal ones mean equal files.
    pub hash: [u8; 32],
}

/// Answers a GET request for `path` with what `find` has under that name; a path that ends in `/` is the folder's
/// `index.html`. `None` when there is no such file.
pub fn file_response(
    path: &str,
    headers: &HeaderMap,
    find: impl FnOnce(&str) -> Option<File>,
) -> Option<Response<Full<Bytes>>> {
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let file = find(name)?;
    let etag = etag(&file.hash);
    let mut asked = Asked::default();
    for (name, value) in headers {
        asked.field(name.as_str(), value.as_bytes());
    }
    if asked.judge(Some(etag.as_bytes()), None) == Outcome::NotModified {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Some(response);
    }
    // The bytes of the binary itself: an answer that nobody reads costs none.
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let mut response = Response::new(Full::new(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type(name));
    // The browser asks again each time, and mostly hears 304: an upgrade shows at once.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    Some(response)
}

fn etag(hash: &[u8; 32]) -> String {
    let hash: String = hash.iter().take(8).flat_map(|byte| hex(*byte)).collect();
    format!("\"{hash}\"")
}

fn hex(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> Option<File> {
        let known = ["index.html", "page.js"].contains(&name);
        known.then_some(File {
            bytes: Cow::Borrowed(b"text"),
            hash: [0xab; 32],
        })
    }

    #[test]
    fn a_file_is_served_once_and_then_known_by_its_tag() {
        let mut headers = HeaderMap::new();
        let first = file_response("/", &headers, find).expect("the page");
        assert_eq!(first.status(), 200);
        assert_eq!(
            first.headers()[header::CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
        let tag = first.headers()[header::ETAG].clone();
        assert_eq!(tag, "\"abababababababab\"");
        headers.insert(header::IF_NONE_MATCH, tag);
        let again = file_response("/page.js", &headers, find).expect("the script");
        assert_eq!(again.status(), 304);
        assert!(file_response("/other", &headers, find).is_none());
    }
}
