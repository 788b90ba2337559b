//! [`Bound`]: sockets that clients connect to, wherever they were bound.

use std::net::{SocketAddr, TcpListener};

use tidewire::ws::RunningServer;

/// Sockets that are bound to a listener's address.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) role: Role,
    /// The address in the settings.
    pub(crate) configured: SocketAddr,
    pub(crate) sockets: Vec<TcpListener>,
}

/// Who connects to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Clients,
    Admin,
}

impl Bound {
    /// The sockets of a server.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub(crate) fn of(
        role: Role,
        configured: SocketAddr,
        server: &RunningServer,
    ) -> std::io::Result<Self> {
        let sockets = server.listeners().iter();
        Ok(Self {
            role,
            configured,
            sockets: sockets
                .map(TcpListener::try_clone)
                .collect::<Result<_, _>>()?,
        })
    }
}
