//! Blocks of addresses in CIDR notation (RFC 4632, RFC 4291 section 2.3).
//!
//! An IPv4 address that arrives mapped into IPv6 (`::ffff:a.b.c.d`, as dual-stack sockets give
//! it) is the IPv4 address: else a block could be dodged by the other spelling.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A block of addresses, `10.0.0.0/8` or `2001:db8::/32`; an address alone is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text is no block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address or a block like 10.0.0.0/8 or 2001:db8::/32")]
pub struct NetworkError;

impl Network {
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
        Ok(Self {
            address: masked(address, prefix),
            prefix,
        })
    }

    /// Returns whether `address` lies in the block. IPv4 blocks hold no IPv6 addresses, and the other way.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
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
        write!(f, "{}/{}", self.address, self.prefix)
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
            "010.0.0.1",
            "10.0.0.0/999",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text:?}");
        }
    }
}
