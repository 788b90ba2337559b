//! Bind and accept, within limits.
//!
//! In: an address. Out: accepted TCP streams with a [`Permit`] each. Running out of file descriptors slows
//! accepting down and never spins.

use std::{borrow::Cow, io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::{
    SocketOptions,
    admission::{Admission, Exceeded, Permit},
};

/// Waiting connections the system may hold for us.
const BACKLOG: i32 = 4096;

/// How long to wait after the system refused to accept for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Binds `count` listeners to one address. With several, the system spreads connections
/// over them (`SO_REUSEPORT`). Port 0 picks a port, the same for all.
pub(crate) fn bind(
    address: SocketAddr,
    count: usize,
    options: &SocketOptions,
) -> io::Result<Vec<std::net::TcpListener>> {
    // Without SO_REUSEPORT first: a port that another program listens on must be an error even
    // if that program would share it.
    let first = bind_one(address, options)?;
    if count <= 1 {
        return Ok(vec![first]);
    }
    let address = first.local_addr()?;
    drop(first);
    let shared = options.reuse_port(true);
    (0..count).map(|_| bind_one(address, &shared)).collect()
}

fn bind_one(address: SocketAddr, options: &SocketOptions) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    options.apply_to_listener(&socket)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Bounds what the system holds of every connection that is accepted from now on: they inherit the
/// listener's options. A system without them goes by its own bounds, which costs accuracy only.
pub(crate) fn bound_sending(
    listener: &std::net::TcpListener,
    unsent_bytes_max: Option<u32>,
    unacknowledged_timeout: Option<Duration>,
) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let socket = socket2::SockRef::from(listener);
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

/// The next connection that is admitted, by the limits as they are when it comes. One above them gets
/// the bytes that `busy` has for it and is dropped.
///
/// Cancel safe.
pub(crate) async fn accept(
    listener: &TcpListener,
    admission: impl Fn() -> Arc<Admission>,
    busy: impl Fn(Exceeded) -> Cow<'static, [u8]>,
    options: impl Fn() -> SocketOptions,
) -> (TcpStream, SocketAddr, Permit) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let exceeded = match admission().admit(address.ip()) {
                    Ok(permit) => {
                        if let Err(error) = options().apply(&stream) {
                            tracing::debug!(%address, %error, "socket options could not be set");
                        }
                        return (stream, address, permit);
                    }
                    Err(exceeded) => exceeded,
                };
                tracing::info!(%address, ?exceeded, "connection refused: limit reached");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_an_error_even_when_it_could_be_shared() {
        let options = SocketOptions::default();
        let listeners = bind(([127, 0, 0, 1], 0).into(), 2, &options).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert_eq!(listeners[1].local_addr().unwrap(), address);
        assert_eq!(
            bind(address, 2, &options).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }
}
