//! From a connection's first bytes to what is run for it.
//!
//! In: connections that the service has accepted. Out: each as a WebSocket to its endpoint, as an HTTP request to
//! the fallback, or refused.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tidewire_proto::{
    Config,
    handshake::{self, Accepted, Refusal},
};
use tokio::io::AsyncWriteExt;

use super::{
    opening::{Established, Wire},
    session::{SessionTask, Terms, agree, endpoint, session},
    sockets::Sockets,
};
use crate::{
    http::{
        Unrouted,
        head::{self, FirstRequest, Received},
    },
    net::{Exceeded, Peer, Stream, admission::AddressPlace, stream::send_last},
    service::{Protocol, ProxiedClients, Service},
    ws::{Endpoint, Request, decision::decide},
};

/// What is run for an open connection.
pub(in crate::ws) enum Opened {
    /// A session.
    Session(SessionTask),
    /// One of a proxy's client, who has a place of its own. Boxed, so that others pay nothing for it.
    Counted(Box<(SessionTask, AddressPlace)>),
    /// HTTP, or many sessions.
    Other(Established),
}

impl Future for Opened {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::Session(session) => Pin::new(session).poll(cx),
            Self::Counted(counted) => Pin::new(&mut counted.0).poll(cx),
            Self::Other(other) => other.as_mut().poll(cx),
        }
    }
}

impl Protocol for Sockets {
    type Connection = Opened;

    async fn open(
        service: Arc<Service<Self>>,
        stream: Stream,
        peer: Peer,
    ) -> io::Result<Option<Opened>> {
        let sockets = service.protocol();
        let first = head::read(
            stream,
            peer,
            sockets.config.limits.head,
            #[cfg(feature = "http2")]
            sockets.config.http2,
        );
        #[cfg_attr(
            not(feature = "http2"),
            expect(clippy::manual_let_else, reason = "there is a third arm with HTTP/2")
        )]
        let received = match first.await? {
            Some(FirstRequest::Http1(received)) => received,
            #[cfg(feature = "http2")]
            Some(FirstRequest::Http2(stream, peer)) => {
                let serve = super::http2::handshake(stream, peer, &service).await?;
                return Ok(Some(Opened::Other(serve)));
            }
            None => return Ok(None),
        };
        if received.head.wants_websocket() {
            return websocket(received, &service).await;
        }
        let is_probe = sockets.health_path.as_deref() == Some(received.head.path());
        if is_probe && let Some(answer) = head::healthy(received.head.method()) {
            let mut stream = received.stream;
            send_last(&mut stream, answer.as_bytes()).await?;
            return Ok(None);
        }
        if received.head.values("sec-websocket-key").next().is_some() {
            upgrade_dropped(received, sockets).await?;
            return Ok(None);
        }
        let Some(fallback) = &sockets.fallback else {
            let mut stream = received.stream;
            let refusal = Refusal::upgrade_required("this address speaks WebSocket only");
            head::refuse(&mut stream, &refusal).await?;
            return Ok(None);
        };
        let clients = ProxiedClients::of(&service);
        let unrouted = Unrouted::new(received, service.drain().clone(), clients);
        Ok(Some(Opened::Other(fallback(unrouted))))
    }

    fn busy(&self, exceeded: Exceeded) -> Cow<'static, [u8]> {
        head::busy(exceeded)
    }

    fn without_tls(&self) -> Cow<'static, [u8]> {
        head::without_tls()
    }

    fn is_http(&self) -> bool {
        true
    }

    #[cfg(feature = "http2")]
    fn preferred_alpn(&self) -> Option<&[u8]> {
        self.config.http2.then_some(b"h2")
    }

    fn start_drain(&self) {
        self.life.sessions.drain();
    }
}

/// Proxies drop `Upgrade` and `Connection`, which belong to one connection (RFC 9110 section 7.6.1), unless they are
/// told that it is to be a WebSocket: what is left of a handshake comes from there.
async fn upgrade_dropped(received: Received, sockets: &Sockets) -> io::Result<()> {
    let Received {
        mut stream,
        head,
        peer,
        ..
    } = received;
    let refusal = Refusal::upgrade_required(UPGRADE_DROPPED);
    let request = Request::new(head, peer);
    tracing::info!(
        address = ?request.peer.address,
        path = request.head.path(),
        "refused a WebSocket: {UPGRADE_DROPPED}"
    );
    sockets.tell_refused(&request, &refusal);
    head::refuse(&mut stream, &refusal).await
}

const UPGRADE_DROPPED: &str = "the request for a WebSocket has no field Upgrade: websocket; a proxy in front must be \
    told to pass Upgrade and Connection on";

async fn websocket(received: Received, service: &Service<Sockets>) -> io::Result<Option<Opened>> {
    let Received {
        mut stream,
        head,
        mut leftover,
        peer,
    } = received;
    let sockets = service.protocol();
    let mut request = Request::new(head, peer);
    let values = |name: &str| request.head.values_of(name);
    let Ok(place) = service.place_of_client(&request.peer, values) else {
        let refusal = head::too_many_of_address();
        sockets.tell_refused(&request, &refusal);
        head::refuse(&mut stream, &refusal).await?;
        return Ok(None);
    };
    if let Some(interceptor) = &sockets.interceptor {
        if let Err(refusal) = handshake::check_request(&request.head) {
            sockets.tell_refused(&request, &refusal);
            head::refuse(&mut stream, &refusal).await?;
            return Ok(None);
        }
        let opening = sockets.opening(request, Wire::Http1(stream, leftover), service.drain());
        let established = interceptor(opening).await;
        return Ok(established.map(|established| Opened::Other(counted(established, place))));
    }
    let agreed = accept(sockets, &mut request, &mut stream, &mut leftover).await?;
    let (endpoint, accepted, config) = match agreed {
        Ok(agreed) => agreed,
        Err(refusal) => {
            sockets.tell_refused(&request, &refusal);
            head::refuse(&mut stream, &refusal).await?;
            return Ok(None);
        }
    };
    stream.write_all(accepted.response.as_bytes()).await?;
    stream.flush().await?;
    let terms = Terms {
        config,
        subprotocol: accepted.subprotocol,
        deflate: accepted.deflate,
    };
    let session = session(sockets, endpoint, request, terms, stream, leftover);
    Ok(Some(match place {
        None => Opened::Session(session),
        Some(place) => Opened::Counted(Box::new((session, place))),
    }))
}

/// Keeps the place of a proxy's client, if there is one, for as long as its connection runs.
fn counted(established: Established, place: Option<AddressPlace>) -> Established {
    match place {
        None => established,
        Some(place) => Box::pin(async move {
            established.await;
            drop(place);
        }),
    }
}

/// Waits for the endpoint's decision, and makes the answer.
async fn accept<'a>(
    sockets: &'a Sockets,
    request: &mut Request,
    stream: &mut Stream,
    early: &mut Vec<u8>,
) -> io::Result<Result<(&'a dyn Endpoint, Accepted, Arc<Config>), Refusal>> {
    let endpoint = match endpoint(sockets, request) {
        Ok(endpoint) => endpoint,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let decided = decide(endpoint.accept(request), stream, early).await?;
    let agreed = decided.and_then(|decision| agree(sockets, request, decision, handshake::accept));
    Ok(agreed.map(|(accepted, config)| (endpoint.as_ref(), accepted, config)))
}
