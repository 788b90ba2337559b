//! Who is connected, and the end of sessions: `GET /sessions`, `DELETE /sessions`.
//!
//! In: a user or the number of a session. Out: a page of sessions, or how many were ended. Invariant: a session that was
//! ended is told the operator's code and words, whether its client reads or not.

use std::net::IpAddr;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use tidewire_hub::{Dismissal, DismissalCause, SessionInfo};

use super::{
    Rest, RestError,
    handlers::Answer,
    ids::{Id, Ids},
    parameters::Parameters,
    rights::Rights,
    schema,
};

/// A live session.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    session: u64,
    since: String,
    user: Id,
}

#[derive(Serialize)]
pub(super) struct Disconnected {
    disconnected: usize,
}

/// The live sessions of a user, or of all users in pages: at most `limit` with numbers above `after`, in the order in
/// which they began.
#[utoipa::path(get, path = "/sessions", tag = "sessions", params(
    ("user" = Option<String>, Query, description = "Only this user's, all of them"),
    ("after" = Option<u64>, Query, description = "Only sessions with greater numbers: the last one of the page before; default 0"),
    ("limit" = Option<u16>, Query, description = "Most sessions of an answer, 1 to 1000; default 100"),
    ("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers")), responses(
    (status = 200, description = "Sessions of this server", body = schema::SessionsAnswer),
    (status = 400, description = "An unknown or repeated parameter, or an invalid value", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of another user, who is no administrator", body = RestError)))]
pub(super) async fn sessions(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Vec<Shown>>>, RestError> {
    let query = query.as_deref();
    let parameters = Parameters::of(query, &["user", "after", "limit", "ids"])?;
    let ids = Ids::of(query)?;
    let limit = parameters.limit(LIMIT, LIMIT_MAX)?;
    let after = parameters.number::<u64>("after")?.unwrap_or_default();
    let found = if let Some(user) = parameters.user("user")? {
        rights.for_user(&user)?;
        rest.hub.sessions_of(&user)
    } else {
        rights.everything()?;
        rest.hub.sessions_page(after, limit)
    };
    let shown = found.into_iter().map(|session| shown(session, ids));
    Ok(Answer::of(shown.collect()))
}

fn shown(session: SessionInfo, ids: Ids) -> Shown {
    Shown {
        address: session.address,
        session: session.id,
        since: session.since.to_string(),
        user: ids.id(session.user),
    }
}

/// Ends sessions: of a user, or one by its number. Their clients are closed with `code` and `reason`; they may come
/// back, unless the user is blocked. Waiting messages stay.
#[utoipa::path(delete, path = "/sessions", tag = "sessions", params(
    ("user" = Option<String>, Query, description = "All sessions of this user; this or session is needed"),
    ("session" = Option<u64>, Query, description = "The session with this number"),
    ("code" = Option<u16>, Query, description = "Code of the close frame: 4000 to 4999, 1000, 1001, 1008, 1012 or 1013; default 4020"),
    ("reason" = Option<String>, Query, description = "At most 123 bytes for the client; default: disconnected by the operator")), responses(
    (status = 200, description = "How many sessions were ended", body = schema::DisconnectedAnswer),
    (status = 400, description = "Neither user nor session, or both, an unknown or repeated parameter, or an invalid value", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of another user, who is no administrator", body = RestError)))]
pub(super) async fn disconnect(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Disconnected>>, RestError> {
    let known = ["user", "session", "code", "reason"];
    let parameters = Parameters::of(query.as_deref(), &known)?;
    let code = parameters.number::<u16>("code")?;
    if code.is_some_and(|code| !is_sendable(code)) {
        return Err(RestError::bad_request(
            "Invalid code: expected 4000 to 4999, 1000, 1001, 1008, 1012 or 1013",
        ));
    }
    let reason = parameters.reason()?;
    let dismissal = Dismissal {
        cause: DismissalCause::Operator,
        code,
        reason: reason.as_deref().unwrap_or(DISCONNECTED).into(),
    };
    let user = parameters.user("user")?;
    match &user {
        Some(user) => rights.for_user(user)?,
        None => rights.everything()?,
    }
    let disconnected = match (user, parameters.number::<u64>("session")?) {
        (Some(user), None) => rest.hub.dismiss_user(&user, &dismissal),
        (None, Some(id)) => usize::from(rest.hub.dismiss_session(id, &dismissal)),
        (None, None) => return Err(RestError::bad_request("user or session required")),
        (Some(_), Some(_)) => {
            return Err(RestError::bad_request(
                "user and session exclude each other",
            ));
        }
    };
    tracing::info!(disconnected, "sessions were ended on request");
    Ok(Answer::of(Disconnected { disconnected }))
}

/// The codes that say something to an application (RFC 6455 section 7.4, and the registry).
fn is_sendable(code: u16) -> bool {
    matches!(code, 4000..=4999 | 1000 | 1001 | 1008 | 1012 | 1013)
}

const DISCONNECTED: &str = "disconnected by the operator";
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;
