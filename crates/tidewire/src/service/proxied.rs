//! Servers behind balancers and proxies: who is really at the other end?
//!
//! In: an accepted socket, or a request head. Out: a [`Peer`], or an address. Nobody is
//! believed who is not in a list of trusted networks, and the lists are empty by default.

use std::{io, net::IpAddr};

use tidewire_proto::{
    handshake::RequestHead,
    proxy::{Forwarded, ForwardedBy, HEADER_BYTES_MAX, Header, Network, Node},
};

use crate::net::{Address, Peer, Socket, peek};

/// Whether connections begin with a header of the PROXY protocol, in either version.
///
/// ```
/// use tidewire::ws::{ProxyProtocol, ServerConfig};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = ServerConfig::new("10.0.0.5:9001".parse()?);
/// let trusted = vec!["10.0.0.0/24".parse()?];
/// config.proxy_protocol = ProxyProtocol::Required { trusted };
/// # Ok(()) }
/// # run().unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// They all come from balancers that send the header, in front of TLS.
    ///
    /// A connection from elsewhere is closed at once, without an answer: to read it as one
    /// without a header would open a way around the balancer, and to believe its header would
    /// let anybody choose his address. A trusted peer that sends no header within
    /// [`Limits::handshake_timeout`](super::Limits::handshake_timeout) is closed as well.
    Required {
        /// The balancers' addresses. Empty: nobody is let in.
        trusted: Vec<Network>,
    },
}

impl ProxyProtocol {
    /// Required from these balancers; off when there are none.
    pub fn from_trusted(trusted: Vec<Network>) -> Self {
        if trusted.is_empty() {
            Self::Off
        } else {
            Self::Required { trusted }
        }
    }

    /// The networks that do not count for the limit per address: their connections are counted
    /// by the address in the header.
    pub(super) fn trusted(&self) -> &[Network] {
        match self {
            Self::Off => &[],
            Self::Required { trusted } => trusted,
        }
    }
}

/// Which HTTP proxies are believed, and in which header fields. By default none.
///
/// Their own addresses do not count for the limit of connections per address
/// ([`Limits::per_ip_max`](super::Limits::per_ip_max)): the addresses count that they tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// The proxies' addresses.
    pub networks: Vec<Network>,
    /// The fields they write.
    pub by: ForwardedBy,
}

impl TrustedProxies {
    /// Returns whether one of them has this address.
    pub(super) fn contain(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(ip))
    }

    /// Reads the words of the proxies about a request ([`Forwarded::read`]). `values` gives the values of all fields of a
    /// name in any case. The chain ends with what the PROXY protocol told, or else with the connection's own address.
    pub fn forwarded<'a>(&self, peer: &Peer, values: impl Fn(&str) -> Vec<&'a [u8]>) -> Forwarded {
        Forwarded::read(nearest(peer), &self.networks, self.by, values)
    }

    /// As [`forwarded`](Self::forwarded), for a request head.
    pub fn forwarded_in(&self, peer: &Peer, head: &RequestHead) -> Forwarded {
        self.forwarded(peer, |name| head.values_of(name))
    }
}

/// The end of the chain: what the PROXY protocol told, or else the connection's own other end.
fn nearest(peer: &Peer) -> Node {
    match peer.client_address() {
        Some(address) => Node::Ip(address.ip()),
        None if peer.unix.is_some() && !peer.is_proxied() => Node::Unix,
        None => Node::Unknown,
    }
}

/// The address of the client that sent a request ([`Forwarded::client`]). The chain of proxies ends with what the PROXY
/// protocol told, or else with the connection's own address. `None` if that is no IP address.
pub fn client_ip(peer: &Peer, head: &RequestHead, trusted: &TrustedProxies) -> Option<IpAddr> {
    trusted.forwarded_in(peer, head).client
}

/// Reads the PROXY protocol's header, if one is required: who is there?
pub(super) async fn identify(
    socket: &mut Socket,
    address: &Address,
    protocol: &ProxyProtocol,
) -> io::Result<Peer> {
    let mut peer = Peer {
        address: address.socket_addr(),
        unix: socket.unix_peer(),
        ..Peer::default()
    };
    let trusted = match protocol {
        ProxyProtocol::Off => return Ok(peer),
        ProxyProtocol::Required { trusted } => trusted,
    };
    let node = match address {
        Address::Ip(address) => Node::Ip(address.ip()),
        Address::Unix(_) => Node::Unix,
    };
    if !trusted.iter().any(|network| network.contains_node(node)) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "expected a trusted balancer, which sends a PROXY protocol header",
        ));
    }
    let header = peek::take(socket, |bytes| {
        Header::scan(bytes, HEADER_BYTES_MAX)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    });
    peer.proxied = Some(Box::new(header.await?));
    Ok(peer)
}
