//! [`Secret`]: a string that is wiped, never printed and compared in constant time.
//!
//! Invariant: no trait of this type gives the text away; [`Secret::expose`] is the only door.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

/// A password, token or other text that must not appear in logs, errors or core dumps.
///
/// Its memory is overwritten when it is dropped, `Debug` prints `Secret(…)`, and there is no
/// `Display` and no `Serialize`. Copies made by whoever parsed the text before (a TOML
/// document, the process environment) are beyond its reach.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a text without copying it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Search for this name to find every place where a secret is used.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether `candidate` is exactly this text.
    ///
    /// The number of steps is the length of the candidate, which whoever sent it knows
    /// anyway: neither the place of the first difference nor the secret's own length shows.
    /// What remains is the cache footprint of the secret's bytes.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        bool::from(self.matches_choice(candidate))
    }

    /// [`matches`](Self::matches) for callers that combine several results without branching.
    pub(crate) fn matches_choice(&self, candidate: &[u8]) -> Choice {
        let secret = self.0.as_bytes();
        let same_length = (secret.len() as u64).ct_eq(&(candidate.len() as u64));
        let Some(last) = secret.len().checked_sub(1) else {
            return same_length;
        };
        let last = last as u64;
        let mut position = 0_u64;
        let mut difference = 0_u8;
        for byte in candidate {
            // `position` never exceeds `last`; a candidate longer than the secret reads it
            // again from the start so that every step does the same work.
            let index = usize::try_from(position).unwrap_or(0);
            difference |= secret.get(index).copied().unwrap_or(0) ^ byte;
            let at_end = position.ct_eq(&last);
            position = u64::conditional_select(&(position + 1), &0, at_end);
        }
        same_length & difference.ct_eq(&0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Asked for a string, a format would report the wrong value itself, in full.
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Names the kind of a wrong value but, unlike serde's own errors, not the value: a password
/// of digits without quotes is still a password.
struct SecretVisitor;

impl SecretVisitor {
    fn refuse<E: de::Error>(found: &str) -> Result<Secret, E> {
        Err(E::custom(format_args!(
            "found {found}, expected a string in quotes"
        )))
    }
}

impl de::Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::from(text))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Self::refuse("a boolean")
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Self::refuse("a number")
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Self::refuse("a number")
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Secret, E> {
        Self::refuse("a number")
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Secret, E> {
        Self::refuse("a number")
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Self::refuse("a number")
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Secret, E> {
        Self::refuse("bytes")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_one_byte_difference_of_equal_length_is_a_mismatch() {
        let text = "0123456789abcdef0123456789abcdef";
        let secret = Secret::from(text);
        for position in 0..text.len() {
            for flip in 1..=255_u8 {
                let mut candidate = text.as_bytes().to_vec();
                candidate[position] ^= flip;
                assert!(!secret.matches(&candidate), "{position} {flip}");
            }
        }
        assert!(secret.matches(text.as_bytes()));
    }

    #[test]
    fn a_repetition_of_the_secret_is_a_mismatch() {
        let secret = Secret::from("abc");
        for candidate in ["", "a", "ab", "abca", "abcabc", "abcabcabc", "abc\0"] {
            assert!(!secret.matches(candidate.as_bytes()), "{candidate:?}");
        }
    }

    #[test]
    fn the_empty_secret_only_matches_nothing() {
        assert!(Secret::from("").matches(b""));
        assert!(!Secret::from("").matches(b"a"));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(
            format!("{:?}", Secret::from("canary-7261")),
            "Secret(…)".to_owned()
        );
    }

    proptest! {
        #[test]
        fn matches_agrees_with_equality(a in ".{0,12}", b in ".{0,12}") {
            prop_assert_eq!(Secret::from(a.as_str()).matches(b.as_bytes()), a == b);
            prop_assert!(Secret::from(a.as_str()).matches(a.as_bytes()));
        }
    }
}
