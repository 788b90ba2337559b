//! A token that comes as the first message of a WebSocket, from pages that can send it nowhere else.
//!
//! In: an open connection without credentials, and `{"type":"authenticate","token":"..."}`. Out: a session, or a close
//! frame. Invariants: nothing but this one message is read before there is a session; it has to come within a time, and
//! is bounded in size; what it says is logged nowhere.

use std::time::Duration;

use serde::Deserialize;
use tidewire::ws::{Message, Request, WebSocket};
use tidewire_auth::{Secret, TOKEN_BYTES_MAX};
use tidewire_dialect::Dialect;

use super::{Chat, close};
use crate::shaping::{CloseReason, Tally};

/// The time that a client has for its token.
const WITHIN: Duration = Duration::from_secs(10);
/// The token with the words around it.
const BYTES_MAX: usize = TOKEN_BYTES_MAX + 1024;

#[derive(Deserialize)]
struct Authenticate {
    #[serde(rename = "type")]
    kind: String,
    token: Secret,
}

/// Waits for the token, and serves whomever it stands for.
pub(super) async fn serve<D: Dialect>(
    chat: Chat<D>,
    mut socket: WebSocket,
    request: Request,
    mut tally: Tally,
) {
    let received = tokio::time::timeout(WITHIN, socket.recv()).await;
    let token = match &received {
        Ok(Ok(Some(message))) => token(message),
        Ok(ended) => {
            let otherwise = match ended {
                Err(error) => CloseReason::of_error(error),
                Ok(_) => CloseReason::Client,
            };
            drop(received);
            tally.note(match socket.started_close() {
                Some(ours) => CloseReason::of_close(&ours),
                None => otherwise,
            });
            return;
        }
        Err(_elapsed) => None,
    };
    drop(received);
    let checked = match &token {
        None => Err(chat.admission.no_credentials::<D>(&request)),
        Some(token) => {
            let token = token.expose().as_bytes();
            let admission = &chat.admission;
            admission.check_first_message::<D>(&request, token).await
        }
    };
    drop(token);
    match checked {
        Ok(identity) => chat.serve_as(socket, &request, identity, tally).await,
        Err(refused) => {
            tally.note(refused.reason);
            close(socket, refused.close, tally).await;
        }
    }
}

fn token(message: &Message) -> Option<Secret> {
    let payload = match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
    };
    if payload.len() > BYTES_MAX {
        return None;
    }
    let read: Authenticate = serde_json::from_slice(payload).ok()?;
    (read.kind == "authenticate" && !read.token.is_empty()).then_some(read.token)
}
