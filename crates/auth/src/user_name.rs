//! The rule for the names of users: one spelling for each user, wherever the name comes from.
//!
//! In: an id as a client, a page or an operator writes it. Out: the one spelling under which the user is known, or
//! what is wrong with it. Invariants: the result is in Unicode normalization form C and has 1 to
//! [`USER_NAME_BYTES_MAX`] bytes; giving it in again changes nothing. The rule in words: `docs/ids.md`.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// The longest name, in bytes of UTF-8 after normalization.
pub const USER_NAME_BYTES_MAX: usize = 128;

/// Why a text is no user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserNameError {
    /// Nothing at all.
    #[error("an id must not be empty")]
    Empty,
    /// More than [`USER_NAME_BYTES_MAX`] bytes.
    #[error("an id must have at most {USER_NAME_BYTES_MAX} bytes")]
    TooLong,
    /// A control character; it could break lines of logs and records.
    #[error("an id must not contain control characters")]
    ControlCharacter,
    /// White space around what reads as a number: most often a `+` of a telephone number that stood in a query, where it
    /// means a space.
    #[error("a number must not have white space around it (in a query + is a space, %2B is +)")]
    BlankNumber,
}

/// The one spelling of a user's id.
///
/// Letters and their marks are put together (NFC), so that a name is the same user whichever keyboard or file system
/// it comes from. Nothing else is changed: case, compatibility forms (full-width letters, ligatures) and invisible
/// characters tell users apart. A text without any such letters is returned as it is.
///
/// # Errors
/// [`UserNameError`]; clients are told its text.
pub fn user_name(text: &str) -> Result<Cow<'_, str>, UserNameError> {
    if text.is_empty() {
        return Err(UserNameError::Empty);
    }
    if text.len() > DECOMPOSED_BYTES_MAX {
        return Err(UserNameError::TooLong);
    }
    let name = composed(text);
    if name.len() > USER_NAME_BYTES_MAX {
        return Err(UserNameError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(UserNameError::ControlCharacter);
    }
    let trimmed = name.trim();
    if trimmed.len() < name.len() && reads_as_number(trimmed) {
        return Err(UserNameError::BlankNumber);
    }
    Ok(name)
}

/// A text in Unicode normalization form C.
pub fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// Optional sign, digits with at most one point, optional exponent.
fn reads_as_number(text: &str) -> bool {
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

/// Work is bounded before the text is normalized: no letter takes more than four times its bytes when it is taken apart.
const DECOMPOSED_BYTES_MAX: usize = 4 * USER_NAME_BYTES_MAX;

#[cfg(test)]
mod tests {
    //! Kinds: numbers in every spelling, blanks, control and invisible characters, emoji, lengths, composed,
    //! decomposed and compatibility forms, case.

    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<&str, UserNameError>) {
        let name = user_name(text);
        let name = name.as_deref().map_err(|error| *error);
        assert_eq!(name, expected, "for {text:?}");
    }

    #[test]
    fn what_people_use_as_ids_is_taken_as_it_is() {
        for text in [
            "0",
            "42",
            "18446744073709551615",
            "18446744073709551616",
            "123456789012345678901", // a 21-digit account number
            "+491511234567",
            "007",
            "00",
            "-1",
            "-0",
            "+1",
            "1.0",
            "1.",
            ".5",
            "1e3",
            "1E+3",
            "-1e-3",
            "0x1",
            "10.0.0.1",
            "NaN",
            "null",
            "a@b.example",
            "a b",
            "bob ",
            "😀",
            "👨‍👩‍👧",
            "a\u{200b}b",
            "\u{202e}bob",
            "ﬁ",
            "Ｂｏｂ",
            "..",
            "a/b?c#d%20+",
        ] {
            check(text, Ok(text));
        }
    }

    #[test]
    fn a_letter_with_marks_is_the_same_however_it_is_put_together() {
        for (text, name) in [
            ("Jo\u{308}rg K", "Jörg K"),
            ("Jörg K", "Jörg K"),
            ("e\u{323}\u{302}", "ệ"),
            ("\u{1100}\u{1161}\u{11a8}", "각"),
            ("\u{212b}", "Å"),                     // the sign for ångström
            ("\u{fb2c}", "\u{5e9}\u{5bc}\u{5c1}"), // never composed
        ] {
            check(text, Ok(name));
        }
        assert_ne!(user_name("bob"), user_name("Bob"), "case tells users apart");
        assert_ne!(
            user_name("ﬁ"),
            user_name("fi"),
            "and so do compatibility forms"
        );
    }

    #[test]
    fn what_is_no_id_says_why() {
        for text in [
            " 42",
            "42 ",
            "\u{a0}42",
            " 491511234567",
            " +1",
            "\u{3000}1e3",
            " 007",
        ] {
            check(text, Err(UserNameError::BlankNumber));
        }
        check("", Err(UserNameError::Empty));
        for text in ["a\nb", "\0", "a\u{7f}", "a\u{85}", "\u{1b}[31m", " 4\t"] {
            check(text, Err(UserNameError::ControlCharacter));
        }
    }

    #[test]
    fn the_bound_is_for_bytes_of_the_normal_form() {
        check(&"x".repeat(128), Ok(&"x".repeat(128)));
        check(&"x".repeat(129), Err(UserNameError::TooLong));
        check(&"ж".repeat(65), Err(UserNameError::TooLong));
        let composed = "é".repeat(64);
        check(&"e\u{301}".repeat(64), Ok(&composed));
        check(&"e\u{301}".repeat(65), Err(UserNameError::TooLong));
        check(&"x".repeat(1 << 20), Err(UserNameError::TooLong));
    }

    proptest! {
        #[test]
        fn a_name_given_in_again_stays_the_same(text in "\\PC{0,40}") {
            if let Ok(name) = user_name(&text) {
                let again = user_name(&name);
                prop_assert_eq!(again.as_deref(), Ok(&*name));
                prop_assert!(name.len() <= USER_NAME_BYTES_MAX);
            }
        }

        /// The bound before the normalization refuses nothing that fits after it.
        #[test]
        fn no_letter_shrinks_to_less_than_a_quarter(letter in any::<char>()) {
            let apart: String = letter.nfd().collect();
            let together = composed(&apart);
            prop_assert!(apart.len() <= 4 * together.len());
        }
    }
}
