//! From an accepted socket to an open connection.
//!
//! In: connections of a listener. Out: each as a stream with its peer to the protocol, and what that gives as a
//! task. Invariants: nothing before a connection is open outlives the handshake's deadline; a
//! connection is counted from accept to end.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::timeout;

use super::{
    drain::Drain,
    protocol::Protocol,
    proxied,
    shared::{Current, Service},
    workers::Workers,
};
use crate::{
    net::{
        Address, Listener, Peer, Socket, Stream,
        accept::{self, Acceptor},
        admission::Permit,
        guests::{Guest, Guests},
        sampled::Sampled,
        stream::send_last,
    },
    runtime::{Load, Runtime},
    socket::Unplaced,
};

/// A worker: accepts until the drain, then lives until its connections have ended.
pub(super) async fn own_core<P: Protocol>(
    listeners: Vec<Listener>,
    current: Arc<Current<P>>,
    abort: Drain,
) {
    let service = current.get();
    for listener in listeners {
        match Acceptor::new(listener) {
            Ok(acceptor) => {
                let accept = accept_loop(acceptor, Arc::clone(&current));
                service.tasks.spawn(Box::pin(accept));
            }
            Err(error) => {
                tracing::error!(error = %crate::ErrorChain(&error), "a worker cannot use its listener");
            }
        }
    }
    service.drain.started().await;
    // All workers wait for all tasks: a connection's task never outlives its runtime.
    tokio::select! {
        () = service.tasks.ended() => {}
        () = abort.started() => {}
    }
}

pub(super) async fn accept_loop<P: Protocol>(acceptor: Acceptor, current: Arc<Current<P>>) {
    let ended = current.get().stop_accepting.clone();
    let admission = || Arc::clone(&current.get().admission);
    let busy = |exceeded| current.get().protocol.busy(exceeded);
    let options = || current.get().config.options;
    loop {
        tokio::select! {
            biased;
            () = ended.started() => return,
            (socket, address, permit) = accept::accept(&acceptor, admission, busy, options) => {
                tracing::debug!(%address, "connection accepted");
                let service = current.get();
                match &service.config.workers {
                    Workers::On(runtime) => {
                        place(runtime, socket, address, permit, &service);
                    }
                    Workers::PerCore(_) | Workers::Pool => {
                        let opening = connection(socket, address, permit, Arc::clone(&service), None);
                        service.tasks.spawn(Box::pin(opening));
                    }
                }
            }
        }
    }
}

/// Gives a connection to the thread of the runtime that it shall belong to.
fn place<P: Protocol>(
    runtime: &Runtime,
    socket: Socket,
    address: Address,
    permit: Permit,
    service: &Arc<Service<P>>,
) {
    if runtime.is_spread_by_system() {
        let opening = connection(socket, address, permit, Arc::clone(service), None);
        service.tasks.spawn(Box::pin(opening));
        return;
    }
    let slot = runtime.place();
    let moved = socket.leave_runtime();
    let load = slot.load();
    let (service, tasks) = (Arc::clone(service), service.tasks.clone());
    let opening = async move {
        match moved.and_then(Unplaced::enter_runtime) {
            Ok(socket) => connection(socket, address, permit, service, Some(load)).await,
            Err(error) => tracing::error!(%error, "a connection could not go to its thread"),
        }
    };
    tasks.spawn_on(&slot.handle, Box::pin(opening));
}

/// A connection until it is open; from then on a task of its own, which carries nothing
/// of the opening along.
async fn connection<P: Protocol>(
    socket: Socket,
    address: Address,
    mut permit: Permit,
    service: Arc<Service<P>>,
    load: Option<Load>,
) {
    let guest = service.guests.as_ref().map(Guests::enter);
    let opened = {
        // What an opening holds is given back as soon as it is over.
        let half_open = service.half_open().map(Guests::enter);
        let opening = open_in_time(socket, address, &mut permit, &service, guest.as_ref());
        match &half_open {
            None => opening.await,
            Some(place) => tokio::select! {
                biased;
                opened = opening => opened,
                () = place.displaced() => {
                    service.count_displaced();
                    None
                }
            },
        }
    };
    if let Some(connection) = opened {
        let counted = Counted {
            connection,
            _permit: permit,
            _load: load,
        };
        match guest {
            None => service.tasks.spawn(counted),
            Some(guest) => service.tasks.spawn(Box::pin(async move {
                tokio::select! {
                    () = counted => {}
                    () = guest.displaced() => {}
                }
            })),
        }
    }
}

/// An open connection, counted while it lives.
struct Counted<C> {
    connection: C,
    _permit: Permit,
    /// On the thread it was placed on.
    _load: Option<Load>,
}

impl<C: Future<Output = ()> + Unpin> Future for Counted<C> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.connection).poll(cx)
    }
}

/// Clients that speak something else are many when somebody scans ports.
static FOREIGN: Sampled = Sampled::new();

/// The opening, within its deadline.
async fn open_in_time<P: Protocol>(
    socket: Socket,
    address: Address,
    permit: &mut Permit,
    service: &Arc<Service<P>>,
    guest: Option<&Arc<Guest>>,
) -> Option<P::Connection> {
    let deadline = service.config.limits.handshake_timeout;
    let displaced = async {
        match guest {
            Some(guest) => guest.displaced().await,
            None => std::future::pending().await,
        }
    };
    let opened = tokio::select! {
        biased;
        opened = timeout(deadline, open(socket, &address, permit, service, guest)) => opened,
        () = service.drain.started() => return None,
        () = displaced => return None,
    };
    match opened {
        Ok(Ok(Some(connection))) => return Some(connection),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => {
            let is_foreign = error.kind() == io::ErrorKind::InvalidData;
            let failure = error;
            let error = crate::ErrorChain(&failure);
            if is_foreign && let Some(left_out) = FOREIGN.admit() {
                tracing::info!(%address, %error, left_out, "a client speaks another protocol");
            }
            tracing::debug!(%address, %error, "handshake failed");
            service.protocol.opening_failed(&failure);
        }
        Err(elapsed) => {
            tracing::debug!(%address, "handshake not done in time");
            service.count_late();
            let error = io::Error::new(io::ErrorKind::TimedOut, elapsed);
            service.protocol.opening_failed(&error);
        }
    }
    service.count_refused();
    None
}

/// PROXY header, TLS, and the protocol's part.
async fn open<P: Protocol>(
    mut socket: Socket,
    address: &Address,
    permit: &mut Permit,
    service: &Arc<Service<P>>,
    guest: Option<&Arc<Guest>>,
) -> io::Result<Option<P::Connection>> {
    let mut peer = proxied::identify(&mut socket, address, &service.config.proxy_protocol).await?;
    peer.guest = guest.cloned();
    if let Some(source) = peer.proxied.as_ref().and_then(|it| it.addresses.source())
        // A proxy behind the balancer tells its clients in turn.
        && !service.config.trusted_proxies.contain(source.ip())
        && let Err(exceeded) = permit.count_from(source.ip())
    {
        tracing::info!(%source, "connection refused: limit per address reached");
        send_last(&mut socket, &service.protocol.busy(exceeded)).await?;
        return Ok(None);
    }
    let (stream, peer) = secure(socket, peer, service).await?;
    P::open(Arc::clone(service), stream, peer).await
}

/// Does the TLS handshake, if the server speaks TLS, within a deadline of its own.
#[cfg_attr(
    not(feature = "tls"),
    expect(clippy::unused_async, reason = "the same signature as with TLS")
)]
async fn secure<P: Protocol>(
    mut socket: Socket,
    mut peer: Peer,
    service: &Service<P>,
) -> io::Result<(Stream, Peer)> {
    #[cfg(feature = "tls")]
    if let Some(tls) = &service.config.tls {
        let preferred = service.protocol.preferred_alpn();
        let deadline = service.config.limits.tls_timeout;
        let too_slow =
            |_elapsed| io::Error::new(io::ErrorKind::TimedOut, "TLS handshake not done in time");
        let handshake = async {
            expect_tls(&mut socket, service).await?;
            tls.accept(socket, preferred, service.protocol.is_http())
                .await
        };
        let accepted = timeout(deadline, handshake).await;
        let (stream, told) = accepted.map_err(too_slow)??;
        peer.secure = true;
        peer.tls = Some(Box::new(told));
        return Ok((Stream::Tls(Box::new(stream)), peer));
    }
    let _ = (service, &mut peer, &mut socket);
    Ok((Stream::Plain(socket), peer))
}

/// Looks at the first byte: no record of TLS begins with a letter, but requests do, banners, and the header of a
/// balancer that nobody was told of.
#[cfg(feature = "tls")]
async fn expect_tls<P: Protocol>(socket: &mut Socket, service: &Service<P>) -> io::Result<()> {
    let mut first = [0];
    if socket.peek(&mut first).await? == 0 || !first[0].is_ascii_alphabetic() {
        return Ok(());
    }
    send_last(socket, &service.protocol.without_tls()).await?;
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "expected a TLS handshake",
    ))
}
