//! The fields of a frame. One that ends behind the struct's size is not there: the peer's version does not have it.

use super::{
    DecodeError, Id, MessageRef, MessageType,
    frame::{Frame, read_u32},
};
use crate::mask::is_utf8;

/// Places of the fields, from the start of the struct.
const FIRST: usize = 8;
const AFTER_ID: usize = 24;
const AFTER_LENGTH: usize = 28;

pub(super) fn message<'a>(frame: &Frame<'a>) -> Result<Option<MessageRef<'a>>, DecodeError> {
    let Some(message_type) = MessageType::from_number(frame.type_number()) else {
        return Ok(None);
    };
    let fields = frame.fields();
    let text = |at| text(frame, message_type, at);
    let number = |at| read_u32(fields, at).unwrap_or(0);
    Ok(Some(match message_type {
        MessageType::Request => MessageRef::Request {
            id: id(fields),
            message: text(AFTER_ID)?,
        },
        MessageType::Response => MessageRef::Response {
            id: id(fields),
            length: number(AFTER_ID),
            hash: number(AFTER_LENGTH),
        },
        MessageType::Reject => MessageRef::Reject {
            id: id(fields),
            error: text(AFTER_ID)?,
        },
        MessageType::Notify => MessageRef::Notify {
            notification: text(FIRST)?,
        },
        MessageType::Disconnect => MessageRef::Disconnect { id: id(fields) },
    }))
}

fn id(fields: &[u8]) -> Id {
    let bytes = fields.get(FIRST..).and_then(|rest| rest.first_chunk());
    bytes.map_or(Id::NIL, |bytes| Id(*bytes))
}

/// A text: at `at` its offset from the start of the struct, there its length, then its bytes.
fn text<'a>(frame: &Frame<'a>, of: MessageType, at: usize) -> Result<&'a str, DecodeError> {
    let offset = match read_u32(frame.fields(), at) {
        None | Some(0) => return Ok(""),
        Some(offset) => usize::try_from(offset).unwrap_or(usize::MAX),
    };
    let outside = DecodeError::TextOutside(of);
    let rest = frame.body().get(offset..).ok_or(outside)?;
    let (len, rest) = rest.split_first_chunk().ok_or(outside)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let bytes = rest.get(..len).ok_or(outside)?;
    is_utf8(bytes).ok_or(DecodeError::NotUtf8(of))
}
