//! A token that comes as the first message of a WebSocket, from pages that can send it nowhere else.
//!
//! In: an open connection without credentials, and `{"type":"authenticate","token":"..."}`. Out: a session, or a close
//! frame. Invariants: nothing but this one message is read before there is a session; it has to come within a time, and
//! is bounded in size; what it says is logged nowhere.

use std::time::Duration;

use serde::Deserialize;
use tidewire::ws::{Message, Request, WebSocket};
use tidewire_auth::{Denied, Secret, TOKEN_BYTES_MAX};
use tidewire_dialect::Dialect;

use super::{Chat, close};
use crate::credentials::UpgradeHeaders;

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
pub(super) async fn serve<D: Dialect>(chat: Chat<D>, mut socket: WebSocket, request: Request) {
    let received = tokio::time::timeout(WITHIN, socket.recv()).await;
    let token = match &received {
        Ok(Ok(Some(message))) => token(message),
        // The connection has ended.
        Ok(Ok(None) | Err(_)) => return,
        Err(_elapsed) => None,
    };
    drop(received);
    let checked = match &token {
        None => Err(Denied::Missing),
        Some(token) => {
            let headers = UpgradeHeaders::of(&request);
            let headers = headers.with_first_message(token.expose().as_bytes());
            chat.access.auth.check(&headers).await
        }
    };
    drop(token);
    match checked {
        Ok(identity) => chat.serve_as(socket, &request, identity).await,
        Err(denied) => close(socket, chat.deny(&request, denied)).await,
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
