//! `ws://` and `wss://` addresses (RFC 6455 section 3).
//!
//! In: an address as people and configuration files write it. Out: parts that are ready to be sent: a
//! host in ASCII, a percent-encoded path and query, credentials as a header's value. Invariant: nothing that
//! prints an address shows its credentials.

mod host; // names to ASCII, IPv6 with its zone
mod percent; // escapes

use std::fmt;

use super::base64;

/// A parsed WebSocket address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    secure: bool,
    host: String,
    port: u16,
    target: String,
    authorization: Option<String>,
}

/// A text is no WebSocket address. The text itself is not shown, it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is missing or another one.
    #[error("expected ws:// or wss:// (in place of http:// write ws://, of https:// wss://)")]
    Scheme,
    /// No host, or characters no host can have.
    #[error("expected a host name or address behind ://")]
    Host,
    /// A host name outside of ASCII in a build without the feature `idn`.
    #[error("expected a host name in ASCII: write its form in DNS, which begins with xn--")]
    NotAscii,
    /// The port is no number from 1 to 65535.
    #[error("expected a port from 1 to 65535")]
    Port,
    /// User name and password hold control characters, or the user name a colon (RFC 7617 section 2).
    #[error(
        "expected a user name without a colon, and no control characters in it and the password"
    )]
    Credentials,
    /// Control characters in path or query, or what is no path.
    #[error("path and query must not contain blanks or control characters")]
    Target,
}

impl Url {
    /// Parses `scheme://[user[:password]@]host[:port][/path][?query][#fragment]`.
    ///
    /// - User name and password, whose special characters are percent-encoded (`@` as `%40`), become
    ///   [`authorization`](Self::authorization).
    /// - Host names outside of ASCII become what DNS knows, all are in lower case. IPv6 addresses stand in
    ///   brackets, with the zone of a link-local one behind `%25` (RFC 6874).
    /// - The port defaults to 80 or 443.
    /// - What path and query must not hold as it is (blanks, quotes, `<>\\^{|}[]` and the like, everything
    ///   outside of ASCII) is percent-encoded as UTF-8; what is percent-encoded stays as it is.
    /// - The fragment is dropped (RFC 6455 section 3), and so are blanks and line ends around the address.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let url = url.trim_matches(|c: char| c.is_ascii_whitespace());
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(split).ok_or(UrlError::Host)?;
        // Passwords may hold anything, so the last @ is the one.
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (login, place),
            None => ("", authority),
        };
        let (host, port) = split_authority(place)?;
        let port = match port {
            None | Some("") => default_port(secure),
            Some(port) => port_number(port)?,
        };
        Ok(Self {
            secure,
            host: host::read(host)?,
            port,
            target: encode_target(target)?,
            authorization: basic(login)?,
        })
    }

    /// The same server with another path and query, which go out as they are.
    ///
    /// # Errors
    /// [`UrlError::Target`].
    pub fn with_target(&self, target: &str) -> Result<Self, UrlError> {
        // A fragment is no part of a request (RFC 6455 section 3).
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '#';
        if !target.starts_with('/') || !target.chars().all(plain) {
            return Err(UrlError::Target);
        }
        Ok(Self {
            target: target.to_owned(),
            ..self.clone()
        })
    }

    /// The address that `reference` means on this one, for example the `Location` of a redirect: a whole address
    /// (`http` counts as `ws`, `https` as `wss`), one without a scheme (`//host/path`), a path, or a query. Credentials
    /// stay only where scheme, host and port are the same.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = reference.trim_matches(|c: char| c.is_ascii_whitespace());
        let scheme = if self.secure { "wss" } else { "ws" };
        let whole = if let Some(rest) = strip_scheme(reference, "http") {
            format!("ws{rest}")
        } else if let Some(rest) = strip_scheme(reference, "https") {
            format!("wss{rest}")
        } else if reference.starts_with("//") {
            format!("{scheme}:{reference}")
        } else if has_scheme(reference) {
            reference.to_owned()
        } else {
            let target = encode_target(&merged(&self.target, reference))?;
            return Ok(Self {
                target,
                ..self.clone()
            });
        };
        let mut joined = Self::parse(&whole)?;
        let place = |url: &Self| (url.secure, url.host.clone(), url.port);
        if joined.authorization.is_none() && place(&joined) == place(self) {
            joined.authorization.clone_from(&self.authorization);
        }
        Ok(joined)
    }

    /// Returns whether this is `wss://`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host name or address to connect to: in lower case and ASCII; IPv6 without brackets, with its zone (`fe80::1%eth0`).
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Who the server has to be by its certificate: the host without a zone, and without a dot at its
    /// end (RFC 6066 section 3).
    pub fn server_name(&self) -> &str {
        let host = self.without_zone();
        host.strip_suffix('.').unwrap_or(host)
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query for the request line, never empty.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The value of an `Authorization` header (Basic, RFC 7617) for the user name and password in the address. A secret.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// The `Host` header: with the port unless it is the scheme's default, without a zone, which means
    /// nothing to the server (RFC 6874 section 4).
    pub fn host_header(&self) -> String {
        self.authority(self.without_zone())
    }

    fn without_zone(&self) -> &str {
        self.host
            .split_once('%')
            .map_or(self.host.as_str(), |(address, _zone)| address)
    }

    /// `host` as in an address, with the port unless it is the default.
    fn authority(&self, host: &str) -> String {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        if self.port == default_port(self.secure) {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Url {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        let authority = self.authority(&self.host.replace('%', "%25"));
        write!(f, "{scheme}://{authority}{}", self.target)
    }
}

impl fmt::Debug for Url {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Url")
            .field("secure", &self.secure)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("target", &self.target)
            .field("has_credentials", &self.authorization.is_some())
            .finish()
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// `user:password`, percent-encoded, as the value of an `Authorization` header.
fn basic(login: &str) -> Result<Option<String>, UrlError> {
    if login.is_empty() {
        return Ok(None);
    }
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (user, password) = (percent::decode(user), percent::decode(password));
    let is_control = |byte: &u8| byte.is_ascii_control();
    if user.contains(&b':') || user.iter().chain(&password).any(is_control) {
        return Err(UrlError::Credentials);
    }
    let both = [user.as_slice(), b":", password.as_slice()].concat();
    Ok(Some(format!("Basic {}", base64(&both))))
}

/// Path and query, percent-encoded.
fn encode_target(target: &str) -> Result<String, UrlError> {
    // Not encoded: a line break in an address is a mistake or an attack, nobody's path.
    if target.chars().any(char::is_control) {
        return Err(UrlError::Target);
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut out = String::with_capacity(target.len().saturating_add(1));
    if !path.starts_with('/') {
        out.push('/');
    }
    percent::encode(path, percent::IN_PATH, &mut out);
    if let Some(query) = query {
        out.push('?');
        percent::encode(query, percent::IN_QUERY, &mut out);
    }
    Ok(out)
}

/// What follows the scheme, from `://` on.
fn strip_scheme<'a>(reference: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = reference.split_at_checked(scheme.len())?;
    (found.eq_ignore_ascii_case(scheme) && rest.starts_with("://")).then_some(rest)
}

/// Returns whether a reference begins with a scheme (RFC 3986 section 3.1).
fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?', '#']);
    let colon = end.is_some_and(|at| reference.get(at..).is_some_and(|it| it.starts_with(':')));
    colon && reference.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// The path and query of a relative reference (RFC 3986 section 5.2).
fn merged(base: &str, reference: &str) -> String {
    let reference = reference
        .split_once('#')
        .map_or(reference, |(before, _)| before);
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let (base_path, base_query) = match base.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (base, None),
    };
    let (path, query) = if path.is_empty() {
        (base_path.to_owned(), query.or(base_query))
    } else if path.starts_with('/') {
        (without_dots(path), query)
    } else {
        let folder = base_path.rsplit_once('/').map_or("", |(folder, _)| folder);
        (without_dots(&format!("{folder}/{path}")), query)
    };
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

/// Removes the segments `.` and `..` (RFC 3986 section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Checks `host[:port]`; gives host (IPv6 still in brackets) and port.
pub(crate) fn authority(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    let (host, port) = split_authority(authority)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:[]".contains(c);
    if host.is_empty() || host == "[]" || !host.chars().all(plain) {
        return Err(UrlError::Host);
    }
    Ok((host, port.map(port_number).transpose()?))
}

fn port_number(port: &str) -> Result<u16, UrlError> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|port| *port > 0 && digits);
    number.ok_or(UrlError::Port)
}

/// Host (IPv6 still in brackets) and port text.
fn split_authority(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    if authority.contains('@') {
        return Err(UrlError::Host);
    }
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(UrlError::Host)?.saturating_add(1);
        let (host, rest) = authority.split_at_checked(end).ok_or(UrlError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(UrlError::Host),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) if !port.contains(':') => Ok((host, Some(port))),
        Some(_) => Err(UrlError::Host),
        None => Ok((authority, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parity: R-09.
    #[test]
    fn addresses_are_split_into_their_parts() {
        for (url, secure, host, port, target) in [
            ("ws://example.com", false, "example.com", 80, "/"),
            ("wss://example.com", true, "example.com", 443, "/"),
            (
                "ws://example.com:8085/chat?id=42#top",
                false,
                "example.com",
                8085,
                "/chat?id=42",
            ),
            ("WS://example.com/a?b#c", false, "example.com", 80, "/a?b"),
            ("ws://example.com?x=1", false, "example.com", 80, "/?x=1"),
            ("ws://example.com/?#", false, "example.com", 80, "/?"),
            ("ws://[::1]:9000/x", false, "::1", 9000, "/x"),
            ("ws://[::1]", false, "::1", 80, "/"),
        ] {
            let parsed = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            let parts = (
                parsed.is_secure(),
                parsed.host(),
                parsed.port(),
                parsed.target(),
            );
            assert_eq!(parts, (secure, host, port, target), "{url}");
        }
    }

    /// Parity: R-09.
    #[test]
    fn what_is_no_websocket_address_is_refused() {
        for (url, error) in [
            ("", UrlError::Scheme),
            ("example.com", UrlError::Scheme),
            ("http://example.com", UrlError::Scheme),
            ("ws://", UrlError::Host),
            ("ws:///path", UrlError::Host),
            ("ws://a b", UrlError::Host),
            ("ws://::1", UrlError::Host),
            ("ws://host:0", UrlError::Port),
            ("ws://host:65536", UrlError::Port),
            ("ws://host:+80", UrlError::Port),
            ("ws://host/a\r\nX: 1", UrlError::Target),
        ] {
            assert_eq!(Url::parse(url), Err(error), "{url:?}");
        }
    }

    /// Of this kind: a name alone, an empty password or name, everything a password may hold, raw or
    /// percent-encoded; what Basic cannot carry.
    #[test]
    fn credentials_become_an_authorization_and_are_never_printed() {
        for (login, expected) in [
            ("", None),
            ("@", None),
            ("user:pass@", Some("Basic dXNlcjpwYXNz")),
            ("user@", Some("Basic dXNlcjo=")),
            ("user:@", Some("Basic dXNlcjo=")),
            (":pass@", Some("Basic OnBhc3M=")),
            (":@", Some("Basic Og==")),
            ("a:b:c@", Some("Basic YTpiOmM=")),
            ("a:p@ss@", Some("Basic YTpwQHNz")),
            ("a:p%40%2f%3A%23%25@", Some("Basic YTpwQC86IyU=")),
            // RFC 7617 section 2.1: a pound sign in UTF-8, raw and encoded.
            ("test:123£@", Some("Basic dGVzdDoxMjPCow==")),
            ("test:123%C2%A3@", Some("Basic dGVzdDoxMjPCow==")),
            // A percent sign that begins no escape is itself.
            ("a:100%@", Some("Basic YToxMDAl")),
        ] {
            let url = Url::parse(&format!("wss://{login}host:1/x"));
            let url = url.unwrap_or_else(|error| panic!("{login}: {error}"));
            assert_eq!(url.authorization(), expected, "{login}");
            assert_eq!(
                (url.host(), url.port(), url.to_string().as_str()),
                ("host", 1, "wss://host:1/x")
            );
            let printed = format!("{url:?}");
            let hidden = expected.is_none_or(|value| !printed.contains(value));
            assert!(hidden && !printed.contains("pass"), "{printed}");
        }
        for login in ["a%3Ab:c", "a:b%0D%0Ac", "a%00:b", "a:b\x7f"] {
            let error = Url::parse(&format!("ws://{login}@host/"));
            assert_eq!(error, Err(UrlError::Credentials), "{login}");
        }
        let unescaped = Url::parse("ws://user:pa/ss@host/").unwrap_err();
        assert_eq!(unescaped, UrlError::Port, "the slash ends the host");
    }

    #[test]
    fn credentials_of_another_address_stay_with_it() {
        let url = Url::parse("ws://user:pass@host/a").unwrap();
        let other = url.with_target("/b").unwrap();
        assert_eq!(other.authorization(), url.authorization());
        assert_ne!(url, Url::parse("ws://host/a").unwrap());
    }

    /// Of this kind: any script, letters that map to others, full-width letters and dots, names in
    /// punycode already, mixed case, percent-encoded names, a dot at the end.
    #[cfg(feature = "idn")]
    #[test]
    fn host_names_outside_of_ascii_become_what_dns_knows() {
        for (host, expected) in [
            ("münchen.example", "xn--mnchen-3ya.example"),
            ("MÜNCHEN.Example", "xn--mnchen-3ya.example"),
            ("mu\u{308}nchen.example", "xn--mnchen-3ya.example"),
            ("m%C3%BCnchen.example", "xn--mnchen-3ya.example"),
            ("faß.example", "xn--fa-hia.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
            ("מקומי.example", "xn--9dbinb7b.example"),
            ("ｅｘａｍｐｌｅ．com", "example.com"),
            ("a。b", "a.b"),
            ("☕.example", "xn--53h.example"),
            ("münchen.example.", "xn--mnchen-3ya.example."),
        ] {
            let url = Url::parse(&format!("wss://{host}/"));
            let url = url.unwrap_or_else(|error| panic!("{host}: {error}"));
            assert_eq!(url.host(), expected, "{host}");
            assert_eq!(url.host_header(), expected, "{host}");
        }
        for host in [
            "a\u{fffd}b",
            "\u{ad}",
            "a／b",
            "a＠b",
            "%FF",
            "a%2Fb",
            "a%20b",
        ] {
            let error = Url::parse(&format!("ws://{host}"));
            assert_eq!(error, Err(UrlError::Host), "{host}");
        }
    }

    #[cfg(not(feature = "idn"))]
    #[test]
    fn host_names_outside_of_ascii_are_refused_in_words_where_they_are_not_supported() {
        for host in ["münchen.example", "m%C3%BCnchen.example"] {
            let error = Url::parse(&format!("ws://{host}"));
            assert_eq!(error, Err(UrlError::NotAscii), "{host}");
        }
    }

    #[test]
    fn hosts_are_written_as_dns_tls_and_the_host_header_want_them() {
        for (host, connect, header, server) in [
            ("EXAMPLE.com", "example.com", "example.com", "example.com"),
            (
                "XN--Mnchen-3ya.de",
                "xn--mnchen-3ya.de",
                "xn--mnchen-3ya.de",
                "xn--mnchen-3ya.de",
            ),
            (
                "example.com.",
                "example.com.",
                "example.com.",
                "example.com",
            ),
            ("example%2Ecom", "example.com", "example.com", "example.com"),
            (
                "a_b.internal",
                "a_b.internal",
                "a_b.internal",
                "a_b.internal",
            ),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1", "[::1]", "::1"),
            ("[0:0:0:0:0:0:0:1]", "::1", "[::1]", "::1"),
            (
                "[2001:DB8::A]",
                "2001:db8::a",
                "[2001:db8::a]",
                "2001:db8::a",
            ),
            (
                "[::ffff:192.0.2.1]",
                "::ffff:192.0.2.1",
                "[::ffff:192.0.2.1]",
                "::ffff:192.0.2.1",
            ),
            ("[fe80::1%25eth0]", "fe80::1%eth0", "[fe80::1]", "fe80::1"),
            ("[fe80::1%eth0]", "fe80::1%eth0", "[fe80::1]", "fe80::1"),
            ("[fe80::1%2]", "fe80::1%2", "[fe80::1]", "fe80::1"),
            (
                "[fe80::1%25en.0_a-b]",
                "fe80::1%en.0_a-b",
                "[fe80::1]",
                "fe80::1",
            ),
        ] {
            let url = Url::parse(&format!("wss://{host}/"));
            let url = url.unwrap_or_else(|error| panic!("{host}: {error}"));
            let got = (url.host(), url.host_header(), url.server_name());
            assert_eq!(got, (connect, header.to_owned(), server), "{host}");
            assert_eq!(Url::parse(&url.to_string()), Ok(url), "{host}");
        }
        for host in [
            "",
            ".",
            "..",
            "[]",
            "[::1",
            "::1]",
            "[::1]x",
            "[1.2.3.4]",
            "[example.com]",
            "[::1%]",
            "[::1%25]",
            "[::1%25a/b]",
            "[fe80::1%25a b]",
            "[fe80::1%25a%0D]",
            "[::g]",
            "a,b",
            "a\\b",
            "a|b",
        ] {
            let error = Url::parse(&format!("ws://{host}"));
            assert_eq!(error, Err(UrlError::Host), "{host:?}");
        }
    }

    #[test]
    fn path_and_query_are_percent_encoded_once() {
        for (target, expected) in [
            ("/a b", "/a%20b"),
            ("/é/日本?q=é", "/%C3%A9/%E6%97%A5%E6%9C%AC?q=%C3%A9"),
            ("/%C3%A9?a=%20", "/%C3%A9?a=%20"),
            ("/100%", "/100%"),
            ("/a\"b'c?d=\"e'f", "/a%22b'c?d=%22e%27f"),
            ("/<>[\\]^`{|}", "/%3C%3E%5B%5C%5D%5E%60%7B%7C%7D"),
            ("?ids[]=1&j={\"a\":1}", "/?ids%5B%5D=1&j=%7B%22a%22:1%7D"),
            ("/a?b?c=d+e&f=g/h", "/a?b?c=d+e&f=g/h"),
            ("/\u{a0}\u{1f600}", "/%C2%A0%F0%9F%98%80"),
            ("/-._~!$&'()*+,;=:@%41", "/-._~!$&'()*+,;=:@%41"),
            ("/x#frag", "/x"),
            ("#frag", "/"),
            ("/a%23b#c", "/a%23b"),
            ("/a?b#c?d", "/a?b"),
        ] {
            let url = Url::parse(&format!("ws://host{target}"));
            let url = url.unwrap_or_else(|error| panic!("{target}: {error}"));
            assert_eq!(url.target(), expected, "{target}");
            assert_eq!(Url::parse(&url.to_string()), Ok(url), "{target}");
        }
        for target in ["/a\r\nX: 1", "/a\tb", "/\0", "/\u{7f}", "/\u{85}", "?a\nb"] {
            let error = Url::parse(&format!("ws://host{target}"));
            assert_eq!(error, Err(UrlError::Target), "{target:?}");
        }
    }

    #[test]
    fn ports_are_those_that_tcp_has_and_may_be_left_out() {
        for (url, port, header) in [
            ("ws://host:80/", 80, "host"),
            ("ws://host:443/", 443, "host:443"),
            ("wss://host:443/", 443, "host"),
            ("wss://host:80/", 80, "host:80"),
            ("ws://host:/", 80, "host"),
            ("wss://[::1]:", 443, "[::1]"),
            ("ws://host:00080", 80, "host"),
            ("ws://host:65535", 65_535, "host:65535"),
            (" ws://host:81\n", 81, "host:81"),
        ] {
            let parsed = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            let got = (parsed.port(), parsed.host_header());
            assert_eq!(got, (port, header.to_owned()), "{url}");
        }
        for url in [
            "ws://h:0",
            "ws://h:65536",
            "ws://h:-1",
            "ws://h:8o",
            "ws://h:８０",
            "ws://h:1:2",
        ] {
            let error = Url::parse(url).unwrap_err();
            assert!(
                matches!(error, UrlError::Port | UrlError::Host),
                "{url}: {error}"
            );
        }
    }

    /// Of this kind: every status that redirects has the same header; its value may be a whole address of
    /// any scheme, without a scheme, a path from the root or from here, with dots, a query alone, nothing, or no address.
    #[test]
    fn redirects_are_resolved_against_the_address() {
        for (location, expected) in [
            ("wss://other/x", Ok("wss://other/x")),
            ("https://other:8443/x?y#z", Ok("wss://other:8443/x?y")),
            ("HTTP://other", Ok("ws://other/")),
            ("//other/x", Ok("wss://other/x")),
            ("/x", Ok("wss://host:1/x")),
            ("x", Ok("wss://host:1/a/x")),
            ("x/", Ok("wss://host:1/a/x/")),
            ("./x?y", Ok("wss://host:1/a/x?y")),
            ("../x", Ok("wss://host:1/x")),
            ("../../../x/.", Ok("wss://host:1/x/")),
            ("/x/../y/..", Ok("wss://host:1/")),
            ("?n=2", Ok("wss://host:1/a/b?n=2")),
            ("", Ok("wss://host:1/a/b?n=1")),
            ("#top", Ok("wss://host:1/a/b?n=1")),
            (" /blank é ", Ok("wss://host:1/blank%20%C3%A9")),
            ("x:y", Err(UrlError::Scheme)),
            ("mailto:someone@host", Err(UrlError::Scheme)),
            ("ftp://host/", Err(UrlError::Scheme)),
            ("//", Err(UrlError::Host)),
            ("/a\0b", Err(UrlError::Target)),
        ] {
            let base = Url::parse("wss://host:1/a/b?n=1").unwrap();
            let joined = base.join(location).map(|url| url.to_string());
            assert_eq!(joined, expected.map(str::to_owned), "{location:?}");
        }
    }

    #[test]
    fn credentials_do_not_follow_a_redirect_to_another_server() {
        let base = Url::parse("wss://user:pass@host/a").unwrap();
        for location in ["/b", "b", "?c", "", "//host/b", "https://host:443/b"] {
            let joined = base.join(location).unwrap();
            assert_eq!(joined.authorization(), base.authorization(), "{location}");
        }
        for location in [
            "http://host/b",
            "https://host:444/b",
            "//evil/b",
            "wss://host.evil/",
        ] {
            let joined = base.join(location).unwrap();
            assert_eq!(joined.authorization(), None, "{location}");
        }
        let own = base.join("wss://a:b@host/").unwrap();
        assert_eq!(own.authorization(), Some("Basic YTpi"));
    }
}
