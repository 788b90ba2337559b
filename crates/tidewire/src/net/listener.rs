//! [`Listener`]: what a server accepts from, TCP or a Unix socket, and how it goes from one process to the next.

#[cfg(unix)]
use std::os::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    unix::net::UnixListener,
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use super::{address::Address, bind::UnixOptions};
#[cfg(unix)]
use super::{address::UnixAddress, socket_file::SocketFile};

/// A socket that is listened on.
///
/// Made [`From`] a `TcpListener` or `UnixListener` of the standard library, or by a server that
/// [binds](crate::service::Server::bind). A listener that a server has bound to the path of a Unix socket owns the file:
/// it removes it when it is dropped with all its [clones](Self::try_clone), unless it has [left](Self::leave_file) it to
/// somebody else. One that was made from a listener of the standard library does not, unless it is
/// [told](Self::own_file) to.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: ListenerSocket,
    #[cfg(unix)]
    pub(super) file: Option<SocketFile>,
}

/// By kind.
#[derive(Debug)]
pub(super) enum ListenerSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// Where it listens.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<Address> {
        match &self.socket {
            ListenerSocket::Tcp(listener) => listener.local_addr().map(Address::from),
            #[cfg(unix)]
            ListenerSocket::Unix(listener) => listener.local_addr().map(|name| named(&name)),
        }
    }

    /// The IP address and port where it listens; `None` for a Unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.local_addr().ok()?.socket_addr()
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// Those of the system: no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: match &self.socket {
                ListenerSocket::Tcp(listener) => ListenerSocket::Tcp(listener.try_clone()?),
                #[cfg(unix)]
                ListenerSocket::Unix(listener) => ListenerSocket::Unix(listener.try_clone()?),
            },
            #[cfg(unix)]
            file: self.file.clone(),
        })
    }

    /// Returns whether the file of a Unix socket goes with this listener and its clones.
    pub fn is_file_owner(&self) -> bool {
        #[cfg(unix)]
        return self.file.as_ref().is_some_and(SocketFile::is_ours);
        #[cfg(not(unix))]
        false
    }

    /// The file of a Unix socket, if there is one, stays when this listener and its clones are dropped: a process that
    /// succeeds this one listens on it.
    pub fn leave_file(&self) {
        #[cfg(unix)]
        if let Some(file) = &self.file {
            file.set_ours(false);
        }
    }

    /// The file of a Unix socket, if there is one, is removed when this listener and its clones are dropped: the process
    /// that had bound it has [left](Self::leave_file) it to this one.
    pub fn own_file(&self) {
        #[cfg(unix)]
        if let Some(file) = &self.file {
            file.set_ours(true);
        }
    }

    /// Gives the file of a Unix socket that this listener owns other permissions.
    pub(crate) fn permit(&self, options: &UnixOptions) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(file) = &self.file {
            return file.permit(options);
        }
        let _ = options;
        Ok(())
    }

    /// The TCP listener, for options that only TCP has; `None` for a Unix socket.
    pub fn tcp(&self) -> Option<&TcpListener> {
        match &self.socket {
            ListenerSocket::Tcp(listener) => Some(listener),
            #[cfg(unix)]
            ListenerSocket::Unix(_) => None,
        }
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match &self.socket {
            ListenerSocket::Tcp(listener) => listener.set_nonblocking(true),
            #[cfg(unix)]
            ListenerSocket::Unix(listener) => listener.set_nonblocking(true),
        }
    }

    /// Another handle, which has no part in the file.
    pub(crate) fn without_file(&self) -> io::Result<Self> {
        #[cfg(unix)]
        return Ok(Self {
            file: None,
            ..self.try_clone()?
        });
        #[cfg(not(unix))]
        self.try_clone()
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self {
            socket: ListenerSocket::Tcp(listener),
            #[cfg(unix)]
            file: None,
        }
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        let address = listener.local_addr().ok();
        let path = address.as_ref().and_then(|address| address.as_pathname());
        Self {
            file: path.and_then(SocketFile::of),
            socket: ListenerSocket::Unix(listener),
        }
    }
}

#[cfg(unix)]
impl TryFrom<OwnedFd> for Listener {
    type Error = io::Error;

    /// A descriptor of a listening socket that another process has passed on.
    ///
    /// # Errors
    /// It is none of a stream socket of IP or Unix that listens.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let no_listener = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let socket = socket2::SockRef::from(&descriptor);
        if socket.r#type()? != socket2::Type::STREAM {
            return Err(no_listener("a socket that is no stream"));
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if !socket.is_listener()? {
            return Err(no_listener("a socket that does not listen"));
        }
        let family = i32::from(socket.local_addr()?.family());
        if [socket2::Domain::IPV4, socket2::Domain::IPV6]
            .map(i32::from)
            .contains(&family)
        {
            return Ok(TcpListener::from(descriptor).into());
        }
        if family == i32::from(socket2::Domain::UNIX) {
            return Ok(UnixListener::from(descriptor).into());
        }
        Err(no_listener("a socket of another kind than TCP and Unix"))
    }
}

#[cfg(unix)]
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            ListenerSocket::Tcp(listener) => listener.as_fd(),
            ListenerSocket::Unix(listener) => listener.as_fd(),
        }
    }
}

#[cfg(unix)]
fn named(name: &std::os::unix::net::SocketAddr) -> Address {
    if let Some(path) = name.as_pathname() {
        return Address::unix(path);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt as _;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt as _;
        if let Some(name) = name.as_abstract_name() {
            return Address::unix_abstract(String::from_utf8_lossy(name));
        }
    }
    UnixAddress::Unnamed.into()
}
