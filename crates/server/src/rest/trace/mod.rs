//! Why a user has not got a message: `GET /v1/trace/{id}`, `GET /v1/trace?user=`.
//!
//! In: a message, or a user. Out: what the hub remembers of it, and what the mailboxes say. Invariants: nothing is said to have
//! arrived without a proof; a caller who is bound to a user sees what concerns that user, and of other messages not even
//! that there are any; a question reads a bounded number of mailboxes.

mod report; // one message, as far as it is known
mod words; // the same in a sentence

use axum::{
    Json,
    extract::{Path, RawQuery, State, rejection::PathRejection},
};
use serde::Serialize;
use tidewire_hub::{MessageId, UserId};

pub(crate) use self::report::{MessageTrace, RecipientTrace, StepTrace};
use self::report::{Question, report};
use super::{
    Rest, RestError,
    handlers::Answer,
    ids::{Id, Ids},
    mailboxes::waiting,
    parameters::Parameters,
    rights::Rights,
    schema,
};

/// The newest messages of a user.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct UserTrace {
    /// Who was asked for.
    #[schema(value_type = schema::Id)]
    user: Id,
    /// His live sessions on this server.
    sessions: usize,
    /// Since when steps are remembered, at the most; null when `trace.enabled` is false.
    since: Option<String>,
    /// Messages sent by him or to him of which something happened last, the newest first.
    messages: Vec<MessageTrace>,
    /// Messages that wait in his mailbox, oldest first, also from before the last start.
    waiting: Vec<WaitingMessage>,
    /// More wait behind these.
    more_waiting: bool,
}

/// A message that waits in a mailbox.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct WaitingMessage {
    /// Its id.
    #[schema(example = "5A32EA72-38F4D5DC-3541-00000008")]
    id: String,
    /// Who has sent it.
    #[schema(value_type = schema::Id)]
    sender: Id,
    /// When it came, to the second.
    since: String,
}

/// Everything that is known of a message, recipient by recipient. Nothing is said to have arrived without a proof.
#[utoipa::path(get, path = "/v1/trace/{id}", tag = "trace", params(
    ("id" = String, Path, description = "The message's id, as answers and envelopes have it"),
    ("user" = Option<String>, Query, description = "Only this recipient. His mailbox is looked through, so that a message is found there of which nothing else is remembered, as after a restart"),
    ("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers")), responses(
    (status = 200, description = "What is known", body = MessageTrace),
    (status = 400, description = "An invalid id or user, or an unknown or repeated parameter", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 404, description = "Nothing is known of this message, or it does not concern the user of the credentials", body = RestError),
    (status = 503, description = "The store is busy or has failed", body = RestError)))]
pub(super) async fn of_message(
    State(rest): State<Rest>,
    rights: Rights,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<MessageTrace>>, RestError> {
    let parameters = Parameters::of(query.as_deref(), &["user", "ids"])?;
    let ids = Ids::of(query.as_deref())?;
    let id = id.map_err(|rejection| RestError::bad_request(format!("Invalid id: {rejection}")))?;
    let id: Result<MessageId, _> = id.parse();
    let id = id.map_err(|error| RestError::bad_request(format!("Invalid id: {error}")))?;
    let question = Question {
        id,
        only: parameters.user("user")?,
        seen_by: rights.bound_user(),
        looks_max: LOOKS_MAX,
    };
    let mut found = report(&rest, &question, ids).await?;
    // The mailbox of another user is not a bound caller's to look through.
    let wanted = match (&question.seen_by, &question.only) {
        (None, only) => only.clone(),
        (Some(own), None) => Some(own.clone()),
        (Some(own), Some(only)) => (own == only).then(|| own.clone()),
    };
    if found.as_ref().is_none_or(MessageTrace::names_nobody)
        && let Some(user) = wanted
        && let Some(waiting) = look_for(&rest, &user, id).await?
    {
        let found = found.get_or_insert_with(|| MessageTrace::stored_earlier(id, &waiting, ids));
        found.add_waiting(&rest, &user, ids);
    }
    found.map(Answer::of).ok_or_else(|| {
        RestError::new(
            404,
            "nothing is known of this message: it was never here, or nothing is remembered of it any more; \
             with ?user= the mailbox of a recipient is looked through",
        )
    })
}

/// The newest messages of a user with their states, and what waits in his mailbox.
#[utoipa::path(get, path = "/v1/trace", tag = "trace", params(
    ("user" = String, Query, description = "The user"),
    ("limit" = Option<u16>, Query, description = "Most messages of each list, 1 to 100; default 20"),
    ("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers")), responses(
    (status = 200, description = "What is known", body = UserTrace),
    (status = 400, description = "No user, an unknown or repeated parameter, or an invalid value", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are another user's", body = RestError),
    (status = 503, description = "The store is busy or has failed", body = RestError)))]
pub(super) async fn of_user(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<UserTrace>>, RestError> {
    let parameters = Parameters::of(query.as_deref(), &["user", "limit", "ids"])?;
    let ids = Ids::of(query.as_deref())?;
    let user = parameters.user("user")?;
    let user = user.ok_or_else(|| RestError::bad_request("user required"))?;
    rights.for_user(&user)?;
    let limit = parameters.limit(20, 100)?;
    // All that is remembered is looked through: some milliseconds.
    let (hub, of) = (rest.hub.clone(), user.clone());
    let found = tokio::task::spawn_blocking(move || hub.traced_of(&of, limit)).await;
    let found = found.map_err(|_panicked| RestError::new(500, "The search ended abruptly"))?;
    let mut messages = Vec::with_capacity(found.len());
    for id in found {
        let question = Question {
            id,
            only: Some(user.clone()),
            seen_by: rights.bound_user(),
            looks_max: 1,
        };
        messages.extend(report(&rest, &question, ids).await?);
    }
    let page = waiting(&rest, &user, 0, limit).await?;
    let shown = page.messages.into_iter().map(|message| WaitingMessage {
        id: message.id.to_string(),
        sender: ids.id(message.sender),
        since: words::second(message.id.unix_seconds()),
    });
    Ok(Answer::of(UserTrace {
        sessions: rest.hub.sessions_of(&user).len(),
        user: ids.id(user),
        since: rest.hub.traced_since().map(words::time),
        messages,
        waiting: shown.collect(),
        more_waiting: page.next.is_some(),
    }))
}

/// Looks a user's mailbox through for a message.
async fn look_for(
    rest: &Rest,
    user: &UserId,
    id: MessageId,
) -> Result<Option<tidewire_hub::Waiting>, RestError> {
    let mut after = 0;
    for _ in 0..PAGES_MAX {
        let page = waiting(rest, user, after, PAGE_LEN).await?;
        if let Some(found) = page.messages.into_iter().find(|message| message.id == id) {
            return Ok(Some(found));
        }
        let Some(next) = page.next else { break };
        after = next;
    }
    Ok(None)
}

/// Mailboxes that are looked into for the recipients of a message; of more recipients it is said that they were not.
const LOOKS_MAX: usize = 256;
/// A mailbox of this many pages and messages is looked through for one that is asked for.
const PAGES_MAX: usize = 100;
const PAGE_LEN: usize = 1000;
