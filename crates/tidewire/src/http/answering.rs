//! From a request as hyper read it to an answer as hyper sends it, whatever the version of HTTP: [`Answering`].
//!
//! Order: the host that HTTP/2 names, a place of the client that a trusted proxy tells, the cache of files, the service; then the answer holds its
//! share of the budget.

use std::{convert::Infallible, error::Error, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header, request::Parts};
use hyper::{
    body::{Body, Incoming},
    service::Service as _,
};
use hyper_util::service::TowerToHyperService;
use tidewire_proto::handshake::Refusal;
use tower_service::Service as Tower;

use super::{
    body::{RequestBody, Unread},
    cache::{CachedBody, FileCache},
    held::{self, AnswerBudget, HeldBody},
    host,
    progress::Progress,
    session::{Listen, Session},
    shortcuts::{HeadSlot, ReceivedHead},
    stats::Counters,
};
use crate::{net::Peer, service::ProxiedClients};

/// The part that all requests of a connection share.
pub(super) struct Answering<S> {
    pub(super) service: S,
    pub(super) peer: Arc<Peer>,
    pub(super) clients: ProxiedClients,
    pub(super) answers: AnswerBudget,
    pub(super) files: Option<FileCache>,
    pub(super) listening: Option<(Arc<dyn Listen>, Arc<Session>)>,
    pub(super) received: Option<HeadSlot>,
    pub(super) counters: Arc<Counters>,
    /// Of HTTP/2 only, where several requests are under way.
    pub(super) progress: Option<Arc<Progress>>,
}

type Answered<B> = Pin<Box<dyn Future<Output = Result<Response<HeldBody<B>>, Infallible>> + Send>>;

impl<S, B> Answering<S>
where
    S: Tower<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(super) fn answer(self: &Arc<Self>, mut request: Request<Incoming>) -> Answered<B> {
        let named = match self.progress {
            Some(_) => host::complete(&mut request),
            // It has been checked with the rest of its head.
            None => Ok(()),
        };
        let headers = request.headers();
        let values = |name: &str| {
            headers
                .get_all(name)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect()
        };
        let place = self.clients.place(&self.peer, values);
        let is_awaited = headers.contains_key(header::EXPECT);
        let (request, unread) = self.prepare(request);
        let this = Arc::clone(self);
        let running = self.progress.as_ref().map(Progress::run);
        Box::pin(async move {
            let mut response = match (named, place) {
                (Err(refusal), _) => this.refuse(&refusal),
                (Ok(()), Ok(place)) => {
                    let response = this.respond(request).await;
                    drop(place);
                    response
                }
                (Ok(()), Err(_exceeded)) => held::refused("too many requests from this address\n"),
            };
            let is_cleared = unread.is_cleared(is_awaited).await;
            match (running, is_cleared) {
                (Some(running), _) => {
                    let answered = running.answered();
                    return Ok(response.map(|body| body.watched_by(answered)));
                }
                // The rest of the body would be taken for a request.
                (None, false) => close(&mut response),
                (None, true) if this.is_to_end() => close(&mut response),
                (None, true) => {}
            }
            Ok(response)
        })
    }

    /// The session has been disconnected by its handler.
    fn is_to_end(&self) -> bool {
        let session = self.listening.as_ref();
        session.is_some_and(|(_, session)| session.end.is_started())
    }

    /// Tells the service who asks, and keeps what it does not read.
    fn prepare(&self, request: Request<Incoming>) -> (Request<RequestBody>, Unread) {
        let unread = Unread::default();
        let mut request = request.map(|incoming| RequestBody::new(incoming, unread.clone()));
        let extensions = request.extensions_mut();
        extensions.insert(Arc::<Peer>::clone(&self.peer));
        if let Some((_, session)) = &self.listening {
            extensions.insert(Arc::<Session>::clone(session));
        }
        if let Some(slot) = &self.received {
            extensions.insert(ReceivedHead(slot.lock().clone()));
        }
        (request, unread)
    }

    async fn respond(&self, request: Request<RequestBody>) -> Response<HeldBody<B>> {
        let request = match &self.files {
            None => request,
            Some(files) => {
                let (parts, body) = request.into_parts();
                let found = files.respond(&parts.method, &parts.uri, &parts.headers);
                if let Some(mut response) = found.await {
                    self.counters.cached();
                    self.tell_cached(&parts, &mut response);
                    return self.answers.hold_cached(response);
                }
                Request::from_parts(parts, body)
            }
        };
        let service = TowerToHyperService::new(self.service.clone());
        match service.call(request).await {
            Ok(response) => self.answers.hold(response),
            Err(never) => match never {},
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response<HeldBody<B>> {
        self.counters.refused();
        if let Some((listener, session)) = &self.listening {
            listener.request_error(session, &refusal.reason);
        }
        held::malformed(refusal)
    }

    fn tell_cached(&self, parts: &Parts, response: &mut Response<CachedBody>) {
        if let Some((listener, session)) = &self.listening
            && let Some(hook) = listener.cached()
        {
            hook(session, parts, response);
        }
    }
}

fn close<B>(response: &mut Response<B>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}
