//! Who may use the admin listener: host, origin, kind of request, credentials.
//!
//! In: a request's fields. Out: yes, or an HTTP refusal. Invariants: a page of another origin gets nothing and changes
//! nothing by riding on the operator's network position (DNS rebinding) or on credentials the browser
//! remembers (cross-site request forgery). There are no cookies of ours.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tidewire::{
    http::{
        ForeignOrigin, RequestTarget, challenge, check_origin, is_behind_proxy, is_loopback_name,
        protect_page,
    },
    net::Peer,
    ws::{Forwarded, TrustedProxies},
};
use tidewire_access::{Gate, certificate_names};
use tidewire_auth::{CertificatePart, Denied, Headers};

use super::error::AdminError;
use crate::settings;

/// A field that pages of other origins cannot send without being allowed to, which they never are.
const OWN_HEADER: &str = "x-tidewire-admin";

/// Everything from this server, nothing from elsewhere, no frame around the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// The rules of the listener.
#[derive(Clone, Debug)]
pub(super) struct Access {
    auth: Option<Gate>,
    /// Nobody is asked for credentials: only the names of loopback may be asked for. A page that
    /// rebinds its own name to 127.0.0.1 is of the same origin as that name.
    loopback_names_only: bool,
    proxies: Arc<TrustedProxies>,
    /// The port it listens on, once that is known.
    pub(super) port: Arc<OnceLock<Option<u16>>>,
}

impl Access {
    /// `None`: everybody could come in from everywhere.
    pub(super) fn new(settings: &settings::Admin) -> Option<Self> {
        let auth = settings.auth.clone().filter(|auth| !auth.is_open());
        let is_open = auth.is_none();
        (!is_open || settings.address.is_local()).then_some(Self {
            auth,
            loopback_names_only: is_open,
            proxies: Arc::new(settings.proxies.clone()),
            port: Arc::default(),
        })
    }

    fn is_behind_proxy(&self, host: &str, told: &Forwarded) -> bool {
        let own = self.port.get();
        own.is_some_and(|own| is_behind_proxy(host, false, *own, told))
    }

    fn check_origin(
        &self,
        method: &Method,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<(), AdminError> {
        let host = single(headers, header::HOST).unwrap_or_default();
        let values = |name: &str| {
            let values = headers.get_all(name).iter();
            values.map(HeaderValue::as_bytes).collect()
        };
        let told = self.proxies.forwarded(peer, values);
        // Probes in HTTP/1.0 name no host; browsers do.
        let is_named = headers.contains_key(header::HOST);
        if self.loopback_names_only
            && is_named
            && !is_loopback_name(host)
            && !self.is_behind_proxy(host, &told)
        {
            tracing::info!(
                host = host.get(..128).unwrap_or(host),
                "refused a host on the admin listener: {NOT_LOOPBACK}"
            );
            return Err(AdminError::new(421, NOT_LOOPBACK));
        }
        let target = RequestTarget::new(host, None, &told);
        check_origin(values("origin"), &target, &[]).map_err(|foreign| {
            let ForeignOrigin { origin, asked, .. } = &foreign;
            tracing::info!(
                origin,
                asked,
                "refused a page's origin on the admin listener"
            );
            AdminError::new(
                403,
                "this origin may not call; behind a proxy see admin.trusted_proxies",
            )
        })?;
        if method != Method::GET && method != Method::HEAD && !is_ours(headers) {
            return Err(AdminError::new(
                403,
                "a change needs Content-Type: application/json or the field X-Tidewire-Admin",
            ));
        }
        Ok(())
    }

    /// The answer to a request without valid credentials.
    async fn denial(&self, headers: &HeaderMap, peer: &Peer) -> Option<Response> {
        let auth = self.auth.as_ref()?;
        let denied = auth.check(&Fields { headers, peer }).await.err()?;
        tracing::debug!(%denied, "refused on the admin listener");
        if denied == Denied::Unavailable {
            let text = "the credentials cannot be checked now; try again later";
            return Some(AdminError::new(503, text).into_response());
        }
        let response = AdminError::new(401, "valid credentials are needed").into_response();
        Some(challenge(response, auth.challenge()))
    }

    /// Returns whether a browser can ask for the credentials before it loads the page. Otherwise the page must come
    /// first, so that it can ask.
    fn browser_asks(&self) -> bool {
        let auth = self.auth.as_ref();
        auth.is_some_and(|auth| auth.challenge().is_some())
    }
}

/// The path that tells everybody whether the gateway serves.
pub(super) const HEALTH: &str = "/health";

const NOT_LOOPBACK: &str = "without authentication only localhost may be asked for; see admin.auth, and behind a \
    proxy admin.trusted_proxies";

/// Host, origin and kind of request, before anything else.
pub(super) async fn origin(State(access): State<Access>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Arc<Peer>>();
    let peer = peer.cloned().unwrap_or_default();
    peer.touch();
    let is_probe =
        request.uri().path() == HEALTH && !request.headers().contains_key(header::ORIGIN);
    let checked = if is_probe {
        // Balancers ask by any name or address.
        Ok(())
    } else {
        access.check_origin(request.method(), request.headers(), &peer)
    };
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    protect_page(response.headers_mut(), CONTENT_SECURITY_POLICY);
    let kept = response.headers_mut().entry(header::CACHE_CONTROL);
    kept.or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Credentials of everything but the page.
pub(super) async fn credentials(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Arc<Peer>>();
    let peer = peer.cloned().unwrap_or_default();
    match access.denial(request.headers(), &peer).await {
        None => {
            if access.auth.is_some() {
                peer.trust();
            }
            next.run(request).await
        }
        Some(denial) => denial,
    }
}

/// Credentials of the page's files, where a browser can ask for them.
pub(super) async fn page_credentials(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Response {
    if access.browser_asks() {
        return credentials(State(access), request, next).await;
    }
    next.run(request).await
}

/// Returns whether a request is of a kind that a browser lets foreign pages send only after asking us.
fn is_ours(headers: &HeaderMap) -> bool {
    let json = single(headers, header::CONTENT_TYPE).is_some_and(|kind| {
        let essence = kind.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    });
    json || headers.contains_key(OWN_HEADER)
}

/// The value of the only field with this name.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    first.to_str().ok()
}

/// The fields for the authenticator.
struct Fields<'a> {
    headers: &'a HeaderMap,
    peer: &'a Peer,
}

impl Headers for Fields<'_> {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        Box::new(self.headers.get_all(name).iter().map(HeaderValue::as_bytes))
    }

    fn certificate_names(&self, part: CertificatePart) -> Vec<String> {
        certificate_names(self.peer, part)
    }
}

#[cfg(test)]
mod tests {
    use tidewire::ws::ForwardedBy;
    use tidewire_auth::{AuthConfig, NoLookup};

    use super::*;

    fn access(address: &str, auth: &str) -> Option<Access> {
        let auth: AuthConfig = serde_json::from_str(auth).unwrap();
        Access::new(&settings::Admin {
            auth: Some(Gate::new(auth.resolve(&NoLookup).unwrap()).unwrap()),
            proxies: TrustedProxies {
                networks: vec!["192.0.2.1".parse().unwrap()],
                by: ForwardedBy::Either,
            },
            ..settings::Admin::new(address.parse().unwrap())
        })
    }

    fn check(access: &Access, method: &Method, fields: &[(&str, &str)]) -> u16 {
        check_from("192.0.2.2:1", access, method, fields)
    }

    fn check_from(from: &str, access: &Access, method: &Method, fields: &[(&str, &str)]) -> u16 {
        let mut peer = Peer::default();
        peer.address = Some(from.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let checked = access.check_origin(method, &headers, &peer);
        checked.map_or_else(|error| error.into_response().status().as_u16(), |()| 200)
    }

    const OPEN: &str = r#"{"type": "noauth"}"#;
    const BEARER: &str = r#"{"type": "bearer", "value": "t"}"#;

    #[test]
    fn who_is_reachable_from_elsewhere_asks_for_credentials() {
        assert!(access("127.0.0.1:0", OPEN).is_some());
        assert!(access("[::1]:0", OPEN).is_some());
        assert!(access("0.0.0.0:0", OPEN).is_none());
        assert!(access("192.0.2.1:0", OPEN).is_none());
        assert!(access("0.0.0.0:0", BEARER).is_some());
    }

    #[test]
    fn without_credentials_only_loopback_names_are_served() {
        let open = access("127.0.0.1:0", OPEN).unwrap();
        let closed = access("127.0.0.1:0", BEARER).unwrap();
        for (host, status) in [
            ("localhost:8091", 200),
            ("127.0.0.1:8091", 200),
            ("[::1]:8091", 200),
            ("127.8.8.8", 200),
            ("rebound.example:8091", 421),
            ("localhost.example", 421),
            ("127.0.0.1.example", 421),
            ("", 421),
        ] {
            let fields = [("host", host)];
            assert_eq!(check(&open, &Method::GET, &fields), status, "{host}");
            assert_eq!(check(&closed, &Method::GET, &fields), 200, "{host}");
        }
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(check(&open, &Method::GET, &twice), 421);
    }

    #[test]
    fn pages_of_other_origins_get_nothing() {
        let closed = access("127.0.0.1:0", BEARER).unwrap();
        for (origin, status) in [
            ("http://gateway.example:8091", 200),
            ("https://GATEWAY.example:8091", 200),
            ("http://gateway.example", 403),
            ("http://gateway.example:8091/", 200),
            ("http://evil.example", 403),
            ("http://", 403),
            ("null", 403),
            ("", 403),
        ] {
            let fields = [("host", "gateway.example:8091"), ("origin", origin)];
            assert_eq!(check(&closed, &Method::GET, &fields), status, "{origin}");
        }
        let fields = [("host", ""), ("origin", "http://")];
        assert_eq!(check(&closed, &Method::GET, &fields), 403);
    }

    #[test]
    fn what_trusted_proxies_tell_counts_and_nobody_elses_word() {
        let closed = access("127.0.0.1:0", BEARER).unwrap();
        let open = access("127.0.0.1:0", OPEN).unwrap();
        open.port.set(Some(8091)).unwrap();
        let told = [
            ("host", "127.0.0.1"),
            ("x-forwarded-host", "admin.example"),
            ("x-forwarded-proto", "https"),
            ("origin", "https://admin.example"),
        ];
        let forwarded = [
            ("host", "admin.example"),
            (
                "forwarded",
                "for=198.51.100.1;host=\"admin.example:444\";proto=https",
            ),
            ("origin", "https://admin.example:444"),
        ];
        let foreign = [
            ("host", "admin.example"),
            ("x-forwarded-host", "admin.example"),
            ("origin", "https://evil.example"),
        ];
        let rebound = [("host", "evil.example:8091"), ("x-forwarded-proto", "http")];
        for (fields, of_proxy, of_others) in [
            (&told[..], 200, 403),
            (&forwarded, 200, 403),
            (&foreign, 403, 403),
            (&rebound, 200, 200),
        ] {
            let status = |from| check_from(from, &closed, &Method::GET, fields);
            assert_eq!(status("192.0.2.1:1"), of_proxy, "{fields:?}");
            assert_eq!(status("192.0.2.2:1"), of_others, "{fields:?}");
        }
        for (fields, of_proxy) in [(&told[..], 200), (&forwarded, 200), (&rebound, 421)] {
            let status = check_from("192.0.2.1:1", &open, &Method::GET, fields);
            assert_eq!(status, of_proxy, "{fields:?}");
        }
        assert_eq!(check(&open, &Method::GET, &forwarded), 421);
        assert_eq!(check(&open, &Method::GET, &[]), 200, "a probe in HTTP/1.0");
    }

    #[test]
    fn a_change_needs_what_a_foreign_form_cannot_send() {
        let access = access("127.0.0.1:0", OPEN).unwrap();
        let host = ("host", "localhost");
        for (field, status) in [
            (("content-type", "application/json"), 200),
            (("content-type", "Application/JSON; charset=utf-8"), 200),
            (("x-tidewire-admin", "1"), 200),
            (("content-type", "text/plain"), 403),
            (("content-type", "text/plain; application/json"), 403),
            (("content-type", "application/x-www-form-urlencoded"), 403),
            (("accept", "application/json"), 403),
        ] {
            for method in &[Method::POST, Method::PUT, Method::DELETE] {
                assert_eq!(check(&access, method, &[host, field]), status, "{field:?}");
            }
            assert_eq!(check(&access, &Method::GET, &[host, field]), 200);
        }
    }
}
