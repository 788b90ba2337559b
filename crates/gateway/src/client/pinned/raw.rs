//! A pinned connection relayed as bytes: subprotocol and extensions are what client and upstream have agreed
//! on, close codes and payloads pass untouched, a message of any size takes no memory.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use tidewire::{
    net::relay::{Relay, RelayEnd, RelayLimits, Relayed},
    net::{Rewind, Stream},
    ws::{Answer, CloseCode, CloseFrame, Established, Opening},
};
use tokio::time::timeout;

use super::AdmittedClient;
use crate::{
    ambient::now,
    backend::{answer, reach, session},
    client::admission::refuse,
    record::{Record, sessions::Session},
    routing::{
        connections::Admitted,
        request,
        target::{Counters, Target, add},
    },
    upstream::Lease,
};

/// Opens the upstream, then the client.
pub(super) async fn open(admitted: AdmittedClient, opening: Opening) -> Option<Established> {
    let offer = request::extensions(&opening.request().head);
    let reached = reach::tunnel(&admitted.target, &admitted.ask, offer.as_deref()).await;
    let (mut lease, tunnel) = match reached {
        Ok(reached) => reached,
        Err(unreachable) => {
            add(&admitted.target.counters.refused, 1);
            return refuse(opening, &unreachable.refusal()).await;
        }
    };
    let headers = answer::fields(&tunnel.head);
    let head = Arc::clone(&opening.request().head);
    let own = request::credentials_subprotocol(&head, &admitted.target.endpoint());
    let answer = Answer {
        subprotocol: tunnel.subprotocol.as_deref().or(own.as_deref()),
        extensions: tunnel.extensions.as_deref(),
        headers: &headers,
        ..Answer::default()
    };
    let client = match opening.accept_raw(&answer).await {
        Ok(client) => client,
        Err(error) => {
            tracing::debug!(error = %tidewire::ErrorChain(&error), "the client has gone");
            return None;
        }
    };
    add(&admitted.target.counters.opened, 1);
    let settings = Arc::clone(&admitted.gateway.table().settings);
    let limits = RelayLimits::default()
        .write_timeout(settings.limits.write_timeout)
        .idle_timeout(settings.limits.idle_timeout);
    let session = admitted.gateway.sessions.open(admitted.begin);
    session.record.served_by(&lease.upstream().url.server());
    if let Some(health) = &admitted.target.endpoint().health
        && health.on_unhealthy.leaves(false)
    {
        lease.watch();
    }
    let gone = CloseFrame::new(session::BAD_GATEWAY, "the backend is gone");
    Some(Box::pin(run(
        Relay::of_websocket(client, tunnel.stream, limits).when_server_lost(&gone),
        session,
        lease,
        admitted.target,
        admitted.place,
        settings.drain.timeout,
    )))
}

async fn run(
    mut relay: RawRelay,
    session: Session,
    lease: Lease,
    target: Arc<Target>,
    admitted: Admitted,
    close_timeout: Duration,
) {
    let told = TrafficCounter {
        record: &session.record,
        counters: &target.counters,
    };
    let mut lease = Some(lease);
    // By hand: this is polled for every message.
    let asked = poll_fn(|cx| {
        let ended = told.poll_run(&mut relay, cx);
        // At once, not when the client has gone, too: how long it has lasted tells whether the upstream is broken.
        if relay.is_server_lost()
            && let Some(lease) = lease.take()
        {
            lease.lost(now());
        }
        if let Poll::Ready(end) = ended {
            return Poll::Ready(Err(end));
        }
        if let Some(lease) = &mut lease
            && lease.poll_unhealthy(cx).is_ready()
        {
            return Poll::Ready(Ok(session::unhealthy()));
        }
        told.record.poll_end(cx).map(Ok)
    })
    .await;
    let (code, end) = match asked {
        Err(end) if lease.is_none() => (Some(session::BAD_GATEWAY), end),
        Err(end) => (None, end),
        Ok(frame) => {
            let away = CloseFrame::new(CloseCode::GOING_AWAY, "the gateway ends the connection");
            relay.start_close(&frame, &away);
            // A frame that goes on for ever, drop by drop, puts the close off no longer than this.
            let end = timeout(close_timeout, poll_fn(|cx| told.poll_run(&mut relay, cx))).await;
            (Some(frame.code), end.unwrap_or(RelayEnd::Stalled))
        }
    };
    let why = match end {
        _ if lease.is_none() => "backend lost",
        RelayEnd::Ended => "ended",
        RelayEnd::Stalled => "stalled",
        RelayEnd::Idle => "idle",
        RelayEnd::FirstFailed(_) => "client lost",
        RelayEnd::SecondFailed(_) => "backend lost",
        _ => "failed",
    };
    session.ended(code, why);
    drop(admitted);
}

type RawRelay = Relay<Rewind<Stream>, Rewind<Stream>>;

/// Who is told what passes, while it passes: a connection may last for months.
struct TrafficCounter<'a> {
    record: &'a Record,
    counters: &'a Counters,
}

impl TrafficCounter<'_> {
    fn poll_run(&self, relay: &mut RawRelay, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let end = relay.poll_run(cx);
        self.tell(relay.relayed());
        end
    }

    /// Adds what is new. The record has this one writer, so it tells what is old.
    fn tell(&self, relayed: Relayed) {
        for (all, kept, counter) in [
            (
                relayed.forth,
                &self.record.bytes_in,
                &self.counters.bytes_in,
            ),
            (
                relayed.back,
                &self.record.bytes_out,
                &self.counters.bytes_out,
            ),
        ] {
            let before = kept.load(Ordering::Relaxed);
            if all != before {
                kept.store(all, Ordering::Relaxed);
                add(counter, all - before);
            }
        }
    }
}
