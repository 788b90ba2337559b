//! From addresses to listeners.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    SocketOptions,
    address::{Address, UnixAddress},
    listener::Listener,
};
#[cfg(unix)]
use super::{listener::ListenerSocket, socket_file};

/// Waiting connections the system may hold for us.
const BACKLOG: i32 = 4096;

/// Who may connect to a Unix socket that has a file. Connecting takes the right to write to it, and to enter its
/// folders. Without meaning for TCP and for names in the abstract namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixOptions {
    /// Permissions of the file, whatever the process's umask is. Default `0o660`: user and group.
    pub mode: u32,
    /// Group of the file, by number. A process without privileges may name the groups that it is in. Default `None`: that
    /// of the process, or of the folder.
    pub group: Option<u32>,
}

impl Default for UnixOptions {
    fn default() -> Self {
        Self {
            mode: 0o660,
            group: None,
        }
    }
}

/// Binds listeners to one address: `count` of them to an IP address, over which the system spreads connections
/// (`SO_REUSEPORT`; port 0 picks a port, the same for all), and one to a Unix socket.
pub(crate) fn bind(
    address: &Address,
    count: usize,
    options: &SocketOptions,
    unix: &UnixOptions,
) -> io::Result<Vec<Listener>> {
    match address {
        Address::Ip(address) => bind_tcp(*address, count, options),
        Address::Unix(name) => Ok(vec![bind_unix(name, unix)?]),
    }
}

#[cfg(unix)]
fn bind_unix(name: &UnixAddress, options: &UnixOptions) -> io::Result<Listener> {
    name.check()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    if let Some(path) = name.path() {
        let (listener, file) = socket_file::listen(path, options, BACKLOG)?;
        return Ok(Listener {
            socket: ListenerSocket::Unix(listener),
            file: Some(file),
        });
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(name.for_system()?)?)?;
    socket.listen(BACKLOG)?;
    Ok(std::os::unix::net::UnixListener::from(socket).into())
}

#[cfg(not(unix))]
fn bind_unix(_name: &UnixAddress, _options: &UnixOptions) -> io::Result<Listener> {
    Err(super::address::unsupported())
}

fn bind_tcp(
    address: SocketAddr,
    count: usize,
    options: &SocketOptions,
) -> io::Result<Vec<Listener>> {
    // Without SO_REUSEPORT first: a port that another program listens on must be an error even
    // if that program would share it.
    let first = bind_one(address, options)?;
    if count <= 1 {
        return Ok(vec![first.into()]);
    }
    let address = first.local_addr()?;
    drop(first);
    let shared = options.reuse_port(true);
    (0..count)
        .map(|_| bind_one(address, &shared).map(Listener::from))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_an_error_even_when_it_could_be_shared() {
        let (options, unix) = (SocketOptions::default(), UnixOptions::default());
        let address = Address::from(([127, 0, 0, 1], 0));
        let listeners = bind(&address, 2, &options, &unix).unwrap();
        let address = listeners[0].local_addr().unwrap();
        assert_eq!(listeners[1].local_addr().unwrap(), address);
        assert_eq!(
            bind(&address, 2, &options, &unix).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }
}
