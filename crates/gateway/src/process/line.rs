//! [`Lines`]: bytes cut into lines of bounded length; [`harmless`]: a line that cannot fool who reads a log.
//!
//! In: what a process writes. Out: text without line breaks and control characters. Invariant: holds
//! [`LINE_MAX`] bytes at most, whatever comes, and gives no more in a line, also as a log in JSON would write it.

use std::fmt::Write;

/// Bytes of a line that are kept, and logged after what is harmful in them has been spelled out.
pub(super) const LINE_MAX: usize = 8 * 1024;

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    left_out: u64,
}

impl Lines {
    /// Takes the next bytes; gives every line that they complete.
    pub(super) fn push(&mut self, bytes: &[u8], mut give: impl FnMut(String)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    self.keep(end);
                    give(self.take());
                }
                None => self.keep(part),
            }
        }
    }

    /// The last line, if no line break has ended it.
    pub(super) fn finish(&mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    /// Takes the part that is kept of a line that has become too long and goes on.
    pub(super) fn cut(&mut self) -> Option<String> {
        self.is_too_long().then(|| self.take())
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.left_out > 0
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_MAX - self.line.len();
        let (kept, left_out) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.line.extend_from_slice(kept);
        self.left_out = self.left_out.saturating_add(left_out.len() as u64);
    }

    fn take(&mut self) -> String {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let (mut text, told) = harmless(line, LINE_MAX);
        let left_out = self.left_out + (line.len() - told) as u64;
        if left_out > 0 {
            write!(text, " … ({left_out} bytes left out)").expect("a string takes all");
        }
        self.line.clear();
        self.left_out = 0;
        text
    }
}

/// Text without control characters, line breaks and changes of the direction of writing; bytes that
/// are no UTF-8 as `\xNN`. No more than so many bytes, a backslash or quotation mark counted as two: that is what it is in
/// JSON. Returns how many bytes of the input it tells.
fn harmless(bytes: &[u8], bytes_max: usize) -> (String, usize) {
    let mut text = Bounded {
        text: String::with_capacity(bytes.len().min(bytes_max)),
        left: bytes_max,
        told: 0,
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let pushed = if is_harmful(c) {
                text.push(c.len_utf8(), c.escape_default())
            } else {
                text.push(c.len_utf8(), [c])
            };
            if pushed == Room::None {
                return (text.text, text.told);
            }
        }
        for byte in chunk.invalid() {
            if text.push(1, format!("\\x{byte:02x}").chars()) == Room::None {
                return (text.text, text.told);
            }
        }
    }
    (text.text, text.told)
}

/// A text that takes whole characters of the input, as they are spelled, while there is room.
struct Bounded {
    text: String,
    left: usize,
    told: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "without room there is no more to push"]
enum Room {
    Left,
    None,
}

impl Bounded {
    fn push(&mut self, len: usize, spelled: impl IntoIterator<Item = char>) -> Room {
        let before = self.text.len();
        self.text.extend(spelled);
        let added = self.text.get(before..).unwrap_or_default();
        let doubled = added.bytes().filter(|it| matches!(it, b'"' | b'\\'));
        let cost = added.len() + doubled.count();
        if cost > self.left {
            self.text.truncate(before);
            return Room::None;
        }
        self.left -= cost;
        self.told += len;
        Room::Left
    }
}

/// Moves the cursor of a terminal, ends a line, or turns the direction of writing.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut lines = Lines::default();
        let mut given = Vec::new();
        for part in parts {
            lines.push(part, |line| given.push(line));
        }
        given.extend(lines.finish());
        given
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_the_last_one_with_the_stream() {
        let cases: [(&str, &[&str]); 5] = [
            ("", &[]),
            ("a\nb\r\n", &["a", "b"]),
            ("a\n\nb", &["a", "", "b"]),
            ("a\rb", &["a\\rb"]),
            ("\n", &[""]),
        ];
        for (input, expected) in cases {
            assert_eq!(lines([input.as_bytes()]), expected, "{input:?}");
        }
    }

    #[test]
    fn nothing_harmful_reaches_the_log() {
        let cases: [(&[u8], &str); 6] = [
            (b"\x1b[2J\x07\0\t", "\\u{1b}[2J\\u{7}\\u{0}\\t"),
            (b"\xc2\x9bx", "\\u{9b}x"),
            ("a\u{202e}b\u{2066}".as_bytes(), "a\\u{202e}b\\u{2066}"),
            ("a\u{2028}b\u{85}".as_bytes(), "a\\u{2028}b\\u{85}"),
            (b"a\xff\xc3(", "a\\xff\\xc3("),
            ("Grüße, 世界 👋".as_bytes(), "Grüße, 世界 👋"),
        ];
        for (input, expected) in cases {
            assert_eq!(lines([input]), [expected]);
        }
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        for excess in [0, 1, 100_000] {
            let mut input = vec![b'x'; LINE_MAX + excess];
            input.extend_from_slice(b"\nnext\n");
            let note = match excess {
                0 => String::new(),
                excess => format!(" … ({excess} bytes left out)"),
            };
            let expected = ["x".repeat(LINE_MAX) + &note, "next".to_owned()];
            assert_eq!(lines([&input[..]]), expected);
            assert_eq!(lines(input.chunks(7)), expected);
        }
    }

    #[test]
    fn a_line_without_end_is_cut_in_pieces_that_tell_what_they_left_out() {
        let mut lines = Lines::default();
        let mut none = |line| panic!("not ended: {line}");
        lines.push(&[b'x'; LINE_MAX], &mut none);
        assert_eq!(lines.cut(), None, "it may end here");
        for _ in 0..3 {
            lines.push(&[b'x'; LINE_MAX + 5], &mut none);
            lines.cut().expect("it goes on");
            assert_eq!(lines.cut(), None);
        }
        lines.push(&[b'x'; LINE_MAX + 5], &mut none);
        let expected = "x".repeat(LINE_MAX) + " … (5 bytes left out)";
        assert_eq!(lines.cut(), Some(expected));
        let mut ended = Vec::new();
        lines.push(b"rest\n", |line| ended.push(line));
        assert_eq!(ended, ["rest"]);
    }

    #[test]
    fn a_line_stays_within_its_bound_when_what_is_harmful_is_spelled_out() {
        for unit in [
            &b"\0"[..],
            b"\x1b",
            b"\xff",
            b"\"",
            b"\\",
            "\u{202e}".as_bytes(),
            b"a\0\"",
            "世\u{85}".as_bytes(),
        ] {
            let input = unit.repeat(LINE_MAX);
            let [line] = lines([&input[..]]).try_into().unwrap();
            let (told, note) = line.split_once(" … (").unwrap();
            let in_json = serde_json::to_string(told).unwrap();
            assert!(in_json.len() <= LINE_MAX + 2, "{unit:?}: {}", in_json.len());
            assert!(
                in_json.len() >= LINE_MAX - 16,
                "{unit:?}: {}",
                in_json.len()
            );
            let left_out: usize = note.split_once(' ').unwrap().0.parse().unwrap();
            assert!(
                left_out < input.len() && left_out > input.len() / 4,
                "{note}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_cuts_of_the_input_change_nothing(input: Vec<u8>, size in 1..9_usize) {
            let whole = lines([&input[..]]);
            prop_assert!(whole.iter().flat_map(|line| line.chars()).all(|c| !is_harmful(c)));
            prop_assert_eq!(whole, lines(input.chunks(size)));
        }
    }
}
