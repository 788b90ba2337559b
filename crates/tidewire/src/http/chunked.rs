//! Where a chunked body ends (RFC 9112 section 7.1), strictly: lines end with CR LF, and nothing else does.
//!
//! In: the bytes of the body. Out: how many belong to it. They are not decoded here.

/// Follows a chunked body.
#[derive(Debug)]
pub(super) struct Chunked {
    part: Part,
    /// Bytes of the line of the chunk's size so far, or of all trailer fields.
    line_len: usize,
    trailers_bytes_max: usize,
    /// So many trailer fields may come yet.
    trailers_left: usize,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    /// The size, as far as its digits tell it.
    Size(u64),
    /// Between the size and the end of its line.
    Extension(u64),
    /// Expects the line feed behind the size.
    SizeEnd(u64),
    /// So much data is to come, at least one byte.
    Data(u64),
    /// Expects the carriage return behind the data.
    DataEnd,
    /// Expects the line feed behind that.
    DataEnded,
    /// At the beginning of a trailer field, or of the empty line that is the end.
    Trailer,
    /// In the name of a trailer field.
    Name,
    /// In its value.
    Field,
    /// Expects the line feed behind a trailer field.
    FieldEnd,
    /// Expects the line feed of the empty line.
    End,
}

/// The body is not one.
#[derive(Debug)]
pub(super) struct Malformed;

/// Bytes of a chunk's size with its extensions, which nobody sends; each byte of data could have as many.
const SIZE_LINE_BYTES_MAX: usize = 256;

/// A size has at most so many digits, so that it fits into an integer.
const DIGITS_MAX: usize = 15;

impl Chunked {
    pub(super) fn new(trailers_bytes_max: usize, trailers_max: usize) -> Self {
        Self {
            part: Part::Size(0),
            line_len: 0,
            trailers_bytes_max,
            trailers_left: trailers_max,
        }
    }

    /// How many bytes of `input` belong to the body, and whether it is over then.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut at = 0;
        while let Some(byte) = input.get(at) {
            if let Part::Data(left) = self.part {
                let rest = input.len() - at;
                let len = usize::try_from(left).map_or(rest, |left| left.min(rest));
                let left = left - len as u64;
                self.part = if left == 0 {
                    Part::DataEnd
                } else {
                    Part::Data(left)
                };
                at += len;
                continue;
            }
            at += 1;
            if matches!((self.part, byte), (Part::End, b'\n')) {
                return Ok((at, true));
            }
            self.part = self.next(*byte).ok_or(Malformed)?;
        }
        Ok((at, false))
    }

    /// A part of the trailer fields, unless these are too long.
    fn within(&self, part: Part) -> Option<Part> {
        (self.line_len < self.trailers_bytes_max).then_some(part)
    }

    /// The part that follows a byte, unless that is malformed.
    fn next(&mut self, byte: u8) -> Option<Part> {
        self.line_len += 1;
        let is_first = self.line_len == 1;
        match (self.part, byte) {
            (Part::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16)?;
                (self.line_len <= DIGITS_MAX).then(|| Part::Size(size * 16 + u64::from(digit)))
            }
            (Part::Size(size), b';') if !is_first => Some(Part::Extension(size)),
            (Part::Size(size), b'\r') if !is_first => Some(Part::SizeEnd(size)),
            (Part::Extension(size), b'\r') => Some(Part::SizeEnd(size)),
            (Part::Extension(size), b'\t' | b' '..=b'~') => {
                (self.line_len < SIZE_LINE_BYTES_MAX).then_some(Part::Extension(size))
            }
            (Part::SizeEnd(size), b'\n') => {
                self.line_len = 0;
                Some(match size {
                    0 => Part::Trailer,
                    _ => Part::Data(size),
                })
            }
            (Part::DataEnd, b'\r') => Some(Part::DataEnded),
            (Part::DataEnded, b'\n') => {
                self.line_len = 0;
                Some(Part::Size(0))
            }
            (Part::Trailer, b'\r') => Some(Part::End),
            (Part::Field, b'\r') => Some(Part::FieldEnd),
            (Part::FieldEnd, b'\n') => Some(Part::Trailer),
            (Part::Trailer, byte) if is_token(byte) => {
                self.trailers_left = self.trailers_left.checked_sub(1)?;
                self.within(Part::Name)
            }
            (Part::Name, byte) if is_token(byte) => self.within(Part::Name),
            (Part::Name, b':') | (Part::Field, b'\t' | b' '..=b'~' | 0x80..) => {
                self.within(Part::Field)
            }
            _ => None,
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes belong to the body, if it ends; in any cut.
    fn len(body: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut told = Vec::new();
        for step in [1, 2, 3, body.len().max(1)] {
            let mut chunked = Chunked::new(20, 2);
            let mut at = 0;
            let mut found = None;
            while at < body.len() && found.is_none() {
                let until = body.len().min(at + step);
                let (taken, is_over) = chunked.advance(&body[at..until])?;
                at += taken;
                found = is_over.then_some(at);
            }
            told.push(found);
        }
        assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
        Ok(told[0])
    }

    #[test]
    fn the_end_of_a_body_is_found_in_any_cut() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
            "1;name=value; other=\"quoted\"\r\nx\r\n0;last\r\n\r\n",
            "0\r\nA: b\r\nC: d\r\n\r\n",
        ] {
            let with_more = format!("{body}GET /");
            assert_eq!(
                len(with_more.as_bytes()).unwrap(),
                Some(body.len()),
                "{body:?}"
            );
            let cut = &body.as_bytes()[..body.len() - 1];
            assert_eq!(len(cut).unwrap(), None, "{body:?}");
        }
    }

    #[test]
    fn what_others_may_read_differently_is_malformed() {
        let long_extension = format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(300));
        for body in [
            "\r\n",
            "5\nhello\r\n",
            "5 \r\nhello\r\n",
            " 5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "-1\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello\rX",
            "5\rX",
            "5;a\nhello\r\n",
            ";a\r\n",
            "g\r\n",
            "1000000000000000\r\n",
            "ffffffffffffffff\r\n",
            "0\r\nA: b\nC: d\r\n\r\n",
            "0\r\nA: \0\r\n\r\n",
            "0\r\nchunked\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\nA: b\r\n folded\r\n\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\nA:\r\nB:\r\nC:\r\n\r\n",
            "0\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n\r\n",
            "0\r\n\n",
            &long_extension,
        ] {
            assert!(len(body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
