//! Sending a message: `POST /send-message`.
//!
//! In: a message of any sender. Out: its outcome, or that the outcome is not known. Invariants: a
//! request is cut for its slowness only before its message has gone to the hub; from then on the
//! answer names the message.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use tidewire::http::read_body_counted;
use tidewire_dialect::{Classic, Dialect as _};
use tidewire_hub::{Accepted, ApiError, Command, UserId};

use super::{
    Rest, RestError,
    error::SendError,
    handlers::Answer,
    idempotency::{Begun, Submission},
    ids::{Id, Ids},
    media_type,
    rights::Rights,
    schema,
};

/// What became of a message.
#[derive(Serialize)]
struct Sent {
    id: String,
    refused: Vec<RefusedRecipient>,
}

#[derive(Serialize)]
struct RefusedRecipient {
    code: &'static str,
    recipient: Id,
}

/// The answer when the store has not answered.
#[derive(Serialize)]
struct Unknown {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<UnknownData>,
    message: &'static str,
    status: u16,
    success: bool,
}

#[derive(Serialize)]
struct UnknownData {
    id: String,
}

/// Sends a message as any sender, 0 included. 202: it is on disk for every recipient but those
/// in `refused`; a live-only message was passed on to who is connected.
#[utoipa::path(post, path = "/send-message", tag = "messages", request_body = schema::Payload,
    params(
        ("ids" = Option<String>, Query, description = "strings: every id in the answer is a JSON string; default numbers"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; a repeated request with the same key and body gets the answer of the first, and sends nothing")),
    responses(
    (status = 202, description = "Accepted: stored durably for every recipient but those refused", body = schema::SentAnswer),
    (status = 400, description = "Wrong content type, key or payload; the message says what was expected", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The sender is another user than that of the credentials, or they allow messages to none of the recipients", body = RestError),
    (status = 408, description = "The body arrived too slowly; nothing was sent", body = RestError),
    (status = 413, description = "Body too large", body = RestError),
    (status = 415, description = "The body is compressed, or its charset is not UTF-8", body = RestError),
    (status = 422, description = "The Idempotency-Key was used for another body", body = RestError),
    (status = 429, description = "No recipient's mailbox has room", body = RestError),
    (status = 503, description = "The store is full or has failed, or the server is busy or stopping", body = RestError),
    (status = 504, description = "The outcome is not known: the message may be accepted yet", body = schema::UnknownAnswer)))]
pub(super) async fn send_message(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, RestError> {
    let ids = Ids::of(query.as_deref())?;
    media_type::check(request.headers())?;
    let key = idempotency_key(request.headers())?;
    let mut held = rest.telemetry.memory().account().reserve();
    let body = read_body_counted(request.into_body(), rest.body, &mut held).await?;
    // Some libraries mark UTF-8 in front; readers of JSON may pass over that (RFC 8259 section 8.1).
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&body);
    let submission = match &key {
        None => {
            let submission = Submission::new();
            submit(&rest, &rights, body, &submission, None);
            submission
        }
        Some(key) => match rest.idempotency.begin(key, body) {
            Begun::First(submission) => {
                submit(&rest, &rights, body, &submission, Some(key.clone()));
                submission
            }
            Begun::Repeated(submission) => submission,
            Begun::OtherBody => return Err(RestError::new(422, OTHER_BODY)),
            Begun::TooMany => return Err(RestError::new(503, TOO_MANY)),
        },
    };
    match submission.outcome(rest.answer_timeout).await {
        Some(outcome) => Ok(answer(outcome?, ids)),
        None => Ok(unknown(&submission)),
    }
}

fn submit(
    rest: &Rest,
    rights: &Rights,
    body: &[u8],
    submission: &Arc<Submission>,
    key: Option<String>,
) {
    let idempotency = Arc::clone(&rest.idempotency);
    let finished = Arc::clone(submission);
    let draft = match Classic::decode(body, &UserId::BOT, rest.hub.settings()) {
        Ok(Command::Publish(draft)) => draft,
        Ok(Command::Refuse { refusal, .. }) => {
            rest.hub.count_refused(refusal);
            return submission.finish(Err(SendError::BeyondBounds(refusal)));
        }
        Ok(_) => return, // this dialect has no other commands
        Err(error) => {
            rest.hub.count_invalid();
            return submission.finish(Err(error.into()));
        }
    };
    if rights.for_user(&draft.sender).is_err() {
        return submission.finish(Err(SendError::ForeignSender));
    }
    let id = rest.hub.submit_api_within(
        draft,
        rights.send_to(),
        Box::new(move |outcome| {
            // The client may have gone; the message is accepted all the same.
            if let Some(key) = key
                && matches!(outcome, Err(ApiError::Refused(_)))
            {
                idempotency.forget(&key, &finished);
            }
            finished.finish(outcome.map_err(SendError::from));
        }),
    );
    if let Some(id) = id {
        submission.id.get_or_init(|| id);
    }
}

fn answer(accepted: Accepted, ids: Ids) -> Response {
    let refused = accepted
        .refused
        .into_iter()
        .map(|refused| RefusedRecipient {
            code: refused.refusal.code(),
            recipient: ids.id(refused.recipient),
        });
    let sent = Sent {
        id: accepted.id.to_string(),
        refused: refused.collect(),
    };
    (StatusCode::ACCEPTED, Answer::of(sent)).into_response()
}

fn unknown(submission: &Submission) -> Response {
    let data = submission
        .id
        .get()
        .map(|id| UnknownData { id: id.to_string() });
    let body = Unknown {
        data,
        message: "the outcome is not known: the message may be accepted yet",
        status: 504,
        success: false,
    };
    (StatusCode::GATEWAY_TIMEOUT, Json(body)).into_response()
}

/// The value of `Idempotency-Key`, if there is one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, RestError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if values.next().is_some() || text.is_empty() || text.len() > KEY_LEN_MAX || !is_visible {
        return Err(RestError::bad_request(
            "Idempotency-Key must be one value of 1 to 255 visible ASCII characters",
        ));
    }
    Ok(Some(text.to_owned()))
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const KEY_LEN_MAX: usize = 255;
const OTHER_BODY: &str = "this Idempotency-Key was used for another body";
const TOO_MANY: &str = "too many requests with an Idempotency-Key are under way, try again";
