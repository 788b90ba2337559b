//! The outer form of a message: total size, offset of the struct, and the struct's size and type.

use super::{
    DecodeError, MESSAGE_BYTES_MIN, MessageRef, STRUCT_HEADER_BYTES, STRUCT_OFFSET, decode,
};

/// A whole message of any type, as it was received. Those who only pass messages on need not look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    /// From the start of the struct to the end of the message: offsets of texts count from there.
    body: &'a [u8],
    struct_size: usize,
    struct_type: u32,
}

impl<'a> Frame<'a> {
    /// Reads a slice that is exactly one message.
    ///
    /// # Errors
    /// [`DecodeError`]: it is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let announced = read_u32(bytes, 0).unwrap_or(0);
        if bytes.len() < MESSAGE_BYTES_MIN {
            return Err(DecodeError::TooShort {
                size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            });
        }
        if usize::try_from(announced) != Ok(bytes.len()) {
            return Err(DecodeError::WrongLength {
                announced,
                len: bytes.len(),
            });
        }
        let offset = read_u32(bytes, 4).unwrap_or(0);
        let outside = DecodeError::StructOutside { offset };
        if offset < STRUCT_OFFSET {
            return Err(outside);
        }
        let body = usize::try_from(offset).ok().and_then(|at| bytes.get(at..));
        let body = body.filter(|body| body.len() >= STRUCT_HEADER_BYTES);
        let body = body.ok_or(outside)?;
        let size = read_u32(body, 0).unwrap_or(0);
        let struct_type = read_u32(body, 4).unwrap_or(0);
        let struct_size = usize::try_from(size).unwrap_or(usize::MAX);
        if !(STRUCT_HEADER_BYTES..=body.len()).contains(&struct_size) {
            return Err(DecodeError::StructSize {
                size,
                max: body.len(),
            });
        }
        Ok(Self {
            bytes,
            body,
            struct_size,
            struct_type,
        })
    }

    /// Takes the message at the start of `input`, if all of it is there.
    pub(super) fn split_first(input: &'a [u8], max: usize) -> Result<Option<Self>, DecodeError> {
        let Some(size) = announced_size(input, max)? else {
            return Ok(None);
        };
        input.get(..size).map(Self::parse).transpose()
    }

    /// Returns its bytes, as they go over the wire.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the number of its type.
    pub const fn type_number(&self) -> u32 {
        self.struct_type
    }

    /// Reads the message; `None` if its type is not known.
    ///
    /// # Errors
    /// [`DecodeError`]: a text is not within the message, or no text.
    pub fn message(&self) -> Result<Option<MessageRef<'a>>, DecodeError> {
        decode::message(self)
    }

    pub(super) const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Returns the fields and what is before them, which is what a field has to lie in to be there.
    pub(super) fn fields(&self) -> &'a [u8] {
        self.body.get(..self.struct_size).unwrap_or(&[])
    }
}

/// Returns the total size of the message that begins with `bytes`, once its four bytes are there.
pub(super) fn announced_size(bytes: &[u8], max: usize) -> Result<Option<usize>, DecodeError> {
    let Some(size) = read_u32(bytes, 0) else {
        return Ok(None);
    };
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    if len < MESSAGE_BYTES_MIN {
        return Err(DecodeError::TooShort { size });
    }
    if len > max {
        return Err(DecodeError::TooLong { size, max });
    }
    Ok(Some(len))
}

/// Returns the number at this place, if all of it is there.
pub(super) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let number = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*number))
}
