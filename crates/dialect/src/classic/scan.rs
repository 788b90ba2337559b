//! What the JSON reader does not check in values it passes through.
//!
//! In: a payload that is syntactically JSON. Out: a refusal of nesting beyond [`DEPTH_MAX`] and
//! of escaped surrogates without partner. Reason: recipients parse what we pass on; a message
//! that strict readers choke on would sit in a mailbox as poison. Invariant: one byte loop
//! without allocation, skipped when a vectorised count shows that nothing can be wrong.

/// Nothing deeper is passed on: what `serde_json` reads with its recursion limit of 128.
pub(super) const DEPTH_MAX: usize = 127;

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
