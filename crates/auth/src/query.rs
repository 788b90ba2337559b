//! Parameters of a query, for whoever looks for a user or a token there: server, REST, gateway and command line.
//!
//! In: what follows the `?` of a request. Out: text. Invariants: names and values are decoded as browsers encode forms
//! (URL Standard, section 5.1: `+` is a space, `%41` is `A`); what is malformed is an error, not another text.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// An escape is cut or has no hexadecimal digits, or the bytes are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected percent-encoded UTF-8")]
pub struct MalformedParameter;

/// The parameters of a query in their order, names and values as they came. Empty ones (`a=1&&b=2`) are left out.
pub fn raw_parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The value of the first parameter called `name`, in any case of ASCII letters, as it came; [`decode_parameter`] reads
/// it. Later ones are ignored, as by servers before this one.
pub fn first_parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut parameters = raw_parameters(query);
    let is_it = |key: &str| decode_parameter(key).is_ok_and(|key| key.eq_ignore_ascii_case(name));
    let found = parameters.find(|(key, _)| is_it(key));
    found.map(|(_, value)| value)
}

/// Decodes the name or the value of a parameter.
///
/// # Errors
/// [`MalformedParameter`].
pub fn decode_parameter(raw: &str) -> Result<Cow<'_, str>, MalformedParameter> {
    if !raw.contains(['+', '%']) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut escapes = raw.split('%').skip(1);
    let is_escape = |behind: &str| {
        let mut digits = behind.bytes();
        (0..2).all(|_| digits.next().is_some_and(|digit| digit.is_ascii_hexdigit()))
    };
    if !escapes.all(is_escape) {
        return Err(MalformedParameter);
    }
    let spaced = raw.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map_err(|_| MalformedParameter)?;
    Ok(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    //! Kinds: percent forms, plus, empty and repeated parameters, case, names with escapes, invalid UTF-8.

    use super::*;

    fn check(query: &str, expected: Option<Result<&str, MalformedParameter>>) {
        let found = first_parameter(query, "id").map(decode_parameter);
        let found = found.as_ref().map(|value| value.as_deref().map_err(|e| *e));
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn the_first_of_the_name_counts_and_is_decoded_as_forms_are() {
        for (query, value) in [
            ("id=42", "42"),
            ("a=1&ID=7&id=8", "7"),
            ("Id=1&iD=2", "1"),
            ("id=J%C3%B6rg+K", "Jörg K"),
            ("id=J%c3%b6rg%20K", "Jörg K"),
            ("i%64=1", "1"),
            ("id=%2B49", "+49"),
            ("id=+49", " 49"),
            ("id=a%26b%3Dc", "a&b=c"),
            ("id=a=b", "a=b"),
            ("id=%2525", "%25"),
            ("&&id=1&", "1"),
            ("id=", ""),
            ("id", ""),
            ("id=%00", "\0"),
            ("x=%&id=1", "1"),
            ("id=ж", "ж"),
        ] {
            check(query, Some(Ok(value)));
        }
        for query in ["", "&", "=1", "identity=1", "x=id", "i=1&d=2", "id%=1"] {
            check(query, None);
        }
    }

    #[test]
    fn what_is_malformed_is_told() {
        for query in [
            "id=%",
            "id=%4",
            "id=%4g",
            "id=%+1",
            "id=a%2",
            "id=%ff",
            "id=%C3",
            "id=%ED%A0%80",
            "id=%u00e9",
        ] {
            check(query, Some(Err(MalformedParameter)));
        }
    }
}
