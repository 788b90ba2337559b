//! Who may come in: the page's origin, the host name asked for, the credentials.
//!
//! In: the fields of a request. Out: yes, or an HTTP refusal. Invariant: a browser page of
//! another origin gets nothing by riding on the user's network position or stored credentials
//! (cross-site WebSocket hijacking, DNS rebinding).

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use axum::http::Request;
use tidewire::{
    http::{self, ForeignOrigin, RequestTarget, is_behind_proxy, is_loopback_name},
    proto::handshake::RequestHead,
    ws::{Forwarded, Peer, Refusal, TrustedProxies},
};
use tidewire_access::Gate;

use crate::config::AllowedOrigins;

/// The rules of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) auth: Gate,
    pub(crate) allowed_origins: Arc<AllowedOrigins>,
    pub(crate) secure: bool,
    /// Listening on loopback without credentials: only the names of loopback may be asked for.
    /// A page that rebinds its own name to 127.0.0.1 is of the same origin as that name.
    pub(crate) loopback_names_only: bool,
    /// Proxies in front that tell who asks for what.
    pub(crate) trusted_proxies: Arc<TrustedProxies>,
    /// The port it listens on, once that is known.
    pub(crate) port: Arc<OnceLock<Option<u16>>>,
}

impl Access {
    /// Origin and host of a request; credentials are checked apart.
    pub(crate) fn check_origin(&self, head: &impl Fields, peer: &Peer) -> Result<(), Refusal> {
        let host = head
            .single("host")
            .and_then(|host| std::str::from_utf8(host).ok())
            .unwrap_or_default();
        let told = self.told(head, peer);
        // Every browser names the host; health checks that speak HTTP/1.0 do not.
        let is_named = !head.all("host").is_empty();
        if self.loopback_names_only
            && is_named
            && !is_loopback_name(host)
            && !self.is_allowed_host(host)
            && !self.is_behind_proxy(host, &told)
        {
            tracing::info!(host = host_shown(host), "refused a host: {NOT_LOOPBACK}");
            return Err(Refusal::new(421, NOT_LOOPBACK));
        }
        if *self.allowed_origins == AllowedOrigins::Any {
            return Ok(());
        }
        let target = RequestTarget::new(host, Some(self.secure), &told);
        let listed = self.allowed_origins.listed();
        http::check_origin(head.all("origin"), &target, listed).map_err(|foreign| {
            let ForeignOrigin { origin, asked, .. } = &foreign;
            let (key, reason) = ("server.allowed_origins", "this origin may not connect");
            if let Some(differs) = foreign.differs {
                tracing::info!(
                    key, origin, asked, %differs,
                    "refused a page's origin that has the host's name: behind a proxy, set trusted_proxies"
                );
                let hint = "and behind a proxy server.trusted_proxies";
                return Refusal::new(403, format!("{reason}; see {key}, {hint}"));
            }
            tracing::info!(key, origin, asked, "refused a page's origin");
            Refusal::new(403, format!("{reason}; see {key}"))
        })
    }

    /// The client's address, as far as it can be believed.
    pub(crate) fn client(&self, head: &impl Fields, peer: &Peer) -> Option<IpAddr> {
        self.told(head, peer).client
    }

    fn told(&self, head: &impl Fields, peer: &Peer) -> Forwarded {
        self.trusted_proxies.forwarded(peer, |name| head.all(name))
    }

    fn is_behind_proxy(&self, host: &str, told: &Forwarded) -> bool {
        let own = self.port.get();
        own.is_some_and(|own| is_behind_proxy(host, self.secure, *own, told))
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

const NOT_LOOPBACK: &str = "without authentication only localhost may be asked for; see server.auth, \
    server.allowed_origins, and behind a proxy server.trusted_proxies";

/// As much of a host as belongs into a log.
fn host_shown(host: &str) -> &str {
    host.get(..128).unwrap_or(host)
}

/// Header fields by name, of whatever parser.
pub(crate) trait Fields {
    /// The value of the only field with this name.
    fn single(&self, name: &str) -> Option<&[u8]>;
    /// The values of all fields with this name, in order.
    fn all(&self, name: &str) -> Vec<&[u8]>;
}

impl Fields for RequestHead {
    fn single(&self, name: &str) -> Option<&[u8]> {
        Self::single(self, name)
    }

    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.values_of(name)
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

    fn all(&self, name: &str) -> Vec<&[u8]> {
        let values = self.get_all(name).iter();
        values.map(axum::http::HeaderValue::as_bytes).collect()
    }
}

/// Who sent a request, as the toolkit's HTTP server notes it.
pub(crate) fn peer_of<B>(request: &Request<B>) -> Arc<Peer> {
    let peer = request.extensions().get::<Arc<Peer>>();
    peer.cloned().unwrap_or_default()
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
            auth: Gate::new(AuthConfig::NoAuth.resolve(&NoLookup).unwrap()).unwrap(),
            allowed_origins: Arc::new(AllowedOrigins::Only(
                allowed.iter().map(|o| (*o).to_owned()).collect(),
            )),
            secure,
            loopback_names_only,
            trusted_proxies: Arc::default(),
            port: Arc::default(),
        };
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        access
            .check_origin(&headers, &Peer::default())
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
            auth: Gate::new(AuthConfig::NoAuth.resolve(&NoLookup).unwrap()).unwrap(),
            allowed_origins: Arc::new(AllowedOrigins::Only(Vec::new())),
            secure: false,
            loopback_names_only: true,
            trusted_proxies: Arc::default(),
            port: Arc::default(),
        };
        let peer = Peer::default();
        let mut headers = HeaderMap::new();
        assert!(access.check_origin(&headers, &peer).is_ok());
        headers.insert("origin", "http://evil.example".parse().unwrap());
        let refusal = access.check_origin(&headers, &peer).unwrap_err();
        assert_eq!(refusal.status, 403);
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

    /// A request of 127.0.0.1, which is a trusted proxy.
    fn proxied(fields: &[(&'static str, &str)], loopback_names_only: bool) -> u16 {
        let access = Access {
            auth: Gate::new(AuthConfig::NoAuth.resolve(&NoLookup).unwrap()).unwrap(),
            allowed_origins: Arc::new(AllowedOrigins::Only(Vec::new())),
            secure: false,
            loopback_names_only,
            trusted_proxies: Arc::new(TrustedProxies {
                networks: vec!["127.0.0.0/8".parse().unwrap()],
                by: tidewire::ws::ForwardedBy::Either,
            }),
            port: Arc::new(Some(8085).into()),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let mut peer = Peer::default();
        peer.address = Some("127.0.0.1:5000".parse().unwrap());
        access
            .check_origin(&headers, &peer)
            .map_or_else(|refusal| refusal.status, |()| 200)
    }

    /// Also: `X-Forwarded-Port`, `Forwarded`, the port dropped by `Host $host`.
    #[test]
    fn pages_behind_a_trusted_proxy_are_of_the_origin_that_it_tells() {
        let secure = "https://chat.example";
        let port = "http://localhost:8080";
        for (host, origin, (name, value), status) in [
            ("chat.example", secure, ("x-forwarded-proto", "https"), 200),
            (
                "chat.example",
                secure,
                ("x-forwarded-proto", "https, http"),
                200,
            ),
            (
                "chat.example",
                secure,
                ("forwarded", "for=192.0.2.1;proto=https"),
                200,
            ),
            (
                "inner:1",
                secure,
                ("forwarded", "proto=https;host=chat.example"),
                200,
            ),
            (
                "chat.example",
                secure,
                ("x-forwarded-for", "192.0.2.1"),
                403,
            ),
            ("chat.example", secure, ("x-forwarded-proto", "http"), 403),
            (
                "localhost",
                port,
                ("x-forwarded-host", "localhost:8080"),
                200,
            ),
            ("localhost", port, ("x-forwarded-port", "8080"), 200),
            ("localhost", port, ("x-other", "8080"), 403),
        ] {
            let fields = [("host", host), ("origin", origin), (name, value)];
            assert_eq!(proxied(&fields, false), status, "{fields:?}");
        }
    }

    #[test]
    fn a_proxys_names_are_served_without_credentials_but_no_rebound_one() {
        let told = ("x-forwarded-for", "192.0.2.1");
        for (fields, status) in [
            (&[("host", "chat.example"), told][..], 200),
            (&[("host", "chat.example:8080"), told], 200),
            (
                &[
                    ("host", "chat.example"),
                    ("x-forwarded-host", "chat.example:8443"),
                ],
                200,
            ),
            (
                &[("host", "chat.example"), ("forwarded", "proto=https")],
                200,
            ),
            // A browser that has connected to us writes our port.
            (&[("host", "rebound.example:8085"), told], 421),
            (
                &[
                    ("host", "rebound.example:8085"),
                    ("x-forwarded-host", "localhost"),
                ],
                421,
            ),
            // Nothing is told: it may be anybody on this machine.
            (&[("host", "chat.example")], 421),
            // No browser leaves the host out; a health check may.
            (&[told], 200),
        ] {
            assert_eq!(proxied(fields, true), status, "{fields:?}");
        }
    }
}
