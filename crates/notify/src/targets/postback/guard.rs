//! Which addresses a postback may connect to: [`Allowed`].
//!
//! A host name can be made to mean anything by whoever owns it. So of the addresses to which it resolves only public ones
//! are connected to, unless the operator has named the host or the network. An address that stands in the URL
//! itself is named by that, and so is `localhost`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidewire::ws::Network;

/// The names of the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) hosts: Vec<String>,
    pub(crate) networks: Vec<Network>,
}

impl Allowed {
    /// Returns whether a connection to `address`, to which `host` resolves, may be made.
    pub(crate) fn admits(&self, host: &str, address: IpAddr) -> bool {
        let is_named = |named: &String| named.eq_ignore_ascii_case(host);
        is_public(address)
            || host.parse::<IpAddr>().is_ok()
            || (host.eq_ignore_ascii_case("localhost") && address.is_loopback())
            || self.hosts.iter().any(is_named)
            || self
                .networks
                .iter()
                .any(|network| network.contains(address))
    }
}

/// Returns whether an address is one of the public internet: none of the special-purpose blocks of the IANA.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    let is_in =
        |(block, len): &([u8; 4], u32)| (bits ^ u32::from_be_bytes(*block)) >> (32 - len) == 0;
    !SPECIAL_V4.iter().any(is_in)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = u128::from(address);
    let is_in = |block: u128, len: u32| (bits ^ block) >> (128 - len) == 0;
    // Addresses that carry one of IPv4 are as public as that.
    let carried = CARRYING_V6
        .iter()
        .find(|(block, len, _)| is_in(*block, *len));
    if let Some((_, _, shift)) = carried {
        let bits = u32::try_from(bits >> shift & u128::from(u32::MAX)).unwrap_or_default();
        return is_public_v4(bits.into());
    }
    let is_special = SPECIAL_V6.iter().any(|(block, len)| is_in(*block, *len));
    is_in(GIVEN_OUT_V6, 3) && !is_special
}

/// Blocks of IPv4 that are not of the public internet: address and length of the prefix.
const SPECIAL_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, reserved, broadcast.
    ([224, 0, 0, 0], 3),
];

/// Blocks of IPv6 that carry an address of IPv4, and how far from the end it begins: mapped, translated, NAT64, 6to4.
const CARRYING_V6: &[(u128, u32, u32)] = &[
    (0xFFFF << 32, 96, 0),
    (0xFFFF << 48, 96, 0),
    (0x0064_FF9B << 96, 96, 0),
    (0x2002 << 112, 16, 80),
];

/// `2000::/3` is all that is given out.
const GIVEN_OUT_V6: u128 = 0x2000 << 112;

/// Blocks within it that are not of the public internet: for protocols (Teredo among them), documentation.
const SPECIAL_V6: &[(u128, u32)] = &[
    (0x2001 << 112, 23),
    (0x2001_0DB8 << 96, 32),
    (0x3FFF << 112, 20),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: &str = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.8.9.1 169.254.169.254 172.16.0.1
        172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.7
        203.0.113.7 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.1.2.3
        ::ffff:0:10.1.2.3 ::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1
        2001:1::1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 2002:c0a8:101:: 3fff::1 fc00::1 fd12:3456::1
        fe80::1 fec0::1 ff02::1 5f00::1";
    const PUBLIC: &str = "1.1.1.1 8.8.8.8 100.63.0.1 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.17.0.1 223.255.255.255
        2606:4700::1111 2a00:1450::1 2001:4860::8888 64:ff9b::8.8.8.8 2002:808:808:: ::ffff:8.8.8.8";

    #[test]
    fn a_name_that_resolves_to_a_private_address_is_refused_unless_it_is_named() {
        let open = Allowed::default();
        for private in PRIVATE.split_whitespace() {
            let address: IpAddr = private.parse().unwrap();
            assert!(!open.admits("backend.example", address), "{private}");
            assert!(open.admits(private, address), "{private} stands in the URL");
        }
        for public in PUBLIC.split_whitespace() {
            let address: IpAddr = public.parse().unwrap();
            assert!(open.admits("backend.example", address), "{public}");
        }
    }

    #[test]
    fn hosts_and_networks_can_be_named() {
        let named = Allowed {
            hosts: vec!["Backend.internal".to_owned()],
            networks: vec!["10.0.0.0/8".parse().unwrap()],
        };
        let private: IpAddr = "192.168.0.9".parse().unwrap();
        assert!(named.admits("backend.INTERNAL", private));
        assert!(!named.admits("other.internal", private));
        assert!(named.admits("other.internal", "10.9.8.7".parse().unwrap()));
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(Allowed::default().admits("localhost", local));
        assert!(
            !Allowed::default().admits("localhost", private),
            "a name server's idea"
        );
    }
}
