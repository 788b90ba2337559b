//! The form in which a message lies in a mailbox: its *body*, the same for all recipients.
//!
//! In: id, sender and members of a message. Out: bytes that begin with the version, and back. Version 1:
//!
//! ```text
//! 01  id (14 bytes)  length of sender, kind, timestamp, text (LEB128 each)
//! sender  kind  timestamp  text  data (the rest)
//! ```
//!
//! kind, timestamp and text are JSON string literals and data is JSON, as their author wrote them; the
//! sender is his key. Who the recipients are is not in it: a reader learns of himself alone. What stores of
//! older versions hold is read too ([`older`]). Invariant: bytes that are no body are an error, whatever
//! they are; a body that was read is UTF-8 and its parts lie within it.

mod older; // records of before there was a version

use bytes::Bytes;

use crate::{MessageId, UserId};

/// A mailbox holds something that is no message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stored message")]
pub(crate) struct BodyError;

/// The members of a message that its author wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Members<'a> {
    pub(crate) kind: &'a str,
    pub(crate) timestamp: &'a str,
    pub(crate) text: &'a str,
    pub(crate) data: &'a str,
}

/// Where in a body the members begin; each ends where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    kind: usize,
    timestamp: usize,
    text: usize,
    data: usize,
}

impl Parts {
    pub(crate) fn kind(self, body: &Bytes) -> &str {
        part(body, self.kind, self.timestamp)
    }

    pub(crate) fn timestamp(self, body: &Bytes) -> &str {
        part(body, self.timestamp, self.text)
    }

    pub(crate) fn text(self, body: &Bytes) -> &str {
        part(body, self.text, self.data)
    }

    pub(crate) fn data(self, body: &Bytes) -> &str {
        part(body, self.data, body.len())
    }
}

/// Looking at the bytes again is what it costs to hold them once and without unsafe code; they were found
/// to be UTF-8 when the parts were.
fn part(body: &Bytes, from: usize, to: usize) -> &str {
    let bytes = body.get(from..to).unwrap_or_default();
    str::from_utf8(bytes).unwrap_or_default()
}

/// A body that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) id: MessageId,
    pub(crate) sender: UserId,
    /// In the form of today.
    pub(crate) body: Bytes,
    pub(crate) parts: Parts,
}

pub(crate) fn encode(id: MessageId, sender: &UserId, members: &Members<'_>) -> (Bytes, Parts) {
    sender.with_key(|sender| {
        let texts = [sender, members.kind, members.timestamp, members.text];
        let lens = texts.iter().map(|text| text.len()).sum::<usize>() + members.data.len();
        let mut out = Vec::with_capacity(HEADER_LEN_MAX + lens);
        out.push(VERSION);
        out.extend_from_slice(&id.to_bytes());
        for text in texts {
            push_len(text.len(), &mut out);
        }
        let kind = out.len() + sender.len();
        let timestamp = kind + members.kind.len();
        let text = timestamp + members.timestamp.len();
        let parts = Parts {
            kind,
            timestamp,
            text,
            data: text + members.text.len(),
        };
        for text in texts {
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(members.data.as_bytes());
        (Bytes::from(out), parts)
    })
}

pub(crate) fn decode(body: Bytes) -> Result<Decoded, BodyError> {
    match body.first() {
        Some(&VERSION) => {
            let (id, sender, parts) = read(&body)?;
            Ok(Decoded {
                id,
                sender,
                body,
                parts,
            })
        }
        Some(_) | None => older::decode(&body),
    }
}

fn read(body: &[u8]) -> Result<(MessageId, UserId, Parts), BodyError> {
    let (id, mut rest) = body
        .get(1..)
        .and_then(|rest| rest.split_first_chunk())
        .ok_or(BodyError)?;
    let mut lens = [0; 4];
    for len in &mut lens {
        *len = take_len(&mut rest).ok_or(BodyError)?;
    }
    let texts = str::from_utf8(rest).map_err(|_| BodyError)?;
    let [sender, kind, timestamp, text] = lens;
    // Where they begin, first in the texts.
    let kind_at = sender;
    let timestamp_at = kind_at.checked_add(kind).ok_or(BodyError)?;
    let text_at = timestamp_at.checked_add(timestamp).ok_or(BodyError)?;
    let data_at = text_at.checked_add(text).ok_or(BodyError)?;
    let is_literal = |from: usize, to: usize| {
        let literal = texts.get(from..to);
        literal.is_some_and(|text| text.len() >= 2 && text.starts_with('"') && text.ends_with('"'))
    };
    let are_literals = is_literal(kind_at, timestamp_at)
        && is_literal(timestamp_at, text_at)
        && is_literal(text_at, data_at);
    let sender = texts.get(..sender).ok_or(BodyError)?;
    if !are_literals || data_at == texts.len() {
        return Err(BodyError);
    }
    let header = body.len() - texts.len();
    let parts = Parts {
        kind: header + kind_at,
        timestamp: header + timestamp_at,
        text: header + text_at,
        data: header + data_at,
    };
    let sender = sender.parse().map_err(|_| BodyError)?;
    Ok((MessageId::from_bytes(*id), sender, parts))
}

/// LEB128: seven bits per byte, the lowest first.
pub(crate) fn push_len(mut len: usize, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = len.to_le_bytes();
        len >>= 7;
        if len == 0 {
            out.push(low & 0x7F);
            return;
        }
        out.push(low | 0x80);
    }
}

pub(crate) fn take_len(rest: &mut &[u8]) -> Option<usize> {
    let mut len = 0_usize;
    for index in 0..LEN_BYTES_MAX {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        len |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(len);
        }
    }
    None
}

/// No id begins so, and neither does a record of before.
const VERSION: u8 = 1;

/// A store takes no body beyond 4 GiB.
const LEN_BYTES_MAX: usize = 5;

const HEADER_LEN_MAX: usize = 1 + MessageId::BYTES + 4 * LEN_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: Members<'_> = Members {
        kind: "\"text\"",
        timestamp: "\"\"",
        text: "\"ж\"",
        data: "{\"a\":\n1}",
    };

    fn id() -> MessageId {
        "5A32EA72-38F4D5DC-3541-00000008".parse().unwrap()
    }

    #[test]
    fn a_body_reads_back() {
        let long = format!("\"{}\"", "x".repeat(100_000));
        for sender in ["7", "a b\"c", "18446744073709551615"] {
            for text in ["\"\"", "\"ж\"", &long] {
                let sender: UserId = sender.parse().unwrap();
                let members = Members { text, ..MEMBERS };
                let (body, parts) = encode(id(), &sender, &members);
                let decoded = decode(body.clone()).unwrap();
                assert_eq!((decoded.id, &decoded.sender), (id(), &sender));
                assert_eq!((&decoded.body, decoded.parts), (&body, parts));
                let read = Members {
                    kind: parts.kind(&body),
                    timestamp: parts.timestamp(&body),
                    text: parts.text(&body),
                    data: parts.data(&body),
                };
                assert_eq!(read, members);
            }
        }
    }

    /// What this version writes must be read by all later ones.
    #[test]
    fn a_body_has_its_fixed_form() {
        let (body, _) = encode(id(), &"bob".parse().unwrap(), &MEMBERS);
        let mut expected = vec![
            1, 0x5A, 0x32, 0xEA, 0x72, 0x38, 0xF4, 0xD5, 0xDC, 0x35, 0x41,
        ];
        expected.extend([0, 0, 0, 8, 3, 6, 2, 4]);
        expected.extend("bob\"text\"\"\"\"ж\"{\"a\":\n1}".bytes());
        assert_eq!(body, expected);
    }

    #[test]
    fn a_body_that_is_cut_or_changed_is_an_error_or_another_body() {
        let (body, _) = encode(id(), &"bob".parse().unwrap(), &MEMBERS);
        let members = body.len() - MEMBERS.data.len();
        for len in 0..=members {
            assert_eq!(decode(body.slice(..len)), Err(BodyError), "{len}");
        }
        for place in 0..body.len() {
            for value in [0, 1, b'"', b'@', 0x7F, 0x80, 0xFF] {
                let mut changed = body.to_vec();
                changed[place] = value;
                // Never a panic; what is read lies within.
                if let Ok(decoded) = decode(Bytes::from(changed)) {
                    assert!(decoded.parts.data <= decoded.body.len());
                }
            }
        }
        let endless = [[VERSION; 15].as_slice(), &[0xFF; 30]].concat();
        assert_eq!(decode(Bytes::from(endless)), Err(BodyError));
    }
}
