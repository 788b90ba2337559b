//! Users who may not connect: `GET`, `POST` and `DELETE /blocks`.
//!
//! In: a user, perhaps for how long and why. Out: the block. Invariant: when a block is answered it is on disk, and the user's
//! sessions have been told to end.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::StatusCode,
};
use jiff::SignedDuration;
use serde::Serialize;
use tidewire_hub::{Dismissal, DismissalCause, UserId};
use tidewire_table::parse_duration;
use tokio::task::spawn_blocking;

use super::{
    Rest, RestError,
    handlers::Answer,
    ids::{Id, Ids},
    parameters::Parameters,
    rights::Rights,
    schema,
};
use crate::shaping::{Block, BlockError};

/// A block.
#[derive(Serialize)]
pub(super) struct Shown {
    reason: Arc<str>,
    since: String,
    /// `null`: until it is lifted.
    until: Option<String>,
    user: Id,
}

#[derive(Serialize)]
pub(super) struct Blocked {
    block: Shown,
    disconnected: usize,
}

#[derive(Serialize)]
pub(super) struct Lifted {
    lifted: bool,
}

impl Shown {
    fn of(user: UserId, block: Block, ids: Ids) -> Self {
        Self {
            reason: block.reason,
            since: block.since.to_string(),
            until: block.until.map(|until| until.to_string()),
            user: ids.id(user),
        }
    }
}

/// All users who are blocked now.
#[utoipa::path(get, path = "/blocks", tag = "sessions", params(
    ("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers")), responses(
    (status = 200, description = "All blocks that are not over", body = schema::BlocksAnswer),
    (status = 400, description = "An unknown or repeated parameter, or an invalid value", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError)))]
pub(super) async fn blocks(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Vec<Shown>>>, RestError> {
    rights.everything()?;
    Parameters::of(query.as_deref(), &["ids"])?;
    let ids = Ids::of(query.as_deref())?;
    let blocks = rest.shaping.blocks.all().into_iter();
    let shown = blocks.map(|(user, block)| Shown::of(user, block, ids));
    Ok(Answer::of(shown.collect()))
}

/// Blocks a user: sessions are closed with 4403 and the reason, new ones are refused the same way, until the time is over or the
/// block is lifted, also after a restart. A block that there is already is replaced. Waiting messages stay.
#[utoipa::path(post, path = "/blocks", tag = "sessions", params(
    ("user" = String, Query, description = "Who is blocked"),
    ("for" = Option<String>, Query, description = "For how long, such as 90s, 30m, 12h or 7d; default: until it is lifted"),
    ("reason" = Option<String>, Query, description = "At most 123 bytes for the client; default: blocked by the operator"),
    ("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers")), responses(
    (status = 201, description = "The block, and how many sessions were ended", body = schema::BlockedAnswer),
    (status = 400, description = "User required, an unknown or repeated parameter, or an invalid value", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError),
    (status = 409, description = "As many users are blocked as may be", body = RestError),
    (status = 503, description = "The list could not be written: nothing has changed", body = RestError)))]
pub(super) async fn block(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<(StatusCode, Json<Answer<Blocked>>), RestError> {
    rights.everything()?;
    let query = query.as_deref();
    let parameters = Parameters::of(query, &["user", "for", "reason", "ids"])?;
    let ids = Ids::of(query)?;
    let user = parameters.user("user")?;
    let user = user.ok_or_else(|| RestError::bad_request("user required"))?;
    let length = match parameters.text("for")? {
        None => None,
        Some(text) => Some(length(&text).ok_or_else(|| {
            RestError::bad_request("Invalid for: expected a time such as 90s, 30m, 12h or 7d")
        })?),
    };
    let reason = parameters.reason()?.filter(|reason| !reason.is_empty());
    let reason = reason.unwrap_or_else(|| BLOCKED.to_owned());
    let block = {
        let (rest, user) = (rest.clone(), user.clone());
        let made = move || {
            let blocks = &rest.shaping.blocks;
            blocks.block(&user, length, &reason, rest.blocked_users_max)
        };
        written(made).await?
    };
    let dismissal = Dismissal {
        cause: DismissalCause::Blocked,
        code: None,
        reason: Arc::clone(&block.reason),
    };
    let disconnected = rest.hub.dismiss_user(&user, &dismissal);
    tracing::info!(%user, disconnected, "a user was blocked on request");
    let block = Shown::of(user, block, ids);
    Ok((
        StatusCode::CREATED,
        Answer::of(Blocked {
            block,
            disconnected,
        }),
    ))
}

/// Lifts the block of a user.
#[utoipa::path(delete, path = "/blocks", tag = "sessions", params(
    ("user" = String, Query, description = "Who may connect again")), responses(
    (status = 200, description = "Whether the user was blocked", body = schema::LiftedAnswer),
    (status = 400, description = "User required, an unknown or repeated parameter, or an invalid value", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError),
    (status = 503, description = "The list could not be written: nothing has changed", body = RestError)))]
pub(super) async fn lift(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Lifted>>, RestError> {
    rights.everything()?;
    let parameters = Parameters::of(query.as_deref(), &["user"])?;
    let user = parameters.user("user")?;
    let user = user.ok_or_else(|| RestError::bad_request("user required"))?;
    let lifted = {
        let user = user.clone();
        written(move || rest.shaping.blocks.lift(&user)).await?
    };
    tracing::info!(%user, lifted, "the block of a user was lifted on request");
    Ok(Answer::of(Lifted { lifted }))
}

/// Does what writes a file, on a thread that may wait. It is done also when the client has gone.
async fn written<T: Send + 'static>(
    change: impl FnOnce() -> Result<T, BlockError> + Send + 'static,
) -> Result<T, RestError> {
    match spawn_blocking(change).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error @ BlockError::TooMany)) => Err(RestError::new(409, error.to_string())),
        Ok(Err(error @ BlockError::Io(_))) => {
            tracing::error!(error = %tidewire::ErrorChain(&error), "the list of blocked users could not be written");
            Err(RestError::new(503, error.to_string()))
        }
        Err(_panicked) => Err(RestError::new(500, "internal error")),
    }
}

fn length(text: &str) -> Option<SignedDuration> {
    let length = parse_duration(text)?;
    SignedDuration::try_from(length)
        .ok()
        .filter(SignedDuration::is_positive)
}

const BLOCKED: &str = "blocked by the operator";
