//! The system's calls: many datagrams at a time where there is such a call. The one file with platform parts.
//!
//! In: a nonblocking socket. Out: batches of datagrams, received into a buffer of the thread, or sent from a queue.
//!
//! Sending looks at what waits: a run of equally long datagrams to one address leaves by segmentation offload (one call, one
//! way through the system's layers), others side by side by `sendmmsg`, one alone by `sendto`.

use std::{
    array,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
};

use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use tokio::net::UdpSocket;

use super::{
    Config,
    buffer::{Buffer, READ_BYTES, READ_STRIDE},
    config::BATCH_MAX,
    error::SocketError,
    outgoing::Entry,
};

/// A run has this many datagrams at least; shorter ones leave together with others.
const RUN_MIN: usize = 3;

/// Longer datagrams are not sent as a run: segments that do not fit the path are refused, and 1280 bytes are the
/// smallest that a path of IPv6 may carry (RFC 8200 section 5).
const SEGMENT_MAX: usize = 1280 - 48;

/// Most bytes of a run: an IP packet of 64 KiB with its headers.
const RUN_BYTES_MAX: usize = 65_535 - 48;

/// A socket, as far as this module knows it.
#[derive(Debug)]
pub(super) struct System {
    state: UdpSocketState,
    batch_max: usize,
    /// The only address datagrams to this socket are sent to.
    pub(super) local: Option<IpAddr>,
    /// The peer that the system was told of.
    peer: Option<SocketAddr>,
    errors: bool,
}

impl System {
    /// Prepares a bound socket.
    pub(super) fn new(socket: &socket2::Socket, config: &Config) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(socket))?;
        let bound = socket.local_addr()?.as_socket().map(|it| it.ip());
        // It may have been connected, or only remember its peer.
        let peer = socket.peer_addr().ok().and_then(|it| it.as_socket());
        let local = bound.filter(|it| !it.is_unspecified() && !it.is_multicast());
        linux::adjust(socket, local.is_some(), config.fragment)?;
        // Where there is no such queue, the errors of a connected socket are told by its calls.
        #[cfg(unix)]
        state.enable_transport_errors(UdpSockRef::from(socket))?;
        Ok(Self {
            state,
            batch_max: config.batch_max.clamp(1, BATCH_MAX),
            local: local.map(|it| it.to_canonical()),
            peer,
            errors: cfg!(any(target_os = "linux", target_os = "android")),
        })
    }

    /// Reads what is there, in one call, and gives the number of reads.
    pub(super) fn recv(&self, socket: &UdpSocket, buffer: &mut Buffer) -> io::Result<Reads> {
        let mut bytes = buffer.bytes.chunks_mut(READ_STRIDE);
        let mut slices: [IoSliceMut<'_>; BATCH_MAX] = array::from_fn(|_index| {
            let bytes = bytes.next().map(|it| &mut it[..READ_BYTES]);
            IoSliceMut::new(bytes.unwrap_or_default())
        });
        let slices = &mut slices[..self.batch_max];
        let count = self
            .state
            .recv(UdpSockRef::from(socket), slices, &mut buffer.meta)?;
        Ok(Reads {
            count,
            is_last: count < self.batch_max && self.batch_max > 1,
        })
    }

    /// The next error that the system has learned of by ICMP.
    pub(super) fn take_error(&self, socket: &UdpSocket) -> Option<SocketError> {
        if self.errors {
            return linux::take_error(socket, self.peer);
        }
        let error = socket.take_error().ok()??;
        Some(SocketError {
            to: self.peer,
            error,
        })
    }

    /// Sends of what waits as much as one call can take, and gives the number of datagrams; an error is that of the first.
    pub(super) fn send(
        &self,
        socket: &UdpSocket,
        entries: &[Entry],
        bytes: &[u8],
    ) -> io::Result<usize> {
        let Some(first) = entries.first() else {
            return Ok(0);
        };
        let segments_max = self.state.max_gso_segments();
        let run = run(entries, segments_max);
        if run >= RUN_MIN {
            let len = entries[..run].iter().map(|entry| entry.len).sum();
            match self.send_run(socket, first, &bytes[..len]) {
                Ok(()) => return Ok(run),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                // The device cannot do it; `state` goes without from now on.
                Err(_) if self.state.max_gso_segments() < segments_max => {}
                Err(error) => return Err(error),
            }
        }
        let alone = entries
            .get(1)
            .is_none_or(|next| next.source != first.source);
        if alone || run >= RUN_MIN {
            return self
                .send_one(socket, first, &bytes[..first.len])
                .map(|()| 1);
        }
        linux::send_many(self, socket, until_run(entries, segments_max), bytes)
    }

    fn send_run(&self, socket: &UdpSocket, first: &Entry, bytes: &[u8]) -> io::Result<()> {
        let transmit = Transmit {
            destination: first.to,
            ecn: None,
            contents: bytes,
            segment_size: Some(first.len),
            src_ip: first.source,
        };
        self.state.try_send(UdpSockRef::from(socket), &transmit)
    }

    fn send_one(&self, socket: &UdpSocket, entry: &Entry, bytes: &[u8]) -> io::Result<()> {
        let socket_ref = socket2::SockRef::from(socket);
        if entry.source.is_some() {
            let transmit = Transmit {
                destination: entry.to,
                ecn: None,
                contents: bytes,
                segment_size: None,
                src_ip: entry.source,
            };
            return self.state.try_send(UdpSockRef::from(socket), &transmit);
        }
        if self.peer == Some(entry.to) {
            socket_ref.send(bytes)?;
        } else {
            socket_ref.send_to(bytes, &entry.to.into())?;
        }
        Ok(())
    }
}

/// The result of a call that reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reads {
    pub(super) count: usize,
    /// There was nothing more.
    pub(super) is_last: bool,
}

/// How many of the first datagrams may be sent as segments of one.
fn run(entries: &[Entry], segments_max: usize) -> usize {
    let Some(first) = entries.first() else {
        return 0;
    };
    // Members on this machine would each take a run apart.
    if first.len == 0 || first.len > SEGMENT_MAX || first.to.ip().is_multicast() {
        return 1;
    }
    let mut bytes = 0;
    let mut count = 0;
    for entry in entries.iter().take(segments_max) {
        if !entry.is_beside(first) || entry.len == 0 || entry.len > first.len {
            break;
        }
        bytes += entry.len;
        if bytes > RUN_BYTES_MAX {
            break;
        }
        count += 1;
        if entry.len < first.len {
            break; // only the last may be shorter
        }
    }
    count
}

/// The first datagrams, up to a run, that leave the same address.
fn until_run(entries: &[Entry], segments_max: usize) -> &[Entry] {
    let mut end = 0;
    while let Some(entry) = entries.get(end)
        && end < linux::SEND_MAX
        && entry.source == entries[0].source
        && (end == 0 || run(&entries[end..], segments_max.min(RUN_MIN)) < RUN_MIN)
    {
        end += 1;
    }
    &entries[..end]
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::{
        cell::RefCell,
        io::{self, IoSlice, IoSliceMut},
        net::{IpAddr, SocketAddr},
        os::fd::AsRawFd,
    };

    use nix::{
        cmsg_space,
        libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo, sock_extended_err, sockaddr_in6},
        sys::socket::{
            ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg,
            sendmmsg, setsockopt, sockopt,
        },
    };
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };
    use tokio::net::UdpSocket;

    use super::System;
    use crate::udp::{datagram::canonical, error::SocketError, outgoing::Entry};

    /// Most datagrams of one `sendmmsg`.
    pub(super) const SEND_MAX: usize = 64;

    /// Takes back what is of use to QUIC only.
    pub(super) fn adjust(
        socket: &socket2::Socket,
        is_destination_known: bool,
        fragment: bool,
    ) -> io::Result<()> {
        let is_v6 = socket.domain()? == socket2::Domain::IPV6;
        setsockopt(socket, sockopt::ReceiveTimestampns, &false)?;
        if is_v6 {
            socket.set_recv_tclass_v6(false)?;
            if is_destination_known {
                setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &false)?;
            }
        } else {
            socket.set_recv_tos_v4(false)?;
            if is_destination_known {
                setsockopt(socket, sockopt::Ipv4PacketInfo, &false)?;
            }
        }
        if fragment {
            set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::WANT)?;
            if is_v6 {
                set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::WANT)?;
                setsockopt(socket, sockopt::Ipv6DontFrag, &false)?;
            }
        }
        Ok(())
    }

    type Headers = MultiHeaders<SockaddrStorage>;

    /// One for each form of the source address: none, IPv4, IPv6.
    #[derive(Default)]
    struct AllHeaders {
        plain: Option<Headers>,
        v4: Option<Headers>,
        v6: Option<Headers>,
    }

    thread_local! {
        static HEADERS: RefCell<AllHeaders> = RefCell::default();
    }

    pub(super) fn send_many(
        system: &System,
        socket: &UdpSocket,
        entries: &[Entry],
        bytes: &[u8],
    ) -> io::Result<usize> {
        let mut slices = [[IoSlice::new(&[])]; SEND_MAX];
        let mut addresses = [None; SEND_MAX];
        let mut bytes = bytes;
        for ((entry, slice), address) in entries.iter().zip(&mut slices).zip(&mut addresses) {
            let (payload, behind) = bytes.split_at(entry.len);
            *slice = [IoSlice::new(payload)];
            *address = (system.peer != Some(entry.to)).then(|| SockaddrStorage::from(entry.to));
            bytes = behind;
        }
        let count = entries.len().min(SEND_MAX);
        let (slices, addresses) = (&slices[..count], &addresses[..count]);
        let source = entries.first().and_then(|entry| entry.source);
        let send = |headers: &mut Headers, control: &[ControlMessage<'_>]| {
            let flags = MsgFlags::empty();
            let sent = sendmmsg(
                socket.as_raw_fd(),
                headers,
                slices,
                addresses,
                control,
                flags,
            )?;
            Ok(sent.count())
        };
        HEADERS.with_borrow_mut(|all| match source {
            None => {
                let plain = &mut all.plain;
                let plain = plain.get_or_insert_with(|| Headers::preallocate(SEND_MAX, None));
                send(plain, &[])
            }
            Some(IpAddr::V4(address)) => {
                let info = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr {
                        s_addr: u32::from_ne_bytes(address.octets()),
                    },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                let space = || Headers::preallocate(SEND_MAX, Some(cmsg_space!(in_pktinfo)));
                let headers = all.v4.get_or_insert_with(space);
                send(headers, &[ControlMessage::Ipv4PacketInfo(&info)])
            }
            Some(IpAddr::V6(address)) => {
                let info = in6_pktinfo {
                    ipi6_ifindex: 0,
                    ipi6_addr: in6_addr {
                        s6_addr: address.octets(),
                    },
                };
                let space = || Headers::preallocate(SEND_MAX, Some(cmsg_space!(in6_pktinfo)));
                let headers = all.v6.get_or_insert_with(space);
                send(headers, &[ControlMessage::Ipv6PacketInfo(&info)])
            }
        })
    }

    /// `SO_EE_ORIGIN_LOCAL`: the call that failed has told already.
    const ORIGIN_LOCAL: u8 = 1;

    pub(super) fn take_error(socket: &UdpSocket, peer: Option<SocketAddr>) -> Option<SocketError> {
        let mut payload = [0; 1];
        let mut slices = [IoSliceMut::new(&mut payload)];
        let mut control = cmsg_space!(sock_extended_err, sockaddr_in6);
        loop {
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let message = recvmsg::<SockaddrStorage>(
                socket.as_raw_fd(),
                &mut slices,
                Some(&mut control),
                flags,
            )
            .ok()?;
            let to = message.address.as_ref().and_then(|address| {
                let v4 = address
                    .as_sockaddr_in()
                    .map(|it| SocketAddr::from(std::net::SocketAddrV4::from(*it)));
                let v6 = || {
                    address
                        .as_sockaddr_in6()
                        .map(|it| SocketAddr::from(std::net::SocketAddrV6::from(*it)))
                };
                v4.or_else(v6)
            });
            for told in message.cmsgs().ok()? {
                if let ControlMessageOwned::Ipv4RecvErr(error, _)
                | ControlMessageOwned::Ipv6RecvErr(error, _) = told
                    && error.ee_origin != ORIGIN_LOCAL
                    && let Ok(code) = i32::try_from(error.ee_errno)
                {
                    return Some(SocketError {
                        to: to.map(canonical).or(peer),
                        error: io::Error::from_raw_os_error(code),
                    });
                }
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod linux {
    use std::{io, net::SocketAddr};

    use tokio::net::UdpSocket;

    use super::System;
    use crate::udp::{error::SocketError, outgoing::Entry};

    pub(super) const SEND_MAX: usize = 1;

    pub(super) fn adjust(_: &socket2::Socket, _: bool, _: bool) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn send_many(
        system: &System,
        socket: &UdpSocket,
        entries: &[Entry],
        bytes: &[u8],
    ) -> io::Result<usize> {
        match entries.first() {
            Some(entry) => system
                .send_one(socket, entry, &bytes[..entry.len])
                .map(|()| 1),
            None => Ok(0),
        }
    }

    pub(super) fn take_error(_: &UdpSocket, _: Option<SocketAddr>) -> Option<SocketError> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(u16, usize)]) -> Vec<Entry> {
        let entry = |&(port, len): &(u16, usize)| Entry {
            to: ([127, 0, 0, 1], port).into(),
            source: None,
            len,
        };
        of.iter().map(entry).collect()
    }

    #[test]
    fn a_run_is_of_one_address_and_one_length_but_for_a_shorter_last() {
        for (of, expected) in [
            (&[(1, 10), (1, 10), (1, 10)][..], 3),
            (&[(1, 10), (1, 10), (1, 4), (1, 4)], 3),
            (&[(1, 10), (1, 11)], 1),
            (&[(1, 10), (2, 10)], 1),
            (&[(1, 0), (1, 0)], 1),
            (&[(1, 10), (1, 0)], 1),
            (&[(1, SEGMENT_MAX), (1, SEGMENT_MAX)], 2),
            (&[(1, SEGMENT_MAX + 1), (1, SEGMENT_MAX + 1)], 1),
            (&[], 0),
        ] {
            assert_eq!(run(&entries(of), 64), expected, "{of:?}");
        }
        assert_eq!(run(&entries(&[(1, 8); 100]), 64), 64);
        let long = run(&entries(&[(1, SEGMENT_MAX); 100]), 64);
        assert_eq!(long, RUN_BYTES_MAX / SEGMENT_MAX);
        assert_eq!(run(&entries(&[(1, 8); 9]), 1), 1, "without offload");
    }

    #[test]
    fn what_is_sent_side_by_side_ends_before_a_run() {
        let queue = entries(&[(1, 8), (2, 8), (2, 8), (3, 8), (3, 8), (3, 8)]);
        assert_eq!(until_run(&queue, 64).len(), 3);
        assert_eq!(until_run(&queue, 1).len(), 6);
    }
}
