//! [`Address`]: where a server listens and a client connects to, an IP address with a port or a Unix socket.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use tidewire_proto::handshake::Url;

/// An address of a listener or a peer: `127.0.0.1:80`, `[::1]:80`, `unix:/run/app.sock`, and on Linux
/// `unix:@name`, a Unix socket in the abstract namespace, which has no file.
///
/// ```
/// use std::net::SocketAddr;
/// use tidewire::net::Address;
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let address: Address = "unix:/run/app.sock".parse()?;
/// assert!(address.is_unix() && address.is_local());
/// assert_eq!(Address::unix("/run/app.sock"), address);
/// let address = Address::from(SocketAddr::from(([127, 0, 0, 1], 80)));
/// assert_eq!(address.to_string(), "127.0.0.1:80");
/// # Ok(()) }
/// # run().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a TCP port.
    Ip(SocketAddr),
    /// A Unix domain socket. Servers and clients on other systems than Unix refuse it with an error of kind
    /// [`Unsupported`](std::io::ErrorKind::Unsupported).
    Unix(UnixAddress),
}

/// The name of a Unix domain socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UnixAddress {
    /// A file of the kind socket, 107 bytes at most.
    Path(PathBuf),
    /// A name in Linux's abstract namespace, 107 bytes at most: it has no file and no permissions, and is gone with its socket.
    /// Every process in the same network namespace can connect.
    Abstract(String),
    /// No name: that of a client, as servers see it.
    Unnamed,
}

/// A text is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Neither an IP address with a port nor `unix:`.
    #[error(
        "expected an address with a port such as 127.0.0.1:80 or [::1]:80, or unix:/path/of.sock"
    )]
    Syntax,
    /// Nothing stands behind `unix:` or `unix:@`.
    #[error("expected a path behind unix:, such as unix:/run/app.sock")]
    NoPath,
    /// A Unix socket's name is too long for the system.
    #[error("a Unix socket's path has {PATH_BYTES_MAX} bytes at most, this one has {0}")]
    TooLong(usize),
    /// A Unix socket's path holds a NUL byte.
    #[error("a Unix socket's path cannot hold a NUL byte")]
    Nul,
}

/// The longest path of a Unix socket: what `sun_path` of Linux holds, with the NUL at its end. Other systems take
/// 103 bytes, which they say when the address is used.
const PATH_BYTES_MAX: usize = 107;

impl Address {
    /// The Unix socket at `path`.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix(UnixAddress::Path(path.into()))
    }

    /// A Unix socket in Linux's abstract namespace.
    pub fn unix_abstract(name: impl Into<String>) -> Self {
        Self::Unix(UnixAddress::Abstract(name.into()))
    }

    /// The address of what is served there, for people: `ws://127.0.0.1:80/chat`, or `unix:/run/app.sock:/chat`, which is also
    /// what clients take (with `wss`: `wss+unix:/run/app.sock:/chat`).
    pub fn url(&self, scheme: &str, path: &str) -> String {
        match self {
            Self::Ip(address) => format!("{scheme}://{address}{path}"),
            Self::Unix(name) if scheme == "wss" => format!("wss+{name}:{path}"),
            Self::Unix(name) => format!("{name}:{path}"),
        }
    }

    /// The Unix socket of a client's address, if it is one's.
    pub(crate) fn unix_of(url: &Url) -> Option<Self> {
        let socket = url.unix_socket()?;
        Some(match socket.strip_prefix('@') {
            Some(name) => Self::unix_abstract(name),
            None => Self::unix(socket),
        })
    }

    /// The IP address and port; `None` for a Unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The IP address; `None` for a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|address| address.ip())
    }

    /// The Unix socket's name; `None` for an IP address.
    pub fn as_unix(&self) -> Option<&UnixAddress> {
        match self {
            Self::Ip(_) => None,
            Self::Unix(name) => Some(name),
        }
    }

    /// Returns whether this is a Unix socket.
    pub fn is_unix(&self) -> bool {
        self.as_unix().is_some()
    }

    /// Returns whether only this machine is reached by it: loopback, or a Unix socket.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Ip(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl UnixAddress {
    /// The path of its file, if it has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Abstract(_) | Self::Unnamed => None,
        }
    }

    /// The name as the system's functions take it: one in the abstract namespace begins with a NUL byte.
    #[cfg(unix)]
    pub(crate) fn for_system(&self) -> io::Result<PathBuf> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        self.check().map_err(invalid)?;
        match self {
            Self::Path(path) => Ok(path.clone()),
            Self::Abstract(name) if cfg!(any(target_os = "linux", target_os = "android")) => {
                Ok(format!("\0{name}").into())
            }
            Self::Abstract(_) | Self::Unnamed => Err(unsupported()),
        }
    }

    /// Checks what the system would say in numbers.
    pub(crate) fn check(&self) -> Result<(), AddressError> {
        let name = match self {
            Self::Path(path) => path.as_os_str().as_encoded_bytes(),
            Self::Abstract(name) => name.as_bytes(),
            Self::Unnamed => &[],
        };
        match name.len() {
            0 => Err(AddressError::NoPath),
            _ if self.path().is_some() && name.contains(&0) => Err(AddressError::Nul),
            len if len > PATH_BYTES_MAX => Err(AddressError::TooLong(len)),
            _ => Ok(()),
        }
    }
}

/// The system has no Unix sockets of this kind.
pub(crate) fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this system has no Unix sockets, or none without a path",
    )
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for Address {
    fn from(address: (I, u16)) -> Self {
        Self::Ip(address.into())
    }
}

impl From<UnixAddress> for Address {
    fn from(name: UnixAddress) -> Self {
        Self::Unix(name)
    }
}

impl PartialEq<SocketAddr> for Address {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.socket_addr() == Some(*other)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// Parses `ip:port`, `unix:/path`, `unix:///path` and `unix:@abstract`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some(name) = text.strip_prefix("unix:") else {
            return text.parse().map(Self::Ip).map_err(|_| AddressError::Syntax);
        };
        let name = match (name.strip_prefix('@'), name.strip_prefix("//")) {
            (Some(name), _) => UnixAddress::Abstract(name.to_owned()),
            (None, Some(path)) if path.starts_with('/') => UnixAddress::Path(path.into()),
            // A host is no part of it.
            (None, Some(_)) => return Err(AddressError::Syntax),
            (None, _) => UnixAddress::Path(name.into()),
        };
        name.check()?;
        Ok(Self::Unix(name))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
            Self::Unnamed => f.write_str("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_shown() {
        for (text, shown, is_local) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("[::1]:80", "[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:0", "0.0.0.0:0", false),
            ("unix:/run/app.sock", "unix:/run/app.sock", true),
            ("unix:///run/app.sock", "unix:/run/app.sock", true),
            ("unix:run/app.sock", "unix:run/app.sock", true),
            ("unix:@app", "unix:@app", true),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.to_string().parse(), Ok(address.clone()));
            assert_eq!(address.is_local(), is_local, "{text}");
            assert_eq!(address.is_unix(), address.ip().is_none());
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        let path = |len: usize| format!("unix:/{}", "x".repeat(len - 1));
        assert!(path(107).parse::<Address>().is_ok());
        for (text, error) in [
            ("", AddressError::Syntax),
            ("127.0.0.1", AddressError::Syntax),
            ("/run/app.sock", AddressError::Syntax),
            ("unix", AddressError::Syntax),
            ("unix:", AddressError::NoPath),
            ("unix:@", AddressError::NoPath),
            ("unix://host/app.sock", AddressError::Syntax),
            ("unix:/a\0b", AddressError::Nul),
            (&*path(108), AddressError::TooLong(108)),
            (
                &*format!("unix:@{}", "x".repeat(108)),
                AddressError::TooLong(108),
            ),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text:?}");
        }
    }
}
