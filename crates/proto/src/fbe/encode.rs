//! Messages to bytes, in the form that every known peer writes: the struct at 8, the text right behind it.

use bytes::BufMut;

use super::{EncodeError, Frame, Id, Message, MessageRef, STRUCT_HEADER_BYTES, STRUCT_OFFSET};

/// Size and offset before the struct.
const MESSAGE_HEADER_BYTES: usize = 8;
/// An offset, or the length of a text.
const NUMBER_BYTES: usize = 4;

impl MessageRef<'_> {
    /// Returns how many bytes [`encode_into`](Self::encode_into) writes.
    pub fn encoded_len(&self) -> usize {
        let text = self
            .text()
            .map_or(0, |text| text.len().saturating_add(NUMBER_BYTES));
        text.saturating_add(MESSAGE_HEADER_BYTES)
            .saturating_add(self.struct_size())
    }

    /// Writes the message behind what is in `out`.
    ///
    /// # Errors
    /// [`EncodeError`]: it is too long, or `out` cannot grow and has not enough room. Nothing was written.
    pub fn encode_into(&self, out: &mut impl BufMut) -> Result<(), EncodeError> {
        let bytes = self.encoded_len();
        let total = u32::try_from(bytes).map_err(|_| EncodeError::TooLong { bytes })?;
        let room = out.remaining_mut();
        if room < bytes {
            return Err(EncodeError::NoRoom { bytes, room });
        }
        // Both fit: they are parts of the total.
        let struct_size = u32::try_from(self.struct_size()).unwrap_or(0);
        let text_len = self.text().map_or(0, str::len);
        let text_len = u32::try_from(text_len).unwrap_or(0);
        out.put_u32_le(total);
        out.put_u32_le(STRUCT_OFFSET);
        out.put_u32_le(struct_size);
        out.put_u32_le(self.message_type().number());
        if let Some(Id(id)) = self.id() {
            out.put_slice(&id);
        }
        if let Self::Response { length, hash, .. } = self {
            out.put_u32_le(*length);
            out.put_u32_le(*hash);
        }
        if let Some(text) = self.text() {
            out.put_u32_le(struct_size); // the text's offset: behind the struct
            out.put_u32_le(text_len);
            out.put_slice(text.as_bytes());
        }
        Ok(())
    }

    const fn text(&self) -> Option<&str> {
        match self {
            Self::Request { message: text, .. }
            | Self::Reject { error: text, .. }
            | Self::Notify { notification: text } => Some(text),
            Self::Response { .. } | Self::Disconnect { .. } => None,
        }
    }

    /// Header and fields, without the text.
    const fn struct_size(&self) -> usize {
        const ID: usize = 16;
        match self {
            Self::Request { .. } | Self::Reject { .. } => STRUCT_HEADER_BYTES + ID + NUMBER_BYTES,
            Self::Response { .. } => STRUCT_HEADER_BYTES + ID + 2 * NUMBER_BYTES,
            Self::Notify { .. } => STRUCT_HEADER_BYTES + NUMBER_BYTES,
            Self::Disconnect { .. } => STRUCT_HEADER_BYTES + ID,
        }
    }
}

impl Message {
    /// Writes the message behind what is in `out`.
    ///
    /// # Errors
    /// As [`MessageRef::encode_into`].
    pub fn encode_into(&self, out: &mut impl BufMut) -> Result<(), EncodeError> {
        self.as_ref().encode_into(out)
    }
}

impl Frame<'_> {
    /// Writes the message behind what is in `out`, byte by byte as it was received.
    ///
    /// # Errors
    /// [`EncodeError::NoRoom`]: `out` cannot grow and has not enough room. Nothing was written.
    pub fn encode_into(&self, out: &mut impl BufMut) -> Result<(), EncodeError> {
        let bytes = self.bytes().len();
        let room = out.remaining_mut();
        if room < bytes {
            return Err(EncodeError::NoRoom { bytes, room });
        }
        out.put_slice(self.bytes());
        Ok(())
    }
}
