//! The messaging endpoint: a WebSocket becomes a session of the hub.
//!
//! In: an upgrade request with `?id=`, and options such as `&receipts=1`. Out: a connection driven until it ends. Invariants: no
//! frame is processed before identity and credentials were checked; whatever way a connection
//! ends, its session ends with it; how a client speaks is for its [`Dialect`] to say, and nothing here depends
//! on which one it is.
//!
//! Identity and credentials are answered behind the handshake, by close codes: a browser shows
//! its page nothing of an HTTP refusal (S-05).

mod first_message; // a token that comes behind the handshake
mod identity; // ?id= → user, and what the connection asks for
mod frames; // events → frames
mod connection; // the loop between socket and session
mod confirmation; // when is a message with the peer?

#[cfg(test)]
mod another_dialect; // one that exists in tests only

use std::{marker::PhantomData, pin::Pin, sync::Arc, time::Duration};

use tidewire::ws::{AcceptFuture, CloseCode, Config, Decision, Endpoint, Request, WebSocket};
use tidewire_auth::{Denied, Identity};
use tidewire_dialect::{Close, Dialect, Ending};
use tidewire_hub::{Hub, Session};

pub(crate) use self::confirmation::Timing;
use self::connection::ChatConnection;
use self::identity::RequestError;
use crate::{
    access::Access, config::Confirm, credentials::UpgradeHeaders, subprotocols, tickets::Tickets,
};

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
    pub(crate) inactive_timeout: Option<Duration>,
}

/// The decision about a request's credentials, made before the handshake was answered.
struct Checked(Result<Arc<Identity>, Denied>);

/// Serves a path of clients that speak `D`.
pub(crate) struct Chat<D> {
    hub: Arc<Hub>,
    access: Access,
    tickets: Arc<Tickets>,
    config: Arc<Config>,
    behaviour: Behaviour,
    dialect: PhantomData<fn() -> D>,
}

impl<D: Dialect> Chat<D> {
    pub(crate) fn new(
        hub: Arc<Hub>,
        access: Access,
        tickets: Arc<Tickets>,
        config: Arc<Config>,
        behaviour: Behaviour,
    ) -> Self {
        Self {
            hub,
            access,
            tickets,
            config,
            behaviour,
            dialect: PhantomData,
        }
    }

    /// The same, for as long as it is needed.
    fn shared(&self) -> Self {
        Self {
            hub: Arc::clone(&self.hub),
            access: self.access.clone(),
            tickets: Arc::clone(&self.tickets),
            config: Arc::clone(&self.config),
            behaviour: self.behaviour.clone(),
            dialect: PhantomData,
        }
    }

    /// Attaches to the decision who it is; waits where somebody has to be asked.
    fn check<'a>(&'a self, request: &'a Request, decision: Decision) -> AcceptFuture<'a> {
        if let Some(identity) = self.tickets.take(&request.head) {
            return decision.extension(Checked(Ok(identity))).into();
        }
        let headers = UpgradeHeaders::of(request);
        match self.access.auth.check_if_known(&headers) {
            Some(checked) => decision.extension(Checked(checked)).into(),
            None => AcceptFuture::wait(async move {
                let checked = self.access.auth.check(&headers).await;
                Ok(decision.extension(Checked(checked)))
            }),
        }
    }

    /// Begins the session, or says how to close. The flag says that ids are to be strings.
    fn begin(&self, request: &Request, identity: Arc<Identity>) -> Result<(Session, bool), Close> {
        let asked = identity::read(request.head.query(), identity).map_err(|error| {
            D::close(&match &error {
                RequestError::Invalid(text) => Ending::Request(text),
                RequestError::ForeignUser => Ending::Unauthorized,
            })
        })?;
        let session = self.hub.connect(asked.connect);
        let session = session.map_err(|error| D::close(&Ending::Refused(error)))?;
        Ok((session, asked.string_ids))
    }

    /// How a connection without valid credentials is closed.
    fn deny(&self, request: &Request, denied: Denied) -> Close {
        let client = self.access.client(request.head.as_ref(), &request.peer);
        tracing::info!(?client, %denied, "connection without valid credentials");
        D::close(&if denied == Denied::Unavailable {
            Ending::CannotTell
        } else {
            Ending::Unauthorized
        })
    }

    /// Serves whoever has been identified.
    fn serve_as(
        &self,
        socket: WebSocket,
        request: &Request,
        identity: Arc<Identity>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.begin(request, identity) {
            Ok((session, string_ids)) => {
                // A gateway answers close frames by itself, and says so.
                let proves = !request.head.has_token(CONFIRM, "pong");
                let behaviour = &self.behaviour;
                if string_ids {
                    Box::pin(ChatConnection::<D::StringIds>::new(
                        socket, session, behaviour, proves,
                    ))
                } else {
                    Box::pin(ChatConnection::<D>::new(socket, session, behaviour, proves))
                }
            }
            Err(ending) => Box::pin(close(socket, ending)),
        }
    }
}

impl<D: Dialect> Endpoint for Chat<D> {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        if let Err(refusal) = self
            .access
            .check_origin(request.head.as_ref(), &request.peer)
        {
            return refusal.into();
        }
        let decision = Decision::new().config(Arc::clone(&self.config));
        let decision = subprotocols::agree(decision, &request.head, Some(D::SUBPROTOCOL));
        match self.behaviour.confirm {
            // There are clients that take no answer above 512 bytes.
            Confirm::Pong => self.check(request, decision.header(CONFIRM, "pong")),
            Confirm::Written => self.check(request, decision),
        }
    }

    fn serve(
        &self,
        socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let checked = request.extension::<Checked>();
        match checked.map_or(Err(Denied::Missing), |checked| checked.0.clone()) {
            Ok(identity) => self.serve_as(socket, &request, identity),
            Err(Denied::Missing) if self.access.auth.takes_first_message() => {
                Box::pin(first_message::serve(self.shared(), socket, request))
            }
            Err(denied) => Box::pin(close(socket, self.deny(&request, denied))),
        }
    }
}

/// Ends a connection that never became a session. Its messages are discarded unread.
async fn close(mut socket: WebSocket, close: Close) {
    if let Err(error) = socket.close(CloseCode(close.code), &close.reason).await {
        tracing::debug!(error = %tidewire::ErrorChain(&error), "peer did not take part in the close");
    }
}
