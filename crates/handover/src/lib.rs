//! Zero-downtime upgrade: a new process gets the listening sockets of the one that runs.
//!
//! In: a Unix socket that both know. The running process (*predecessor*) listens there; a new one with the same
//! setting (*successor*) connects, gets the sockets clients connect to, and says when it is ready; then the
//! predecessor lets go of them. Invariants: at any time one of the two has the sockets open, so that no connection is
//! refused; until the successor is ready, nothing about the predecessor changes, whatever the successor does or fails
//! to do; nobody but our own user or root is talked to.
//!
//! There are two ways, by the [`Program`]. A gateway's successor serves before it is ready, and its predecessor
//! drains meanwhile. Of a server, whose store belongs to one process at a time, the predecessor ends its sessions and
//! closes the store before it lets go; clients that come meanwhile wait in the queues of the sockets. Its successor says when
//! it [serves](Leaving::serving); if it ends before, the predecessor goes on with the sockets, which it has kept.
#![forbid(unsafe_code)]

#[cfg(unix)]
mod exchange; // who gives, who takes
#[cfg(unix)]
mod wire; // lines, with sockets attached
#[cfg(unix)]
mod socket; // the path in the file system
#[cfg(not(unix))]
mod unsupported; // no exchange
mod error; // why not
mod pace; // the end of one connection after the other

pub use self::{error::HandoverError, pace::Pace};

#[cfg(not(unix))]
pub use self::unsupported::{HandoverSocket, Leaving, Predecessor, Successor, ask};
#[cfg(unix)]
pub use self::{
    exchange::{Leaving, Predecessor, Successor},
    socket::{HandoverSocket, ask},
};

use tidewire::net::{Address, Listener};

/// How long a successor may take from the sockets until it is ready, and the predecessor of one that serves then to let
/// go.
pub const READY_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Who is succeeded: a process of one program is none of the other's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// Two processes may serve at a time.
    #[default]
    Gateway,
    /// One process at a time has the store open.
    Server,
}

/// Sockets that are bound to a listener's address.
#[derive(Debug)]
pub struct Bound {
    /// Who connects to them.
    pub role: Role,
    /// The address in the settings.
    pub configured: Address,
    /// One or more, all of one address.
    pub sockets: Vec<Listener>,
    /// The file of a Unix socket goes with its listener, not with a service manager's.
    pub owns_file: bool,
}

/// Who connects to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Clients of the program.
    Clients,
    /// Operators, and what asks for figures.
    Admin,
    /// Callers of the REST API.
    Rest,
}

impl Bound {
    /// The sockets that a server accepts from.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn of(role: Role, configured: Address, listeners: &[Listener]) -> std::io::Result<Self> {
        let sockets = listeners.iter();
        Ok(Self {
            owns_file: listeners.iter().any(Listener::is_file_owner),
            role,
            configured,
            sockets: sockets.map(Listener::try_clone).collect::<Result<_, _>>()?,
        })
    }
}
