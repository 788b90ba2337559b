//! Multicast groups, and the interface by which their datagrams come and go.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr},
};

/// An interface of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interface {
    /// The one the system chooses by its routes.
    #[default]
    Any,
    /// By its index, as `ip link` shows it.
    Index(u32),
    /// By its name, as `eth0`. Unix only.
    Name(String),
    /// By an address that it has.
    Address(IpAddr),
}

impl From<u32> for Interface {
    fn from(index: u32) -> Self {
        Self::Index(index)
    }
}

impl From<&str> for Interface {
    /// An address if it is one, else a name.
    fn from(text: &str) -> Self {
        text.parse()
            .map_or_else(|_name| Self::Name(text.to_owned()), Self::Address)
    }
}

impl From<IpAddr> for Interface {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any interface"),
            Self::Index(index) => write!(f, "interface {index}"),
            Self::Name(name) => write!(f, "interface {name}"),
            Self::Address(address) => write!(f, "the interface with {address}"),
        }
    }
}

/// A multicast group to receive from.
///
/// ```
/// use tidewire::udp::Group;
///
/// let any_source = Group::new([239, 255, 0, 1]).interface("lo");
/// let one_source = Group::new([232, 1, 1, 1]).source([192, 0, 2, 7]);
/// # let _ = (any_source, one_source);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Group {
    /// The address of the group: in `224.0.0.0/4` or `ff00::/8`.
    pub address: IpAddr,
    /// Receive only what this host sends to the group (RFC 4607). Default `None`: from any source.
    ///
    /// IPv4: the system and the routers do it (`IGMPv3`). IPv6: the socket does it, routers see a membership for any
    /// source, because no maintained crate gives the system's call behind a safe function.
    pub source: Option<IpAddr>,
    /// The interface by which the datagrams come. Default: the one the system chooses.
    pub interface: Interface,
}

impl Group {
    /// A group, from any source, on the interface the system chooses.
    pub fn new(address: impl Into<IpAddr>) -> Self {
        Self {
            address: address.into(),
            source: None,
            interface: Interface::Any,
        }
    }

    /// Sets the field `source`.
    #[must_use]
    pub fn source(mut self, source: impl Into<IpAddr>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets the field `interface`.
    #[must_use]
    pub fn interface(mut self, interface: impl Into<Interface>) -> Self {
        self.interface = interface.into();
        self
    }

    /// Checks what the system would refuse without saying why.
    pub(super) fn check(&self) -> io::Result<()> {
        let problem = if !self.address.is_multicast() {
            format!("{} is not a multicast address", self.address)
        } else if let Some(source) = self.source
            && (source.is_multicast() || source.is_ipv4() != self.address.is_ipv4())
        {
            format!("{source} cannot be a source of {}", self.address)
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        if self.interface != Interface::Any {
            write!(f, " on {}", self.interface)?;
        }
        Ok(())
    }
}

/// An interface in the forms that the system asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) index: u32,
    pub(super) ipv4: Option<Ipv4Addr>,
}

impl Interface {
    /// Finds the interface; index 0 stands for the one that the system chooses.
    pub(super) fn resolve(&self) -> io::Result<Resolved> {
        match self {
            Self::Any => Ok(Resolved::default()),
            #[cfg(unix)]
            _ => unix::resolve(self)?.ok_or_else(|| not_found(self)),
            #[cfg(not(unix))]
            Self::Index(index) => Ok(Resolved {
                index: *index,
                ipv4: None,
            }),
            #[cfg(not(unix))]
            Self::Address(IpAddr::V4(address)) => Ok(Resolved {
                index: 0,
                ipv4: Some(*address),
            }),
            #[cfg(not(unix))]
            Self::Name(_) | Self::Address(IpAddr::V6(_)) => Err(not_found(self)),
        }
    }
}

fn not_found(interface: &Interface) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("there is no such interface: {interface}"),
    )
}

#[cfg(unix)]
mod unix {
    use std::{io, net::IpAddr};

    use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex};

    use super::{Interface, Resolved};

    /// Looks through the interfaces, of which each stands there once per address.
    pub(super) fn resolve(wanted: &Interface) -> io::Result<Option<Resolved>> {
        let mut found: Option<(String, Resolved)> = None;
        let all: Vec<_> = getifaddrs()?.collect();
        for entry in &all {
            let Ok(index) = if_nametoindex(entry.interface_name.as_str()) else {
                continue; // it has just gone
            };
            let address = entry.address.as_ref().and_then(|address| {
                let v4 = address.as_sockaddr_in().map(|it| IpAddr::from(it.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::from(it.ip())))
            });
            let is_it = match wanted {
                Interface::Any => false,
                Interface::Index(number) => *number == index,
                Interface::Name(name) => *name == entry.interface_name,
                Interface::Address(wanted) => Some(*wanted) == address,
            };
            if is_it {
                let resolved = Resolved { index, ipv4: None };
                found.get_or_insert_with(|| (entry.interface_name.clone(), resolved));
            }
        }
        Ok(found.map(|(name, mut resolved)| {
            resolved.ipv4 = match wanted {
                Interface::Address(IpAddr::V4(address)) => Some(*address),
                Interface::Address(IpAddr::V6(_))
                | Interface::Any
                | Interface::Index(_)
                | Interface::Name(_) => all
                    .iter()
                    .filter(|entry| entry.interface_name == name)
                    .find_map(|entry| Some(entry.address.as_ref()?.as_sockaddr_in()?.ip())),
            };
            resolved
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn an_interface_is_found_by_index_name_and_address() {
        let by_name = Interface::from("lo").resolve().unwrap();
        assert_eq!(by_name.ipv4, Some(Ipv4Addr::LOCALHOST));
        for same in [
            Interface::Index(by_name.index),
            Interface::from("127.0.0.1"),
            Interface::from(IpAddr::from(Ipv6Addr::LOCALHOST)),
        ] {
            assert_eq!(same.resolve().unwrap(), by_name, "{same}");
        }
        let missing = Interface::from("nosuch0").resolve().unwrap_err();
        assert_eq!(
            missing.to_string(),
            "there is no such interface: interface nosuch0"
        );
    }

    #[test]
    fn a_group_that_is_none_is_refused_in_words() {
        for (group, problem) in [
            (
                Group::new([192, 0, 2, 1]),
                "192.0.2.1 is not a multicast address",
            ),
            (
                Group::new([232, 1, 1, 1]).source(Ipv6Addr::LOCALHOST),
                "::1 cannot be a source of 232.1.1.1",
            ),
        ] {
            assert_eq!(group.check().unwrap_err().to_string(), problem);
        }
        assert!(
            Group::new([232, 1, 1, 1])
                .source([192, 0, 2, 1])
                .check()
                .is_ok()
        );
    }
}
