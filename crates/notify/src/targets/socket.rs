//! Sockets: lines of JSON over TCP or a Unix socket, datagrams of JSON over UDP or a Unix socket.
//!
//! Nobody answers there: an event counts as taken once the system has it. Streams have a connection, kept and made
//! anew when it breaks; what was under way then comes again.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tidewire_config::{Checker, quote};
use tidewire_table::table;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpStream, UdpSocket, lookup_host},
    sync::Mutex,
};

use crate::{Delivery, DeliveryError, Event, Target};

table! {
    /// A socket: each event is a line of JSON, or a datagram.
    pub struct SocketConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// Where to: `tcp://host:port`, `udp://host:port`, `unix:/path` (a stream) or `unixgram:/path` (datagrams). Nobody
        /// answers: an event counts as taken once the system has it, and datagrams may be lost after that.
        address: String, example "\"tcp://127.0.0.1:9000\"";
    }
}

/// A checked address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketAddress {
    Tcp(String),
    Udp(String),
    #[cfg(unix)]
    Unix(std::path::PathBuf),
    #[cfg(unix)]
    UnixDatagram(std::path::PathBuf),
}

pub(crate) fn check(
    check: &mut Checker<'_>,
    key: &str,
    config: &SocketConfig,
) -> Option<SocketAddress> {
    let address = parse(&config.address);
    if address.is_none() {
        let expected = "tcp://host:port, udp://host:port, unix:/path or unixgram:/path";
        check.value(key, &quote(&config.address), expected);
    }
    address
}

fn parse(text: &str) -> Option<SocketAddress> {
    let host = |text: &str| {
        let (host, port) = text.rsplit_once(':')?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        (is_port && !host.is_empty()).then(|| text.to_owned())
    };
    if let Some(rest) = text.strip_prefix("tcp://") {
        return host(rest).map(SocketAddress::Tcp);
    }
    if let Some(rest) = text.strip_prefix("udp://") {
        return host(rest).map(SocketAddress::Udp);
    }
    #[cfg(unix)]
    {
        let path = |rest: &str| rest.starts_with('/').then(|| rest.into());
        if let Some(rest) = text.strip_prefix("unix:") {
            return path(rest).map(SocketAddress::Unix);
        }
        if let Some(rest) = text.strip_prefix("unixgram:") {
            return path(rest).map(SocketAddress::UnixDatagram);
        }
    }
    None
}

/// Writes events to a socket.
pub struct SocketTarget {
    address: SocketAddress,
    /// One delivery at a time.
    open: Mutex<Option<Open>>,
}

enum Open {
    Tcp(TcpStream),
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    #[cfg(unix)]
    UnixDatagram(tokio::net::UnixDatagram),
}

impl SocketTarget {
    pub(crate) fn new(address: SocketAddress) -> Self {
        Self {
            address,
            open: Mutex::default(),
        }
    }

    async fn send(&self, events: &[Arc<Event>]) -> Result<(), DeliveryError> {
        let mut slot = self.open.lock().await;
        let failed = |error: io::Error| DeliveryError::unavailable(error.to_string());
        // Taken out: after a failure, or when it is cut off, a stream may be in the middle of a line.
        let kept = slot.take().filter(|open| !open.is_gone());
        let mut open = match kept {
            Some(open) => open,
            None => self.connect().await.map_err(failed)?,
        };
        match &mut open {
            Open::Tcp(stream) => write(stream, events).await.map_err(failed)?,
            #[cfg(unix)]
            Open::Unix(stream) => write(stream, events).await.map_err(failed)?,
            Open::Udp(socket) => {
                for (index, event) in events.iter().enumerate() {
                    let sent = socket.send(&event.json).await;
                    sent.map_err(|error| of_datagram(&error).behind(index))?;
                }
            }
            #[cfg(unix)]
            Open::UnixDatagram(socket) => {
                for (index, event) in events.iter().enumerate() {
                    let sent = socket.send(&event.json).await;
                    sent.map_err(|error| of_datagram(&error).behind(index))?;
                }
            }
        }
        *slot = Some(open);
        Ok(())
    }

    async fn connect(&self) -> io::Result<Open> {
        Ok(match &self.address {
            SocketAddress::Tcp(host) => {
                let stream = TcpStream::connect(host).await?;
                stream.set_nodelay(true)?;
                Open::Tcp(stream)
            }
            SocketAddress::Udp(host) => {
                let mut addresses = lookup_host(host).await?;
                let Some(address) = addresses.next() else {
                    return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
                };
                let any: SocketAddr = if address.is_ipv4() {
                    ([0, 0, 0, 0], 0).into()
                } else {
                    (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
                };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(address).await?;
                Open::Udp(socket)
            }
            #[cfg(unix)]
            SocketAddress::Unix(path) => Open::Unix(tokio::net::UnixStream::connect(path).await?),
            #[cfg(unix)]
            SocketAddress::UnixDatagram(path) => {
                let socket = tokio::net::UnixDatagram::unbound()?;
                socket.connect(path)?;
                Open::UnixDatagram(socket)
            }
        })
    }
}

impl Open {
    /// Returns whether the other side of a stream has ended it: what is written now would be lost without an error.
    fn is_gone(&self) -> bool {
        let mut byte = [0; 1];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Udp(_) => return false,
            #[cfg(unix)]
            Self::UnixDatagram(_) => return false,
        };
        match read {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

async fn write(
    stream: &mut (impl tokio::io::AsyncWrite + Unpin),
    events: &[Arc<Event>],
) -> io::Result<()> {
    let lines = lines(events);
    stream.write_all(&lines).await?;
    stream.flush().await
}

fn lines(events: &[Arc<Event>]) -> Bytes {
    let mut lines = Vec::with_capacity(events.iter().map(|event| event.json.len() + 1).sum());
    for event in events {
        lines.extend_from_slice(&event.json);
        lines.push(b'\n');
    }
    lines.into()
}

/// A datagram that is too large never will be taken.
fn of_datagram(error: &io::Error) -> DeliveryError {
    let text = error.to_string();
    #[cfg(unix)]
    if error.raw_os_error() == Some(EMSGSIZE) {
        return DeliveryError::impossible(text);
    }
    DeliveryError::unavailable(text)
}

#[cfg(all(unix, any(target_os = "linux", target_os = "android")))]
const EMSGSIZE: i32 = 90;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const EMSGSIZE: i32 = 40;

impl Target for SocketTarget {
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(self.send(events))
    }
}

impl fmt::Debug for SocketTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketTarget")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
