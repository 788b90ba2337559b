//! What the JSON reader does not check in values it passes through.
//!
//! In: a payload that is syntactically JSON. Out: a refusal of nesting beyond [`DEPTH_MAX`],
//! of escaped surrogates without partner, and of numbers beyond common readers. Reason: recipients parse what we pass on; a message
//! that strict readers choke on would sit in a mailbox as poison. Invariant: one byte loop
//! without allocation, skipped when a vectorised count shows that nothing can be wrong.

/// Nothing deeper is passed on: what `serde_json` reads with its recursion limit of 128.
pub(super) const DEPTH_MAX: usize = 127;

/// Characters of a number: what Jackson reads; Python takes 4300 digits.
pub(super) const NUMBER_LEN_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScanError {
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("unpaired surrogate in a string")]
    Surrogate,
}

/// `json` must have passed a JSON reader.
pub(super) fn check(json: &[u8]) -> Result<(), ScanError> {
    // Both looks compile to wide compares: the common message takes this way out.
    let openings = json
        .iter()
        .filter(|byte| matches!(byte, b'[' | b'{'))
        .count();
    if openings <= DEPTH_MAX && !json.contains(&b'\\') {
        Ok(())
    } else {
        check_bytes(json)
    }
}

/// Returns whether every number is one that common readers take: at most [`NUMBER_LEN_MAX`] characters, and a finite
/// double. Beyond that readers raise (Python, Go, Java), or make something else of it (infinity in JavaScript).
///
/// `json` must have passed a JSON reader.
pub(super) fn has_common_numbers(json: &[u8]) -> bool {
    let mut rest = json;
    let begins = |byte: &u8| matches!(byte, b'"' | b'0'..=b'9');
    while let Some(at) = rest.iter().position(begins) {
        let (_, behind) = rest.split_at(at);
        if let [b'"', text @ ..] = behind {
            rest = behind_string(text);
            continue;
        }
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
        let len = behind.iter().position(|byte| !is_part(byte));
        let (number, behind) = behind.split_at(len.unwrap_or(behind.len()));
        if !is_common_number(number) {
            return false;
        }
        rest = behind;
    }
    true
}

/// `rest` stands behind the opening quote of a string; returns what stands behind the closing one.
fn behind_string(mut rest: &[u8]) -> &[u8] {
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\');
    while let Some(at) = rest.iter().position(ends) {
        let (_, found) = rest.split_at(at);
        match found {
            [b'\\', _, behind @ ..] => rest = behind,
            [_, behind @ ..] => return behind,
            [] => break,
        }
    }
    &[]
}

fn is_common_number(number: &[u8]) -> bool {
    let is_short =
        number.len() < EXPONENTLESS_LEN && !number.iter().any(|b| matches!(b, b'e' | b'E'));
    if is_short {
        return true;
    }
    let value = str::from_utf8(number).map(str::parse::<f64>);
    number.len() <= NUMBER_LEN_MAX && matches!(value, Ok(Ok(value)) if value.is_finite())
}

/// A double has at most 309 digits before the point.
const EXPONENTLESS_LEN: usize = 309;

fn check_bytes(json: &[u8]) -> Result<(), ScanError> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut rest = json;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (in_string, byte) {
            (_, b'"') => in_string = !in_string,
            (true, b'\\') => rest = skip_escape(tail)?,
            (false, b'[' | b'{') => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(ScanError::TooDeep);
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (true | false, _) => {}
        }
    }
    Ok(())
}

/// `rest` stands behind a backslash; returns what stands behind the escape.
fn skip_escape(rest: &[u8]) -> Result<&[u8], ScanError> {
    let [b'u', hex @ ..] = rest else {
        return Ok(rest.get(1..).unwrap_or_default());
    };
    let (unit, rest) = take_unit(hex);
    match unit {
        0xD800..=0xDBFF => {}
        0xDC00..=0xDFFF => return Err(ScanError::Surrogate),
        _ => return Ok(rest),
    }
    let [b'\\', b'u', hex @ ..] = rest else {
        return Err(ScanError::Surrogate);
    };
    match take_unit(hex) {
        (0xDC00..=0xDFFF, rest) => Ok(rest),
        _ => Err(ScanError::Surrogate),
    }
}

/// Four hex digits; the JSON reader has seen that they are some.
fn take_unit(hex: &[u8]) -> (u32, &[u8]) {
    let (digits, rest) = hex.split_at(hex.len().min(4));
    let unit = digits.iter().fold(0, |unit, digit| {
        unit * 16 + char::from(*digit).to_digit(16).unwrap_or_default()
    });
    (unit, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_taken_up_to_the_bound_and_refused_beyond() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert_eq!(check(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(check(&nested(DEPTH_MAX + 1)), Err(ScanError::TooDeep));
        assert_eq!(check(&nested(1).repeat(1000)), Ok(()), "wide is not deep");
        let brackets_in_a_string = [b"\"".as_slice(), &b"[".repeat(500), b"\\\"[\""].concat();
        assert_eq!(check(&brackets_in_a_string), Ok(()));
    }

    /// Kinds: many digits before and behind the point, exponents of either sign, a number at any place, digits in
    /// strings and keys.
    #[test]
    fn numbers_are_taken_as_far_as_common_readers_take_them() {
        let nines = "9".repeat(308);
        let zeros = "0".repeat(997);
        for json in [
            "null",
            "0",
            "-0",
            "1.50",
            "18446744073709551616",
            "1e308",
            "-1.7976931348623157e308",
            "1e-400",
            "5E-324",
            "0e999999999999",
            &nines,
            &format!("0.{zeros}1"),
            &format!("{{\"1e400\":\"1e400 \\\" {nines}9\"}}"),
            "[1,2,[3,{\"a\":-4e+5}]]",
            "\"\\\\\"",
        ] {
            assert!(has_common_numbers(json.as_bytes()), "{json}");
        }
        let many = "1".repeat(100_000);
        for number in [
            "1e309",
            "-1E400",
            "1e+400",
            "1.8e308",
            "1e99999999999999999999",
            &"9".repeat(309),
            &format!("0.{zeros}11"),
            &many,
            &format!("-{many}"),
            &format!("1e{zeros}0001"),
        ] {
            for json in [
                number.to_owned(),
                format!("[{number}]"),
                format!("{{\"a\":[1,\"\\\"\",{number}],\"b\":2}}"),
                format!("[1e5,{number}]"),
            ] {
                assert!(!has_common_numbers(json.as_bytes()), "{json:.60}");
            }
        }
    }

    #[test]
    fn escaped_surrogates_need_their_partner() {
        assert_eq!(check(br#""\ud83d\ude00 \u00e9 \\ud800 \n""#), Ok(()));
        for wrong in [
            br#""\ud800""#.as_slice(),
            br#""\udc00""#,
            br#""\ud800\u0041""#,
            br#""\ud800 \udc00""#,
            br#"{"\uDFFF":1}"#,
        ] {
            assert_eq!(check(wrong), Err(ScanError::Surrogate));
        }
    }
}
