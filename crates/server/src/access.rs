//! Who may come in: the page's origin, the host name asked for, the credentials.
//!
//! In: the fields of a request. Out: yes, or an HTTP refusal. Invariant: a browser page of
//! another origin gets nothing by riding on the user's network position or stored credentials
//! (cross-site WebSocket hijacking, DNS rebinding).

use std::sync::Arc;

use tidewire::{
    http::{is_loopback_name, is_same_origin},
    proto::handshake::RequestHead,
    ws::Refusal,
};
use tidewire_auth::{Authenticator, Headers};

use crate::config::AllowedOrigins;

/// The rules of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) auth: Arc<Authenticator>,
    pub(crate) allowed_origins: Arc<AllowedOrigins>,
    pub(crate) secure: bool,
    /// Listening on loopback without credentials: only the names of loopback may be asked for.
    /// A page that rebinds its own name to 127.0.0.1 is of the same origin as that name.
    pub(crate) loopback_names_only: bool,
}

impl Access {
    /// Origin and host of a request; credentials are checked apart.
    pub(crate) fn check_origin(&self, head: &impl Fields) -> Result<(), Refusal> {
        let host = head
            .single("host")
            .and_then(|host| std::str::from_utf8(host).ok())
            .unwrap_or_default();
        // Every browser names the host; health checks that speak HTTP/1.0 do not.
        let is_named = head.count("host") > 0;
        if self.loopback_names_only
            && is_named
            && !is_loopback_name(host)
            && !self.is_allowed_host(host)
        {
            return Err(Refusal::new(
                421,
                "without authentication only localhost may be asked for; see server.allowed_origins and server.auth",
            ));
        }
        let origins = head.count("origin");
        if origins == 0 {
            return Ok(()); // no browser, or a same-origin request of one
        }
        let origin = head
            .single("origin")
            .and_then(|origin| std::str::from_utf8(origin).ok());
        match origin {
            Some(origin)
                if is_same_origin(origin, host, Some(self.secure))
                    || self.allowed_origins.allows(origin) =>
            {
                Ok(())
            }
            _ => {
                tracing::debug!(
                    ?origin,
                    "refused an origin that is not in server.allowed_origins"
                );
                Err(Refusal::new(
                    403,
                    "this origin may not connect; see server.allowed_origins",
                ))
            }
        }
    }

    /// A host whose origin was allowed by name, such as that of a proxy in front.
    fn is_allowed_host(&self, host: &str) -> bool {
        ["http://", "https://"]
            .iter()
            .any(|scheme| match self.allowed_origins.as_ref() {
                AllowedOrigins::Any => true,
                AllowedOrigins::Only(_) => self
                    .allowed_origins
                    .allows(&format!("{scheme}{host}").to_ascii_lowercase()),
            })
    }
}

/// Header fields by name, of whatever parser.
pub(crate) trait Fields {
    /// The value of the only field with this name.
    fn single(&self, name: &str) -> Option<&[u8]>;
    /// How many fields have this name.
    fn count(&self, name: &str) -> usize;
}

impl Fields for RequestHead {
    fn single(&self, name: &str) -> Option<&[u8]> {
        Self::single(self, name)
    }

    fn count(&self, name: &str) -> usize {
        self.fields()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .count()
    }
}

impl Fields for axum::http::HeaderMap {
    fn single(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.get_all(name).iter();
        let first = values.next()?;
        if values.next().is_some() {
            None
        } else {
            Some(first.as_bytes())
        }
    }

    fn count(&self, name: &str) -> usize {
        self.get_all(name).iter().count()
    }
}

/// The toolkit's request head for the authenticator.
pub(crate) struct HeadHeaders<'a>(pub(crate) &'a RequestHead);

impl Headers for HeadHeaders<'_> {
    fn values<'a>(&'a self, name: &str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        let name = name.to_owned();
        Box::new(
            self.0
                .fields()
                .filter(move |(field, _)| field.eq_ignore_ascii_case(&name))
                .map(|(_, value)| value),
        )
    }
}

/// The HTTP library's fields for the authenticator.
pub(crate) struct MapHeaders<'a>(pub(crate) &'a axum::http::HeaderMap);

impl Headers for MapHeaders<'_> {
    fn values<'a>(&'a self, name: &str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        Box::new(
            self.0
                .get_all(name)
                .iter()
                .map(axum::http::HeaderValue::as_bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use tidewire_auth::{AuthConfig, NoLookup};

    use super::*;

    fn check(
        origin: Option<&str>,
        host: &str,
        allowed: &[&str],
        secure: bool,
        loopback_names_only: bool,
    ) -> u16 {
        let access = Access {
            auth: Arc::new(AuthConfig::NoAuth.resolve(&NoLookup).unwrap()),
            allowed_origins: Arc::new(AllowedOrigins::Only(
                allowed.iter().map(|o| (*o).to_owned()).collect(),
            )),
            secure,
            loopback_names_only,
        };
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        access
            .check_origin(&headers)
            .map_or_else(|refusal| refusal.status, |()| 200)
    }

    #[test]
    fn only_the_same_origin_and_allowed_ones_come_in() {
        let host = "chat.example:8085";
        for (origin, status) in [
            (None, 200),
            (Some("http://chat.example:8085"), 200),
            (Some("http://CHAT.example:8085"), 200),
            (Some("https://chat.example:8085"), 403),
            (Some("http://chat.example"), 403),
            (Some("http://chat.example:80850"), 403),
            (Some("http://evil.chat.example:8085"), 403),
            (Some("http://chat.example:8085.evil.example"), 403),
            (Some("http://chat.example.:8085"), 403),
            (Some("null"), 403),
            (Some("http://"), 403),
            (Some("https://app.example"), 200),
            (Some("https://app.example.evil"), 403),
        ] {
            assert_eq!(
                check(origin, host, &["https://app.example"], false, false),
                status,
                "{origin:?}"
            );
        }
        assert_eq!(
            check(
                Some("https://chat.example"),
                "chat.example",
                &[],
                true,
                false
            ),
            200
        );
        assert_eq!(
            check(
                Some("https://chat.example"),
                "chat.example:443",
                &[],
                true,
                false
            ),
            200
        );
        assert_eq!(check(Some("http://"), "", &[], false, false), 403);
    }

    /// A page cannot leave it out, so there is no name that could have been rebound.
    #[test]
    fn a_request_without_a_host_comes_in_unless_it_is_a_pages() {
        let access = Access {
            auth: Arc::new(AuthConfig::NoAuth.resolve(&NoLookup).unwrap()),
            allowed_origins: Arc::new(AllowedOrigins::Only(Vec::new())),
            secure: false,
            loopback_names_only: true,
        };
        let mut headers = HeaderMap::new();
        assert!(access.check_origin(&headers).is_ok());
        headers.insert("origin", "http://evil.example".parse().unwrap());
        assert_eq!(access.check_origin(&headers).unwrap_err().status, 403);
    }

    #[test]
    fn on_loopback_without_credentials_only_loopback_names_are_served() {
        for (host, status) in [
            ("localhost:8085", 200),
            ("127.0.0.1:8085", 200),
            ("127.8.8.8", 200),
            ("[::1]:8085", 200),
            ("rebound.example:8085", 421),
            ("localhost.example", 421),
            ("proxy.example", 200),
            ("", 421),
        ] {
            assert_eq!(
                check(None, host, &["https://proxy.example"], false, true),
                status,
                "{host}"
            );
        }
    }
}
