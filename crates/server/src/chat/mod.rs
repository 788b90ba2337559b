//! The messaging endpoint: a WebSocket becomes a session of the hub.
//!
//! In: an upgrade request with `?id=`, and `&receipts=1`. Out: a connection driven until it ends. Invariants: no
//! frame is processed before identity and credentials were checked; whatever way a connection
//! ends, its session ends with it.
//!
//! Identity and credentials are answered behind the handshake, by close codes: a browser shows
//! its page nothing of an HTTP refusal (SEEDS S-05, 4.1).

mod identity; // ?id= → user, and what the connection asks for
mod connection; // the loop between socket and session
mod confirmation; // when is a message with the peer?

use std::{pin::Pin, sync::Arc, time::Duration};

use tidewire::ws::{AcceptFuture, CloseCode, Config, Decision, Endpoint, Request, WebSocket};
use tidewire_hub::{End, Hub};

pub(crate) use self::confirmation::Timing;
use self::connection::ChatConnection;
pub(crate) use self::identity::{id_parameter, percent_decode};
use crate::{
    access::{Access, HeadHeaders},
    config::Confirm,
};

/// Close codes of the messaging endpoint (SEEDS 1.3.1).
mod code {
    pub(super) const INVALID_REQUEST: u16 = 4000;
    pub(super) const INACTIVE: u16 = 4010;
    pub(super) const UNAUTHORIZED: u16 = 4050;
}

/// Tells a gateway that a pong must be its client's; in the request it says that nothing but a pong proves.
const CONFIRM: &str = "Tidewire-Confirm";

/// How a chat connection behaves; shared by all.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    /// What proves that a message has arrived.
    pub(crate) confirm: Confirm,
    /// How long to wait for what.
    pub(crate) timing: Arc<Timing>,
    /// End connections that sent nothing for this long.
    pub(crate) inactive_within: Option<Duration>,
}

/// Serves the messaging path.
pub(crate) struct Chat {
    pub(crate) hub: Arc<Hub>,
    pub(crate) access: Access,
    pub(crate) config: Arc<Config>,
    pub(crate) behaviour: Behaviour,
}

impl Chat {
    /// Begins the session, or says how to close.
    fn begin(&self, request: &Request) -> Result<tidewire_hub::Session, End> {
        let checked = self.access.auth.check(&HeadHeaders(&request.head));
        let identity = checked.map_err(|denied| {
            tracing::info!(peer = ?request.peer.client_address(), %denied, "connection without valid credentials");
            End::new(code::UNAUTHORIZED, "Unauthorized")
        })?;
        let connect = identity::connect(request.head.query(), identity)?;
        self.hub
            .connect(connect)
            .map_err(tidewire_hub::ConnectError::end)
    }
}

impl Endpoint for Chat {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        if let Err(refusal) = self.access.check_origin(request.head.as_ref()) {
            return refusal.into();
        }
        let decision = Decision::new().config(Arc::clone(&self.config));
        match self.behaviour.confirm {
            // There are clients that take no answer above 512 bytes.
            Confirm::Pong => decision.header(CONFIRM, "pong").into(),
            Confirm::Written => decision.into(),
        }
    }

    fn serve(
        &self,
        socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.begin(&request) {
            Ok(session) => {
                // A gateway answers close frames by itself, and says so.
                let close_proves = !request.head.has_token(CONFIRM, "pong");
                let behaviour = &self.behaviour;
                Box::pin(ChatConnection::new(
                    socket,
                    session,
                    behaviour,
                    close_proves,
                ))
            }
            Err(end) => Box::pin(close(socket, end)),
        }
    }
}

/// Ends a connection that never became a session. Its messages are discarded unread.
async fn close(mut socket: WebSocket, end: End) {
    if let Err(error) = socket.close(CloseCode(end.code), &end.reason).await {
        tracing::debug!(%error, "peer did not take part in the close");
    }
}
