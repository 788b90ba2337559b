//! UDP sockets whose calls block the thread, each for at most the time that is allowed.
//!
//! ```
//! use std::time::Duration;
//! use tidewire::blocking::udp;
//!
//! let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! let socket = udp::connect(&server.local_addr()?.to_string())?;
//! socket.send(b"hello")?;
//! match socket.recv_timeout(Duration::from_millis(1)) {
//!     Ok(datagram) => println!("{:?}", datagram.payload),
//!     Err(udp::RecvError::Timeout) => println!("no answer"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! They need no runtime: a call here waits in the system. Its time limit is its own, whatever other threads wait for;
//! only where the system is no Unix do calls of several threads at a time share the limit of the one that began last.

use std::{
    cell::RefCell,
    io,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use bytes::Bytes;
use socket2::SockRef;

pub use crate::udp::{Client, ConnectError, Datagram, Group, GroupError, RecvError, SendError};
use crate::udp::{Core, DATAGRAM_BYTES_MAX, Origin, SocketError, Traffic, is_about_earlier};

thread_local! {
    /// Read into.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Opens a socket for a peer, as in `example.com:3333`.
///
/// # Errors
/// [`ConnectError`].
pub fn connect(address: &str) -> Result<Socket, ConnectError> {
    Socket::open(&Client::new(address))
}

/// A UDP socket for threads: several may use it at a time.
#[derive(Debug)]
pub struct Socket {
    io: UdpSocket,
    core: Core,
}

impl Socket {
    /// Opens a socket as `client` says, and joins its groups. The name is resolved by the system, which may take long.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn open(client: &Client) -> Result<Self, ConnectError> {
        let (socket, peer) = client.open_blocking()?;
        let (config, groups) = client.parts();
        let address = peer.unwrap_or_else(|| ([0, 0, 0, 0], 0).into());
        let opened = socket.local_addr();
        let local = opened.map_err(|source| ConnectError::Open { address, source })?;
        let socket = Self {
            io: socket,
            core: Core::new(config.clone(), local, peer),
        };
        for group in groups {
            socket.join(group)?;
        }
        Ok(socket)
    }

    /// Blocks until a datagram comes.
    ///
    /// # Errors
    /// [`RecvError`]; after [`RecvError::Unreachable`] the socket goes on.
    pub fn recv(&self) -> Result<Datagram, RecvError> {
        self.recv_until(None)
    }

    /// Blocks until a datagram comes, at most for `timeout`.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), and [`RecvError::Timeout`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Datagram, RecvError> {
        self.recv_until(Instant::now().checked_add(timeout))
    }

    fn recv_until(&self, deadline: Option<Instant>) -> Result<Datagram, RecvError> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(DATAGRAM_BYTES_MAX, 0);
            self.recv_into(buffer, deadline)
        })
    }

    fn recv_into(
        &self,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> Result<Datagram, RecvError> {
        loop {
            let left = left(deadline).map_err(|Over| RecvError::Timeout)?;
            wait(&self.io, For::Datagram, left).map_err(RecvError::Io)?;
            match self.io.recv_from(buffer) {
                Ok((len, from)) => {
                    let origin = Origin::new(from);
                    self.core.counters.received(1, len as u64);
                    if self.core.admit(len, &origin) {
                        return Ok(Datagram {
                            payload: Bytes::copy_from_slice(&buffer[..len]),
                            origin,
                        });
                    }
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_about_earlier(&error) => {
                    self.core.counters.error();
                    let to = self.peer();
                    return Err(RecvError::Unreachable(SocketError { to, error }));
                }
                Err(error) => return Err(RecvError::Io(error)),
            }
        }
    }

    /// Sends to the peer; blocks while the system takes no more.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, payload: &[u8]) -> Result<(), SendError> {
        self.send_until(payload, None, None)
    }

    /// Sends to `to`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_to(&self, payload: &[u8], to: SocketAddr) -> Result<(), SendError> {
        self.send_until(payload, Some(to), None)
    }

    /// As [`send`](Self::send), but blocks at most for `timeout`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::Timeout`].
    pub fn send_timeout(&self, payload: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_until(payload, None, Instant::now().checked_add(timeout))
    }

    /// As [`send_to`](Self::send_to), but blocks at most for `timeout`.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::Timeout`].
    pub fn send_to_timeout(
        &self,
        payload: &[u8],
        to: SocketAddr,
        timeout: Duration,
    ) -> Result<(), SendError> {
        self.send_until(payload, Some(to), Instant::now().checked_add(timeout))
    }

    fn send_until(
        &self,
        payload: &[u8],
        to: Option<SocketAddr>,
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        let to = self.core.check(payload.len(), to)?;
        let is_connected = self.io.peer_addr().is_ok_and(|peer| peer == to);
        let mut pending_error = false;
        loop {
            let left = left(deadline).map_err(|Over| SendError::Timeout)?;
            wait(&self.io, For::Room, left).map_err(SendError::Refused)?;
            let sent = if is_connected {
                self.io.send(payload)
            } else {
                self.io.send_to(payload, to)
            };
            match sent {
                Ok(_) => {
                    self.core.counters.sent(1, payload.len() as u64);
                    return Ok(());
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It belongs to an earlier datagram; the system has told it, and forgets it.
                Err(error) if is_about_earlier(&error) && !pending_error => {
                    pending_error = true;
                    self.core.counters.error();
                }
                Err(error) => {
                    self.core.counters.error();
                    return Err(SendError::Refused(error));
                }
            }
        }
    }

    /// Joins a multicast group.
    ///
    /// # Errors
    /// [`GroupError`]; also for a single source of an IPv6 group, which only the socket of [`crate::udp`] can tell apart.
    pub fn join(&self, group: &Group) -> Result<(), GroupError> {
        if group.address.is_ipv6() && group.source.is_some() {
            let reason = "a blocking socket cannot tell the sources of an IPv6 group apart";
            let source = io::Error::new(io::ErrorKind::Unsupported, reason);
            return Err(GroupError::cannot_join(group, source));
        }
        self.core.join(&SockRef::from(&self.io), group)
    }

    /// Leaves a multicast group, which must be the one that was joined.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn leave(&self, group: &Group) -> Result<(), GroupError> {
        self.core.leave(&SockRef::from(&self.io), group)
    }

    /// The address the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.core.local
    }

    /// The peer.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.core.peer
    }

    /// The counters.
    pub fn traffic(&self) -> Traffic {
        self.core.counters.traffic(0)
    }
}

/// The deadline has passed.
struct Over;

/// The time that is left, in the system's words: none is for ever, and zero is not allowed.
fn left(deadline: Option<Instant>) -> Result<Option<Duration>, Over> {
    let Some(deadline) = deadline else {
        return Ok(None);
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Over);
    }
    Ok(Some(left.max(Duration::from_micros(1))))
}

/// What a call waits for.
#[derive(Clone, Copy)]
enum For {
    Datagram,
    Room,
}

/// Waits until the socket may have it, at most for as long as is left. Another thread may be faster.
#[cfg(unix)]
fn wait(socket: &UdpSocket, what: For, left: Option<Duration>) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let flags = match what {
        For::Datagram => PollFlags::IN,
        For::Room => PollFlags::OUT,
    };
    // More than the system can count is for ever.
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut [PollFd::new(socket, flags)], left.as_ref()) {
        // The caller looks at its clock.
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Has the next call wait for no longer than is left.
#[cfg(not(unix))]
fn wait(socket: &UdpSocket, what: For, left: Option<Duration>) -> io::Result<()> {
    match what {
        For::Datagram => socket.set_read_timeout(left),
        For::Room => socket.set_write_timeout(left),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
