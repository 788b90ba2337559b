//! Which web pages a request may come from (RFC 6455 section 10.2).
//!
//! In: the `Origin` that a browser sends, what was asked for, and a list of further origins. Out: whether the page is
//! one of ours, or why not. Invariant: what is no origin fits nothing.

use std::fmt;

use tidewire_proto::proxy::Forwarded;

/// The address that a client has asked for, as its browser names it in the origins of pages from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget {
    /// In lower case, with the ports that it may have had: proxies tell the port beside the host, and may drop it.
    hosts: Vec<String>,
    /// `None`: not known.
    secure: Option<bool>,
}

/// Why a page may not use a server: it comes from elsewhere, and is not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignOrigin {
    /// Its origin as far as it can be shown; empty if there were several or none that is text.
    pub origin: String,
    /// The address that was asked for, such as `http://chat.example:8085`.
    pub asked: String,
    /// The part in which it differs, if it has the same name: then a proxy in front may not have been understood.
    pub differs: Option<Difference>,
}

/// In what the origin of a page differs from that of the server it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// `https` and `http`: TLS ends in front of the server.
    Scheme,
    /// The port: a proxy listens on another one.
    Port,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "scheme",
            Self::Port => "port",
        })
    }
}

impl RequestTarget {
    /// The address that was asked for by the `Host` field of a request on a connection with or without TLS, and what trusted
    /// proxies have told of it, which counts more. `secure` is `None` for a server that does not know whether a proxy
    /// in front does TLS.
    pub fn new(host: &str, secure: Option<bool>, forwarded: &Forwarded) -> Self {
        let host = forwarded.host.as_deref().unwrap_or(host);
        let host = host.to_ascii_lowercase();
        let mut hosts = Vec::new();
        if let Some(port) = forwarded.port {
            let (name, _port) = split_port(&host);
            hosts.push(format!("{name}:{port}"));
        }
        hosts.push(host);
        Self {
            hosts,
            secure: forwarded.secure.or(secure),
        }
    }

    /// Returns whether a page of this origin is one that came from here.
    fn is_of(&self, origin: &Origin<'_>) -> bool {
        let is_scheme = match self.secure {
            Some(true) => origin.scheme == "https",
            Some(false) => origin.scheme == "http",
            None => matches!(origin.scheme, "http" | "https"),
        };
        is_scheme && self.hosts.iter().any(|host| origin.is_at(host))
    }

    fn difference(&self, origin: &Origin<'_>) -> Option<Difference> {
        if !matches!(origin.scheme, "http" | "https") {
            return None;
        }
        if self.hosts.iter().any(|host| origin.is_at(host)) {
            return Some(Difference::Scheme);
        }
        let is_name = |host: &String| split_port(host).0 == origin.host;
        self.hosts.iter().any(is_name).then_some(Difference::Port)
    }

    /// For people.
    fn shown(&self) -> String {
        let scheme = if self.secure == Some(true) {
            "https"
        } else {
            "http"
        };
        let host = self.hosts.first().map_or("", String::as_str);
        format!("{scheme}://{host}")
    }
}

/// Decides about a request by its `Origin` fields: those of pages that came from `target` may pass, and those that a
/// pattern in `allowed` fits ([`origin_matches`]). A request without the field is no page's of another origin.
///
/// # Errors
/// [`ForeignOrigin`], also for several fields: none of them is a browser's.
pub fn check_origin<'a>(
    fields: impl IntoIterator<Item = &'a [u8]>,
    target: &RequestTarget,
    allowed: &[String],
) -> Result<(), ForeignOrigin> {
    let mut fields = fields.into_iter();
    let Some(field) = fields.next() else {
        return Ok(());
    };
    let only = if fields.next().is_none() {
        std::str::from_utf8(field).unwrap_or_default()
    } else {
        ""
    };
    let lower = only.trim_ascii().to_ascii_lowercase();
    let origin = Origin::parse(&lower);
    let is_listed = allowed
        .iter()
        .any(|pattern| origin_matches(pattern, &lower));
    if is_listed || origin.is_some_and(|origin| target.is_of(&origin)) {
        return Ok(());
    }
    let is_shown = |letter: &char| !letter.is_control();
    Err(ForeignOrigin {
        origin: only.chars().filter(is_shown).take(SHOWN_MAX).collect(),
        asked: target.shown().chars().take(SHOWN_MAX).collect(),
        differs: origin.and_then(|origin| target.difference(&origin)),
    })
}

/// Letters of an origin that are shown: that of an extension is 52 long.
const SHOWN_MAX: usize = 128;

/// Returns whether a pattern fits an origin, in any case of letters: an origin (`https://example.org`,
/// `http://localhost:3000`, `capacitor://localhost`, `app://.`, `file://`, `null`), with `*` in its first label for
/// sub-domains of any depth (`https://*.example.org`; not `https://example.org` itself), for a part of one label
/// (`https://app-*.example.org`) or for any name behind a scheme that is not the web's (`chrome-extension://*`); with
/// `:*` for any port.
pub fn origin_matches(pattern: &str, origin: &str) -> bool {
    let (pattern, origin) = (pattern.to_ascii_lowercase(), origin.to_ascii_lowercase());
    if pattern == "null" {
        return origin == "null";
    }
    let (Some(pattern), Some(origin)) = (Origin::parse(&pattern), Origin::parse(&origin)) else {
        return false;
    };
    pattern.scheme == origin.scheme
        && (pattern.port == Some("*") || pattern.port == origin.port)
        && fits_name(pattern.host, origin.host, pattern.is_of_web())
}

fn fits_name(pattern: &str, host: &str, is_of_web: bool) -> bool {
    let (label, rest) = match pattern.find('.') {
        Some(at) => pattern.split_at(at),
        None => (pattern, ""),
    };
    let Some((before, behind)) = label.split_once('*') else {
        return pattern == host;
    };
    let Some(front) = host.strip_suffix(rest) else {
        return false;
    };
    if label == "*" {
        let is_every_site = rest.is_empty() && is_of_web;
        return !front.is_empty() && !is_every_site;
    }
    let inner = front.strip_prefix(before);
    let inner = inner.and_then(|inner| inner.strip_suffix(behind));
    inner.is_some_and(|inner| !inner.is_empty()) && !front.contains('.')
}

/// An origin (RFC 6454 section 7) or a pattern, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin<'a> {
    scheme: &'a str,
    /// May be empty, as in `file://`.
    host: &'a str,
    /// `None` for the scheme's own.
    port: Option<&'a str>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        // Some write the root path.
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest);
        let is_host = !host.contains(['/', '@', '?', '#', '\\', ' ']);
        let origin = Self {
            scheme,
            host,
            port: port.filter(|port| default_port(scheme) != Some(port)),
        };
        (is_host && !scheme.is_empty() && !(origin.is_of_web() && host.is_empty()))
            .then_some(origin)
    }

    fn is_of_web(&self) -> bool {
        default_port(self.scheme).is_some()
    }

    /// Returns whether `Host` names this origin's host and port.
    fn is_at(&self, host: &str) -> bool {
        let (name, port) = split_port(host);
        let port = port.filter(|port| default_port(self.scheme) != Some(port));
        !name.is_empty() && (self.host, self.port) == (name, port)
    }
}

fn default_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" => Some("80"),
        "https" => Some("443"),
        _ => None,
    }
}

/// A host and its port; an IPv6 address keeps its brackets. An empty port is none (RFC 3986 section 3.2.3).
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, (!port.is_empty()).then_some(port)),
        Some(_) | None => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of inputs")]
    fn an_origin_fits_its_own_spellings_and_nothing_like_it() {
        for (pattern, fitting, others) in [
            (
                "https://example.org",
                &[
                    "https://example.org",
                    "HTTPS://Example.ORG",
                    "https://example.org:443",
                ][..],
                &[
                    "http://example.org",
                    "https://example.org:8443",
                    "https://www.example.org",
                    "https://example.org.evil.net",
                    "https://example.org.",
                    "https://evil@example.org",
                    "example.org",
                    "null",
                    "",
                ][..],
            ),
            (
                "http://localhost:3000",
                &["http://localhost:3000"],
                &[
                    "http://localhost",
                    "http://localhost:30000",
                    "https://localhost:3000",
                ],
            ),
            (
                "http://localhost:*",
                &["http://localhost", "http://localhost:3000"],
                &["https://localhost:3000", "http://localhost.evil:3000"],
            ),
            (
                "http://[::1]:8080",
                &["http://[::1]:8080"],
                &["http://[::1]", "http://[::2]:8080"],
            ),
            (
                "null",
                &["null", "NULL"],
                &["", "http://null", "file://", "null/"],
            ),
            (
                "file://",
                &["file://", "file:///"],
                &["null", "file:///etc", "http://"],
            ),
            ("app://.", &["app://."], &["app://", "app://..", "app://x."]),
            (
                "capacitor://localhost",
                &["capacitor://localhost"],
                &["http://localhost", "ionic://localhost"],
            ),
            (
                "tauri://localhost",
                &["tauri://localhost"],
                &["https://tauri.localhost"],
            ),
            (
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
                &["chrome-extension://abcdefghijklmnopabcdefghijklmnop"],
                &["chrome-extension://ponmlkjihgfedcbaponmlkjihgfedcba"],
            ),
            (
                "moz-extension://*",
                &["moz-extension://0f1e-2d"],
                &["moz-extension://", "https://0f1e"],
            ),
        ] {
            for origin in fitting {
                assert!(origin_matches(pattern, origin), "{pattern} {origin}");
            }
            for origin in others {
                assert!(!origin_matches(pattern, origin), "{pattern} {origin}");
            }
        }
    }

    #[test]
    fn a_star_stands_for_sub_domains_or_a_part_of_one_label() {
        for (pattern, origin, expected) in [
            ("https://*.example.org", "https://a.example.org", true),
            ("https://*.example.org", "https://a.b.example.org:443", true),
            ("https://*.example.org", "https://example.org", false),
            ("https://*.example.org", "https://.example.org", false),
            ("https://*.example.org", "https://evilexample.org", false),
            (
                "https://*.example.org",
                "https://a.example.org.evil.net",
                false,
            ),
            (
                "https://*.example.org",
                "https://evil.net/.example.org",
                false,
            ),
            (
                "https://*.example.org",
                "https://evil.net#.example.org",
                false,
            ),
            ("https://*.example.org", "http://a.example.org", false),
            ("https://*.example.org", "https://a.example.org:8443", false),
            (
                "https://*.example.org:8443",
                "https://a.example.org:8443",
                true,
            ),
            (
                "https://*.example.org:*",
                "https://a.example.org:8443",
                true,
            ),
            (
                "https://app-*.example.org",
                "https://app-1.example.org",
                true,
            ),
            (
                "https://app-*.example.org",
                "https://app-.example.org",
                false,
            ),
            (
                "https://app-*.example.org",
                "https://app-1.b.example.org",
                false,
            ),
            ("https://*", "https://example.org", false),
        ] {
            assert_eq!(
                origin_matches(pattern, origin),
                expected,
                "{pattern} {origin}"
            );
        }
    }

    fn forwarded(host: Option<&str>, port: Option<u16>, secure: Option<bool>) -> Forwarded {
        let mut forwarded = Forwarded::default();
        forwarded.by_proxy = true;
        forwarded.host = host.map(str::to_owned);
        forwarded.port = port;
        forwarded.secure = secure;
        forwarded
    }

    fn check(target: &RequestTarget, origin: &str) -> Result<(), ForeignOrigin> {
        check_origin([origin.as_bytes()], target, &[])
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of inputs")]
    fn pages_of_the_server_are_told_by_what_was_asked_of_the_outermost_proxy() {
        let direct = Forwarded::default();
        for (host, told, origin, expected) in [
            ("a.org", &direct, "http://a.org", Ok(())),
            ("a.org:80", &direct, "http://A.org", Ok(())),
            (
                "a.org",
                &direct,
                "https://a.org",
                Err(Some(Difference::Scheme)),
            ),
            (
                "a.org",
                &direct,
                "http://a.org:8080",
                Err(Some(Difference::Port)),
            ),
            ("a.org", &direct, "http://b.org", Err(None)),
            ("a.org", &direct, "null", Err(None)),
            ("", &direct, "http://", Err(None)),
            (
                "a.org",
                &forwarded(None, None, Some(true)),
                "https://a.org",
                Ok(()),
            ),
            (
                "a.org",
                &forwarded(None, None, Some(true)),
                "http://a.org",
                Err(Some(Difference::Scheme)),
            ),
            (
                "a.org",
                &forwarded(None, Some(8443), Some(true)),
                "https://a.org:8443",
                Ok(()),
            ),
            (
                "a.org",
                &forwarded(None, Some(8443), Some(true)),
                "https://a.org",
                Ok(()),
            ),
            (
                "inner:1",
                &forwarded(Some("a.org:8443"), None, Some(true)),
                "https://a.org:8443",
                Ok(()),
            ),
            (
                "inner:1",
                &forwarded(Some("a.org"), Some(443), Some(true)),
                "https://a.org",
                Ok(()),
            ),
            (
                "inner:1",
                &forwarded(Some("a.org"), None, None),
                "http://inner:1",
                Err(None),
            ),
            (
                "inner",
                &forwarded(Some("[2001:db8::1]"), Some(81), None),
                "http://[2001:db8::1]:81",
                Ok(()),
            ),
        ] {
            let target = RequestTarget::new(host, Some(false), told);
            let found = check(&target, origin).map_err(|foreign| foreign.differs);
            assert_eq!(found, expected, "{host} {told:?} {origin}");
        }
        let any_scheme = RequestTarget::new("a.org", None, &direct);
        assert!(check(&any_scheme, "https://a.org").is_ok());
        assert!(check(&any_scheme, "http://a.org").is_ok());
        assert!(check(&any_scheme, "ftp://a.org").is_err());
    }

    #[test]
    fn several_origins_are_none_and_no_origin_is_no_page() {
        let target = RequestTarget::new("a.org", Some(false), &Forwarded::default());
        let list = ["null".to_owned()];
        let one: &[u8] = b"http://a.org";
        assert!(check_origin([], &target, &[]).is_ok());
        assert!(check_origin([one, one], &target, &list).is_err());
        assert!(check_origin([&b"\xff"[..]], &target, &list).is_err());
        assert!(check_origin([&b"null"[..]], &target, &list).is_ok());
        let long = format!("http://{}\u{7}", "a".repeat(1000));
        let foreign = check(&target, &long).unwrap_err();
        assert_eq!(foreign.origin.len(), SHOWN_MAX);
        assert_eq!(foreign.asked, "http://a.org");
    }
}
