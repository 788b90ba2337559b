//! Bodies are JSON in UTF-8, not encoded further.
//!
//! In: the fields that describe a body. Out: yes, or what was expected. Without this a body that is compressed or in
//! another charset would be called invalid JSON.

use axum::http::{HeaderMap, HeaderValue, header};

use super::RestError;

/// Checks `Content-Type` and `Content-Encoding`.
///
/// # Errors
/// 400 for another media type, which old back ends know; 415 for an encoding or a charset.
pub(super) fn check(headers: &HeaderMap) -> Result<(), RestError> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter().map(text);
    let (Some(media_type), None) = (types.next(), types.next()) else {
        return Err(RestError::bad_request(EXPECTED_TYPE));
    };
    let (name, parameters) = media_type.split_once(';').unwrap_or((media_type, ""));
    if !name.trim().eq_ignore_ascii_case("application/json") {
        return Err(RestError::bad_request(EXPECTED_TYPE));
    }
    if !charsets(parameters).all(is_utf8) {
        return Err(RestError::new(415, "charset must be utf-8"));
    }
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter().map(text);
    if !encodings.all(is_identity) {
        return Err(RestError::new(
            415,
            "Content-Encoding must be identity: bodies are not decompressed",
        ));
    }
    Ok(())
}

fn text(value: &HeaderValue) -> &str {
    // What is not ASCII is none of the words that are understood.
    value.to_str().unwrap_or("?")
}

/// The values of the parameters `charset`.
fn charsets(parameters: &str) -> impl Iterator<Item = &str> {
    parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"'))
    })
}

/// ASCII is UTF-8.
fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"]
        .iter()
        .any(|known| charset.eq_ignore_ascii_case(known))
}

fn is_identity(encodings: &str) -> bool {
    encodings.split(',').all(|encoding| {
        let encoding = encoding.trim();
        encoding.is_empty() || encoding.eq_ignore_ascii_case("identity")
    })
}

const EXPECTED_TYPE: &str = "Content-Type must be application/json";

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn status(fields: &[(HeaderName, &'static str)]) -> u16 {
        let fields = fields.iter().cloned();
        let headers: HeaderMap = fields
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            });
        check(&headers).map_or_else(|error| error.status(), |()| 200)
    }

    #[test]
    fn json_in_utf_8_is_taken_however_it_is_spelt() {
        for (media_type, expected) in [
            ("application/json", 200),
            ("Application/JSON", 200),
            ("application/json;charset=utf-8", 200),
            ("application/json ; charset=\"UTF-8\"", 200),
            ("application/json; charset=utf8; version=1", 200),
            ("application/json; Charset=US-ASCII", 200),
            ("application/json;", 200),
            ("application/json; charset", 200),
            ("application/json; charset=iso-8859-1", 415),
            ("application/json; charset=utf-16", 415),
            ("application/json; charset=\"\"", 415),
            ("application/json; charset=utf-8; charset=latin1", 415),
            ("application/json; x=y; charset=windows-1252", 415),
            ("text/json", 400),
            ("text/plain", 400),
            ("application/jsonx", 400),
            ("application/vnd.api+json", 400),
            ("application/x-www-form-urlencoded", 400),
            ("", 400),
        ] {
            let found = status(&[(header::CONTENT_TYPE, media_type)]);
            assert_eq!(found, expected, "{media_type}");
        }
        assert_eq!(status(&[]), 400);
        let json = (header::CONTENT_TYPE, "application/json");
        assert_eq!(status(&[json.clone(), json]), 400);
    }

    #[test]
    fn an_encoded_body_is_told_apart_from_one_that_is_no_json() {
        for (encodings, expected) in [
            (&["identity"][..], 200),
            (&["Identity", ""], 200),
            (&[""], 200),
            (&["gzip"], 415),
            (&["GZIP"], 415),
            (&["identity, gzip"], 415),
            (&["identity", "br"], 415),
            (&["deflate"], 415),
            (&["zstd"], 415),
            (&["aes128gcm"], 415),
            (&["utf-8"], 415),
        ] {
            let mut fields = vec![(header::CONTENT_TYPE, "application/json")];
            fields.extend(encodings.iter().map(|it| (header::CONTENT_ENCODING, *it)));
            assert_eq!(status(&fields), expected, "{encodings:?}");
        }
    }
}
