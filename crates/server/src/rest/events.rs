//! The events out: `GET /v1/events`, and the dead letters under `/v1/events/dead-letters`.
//!
//! In: which dead letters are meant. Out: how the targets do; letters, forgotten or given to their targets once more.
//! Invariant: a request that does not say exactly what it means changes nothing.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tidewire_auth::{decode_parameter, raw_parameters};
use tidewire_engine::DeadLetter;
use tidewire_notify::{Event, StoreError};

use super::{Rest, RestError, handlers::Answer, rights::Rights};

/// How the events out do.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct EventsStatus {
    /// Events that not all targets have taken.
    pending: u64,
    /// About how many bytes they take.
    pending_bytes: u64,
    /// Events that were not stored because there was no room.
    lost: u64,
    /// Dead letters there are.
    dead_letters: u64,
    /// The targets, in the order of the configuration.
    targets: Vec<TargetState>,
}

/// How a target does.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct TargetState {
    /// Its name.
    name: String,
    /// Its type.
    #[schema(example = "postback")]
    r#type: &'static str,
    /// `closed`: it is tried; `open`: it is left alone; `half-open`: one delivery finds out.
    #[schema(example = "closed")]
    breaker: &'static str,
    /// Events that it has not taken.
    pending: u64,
    /// Events that it has taken since the start.
    delivered: u64,
    /// Deliveries that failed since the start.
    failures: u64,
    /// Events that a fallback has taken since the start.
    rescued: u64,
    /// Events that became dead letters since the start.
    dead: u64,
    /// Events that it has missed because the outbox was full.
    dropped: u64,
}

/// An event that a target could not be given.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Letter {
    /// Its number.
    id: u64,
    /// The name of the target.
    target: String,
    /// The reason of the last failure.
    reason: String,
    /// How often it was tried.
    attempts: u32,
    /// When it was given up.
    time: String,
    /// The event as targets get it; null when another program has written it, or with `event=none`.
    #[schema(value_type = Option<Object>)]
    event: Option<Box<RawValue>>,
}

/// Dead letters, oldest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Letters {
    /// Go on with `after` = the last id while there are as many as were asked for.
    letters: Vec<Letter>,
}

/// How many dead letters were removed.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Removed {
    removed: u64,
}

/// The outcome of another try of dead letters.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Replayed {
    /// Taken: they are no dead letters any more.
    delivered: u64,
    /// Not taken: they stay.
    failed: u64,
}

/// How the targets of events do.
#[utoipa::path(get, path = "/v1/events", tag = "events", responses(
    (status = 200, description = "The outbox and the targets", body = EventsStatus),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError)))]
pub(super) async fn events(
    State(rest): State<Rest>,
    rights: Rights,
) -> Result<Json<Answer<EventsStatus>>, RestError> {
    rights.everything()?;
    let outbox = rest.targets.outbox_stats();
    let targets = rest.targets.status().into_iter().map(|status| TargetState {
        name: status.name.to_string(),
        r#type: status.kind,
        breaker: status.breaker.name(),
        pending: status.pending,
        delivered: status.counts.delivered,
        failures: status.counts.failures,
        rescued: status.counts.rescued,
        dead: status.counts.dead,
        dropped: status.dropped,
    });
    Ok(Answer::of(EventsStatus {
        pending: outbox.pending_events,
        pending_bytes: outbox.pending_bytes,
        lost: outbox.lost + rest.hub.events_lost(),
        dead_letters: outbox.dead_letters,
        targets: targets.collect(),
    }))
}

/// Dead letters, oldest first.
#[utoipa::path(get, path = "/v1/events/dead-letters", tag = "events", params(
    ("after" = Option<u64>, Query, description = "Only those with a greater id"),
    ("limit" = Option<usize>, Query, description = "At most so many, 1 to 1000; default 100"),
    ("event" = Option<String>, Query, description = "none: leaves the events out, with the messages in them; default: they are told")), responses(
    (status = 200, description = "The letters", body = Letters),
    (status = 400, description = "An unknown, repeated or malformed parameter", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError),
    (status = 503, description = "The store has failed", body = RestError)))]
pub(super) async fn list(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Letters>>, RestError> {
    rights.everything()?;
    let query = Meant::parse(
        query.as_deref().unwrap_or_default(),
        &["after", "limit", "event"],
    )?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(RestError::bad_request("limit must be 1 to 1000"));
    }
    let letters = rest.targets.dead_letters(query.after, limit).await?;
    let letters = letters
        .into_iter()
        .map(|(letter, event)| shown(&letter, event.filter(|_| !query.without_event)));
    Ok(Answer::of(Letters {
        letters: letters.collect(),
    }))
}

/// Forgets dead letters.
#[utoipa::path(delete, path = "/v1/events/dead-letters", tag = "events", params(
    ("id" = Vec<u64>, Query, description = "Which; at least one")), responses(
    (status = 200, description = "How many there were", body = Removed),
    (status = 400, description = "No id, or an unknown or malformed parameter", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError),
    (status = 503, description = "The store has failed", body = RestError)))]
pub(super) async fn forget(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Removed>>, RestError> {
    rights.everything()?;
    let query = Meant::parse(query.as_deref().unwrap_or_default(), &["id"])?;
    if query.ids.is_empty() {
        return Err(RestError::bad_request("id required"));
    }
    let removed = rest.targets.remove_dead_letters(query.ids).await?;
    tracing::info!(removed, "dead letters were removed on request");
    Ok(Answer::of(Removed { removed }))
}

/// Gives dead letters to their targets once more: those with these ids, or all of one target, or all.
#[utoipa::path(post, path = "/v1/events/dead-letters/replay", tag = "events", params(
    ("id" = Vec<u64>, Query, description = "Which; none = all"),
    ("target" = Option<String>, Query, description = "Only those of this target")), responses(
    (status = 200, description = "How many were taken, and how many not", body = Replayed),
    (status = 400, description = "An unknown, repeated or malformed parameter", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError),
    (status = 503, description = "The store has failed", body = RestError)))]
pub(super) async fn replay(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Replayed>>, RestError> {
    rights.everything()?;
    let query = Meant::parse(query.as_deref().unwrap_or_default(), &["id", "target"])?;
    let ids = (!query.ids.is_empty()).then_some(query.ids);
    // A client that leaves does not cut off what is under way.
    let targets = rest.targets.clone();
    let replay = tokio::spawn(async move {
        targets
            .replay(ids.as_deref(), query.target.as_deref())
            .await
    });
    let replayed = replay
        .await
        .map_err(|_panicked| RestError::new(500, "The replay ended abruptly"))??;
    let (delivered, failed) = (replayed.delivered, replayed.failed);
    tracing::info!(
        delivered,
        failed,
        "dead letters were tried again on request"
    );
    Ok(Answer::of(Replayed { delivered, failed }))
}

fn shown(letter: &DeadLetter, event: Option<Event>) -> Letter {
    let time = i64::try_from(letter.died_ms).unwrap_or_default();
    let time = jiff::Timestamp::from_millisecond(time).unwrap_or_default();
    let json = event.and_then(|event| String::from_utf8(event.json.to_vec()).ok());
    Letter {
        id: letter.id,
        target: letter.target.to_string(),
        reason: letter.reason.clone(),
        attempts: letter.attempts,
        time: format!("{time:.3}"),
        event: json.and_then(|json| RawValue::from_string(json).ok()),
    }
}

impl From<StoreError> for RestError {
    fn from(_: StoreError) -> Self {
        Self::new(503, "The message store has failed or is stopping")
    }
}

/// The meaning of a query.
#[derive(Debug, Default, PartialEq)]
struct Meant {
    ids: Vec<u64>,
    target: Option<String>,
    after: u64,
    limit: Option<usize>,
    without_event: bool,
}

impl Meant {
    /// Takes these parameters and no others: a misspelt one would mean more than was meant.
    fn parse(query: &str, known: &[&str]) -> Result<Self, RestError> {
        let mut meant = Self::default();
        let mut seen = Vec::new();
        for (name, value) in raw_parameters(query) {
            if !known.contains(&name) {
                let expected = format!("expected only {}", known.join(" and "));
                return Err(RestError::bad_request(expected));
            }
            if name != "id" && seen.contains(&name) {
                return Err(RestError::bad_request(format!("{name} is given twice")));
            }
            seen.push(name);
            let wrong = || RestError::bad_request(format!("Invalid {name}"));
            match name {
                "id" if meant.ids.len() == IDS_MAX => {
                    return Err(RestError::bad_request("at most 1000 ids"));
                }
                "id" => meant.ids.push(value.parse().map_err(|_| wrong())?),
                "after" => meant.after = value.parse().map_err(|_| wrong())?,
                "limit" => meant.limit = Some(value.parse().map_err(|_| wrong())?),
                "event" if value == "none" => meant.without_event = true,
                "event" => return Err(wrong()),
                _ => {
                    let text = decode_parameter(value).map_err(|_| wrong())?;
                    meant.target = Some(text.to_string());
                }
            }
        }
        Ok(meant)
    }
}

const IDS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_request_names_something() {
        let all = &["id", "target", "after", "limit", "event"];
        let meant = Meant::parse("id=3&id=4&target=a%2Eb&after=7&limit=5&event=none", all).ok();
        let expected = Meant {
            ids: vec![3, 4],
            target: Some("a.b".to_owned()),
            after: 7,
            limit: Some(5),
            without_event: true,
        };
        assert_eq!(meant, Some(expected));
        for wrong in [
            "ids=3",
            "id=",
            "id=x",
            "id=-1",
            "target=a&target=b",
            "after=1&after=2",
            "limit=%31",
            "event=all",
        ] {
            assert!(Meant::parse(wrong, all).is_err(), "{wrong}");
        }
        assert!(Meant::parse("target=a", &["id"]).is_err());
    }
}
