//! The address of a proxy, `scheme://user:password@host:port`, and the credentials in it.
//!
//! Credentials leave here only for the proxy: nothing that prints shows them.

use std::fmt;

use crate::handshake::{UrlError, authority};

/// How to speak to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyScheme {
    /// HTTP `CONNECT` (RFC 9110 section 9.3.6), unencrypted up to the proxy.
    Http,
    /// SOCKS version 5 (RFC 1928). The proxy resolves names, for `socks5://` as for
    /// `socks5h://`: what the client looks up must not leak past the proxy.
    Socks5,
}

/// The address of a proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    scheme: ProxyScheme,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

/// A user name and password for a proxy. Not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

/// A text is no address of a proxy. The text itself is not shown, it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// Another scheme. Proxies that are reached over TLS (`https://`) are not supported.
    #[error("expected http://, socks5:// or socks5h:// in front of the proxy's address")]
    Scheme,
    /// No host, or characters no host can have.
    #[error("expected a host name or address of the proxy")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("expected a proxy port from 1 to 65535")]
    Port,
    /// Something behind the port.
    #[error("expected nothing behind the proxy's host and port")]
    Path,
    /// A `%` without two hexadecimal digits, or no UTF-8 behind it.
    #[error("expected %XX escapes of UTF-8 in the proxy's user name and password")]
    Escape,
    /// Control characters, more than 255 bytes (SOCKS5), or a colon in the user name (HTTP).
    #[error("expected a user name and password that the proxy's protocol can carry")]
    Credentials,
}

impl ProxyUrl {
    /// Parses `[scheme://][user[:password]@]host[:port][/]`. Without a scheme it is `http://`;
    /// the port is 80 then, and 1080 for SOCKS. User name and password may hold `%XX` escapes.
    ///
    /// # Errors
    /// [`ProxyUrlError`].
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = match url.split_once("://") {
            None => (ProxyScheme::Http, url),
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http" => (ProxyScheme::Http, rest),
                "socks5" | "socks5h" => (ProxyScheme::Socks5, rest),
                _ => return Err(ProxyUrlError::Scheme),
            },
        };
        // Passwords may hold anything, so the last @ is the one.
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(ProxyUrlError::Path);
        }
        let (host, port) = authority(place).map_err(|error| match error {
            UrlError::Port => ProxyUrlError::Port,
            UrlError::Scheme
            | UrlError::Host
            | UrlError::NotAscii
            | UrlError::Credentials
            | UrlError::Target
            | UrlError::UnixSocket
            | UrlError::UnixSocketTooLong => ProxyUrlError::Host,
        })?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let credentials = match login {
            None => None,
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let credentials = Credentials::new(&unescape(user)?, &unescape(password)?);
                credentials.check(scheme)?;
                Some(credentials)
            }
        };
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port: port.unwrap_or(match scheme {
                ProxyScheme::Http => 80,
                ProxyScheme::Socks5 => 1080,
            }),
            credentials,
        })
    }

    /// Sets the credentials.
    ///
    /// # Errors
    /// [`ProxyUrlError::Credentials`].
    pub fn with_credentials(mut self, credentials: Credentials) -> Result<Self, ProxyUrlError> {
        credentials.check(self.scheme)?;
        self.credentials = Some(credentials);
        Ok(self)
    }

    /// How to speak to the proxy.
    pub fn scheme(&self) -> ProxyScheme {
        self.scheme
    }

    /// Host name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

impl fmt::Display for ProxyUrl {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            ProxyScheme::Http => "http",
            ProxyScheme::Socks5 => "socks5h",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for ProxyUrl {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

impl Credentials {
    /// Credentials, as they are: without escapes.
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    fn check(&self, scheme: ProxyScheme) -> Result<(), ProxyUrlError> {
        let control = |text: &str| text.chars().any(char::is_control);
        let bad = match scheme {
            // RFC 7617 section 2: the first colon ends the user name.
            ProxyScheme::Http => self.user.contains(':'),
            // RFC 1929 section 2: lengths are one byte, and there is a user name.
            ProxyScheme::Socks5 => self.user.is_empty(),
        };
        if bad
            || control(&self.user)
            || control(&self.password)
            || self.user.len() > 255
            || self.password.len() > 255
        {
            Err(ProxyUrlError::Credentials)
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(not shown)")
    }
}

fn unescape(text: &str) -> Result<String, ProxyUrlError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(ProxyUrlError::Escape);
        };
        out.push(u8::try_from((high << 4) | low).map_err(|_| ProxyUrlError::Escape)?);
    }
    String::from_utf8(out).map_err(|_| ProxyUrlError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_proxies_are_split_into_their_parts() {
        let login = |user, password| Some(Credentials::new(user, password));
        for (url, shown, credentials) in [
            ("http://proxy", "http://proxy:80", None),
            ("proxy:3128", "http://proxy:3128", None),
            ("HTTP://proxy:3128/", "http://proxy:3128", None),
            ("socks5://10.0.0.1", "socks5h://10.0.0.1:1080", None),
            ("socks5h://[::1]:9050", "socks5h://[::1]:9050", None),
            ("http://[2001:db8::1]", "http://[2001:db8::1]:80", None),
            ("http://a:b@proxy:1", "http://proxy:1", login("a", "b")),
            ("http://a@proxy:1", "http://proxy:1", login("a", "")),
            ("a:b@proxy:1", "http://proxy:1", login("a", "b")),
            (
                "socks5://a%40b:p%3A%25%c3%a9@proxy",
                "socks5h://proxy:1080",
                login("a@b", "p:%é"),
            ),
            (
                "http://a:p@ss:w@proxy",
                "http://proxy:80",
                login("a", "p@ss:w"),
            ),
        ] {
            let parsed = ProxyUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(parsed.to_string(), shown, "{url}");
            assert!(parsed.credentials() == credentials.as_ref(), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_proxy_is_refused() {
        let long = format!("socks5://{}:b@proxy", "a".repeat(256));
        for (url, error) in [
            ("", ProxyUrlError::Host),
            ("http://", ProxyUrlError::Host),
            ("https://proxy", ProxyUrlError::Scheme),
            ("socks4://proxy", ProxyUrlError::Scheme),
            ("http://pro xy", ProxyUrlError::Host),
            ("http://pro\r\nxy", ProxyUrlError::Host),
            ("http://::1", ProxyUrlError::Host),
            ("http://[::1", ProxyUrlError::Host),
            ("http://proxy:0", ProxyUrlError::Port),
            ("http://proxy:65536", ProxyUrlError::Port),
            ("http://proxy/path", ProxyUrlError::Path),
            ("http://proxy?x", ProxyUrlError::Path),
            ("http://a:%4@proxy", ProxyUrlError::Escape),
            ("http://a:%+1@proxy", ProxyUrlError::Escape),
            ("http://a:%ff@proxy", ProxyUrlError::Escape),
            ("http://a%3ab:c@proxy", ProxyUrlError::Credentials),
            ("http://a:%0d%0aX@proxy", ProxyUrlError::Credentials),
            ("socks5://:b@proxy", ProxyUrlError::Credentials),
            (&long, ProxyUrlError::Credentials),
        ] {
            assert_eq!(ProxyUrl::parse(url), Err(error), "{url:?}");
        }
    }

    #[test]
    fn credentials_are_never_printed() {
        let url = ProxyUrl::parse("http://alice:secret@proxy:1").unwrap();
        let credentials = Credentials::new("alice", "secret");
        for printed in [
            format!("{url:?} {url} {credentials:?}"),
            format!("{:?}", ProxyUrl::parse("http://alice:secret@:x")),
        ] {
            assert!(
                !printed.contains("alice") && !printed.contains("secret"),
                "{printed}"
            );
        }
    }
}
