//! Client frames, encoded and masked once, sent over and over.

use std::net::SocketAddr;

use super::{Tls, socket::Socket};
use crate::scenario::Kind;

/// Frames of one length, back to back.
pub(super) struct Frames {
    /// A whole number of frames; sent cyclically.
    pub(super) bytes: Vec<u8>,
    /// Bytes of a client frame.
    pub(super) client_len: usize,
    /// Bytes of a server frame with the same payload.
    pub(super) server_len: usize,
    /// That server frame.
    pub(super) answer: Vec<u8>,
    /// There is no WebSocket around them.
    is_bytes: bool,
}

/// Most bytes kept; more frames than fit are sent by repeating these.
const BYTES_MAX: usize = 1 << 20;

/// Bytes of a mask.
const MASK_LEN: usize = 4;

impl Frames {
    /// Up to `count` frames, each with a mask of its own.
    pub(super) fn new(size: usize, kind: Kind, count: usize) -> Self {
        let payload: Vec<u8> = match kind {
            Kind::Binary | Kind::Bytes => (0..=255).cycle().take(size).collect(),
            Kind::Text => text(size),
        };
        if kind == Kind::Bytes {
            let count = count.min(BYTES_MAX / size).max(1);
            return Self {
                bytes: payload.repeat(count),
                client_len: size,
                server_len: size,
                answer: payload,
                is_bytes: true,
            };
        }
        let opcode = match kind {
            Kind::Binary | Kind::Bytes => 0x82,
            Kind::Text => 0x81,
        };
        let header = header(opcode, size);
        let client_len = header.len() + MASK_LEN + size;
        let count = count.min(BYTES_MAX / client_len).max(1);
        let mut bytes = Vec::with_capacity(count * client_len);
        // Any sequence will do that is not constant; this is a linear congruential generator.
        let mut state = 0x2545_f491_u32;
        for _ in 0..count {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            put_masked(&mut bytes, &header, state.to_be_bytes(), &payload);
        }
        let mut answer = header;
        answer[1] &= 0x7f;
        answer.extend_from_slice(&payload);
        Self {
            bytes,
            client_len,
            server_len: answer.len(),
            answer,
            is_bytes: false,
        }
    }

    /// Opens a connection for these, of the role that has this path.
    pub(super) fn open(
        &self,
        address: SocketAddr,
        path: &str,
        tls: Option<&Tls>,
    ) -> anyhow::Result<Socket> {
        if !self.is_bytes {
            return Socket::open(address, path, tls);
        }
        let role = match path {
            "/publish" => b'P',
            "/broadcast" => b'R',
            _ => b'E',
        };
        Socket::open_bytes(address, role, tls)
    }
}

/// A binary message of a client, appended to `bytes`.
pub(super) fn put_binary(bytes: &mut Vec<u8>, payload: &[u8]) {
    // A mask of an established connection may be any number; the generator is nobody's browser.
    let mask = 0x2545_f491_u32.to_be_bytes();
    put_masked(bytes, &header(0x82, payload.len()), mask, payload);
}

fn put_masked(bytes: &mut Vec<u8>, header: &[u8], mask: [u8; MASK_LEN], payload: &[u8]) {
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
}

fn header(opcode: u8, size: usize) -> Vec<u8> {
    // The mask bit is set: a client's frame.
    let mut header = vec![opcode];
    match (u8::try_from(size), u16::try_from(size)) {
        (Ok(short @ ..126), _) => header.push(0x80 | short),
        (_, Ok(medium)) => {
            header.push(0x80 | 0x7e);
            header.extend_from_slice(&medium.to_be_bytes());
        }
        (_, Err(_)) => {
            header.push(0x80 | 0x7f);
            header.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    header
}

/// Exactly `size` bytes of UTF-8.
fn text(size: usize) -> Vec<u8> {
    let mut text = String::new();
    for character in "Every message counts. Žádná zpráva se neztratí. すべて届く。 "
        .chars()
        .cycle()
    {
        if text.len() + character.len_utf8() > size {
            break;
        }
        text.push(character);
    }
    while text.len() < size {
        text.push('.');
    }
    text.into_bytes()
}
