//! Accept, within limits.
//!
//! In: a listener. Out: accepted sockets with a [`Permit`] each. Running out of file descriptors slows
//! accepting down and never spins.

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

#[cfg(unix)]
use super::address::UnixAddress;
use super::{
    SocketOptions,
    address::Address,
    admission::{Admission, Exceeded, Permit},
    listener::{Listener, ListenerSocket},
    sampled::Sampled,
};
use crate::socket::Socket;

/// How long to wait after the system refused to accept for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds what the system holds of every connection that is accepted from now on: they inherit the
/// listener's options. A system without them goes by its own bounds, which costs accuracy only.
pub(crate) fn bound_sending(
    listener: &Listener,
    unsent_bytes_max: Option<u32>,
    unacknowledged_timeout: Option<Duration>,
) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(tcp) = listener.tcp() {
        let socket = socket2::SockRef::from(tcp);
        let refused = |error| tracing::debug!(%error, "the system keeps its own bounds of sending");
        if let Some(bytes) = unsent_bytes_max {
            socket.set_tcp_notsent_lowat(bytes).unwrap_or_else(refused);
        }
        if unacknowledged_timeout.is_some() {
            socket
                .set_tcp_user_timeout(unacknowledged_timeout)
                .unwrap_or_else(refused);
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (listener, unsent_bytes_max, unacknowledged_timeout);
}

/// A [`Listener`] in a runtime.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Acceptor {
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn new(listener: Listener) -> io::Result<Self> {
        match listener.socket {
            ListenerSocket::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            #[cfg(unix)]
            ListenerSocket::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    async fn accept(&self) -> io::Result<(Socket, Address)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((stream.into(), address.into()))
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let (stream, _name) = listener.accept().await?;
                Ok((stream.into(), UnixAddress::Unnamed.into()))
            }
        }
    }
}

/// They come by the thousand when clients reconnect.
static REFUSED: Sampled = Sampled::new();

/// The next connection that is admitted, by the limits as they are when it comes. One above them gets
/// the bytes that `busy` has for it and is dropped.
///
/// Cancel safe.
pub(crate) async fn accept(
    acceptor: &Acceptor,
    admission: impl Fn() -> Arc<Admission>,
    busy: impl Fn(Exceeded) -> Cow<'static, [u8]>,
    options: impl Fn() -> SocketOptions,
) -> (Socket, Address, Permit) {
    loop {
        match acceptor.accept().await {
            Ok((stream, address)) => {
                let exceeded = match admission().admit(address.ip()) {
                    Ok(permit) => {
                        if let Some(tcp) = stream.tcp()
                            && let Err(error) = options().apply(tcp)
                        {
                            tracing::debug!(%address, %error, "socket options could not be set");
                        }
                        return (stream, address, permit);
                    }
                    Err(exceeded) => exceeded,
                };
                if let Some(left_out) = REFUSED.admit() {
                    tracing::info!(%address, ?exceeded, left_out, "connection refused: limit reached");
                }
                // The socket is new, its buffer empty: a few bytes fit or the peer is gone.
                if stream.try_write(&busy(exceeded)).is_err() {
                    tracing::trace!(%address, "refused peer did not take the answer");
                }
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
