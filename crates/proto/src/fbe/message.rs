//! The five messages, borrowed from a buffer or owned.

use std::fmt;

/// The id of a request, and of its response or rejection: a UUID, its bytes in printed order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// The id of a message that has none.
    pub const NIL: Self = Self([0; 16]);

    /// Returns a UUID of version 4 made of random bytes. They need not be secret, but different for each message
    /// that waits for an answer on a connection.
    pub const fn from_random(mut bytes: [u8; 16]) -> Self {
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = *version & 0x0f | 0x40;
        *variant = *variant & 0x3f | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Id {
    /// As usual for a UUID: `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The type of a message, by its number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum MessageType {
    /// A request.
    Request = 1,
    /// The answer to a request.
    Response = 2,
    /// The refusal of a request.
    Reject = 3,
    /// A notification.
    Notify = 4,
    /// The wish to disconnect.
    Disconnect = 5,
}

impl MessageType {
    /// Returns the type with this number, if there is one.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Reject,
            4 => Self::Notify,
            5 => Self::Disconnect,
            _ => return None,
        })
    }

    /// Returns its number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for MessageType {
    /// The name of its struct.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "SimpleRequest",
            Self::Response => "SimpleResponse",
            Self::Reject => "SimpleReject",
            Self::Notify => "SimpleNotify",
            Self::Disconnect => "DisconnectRequest",
        })
    }
}

/// A message that borrows its text.
///
/// A field that a peer of another version has left out is [`Id::NIL`], 0 or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageRef<'a> {
    /// `SimpleRequest`: is answered by a response or a rejection with the same id.
    Request {
        /// Is found again in the answer.
        id: Id,
        /// The text.
        message: &'a str,
    },
    /// `SimpleResponse`: the answer to a request.
    Response {
        /// That of the request.
        id: Id,
        /// Bytes of the request's text.
        length: u32,
        /// A hash of the request's text; which one is up to the server.
        hash: u32,
    },
    /// `SimpleReject`: the refusal of a request.
    Reject {
        /// That of the request.
        id: Id,
        /// Why, for people.
        error: &'a str,
    },
    /// `SimpleNotify`: comes without having been asked for.
    Notify {
        /// The text.
        notification: &'a str,
    },
    /// `DisconnectRequest`: who gets it closes the connection, without an answer.
    Disconnect {
        /// Tells it from others; nobody answers it.
        id: Id,
    },
}

impl MessageRef<'_> {
    /// Returns its type.
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::Request { .. } => MessageType::Request,
            Self::Response { .. } => MessageType::Response,
            Self::Reject { .. } => MessageType::Reject,
            Self::Notify { .. } => MessageType::Notify,
            Self::Disconnect { .. } => MessageType::Disconnect,
        }
    }

    /// Returns its id; a notification has none.
    pub const fn id(&self) -> Option<Id> {
        match self {
            Self::Request { id, .. }
            | Self::Response { id, .. }
            | Self::Reject { id, .. }
            | Self::Disconnect { id } => Some(*id),
            Self::Notify { .. } => None,
        }
    }

    /// Copies the text.
    pub fn to_message(&self) -> Message {
        match *self {
            Self::Request { id, message } => Message::Request {
                id,
                message: message.to_owned(),
            },
            Self::Response { id, length, hash } => Message::Response { id, length, hash },
            Self::Reject { id, error } => Message::Reject {
                id,
                error: error.to_owned(),
            },
            Self::Notify { notification } => Message::Notify {
                notification: notification.to_owned(),
            },
            Self::Disconnect { id } => Message::Disconnect { id },
        }
    }
}

/// A message that owns its text. See [`MessageRef`] for what each means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// `SimpleRequest`.
    Request {
        /// Is found again in the answer.
        id: Id,
        /// The text.
        message: String,
    },
    /// `SimpleResponse`.
    Response {
        /// That of the request.
        id: Id,
        /// Bytes of the request's text.
        length: u32,
        /// A hash of the request's text.
        hash: u32,
    },
    /// `SimpleReject`.
    Reject {
        /// That of the request.
        id: Id,
        /// Why, for people.
        error: String,
    },
    /// `SimpleNotify`.
    Notify {
        /// The text.
        notification: String,
    },
    /// `DisconnectRequest`.
    Disconnect {
        /// Tells it from others.
        id: Id,
    },
}

impl Message {
    /// Borrows it.
    pub fn as_ref(&self) -> MessageRef<'_> {
        match *self {
            Self::Request { id, ref message } => MessageRef::Request { id, message },
            Self::Response { id, length, hash } => MessageRef::Response { id, length, hash },
            Self::Reject { id, ref error } => MessageRef::Reject { id, error },
            Self::Notify { ref notification } => MessageRef::Notify { notification },
            Self::Disconnect { id } => MessageRef::Disconnect { id },
        }
    }
}

impl fmt::Display for MessageRef<'_> {
    /// The struct's name and its fields, as the original prints them: `SimpleNotify(Notification="Hi")`. Texts are
    /// escaped and, from 256 characters on, cut: the form is for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.message_type();
        match *self {
            Self::Request { id, message } => {
                write!(f, "{name}(id={id},Message={})", Shown(message))
            }
            Self::Response { id, length, hash } => {
                write!(f, "{name}(id={id},Length={length},Hash={hash})")
            }
            Self::Reject { id, error } => write!(f, "{name}(id={id},Error={})", Shown(error)),
            Self::Notify { notification } => {
                write!(f, "{name}(Notification={})", Shown(notification))
            }
            Self::Disconnect { id } => write!(f, "{name}(id={id})"),
        }
    }
}

/// A text of a peer in a line of a log.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARACTERS_MAX: usize = 256;
        f.write_str("\"")?;
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(CHARACTERS_MAX) {
            write!(f, "{}", character.escape_debug())?;
        }
        f.write_str(if characters.next().is_some() {
            "…\""
        } else {
            "\""
        })
    }
}
