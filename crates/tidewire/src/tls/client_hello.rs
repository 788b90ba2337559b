//! The first message of a client, looked at before rustls does.
//!
//! In: the bytes of a connection. Out: what rustls makes of them. RFC 6066 (section 3) allows host names only in the
//! extension `server_name`; there are clients that send `localhost:8082`, which OpenSSL ignores and rustls answers
//! with a fatal alert. Such an extension is to be treated as absent. It cannot be taken out, because both sides hash
//! the message as it was sent; so its *type* is replaced by one that means nothing ([`MARKER`]), and where rustls
//! hashes the message, [`transcript`](super::transcript) puts the right type back. Invariant: it does so for those
//! messages only in which this module has replaced the type, or somebody between the peers, who put the marker there,
//! could hide a name from the server without being noticed.
//!
//! Limit: a client that sends such a name and has to say hello twice (its first key share is of no group that is
//! spoken here) is refused as before.

use std::io;

use rustls::{
    pki_types::ServerName,
    server::{Accepted, Acceptor},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::socket::Socket;

/// A type of extension for private use (RFC 8446, section 11), in place of that of an unusable `server_name`.
const MARKER: [u8; 2] = [0xff, 0x4e];

/// The type `server_name`.
const SERVER_NAME: [u8; 2] = [0, 0];

/// Longest message that is looked at, with its records' headers; rustls takes no longer one either.
const BYTES_MAX: usize = 64 * 1024;

/// Most records of a message that is looked at: clients send one.
const RECORDS_MAX: usize = 16;

/// Enough for most.
const FIRST_READ_BYTES: usize = 2048;

/// The message that rustls has accepted, and the bytes behind it, which are for the connection that it becomes.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) accepted: Accepted,
    /// It has the marker in place of an unusable name's type: the handshake is to be hashed as it was sent.
    pub(super) is_marked: bool,
    pub(super) rest: Vec<u8>,
}

/// Reads the message.
///
/// # Errors
/// Those of the connection, its end included; kind `InvalidData`: rustls refuses it, and has told the client.
///
/// # Cancel safety
/// Not cancel safe: what was read is lost.
pub(super) async fn read(socket: &mut Socket) -> io::Result<Hello> {
    let mut bytes = Vec::with_capacity(FIRST_READ_BYTES);
    let mut needed = 1;
    let mut is_marked = false;
    while bytes.len() < needed {
        read_more(socket, &mut bytes).await?;
        match look(&bytes) {
            Look::Incomplete { len } => needed = len.min(BYTES_MAX),
            Look::Unusable { at } => {
                for (at, byte) in at.into_iter().zip(MARKER) {
                    bytes[at] = byte;
                }
                is_marked = true;
                break;
            }
            Look::Marked => {
                let reason = "expected no extension of our own in a client's hello";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            Look::Fine => break,
        }
    }
    let (accepted, rest) = accept(socket, bytes).await?;
    Ok(Hello {
        accepted,
        is_marked,
        rest,
    })
}

/// Gives the bytes to rustls, and more if it wants more; gives those back that are behind the message.
async fn accept(socket: &mut Socket, mut bytes: Vec<u8>) -> io::Result<(Accepted, Vec<u8>)> {
    let mut acceptor = Acceptor::default();
    let mut given = 0;
    loop {
        if given == bytes.len() {
            bytes.clear();
            given = 0;
            read_more(socket, &mut bytes).await?;
        }
        given += acceptor.read_tls(&mut &bytes[given..])?;
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                return Ok((accepted, bytes.split_off(given)));
            }
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut answer = Vec::new();
                alert.write_all(&mut answer)?;
                // Who has gone does not hear why.
                socket.write_all(&answer).await.ok();
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

async fn read_more(socket: &mut Socket, bytes: &mut Vec<u8>) -> io::Result<()> {
    if socket.read_buf(bytes).await? == 0 {
        let reason = "the client left within the TLS handshake";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
    }
    Ok(())
}

/// The treatment of the bytes so far.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Look again when there are at least so many.
    Incomplete { len: usize },
    /// Nothing, or rustls will say what is wrong.
    Fine,
    /// The name is none; the bytes of its extension's type are here.
    Unusable { at: [usize; 2] },
    /// There is a [`MARKER`] already.
    Marked,
}

fn look(bytes: &[u8]) -> Look {
    let records = match Records::collect(bytes) {
        Ok(records) => records,
        Err(look) => return look,
    };
    let mut found = Look::Fine;
    for extension in Extensions::of(&records.message) {
        if extension.kind == MARKER {
            return Look::Marked;
        }
        if extension.kind == SERVER_NAME && !is_usable(extension.content) {
            let place = |at| records.place(at);
            if let (Some(first), Some(second)) = (place(extension.at), place(extension.at + 1)) {
                found = Look::Unusable {
                    at: [first, second],
                };
            }
        }
    }
    found
}

/// Returns whether rustls takes the name, or has another reason than the name to refuse the extension.
fn is_usable(content: &[u8]) -> bool {
    // One list, in it one name, of the type `host_name`.
    let name = prefixed_u16(content)
        .filter(|(_list, rest)| rest.is_empty())
        .and_then(|(list, _)| list.strip_prefix(&[0]))
        .and_then(prefixed_u16)
        .filter(|(_name, rest)| rest.is_empty());
    name.is_none_or(|(name, _)| ServerName::try_from(name).is_ok())
}

/// A message that was put together from records, and where its parts were.
struct Records {
    message: Vec<u8>,
    /// Place in the message, place in the bytes.
    parts: Vec<(usize, usize)>,
}

impl Records {
    fn collect(bytes: &[u8]) -> Result<Self, Look> {
        const HANDSHAKE: u8 = 22;
        const CLIENT_HELLO: u8 = 1;
        const HEADER: usize = 5;
        let mut records = Self {
            message: Vec::new(),
            parts: Vec::new(),
        };
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let Some(([kind, _, _, len @ ..], content)) = rest.split_first_chunk::<HEADER>() else {
                let is_one = rest.first().is_none_or(|kind| *kind == HANDSHAKE);
                return Err(if is_one {
                    Look::Incomplete { len: at + HEADER }
                } else {
                    Look::Fine
                });
            };
            let len = usize::from(u16::from_be_bytes(*len));
            if *kind != HANDSHAKE || len == 0 || records.parts.len() == RECORDS_MAX {
                return Err(Look::Fine);
            }
            let end = at + HEADER + len;
            let Some(content) = content.get(..len) else {
                return Err(Look::Incomplete { len: end });
            };
            records.parts.push((records.message.len(), at + HEADER));
            records.message.extend_from_slice(content);
            at = end;
            if let [kind, high, middle, low, body @ ..] = records.message.as_slice() {
                let len = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
                if *kind != CLIENT_HELLO || len > BYTES_MAX {
                    return Err(Look::Fine);
                }
                if body.len() >= len {
                    return Ok(records);
                }
            }
        }
    }

    /// Where a byte of the message stands in the bytes.
    fn place(&self, at: usize) -> Option<usize> {
        let part = self.parts.iter().rfind(|(first, _)| *first <= at);
        part.map(|(first, place)| place + (at - first))
    }
}

/// An extension of a `ClientHello`.
struct Extension<'a> {
    /// Where its type stands in the message.
    at: usize,
    kind: [u8; 2],
    content: &'a [u8],
}

/// The extensions of a `ClientHello`, as far as they are there.
struct Extensions<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Extensions<'a> {
    /// `message` begins with the message's type.
    fn of(message: &'a [u8]) -> Self {
        let rest = Self::behind_compression(message).unwrap_or(&[]);
        // What follows the extensions is the next message.
        let len = rest.first_chunk().map_or(0, |len| u16::from_be_bytes(*len));
        let rest = rest.get(2..).unwrap_or(&[]);
        let at = message.len() - rest.len();
        let rest = rest.get(..usize::from(len)).unwrap_or(rest);
        Self { rest, at }
    }

    fn behind_compression(message: &'a [u8]) -> Option<&'a [u8]> {
        const HEADER_VERSION_RANDOM: usize = 4 + 2 + 32;
        let rest = message.get(HEADER_VERSION_RANDOM..)?;
        let (_session_id, rest) = prefixed_u8(rest)?;
        let (_cipher_suites, rest) = prefixed_u16(rest)?;
        let (_compression, rest) = prefixed_u8(rest)?;
        Some(rest)
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (kind, rest) = self.rest.split_first_chunk()?;
        let (content, rest) = prefixed_u16(rest)?;
        let at = self.at;
        self.at += self.rest.len() - rest.len();
        self.rest = rest;
        Some(Extension {
            at,
            kind: *kind,
            content,
        })
    }
}

fn prefixed_u8(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

fn prefixed_u16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// If `messages` begin with a `ClientHello` that has the marker: the bytes before it, those that the client sent in
/// its place, and those behind it.
pub(super) fn as_sent(messages: &[u8]) -> Option<[&[u8]; 3]> {
    if messages.first() != Some(&1) {
        return None;
    }
    let marked = Extensions::of(messages).find(|extension| extension.kind == MARKER)?;
    let (before, rest) = messages.split_at_checked(marked.at)?;
    let behind = rest.get(MARKER.len()..)?;
    Some([before, &SERVER_NAME, behind])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message of OpenSSL 3.0 for `s_client -tls1_2 -servername NAME -cipher ECDHE-RSA-AES128-GCM-SHA256`, with
    /// other random bytes.
    fn message(name: &[u8]) -> Vec<u8> {
        let extension = |kind: [u8; 2], content: &[u8]| {
            let len = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&kind[..], &len, content].concat()
        };
        let name_len = u16::try_from(name.len()).unwrap();
        let list_len = (name_len + 3).to_be_bytes();
        let server_name = [&list_len[..], &[0], &name_len.to_be_bytes(), name].concat();
        let extensions = [
            extension([0, 0], &server_name),
            extension([0, 11], &[3, 0, 1, 2]),
            extension([0, 10], &[0, 4, 0, 29, 0, 23]),
            extension([0, 35], &[]),
            extension([0, 22], &[]),
            extension([0, 23], &[]),
            extension([0, 13], &[0, 4, 4, 3, 8, 4]),
        ]
        .concat();
        let len = u16::try_from(extensions.len()).unwrap().to_be_bytes();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[0],
            &[0, 4, 0xc0, 0x2f, 0, 0xff],
            &[1, 0],
            &len,
            &extensions,
        ]
        .concat();
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &len[1..], &body].concat()
    }

    fn in_records(message: &[u8], record_len: usize) -> Vec<u8> {
        let record = |part: &[u8]| {
            let len = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[22, 3, 1][..], &len, part].concat()
        };
        message.chunks(record_len).flat_map(record).collect()
    }

    fn is_accepted(bytes: &[u8]) -> bool {
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &*bytes).unwrap();
        matches!(acceptor.accept(), Ok(Some(_)))
    }

    #[test]
    fn a_name_that_is_none_is_found_in_any_records_and_hidden_from_rustls() {
        for name in ["localhost:8082", "a b", "[::1]", "caf\u{e9}.example", ""] {
            let message = message(name.as_bytes());
            for record_len in [12, 30, 49, 50, 51, 52, 1000] {
                let mut bytes = in_records(&message, record_len);
                assert!(!is_accepted(&bytes), "{name}: rustls has become lenient");
                let Look::Unusable { at } = look(&bytes) else {
                    panic!("{name} in records of {record_len}");
                };
                for (at, byte) in at.into_iter().zip(MARKER) {
                    assert_eq!(bytes[at], 0);
                    bytes[at] = byte;
                }
                assert!(is_accepted(&bytes), "{name} in records of {record_len}");
                assert_eq!(look(&bytes), Look::Marked);
                let marked = Records::collect(&bytes).ok().unwrap().message;
                let as_sent = as_sent(&marked).expect("it is marked").concat();
                assert_eq!(as_sent, message);
            }
        }
    }

    #[test]
    fn usual_hellos_are_left_alone() {
        for name in ["localhost", "a.example", "xn--caf-dma.example", "10.0.0.1"] {
            let message = message(name.as_bytes());
            let bytes = in_records(&message, 1000);
            assert_eq!(look(&bytes), Look::Fine, "{name}");
            assert!(is_accepted(&bytes), "{name}");
            assert_eq!(as_sent(&message), None, "{name}");
        }
    }

    #[test]
    fn a_part_says_how_much_is_needed_and_each_look_needs_more() {
        let bytes = in_records(&message(b"localhost:8082"), 40);
        let mut looks = 0;
        let mut len = 0;
        while let Look::Incomplete { len: needed } = look(&bytes[..len]) {
            assert!(needed > len && needed <= bytes.len(), "{needed} at {len}");
            len = needed;
            looks += 1;
        }
        assert_eq!(len, bytes.len());
        assert!(looks <= 2 * RECORDS_MAX, "{looks} looks");
    }

    #[test]
    fn what_is_no_hello_is_left_to_rustls() {
        let hello = in_records(&message(b"localhost:8082"), 1000);
        let many = in_records(&message(b"localhost:8082"), 4);
        let mut long = hello;
        long[6] = 0xff;
        let no_records: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\n",
            &[21, 3, 1, 0, 2, 2, 40],
            &[22, 3, 1, 0, 0],
            &[22, 3, 1, 0, 4, 2, 0, 0, 0],
            &long,
        ];
        for bytes in no_records {
            assert_eq!(look(bytes), Look::Fine, "{bytes:02x?}");
        }
        assert_eq!(look(&many), Look::Fine, "too many records");
    }

    #[test]
    fn any_damage_is_looked_at_without_a_panic() {
        let bytes = in_records(&message(b"localhost:8082"), 60);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let _ = look(&damaged);
                let _ = as_sent(&damaged[5..]);
            }
            let _ = as_sent(&bytes[5..at.max(5)]);
        }
    }
}
