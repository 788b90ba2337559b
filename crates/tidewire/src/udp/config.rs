//! Limits of a socket, and how the system treats it; where a server listens.

use std::net::SocketAddr;

use super::{Group, Interface};
use crate::service::Workers;

/// The largest payload there is: that of an IPv6 datagram without jumbograms. One of IPv4 has at most 65 507 bytes.
pub const DATAGRAM_BYTES_MAX: usize = 65_527;

/// Most datagrams, or runs of datagrams of one sender, that one system call reads.
pub const BATCH_MAX: usize = 32;

/// Limits and options of a socket.
///
/// A socket that has nothing to do owns no buffer to read into: each thread has one, of at most 2.1 MiB of address space,
/// of which the pages that were written to are memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options of the system, which are independent of one another"
)]
pub struct Config {
    /// Longer payloads are refused when sent, and dropped and [counted](super::Traffic::datagrams_oversized) when
    /// received. Default 65 527, the largest there is.
    pub datagram_bytes_max: usize,
    /// Most reads of one system call, from 1 to 32. A read is a datagram, or as many of one sender as the system has put
    /// together (64 KiB at most), so that an async [`Socket`](super::Socket) holds at most `batch_max` times 64 KiB that
    /// were not asked for yet. Default 32.
    pub batch_max: usize,
    /// Bytes that may be queued for sending, where a datagram counts for its payload and 64 bytes. Then `send` waits, and
    /// `try_send` says [`Full`](super::SendError::Full). Default 1 MiB.
    pub send_queue_bytes_max: usize,
    /// Bytes that the system holds until they are read (`SO_RCVBUF`); Linux doubles the value, and counts more than the
    /// payload. What does not fit is lost. Default `None`: what the system has by itself.
    pub receive_buffer_bytes: Option<usize>,
    /// Bytes that the system holds until they are sent (`SO_SNDBUF`). Default `None`: what the system has by itself.
    pub send_buffer_bytes: Option<usize>,
    /// The port may be used by several sockets, each of which receives what is sent to a multicast group
    /// (`SO_REUSEADDR`). Default false for servers; a client that [listens](super::Client::listen) does it always.
    pub reuse_address: bool,
    /// The port may be used by several sockets of this user, among which the system spreads the senders
    /// (`SO_REUSEPORT`). Default false: a port in use is an error. A server with several workers does so among them. Unix
    /// only.
    pub reuse_port: bool,
    /// An IPv6 socket does not serve IPv4 beside (`IPV6_V6ONLY`). Default `None`: what the system has by itself.
    pub only_v6: Option<bool>,
    /// Datagrams may be sent to broadcast addresses (`SO_BROADCAST`). Default false.
    pub broadcast: bool,
    /// Routers that a datagram may pass (`IP_TTL`, `IPV6_UNICAST_HOPS`). Default `None`: what the system has by
    /// itself, usually 64.
    pub ttl: Option<u32>,
    /// The system may send a datagram that is too large for the path in fragments. Default true. Without, such a datagram
    /// is an error. Linux and Android only.
    pub fragment: bool,
    /// How datagrams to multicast groups are sent.
    pub multicast: MulticastOptions,
}

/// How datagrams to multicast groups are sent.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MulticastOptions {
    /// They also reach members on this machine (`IP_MULTICAST_LOOP`). Default `None`: what the system has by itself, true.
    pub loopback: Option<bool>,
    /// Routers that they may pass (`IP_MULTICAST_TTL`). Default `None`: what the system has by itself, 1, the local network.
    pub ttl: Option<u32>,
    /// The interface by which they leave (`IP_MULTICAST_IF`). Default: the one the system chooses.
    pub interface: Interface,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            datagram_bytes_max: DATAGRAM_BYTES_MAX,
            batch_max: BATCH_MAX,
            send_queue_bytes_max: 1 << 20,
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
            reuse_address: false,
            reuse_port: false,
            only_v6: None,
            broadcast: false,
            ttl: None,
            fragment: true,
            multicast: MulticastOptions::default(),
        }
    }
}

/// Where and how a server listens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Address to listen on; port 0 picks one.
    pub address: SocketAddr,
    /// How cores are used: each worker has a socket, and the system gives all datagrams of a sender to the same one.
    /// Default: a runtime per core.
    pub workers: Workers,
    /// Limits and options of its sockets.
    pub socket: Config,
    /// Multicast groups that the server receives from. The first worker does.
    pub groups: Vec<Group>,
    /// Where [`multicast`](super::RunningServer::multicast) sends to. Default: nowhere.
    pub multicast_to: Option<SocketAddr>,
}

impl ServerConfig {
    /// Listens on `address`, everything else at its default.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            workers: Workers::per_core(),
            socket: Config::default(),
            groups: Vec::new(),
            multicast_to: None,
        }
    }

    /// Adds one to the field `groups`.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }
}
