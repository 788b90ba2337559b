//! Bytes to frames: every field is there, nothing follows, all are within their bounds.

use super::{
    FrameError,
    error::Expected,
    frame::{Body, Close, DataFlags, Frame, FrameType, Open, Side},
};
use crate::{CloseCode, mask::is_utf8};

impl<'a> Frame<'a> {
    /// Reads the content of a binary message that `from` has sent.
    ///
    /// # Errors
    /// [`FrameError`]: no frame of this protocol, or none of this side.
    pub fn decode(bytes: &'a [u8], from: Side) -> Result<Self, FrameError> {
        let [first, s0, s1, s2, s3, rest @ ..] = bytes else {
            return Err(FrameError::TooShort);
        };
        let frame = FrameType::from_byte(*first).ok_or(FrameError::UnknownType(*first))?;
        if let Some(only) = frame.sent_only_by()
            && only != from
        {
            return Err(FrameError::WrongSide { frame, only });
        }
        let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        frame.check_stream(stream)?;
        let body = Fields { frame, rest }.body()?;
        let decoded = Self { stream, body };
        decoded.check()?;
        Ok(decoded)
    }
}

/// The fields that have not been read.
struct Fields<'a> {
    frame: FrameType,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn body(mut self) -> Result<Body<'a>, FrameError> {
        let body = match self.frame {
            FrameType::Open => Body::Open(self.open()?),
            FrameType::Accept => Body::Accept {
                credit: self.u32("credit")?,
                subprotocol: Some(self.short_text("subprotocol")?).filter(|it| !it.is_empty()),
            },
            FrameType::Reject => Body::Reject {
                status: self.u16("status")?,
                reason: self.rest_as_text("reason")?,
            },
            FrameType::Data => {
                let flags = DataFlags::from_byte(self.u8("flags")?);
                Body::Data {
                    flags: flags.ok_or(FrameError::Invalid {
                        frame: self.frame,
                        expected: Expected::Flags,
                    })?,
                    payload: self.rest(),
                }
            }
            FrameType::Credit => Body::Credit(self.u32("credit")?),
            FrameType::Close if self.rest.is_empty() => Body::Close(None),
            FrameType::Close => Body::Close(Some(Close {
                code: CloseCode(self.u16("code")?),
                reason: self.rest_as_text("reason")?,
            })),
            FrameType::Ping => Body::Ping(self.rest()),
            FrameType::Pong => Body::Pong(self.rest()),
            FrameType::Down => Body::Down {
                retry_ms: self.u32("retry")?,
            },
            FrameType::Up => Body::Up,
            FrameType::GoAway => Body::GoAway {
                within_ms: self.u32("within")?,
            },
        };
        if !self.rest.is_empty() {
            return Err(FrameError::Trailing(self.frame));
        }
        Ok(body)
    }

    fn open(&mut self) -> Result<Open<'a>, FrameError> {
        let credit = self.u32("credit")?;
        let name = self.short_text("name")?;
        let query_len = self.u16("query")?;
        let query = self.take(usize::from(query_len), "query")?;
        let query = self.text(query, "query")?;
        let count = self.u8("subprotocols")?;
        // Each needs a byte at least: a short frame cannot ask for a long list.
        let mut subprotocols = Vec::with_capacity(usize::from(count).min(self.rest.len()));
        for _ in 0..count {
            subprotocols.push(self.short_text("subprotocols")?);
        }
        Ok(Open {
            credit,
            name,
            query,
            subprotocols,
        })
    }

    fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(FrameError::Truncated {
                frame: self.frame,
                field,
            })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], FrameError> {
        let taken = self.take(N, field)?;
        Ok(taken.try_into().unwrap_or([0; N])) // its length is N
    }

    fn u8(&mut self, field: &'static str) -> Result<u8, FrameError> {
        self.array(field).map(u8::from_be_bytes)
    }

    fn u16(&mut self, field: &'static str) -> Result<u16, FrameError> {
        self.array(field).map(u16::from_be_bytes)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, FrameError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Text behind its length in one byte.
    fn short_text(&mut self, field: &'static str) -> Result<&'a str, FrameError> {
        let len = self.u8(field)?;
        let text = self.take(usize::from(len), field)?;
        self.text(text, field)
    }

    fn rest_as_text(&mut self, field: &'static str) -> Result<&'a str, FrameError> {
        let rest = self.rest();
        self.text(rest, field)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn text(&self, bytes: &'a [u8], field: &'static str) -> Result<&'a str, FrameError> {
        is_utf8(bytes).ok_or(FrameError::NotUtf8 {
            frame: self.frame,
            field,
        })
    }
}
