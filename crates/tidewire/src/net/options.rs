//! [`SocketOptions`]: options of the system for a socket, whatever is spoken on it.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};

/// Options of a TCP socket: of the connections a server accepts and of its listener, or of a client's connection.
///
/// ```
/// use std::time::Duration;
/// use tidewire::net::SocketOptions;
///
/// let options = SocketOptions::default()
///     .keep_alive(Duration::from_secs(60))
///     .receive_buffer_bytes(256 << 10);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// The system asks a peer that has been silent for this long whether it is still there, and drops the
    /// connection when several such probes stay without an answer (`SO_KEEPALIVE`, `TCP_KEEPIDLE`). At least a
    /// second. Default `None`: it does not ask.
    pub keep_alive: Option<Duration>,
    /// The time between two probes (`TCP_KEEPINTVL`). Default `None`: what the system has by itself, 75 s on Linux.
    pub keep_alive_interval: Option<Duration>,
    /// Sends small pieces at once instead of waiting for more (`TCP_NODELAY`). Default true: what is sent together
    /// is written together anyway.
    pub no_delay: bool,
    /// A listener may take a port on which connections of an earlier one still end (`SO_REUSEADDR`). Default true:
    /// without it a server cannot be restarted for minutes. Only for listeners.
    pub reuse_address: bool,
    /// A listener shares its port with others of the same user, each of which gets some of the connections
    /// (`SO_REUSEPORT`). Default false: a port in use is an error. Only for listeners; a server with several workers
    /// shares among these by itself. Unix only.
    pub reuse_port: bool,
    /// Bytes that the system holds for a connection until they are read (`SO_RCVBUF`); Linux doubles the value.
    /// Default `None`: the system adjusts it.
    pub receive_buffer_bytes: Option<usize>,
    /// Bytes that the system holds for a connection until the peer has acknowledged them (`SO_SNDBUF`); Linux doubles
    /// the value. Default `None`: the system adjusts it.
    pub send_buffer_bytes: Option<usize>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            keep_alive: None,
            keep_alive_interval: None,
            no_delay: true,
            reuse_address: true,
            reuse_port: false,
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
        }
    }
}

impl SocketOptions {
    /// Applies what belongs to a listener, before it is bound: accepted connections inherit the buffers.
    pub(crate) fn apply_to_listener(&self, socket: &socket2::Socket) -> io::Result<()> {
        socket.set_reuse_address(self.reuse_address)?;
        #[cfg(unix)]
        socket.set_reuse_port(self.reuse_port)?;
        self.apply_buffers(&SockRef::from(socket))
    }

    /// Applies what belongs to a connection.
    pub(crate) fn apply(&self, stream: &tokio::net::TcpStream) -> io::Result<()> {
        stream.set_nodelay(self.no_delay)?;
        if let Some(time) = self.keep_alive {
            let mut probes = TcpKeepalive::new().with_time(time);
            if let Some(interval) = self.keep_alive_interval {
                probes = probes.with_interval(interval);
            }
            SockRef::from(stream).set_tcp_keepalive(&probes)?;
        }
        Ok(())
    }

    /// Applies the sizes of the system's buffers: before a socket is connected or listens, so that the window
    /// is agreed on accordingly.
    pub(crate) fn apply_buffers(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if let Some(bytes) = self.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        Ok(())
    }
}
