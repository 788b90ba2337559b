//! The handle of a connection to a gateway.

use std::{fmt, sync::Arc, time::Duration};

use tidewire_proto::{CloseCode, CloseFrame, mux::SUBPROTOCOL};

use super::{
    ConnectError, Endpoint, Lost,
    driver::Driver,
    streams::{Condition, Handle, Streams},
};
use crate::ws::{Client, WebSocket};

/// Connects to the gateway at `url` with default settings.
///
/// # Errors
/// [`ConnectError`].
///
/// # Cancel safety
/// Cancel safe: when dropped, the attempt is given up.
///
/// # Panics
/// Outside of a tokio runtime, which runs a task for the connection.
pub async fn connect(url: &str) -> Result<Gateway, ConnectError> {
    connect_with(Client::new(url)?).await
}

/// Connects by a client with headers, TLS, a proxy, limits. It offers `tidewire.mux.v1` besides what
/// the client was told to offer. The client's [`ping_interval`](tidewire_proto::Config::ping_interval) finds a
/// dead connection.
///
/// # Errors
/// [`ConnectError`].
///
/// # Cancel safety
/// Cancel safe: when dropped, the attempt is given up.
///
/// # Panics
/// Outside of a tokio runtime, which runs a task for the connection.
pub async fn connect_with(client: Client) -> Result<Gateway, ConnectError> {
    let socket = client.subprotocol(SUBPROTOCOL).connect().await?;
    Gateway::over(socket)
}

/// A connection to a gateway.
///
/// Clones are handles of the same connection. It ends with [`close`](Self::close), or when the last
/// handle and the last [`LogicalSocket`](super::LogicalSocket) are dropped.
#[derive(Clone)]
pub struct Gateway {
    handle: Arc<Handle>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("condition", &self.handle.streams.condition())
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Takes over a WebSocket that was connected with the subprotocol `tidewire.mux.v1`.
    ///
    /// # Errors
    /// [`ConnectError::NoGateway`]: it has another subprotocol, or none.
    ///
    /// # Panics
    /// Outside of a tokio runtime, which runs a task for the connection.
    pub fn over(socket: WebSocket) -> Result<Self, ConnectError> {
        if socket.subprotocol() != Some(SUBPROTOCOL) {
            return Err(ConnectError::NoGateway);
        }
        let streams = Arc::new(Streams::new());
        let driver = Driver {
            socket,
            streams: Arc::clone(&streams),
            refused: None,
        };
        tokio::spawn(driver.run());
        let handle = Arc::new(Handle { streams });
        Ok(Self { handle })
    }

    /// A logical socket to the endpoint of this name, in any case of letters: `.await` opens it, other
    /// methods say more about it.
    pub fn endpoint(&self, name: impl Into<String>) -> Endpoint {
        Endpoint::new(Arc::clone(&self.handle), name.into())
    }

    /// Waits until the gateway says that it is going away, and gives how long the sockets may go on;
    /// `None` when the connection ended without. From then on [`endpoint`](Self::endpoint) fails: open
    /// another connection, which leads to another gateway behind the same balancer.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn going_away(&self) -> Option<Duration> {
        let mut condition = self.handle.streams.watch();
        let known = |condition: &Condition| !matches!(condition, Condition::Up);
        match &*condition.wait_for(known).await.ok()? {
            Condition::GoingAway(within) => Some(*within),
            Condition::Up | Condition::Ended(_) => None,
        }
    }

    /// Whether the gateway has said that it is going away, or the connection has ended: no endpoint can
    /// be opened any more.
    pub fn is_going_away(&self) -> bool {
        !matches!(self.handle.streams.condition(), Condition::Up)
    }

    /// Waits until the connection has ended, and gives why.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn closed(&self) -> Lost {
        let mut condition = self.handle.streams.watch();
        let ended = |condition: &Condition| matches!(condition, Condition::Ended(_));
        match condition.wait_for(ended).await.as_deref() {
            Ok(Condition::Ended(lost)) => lost.clone(),
            Ok(Condition::Up | Condition::GoingAway(_)) | Err(_) => Lost::Runtime,
        }
    }

    /// Closes the connection, and with it all its sockets, after what can be sent at once; waits for the
    /// end, at most [`close_timeout`](tidewire_proto::Config::close_timeout). Messages which wait for credit
    /// are lost: close their sockets first.
    ///
    /// # Cancel safety
    /// When dropped, the connection goes on closing.
    pub async fn close(&self, code: CloseCode, reason: &str) {
        self.handle.streams.finish(CloseFrame::new(code, reason));
        self.closed().await;
    }
}
