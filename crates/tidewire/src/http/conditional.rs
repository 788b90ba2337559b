//! Conditional requests (RFC 9110 section 13): what a client already has, or insists on.
//!
//! In: the fields of a GET or HEAD request, and the validators of what there is. Out: whether it is to be sent. Knows no
//! bodies. Weak and strong comparison are kept apart: only a strong validator lets a client put pieces together.

use std::{borrow::Cow, time::SystemTime};

/// The fields of a request that choose between answers. Repeated lists are joined, of other fields the first counts.
#[derive(Debug, Default)]
pub(super) struct Asked<'a> {
    pub(super) if_match: Option<Cow<'a, [u8]>>,
    pub(super) if_none_match: Option<Cow<'a, [u8]>>,
    pub(super) if_modified_since: Option<Cow<'a, [u8]>>,
    pub(super) if_unmodified_since: Option<Cow<'a, [u8]>>,
    pub(super) if_range: Option<Cow<'a, [u8]>>,
    pub(super) range: Option<Cow<'a, [u8]>>,
    pub(super) accept_encoding: Option<Cow<'a, [u8]>>,
}

/// The outcome of a request's preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The answer goes out.
    Send,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client insists on.
    Failed,
}

impl<'a> Asked<'a> {
    /// Takes notice of a field; others than those that matter here are passed over quickly.
    pub(super) fn field(&mut self, name: &str, value: &'a [u8]) {
        let place = match name.len() {
            5 if name.eq_ignore_ascii_case("range") => &mut self.range,
            8 if name.eq_ignore_ascii_case("if-match") => &mut self.if_match,
            8 if name.eq_ignore_ascii_case("if-range") => &mut self.if_range,
            13 if name.eq_ignore_ascii_case("if-none-match") => &mut self.if_none_match,
            15 if name.eq_ignore_ascii_case("accept-encoding") => &mut self.accept_encoding,
            17 if name.eq_ignore_ascii_case("if-modified-since") => &mut self.if_modified_since,
            19 if name.eq_ignore_ascii_case("if-unmodified-since") => &mut self.if_unmodified_since,
            _ => return,
        };
        match place {
            None => *place = Some(Cow::Borrowed(value)),
            Some(first) if matches!(name.len(), 8 | 13 | 15) => {
                first.to_mut().extend_from_slice(b", ");
                first.to_mut().extend_from_slice(value);
            }
            Some(_) => {}
        }
    }

    /// Judges the preconditions in the order of RFC 9110 section 13.2.2.
    pub(super) fn judge(&self, etag: Option<&[u8]>, modified: Option<SystemTime>) -> Outcome {
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(list), _) => {
                if !is_listed(list, etag, strong_equal) {
                    return Outcome::Failed;
                }
            }
            (None, Some(date)) => {
                if let (Some(date), Some(modified)) = (parse_date(date), modified)
                    && seconds(modified) > seconds(date)
                {
                    return Outcome::Failed;
                }
            }
            (None, None) => {}
        }
        let has_it = match (&self.if_none_match, &self.if_modified_since) {
            (Some(list), _) => is_listed(list, etag, weak_equal),
            (None, Some(date)) => match (parse_date(date), modified) {
                (Some(date), Some(modified)) => seconds(modified) <= seconds(date),
                (None, _) | (_, None) => false,
            },
            (None, None) => false,
        };
        if has_it {
            Outcome::NotModified
        } else {
            Outcome::Send
        }
    }

    /// Returns the field `Range` if it holds for what there is now: with `If-Range`, only if that is still the same.
    pub(super) fn valid_range(
        &self,
        etag: Option<&[u8]>,
        modified: Option<SystemTime>,
    ) -> Option<&[u8]> {
        let range = self.range.as_deref()?;
        let Some(validator) = self.if_range.as_deref() else {
            return Some(range);
        };
        let is_same = if validator.starts_with(b"\"") {
            etag.is_some_and(|etag| strong_equal(etag, validator))
        } else {
            // A weak tag is no date either. A date is compared exactly (RFC 9110 section 13.1.5).
            match (parse_date(validator), modified) {
                (Some(date), Some(modified)) => seconds(date) == seconds(modified),
                (None, _) | (_, None) => false,
            }
        };
        is_same.then_some(range)
    }
}

fn is_listed(list: &[u8], etag: Option<&[u8]>, equal: fn(&[u8], &[u8]) -> bool) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(etag) = etag else {
        return false;
    };
    let mut rest = list;
    // A tag may have commas inside.
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let is_weak = rest
            .get(..start)
            .is_some_and(|before| before.ends_with(b"W/"));
        let from = if is_weak { start - 2 } else { start };
        let Some(len) = rest.iter().skip(start + 1).position(|byte| *byte == b'"') else {
            return false;
        };
        let end = start + len + 2;
        if rest.get(from..end).is_some_and(|tag| equal(tag, etag)) {
            return true;
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    false
}

fn strong_equal(one: &[u8], other: &[u8]) -> bool {
    one == other && !one.starts_with(b"W/")
}

fn weak_equal(one: &[u8], other: &[u8]) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    one == other || opaque(one) == opaque(other)
}

fn parse_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Returns whether a client takes this content coding (RFC 9110 section 12.5.3); its weight beyond "not at all" is not
/// looked at, since what is there in a coding was made to be preferred.
pub(super) fn accepts(list: &[u8], coding: &str) -> bool {
    let mut by_star = false;
    for part in list.split(|byte| *byte == b',') {
        let Ok(part) = std::str::from_utf8(part) else {
            continue;
        };
        let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
        let weight = parameters.trim().strip_prefix("q=").map(str::trim);
        let is_taken = weight.is_none_or(|weight| !weight.trim_matches(['0', '.']).is_empty());
        let name = name.trim();
        if name.eq_ignore_ascii_case(coding) {
            return is_taken;
        }
        if name == "*" {
            by_star = is_taken;
        }
    }
    by_star
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn judge(fields: &[(&str, &str)]) -> Outcome {
        let mut asked = Asked::default();
        for (name, value) in fields {
            asked.field(name, value.as_bytes());
        }
        let modified = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let modified = modified + Duration::from_millis(300);
        asked.judge(Some(b"\"a,b\""), Some(modified))
    }

    #[test]
    fn preconditions_are_judged_in_the_order_of_the_rfc() {
        let same = "Sun, 06 Nov 1994 08:49:37 GMT";
        let earlier = "Sun, 06 Nov 1994 08:49:36 GMT";
        for (fields, expected) in [
            (&[][..], Outcome::Send),
            (&[("If-None-Match", "\"a,b\"")], Outcome::NotModified),
            (
                &[("if-none-match", "\"x\", W/\"a,b\"")],
                Outcome::NotModified,
            ),
            (&[("If-None-Match", "*")], Outcome::NotModified),
            (
                &[("If-None-Match", "\"x\""), ("If-None-Match", "\"a,b\"")],
                Outcome::NotModified,
            ),
            (&[("If-None-Match", "\"b\"")], Outcome::Send),
            (&[("If-None-Match", "\"a,b")], Outcome::Send),
            (
                &[("If-None-Match", "\"x\""), ("If-Modified-Since", same)],
                Outcome::Send,
            ),
            (&[("If-Modified-Since", same)], Outcome::NotModified),
            (&[("If-Modified-Since", earlier)], Outcome::Send),
            (&[("If-Modified-Since", "yesterday")], Outcome::Send),
            (&[("If-Match", "\"a,b\"")], Outcome::Send),
            (&[("If-Match", "W/\"a,b\"")], Outcome::Failed),
            (&[("If-Match", "\"x\"")], Outcome::Failed),
            (
                &[("If-Match", "*"), ("If-None-Match", "\"a,b\"")],
                Outcome::NotModified,
            ),
            (&[("If-Unmodified-Since", same)], Outcome::Send),
            (&[("If-Unmodified-Since", earlier)], Outcome::Failed),
        ] {
            assert_eq!(judge(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_range_holds_only_for_what_the_client_has_seen() {
        let modified = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").ok();
        for (validator, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
        ] {
            let mut asked = Asked::default();
            asked.field("Range", b"bytes=0-1");
            asked.field("If-Range", validator.as_bytes());
            let range = asked.valid_range(Some(b"\"a\""), modified);
            assert_eq!(range.is_some(), expected, "{validator}");
        }
    }

    #[test]
    fn a_coding_is_used_where_it_is_welcome() {
        for (list, expected) in [
            ("gzip, br", true),
            ("GZIP;q=0.1", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(accepts(list.as_bytes(), "gzip"), expected, "{list}");
        }
    }
}
