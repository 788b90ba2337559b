//! Mailboxes: `GET /v1/mailboxes`, `GET /v1/mailboxes/messages`.
//!
//! In: a user, or where a page begins. Out: how much waits for whom; of the messages of one user their ids, senders, types
//! and sizes. Invariant: no text or data of a message is told.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use tidewire_engine::MailboxQuery;
use tidewire_hub::{Refusal, UserId, WaitingPage, mailbox_user};
use tokio::sync::oneshot;

use super::{
    Rest, RestError,
    handlers::Answer,
    ids::{Id, Ids},
    parameters::Parameters,
    rights::Rights,
    schema,
};

/// A mailbox with something in it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct MailboxData {
    /// Bytes of the bodies of its messages.
    bytes: u64,
    /// Time until the next one expires, if it is not confirmed before.
    expires_in_seconds: u64,
    messages: u64,
    #[schema(value_type = schema::Id)]
    user: Id,
}

/// A page of mailboxes.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Mailboxes {
    mailboxes: Vec<MailboxData>,
    /// `after` of the next page; null behind the last one.
    #[schema(example = "1796000000000.42")]
    next: Option<String>,
}

/// A message that waits.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct WaitingData {
    /// Size of what is kept of it.
    bytes: u64,
    #[schema(example = "5A32EA72-38F4D5DC-3541-00000008")]
    id: String,
    /// Its place in the mailbox.
    offset: u64,
    #[schema(value_type = schema::Id)]
    sender: Id,
    /// When it was accepted.
    #[schema(example = "2026-11-27T22:53:30Z")]
    time: String,
    #[schema(example = "text")]
    r#type: String,
}

/// Messages that wait, oldest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct WaitingMessages {
    /// Go on with `after` = the last `offset` until there are none.
    messages: Vec<WaitingData>,
}

/// How much waits for whom: the mailboxes with something in them, in the order in which their next message expires, so that the one
/// that is nearest to losing a message comes first; or that of one user.
#[utoipa::path(get, path = "/v1/mailboxes", tag = "mailboxes", params(
    ("user" = Option<String>, Query, description = "Only this user's; excludes the others"),
    ("after" = Option<String>, Query, description = "`next` of the page before"),
    ("limit" = Option<u16>, Query, description = "Most mailboxes of an answer, 1 to 1000; default 100"),
    ("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers")), responses(
    (status = 200, description = "The mailboxes; none of a user for whom nothing waits", body = Mailboxes),
    (status = 400, description = "An unknown or repeated parameter, or an invalid value", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are those of one user, who is no administrator", body = RestError),
    (status = 503, description = "The server is busy or stopping, or the store has failed", body = RestError)))]
pub(super) async fn mailboxes(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Mailboxes>>, RestError> {
    let query = query.as_deref();
    let parameters = Parameters::of(query, &["user", "after", "limit", "ids"])?;
    let ids = Ids::of(query)?;
    let count = parameters.limit(LIMIT, LIMIT_MAX)?;
    let after = parameters.text("after")?;
    let asked = if let Some(user) = parameters.user("user")? {
        rights.for_user(&user)?;
        MailboxQuery::Of(user.mailbox_key())
    } else {
        rights.everything()?;
        let after = after.as_deref().map(cursor).transpose()?;
        MailboxQuery::Page { after, count }
    };
    let (send, receive) = oneshot::channel();
    // Who does not wait any more does not get the answer.
    rest.hub
        .mailboxes(asked, Box::new(|answer| drop(send.send(answer))))?;
    let page = receive.await.unwrap_or(Err(Refusal::StoreFailed))?;
    let shown = page.mailboxes.iter().filter_map(|info| {
        Some(MailboxData {
            bytes: info.bytes,
            expires_in_seconds: info.expires_in_ms / 1000,
            messages: info.messages,
            user: ids.id(mailbox_user(info)?),
        })
    });
    Ok(Answer::of(Mailboxes {
        mailboxes: shown.collect(),
        next: page.next.map(|(due, user)| format!("{due}.{user}")),
    }))
}

/// The messages that wait for a user, oldest first, without their texts and data. A page has at most 1 MiB of messages.
#[utoipa::path(get, path = "/v1/mailboxes/messages", tag = "mailboxes", params(
    ("user" = String, Query, description = "Whose mailbox"),
    ("after" = Option<u64>, Query, description = "Only messages with a greater offset; default 0"),
    ("limit" = Option<u16>, Query, description = "Most messages of an answer, 1 to 1000; default 100"),
    ("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers")), responses(
    (status = 200, description = "The messages", body = WaitingMessages),
    (status = 400, description = "User required, an unknown or repeated parameter, or an invalid value", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The credentials are another user's", body = RestError),
    (status = 503, description = "The server is busy or stopping, or the store has failed", body = RestError)))]
pub(super) async fn messages(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<WaitingMessages>>, RestError> {
    let query = query.as_deref();
    let parameters = Parameters::of(query, &["user", "after", "limit", "ids"])?;
    let ids = Ids::of(query)?;
    let count = parameters.limit(LIMIT, LIMIT_MAX)?;
    let after = parameters.number::<u64>("after")?.unwrap_or_default();
    let user = parameters.user("user")?;
    let user: UserId = user.ok_or_else(|| RestError::bad_request("user required"))?;
    rights.for_user(&user)?;
    let page = waiting(&rest, &user, after, count).await?;
    let shown = page.messages.into_iter().map(|message| {
        let time = jiff::Timestamp::from_second(message.id.unix_seconds());
        WaitingData {
            bytes: message.bytes,
            id: message.id.to_string(),
            offset: message.offset,
            sender: ids.id(message.sender),
            time: time.unwrap_or_default().to_string(),
            r#type: message.kind,
        }
    });
    Ok(Answer::of(WaitingMessages {
        messages: shown.collect(),
    }))
}

/// A page of what waits for a user.
pub(super) async fn waiting(
    rest: &Rest,
    user: &UserId,
    after: u64,
    count: usize,
) -> Result<WaitingPage, RestError> {
    let (send, receive) = oneshot::channel();
    // Who does not wait any more does not get the answer.
    let done = Box::new(|page| drop(send.send(page)));
    rest.hub.waiting(user, after, count, done)?;
    Ok(receive.await.unwrap_or(Err(Refusal::StoreFailed))?)
}

/// Where a page before has ended.
fn cursor(text: &str) -> Result<(u64, tidewire_engine::UserKey), RestError> {
    let parsed = text
        .split_once('.')
        .and_then(|(due, user)| Some((due.parse().ok()?, user.into())));
    parsed
        .ok_or_else(|| RestError::bad_request("Invalid after: expected `next` of the page before"))
}

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;
