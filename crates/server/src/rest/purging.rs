//! Removing waiting messages: `DELETE /messages`.
//!
//! In: a recipient, a sender, or both. Out: how many messages left. Invariant: a request that does
//! not say exactly what it means removes nothing.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use tidewire_auth::raw_parameters;
use tidewire_hub::{PurgeSelection, Refusal, UserId};
use tokio::sync::oneshot;

use super::{Rest, RestError, handlers::Answer, rights::Rights, schema};

#[derive(Serialize)]
pub(super) struct Purged {
    removed: u64,
}

/// Removes the messages that wait for a user, that a user has sent, or that one has sent to the
/// other. Connections have what they were given already.
#[utoipa::path(delete, path = "/messages", tag = "messages", params(
    ("user" = Option<String>, Query, description = "Messages waiting for this user"),
    ("sender" = Option<String>, Query, description = "Messages sent by this user; at least one of the two is needed")), responses(
    (status = 200, description = "How many messages were removed", body = schema::PurgedAnswer),
    (status = 400, description = "Neither user nor sender, an unknown or repeated parameter, or an invalid id", body = RestError),
    (status = 401, description = "Unauthorized", body = RestError),
    (status = 403, description = "The messages are of other users than that of the credentials", body = RestError),
    (status = 503, description = "The server is busy or stopping, or the store has failed", body = RestError)))]
pub(super) async fn delete_messages(
    State(rest): State<Rest>,
    rights: Rights,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer<Purged>>, RestError> {
    let (user, sender) = parameters(query.as_deref().unwrap_or_default())?;
    // Of two users one has to be the caller: what he has sent, or what waits for him, is his.
    match (&user, &sender) {
        (Some(user), Some(sender)) if rights.for_user(user).is_err() => rights.for_user(sender)?,
        (Some(_), Some(_)) => {}
        (Some(one), None) | (None, Some(one)) => rights.for_user(one)?,
        (None, None) => rights.everything()?,
    }
    let selection = match (&user, &sender) {
        (Some(recipient), Some(sender)) => PurgeSelection::Between { recipient, sender },
        (Some(recipient), None) => PurgeSelection::Recipient(recipient),
        (None, Some(sender)) => PurgeSelection::Sender(sender),
        (None, None) => return Err(RestError::bad_request("user or sender required")),
    };
    let (done, purged) = oneshot::channel();
    let on_purged = Box::new(move |outcome| {
        // The client may have gone; the messages have left all the same.
        done.send(outcome).ok();
    });
    rest.hub.purge(selection, on_purged)?;
    let removed = purged.await.unwrap_or(Err(Refusal::StoreFailed))?;
    tracing::info!(removed, "waiting messages were removed on request");
    Ok(Answer::of(Purged { removed }))
}

/// `user` and `sender` of the query, each at most once and nothing else: a misspelt parameter
/// would remove more than was meant.
fn parameters(query: &str) -> Result<(Option<UserId>, Option<UserId>), RestError> {
    let (mut user, mut sender) = (None, None);
    for (name, value) in raw_parameters(query) {
        let place = match name {
            "user" => &mut user,
            "sender" => &mut sender,
            _ => return Err(RestError::bad_request("expected only user and sender")),
        };
        let id = UserId::from_query(value)
            .map_err(|error| RestError::bad_request(format!("Invalid {name}: {error}")))?;
        if place.replace(id).is_some() {
            return Err(RestError::bad_request(format!("{name} is given twice")));
        }
    }
    Ok((user, sender))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_request_names_something() {
        let id = |text: &str| Some(text.parse::<UserId>().unwrap());
        assert_eq!(parameters("user=7").ok(), Some((id("7"), None)));
        for both in ["sender=a%20b&user=7", "sender=a+b&user=7"] {
            assert_eq!(parameters(both).ok(), Some((id("7"), id("a b"))));
        }
        assert_eq!(parameters("user=042").ok(), Some((id("042"), None)));
        assert_eq!(parameters("").ok(), Some((None, None)));
        for wrong in [
            "user=",
            "user",
            "user=+42",
            "user=%FF",
            "user=1&user=2",
            "sendr=1&user=2",
            "User=1",
        ] {
            assert!(parameters(wrong).is_err(), "{wrong}");
        }
    }
}
