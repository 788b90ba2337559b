//! `ws://` and `wss://` addresses (RFC 6455 section 3), and those of Unix sockets.
//!
//! In: an address as people and configuration files write it. Out: parts that are ready to be sent: a
//! host in ASCII, a percent-encoded path and query, credentials as a header's value. Invariant: nothing that
//! prints an address shows its credentials.

mod host; // names to ASCII, IPv6 with its zone
mod percent; // escapes

use std::{borrow::Cow, fmt};

use super::base64;

/// A parsed WebSocket address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    secure: bool,
    host: String,
    port: u16,
    target: String,
    authorization: Option<String>,
    /// The path of a Unix socket to connect to, in place of host and port.
    unix_socket: Option<String>,
}

/// A text is no WebSocket address. The text itself is not shown, it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is missing or another one.
    #[error(
        "expected ws:// or wss:// (in place of http:// write ws://, of https:// wss://), or unix:/path/of.sock"
    )]
    Scheme,
    /// The path of a Unix socket is missing, or does not begin with a slash.
    #[error(
        "expected the path of a socket behind unix:, such as unix:/run/app.sock or unix:/run/app.sock:/ws"
    )]
    UnixSocket,
    /// The path of a Unix socket is longer than systems take.
    #[error("expected a path of a Unix socket of 107 bytes at most")]
    UnixSocketTooLong,
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
    /// - Characters that path and query must not hold as they are (blanks, quotes, `<>\\^{|}[]` and the like, everything
    ///   outside of ASCII) is percent-encoded as UTF-8; what is percent-encoded stays as it is.
    /// - The fragment is dropped (RFC 6455 section 3), and so are blanks and line ends around the address.
    ///
    /// A Unix socket is written as `unix:/run/app.sock`, with the path and query of the request behind a second colon:
    /// `unix:/run/app.sock:/ws?id=7`; or with `ws+unix:` or `wss+unix:` in place of `unix:`, with TLS for the latter. In place of
    /// host and port it has the [path](Self::unix_socket) of its file, or `@name` for one in Linux's abstract namespace; the
    /// host that the server is told is `localhost`.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let url = url.trim_matches(|c: char| c.is_ascii_whitespace());
        for (scheme, secure) in [("unix", false), ("ws+unix", false), ("wss+unix", true)] {
            if let Some((found, rest)) = url.split_once(':')
                && found.eq_ignore_ascii_case(scheme)
            {
                return Self::parse_unix(rest, secure);
            }
        }
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
            unix_socket: None,
        })
    }

    /// `/run/app.sock:/path?query`, also with two slashes in front, as addresses with `://` have it.
    fn parse_unix(text: &str, secure: bool) -> Result<Self, UrlError> {
        let text = text
            .strip_prefix("//")
            .filter(|path| path.starts_with('/'))
            .unwrap_or(text);
        let (path, target) = text.split_once(':').unwrap_or((text, "/"));
        let is_file = path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/');
        let is_abstract = path.starts_with('@') && path.len() > 1;
        if !(is_file || is_abstract) || path.contains('\0') {
            return Err(UrlError::UnixSocket);
        }
        if path.trim_start_matches('@').len() > UNIX_PATH_BYTES_MAX {
            return Err(UrlError::UnixSocketTooLong);
        }
        let target = target.split_once('#').map_or(target, |(before, _)| before);
        if !target.is_empty() && !target.starts_with(['/', '?']) {
            return Err(UrlError::Target);
        }
        Ok(Self {
            secure,
            host: "localhost".to_owned(),
            port: default_port(secure),
            target: encode_target(target)?,
            authorization: None,
            unix_socket: Some(path.to_owned()),
        })
    }

    /// Text that may be an address, for messages about it: without the user name and password in it, if any.
    pub fn without_credentials(url: &str) -> Cow<'_, str> {
        match url.rsplit_once('@') {
            Some((before, behind)) => {
                let (scheme, _login) = before.split_once("://").unwrap_or_default();
                Cow::Owned(format!("{scheme}://\u{2026}@{behind}"))
            }
            None => Cow::Borrowed(url),
        }
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
        if joined.unix_socket.is_some() {
            // No answer of a server leads to the sockets of this machine.
            return Err(UrlError::Scheme);
        }
        if joined.host == self.host && joined.port == self.port {
            joined.unix_socket.clone_from(&self.unix_socket);
        }
        let place = |url: &Self| {
            (
                url.secure,
                url.host.clone(),
                url.port,
                url.unix_socket.clone(),
            )
        };
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

    /// The path of the Unix socket that the server listens on, or `@name` in the abstract namespace, which then counts in
    /// place of host and port.
    pub fn unix_socket(&self) -> Option<&str> {
        self.unix_socket.as_deref()
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

    /// The server as people know it: as [`host_header`](Self::host_header), or the Unix socket.
    pub fn server(&self) -> String {
        match &self.unix_socket {
            Some(path) => format!("unix:{path}"),
            None => self.host_header(),
        }
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
        if let Some(path) = &self.unix_socket {
            let scheme = if self.secure { "wss+unix" } else { "unix" };
            write!(f, "{scheme}:{path}")?;
            return if self.target == "/" {
                Ok(())
            } else {
                write!(f, ":{}", self.target)
            };
        }
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
            .field("unix_socket", &self.unix_socket)
            .field("target", &self.target)
            .field("has_credentials", &self.authorization.is_some())
            .finish()
    }
}

/// What Linux takes, without the NUL at the end.
const UNIX_PATH_BYTES_MAX: usize = 107;

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

/// The part that follows the scheme, from `://` on.
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
mod tests;
