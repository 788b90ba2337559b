//! Frames made by hand, and a connection to give them to.

use std::{io::IoSlice, sync::Arc, time::Instant};

use tidewire_proto::{Config, Connection, Event, MaskKeys, ProtocolError, Role};

pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

struct SameKey;

impl MaskKeys for SameKey {
    fn next_key(&mut self) -> [u8; 4] {
        KEY
    }
}

pub(crate) fn connection(role: Role, config: Config) -> Connection {
    match role {
        Role::Server => Connection::server(Arc::new(config), Instant::now()),
        Role::Client => Connection::client(Arc::new(config), Box::new(SameKey), Instant::now()),
    }
}

/// A frame for `receiver`, masked as it must be; `length` is written in the shortest form.
pub(crate) fn frame(receiver: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(receiver, first, payload.len() as u64);
    match receiver {
        Role::Server => {
            let masked = payload.iter().zip(KEY.iter().cycle());
            frame.extend(masked.map(|(byte, key)| byte ^ key));
        }
        Role::Client => frame.extend_from_slice(payload),
    }
    frame
}

/// The header alone, announcing `length` bytes.
pub(crate) fn header(receiver: Role, first: u8, length: u64) -> Vec<u8> {
    let mask = if receiver == Role::Server { 0x80 } else { 0 };
    let mut header = vec![first];
    match length {
        0..126 => header.push(mask | u8::try_from(length).unwrap()),
        126..65_536 => {
            header.push(mask | 0x7e);
            header.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            header.push(mask | 0x7f);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    if receiver == Role::Server {
        header.extend_from_slice(&KEY);
    }
    header
}

/// Gives `bytes` in pieces of `step`; returns the messages, and what ended it.
pub(crate) fn receive(
    connection: &mut Connection,
    bytes: &[u8],
    step: usize,
) -> (Vec<Vec<u8>>, Result<(), ProtocolError>) {
    let mut messages = Vec::new();
    for piece in bytes.chunks(step) {
        let mut piece = piece.to_vec();
        let mut rest = piece.as_mut_slice();
        while !rest.is_empty() {
            let (used, event) = connection.receive(rest);
            match event {
                Ok(Some(Event::Message(message))) => messages.push(message.payload().to_vec()),
                Ok(_) => {}
                Err(error) => return (messages, Err(error)),
            }
            rest = &mut rest[used..];
        }
    }
    (messages, Ok(()))
}

/// Everything queued, as one piece; unmasked when a client sent it.
pub(crate) fn sent(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while connection.queued() > 0 {
        let mut parts = [IoSlice::new(&[]); 4];
        let count = connection.poll_transmit(&mut parts);
        let before = out.len();
        parts[..count]
            .iter()
            .for_each(|part| out.extend_from_slice(part));
        connection.transmitted(out.len() - before);
    }
    out
}

/// The code of the close frame among the short frames `bytes` sent by `role`.
pub(crate) fn close_code(role: Role, mut bytes: &[u8]) -> Option<u16> {
    let masked = role == Role::Client;
    loop {
        let [first, len, rest @ ..] = bytes else {
            return None;
        };
        let (key, rest) = rest.split_at_checked(if masked { 4 } else { 0 })?;
        let (body, rest) = rest.split_at_checked(usize::from(len & 0x7f))?;
        if *first == 0x88 {
            let mut code = [*body.first()?, *body.get(1)?];
            for (byte, key) in code.iter_mut().zip(key) {
                *byte ^= key;
            }
            return Some(u16::from_be_bytes(code));
        }
        bytes = rest;
    }
}
