//! Zero-downtime upgrade: a new process gets the listening sockets of the one that runs.
//!
//! In: a Unix socket that both know. The running process (*predecessor*) listens there; a new one with the same
//! setting (*successor*) connects, gets the sockets clients connect to, begins to serve on them and
//! says so; then the predecessor lets go of them and drains. Invariants: at any time one of the two
//! accepts, so that no connection is refused; until the successor serves, nothing about the predecessor
//! changes, whatever the successor does or fails to do; nobody but our own user or root is talked to.

#[cfg(unix)]
mod exchange; // who gives, who takes
#[cfg(unix)]
mod wire; // lines, with sockets attached
#[cfg(unix)]
mod socket; // the path in the file system
#[cfg(not(unix))]
mod unsupported; // no exchange

#[cfg(not(unix))]
pub(crate) use self::unsupported::{HandoverSocket, Successor, ask};
#[cfg(unix)]
pub(crate) use self::{
    exchange::Successor,
    socket::{HandoverSocket, ask},
};

use tidewire::net::{Address, Listener};

/// Sockets that are bound to a listener's address.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) role: Role,
    /// The address in the settings.
    pub(crate) configured: Address,
    pub(crate) sockets: Vec<Listener>,
    /// The file of a Unix socket goes with its listener, not with a service manager's.
    pub(crate) owns_file: bool,
}

/// Who connects to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Clients,
    Admin,
}

impl Bound {
    /// The sockets that a server accepts from.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub(crate) fn of(
        role: Role,
        configured: Address,
        listeners: &[Listener],
    ) -> std::io::Result<Self> {
        let sockets = listeners.iter();
        Ok(Self {
            owns_file: listeners.iter().any(Listener::is_file_owner),
            role,
            configured,
            sockets: sockets.map(Listener::try_clone).collect::<Result<_, _>>()?,
        })
    }
}
