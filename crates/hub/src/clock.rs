//! The time of day as an argument: [`Clock`].
//!
//! In: nothing, or a test's will. Out: time stamps of envelopes, ids and statistics.
//! Invariant: the hub reads the time nowhere else.

use std::fmt;

use jiff::{Timestamp, tz::TimeZone};

/// Where the hub's time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Appends `2018-11-27 22:53:30.123456+03:00` (S-23).
pub(crate) fn write_timestamp(out: &mut String, now: Timestamp, zone: &TimeZone) {
    let offset = zone.to_offset(now);
    let local = offset.to_datetime(now);
    push_padded(out, i32::from(local.year()), 4);
    out.push('-');
    push_padded(out, i32::from(local.month()), 2);
    out.push('-');
    push_padded(out, i32::from(local.day()), 2);
    out.push(' ');
    push_padded(out, i32::from(local.hour()), 2);
    out.push(':');
    push_padded(out, i32::from(local.minute()), 2);
    out.push(':');
    push_padded(out, i32::from(local.second()), 2);
    out.push('.');
    push_padded(out, local.subsec_nanosecond() / 1000, 6);
    out.push(if offset.seconds() < 0 { '-' } else { '+' });
    let minutes = offset.seconds().abs() / 60;
    push_padded(out, minutes / 60, 2);
    out.push(':');
    push_padded(out, minutes % 60, 2);
}

/// Digits with leading zeros; several times faster than `format!`, and on every message.
fn push_padded(out: &mut String, value: i32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = value.unsigned_abs() / 10_u32.pow(place) % 10;
        out.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(instant: &str, zone: &str, expected: &str) {
        let mut text = String::new();
        write_timestamp(
            &mut text,
            instant.parse().unwrap(),
            &TimeZone::get(zone).unwrap(),
        );
        assert_eq!(text, expected);
    }

    /// S-23.
    #[test]
    fn a_time_stamp_has_microseconds_and_an_offset_with_colon() {
        check(
            "2018-11-27T19:53:30.123456789Z",
            "Europe/Moscow",
            "2018-11-27 22:53:30.123456+03:00",
        );
        check(
            "2018-11-27T19:53:30Z",
            "UTC",
            "2018-11-27 19:53:30.000000+00:00",
        );
        check(
            "2018-01-01T00:00:00.000001Z",
            "America/St_Johns",
            "2017-12-31 20:30:00.000001-03:30",
        );
    }
}
