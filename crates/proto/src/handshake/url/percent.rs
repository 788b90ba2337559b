//! Percent-encoding (RFC 3986 section 2.1) of what people write into addresses.

use std::fmt::Write as _;

/// Characters that neither RFC 3986 section 3.3 nor browsers let into a path as they are, in ASCII.
pub(super) const IN_PATH: &[u8] = b" \"<>[\\]^`{|}";

/// In queries browsers encode the single quote, too.
pub(super) const IN_QUERY: &[u8] = b" \"<>[\\]^`{|}'";

/// Appends `text`, with these characters, control characters and all outside of ASCII encoded as UTF-8; escapes
/// stay as they are.
pub(super) fn encode(text: &str, encoded: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii() && !byte.is_ascii_control() && !encoded.contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
}

/// Returns the bytes that `text` stands for; a `%` without two hexadecimal digits is itself.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        out.push(*byte);
        if *byte == b'%'
            && let Some((digits, behind)) = behind.split_at_checked(2)
            && let Some(decoded) = hexadecimal(digits)
        {
            out.pop();
            out.push(decoded);
            rest = behind;
        }
    }
    out
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_reverts_encoding_and_leaves_what_is_no_escape() {
        for (text, expected) in [
            ("a%20b", "a b"),
            ("%c3%A9", "\u{e9}"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%+1", "%+1"),
            ("%%41", "%A"),
        ] {
            assert_eq!(decode(text), expected.as_bytes(), "{text}");
        }
        let mut encoded = String::new();
        encode("\u{e9} \u{0}\u{1f600}'", IN_PATH, &mut encoded);
        assert_eq!(encoded, "%C3%A9%20%00%F0%9F%98%80'");
        assert_eq!(decode(&encoded), "\u{e9} \u{0}\u{1f600}'".as_bytes());
    }
}
