//! Requests and responses as they are mostly made, over the types of the `http` crate; cookies; the printed form.
//!
//! `http::Request::builder` and `http::Response::builder` make whatever is not here.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    header::InvalidHeaderValue,
};

/// The methods that a server usually takes, for [`options_response`].
pub const ALL_METHODS: &str = "HEAD,GET,POST,PUT,DELETE,OPTIONS,TRACE";

const TEXT: &str = "text/plain; charset=UTF-8";

/// Makes a request without a body: HEAD, GET, DELETE, OPTIONS, TRACE. It has `Content-Length: 0`.
///
/// # Errors
/// When `url` is no URL and no path.
pub fn request<U>(method: Method, url: U) -> http::Result<Request<Bytes>>
where
    U: TryInto<Uri>,
    U::Error: Into<http::Error>,
{
    Request::builder()
        .method(method)
        .uri(url)
        .header(header::CONTENT_LENGTH, 0)
        .body(Bytes::new())
}

/// Makes a request with a body: POST, PUT. Its type is `text/plain; charset=UTF-8` until somebody says otherwise.
///
/// # Errors
/// When `url` is no URL and no path.
pub fn request_with_body<U>(
    method: Method,
    url: U,
    body: impl Into<Bytes>,
) -> http::Result<Request<Bytes>>
where
    U: TryInto<Uri>,
    U::Error: Into<http::Error>,
{
    let body = body.into();
    Request::builder()
        .method(method)
        .uri(url)
        .header(header::CONTENT_TYPE, TEXT)
        .header(header::CONTENT_LENGTH, body.len())
        .body(body)
}

/// Makes a 200 without content.
pub fn ok_response() -> Response<Bytes> {
    Response::new(Bytes::new())
}

/// Makes the answer to HEAD: a 200 without content.
pub fn head_response() -> Response<Bytes> {
    ok_response()
}

/// Makes an error with a text for people, `text/plain; charset=UTF-8`.
pub fn error_response(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = get_response(text, None);
    *response.status_mut() = status;
    response
}

/// Makes the answer to GET: a 200 with content, of this type or of `text/plain; charset=UTF-8`.
pub fn get_response(
    content: impl Into<Bytes>,
    content_type: Option<HeaderValue>,
) -> Response<Bytes> {
    let mut response = Response::new(content.into());
    let content_type = content_type.unwrap_or(HeaderValue::from_static(TEXT));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// Makes the answer to OPTIONS: which methods are allowed, for example [`ALL_METHODS`].
pub fn options_response(allow: &'static str) -> Response<Bytes> {
    let mut response = ok_response();
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// Makes the answer to TRACE: the request as it was [received](super::ReceivedHead).
pub fn trace_response(received: impl Into<Bytes>) -> Response<Bytes> {
    get_response(received, Some(HeaderValue::from_static("message/http")))
}

/// Attributes of a cookie, told to a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CookieOptions {
    /// How long it is kept; `None`: as long as the browser runs. Default a day.
    pub max_age: Option<Duration>,
    /// Subdomains get it too. Default `None`: only the host that sets it.
    pub domain: Option<String>,
    /// Only requests below this path get it. Default `None`: those beside the one that sets it.
    pub path: Option<String>,
    /// Only over TLS, and to this machine. Default true.
    pub secure: bool,
    /// Only requests of pages of the same site. Default true.
    pub same_site_strict: bool,
    /// Not for scripts. Default true.
    pub http_only: bool,
}

impl Default for CookieOptions {
    fn default() -> Self {
        Self {
            max_age: Some(Duration::from_hours(24)),
            domain: None,
            path: None,
            secure: true,
            same_site_strict: true,
            http_only: true,
        }
    }
}

/// Adds `Set-Cookie` to the fields of a response: `Max-Age`, `Domain`, `Path`, `Secure`, `SameSite`, `HttpOnly`, in this
/// order.
///
/// ```
/// use http::HeaderMap;
/// use tidewire::http::{CookieOptions, set_cookie};
///
/// let mut headers = HeaderMap::new();
/// set_cookie(&mut headers, "id", "7", &CookieOptions::default().path("/".to_owned()))?;
/// let expected = "id=7; Max-Age=86400; Path=/; Secure; SameSite=Strict; HttpOnly";
/// assert_eq!(headers["set-cookie"], expected);
/// # Ok::<(), http::header::InvalidHeaderValue>(())
/// ```
///
/// # Errors
/// When something in it cannot stand in a field.
pub fn set_cookie(
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    options: &CookieOptions,
) -> Result<(), InvalidHeaderValue> {
    // Whoever may choose a value must not add attributes by it.
    let is_plain = |text: &str| !text.contains([';', '\r', '\n']);
    let texts = [
        Some(name),
        Some(value),
        options.domain.as_deref(),
        options.path.as_deref(),
    ];
    if !texts.into_iter().flatten().all(is_plain) {
        return HeaderValue::from_bytes(b"\n").map(drop);
    }
    let mut cookie = format!("{name}={value}");
    if let Some(max_age) = options.max_age {
        let seconds = max_age.as_secs().to_string();
        cookie.extend(["; Max-Age=", seconds.as_str()]);
    }
    if let Some(domain) = &options.domain {
        cookie.extend(["; Domain=", domain.as_str()]);
    }
    if let Some(path) = &options.path {
        cookie.extend(["; Path=", path.as_str()]);
    }
    let switches = [
        (options.secure, "; Secure"),
        (options.same_site_strict, "; SameSite=Strict"),
        (options.http_only, "; HttpOnly"),
    ];
    for (is_on, text) in switches {
        if is_on {
            cookie += text;
        }
    }
    headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie)?);
    Ok(())
}

/// Adds a cookie to the fields of a request, to the field `Cookie` that is there if there is one.
///
/// # Errors
/// When something in it cannot stand in a field.
pub fn add_cookie(
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
) -> Result<(), InvalidHeaderValue> {
    let is_plain = |text: &str| !text.contains([';', '\r', '\n']);
    if !is_plain(name) || !is_plain(value) {
        return HeaderValue::from_bytes(b"\n").map(drop);
    }
    let before = headers.get(header::COOKIE).map(HeaderValue::as_bytes);
    let mut cookies = before
        .map(|before| [before, b"; "].concat())
        .unwrap_or_default();
    cookies.extend_from_slice(format!("{name}={value}").as_bytes());
    headers.insert(header::COOKIE, HeaderValue::from_bytes(&cookies)?);
    Ok(())
}

/// Returns the cookies of a request, name and value, in their order.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let fields = headers.get_all(header::COOKIE).into_iter();
    fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// A request or response with its body, as text for people: what it is, a line for each field, the body.
///
/// ```
/// use http::Method;
/// use tidewire::http::{Printed, request};
///
/// let request = request(Method::GET, "/api/cache")?;
/// let printed = Printed::Request(&request).to_string();
/// assert!(printed.starts_with("Request method: GET\nRequest URL: /api/cache\n"));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Printed<'a> {
    /// A request.
    Request(&'a Request<Bytes>),
    /// A response.
    Response(&'a Response<Bytes>),
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => {
                writeln!(f, "Request method: {}", request.method())?;
                writeln!(f, "Request URL: {}", request.uri())?;
                writeln!(f, "Request protocol: {}", protocol(request.version()))?;
                writeln!(f, "Request headers: {}", request.headers().len())?;
                fields(f, request.headers())?;
                writeln!(f, "Request body:{}", request.body().len())?;
                writeln!(f, "{}", String::from_utf8_lossy(request.body()))
            }
            Self::Response(response) => {
                let status = response.status();
                writeln!(f, "Status: {}", status.as_u16())?;
                writeln!(
                    f,
                    "Status phrase: {}",
                    status.canonical_reason().unwrap_or("")
                )?;
                writeln!(f, "Protocol: {}", protocol(response.version()))?;
                writeln!(f, "Headers: {}", response.headers().len())?;
                fields(f, response.headers())?;
                writeln!(f, "Body:{}", response.body().len())?;
                writeln!(f, "{}", String::from_utf8_lossy(response.body()))
            }
        }
    }
}

fn protocol(version: Version) -> String {
    format!("{version:?}")
}

fn fields(f: &mut fmt::Formatter<'_>, headers: &HeaderMap) -> fmt::Result {
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        writeln!(f, "{}: {value}", title_case(name.as_str()))?;
    }
    Ok(())
}

/// Spells a name as it mostly is, `Content-Type`; there are clients that look for it spelt so.
pub(super) fn title_case(name: &str) -> String {
    let mut starts = true;
    let spell = |character: char| {
        let spelt = if starts {
            character.to_ascii_uppercase()
        } else {
            character
        };
        starts = character == '-';
        spelt
    };
    match name {
        "etag" => "ETag".to_owned(),
        name => name.chars().map(spell).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_says_its_attributes_in_the_order_of_old_programs() {
        let check = |options: &CookieOptions, expected: &str| {
            let mut headers = HeaderMap::new();
            set_cookie(&mut headers, "a", "b", options).unwrap();
            assert_eq!(headers[header::SET_COOKIE], expected);
        };
        let all = CookieOptions::default()
            .domain("x.org".to_owned())
            .path("/".to_owned());
        check(
            &all,
            "a=b; Max-Age=86400; Domain=x.org; Path=/; Secure; SameSite=Strict; HttpOnly",
        );
        let none = all.max_age(None).domain(None).path(None).secure(false);
        check(&none.same_site_strict(false).http_only(false), "a=b");
        let mut headers = HeaderMap::new();
        for value in ["x; Domain=evil.org", "x\r\nSet-Cookie: y=z"] {
            set_cookie(&mut headers, "a", value, &CookieOptions::default()).unwrap_err();
        }
        assert!(headers.is_empty());
    }

    #[test]
    fn cookies_of_a_request_are_told_one_by_one() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=x=y;c"));
        headers.append(header::COOKIE, HeaderValue::from_static("a=2"));
        let found: Vec<_> = cookies(&headers).collect();
        assert_eq!(found, [("a", "1"), ("b", "x=y"), ("a", "2")]);
        let mut headers = HeaderMap::new();
        add_cookie(&mut headers, "a", "1").unwrap();
        add_cookie(&mut headers, "b", "2").unwrap();
        add_cookie(&mut headers, "c", "3; d=4").unwrap_err();
        assert_eq!(headers[header::COOKIE], "a=1; b=2");
    }

    #[test]
    fn the_printed_form_is_that_of_old_programs() {
        let request = request_with_body(Method::POST, "/api/cache?key=a", "hello").unwrap();
        assert_eq!(
            Printed::Request(&request).to_string(),
            "Request method: POST\nRequest URL: /api/cache?key=a\nRequest protocol: HTTP/1.1\nRequest headers: 2\n\
             Content-Type: text/plain; charset=UTF-8\nContent-Length: 5\nRequest body:5\nhello\n"
        );
        let response = error_response(StatusCode::NOT_FOUND, "no");
        assert_eq!(
            Printed::Response(&response).to_string(),
            "Status: 404\nStatus phrase: Not Found\nProtocol: HTTP/1.1\nHeaders: 1\n\
             Content-Type: text/plain; charset=UTF-8\nBody:2\nno\n"
        );
    }

    #[test]
    fn built_messages_say_what_those_of_old_programs_said() {
        let head = request(Method::HEAD, "http://a/b").unwrap();
        assert_eq!(head.headers()[header::CONTENT_LENGTH], "0");
        let options = options_response(ALL_METHODS);
        assert_eq!(options.headers()[header::ALLOW], ALL_METHODS);
        let trace = trace_response("TRACE / HTTP/1.1\r\n\r\n");
        assert_eq!(trace.headers()[header::CONTENT_TYPE], "message/http");
        assert_eq!(trace.body().len(), 20);
    }
}
