//! [`Socket`]: a connection of the system, over TCP or a Unix socket.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

#[cfg(unix)]
use tokio::{io::Interest, net::UnixStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A connected socket: TCP, or a Unix domain socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A [`Socket`] between two runtimes.
#[derive(Debug)]
pub(crate) enum Unplaced {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl Unplaced {
    /// Puts it into the current runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn enter_runtime(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Socket::Tcp),
            #[cfg(unix)]
            Self::Unix(stream) => UnixStream::from_std(stream).map(Socket::Unix),
        }
    }
}

impl Socket {
    /// The TCP connection, for options that only TCP has; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    /// The remote IP address and port; `None` for a Unix socket.
    ///
    /// # Errors
    /// Those of the system, for example when the connection is lost.
    pub fn peer_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.tcp().map(TcpStream::peer_addr).transpose()
    }

    /// Sends small writes at once (`TCP_NODELAY`); a Unix socket does so by itself.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_nodelay(&self, is_on: bool) -> io::Result<()> {
        self.tcp().map_or(Ok(()), |tcp| tcp.set_nodelay(is_on))
    }

    /// Takes it out of the runtime it was made in.
    pub(crate) fn leave_runtime(self) -> io::Result<Unplaced> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(Unplaced::Tcp),
            #[cfg(unix)]
            Self::Unix(stream) => stream.into_std().map(Unplaced::Unix),
        }
    }

    /// Writes without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Reads without taking what is read out of the socket; 0 at its end.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn peek(&self, space: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(space).await,
            #[cfg(unix)]
            Self::Unix(stream) => {
                let peek = || peek_now(stream, space);
                stream.async_io(Interest::READABLE, peek).await
            }
        }
    }

    /// As [`peek`](Self::peek).
    #[cfg(feature = "tls")]
    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => stream.poll_peek(cx, space),
            #[cfg(unix)]
            Self::Unix(stream) => loop {
                std::task::ready!(stream.poll_read_ready(cx))?;
                let peek = || peek_now(stream, space.initialize_unfilled());
                match stream.try_io(Interest::READABLE, peek) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    peeked => return Poll::Ready(peeked),
                }
            },
        }
    }

    /// Who is at the other end of a Unix socket; `None` for TCP.
    pub(crate) fn unix_peer(&self) -> Option<UnixPeer> {
        match self {
            Self::Tcp(_) => None,
            #[cfg(unix)]
            Self::Unix(stream) => {
                let told = stream.peer_cred().inspect_err(|error| {
                    tracing::debug!(%error, "the system does not tell who is at a Unix socket");
                });
                Some(told.map_or_else(
                    |_untold| UnixPeer::default(),
                    |told| UnixPeer {
                        user: Some(told.uid()),
                        group: Some(told.gid()),
                        process: told.pid(),
                    },
                ))
            }
        }
    }
}

/// The process at the other end of a Unix socket, as it was when the connection was made (`SO_PEERCRED`, `LOCAL_PEERCRED`).
/// `None` where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UnixPeer {
    /// Its effective user.
    pub user: Option<u32>,
    /// Its effective group.
    pub group: Option<u32>,
    /// The process. It may have ended since, and its number may be another's.
    pub process: Option<i32>,
}

#[cfg(unix)]
fn peek_now(stream: &UnixStream, space: &mut [u8]) -> io::Result<usize> {
    use rustix::net::{RecvFlags, recv};
    let (count, _whole) = recv(stream, space, RecvFlags::PEEK)?;
    Ok(count)
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

#[cfg(unix)]
impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

macro_rules! delegate {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            #[cfg(unix)]
            Socket::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write(cx, buf))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown(cx))
    }
}
