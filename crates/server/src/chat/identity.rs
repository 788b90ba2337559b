//! `?id=` → user (S-02, S-05); `&receipts=` and `&ids=` → how this connection wants to be spoken to.
//!
//! A parameter's name is case-insensitive, the first one counts, others are ignored, and values are decoded as browsers
//! encode forms (`docs/ids.md`). Numbers of old clients are what they always were.

use std::{sync::Arc, time::SystemTime};

use tidewire_auth::{Identity, first_parameter};
use tidewire_hub::{Connect, UserId};
use tokio::time::Instant;

/// The wishes of a request.
#[derive(Debug)]
pub(super) struct Asked {
    /// Of the hub.
    pub(super) connect: Connect,
    /// Every id is to be written as a JSON string.
    pub(super) string_ids: bool,
}

/// A request from which no session begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestError {
    /// It names no user, or something in it is not understood; in words.
    Invalid(String),
    /// The credentials are another user's.
    ForeignUser,
}

impl From<String> for RequestError {
    fn from(text: String) -> Self {
        Self::Invalid(text)
    }
}

/// The user a connection claims to be, and its options. Credentials that are bound to a user are good for no other.
pub(super) fn read(query: Option<&str>, identity: Arc<Identity>) -> Result<Asked, RequestError> {
    let user = match bound_user(query, &identity) {
        Some(user) => user,
        None => user(query)?,
    };
    if identity
        .user()
        .is_some_and(|bound| bound.parse().as_ref() != Ok(&user))
    {
        return Err(RequestError::ForeignUser);
    }
    let query = query.unwrap_or_default();
    let receipts = option(query, "receipts", "0", "1")?;
    let string_ids = option(query, "ids", "numbers", "strings")?;
    Ok(Asked {
        connect: Connect {
            user,
            identity,
            receipts,
            address: None,
        },
        string_ids,
    })
}

/// When a session that begins now has to end for its credentials.
pub(super) fn expiry(identity: &Identity, now: Instant) -> Option<Instant> {
    let left = identity.expires()?.duration_since(SystemTime::now());
    now.checked_add(left.unwrap_or_default())
}

/// The user of the credentials, where the query names none.
fn bound_user(query: Option<&str>, identity: &Identity) -> Option<UserId> {
    let named = first_parameter(query.unwrap_or_default(), "id");
    identity
        .user()
        .filter(|_| named.is_none())
        .and_then(|bound| bound.parse().ok())
}

/// Returns whether an option has its second value; the first is the default.
fn option(query: &str, name: &str, first: &str, second: &str) -> Result<bool, String> {
    match first_parameter(query, name) {
        None => Ok(false),
        Some(value) if value == first => Ok(false),
        Some(value) if value == second => Ok(true),
        Some(value) => Err(format!(
            "Passed invalid {name}: {name}={value}. Expected {first} or {second}"
        )),
    }
}

fn user(query: Option<&str>) -> Result<UserId, String> {
    let value = first_parameter(query.unwrap_or_default(), "id").filter(|value| !value.is_empty());
    let value = value.ok_or("Id required in query parameter: ?id={id}")?;
    UserId::from_query(value).map_err(|error| {
        let reason = sentence(&error.to_string());
        format!("Passed invalid id: id={value}. {reason}")
    })
}

/// Begins with a capital letter, as it stands behind a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use tidewire_dialect::{Classic, Dialect as _, Ending};

    use super::*;

    /// As the classic dialect closes the connection.
    fn check(query: Option<&str>) -> Result<String, String> {
        let told = |text: String| {
            let close = Classic::close(&Ending::Request(&text));
            format!("{} {}", close.code, close.reason)
        };
        user(query).map(|user| user.to_string()).map_err(told)
    }

    /// Parity: S-02.
    #[test]
    fn the_first_id_of_any_case_counts() {
        for (query, user) in [
            ("id=42", "42"),
            ("a=1&ID=7&id=8", "7"),
            ("id=bob", "bob"),
            ("id=J%C3%B6rg%20K", "Jörg K"),
            ("id=J%C3%B6rg+K", "Jörg K"),
            ("id=Jo%CC%88rg+K", "Jörg K"),
            ("id=%2B491511234567", "+491511234567"),
            ("id=123456789012345678901", "123456789012345678901"),
            ("id=007", "007"),
            ("id=1e3", "1e3"),
            ("id=-1", "-1"),
            ("id=0", "0"),
        ] {
            assert_eq!(check(Some(query)).as_deref(), Ok(user), "{query}");
        }
    }

    #[test]
    fn receipts_are_for_who_asks_and_a_wrong_value_is_told() {
        for (query, receipts) in [
            ("id=1", false),
            ("id=1&receipts=0", false),
            ("receipts=1&id=1", true),
            ("id=1&RECEIPTS=1&receipts=0", true),
            ("id=receipts", false),
        ] {
            let asked = read(Some(query), Arc::new(Identity::of_group())).unwrap();
            assert_eq!(asked.connect.receipts, receipts, "{query}");
        }
        for value in ["", "yes", "2", "1%20"] {
            let query = format!("id=1&receipts={value}");
            let error = read(Some(&query), Arc::new(Identity::of_group())).unwrap_err();
            let reason = format!("Passed invalid receipts: receipts={value}. Expected 0 or 1");
            assert_eq!(Classic::close(&Ending::Request(&reason)).code, 4000);
            assert_eq!(error, RequestError::Invalid(reason));
        }
    }

    #[test]
    fn ids_are_strings_for_who_asks_and_a_wrong_value_is_told() {
        for (query, strings) in [
            ("id=1", false),
            ("id=1&ids=numbers", false),
            ("ids=strings&id=1", true),
            ("id=1&Ids=strings&ids=numbers", true),
        ] {
            let asked = read(Some(query), Arc::new(Identity::of_group())).unwrap();
            assert_eq!(asked.string_ids, strings, "{query}");
        }
        for value in ["", "Strings", "string", "1"] {
            let query = format!("id=1&ids={value}");
            let error = read(Some(&query), Arc::new(Identity::of_group())).unwrap_err();
            let reason = format!("Passed invalid ids: ids={value}. Expected numbers or strings");
            assert_eq!(error, RequestError::Invalid(reason));
        }
    }

    #[test]
    fn credentials_of_one_user_are_good_for_no_other() {
        let bound = |user: &str| Arc::new(Identity::of_group().with_user(user));
        for user in ["42", "bob"] {
            let asked = read(Some(&format!("id={user}")), bound(user)).unwrap();
            assert_eq!(asked.connect.user.to_string(), user);
            assert_eq!(asked.connect.identity.user(), Some(user));
        }
        for (query, user) in [("id=43", "42"), ("id=0", "42"), ("id=Bob", "bob")] {
            let end = read(Some(query), bound(user)).unwrap_err();
            assert_eq!(end, RequestError::ForeignUser);
        }
    }

    /// Parity: S-05.
    #[test]
    fn what_is_no_id_is_answered_with_4000() {
        for query in [
            None,
            Some(""),
            Some("x=1"),
            Some("id="),
            Some("id"),
            Some("id=&id=1"),
            Some("identity=1"),
        ] {
            assert_eq!(
                check(query).unwrap_err(),
                "4000 Id required in query parameter: ?id={id}",
                "{query:?}"
            );
        }
        for value in ["+49", "%2042", "%", "%00", "%ff", "%2", &"a".repeat(200)] {
            let error = check(Some(&format!("id={value}"))).unwrap_err();
            assert!(
                error.starts_with(&format!(
                    "4000 Passed invalid id: id={}",
                    value.chars().take(80).collect::<String>()
                )),
                "{error}"
            );
            assert!(error.len() <= 5 + 123);
        }
    }
}
