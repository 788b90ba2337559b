//! `?id=` → user (SEEDS S-02, S-05).
//!
//! The parameter's name is case-insensitive, the first one counts, others are ignored. Its
//! value is percent-decoded, which changes nothing for the numbers of old clients.

use tidewire_hub::{End, UserId};

use super::code::INVALID_REQUEST;

/// The user a connection claims to be.
pub(super) fn user(query: Option<&str>) -> Result<UserId, End> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Err(End::new(INVALID_REQUEST, "Invalid request"));
    };
    let value = id_parameter(query)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| End::new(INVALID_REQUEST, "Id required in query parameter: ?id={id}"))?;
    let invalid = |reason: &dyn std::fmt::Display| {
        End::new(
            INVALID_REQUEST,
            format!("Passed invalid id: id={value}. {reason}"),
        )
    };
    let decoded =
        percent_decode(value).ok_or_else(|| invalid(&"expected percent-encoded UTF-8"))?;
    UserId::from_query(&decoded).map_err(|error| invalid(&error))
}

/// The raw value of the first parameter named `id`.
pub(crate) fn id_parameter(query: &str) -> Option<&str> {
    let mut pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .find(|(name, _)| name.eq_ignore_ascii_case("id"))
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
    use super::*;

    fn check(query: Option<&str>) -> Result<String, String> {
        user(query)
            .map(|user| user.to_string())
            .map_err(|end| format!("{} {}", end.code, end.reason))
    }

    #[test]
    fn s02_the_first_id_of_any_case_counts() {
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
    fn s05_what_is_no_id_is_answered_with_4000() {
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
