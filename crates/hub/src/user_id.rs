//! Who a user is: [`UserId`].
//!
//! In: the `id` query parameter, `sender` and `recipients` of envelopes. Out: the key of
//! every map of the hub, the key of a mailbox and a JSON value. Invariant: one user has one
//! form, by the rule of [`tidewire_auth::user_name`] (`docs/ids.md`). The string `"42"` *is* the number 42; a text
//! that is no canonical unsigned 64-bit number (`042`, `-1`, `1e3`, more digits) is a name, and no JSON number.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tidewire_auth::{MalformedParameter, UserNameError, decode_parameter, user_name};
use tidewire_engine::UserKey;

/// A user: an unsigned 64-bit number or a name of 1 to 128 bytes.
///
/// Numbers order before strings. Cloning copies no text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Repr);

impl UserId {
    /// The administrator ("bot"): never receives anything over a connection.
    pub const BOT: Self = Self(Repr::Number(0));

    /// The value of a query parameter, as it stands in the query.
    ///
    /// # Errors
    /// [`UserIdError`]; its text is for whoever sent the request.
    pub fn from_query(raw: &str) -> Result<Self, UserIdError> {
        decode_parameter(raw)?.parse()
    }

    /// The present spelling of a mailbox's key, if it is another one: earlier programs did not normalize names.
    pub fn respelt(key: &str) -> Option<String> {
        match tidewire_auth::composed(key) {
            Cow::Borrowed(_) => None,
            Cow::Owned(name) => Some(name),
        }
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

    /// Appends the id as a JSON string, also if it is a number.
    pub fn write_json_string(&self, out: &mut String) {
        match &self.0 {
            Repr::Number(number) => {
                out.push('"');
                decimal(*number, |digits| out.push_str(digits));
                out.push('"');
            }
            Repr::Text(_) => self.write_json(out),
        }
    }

    /// An upper bound of what [`UserId::write_json`] and [`UserId::write_json_string`] append.
    pub fn json_len_max(&self) -> usize {
        match &self.0 {
            Repr::Number(_) => 22,
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
    /// It breaks the rule for names.
    #[error(transparent)]
    Name(#[from] UserNameError),
    /// In a query, it is not well encoded.
    #[error(transparent)]
    Malformed(#[from] MalformedParameter),
}

impl From<u64> for UserId {
    fn from(number: u64) -> Self {
        Self(Repr::Number(number))
    }
}

impl FromStr for UserId {
    type Err = UserIdError;

    fn from_str(text: &str) -> Result<Self, UserIdError> {
        let name = user_name(text)?;
        Ok(match canonical_number(&name) {
            Some(number) => Self(Repr::Number(number)),
            None => Self(Repr::Text(Arc::from(name))),
        })
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

    /// Some serializers write every number as a floating-point one (`1.0`, `1e3`). A whole one that such a number
    /// holds exactly is meant; `-0` has a sign, so it is none.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<UserId, E> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative and below 2^53"
        )]
        let whole = (number.is_sign_positive() && number <= EXACT_MAX && number.fract() == 0.0)
            .then_some(number as u64);
        whole
            .map(UserId::from)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Float(number), &self))
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

/// 2^53 - 1: all whole numbers up to it, and not all above, are exact as floating-point ones.
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Text of an id → its JSON.
    fn check(text: &str, json: &str) {
        let id: UserId = text.parse().unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), json, "for {text:?}");
    }

    #[test]
    fn canonical_numbers_are_numbers_and_other_texts_are_strings() {
        check("0", "0");
        check("42", "42");
        check("18446744073709551615", "18446744073709551615");
        check("18446744073709551616", "\"18446744073709551616\"");
        check("123456789012345678901", "\"123456789012345678901\"");
        for name in [
            "12abc",
            "alice",
            "-",
            "e",
            ".",
            "1e",
            "10.0.0.1",
            "ж",
            "042",
            "00",
            "-1",
            "-0",
            "+491511234567",
            "1.0",
            "1e3",
            "0x1",
            "１",
        ] {
            check(name, &format!("\"{name}\""));
        }
        check("a\"b\\c", r#""a\"b\\c""#);
        check("Jo\u{308}rg", "\"Jörg\"");
    }

    #[test]
    fn a_value_of_a_query_is_decoded_once_and_then_like_any_other_id() {
        let read = |raw: &str| UserId::from_query(raw).map(|id| id.to_string());
        assert_eq!(read("J%C3%B6rg+K").as_deref(), Ok("Jörg K"));
        assert_eq!(read("Jo%CC%88rg%20K").as_deref(), Ok("Jörg K"));
        assert_eq!(read("%34%32"), Ok("42".to_owned()));
        assert_eq!(UserId::from_query("%34%32"), Ok(UserId::from(42)));
        assert_eq!(read("%2B49").as_deref(), Ok("+49"));
        for (raw, error) in [
            ("+49", UserNameError::BlankNumber.into()),
            ("", UserNameError::Empty.into()),
            ("%00", UserNameError::ControlCharacter.into()),
            ("%FF", UserIdError::Malformed(MalformedParameter)),
            ("%", UserIdError::Malformed(MalformedParameter)),
        ] {
            assert_eq!(read(raw), Err(error), "{raw}");
        }
    }

    /// A serializer that writes `1.0` means 1; what such a number does not hold exactly could be somebody else.
    #[test]
    fn whole_floating_point_numbers_are_ids_as_far_as_they_are_exact() {
        let read = |json: &str| serde_json::from_str::<UserId>(json).ok();
        for (json, number) in [
            ("1.0", 1),
            ("1e3", 1000),
            ("0.0", 0),
            ("9007199254740991.0", (1 << 53) - 1),
        ] {
            assert_eq!(read(json), Some(UserId::from(number)), "{json}");
        }
        for json in [
            "9007199254740992.0",
            "1.5",
            "-0",
            "-0.0",
            "-1.0",
            "1e20",
            "1e-1",
        ] {
            assert_eq!(read(json), None, "{json}");
        }
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
            "\" 42\"",
        ] {
            assert!(serde_json::from_str::<UserId>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_writers_of_json_agree_and_the_key_is_what_is_displayed() {
        for text in [
            "0",
            "7",
            "10",
            "18446744073709551615",
            "007",
            "a\"\\ж",
            "bob",
        ] {
            let id: UserId = text.parse().unwrap();
            let mut json = String::new();
            id.write_json(&mut json);
            assert_eq!(json, serde_json::to_string(&id).unwrap());
            assert!(json.len() <= id.json_len_max());
            let mut string = String::new();
            id.write_json_string(&mut string);
            assert_eq!(string, serde_json::to_string(&id.to_string()).unwrap());
            assert!(string.len() <= id.json_len_max());
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
