//! The way through a proxy to a server: a small state machine that speaks HTTP `CONNECT` or
//! SOCKS5 until the bytes belong to the server.
//!
//! In: the proxy's bytes, all that are not used yet. Out: bytes to send, "more", or "open".
//! Bounds: 16 KiB for an HTTP answer, 262 bytes for a SOCKS one. An answer is refused with its
//! first wrong byte, so that a peer that is no proxy is not waited for.

mod http_connect; // RFC 9110 section 9.3.6
mod socks5; // RFC 1928, RFC 1929
#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr};

pub use socks5::SocksReply;

use super::{ProxyScheme, ProxyUrl};
use crate::handshake::HeadError;

/// A tunnel in the making.
#[derive(Debug)]
pub struct Tunnel {
    state: State,
}

#[derive(Debug)]
enum State {
    HttpConnect(http_connect::HttpConnect),
    Socks5(socks5::Socks5),
}

/// The next thing to do.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// Read more; every byte that is there belongs to the proxy's answer.
    More,
    /// Drop the first `used` bytes of the input and write `bytes`, maybe none, to the proxy.
    Write {
        /// How many bytes of the input are done with.
        used: usize,
        /// The bytes to send; they may hold credentials.
        bytes: Vec<u8>,
    },
    /// Drop the first `used` bytes of the input; what follows comes from the server.
    Open {
        /// How many bytes of the input are done with.
        used: usize,
    },
}

impl fmt::Debug for Step {
    /// Without what is to be sent: it may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::More => f.write_str("More"),
            Self::Write { used, bytes } => write!(f, "Write({used} used, {} bytes)", bytes.len()),
            Self::Open { used } => write!(f, "Open({used} used)"),
        }
    }
}

/// A proxy made no tunnel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelError {
    /// The server's host name is longer than the proxy's protocol can carry (255 bytes), or
    /// holds characters that no host has.
    #[error("the proxy's protocol cannot carry this host name")]
    Host,
    /// The answer is not the proxy's protocol: most likely another kind of proxy, or none.
    #[error("expected {0} from the proxy")]
    Unexpected(&'static str),
    /// The head of an HTTP answer is malformed or above the limits.
    #[error("invalid answer to CONNECT")]
    Head(#[from] HeadError),
    /// The proxy wants credentials: HTTP status 407, or a SOCKS method that was not offered.
    #[error("the proxy wants credentials, or other ones")]
    Unauthorized,
    /// An HTTP status that opens no tunnel.
    #[error("expected HTTP status 200 from the proxy, it answered {0}")]
    Status(u16),
    /// A SOCKS reply that opens no tunnel.
    #[error("the proxy did not connect: {0}")]
    Reply(SocksReply),
}

impl Tunnel {
    /// A tunnel through `proxy` to `host` (IPv6 without brackets) and `port`; and the bytes to
    /// write to the proxy first, which may hold credentials. A name is resolved by the proxy.
    ///
    /// # Errors
    /// [`TunnelError::Host`].
    pub fn new(proxy: &ProxyUrl, host: &str, port: u16) -> Result<(Self, Vec<u8>), TunnelError> {
        // Also what comes from elsewhere than a parsed `Url` cannot break a request.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let is_host = host.parse::<IpAddr>().is_ok() || host.chars().all(plain);
        if host.is_empty() || host.len() > 255 || !is_host {
            return Err(TunnelError::Host);
        }
        let (state, first) = match proxy.scheme() {
            ProxyScheme::Http => {
                let (state, first) =
                    http_connect::HttpConnect::new(host, port, proxy.credentials());
                (State::HttpConnect(state), first)
            }
            ProxyScheme::Socks5 => {
                let (state, first) = socks5::Socks5::new(host, port, proxy.credentials());
                (State::Socks5(state), first)
            }
        };
        Ok((Self { state }, first))
    }

    /// Looks at the bytes that came from the proxy and were not used yet. After [`Step::More`]
    /// the next call must get the same bytes with more at their end.
    ///
    /// # Errors
    /// [`TunnelError`]; the connection is to be dropped.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Step, TunnelError> {
        match &mut self.state {
            State::HttpConnect(state) => state.receive(bytes),
            State::Socks5(state) => state.receive(bytes),
        }
    }
}
