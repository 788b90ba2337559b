//! Sizes and lengths of time, which are written with their unit.

use std::{fmt, time::Duration};

use serde::{Deserializer, de};

/// A thousandth of a second.
pub const MILLISECOND: Duration = Duration::from_millis(1);
/// A second.
pub const SECOND: Duration = Duration::from_secs(1);
/// 60 seconds.
pub const MINUTE: Duration = Duration::from_mins(1);
/// 60 minutes.
pub const HOUR: Duration = Duration::from_hours(1);
/// 24 hours.
pub const DAY: Duration = Duration::from_hours(24);

/// Reads a number of bytes: `512`, `64KiB`, `10MiB`, `4GiB`; `K`, `M` and `G` mean the same (× 1024).
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = [("K", 10), ("M", 20), ("G", 30)]
        .into_iter()
        .find_map(|(letter, shift)| {
            let short = text.strip_suffix("iB").unwrap_or(text);
            Some((short.strip_suffix(letter)?, shift))
        })
        .unwrap_or((text, 0));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(1 << shift)
}

/// Shows a number of bytes with the largest unit of which it is a multiple.
pub fn format_size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Reads a whole number with its unit: `100ms`, `5s`, `2m`, `1h`, `1d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(split)?;
    let count: u64 = digits.parse().ok()?;
    let millis = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    count.checked_mul(millis).map(Duration::from_millis)
}

/// Shows a length of time with the largest unit of which it is a multiple; parts of a millisecond are left out.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    for (name, unit) in UNITS {
        let unit = u128::from(unit);
        if millis.is_multiple_of(unit) {
            return format!("{}{name}", millis / unit);
        }
    }
    format!("{millis}ms")
}

/// Names and milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Deserializes a size.
///
/// # Errors
/// When it is none.
pub fn read_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SizeVisitor)
}

struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"64KiB\": bytes, or a number with KiB, MiB or GiB (K, M or G)")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse_size(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// Deserializes a length of time.
///
/// # Errors
/// When it is none.
pub fn read_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

struct DurationVisitor;

impl de::Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"5s\": a whole number with ms, s, m, h or d")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown_with_their_unit() {
        for (text, millis) in [
            ("0s", Some(0)),
            ("100ms", Some(100)),
            ("5s", Some(5000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("5", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("1S", None),
            ("1m30s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            let read = parse_duration(text);
            assert_eq!(read, millis.map(Duration::from_millis), "{text}");
            if let Some(duration) = read {
                assert_eq!(format_duration(duration), text);
            }
        }
        assert_eq!(format_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(format_duration(Duration::from_mins(1)), "1m");
    }

    #[test]
    fn sizes_have_two_spellings() {
        for (text, bytes) in [
            ("7", Some(7)),
            ("64K", Some(65_536)),
            ("64KiB", Some(65_536)),
            ("2MiB", Some(2 << 20)),
            ("1GiB", Some(1 << 30)),
            ("1iB", None),
            ("iB", None),
            ("1KB", None),
            ("K", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (65_536, "64KiB"),
            (3 << 30, "3GiB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }
}
