//! Who a user is: [`UserId`].
//!
//! In: the `id` query parameter, `sender` and `recipients` of envelopes. Out: the key of
//! every map of the hub, the key of a mailbox and a JSON value. Invariant: one user has one
//! form. The string `"42"` *is* the number 42; a string that merely looks like a number
//! (`042`, `-1`, `1.5`, `1e3`, digits beyond 64 bits) is refused, because clients that know
//! numeric ids only would mean a number by it and reach somebody else.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tidewire_engine::UserKey;

/// A user: an unsigned 64-bit number or a string of 1 to 128 bytes.
///
/// Numbers order before strings. Cloning copies no text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Repr);

impl UserId {
    /// The administrator ("bot"): never receives anything over a connection.
    pub const BOT: Self = Self(Repr::Number(0));

    /// The value of `?id=`, percent-decoded by the caller.
    pub fn from_query(value: &str) -> Result<Self, UserIdError> {
        value.parse()
    }

    /// Whether this is the administrator, id 0.
    pub fn is_bot(&self) -> bool {
        *self == Self::BOT
    }

    /// The number, if the id is one.
    pub fn as_number(&self) -> Option<u64> {
        match self.0 {
            Repr::Number(number) => Some(number),
            Repr::Text(_) => None,
        }
    }

    /// The key of the user's mailbox: the same text that [`fmt::Display`] shows.
    pub fn mailbox_key(&self) -> UserKey {
        match &self.0 {
            Repr::Number(number) => decimal(*number, |digits| UserKey::from(digits)),
            Repr::Text(text) => UserKey::clone(text),
        }
    }

    /// Hands the mailbox key to `use_key` without an allocation.
    pub(crate) fn with_key<T>(&self, use_key: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Repr::Number(number) => decimal(*number, use_key),
            Repr::Text(text) => use_key(text),
        }
    }

    /// Appends the id as JSON: a number, or a quoted string.
    pub fn write_json(&self, out: &mut String) {
        match &self.0 {
            Repr::Number(number) => decimal(*number, |digits| out.push_str(digits)),
            Repr::Text(text) => {
                out.push('"');
                // Control characters never occur in an id: two characters need an escape.
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(character);
                }
                out.push('"');
            }
        }
    }

    /// An upper bound of what [`UserId::write_json`] appends.
    pub fn json_len_max(&self) -> usize {
        match &self.0 {
            Repr::Number(_) => 20,
            Repr::Text(text) => 2 + 2 * text.len(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    Number(u64),
    Text(Arc<str>),
}

/// Why a text is no user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserIdError {
    /// Nothing at all.
    #[error("an id must not be empty")]
    Empty,
    /// More than 128 bytes.
    #[error("an id must have at most 128 bytes")]
    TooLong,
    /// A control character; it could break lines of logs and records.
    #[error("an id must not contain control characters")]
    ControlCharacter,
    /// It reads as a number, but not as an unsigned 64-bit one in its shortest form.
    #[error("a numeric id must be an unsigned 64-bit integer without sign or leading zeros")]
    NotCanonical,
}

impl From<u64> for UserId {
    fn from(number: u64) -> Self {
        Self(Repr::Number(number))
    }
}

impl FromStr for UserId {
    type Err = UserIdError;

    fn from_str(text: &str) -> Result<Self, UserIdError> {
        if text.is_empty() {
            return Err(UserIdError::Empty);
        }
        if text.len() > TEXT_LEN_MAX {
            return Err(UserIdError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(UserIdError::ControlCharacter);
        }
        if let Some(number) = canonical_number(text) {
            return Ok(Self(Repr::Number(number)));
        }
        if looks_like_number(text.trim()) {
            return Err(UserIdError::NotCanonical);
        }
        Ok(Self(Repr::Text(Arc::from(text))))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Number(number) => fmt::Display::fmt(number, formatter),
            Repr::Text(text) => fmt::Display::fmt(text, formatter),
        }
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Number(number) => write!(formatter, "UserId({number})"),
            Repr::Text(text) => write!(formatter, "UserId({text:?})"),
        }
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::Number(number) => serializer.serialize_u64(*number),
            Repr::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UserIdVisitor)
    }
}

struct UserIdVisitor;

impl de::Visitor<'_> for UserIdVisitor {
    type Value = UserId;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a user id: an unsigned 64-bit integer or a string")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<UserId, E> {
        Ok(UserId::from(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<UserId, E> {
        text.parse().map_err(E::custom)
    }
}

/// Exactly the texts that `u64` prints.
fn canonical_number(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    let canonical = digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || digits.first() != Some(&b'0'));
    // `parse` alone would take "+1" and "042".
    if canonical { text.parse().ok() } else { None }
}

/// Optional sign, digits with at most one point, optional exponent.
fn looks_like_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    exponent_fits && !(whole.is_empty() && fraction.is_empty()) && digits(whole) && digits(fraction)
}

/// Hands the decimal digits to `use_digits` without allocating.
fn decimal<T>(mut number: u64, use_digits: impl FnOnce(&str) -> T) -> T {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    use_digits(
        digits
            .get(start..)
            .and_then(|used| str::from_utf8(used).ok())
            .unwrap_or_default(),
    )
}

const TEXT_LEN_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, UserIdError>) {
        let json = UserId::from_query(text).map(|id| serde_json::to_string(&id).unwrap());
        assert_eq!(
            json.as_deref().map_err(|error| *error),
            expected,
            "for {text:?}"
        );
    }

    #[test]
    fn canonical_numbers_are_numbers_and_other_texts_are_strings() {
        check("0", Ok("0"));
        check("42", Ok("42"));
        check("18446744073709551615", Ok("18446744073709551615"));
        check("12abc", Ok("\"12abc\""));
        check("alice", Ok("\"alice\""));
        check("a\"b\\c", Ok(r#""a\"b\\c""#));
        check("-", Ok("\"-\""));
        check("e", Ok("\"e\""));
        check(".", Ok("\".\""));
        check("1e", Ok("\"1e\""));
        check("10.0.0.1", Ok("\"10.0.0.1\""));
        check("ж", Ok("\"ж\""));
    }

    /// Overlong and negative numbers neither crash nor become another user.
    #[test]
    fn texts_that_look_like_numbers_but_are_not_canonical_are_refused() {
        for text in [
            "99999999999999999999999",
            "18446744073709551616",
            "-1",
            "+1",
            "042",
            "00",
            "1.5",
            "1.",
            ".5",
            "1e3",
            "1E+3",
            "-1e-3",
            " 42",
            "42 ",
        ] {
            check(text, Err(UserIdError::NotCanonical));
        }
    }

    #[test]
    fn bounds_of_strings_hold() {
        check("", Err(UserIdError::Empty));
        check("a\nb", Err(UserIdError::ControlCharacter));
        check("a\u{85}", Err(UserIdError::ControlCharacter));
        assert!("x".repeat(128).parse::<UserId>().is_ok());
        assert_eq!("x".repeat(129).parse::<UserId>(), Err(UserIdError::TooLong));
    }

    #[test]
    fn a_quoted_number_is_the_same_user_as_the_number() {
        let number: UserId = serde_json::from_str("42").unwrap();
        let text: UserId = serde_json::from_str("\"42\"").unwrap();
        assert_eq!(number, text);
        assert_eq!(serde_json::to_string(&text).unwrap(), "42");
        assert_eq!(&*text.mailbox_key(), "42");
        for wrong in [
            "-1",
            "1.5",
            "null",
            "[1]",
            "18446744073709551616",
            "\"\"",
            "\"042\"",
        ] {
            assert!(serde_json::from_str::<UserId>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_writers_of_json_agree_and_the_key_is_what_is_displayed() {
        for text in ["0", "7", "10", "18446744073709551615", "a\"\\ж", "bob"] {
            let id: UserId = text.parse().unwrap();
            let mut json = String::new();
            id.write_json(&mut json);
            assert_eq!(json, serde_json::to_string(&id).unwrap());
            assert!(json.len() <= id.json_len_max());
            assert_eq!(*id.mailbox_key(), *id.to_string());
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn numbers_order_before_strings() {
        let mut ids: Vec<UserId> = ["b", "10", "9", "a"]
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        ids.sort();
        assert_eq!(
            format!("{ids:?}"),
            r#"[UserId(9), UserId(10), UserId("a"), UserId("b")]"#
        );
    }
}
