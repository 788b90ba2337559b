//! The groups a socket is a member of, and the sources it wants to hear in them.

use std::net::IpAddr;

use super::{Group, datagram::Origin};

#[derive(Debug, Default)]
pub(super) struct Memberships(Vec<Group>);

/// The part that the system has in a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Needed {
    Call,
    /// The system knows already, or shall go on.
    Nothing,
}

impl Memberships {
    pub(super) fn all(&self) -> &[Group] {
        &self.0
    }

    /// Several sources of an IPv6 group are one membership of the system.
    pub(super) fn joining(&self, group: &Group) -> Needed {
        if group.address.is_ipv6() && self.is_shared(group) {
            Needed::Nothing
        } else {
            Needed::Call
        }
    }

    pub(super) fn joined(&mut self, group: Group) {
        self.0.push(group);
    }

    /// `None`: it is no member.
    pub(super) fn leaving(&mut self, group: &Group) -> Option<Needed> {
        let at = self.0.iter().position(|it| it == group)?;
        self.0.remove(at);
        Some(self.joining(group))
    }

    fn is_shared(&self, group: &Group) -> bool {
        let same = |it: &&Group| it.address == group.address && it.interface == group.interface;
        self.0.iter().any(|it| same(&it))
    }

    /// Returns whether the socket has to look at sources by itself.
    pub(super) fn filters(&self) -> bool {
        self.0
            .iter()
            .any(|it| it.address.is_ipv6() && it.source.is_some())
    }

    /// Returns whether a datagram is wanted.
    pub(super) fn admit(&self, origin: &Origin) -> bool {
        let Some(IpAddr::V6(to)) = origin.to else {
            return true;
        };
        if !to.is_multicast() {
            return true;
        }
        let mut groups = self.0.iter().filter(|it| it.address == to);
        groups.any(|it| it.source.is_none_or(|source| source == origin.from.ip()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn sources_of_a_group_are_told_apart() {
        let address = Ipv6Addr::new(0xff35, 0, 0, 0, 0, 0, 0, 1);
        let host = |number| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number);
        let from = |number| Origin {
            from: (host(number), 9).into(),
            to: Some(address.into()),
            interface: None,
        };
        let of = |number| Group::new(address).source(host(number));
        let mut memberships = Memberships::default();
        assert_eq!(memberships.joining(&of(1)), Needed::Call);
        memberships.joined(of(1));
        assert_eq!(memberships.joining(&of(2)), Needed::Nothing);
        memberships.joined(of(2));
        assert!(memberships.filters());
        let heard: Vec<u16> = (0..4).filter(|it| memberships.admit(&from(*it))).collect();
        assert_eq!(heard, [1, 2]);
        assert_eq!(memberships.leaving(&of(1)), Some(Needed::Nothing));
        assert!(!memberships.admit(&from(1)));
        assert_eq!(memberships.leaving(&of(2)), Some(Needed::Call));
        assert_eq!(memberships.leaving(&of(2)), None);
        memberships.joined(Group::new(address));
        assert!(memberships.admit(&from(3)), "any source");
        let mut direct = from(3);
        direct.to = Some(host(7).into());
        assert!(memberships.admit(&direct), "not to a group");
    }
}
