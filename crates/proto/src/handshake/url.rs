//! `ws://` and `wss://` addresses (RFC 6455 section 3).

use std::fmt;

/// A parsed WebSocket address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    secure: bool,
    host: String,
    port: u16,
    target: String,
}

/// An address is no WebSocket address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is missing or another one.
    #[error("expected ws:// or wss://")]
    Scheme,
    /// No host, or characters no host can have.
    #[error("expected a host name or address behind ://")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("expected a port from 1 to 65535")]
    Port,
    /// Blanks or control characters in path or query.
    #[error("path and query must not contain blanks or control characters")]
    Target,
}

impl Url {
    /// Parses `scheme://host[:port][/path][?query][#fragment]`; the fragment is dropped, the
    /// port defaults to 80 or 443. IPv6 addresses stand in brackets.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            _ => return Err(UrlError::Scheme),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(split).ok_or(UrlError::Host)?;
        let (host, port) = self::authority(authority)?;
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        if target.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(UrlError::Target);
        }
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        Ok(Self {
            secure,
            host: host.to_owned(),
            port,
            target,
        })
    }

    /// The same server with another path and query.
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

    /// Returns whether this is `wss://`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        self.host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&self.host)
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query for the request line, never empty.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The `Host` header: with the port unless it is the scheme's default.
    pub fn host_header(&self) -> String {
        let default = if self.secure { 443 } else { 80 };
        if self.port == default {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            if self.secure { "wss" } else { "ws" },
            self.host_header(),
            self.target
        )
    }
}

/// Checks `host[:port]`; gives host (IPv6 still in brackets) and port.
pub(crate) fn authority(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    let (host, port) = split_authority(authority)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:[]".contains(c);
    if host.is_empty() || host == "[]" || !host.chars().all(plain) {
        return Err(UrlError::Host);
    }
    let port = match port {
        None => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port = port.parse().ok().filter(|port| *port > 0);
            Some(port.ok_or(UrlError::Port)?)
        }
        Some(_) => return Err(UrlError::Port),
    };
    Ok((host, port))
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
            ("ws://user@host", UrlError::Host),
            ("ws://a b", UrlError::Host),
            ("ws://::1", UrlError::Host),
            ("ws://host:0", UrlError::Port),
            ("ws://host:65536", UrlError::Port),
            ("ws://host:+80", UrlError::Port),
            ("ws://host/a b", UrlError::Target),
            ("ws://host/a\r\nX: 1", UrlError::Target),
        ] {
            assert_eq!(Url::parse(url), Err(error), "{url:?}");
        }
    }
}
