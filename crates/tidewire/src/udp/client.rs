//! Clients: a socket with a peer, or one that listens to a group.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::time::timeout;

use super::{Config, Group, Socket, bind::bind, error::ConnectError, shared::Shared};
use crate::net::Resolver;

/// How a client's socket is made, any number of times.
///
/// UDP has no connections: [`connect`](Self::connect) binds a socket to a free port and tells the system who the peer is, so
/// that only the peer is heard, and that the system tells when nobody listens there ([`RecvError::Unreachable`]). Nothing
/// is sent by it. Whoever wants to "reconnect" connects again.
///
/// ```
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tidewire::udp::{Client, Group};
///
/// // Receives what is sent to a multicast group on port 3334.
/// let group = Group::new([239, 255, 0, 1]);
/// let mut listener = Client::listen("0.0.0.0:0".parse()?).group(group).connect().await?;
/// # drop(listener);
/// # Ok(()) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
///
/// [`RecvError::Unreachable`]: super::RecvError::Unreachable
#[derive(Clone, Debug)]
pub struct Client {
    peer: Peer,
    local: Option<SocketAddr>,
    config: Config,
    groups: Vec<Group>,
    hears_all: bool,
    connect_timeout: Duration,
    resolver: Resolver,
}

#[derive(Clone, Debug)]
enum Peer {
    Name(String),
    Address(SocketAddr),
    None,
}

impl Client {
    /// A client of `address`, a name or an IP address with a port, as in `example.com:3333` or
    /// `[::1]:echo`.
    pub fn new(address: impl Into<String>) -> Self {
        Self::with(Peer::Name(address.into()))
    }

    /// A client of an address.
    pub fn to(address: SocketAddr) -> Self {
        Self::with(Peer::Address(address))
    }

    /// A socket without a peer that is bound to `address` together with others (`SO_REUSEADDR`), to receive from multicast
    /// groups.
    pub fn listen(address: SocketAddr) -> Self {
        let mut client = Self::with(Peer::None);
        client.local = Some(address);
        client.config.reuse_address = true;
        client
    }

    fn with(peer: Peer) -> Self {
        Self {
            peer,
            local: None,
            config: Config::default(),
            groups: Vec::new(),
            hears_all: false,
            connect_timeout: Duration::from_secs(10),
            resolver: Resolver::default(),
        }
    }

    /// Sets limits and options of the socket. For one that [listens](Self::listen), `reuse_address` must be among them if
    /// others shall listen too.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Binds the socket to this address. Default: any address, a free port.
    #[must_use]
    pub fn local_address(mut self, address: SocketAddr) -> Self {
        self.local = Some(address);
        self
    }

    /// Joins a group; the method can be called several times.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Receives from anybody, and only remembers the peer to send to. Default false: only the peer is heard.
    #[must_use]
    pub fn hear_all(mut self, hear_all: bool) -> Self {
        self.hears_all = hear_all;
        self
    }

    /// How long a name may take to be resolved. Default 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Resolves names by this. Default: by the system.
    #[must_use]
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// Resolves the peer's name, opens a socket for the first of its addresses that has a way, and joins the groups.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, there is no socket.
    pub async fn connect(&self) -> Result<Socket, ConnectError> {
        let addresses = match &self.peer {
            Peer::None => Vec::new(),
            Peer::Address(address) => vec![*address],
            Peer::Name(name) => {
                let resolved = timeout(self.connect_timeout, self.resolver.resolve(name)).await;
                let resolved = resolved.map_err(|_elapsed| ConnectError::Timeout)?;
                resolved.map_err(|source| self.resolve_error(source))?
            }
        };
        let shared = self.open(&addresses, |socket, peer| {
            if let Some(peer) = peer
                && !self.hears_all
            {
                socket.connect(&peer.into())?;
            }
            Shared::new(socket, self.config.clone(), peer, None)
        })?;
        for group in &self.groups {
            shared.join(group)?;
        }
        // Until the system has told so, nothing could be sent.
        shared.io.writable().await.ok();
        Ok(Socket::new(shared))
    }
}

impl Client {
    /// As [`connect`](Self::connect), for a socket whose calls block: bound, connected, not yet a member of a group.
    #[cfg(feature = "blocking")]
    pub(crate) fn open_blocking(
        &self,
    ) -> Result<(std::net::UdpSocket, Option<SocketAddr>), ConnectError> {
        let addresses = match &self.peer {
            Peer::None => Vec::new(),
            Peer::Address(address) => vec![*address],
            Peer::Name(name) => {
                let resolved = self.resolver.resolve_blocking(name);
                resolved.map_err(|source| self.resolve_error(source))?
            }
        };
        self.open(&addresses, |socket, peer| {
            if let Some(peer) = peer
                && !self.hears_all
            {
                socket.connect(&peer.into())?;
            }
            // On Unix the calls wait by themselves, each with its own time limit.
            socket.set_nonblocking(cfg!(unix))?;
            Ok((socket.into(), peer))
        })
    }

    #[cfg(feature = "blocking")]
    pub(crate) fn parts(&self) -> (&Config, &[Group]) {
        (&self.config, &self.groups)
    }

    fn resolve_error(&self, source: io::Error) -> ConnectError {
        let name = match &self.peer {
            Peer::Name(name) => name.clone(),
            Peer::Address(_) | Peer::None => String::new(),
        };
        ConnectError::Resolve { name, source }
    }

    /// Opens a socket for the first address for which that can be done.
    fn open<S>(
        &self,
        addresses: &[SocketAddr],
        open: impl Fn(socket2::Socket, Option<SocketAddr>) -> io::Result<S>,
    ) -> Result<S, ConnectError> {
        let peers: Vec<_> = match self.peer {
            Peer::None => vec![None],
            Peer::Name(_) | Peer::Address(_) => addresses.iter().copied().map(Some).collect(),
        };
        let mut failure = self.resolve_error(io::ErrorKind::NotFound.into());
        for peer in peers {
            let local = self.local.unwrap_or_else(|| any(peer));
            let opened = bind(local, &self.config).and_then(|socket| open(socket, peer));
            match opened {
                Ok(opened) => return Ok(opened),
                Err(source) => {
                    let address = peer.unwrap_or(local);
                    failure = ConnectError::Open { address, source };
                }
            }
        }
        Err(failure)
    }
}

/// Any address of the peer's family, a free port.
fn any(peer: Option<SocketAddr>) -> SocketAddr {
    let ip: IpAddr = match peer {
        Some(SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        Some(SocketAddr::V4(_)) | None => Ipv4Addr::UNSPECIFIED.into(),
    };
    (ip, 0).into()
}
