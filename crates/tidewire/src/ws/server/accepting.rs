//! A WebSocket request on HTTP/2 while its endpoint decides.
//!
//! In: a request, alone on its stream. Out: a session, or a refusal. Invariants: a request that waits has a place
//! of the server's limits; the wait ends with the stream, at the handshake's deadline, and with a drain.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use h2::Reason;
use tidewire_proto::handshake::{self, Refusal};
use tokio::time::timeout;

use super::{
    places::{Place, Places},
    session::{Terms, agree, session},
    sockets::Sockets,
    unanswered::Unanswered,
};
use crate::{
    net::{Stream, admission::AddressPlace},
    service::Service,
    ws::{AcceptFuture, Decision, Endpoint, Request},
};

/// A request whose endpoint decides.
pub(super) struct Accepting {
    pub(super) places: Arc<Places>,
    pub(super) service: Arc<Service<Sockets>>,
    pub(super) endpoint: Arc<dyn Endpoint>,
    pub(super) request: Request,
    pub(super) wire: Unanswered,
    /// A place of the client that a trusted proxy tells.
    pub(super) client: Option<AddressPlace>,
}

/// How a wait has ended.
enum Waited {
    Decided(Result<Decision, Refusal>),
    /// The stream or its connection was lost.
    Gone,
}

impl Accepting {
    /// Waits for the decision, answers, and starts the session's task.
    pub(super) async fn run(mut self) {
        let within = self.service.protocol().config.limits.handshake_timeout;
        let service = Arc::clone(&self.service);
        let mut place = None;
        let waited = tokio::select! {
            biased;
            waited = timeout(within, self.decided(&mut place)) => waited,
            () = service.drain().started() => {
                // Nothing was done for it: the client may try again elsewhere.
                self.wire.respond.send_reset(Reason::REFUSED_STREAM);
                return;
            }
        };
        match waited {
            Ok(Waited::Decided(decision)) => self.answer(decision, place),
            Ok(Waited::Gone) | Err(_) => {
                service.count_refused();
            }
        }
    }

    /// A request that has to wait takes a place first.
    async fn decided(&mut self, place: &mut Option<Place>) -> Waited {
        let mut accept = self.endpoint.accept(&self.request);
        let (places, wire) = (&self.places, &mut self.wire);
        poll_fn(|cx| poll_decided(cx, &mut accept, places, wire, place)).await
    }

    /// Answers, and starts the session's task.
    fn answer(mut self, decision: Result<Decision, Refusal>, place: Option<Place>) {
        let sockets = self.service.protocol();
        let agreed = decision
            .and_then(|decision| {
                let request = &mut self.request;
                agree(sockets, request, decision, handshake::accept_extended)
            })
            .and_then(|agreed| Ok((agreed, place.map_or_else(|| self.places.place(), Ok)?)));
        let ((accepted, config), place) = match agreed {
            Ok(agreed) => agreed,
            Err(refusal) => return self.refuse(&refusal),
        };
        let stream = match self.wire.accept(&accepted.fields) {
            Ok(stream) => stream,
            Err(error) => {
                // The stream has gone meanwhile.
                tracing::debug!(error = %crate::ErrorChain(&error), "WebSocket not opened");
                return;
            }
        };
        let terms = Terms {
            config,
            subprotocol: accepted.subprotocol,
            deflate: accepted.deflate,
        };
        let serve = session(
            sockets,
            self.endpoint.as_ref(),
            self.request,
            terms,
            Stream::Http2(Box::new(stream)),
            Vec::new(),
        );
        let places = (place, self.client);
        self.service.spawn(Box::pin(async move {
            serve.await;
            drop(places);
        }));
    }

    fn refuse(self, refusal: &Refusal) {
        self.service.count_refused();
        if let Err(error) = self.wire.refuse(refusal) {
            tracing::debug!(%error, "a refusal was not sent");
        }
    }
}

fn poll_decided(
    cx: &mut Context<'_>,
    accept: &mut AcceptFuture<'_>,
    places: &Arc<Places>,
    wire: &mut Unanswered,
    place: &mut Option<Place>,
) -> Poll<Waited> {
    if let Poll::Ready(decision) = Pin::new(accept).poll(cx) {
        return Poll::Ready(Waited::Decided(decision));
    }
    if place.is_none() {
        match places.place() {
            Ok(taken) => *place = Some(taken),
            Err(refusal) => return Poll::Ready(Waited::Decided(Err(refusal))),
        }
    }
    wire.respond.poll_reset(cx).map(|_reset| Waited::Gone)
}
