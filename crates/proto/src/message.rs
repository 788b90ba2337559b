//! What the application sees: a whole message, borrowed for the hot path or owned.

use std::{fmt, ops::Deref};

use bytes::Bytes;

use crate::mask::is_utf8;

/// Text or binary (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// UTF-8 text in shared bytes; cloning copies nothing.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text(Bytes);

impl Text {
    /// The text. Costs one fast validation pass: the alternative would be unsafe code.
    ///
    /// # Panics
    /// Never: every constructor checks.
    pub fn as_str(&self) -> &str {
        is_utf8(&self.0).expect("every constructor checks")
    }

    /// The bytes of the text, without copying.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl TryFrom<Bytes> for Text {
    type Error = Bytes;

    /// Gives the bytes back when they are not UTF-8.
    fn try_from(bytes: Bytes) -> Result<Self, Bytes> {
        if is_utf8(&bytes).is_some() {
            Ok(Self(bytes))
        } else {
            Err(bytes)
        }
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text.
    Text(Text),
    /// Any bytes.
    Binary(Bytes),
}

impl Message {
    /// A text message.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// Text or binary.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }

    /// The payload bytes.
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Text(Text(bytes)) | Self::Binary(bytes) => bytes,
        }
    }

    /// The text, if it is a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Binary(_) => None,
        }
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// A received message, borrowed from the read buffer (or from the connection, when it came
/// in pieces). Text has been validated.
#[derive(Debug)]
pub struct MessageRef<'a> {
    kind: Kind,
    payload: Payload<'a>,
}

#[derive(Debug)]
enum Payload<'a> {
    Whole(&'a [u8]),
    /// Reassembled by the connection, which forgets it with the next call: free to take.
    Assembled(&'a mut Vec<u8>),
}

impl<'a> MessageRef<'a> {
    pub(crate) fn whole(kind: Kind, payload: &'a [u8]) -> Self {
        Self {
            kind,
            payload: Payload::Whole(payload),
        }
    }

    pub(crate) fn assembled(kind: Kind, payload: &'a mut Vec<u8>) -> Self {
        Self {
            kind,
            payload: Payload::Assembled(payload),
        }
    }

    /// Text or binary.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The payload bytes.
    pub fn payload(&self) -> &[u8] {
        match &self.payload {
            Payload::Whole(bytes) => bytes,
            Payload::Assembled(bytes) => bytes,
        }
    }

    /// The text, if it is a text message. Costs one fast validation pass, as [`Text::as_str`].
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            Kind::Text => is_utf8(self.payload()),
            Kind::Binary => None,
        }
    }

    /// An owned message. Copies a message that lies in the read buffer (so that a small
    /// message kept for long does not keep a large buffer), takes over a reassembled one.
    pub fn to_message(self) -> Message {
        let bytes = match self.payload {
            Payload::Whole(bytes) => Bytes::copy_from_slice(bytes),
            Payload::Assembled(bytes) => Bytes::from(std::mem::take(bytes)),
        };
        match self.kind {
            Kind::Text => Message::Text(Text(bytes)),
            Kind::Binary => Message::Binary(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_text_and_bytes_are_binary() {
        let text = Message::text("hi");
        assert_eq!(Message::from("hi"), text);
        assert_eq!(Message::from("hi".to_owned()), text);
        assert_eq!(Message::from(Text::from("hi")), text);
        let binary = Message::binary(vec![1, 2]);
        assert_eq!(Message::from(&[1, 2][..]), binary);
        assert_eq!(Message::from(&[1, 2]), binary);
        assert_eq!(Message::from(vec![1, 2]), binary);
        assert_eq!(Message::from(Bytes::from_static(&[1, 2])), binary);
    }
}
