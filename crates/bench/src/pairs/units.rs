//! Times and sizes as `CppServer`'s benchmarks print them, so that scripts that read those read ours.
//!
//! A size is printed in two parts: whole units, and behind the point the rest in the next smaller unit, which runs to
//! 1023: `1.1006 GiB` is 1 GiB and 1006 MiB. The exact numbers stand in the JSON form of a report.

use std::{fmt, time::Duration};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataSize(pub u64);

impl fmt::Display for DataSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let Self(bytes) = *self;
        for (bits, unit) in UNITS {
            if bytes >> bits > 0 {
                let rest = bytes >> (bits - 10) & 1023;
                return write!(f, "{}.{rest:03} {unit}", bytes >> bits);
            }
        }
        write!(f, "{bytes} bytes")
    }
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimePeriod(pub Duration);

impl fmt::Display for TimePeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        let (minutes, millis) = (seconds / 60, nanos / 1_000_000);
        match (minutes / 60, minutes, seconds, nanos) {
            (1.., ..) => write!(
                f,
                "{}:{:02}:{:02}.{millis:03} h",
                minutes / 60,
                minutes % 60,
                seconds % 60
            ),
            (0, 1.., ..) => write!(f, "{minutes}:{:02}.{millis:03} m", seconds % 60),
            (0, 0, 1.., _) => write!(f, "{seconds}.{millis:03} s"),
            (0, 0, 0, 1_000_000..) => write!(f, "{millis}.{:03} ms", nanos / 1_000 % 1_000),
            (0, 0, 0, 1_000..) => write!(f, "{}.{:03} mcs", nanos / 1_000, nanos % 1_000),
            (0, 0, 0, _) => write!(f, "{nanos} ns"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_rest_in_the_next_smaller_unit() {
        const GIB: u64 = 1 << 30;
        const MIB: u64 = 1 << 20;
        let check = |bytes, text: &str| assert_eq!(DataSize(bytes).to_string(), text);
        check(0, "0 bytes");
        check(1023, "1023 bytes");
        check(1024, "1.000 KiB");
        check(1500, "1.476 KiB");
        check(249 * MIB + 1023 * 1024, "249.1023 MiB");
        check(GIB + 1006 * MIB, "1.1006 GiB");
        check(GIB + 7 * MIB + 5, "1.007 GiB");
        check((1 << 40) + 99 * GIB, "1.099 TiB");
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        let check = |nanos, text: &str| {
            assert_eq!(TimePeriod(Duration::from_nanos(nanos)).to_string(), text);
        };
        check(0, "0 ns");
        check(177, "177 ns");
        check(1_031, "1.031 mcs");
        check(17_293, "17.293 mcs");
        check(2_050_001, "2.050 ms");
        check(10_007_123_456, "10.007 s");
        check(61_002_000_000, "1:01.002 m");
        check(3_723_004_000_000, "1:02:03.004 h");
    }
}
