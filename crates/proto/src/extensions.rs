//! The header field `Sec-WebSocket-Extensions` (RFC 6455 section 9.1), read in one pass.
//!
//! In: the values of all its fields. Out: extensions with their parameters, borrowed, and whether an answer keeps to an
//! offer that somebody else has made. Invariant:
//! at most [`EXTENSIONS_MAX`] extensions of [`BYTES_MAX`] bytes in all.

use crate::ExtensionError;

/// Most bytes of all values together.
pub(crate) const BYTES_MAX: usize = 1024;

/// Most extensions, of any name.
pub(crate) const EXTENSIONS_MAX: usize = 16;

/// One extension as offered or chosen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extension<'a> {
    pub(crate) name: &'a str,
    pub(crate) parameters: Vec<Parameter<'a>>,
}

/// Its name and, if there was a `=`, its value without quotes.
pub(crate) type Parameter<'a> = (&'a str, Option<&'a str>);

/// Reads all values; an empty list is no error.
pub(crate) fn parse<'a>(
    values: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Extension<'a>>, ExtensionError> {
    let mut extensions = Vec::new();
    let mut bytes = 0_usize;
    for value in values {
        bytes = bytes.saturating_add(value.len());
        if bytes > BYTES_MAX {
            return Err(ExtensionError::TooLong);
        }
        let mut rest = Rest(std::str::from_utf8(value).map_err(|_| ExtensionError::Malformed)?);
        rest.list(&mut extensions)
            .ok_or(ExtensionError::Malformed)?;
        if extensions.len() > EXTENSIONS_MAX {
            return Err(ExtensionError::TooLong);
        }
    }
    Ok(extensions)
}

/// Checks an answer to an offer that was passed on: whoever made the offer speaks the extension or not, so nothing
/// may be chosen that was not offered (section 9.1). How parameters go together is for the ends to judge, but for the
/// one of RFC 7692 that only an offer allows (section 7.1.2.2).
pub(crate) fn keeps_to_offer<'a>(
    answer: impl Iterator<Item = &'a [u8]>,
    offer: &str,
) -> Result<(), ExtensionError> {
    const ASKED_FOR: &str = "client_max_window_bits";
    // An offer that is none allows nothing.
    let offered = parse(std::iter::once(offer.as_bytes())).unwrap_or_default();
    let mut chosen: Vec<&str> = Vec::new();
    for extension in parse(answer)? {
        if chosen.contains(&extension.name) {
            return Err(ExtensionError::Several);
        }
        chosen.push(extension.name);
        let mut offers = offered
            .iter()
            .filter(|offer| offer.name == extension.name)
            .peekable();
        if offers.peek().is_none() {
            return Err(ExtensionError::NotOffered);
        }
        let has = |one: &Extension<'_>| one.parameters.iter().any(|(name, _)| *name == ASKED_FOR);
        if has(&extension) && !offers.any(has) {
            return Err(ExtensionError::Parameters);
        }
    }
    Ok(())
}

/// The text that has not been read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// Extensions between commas. Empty elements are allowed (RFC 9110 section 5.6.1.2).
    fn list(&mut self, extensions: &mut Vec<Extension<'a>>) -> Option<()> {
        loop {
            while self.taken(',') {}
            if self.0.is_empty() {
                return Some(());
            }
            let name = self.token()?;
            let mut parameters = Vec::new();
            while self.taken(';') {
                let name = self.token()?;
                let value = if self.taken('=') {
                    Some(self.value()?)
                } else {
                    None
                };
                parameters.push((name, value));
            }
            extensions.push(Extension { name, parameters });
            if !self.0.is_empty() && !self.0.starts_with(',') {
                return None;
            }
        }
    }

    /// Takes `separator` and the blanks around it.
    fn taken(&mut self, separator: char) -> bool {
        self.blanks();
        let Some(rest) = self.0.strip_prefix(separator) else {
            return false;
        };
        self.0 = rest;
        self.blanks();
        true
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn token(&mut self) -> Option<&'a str> {
        let end = self
            .0
            .bytes()
            .position(|byte| !is_token_byte(byte))
            .unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        self.blanks();
        (!token.is_empty()).then_some(token)
    }

    /// A token, bare or quoted. A backslash inside the quotes is refused: no value that is a
    /// token after unescaping needs one.
    fn value(&mut self) -> Option<&'a str> {
        let Some(rest) = self.0.strip_prefix('"') else {
            return self.token();
        };
        let (value, rest) = rest.split_once('"')?;
        self.0 = rest;
        self.blanks();
        (!value.is_empty() && value.bytes().all(is_token_byte)).then_some(value)
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> Result<String, ExtensionError> {
        parse(values.iter().map(|value| value.as_bytes())).map(|extensions| {
            let words: Vec<_> = extensions
                .iter()
                .map(|extension| format!("{}{:?}", extension.name, extension.parameters))
                .collect();
            words.join(" ")
        })
    }

    #[test]
    fn extensions_are_read_from_one_field_or_several() {
        let expected = r#"a[] b[("x", None), ("y", Some("1"))] c[("z", Some("2"))]"#;
        for values in [
            &["a, b; x; y=1, c; z=2"][..],
            &["a,b;x;y=1,c;z=2"],
            &["a", "b; x; y=\"1\"", "c ; z = 2"],
            &["", " , a ,, ", "b\t;x ;\ty=1 , c;z=\"2\" ,"],
        ] {
            assert_eq!(read(values).as_deref(), Ok(expected), "{values:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_extensions_is_malformed() {
        for value in [
            ";",
            "a;",
            "a;;b",
            "a b",
            "a; =1",
            "a; x=",
            "a; x=\"",
            "a; x=\"\"",
            "a; x=\"1",
            "\"a\"",
            "a; x=\"1 2\"",
            "a; x=\"\\1\"",
            "a; x=1 2",
            "a=1",
            "a; x=\"1\"2",
            "ä",
            "a\0",
        ] {
            assert_eq!(read(&[value]), Err(ExtensionError::Malformed), "{value}");
        }
    }

    #[test]
    fn an_answer_keeps_to_the_offer_that_was_passed_on() {
        let deflate = "permessage-deflate; client_max_window_bits";
        for (offer, answer, verdict) in [
            ("", &[][..], Ok(())),
            ("a", &[], Ok(())),
            ("a", &["a"], Ok(())),
            ("a, b; x=1", &["b; y=2", "a"], Ok(())),
            ("", &["a"], Err(ExtensionError::NotOffered)),
            ("a", &["b"], Err(ExtensionError::NotOffered)),
            ("a", &["a, b"], Err(ExtensionError::NotOffered)),
            ("a;;", &["a"], Err(ExtensionError::NotOffered)),
            ("a", &["a, a"], Err(ExtensionError::Several)),
            ("a", &["a;"], Err(ExtensionError::Malformed)),
            (
                deflate,
                &["permessage-deflate; client_max_window_bits=10"],
                Ok(()),
            ),
            (
                "permessage-deflate",
                &["permessage-deflate; server_max_window_bits=10"],
                Ok(()),
            ),
            (
                "permessage-deflate",
                &["permessage-deflate; client_max_window_bits=10"],
                Err(ExtensionError::Parameters),
            ),
        ] {
            let values = answer.iter().map(|value| value.as_bytes());
            assert_eq!(keeps_to_offer(values, offer), verdict, "{offer} {answer:?}");
        }
    }

    #[test]
    fn the_bounds_are_exact() {
        let long = |bytes| "a".repeat(bytes);
        assert!(read(&[&long(BYTES_MAX)]).is_ok());
        assert_eq!(read(&[&long(BYTES_MAX), "a"]), Err(ExtensionError::TooLong));
        let many = |count| vec!["a"; count].join(",");
        assert!(read(&[&many(EXTENSIONS_MAX)]).is_ok());
        assert_eq!(
            read(&[&many(EXTENSIONS_MAX), "a"]),
            Err(ExtensionError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(values in prop::collection::vec(prop::collection::vec(prop_oneof![
            any::<u8>(), prop::sample::select(&b" \t,;=\"\\a1"[..])], 0..40), 0..3)) {
            let _read = parse(values.iter().map(Vec::as_slice));
        }
    }
}
