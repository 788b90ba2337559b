//! `?id=` → user (S-02, S-05), `&receipts=` → what this connection wants to hear.
//!
//! A parameter's name is case-insensitive, the first one counts, others are ignored. The
//! id is percent-decoded, which changes nothing for the numbers of old clients.

use std::sync::Arc;

use tidewire_auth::Identity;
use tidewire_hub::{Connect, UserId};

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
pub(super) fn connect(
    query: Option<&str>,
    identity: Arc<Identity>,
) -> Result<Connect, RequestError> {
    let user = user(query)?;
    if identity
        .user()
        .is_some_and(|bound| bound.parse().as_ref() != Ok(&user))
    {
        return Err(RequestError::ForeignUser);
    }
    let receipts = match parameter(query.unwrap_or_default(), "receipts") {
        None | Some("0") => false,
        Some("1") => true,
        Some(other) => {
            let text = format!("Passed invalid receipts: receipts={other}. Expected 0 or 1");
            return Err(RequestError::Invalid(text));
        }
    };
    Ok(Connect {
        user,
        identity,
        receipts,
    })
}

fn user(query: Option<&str>) -> Result<UserId, String> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Err("Invalid request".to_owned());
    };
    let value = id_parameter(query)
        .filter(|value| !value.is_empty())
        .ok_or("Id required in query parameter: ?id={id}")?;
    let invalid =
        |reason: &dyn std::fmt::Display| format!("Passed invalid id: id={value}. {reason}");
    let decoded =
        percent_decode(value).ok_or_else(|| invalid(&"expected percent-encoded UTF-8"))?;
    UserId::from_query(&decoded).map_err(|error| invalid(&error))
}

/// The raw value of the first parameter named `id`.
pub(crate) fn id_parameter(query: &str) -> Option<&str> {
    parameter(query, "id")
}

/// The raw value of the first parameter of that name.
fn parameter<'a>(query: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value)
}

/// Decodes `%XX`; `None` when an escape is cut or the result is not UTF-8.
pub(crate) fn percent_decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
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
            let connect = connect(Some(query), Arc::new(Identity::of_group())).unwrap();
            assert_eq!(connect.receipts, receipts, "{query}");
        }
        for value in ["", "yes", "2", "1%20"] {
            let query = format!("id=1&receipts={value}");
            let error = connect(Some(&query), Arc::new(Identity::of_group())).unwrap_err();
            let reason = format!("Passed invalid receipts: receipts={value}. Expected 0 or 1");
            assert_eq!(Classic::close(&Ending::Request(&reason)).code, 4000);
            assert_eq!(error, RequestError::Invalid(reason));
        }
    }

    #[test]
    fn credentials_of_one_user_are_good_for_no_other() {
        let bound = |user: &str| Arc::new(Identity::of_group().with_user(user));
        for user in ["42", "bob"] {
            let connect = connect(Some(&format!("id={user}")), bound(user)).unwrap();
            assert_eq!(connect.user.to_string(), user);
            assert_eq!(connect.identity.user(), Some(user));
        }
        for (query, user) in [("id=43", "42"), ("id=0", "42"), ("id=Bob", "bob")] {
            let end = connect(Some(query), bound(user)).unwrap_err();
            assert_eq!(end, RequestError::ForeignUser);
        }
    }

    /// Parity: S-05.
    #[test]
    fn what_is_no_id_is_answered_with_4000() {
        assert_eq!(check(None).unwrap_err(), "4000 Invalid request");
        assert_eq!(check(Some("")).unwrap_err(), "4000 Invalid request");
        for query in ["x=1", "id=", "id", "identity=1"] {
            assert_eq!(
                check(Some(query)).unwrap_err(),
                "4000 Id required in query parameter: ?id={id}",
                "{query}"
            );
        }
        for value in [
            "99999999999999999999999",
            "-1",
            "042",
            "%",
            "%ff",
            "%2",
            &"a".repeat(200),
        ] {
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
