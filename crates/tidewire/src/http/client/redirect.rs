//! Following a response to another address (RFC 9110 section 15.4).

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, header, uri::Scheme};

use super::RequestError;
use crate::http::shortcuts::is_secret;

/// A request that may have to be sent again elsewhere.
pub(super) struct Redirect {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    version: Version,
    body: Bytes,
}

impl Redirect {
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            version: request.version(),
            body: request.body().clone(),
        }
    }

    /// The next request; `None` when the response redirects to nowhere.
    pub(super) fn follow<B>(
        mut self,
        response: &Response<B>,
    ) -> Result<Option<Request<Bytes>>, RequestError> {
        let status = response.status();
        let keeps_method = match status {
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => {
                self.method == Method::GET || self.method == Method::HEAD
            }
            _ => return Ok(None),
        };
        let Some(location) = response.headers().get(header::LOCATION) else {
            return Ok(None);
        };
        let location = location
            .to_str()
            .map_err(|error| RequestError::Response(error.into()))?;
        let target = resolve(&self.uri, location)?;
        if self.uri.scheme() == Some(&Scheme::HTTPS) && target.scheme() != Some(&Scheme::HTTPS) {
            let insecure = "a redirection from https to http is not followed";
            return Err(RequestError::Response(insecure.into()));
        }
        if target.authority() != self.uri.authority() {
            let secrets: Vec<_> = self
                .headers
                .keys()
                .filter(|name| is_secret(name.as_str()))
                .cloned()
                .collect();
            for name in secrets {
                self.headers.remove(name);
            }
        }
        self.headers.remove(header::HOST);
        if !keeps_method {
            self.method = Method::GET;
            self.body = Bytes::new();
            for name in [
                header::CONTENT_TYPE,
                header::CONTENT_LENGTH,
                header::CONTENT_ENCODING,
            ] {
                self.headers.remove(name);
            }
        }
        let mut next = Request::new(self.body);
        *next.method_mut() = self.method;
        *next.uri_mut() = target;
        *next.version_mut() = self.version;
        *next.headers_mut() = self.headers;
        Ok(Some(next))
    }
}

/// An absolute URL, a host, a path, a query, or a path beside the one of before (RFC 3986 section 4.2).
fn resolve(base: &Uri, location: &str) -> Result<Uri, RequestError> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let text = if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else if has_scheme(location) {
        location.to_owned()
    } else {
        let folder = base
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _name)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    text.parse()
        .map_err(|error: http::uri::InvalidUri| RequestError::Response(error.into()))
}

/// A colon behind the first `/` or `?` belongs to a path or query.
fn has_scheme(location: &str) -> bool {
    let Some((scheme, _rest)) = location.split_once(':') else {
        return false;
    };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(
        method: Method,
        status: u16,
        location: &str,
    ) -> Result<Option<Request<Bytes>>, RequestError> {
        let request = Request::builder()
            .method(method)
            .uri("https://a/x/y?z")
            .header("authorization", "secret")
            .header("content-type", "a/b")
            .body(Bytes::from_static(b"body"));
        let response = Response::builder()
            .status(status)
            .header("location", location)
            .body(());
        Redirect::of(&request.unwrap()).follow(&response.unwrap())
    }

    #[test]
    fn a_location_is_read_against_the_address_of_before() {
        for (location, expected) in [
            ("https://b:8443/c?d#e", "https://b:8443/c?d"),
            ("//b/c", "https://b/c"),
            ("/c", "https://a/c"),
            ("/c?next=https://b/d", "https://a/c?next=https://b/d"),
            ("//b/c?next=https://d/", "https://b/c?next=https://d/"),
            ("c/d", "https://a/x/c/d"),
            ("c?next=https://b/d", "https://a/x/c?next=https://b/d"),
            ("?next=https://b/d", "https://a/x/y?next=https://b/d"),
            ("./c:d", "https://a/x/./c:d"),
        ] {
            let next = follow(Method::GET, 302, location).unwrap().unwrap();
            assert_eq!(next.uri().to_string(), expected, "{location}");
        }
    }

    #[test]
    fn a_location_that_is_no_address_of_http_is_not_followed() {
        for location in ["mailto:c", "c:d", "ftp://b/c", "https:", "https:/c"] {
            follow(Method::GET, 302, location).expect_err(location);
        }
    }

    #[test]
    fn the_method_stays_where_the_status_says_so() {
        for (method, status, expected, body) in [
            (Method::POST, 301, Method::GET, 0),
            (Method::PUT, 303, Method::GET, 0),
            (Method::HEAD, 302, Method::HEAD, 4),
            (Method::POST, 307, Method::POST, 4),
            (Method::DELETE, 308, Method::DELETE, 4),
        ] {
            let next = follow(method, status, "/c").unwrap().unwrap();
            assert_eq!(
                (next.method(), next.body().len()),
                (&expected, body),
                "{status}"
            );
            assert_eq!(
                next.headers().contains_key("content-type"),
                body > 0,
                "{status}"
            );
        }
        assert!(follow(Method::GET, 200, "/c").unwrap().is_none());
        assert!(follow(Method::GET, 304, "/c").unwrap().is_none());
    }

    #[test]
    fn credentials_stay_with_their_host_and_https_is_not_left() {
        let same = follow(Method::GET, 302, "/c").unwrap().unwrap();
        assert!(same.headers().contains_key("authorization"));
        let other = follow(Method::GET, 302, "https://b/").unwrap().unwrap();
        assert!(!other.headers().contains_key("authorization"));
        follow(Method::GET, 302, "http://a/").expect_err("insecure");
    }
}
