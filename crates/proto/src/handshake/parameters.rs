//! Parts of a request that applications look for: query parameters, cookies, a bearer token.
//!
//! In: a [`RequestHead`]. Out: text. Invariant: what occurs twice where one is meant counts as absent, so that
//! two readers of one request, as a proxy and the server behind it, cannot mean different ones.

use std::borrow::Cow;

use super::RequestHead;

impl RequestHead {
    /// The query parameter `name`, decoded as [`query_parameter`] does; `None` if it is absent or there are several.
    pub fn query_parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        query_parameter(self.query()?, name)
    }

    /// The cookie `name` (RFC 6265 section 5.4), without quotes around its value; `None` if it is absent or there
    /// are several. Names are case-sensitive. A `Cookie` field that is no UTF-8 is passed over.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let found = self
            .values("cookie")
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name);
        only(found.map(|(_, value)| value.trim_matches('"')))
    }

    /// The token of `Authorization: Bearer …` (RFC 6750 section 2.1), the scheme in any case; `None` if there is
    /// none, if it is no UTF-8, and if there are several `Authorization` fields.
    ///
    /// Compare it in constant time.
    pub fn bearer(&self) -> Option<&str> {
        let value = std::str::from_utf8(self.single("authorization")?).ok()?;
        let (scheme, token) = value.split_once(' ')?;
        let token = token.trim_start_matches(' ');
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    }
}

/// The parameter `name` of a query (what follows the `?`), decoded as browsers encode forms: `+` is a space, `%41` is
/// `A`, an escape that is none stays as it is, and what is no UTF-8 becomes U+FFFD. `None` if it is absent or
/// there are several.
pub fn query_parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let parameters = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    only(parameters.filter(|(key, _)| decode(key) == name)).map(|(_, value)| decode(value))
}

/// Decodes `application/x-www-form-urlencoded` (URL Standard, section 5.1). By hand: a crate for it would be two more
/// in every program that speaks WebSocket.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['+', '%']) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut behind = rest.clone();
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(behind.next()), digit(behind.next())) {
                (Some(high), Some(low)) => {
                    rest = behind;
                    (high << 4) | low
                }
                _ => b'%',
            },
            other => other,
        });
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn digit(byte: Option<u8>) -> Option<u8> {
    let digit = char::from(byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn only<T>(mut found: impl Iterator<Item = T>) -> Option<T> {
    let first = found.next();
    if found.next().is_some() { None } else { first }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::handshake::HeadLimits;

    fn head(target: &str, fields: &str) -> RequestHead {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        RequestHead::parse(Bytes::from(head), HeadLimits::default()).unwrap()
    }

    #[test]
    fn a_query_parameter_is_decoded_and_counts_only_when_it_is_the_only_one() {
        let head = head("/?n%61me=End%70oint+1&x=1&x=2&flag&a=b=c&p=50%&bad=%ff", "");
        for (name, value) in [
            ("name", Some("Endpoint 1")),
            ("x", None),
            ("flag", Some("")),
            ("a", Some("b=c")),
            ("p", Some("50%")),
            ("bad", Some("\u{fffd}")),
            ("NAME", None),
            ("y", None),
        ] {
            assert_eq!(head.query_parameter(name).as_deref(), value, "{name}");
        }
        let without = self::head("/", "");
        assert_eq!(without.query_parameter("name"), None);
    }

    proptest! {
        #[test]
        fn text_is_decoded_as_the_url_standard_says(text in "[ab+%0-9A-Fa-fé]{0,24}") {
            let expected = form_urlencoded::parse(text.as_bytes()).next();
            let expected = expected.map(|(key, _)| key.into_owned()).unwrap_or_default();
            prop_assert_eq!(decode(&text), expected);
        }
    }

    #[test]
    fn a_cookie_counts_only_when_it_is_the_only_one_of_its_name() {
        let fields = "Cookie: a=1; sid=\"x y\"; twice=1; twice=2\r\ncookie:b==; a2\r\nCookie: \u{e9}=1; twice2=1\r\nCookie: twice2=1\r\n";
        let head = head("/", fields);
        for (name, value) in [
            ("a", Some("1")),
            ("sid", Some("x y")),
            ("b", Some("=")),
            ("\u{e9}", Some("1")),
            ("twice", None),
            ("twice2", None),
            ("A", None),
            ("a2", None),
        ] {
            assert_eq!(head.cookie(name), value, "{name}");
        }
    }

    #[test]
    fn a_bearer_token_is_what_follows_the_scheme() {
        for (fields, token) in [
            ("Authorization: Bearer abc.d\r\n", Some("abc.d")),
            ("authorization: bEARER   abc\r\n", Some("abc")),
            ("Authorization: Basic abc\r\n", None),
            ("Authorization: Bearer\r\n", None),
            ("Authorization: Bearerabc\r\n", None),
            (
                "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n",
                None,
            ),
            ("", None),
        ] {
            assert_eq!(head("/", fields).bearer(), token, "{fields:?}");
        }
    }
}
