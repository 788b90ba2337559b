//! How the server stands as a whole: `GET /v1/status`.
//!
//! In: the plain counters of all parts. Out: one JSON object; rates are for who asks twice. Invariant: nothing in it names a
//! user.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{Json, extract::State};
use serde::Serialize;
use tidewire_engine::{MailboxQuery, MailboxStats};
use tidewire_hub::{Hub, HubStats};
use tokio::sync::oneshot;

use super::{Rest, RestError, handlers::Answer, rights::Rights, schema};
use crate::health::{self, Health};

/// How the server stands.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct StatusData {
    /// Connections of the messaging listener, in any state.
    connections: u64,
    events: EventsData,
    #[schema(value_type = schema::Health)]
    health: Health,
    memory: MemoryData,
    messages: MessagesData,
    /// Well-formed messages that were not accepted, by reason.
    messages_refused: BTreeMap<&'static str, u64>,
    /// Requests without valid credentials, by reason.
    logins_denied: BTreeMap<&'static str, u64>,
    /// Requests that were refused, by reason.
    requests_refused: BTreeMap<&'static str, u64>,
    /// Live sessions of users.
    sessions: u64,
    store: StoreData,
    uptime_seconds: u64,
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// WebSockets that have ended, by reason.
    websockets_closed: BTreeMap<&'static str, u64>,
    /// WebSockets opened.
    websockets_opened: u64,
}

/// Memory that clients make the server hold.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct MemoryData {
    bytes: u64,
    bytes_max: u64,
    /// Connections that were closed for it.
    evicted: u64,
}

/// Messages since the start.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct MessagesData {
    /// On disk for every recipient who has room.
    accepted: u64,
    /// Handed to connections.
    delivered: u64,
    /// Of which the arrival was confirmed.
    confirmed: u64,
    /// Passed on without being stored.
    live_only: u64,
    /// Payloads that broke a rule.
    invalid: u64,
    /// Refused for any reason.
    refused: u64,
}

/// The store.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct StoreData {
    /// Messages waiting, over all users.
    messages: u64,
    /// The bytes of their bodies.
    bytes: u64,
    /// Users for whom something waits.
    users: u64,
    appended: u64,
    acked: u64,
    expired: u64,
    purged: u64,
    corrupt: u64,
    commits: u64,
    lost_commits: u64,
    /// Milliseconds that a command waited for its turn, just now; null when there was no answer within two seconds.
    wait_ms: Option<f64>,
}

/// The events out.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct EventsData {
    dead_letters: u64,
    /// Events that were not stored because there was no room.
    lost: u64,
    /// Events that not all targets have taken.
    pending: u64,
    /// Targets there are.
    targets: u64,
    /// Of these: left alone because they fail, or on trial.
    targets_failing: u64,
}

/// How the server stands: figures since its start, and of this moment.
#[utoipa::path(get, path = "/v1/status", tag = "operation", responses(
    (status = 200, description = "The figures", body = StatusData),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError)))]
pub(super) async fn status(
    State(rest): State<Rest>,
    rights: Rights,
) -> Result<Json<Answer<StatusData>>, RestError> {
    rights.everything()?;
    let wait_ms = store_wait(&rest.hub).await;
    let stats = rest.about.listeners.messaging();
    let totals = rest.hub.totals();
    let memory = rest.telemetry.memory().stats();
    let refused = refusals(&totals);
    Ok(Answer::of(StatusData {
        connections: stats.connections as u64,
        events: events(&rest),
        health: health::of(rest.mailbox.as_ref()).1,
        memory: MemoryData {
            bytes: memory.bytes_used as u64,
            bytes_max: memory.bytes_max as u64,
            evicted: memory.evicted,
        },
        messages: MessagesData {
            accepted: totals.accepted,
            delivered: totals.delivered,
            confirmed: totals.confirmed,
            live_only: totals.live_only,
            invalid: totals.invalid,
            refused: refused.values().sum(),
        },
        messages_refused: refused,
        logins_denied: tidewire_access::denials().into_iter().collect(),
        requests_refused: rest.shaping.reasons.refusals().collect(),
        sessions: totals.sessions,
        store: store(&rest.mailbox.stats(), wait_ms),
        uptime_seconds: rest.about.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION"),
        websockets_closed: rest.shaping.reasons.closes().collect(),
        websockets_opened: stats.opened,
    }))
}

fn events(rest: &Rest) -> EventsData {
    let outbox = rest.targets.outbox_stats();
    let targets = rest.targets.status();
    let failing = targets.iter().filter(|it| it.breaker.name() != "closed");
    EventsData {
        dead_letters: outbox.dead_letters,
        lost: outbox.lost + rest.hub.events_lost(),
        pending: outbox.pending_events,
        targets: targets.len() as u64,
        targets_failing: failing.count() as u64,
    }
}

fn store(stats: &MailboxStats, wait_ms: Option<f64>) -> StoreData {
    StoreData {
        messages: stats.pending_messages,
        bytes: stats.pending_bytes,
        users: stats.pending_users,
        appended: stats.appended,
        acked: stats.acked,
        expired: stats.expired,
        purged: stats.purged,
        corrupt: stats.corrupt,
        commits: stats.commits,
        lost_commits: stats.lost_commits,
        wait_ms,
    }
}

/// How long a command that does nothing waits for its turn, behind what the store has to write.
async fn store_wait(hub: &Hub) -> Option<f64> {
    let (send, receive) = oneshot::channel();
    let nothing = MailboxQuery::Page {
        after: None,
        count: 0,
    };
    let asked = Instant::now();
    let done = Box::new(move |answer: Result<_, _>| {
        // Who does not wait any more does not get the answer.
        send.send(answer.is_ok()).ok();
    });
    hub.mailboxes(nothing, done).ok()?;
    let answered = tokio::time::timeout(STORE_WAIT_MAX, receive).await;
    let took = asked.elapsed();
    matches!(answered, Ok(Ok(true))).then(|| took.as_secs_f64() * 1000.0)
}

/// Messages that were not accepted, by reason.
fn refusals(totals: &HubStats) -> BTreeMap<&'static str, u64> {
    crate::telemetry::refused_by_reason(totals)
        .into_iter()
        .collect()
}

const STORE_WAIT_MAX: Duration = Duration::from_secs(2);
