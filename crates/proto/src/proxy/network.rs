//! Blocks of addresses in CIDR notation (RFC 4632, RFC 4291 section 2.3).
//!
//! An IPv4 address that arrives mapped into IPv6 (`::ffff:a.b.c.d`, as dual-stack sockets give
//! it) is the IPv4 address: else a block could be dodged by the other spelling.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A block of addresses, `10.0.0.0/8` or `2001:db8::/32`; an address alone is a block of one. `unix` is the block of all
/// who connect over a Unix socket, and have no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(Block);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Block {
    Ip { address: IpAddr, prefix: u8 },
    Unix,
}

/// The end of a connection, as networks know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Node {
    /// An IP address.
    Ip(IpAddr),
    /// The other end of a Unix socket.
    Unix,
    /// Nothing is known; in no network.
    #[default]
    Unknown,
}

/// A text is no block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address, a block like 10.0.0.0/8 or 2001:db8::/32, or unix")]
pub struct NetworkError;

impl Network {
    /// All who connect over a Unix socket.
    pub const UNIX: Self = Self(Block::Unix);

    /// The block of the first `prefix` bits of `address`; further bits are cleared.
    ///
    /// # Errors
    /// [`NetworkError`] for a prefix longer than the address: 32 or 128 bits.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
        let (address, prefix) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(v4)) if prefix >= 96 => {
                (IpAddr::V4(v4), prefix.saturating_sub(96))
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => (address, prefix),
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err(NetworkError);
        }
        Ok(Self(Block::Ip {
            address: masked(address, prefix),
            prefix,
        }))
    }

    /// Returns whether `address` lies in the block. IPv4 blocks hold no IPv6 addresses, and the other way.
    pub fn contains(&self, address: IpAddr) -> bool {
        let other = address.to_canonical();
        match self.0 {
            Block::Ip { address, prefix } => {
                other.is_ipv4() == address.is_ipv4() && masked(other, prefix) == address
            }
            Block::Unix => false,
        }
    }

    /// Returns whether `node` belongs to the block.
    pub fn contains_node(&self, node: Node) -> bool {
        match node {
            Node::Ip(address) => self.contains(address),
            Node::Unix => self.0 == Block::Unix,
            Node::Unknown => false,
        }
    }
}

impl Node {
    /// Its text; `None` when nothing is known.
    pub fn shown(self) -> Option<String> {
        (self != Self::Unknown).then(|| self.to_string())
    }

    /// The IP address, if it has one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address),
            Self::Unix | Self::Unknown => None,
        }
    }

    /// An IPv4 address that is mapped into IPv6 as the IPv4 address.
    #[must_use]
    pub fn to_canonical(self) -> Self {
        match self {
            Self::Ip(address) => Self::Ip(address.to_canonical()),
            Self::Unix | Self::Unknown => self,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix:"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl From<IpAddr> for Node {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<Option<IpAddr>> for Node {
    fn from(address: Option<IpAddr>) -> Self {
        address.map_or(Self::Unknown, Self::Ip)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self(Block::Ip { address, prefix })
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        // With a colon as nginx shows such a client, and takes it.
        if text == "unix" || text == "unix:" {
            return Ok(Self::UNIX);
        }
        let Some((address, prefix)) = text.split_once('/') else {
            return text.parse().map(IpAddr::into).map_err(|_| NetworkError);
        };
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NetworkError);
        }
        let address = address.parse().map_err(|_| NetworkError)?;
        Self::new(address, prefix.parse().map_err(|_| NetworkError)?)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Block::Ip { address, prefix } => write!(f, "{address}/{prefix}"),
            Block::Unix => f.write_str("unix"),
        }
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(prefix))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(prefix))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_the_addresses_with_its_prefix() {
        for (block, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.7/32", "::ffff:192.0.2.7", true),
            ("::ffff:192.0.2.7", "192.0.2.7", true),
            ("::ffff:10.0.0.0/104", "10.3.4.5", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::8/127", "2001:db8::9", true),
            ("2001:db8::8/128", "2001:db8::9", false),
        ] {
            let network: Network = block.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                inside,
                "{address} in {block}"
            );
        }
    }

    #[test]
    fn unix_is_the_block_of_all_unix_sockets_and_of_nothing_else() {
        for text in ["unix", "unix:"] {
            let network: Network = text.parse().unwrap();
            assert_eq!(
                (network, network.to_string()),
                (Network::UNIX, "unix".to_owned())
            );
        }
        let (any_v4, any_v6) = ("0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap());
        let ip = Node::from(IpAddr::from([127, 0, 0, 1]));
        for (network, node, inside) in [
            (Network::UNIX, Node::Unix, true),
            (Network::UNIX, ip, false),
            (Network::UNIX, Node::Unknown, false),
            (any_v4, Node::Unix, false),
            (any_v6, Node::Unix, false),
            (any_v4, ip, true),
            (any_v4, Node::Unknown, false),
        ] {
            assert_eq!(network.contains_node(node), inside, "{node:?} in {network}");
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "::/129",
            "host",
            "unix:/run/app.sock",
            "unix/8",
            "010.0.0.1",
            "10.0.0.0/999",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text:?}");
        }
    }
}
