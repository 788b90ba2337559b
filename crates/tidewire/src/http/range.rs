//! The field `Range` (RFC 9110 section 14): which bytes a client wants.

use std::ops::Range;

/// Ranges of an answer, at most; a request for more gets the whole, which is one answer instead of many small ones.
const RANGES_MAX: usize = 16;

/// The parts of a body to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: the field is malformed, of another unit, or asks for more pieces than make sense.
    Whole,
    /// These, at least one, in the order of the field; each lies inside, and together they are not longer than the body.
    Parts(Vec<Range<u64>>),
    /// Nothing of that exists: 416.
    Unsatisfiable,
}

/// Reads the field for a body of `len` bytes.
pub(super) fn parse(field: &[u8], len: u64) -> Wanted {
    let Some(specs) = std::str::from_utf8(field)
        .ok()
        .and_then(|it| it.trim().split_once('='))
    else {
        return Wanted::Whole;
    };
    let (unit, specs) = specs;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut parts = Vec::new();
    for (number, spec) in specs.split(',').enumerate() {
        if number >= RANGES_MAX {
            return Wanted::Whole;
        }
        match part(spec.trim(), len) {
            Ok(Some(part)) => parts.push(part),
            Ok(None) => {}
            Err(Malformed) => return Wanted::Whole,
        }
    }
    if parts.is_empty() {
        return Wanted::Unsatisfiable;
    }
    // Overlapping ranges would make the answer larger than the body.
    let total = parts
        .iter()
        .fold(0_u64, |sum, part| sum.saturating_add(part.end - part.start));
    if total > len {
        return Wanted::Whole;
    }
    Wanted::Parts(parts)
}

struct Malformed;

/// `None`: it lies outside.
fn part(spec: &str, len: u64) -> Result<Option<Range<u64>>, Malformed> {
    let (first, last) = spec.split_once('-').ok_or(Malformed)?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // Of more digits than fit: as far as can be counted.
        is_number
            .then(|| digits.parse().unwrap_or(u64::MAX))
            .ok_or(Malformed)
    };
    if first.is_empty() {
        let suffix = number(last)?.min(len);
        return Ok((suffix > 0).then(|| len - suffix..len));
    }
    let first = number(first)?;
    let end = if last.is_empty() {
        len
    } else {
        let last = number(last)?;
        if last < first {
            return Err(Malformed);
        }
        last.saturating_add(1).min(len)
    };
    Ok((first < len).then_some(first..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let parts = |parts: &[(u64, u64)]| {
            Wanted::Parts(parts.iter().map(|(start, end)| *start..*end).collect())
        };
        for (field, expected) in [
            ("bytes=0-9", parts(&[(0, 10)])),
            ("bytes=90-", parts(&[(90, 100)])),
            ("bytes=90-1000", parts(&[(90, 100)])),
            ("bytes=90-99999999999999999999999", parts(&[(90, 100)])),
            ("bytes=-5", parts(&[(95, 100)])),
            ("bytes=-500", parts(&[(0, 100)])),
            ("Bytes = 1-2, 4-5", parts(&[(1, 3), (4, 6)])),
            ("bytes=200-, 0-0", parts(&[(0, 1)])),
            ("bytes=0-59,40-99", Wanted::Whole),
            ("bytes=100-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=a-4", Wanted::Whole),
            ("bytes=+1-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("lines=0-4", Wanted::Whole),
            ("", Wanted::Whole),
            (
                "bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,10-10,11-11,12-12,13-13,14-14,15-15,16-16",
                Wanted::Whole,
            ),
        ] {
            assert_eq!(parse(field.as_bytes(), 100), expected, "{field}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Wanted::Unsatisfiable);
    }
}
