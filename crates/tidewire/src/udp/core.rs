//! Parts of every socket, whoever waits for it: limits, addresses, counters, groups.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use socket2::SockRef;

use super::{
    Config, Group,
    bind::{Change, change},
    datagram::Origin,
    error::{GroupError, SendError},
    membership::{Memberships, Needed},
    traffic::Counters,
};
use crate::sync::RwLock;

/// Most of one IPv4 datagram: 64 KiB with its headers.
const IPV4_BYTES_MAX: usize = 65_507;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) counters: Counters,
    pub(crate) config: Config,
    pub(crate) local: SocketAddr,
    pub(crate) peer: Option<SocketAddr>,
    groups: RwLock<Memberships>,
    /// A group is heard from some sources only, which the socket has to tell apart.
    filters: AtomicBool,
}

impl Core {
    pub(crate) fn new(config: Config, local: SocketAddr, peer: Option<SocketAddr>) -> Self {
        Self {
            counters: Counters::default(),
            config,
            local,
            peer,
            groups: RwLock::default(),
            filters: AtomicBool::new(false),
        }
    }

    /// Checks a datagram before it is queued, and gives its address as the socket needs it.
    #[inline]
    pub(crate) fn check(
        &self,
        len: usize,
        to: Option<SocketAddr>,
    ) -> Result<SocketAddr, SendError> {
        let to = to.or(self.peer).ok_or(SendError::NoPeer)?;
        let by_protocol = if to.is_ipv4() {
            IPV4_BYTES_MAX
        } else {
            usize::MAX
        };
        let max = self.config.datagram_bytes_max.min(by_protocol);
        if len > max {
            return Err(SendError::TooLarge { len, max });
        }
        match (self.local, to) {
            _ if to.port() == 0 => Err(SendError::PortZero),
            (SocketAddr::V4(_), SocketAddr::V6(_)) => Err(SendError::Family(to)),
            (SocketAddr::V6(_), SocketAddr::V4(v4)) => {
                Ok((v4.ip().to_ipv6_mapped(), v4.port()).into())
            }
            (SocketAddr::V4(_), SocketAddr::V4(_)) | (SocketAddr::V6(_), SocketAddr::V6(_)) => {
                Ok(to)
            }
        }
    }

    /// Decides about a datagram that came, and counts it if it is dropped.
    #[inline]
    pub(crate) fn admit(&self, len: usize, origin: &Origin) -> bool {
        if len > self.config.datagram_bytes_max {
            self.counters.oversized();
            return false;
        }
        if self.filters.load(Ordering::Acquire) && !self.groups.read().admit(origin) {
            self.counters.filtered();
            return false;
        }
        true
    }

    /// The address that an answer must come from: who asked one of several addresses expects to hear from it.
    #[inline]
    pub(super) fn source_of_reply(&self, origin: &Origin) -> Option<IpAddr> {
        if !self.local.ip().is_unspecified() {
            return None;
        }
        origin.to.filter(|to| !to.is_multicast())
    }

    pub(crate) fn join(&self, socket: &SockRef<'_>, group: &Group) -> Result<(), GroupError> {
        let failed = |source| GroupError {
            verb: "join",
            group: group.clone(),
            source,
        };
        let mut groups = self.groups.write();
        match groups.joining(group) {
            Needed::Call => change(socket, group, Change::Join).map_err(failed)?,
            Needed::Nothing => group.check().map_err(failed)?,
        }
        groups.joined(group.clone());
        self.filters.store(groups.filters(), Ordering::Release);
        Ok(())
    }

    pub(crate) fn leave(&self, socket: &SockRef<'_>, group: &Group) -> Result<(), GroupError> {
        let failed = |source| GroupError {
            verb: "leave",
            group: group.clone(),
            source,
        };
        let mut groups = self.groups.write();
        let no_member = || io::Error::new(io::ErrorKind::NotFound, "the socket is no member of it");
        let needed = groups
            .leaving(group)
            .ok_or_else(no_member)
            .map_err(failed)?;
        if needed == Needed::Call {
            change(socket, group, Change::Leave).map_err(failed)?;
        }
        self.filters.store(groups.filters(), Ordering::Release);
        Ok(())
    }

    pub(super) fn groups(&self) -> Vec<Group> {
        self.groups.read().all().to_vec()
    }
}
