//! The messaging endpoint: a WebSocket becomes a session of the hub.
//!
//! In: an upgrade request with `?id=`, and options such as `&receipts=1`. Out: a connection driven until it ends. Invariants: no
//! frame is processed before identity and credentials were checked; whatever way a connection
//! ends, its session ends with it; how a client speaks is for its [`Dialect`] to say, and nothing here depends
//! on which one it is.
//!
//! Identity and credentials are answered behind the handshake, by close codes: a browser shows
//! its page nothing of an HTTP refusal (S-05).

mod admission; // credentials, the connect hook, blocks, rates
mod first_message; // a token that comes behind the handshake
mod identity; // ?id= → user, and what the connection asks for
mod frames; // events → frames
mod connection; // the loop between socket and session
mod confirmation; // when is a message with the peer?

#[cfg(test)]
mod another_dialect; // one that exists in tests only

use std::{marker::PhantomData, pin::Pin, sync::Arc, time::Duration};

use tidewire::ws::{
    AcceptFuture, CloseCode, Config, Decision, DeflateConfig, Endpoint, Request, WebSocket,
};
use tidewire_auth::Identity;
use tidewire_dialect::{Close, Dialect, Ending};
use tidewire_hub::{Hub, Session};

pub(crate) use self::{admission::Admission, confirmation::Timing};
use self::{
    admission::{Found, Refused},
    connection::{ChatConnection, Shaped},
    identity::RequestError,
};
use crate::{
    config::Confirm,
    shaping::{Pace, Tally},
    subprotocols,
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

/// Serves a path of clients that speak `D`.
pub(crate) struct Chat<D> {
    hub: Arc<Hub>,
    admission: Admission,
    config: Arc<Config>,
    behaviour: Behaviour,
    /// Shared by the connections that agree on compression.
    deflate: Option<Arc<DeflateConfig>>,
    dialect: PhantomData<fn() -> D>,
}

/// A session that has begun, and how its client is to be served.
struct Begun {
    session: Session,
    /// Ids are to be strings.
    string_ids: bool,
    pace: Option<Box<Pace>>,
}

impl<D: Dialect> Chat<D> {
    pub(crate) fn new(
        hub: Arc<Hub>,
        admission: Admission,
        config: Arc<Config>,
        behaviour: Behaviour,
    ) -> Self {
        Self {
            hub,
            admission,
            deflate: config.deflate.clone().map(Arc::new),
            config,
            behaviour,
            dialect: PhantomData,
        }
    }

    /// The same, for as long as it is needed.
    fn shared(&self) -> Self {
        Self {
            hub: Arc::clone(&self.hub),
            admission: self.admission.clone(),
            config: Arc::clone(&self.config),
            behaviour: self.behaviour.clone(),
            deflate: self.deflate.clone(),
            dialect: PhantomData,
        }
    }

    /// Begins the session, or says how to close.
    fn begin(&self, request: &Request, identity: Arc<Identity>) -> Result<Begun, Refused> {
        let asked = identity::read(request.head.query(), identity).map_err(|error| {
            Refused::new::<D>(&match &error {
                RequestError::Invalid(text) => Ending::Request(text),
                RequestError::ForeignUser => Ending::Unauthorized,
            })
        })?;
        let mut connect = asked.connect;
        let (user, identity) = (connect.user.clone(), Arc::clone(&connect.identity));
        connect.address = self.admission.client(request);
        self.admission.admit::<D>(request, &user, &identity)?;
        let pace = self
            .admission
            .shaping
            .pace(connect.address, &user, &identity);
        let session = self.hub.connect(connect);
        let session = session.map_err(|error| Refused::new::<D>(&Ending::Refused(error)))?;
        self.admission.check_block::<D>(&user)?;
        Ok(Begun {
            session,
            string_ids: asked.string_ids,
            pace,
        })
    }

    /// Serves whoever has been identified.
    fn serve_as(
        &self,
        socket: WebSocket,
        request: &Request,
        identity: Arc<Identity>,
        mut tally: Tally,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.begin(request, identity) {
            Ok(begun) => {
                if let Some(visit) = tally.visit() {
                    visit.user = Some(begun.session.user().clone());
                }
                // A gateway answers close frames by itself, and says so.
                let shaped = Shaped {
                    close_proves: !request.head.has_token(CONFIRM, "pong"),
                    pace: begun.pace,
                    tally,
                    deflate: self.deflate.clone().filter(|_| socket.is_compressing()),
                };
                let (session, behaviour) = (begun.session, &self.behaviour);
                if begun.string_ids {
                    Box::pin(ChatConnection::<D::StringIds>::new(
                        socket, session, behaviour, shaped,
                    ))
                } else {
                    Box::pin(ChatConnection::<D>::new(socket, session, behaviour, shaped))
                }
            }
            Err(refused) => {
                tally.note(refused.reason);
                Box::pin(close(socket, refused.close, tally))
            }
        }
    }
}

impl<D: Dialect> Endpoint for Chat<D> {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        let access = &self.admission.access;
        if let Err(refusal) = access.check_origin(request.head.as_ref(), &request.peer) {
            return refusal.into();
        }
        let decision = Decision::new().config(Arc::clone(&self.config));
        let decision = subprotocols::agree(decision, &request.head, Some(D::SUBPROTOCOL));
        let decision = match self.behaviour.confirm {
            // There are clients that take no answer above 512 bytes.
            Confirm::Pong => decision.header(CONFIRM, "pong"),
            Confirm::Written => decision,
        };
        self.admission.check::<D>(request, decision)
    }

    fn serve(
        &self,
        socket: WebSocket,
        request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let client = self.admission.client(&request);
        let mut tally = Tally::of(&self.admission.shaping.reasons, client, &request);
        let refused = match request.extension::<Found>() {
            Some(Found::Identity(identity)) => {
                return self.serve_as(socket, &request, Arc::clone(identity), tally);
            }
            Some(Found::FirstMessage) => {
                return Box::pin(first_message::serve(self.shared(), socket, request, tally));
            }
            Some(Found::Refused(refused)) => refused.clone(),
            None => self.admission.no_credentials::<D>(&request),
        };
        tally.note(refused.reason);
        Box::pin(close(socket, refused.close, tally))
    }
}

/// Ends a connection that never became a session. Its messages are discarded unread.
async fn close(mut socket: WebSocket, close: Close, mut tally: Tally) {
    tally.note_code(close.code);
    if let Err(error) = socket.close(CloseCode(close.code), &close.reason).await {
        tracing::debug!(error = %tidewire::ErrorChain(&error), "peer did not take part in the close");
    }
    if let Some(visit) = tally.visit() {
        visit.bytes = socket.bytes_moved();
    }
}
