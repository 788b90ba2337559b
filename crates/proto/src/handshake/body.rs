//! The body of an HTTP/1 answer (RFC 9112 sections 6 and 7), put together within a limit.
//!
//! In: the answer's head, then its bytes in any pieces. Out: the body, or why there is none. Invariant: no more is kept than
//! the limit allows, whatever the framing.

use bytes::Bytes;

use super::ResponseHead;

/// Puts a body together. The connection ends with the answer: what comes behind the body is thrown away.
#[derive(Debug)]
pub struct BodyDecoder {
    framing: Framing,
    body: Vec<u8>,
    bytes_max: usize,
    /// Of a body above the limit the beginning is kept.
    keeps_beginning: bool,
}

/// Tells that more is to come, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum BodyProgress {
    /// More has to be read.
    Incomplete,
    /// The body is whole.
    Complete,
}

/// There is no body to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than the limit.
    #[error("body above the limit of {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// Its length cannot be told: lengths that contradict each other, or chunks that are none.
    #[error("malformed body")]
    Malformed,
    /// The stream ended before it.
    #[error("the body was cut off")]
    Cut,
}

/// How the end is found.
#[derive(Debug)]
enum Framing {
    /// So many bytes are left.
    Length(usize),
    Chunked(Chunks),
    /// The stream's end is the body's.
    UntilEnd,
    Malformed,
}

#[derive(Debug)]
enum Chunks {
    /// In the line that tells the size of the next chunk.
    Size {
        line: Vec<u8>,
    },
    /// In a chunk, of which so many bytes are left.
    Data {
        left: usize,
    },
    /// In the line end behind a chunk.
    DataEnd,
    /// Behind the last chunk: fields, which nobody needs, and an empty line.
    Trailer {
        line_len: usize,
        bytes: usize,
    },
    Done,
}

/// Most bytes of a line that tells a size, extensions included, and of all trailers.
const LINE_BYTES_MAX: usize = 4096;

impl BodyDecoder {
    /// A decoder for the body behind `head`, of at most `bytes_max` bytes.
    pub fn new(head: &ResponseHead, bytes_max: usize) -> Self {
        Self {
            framing: framing(head),
            body: Vec::new(),
            bytes_max,
            keeps_beginning: false,
        }
    }

    /// As [`new`](Self::new), for who wants the first `bytes_max` bytes of a body that is longer, too, or malformed further
    /// on: [`into_beginning`](Self::into_beginning).
    pub fn beginning(head: &ResponseHead, bytes_max: usize) -> Self {
        Self {
            keeps_beginning: true,
            ..Self::new(head, bytes_max)
        }
    }

    /// Takes the next bytes; begin with those read behind the head, if only none.
    ///
    /// # Errors
    /// [`BodyError::TooLong`] as soon as that is known, [`BodyError::Malformed`].
    pub fn receive(&mut self, mut bytes: &[u8]) -> Result<BodyProgress, BodyError> {
        loop {
            match &mut self.framing {
                Framing::Malformed => return Err(BodyError::Malformed),
                Framing::UntilEnd => {
                    self.keep(bytes)?;
                    return Ok(BodyProgress::Incomplete);
                }
                Framing::Length(left) => {
                    if !self.keeps_beginning
                        && self.body.len().saturating_add(*left) > self.bytes_max
                    {
                        return Err(self.too_long());
                    }
                    let (part, _behind) = bytes.split_at((*left).min(bytes.len()));
                    *left = left.saturating_sub(part.len());
                    let is_complete = *left == 0;
                    self.keep(part)?;
                    return Ok(if is_complete {
                        BodyProgress::Complete
                    } else {
                        BodyProgress::Incomplete
                    });
                }
                Framing::Chunked(Chunks::Done) => return Ok(BodyProgress::Complete),
                Framing::Chunked(Chunks::Data { left }) if *left > 0 => {
                    if bytes.is_empty() {
                        return Ok(BodyProgress::Incomplete);
                    }
                    let (part, behind) = bytes.split_at((*left).min(bytes.len()));
                    *left = left.saturating_sub(part.len());
                    bytes = behind;
                    self.keep(part)?;
                }
                Framing::Chunked(chunks) => {
                    let Some((byte, behind)) = bytes.split_first() else {
                        return Ok(BodyProgress::Incomplete);
                    };
                    bytes = behind;
                    chunks.step(*byte)?;
                }
            }
        }
    }

    /// Gives the body, once it is complete or the stream has ended.
    ///
    /// # Errors
    /// [`BodyError::Cut`] if it is not whole.
    pub fn end(mut self) -> Result<Bytes, BodyError> {
        let is_whole = matches!(self.framing, Framing::UntilEnd)
            || self.receive(&[])? == BodyProgress::Complete;
        if is_whole {
            Ok(Bytes::from(self.body))
        } else {
            Err(BodyError::Cut)
        }
    }

    /// Gives what has come of the body, at most the limit.
    pub fn into_beginning(self) -> Bytes {
        Bytes::from(self.body)
    }

    /// Returns whether the end of the stream is the end of the body.
    pub fn ends_with_stream(&self) -> bool {
        matches!(self.framing, Framing::UntilEnd)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        let room = self.bytes_max.saturating_sub(self.body.len());
        if bytes.len() > room {
            if self.keeps_beginning {
                self.body.extend(bytes.iter().take(room));
            }
            return Err(self.too_long());
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn too_long(&self) -> BodyError {
        BodyError::TooLong {
            bytes_max: self.bytes_max,
        }
    }
}

impl Chunks {
    /// Takes one byte between the data of two chunks.
    fn step(&mut self, byte: u8) -> Result<(), BodyError> {
        match self {
            Self::Size { line } if byte == b'\n' => {
                *self = match size(line)? {
                    0 => Self::Trailer {
                        line_len: 0,
                        bytes: 0,
                    },
                    left => Self::Data { left },
                };
            }
            Self::Size { line } if line.len() < LINE_BYTES_MAX => line.push(byte),
            Self::Data { .. } if byte == b'\r' => *self = Self::DataEnd,
            Self::Data { .. } | Self::DataEnd if byte == b'\n' => {
                *self = Self::Size { line: Vec::new() };
            }
            Self::Trailer { line_len, .. } if byte == b'\n' => {
                if *line_len == 0 {
                    *self = Self::Done;
                } else {
                    *line_len = 0;
                }
            }
            Self::Trailer { bytes, .. } if byte == b'\r' && *bytes < LINE_BYTES_MAX => {
                *bytes = bytes.saturating_add(1);
            }
            Self::Trailer { line_len, bytes } if *bytes < LINE_BYTES_MAX => {
                *line_len = line_len.saturating_add(1);
                *bytes = bytes.saturating_add(1);
            }
            Self::Size { .. } | Self::Data { .. } | Self::DataEnd | Self::Trailer { .. } => {
                return Err(BodyError::Malformed);
            }
            Self::Done => {}
        }
        Ok(())
    }
}

/// The size in a chunk's first line; extensions behind it say nothing.
fn size(line: &[u8]) -> Result<usize, BodyError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits.trim_ascii()).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(BodyError::Malformed);
    }
    // A size beyond all numbers is beyond every limit.
    Ok(usize::from_str_radix(digits, 16).unwrap_or(usize::MAX))
}

/// Returns how the end of the body is found (RFC 9112 section 6.3).
fn framing(head: &ResponseHead) -> Framing {
    if matches!(head.status(), 100..200 | 204 | 304) {
        return Framing::Length(0);
    }
    if head.values("transfer-encoding").next().is_some() {
        return if head.has_token("transfer-encoding", "chunked") {
            Framing::Chunked(Chunks::Size { line: Vec::new() })
        } else {
            Framing::UntilEnd
        };
    }
    let lengths = head.values("content-length");
    let lengths = lengths.flat_map(|value| value.split(|byte| *byte == b','));
    let mut found = None;
    for text in lengths {
        let text = text.trim_ascii();
        let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(text).ok().filter(|_text| is_number);
        let Some(number) = number else {
            return Framing::Malformed;
        };
        let number = number.parse().unwrap_or(usize::MAX);
        if found.is_some_and(|found| found != number) {
            return Framing::Malformed;
        }
        found = Some(number);
    }
    found.map_or(Framing::UntilEnd, Framing::Length)
}

#[cfg(test)]
mod tests {
    //! Bodies in every framing, whole, in pieces, cut, and too long.

    use super::*;
    use crate::handshake::HeadLimits;

    const BYTES_MAX: usize = 20;

    fn decoder(fields: &str, status: u16) -> BodyDecoder {
        let head = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
        let head = ResponseHead::parse(head.into(), HeadLimits::default()).unwrap();
        BodyDecoder::new(&head, BYTES_MAX)
    }

    /// The body, of the bytes in pieces of any size; and whether the end of the stream was needed.
    fn decode(fields: &str, bytes: &str) -> Result<(String, bool), BodyError> {
        let mut all = Vec::new();
        for size in [1, 2, 3, 1000] {
            let mut decoder = decoder(fields, 404);
            let mut progress = decoder.receive(&[]);
            for piece in bytes.as_bytes().chunks(size) {
                if progress == Ok(BodyProgress::Incomplete) {
                    progress = decoder.receive(piece);
                }
            }
            all.push(progress.and_then(|progress| {
                let body = decoder.end()?;
                let body = String::from_utf8(body.to_vec()).unwrap();
                Ok((body, progress == BodyProgress::Incomplete))
            }));
        }
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        all.remove(0)
    }

    #[test]
    fn a_body_is_put_together_in_every_framing() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        for (fields, bytes, body, needs_end) in [
            ("Content-Length: 5\r\n", "hello, not this", "hello", false),
            ("Content-Length: 5, 5\r\n", "hello", "hello", false),
            ("Content-Length: 0\r\n", "", "", false),
            ("", "hello", "hello", true),
            ("", "", "", true),
            ("Connection: close\r\n", "hello", "hello", true),
            ("Transfer-Encoding: gzip\r\n", "hello", "hello", true),
            (chunked, "5\r\nhello\r\n0\r\n\r\nmore", "hello", false),
            (
                chunked,
                "3;a=b\r\nhel\r\n02\r\nlo\r\n0\r\nT: 1\r\n\r\n",
                "hello",
                false,
            ),
            (chunked, "5\nhello\n0\n\n", "hello", false),
            (chunked, "0\r\n\r\n", "", false),
            (
                "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\n\r\n",
                "hello",
                false,
            ),
        ] {
            let found = decode(fields, bytes);
            assert_eq!(
                found,
                Ok((body.to_owned(), needs_end)),
                "{fields} {bytes:?}"
            );
        }
    }

    #[test]
    fn a_body_that_is_cut_too_long_or_no_body_is_told() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        let long = "x".repeat(BYTES_MAX + 1);
        let chunk = format!("15\r\n{long}\r\n0\r\n\r\n");
        let too_long = BodyError::TooLong {
            bytes_max: BYTES_MAX,
        };
        for (fields, bytes, error) in [
            ("Content-Length: 5\r\n", "hell", BodyError::Cut),
            ("Content-Length: 5\r\n", "", BodyError::Cut),
            (chunked, "5\r\nhello\r\n0\r\n", BodyError::Cut),
            (chunked, "5\r\nhel", BodyError::Cut),
            (chunked, "", BodyError::Cut),
            ("Content-Length: 21\r\n", "", too_long),
            ("Content-Length: 99999999999999999999999\r\n", "", too_long),
            ("", &long, too_long),
            (chunked, &chunk, too_long),
            (chunked, "xyz\r\n", BodyError::Malformed),
            (chunked, "\r\n", BodyError::Malformed),
            (chunked, "-5\r\n", BodyError::Malformed),
            (chunked, "5\r\nhello5\r\n", BodyError::Malformed),
            (
                "Content-Length: 5\r\nContent-Length: 6\r\n",
                "",
                BodyError::Malformed,
            ),
            ("Content-Length: five\r\n", "", BodyError::Malformed),
            ("Content-Length: +5\r\n", "hello", BodyError::Malformed),
        ] {
            assert_eq!(decode(fields, bytes), Err(error), "{fields} {bytes:?}");
        }
        let endless = "9".repeat(3 * LINE_BYTES_MAX);
        assert_eq!(decode(chunked, &endless), Err(BodyError::Malformed));
        let trailers = format!("0\r\n{}", "T: 1\r\n".repeat(LINE_BYTES_MAX));
        assert_eq!(decode(chunked, &trailers), Err(BodyError::Malformed));
    }

    #[test]
    fn the_beginning_of_a_body_is_kept_whatever_becomes_of_the_rest() {
        let long = "x".repeat(BYTES_MAX + 5);
        let chunk = format!("19\r\n{long}\r\n0\r\n\r\n");
        let chunked = "Transfer-Encoding: chunked\r\n";
        let kept = "x".repeat(BYTES_MAX);
        for (fields, bytes, beginning) in [
            ("Content-Length: 5\r\n", "hello", "hello"),
            ("Content-Length: 5\r\n", "hel", "hel"),
            ("Content-Length: 25\r\n", long.as_str(), kept.as_str()),
            ("Content-Length: 99999999999999999999999\r\n", &long, &kept),
            ("", &long, &kept),
            (chunked, &chunk, &kept),
            (chunked, "5\r\nhello5\r\n", "hello"),
            (chunked, "hello", ""),
            ("Content-Length: five\r\n", "hello", ""),
        ] {
            for size in [1, 3, 1000] {
                let head = format!("HTTP/1.1 404 X\r\n{fields}\r\n");
                let head = ResponseHead::parse(head.into(), HeadLimits::default()).unwrap();
                let mut decoder = BodyDecoder::beginning(&head, BYTES_MAX);
                let mut progress = decoder.receive(&[]);
                for piece in bytes.as_bytes().chunks(size) {
                    if progress == Ok(BodyProgress::Incomplete) {
                        progress = decoder.receive(piece);
                    }
                }
                assert_eq!(decoder.into_beginning(), beginning, "{fields} {bytes}");
            }
        }
    }

    #[test]
    fn an_answer_that_has_no_body_is_not_waited_for() {
        for status in [204, 304] {
            let mut decoder = decoder("Content-Length: 5\r\n", status);
            assert_eq!(decoder.receive(&[]), Ok(BodyProgress::Complete));
            assert_eq!(decoder.end(), Ok(Bytes::new()));
        }
    }
}
