//! Frames as a peer may send them, right or wrong, and an end that echoes what it is given.

use std::{io::IoSlice, sync::Arc, time::Instant};

use tidewire_proto::{
    Config, Connection, DeflateParameters, Event, MaskKeys, ProtocolError, Role,
    handshake::{
        AcceptOptions, ClientRequest, HeadLimits, RequestHead, RequestOptions, Url, accept,
    },
};

pub(crate) const ROLES: [Role; 2] = [Role::Server, Role::Client];

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

struct SameKey;

impl MaskKeys for SameKey {
    fn next_key(&mut self) -> [u8; 4] {
        KEY
    }
}

/// How a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Of the payload, in as few bytes as possible.
    Shortest,
    /// Of the payload, in two bytes.
    Two,
    /// Of the payload, in eight bytes.
    Eight,
    /// This one in eight bytes, whatever follows.
    Announced(u64),
}

/// One frame, to be written for a receiver in either role.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) length: Length,
    /// Masked where it must not be, and the other way round.
    pub(crate) wrong_mask: bool,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(first: u8, payload: &[u8]) -> Self {
        Self {
            first,
            length: Length::Shortest,
            wrong_mask: false,
            payload: payload.to_vec(),
        }
    }

    pub(crate) fn length(mut self, length: Length) -> Self {
        self.length = length;
        self
    }

    pub(crate) fn write(&self, receiver: Role, out: &mut Vec<u8>) {
        let masked = (receiver == Role::Server) != self.wrong_mask;
        let mask_bit = if masked { 0x80 } else { 0 };
        let len = self.payload.len();
        out.push(self.first);
        match (self.length, u8::try_from(len), u16::try_from(len)) {
            (Length::Shortest, Ok(short), _) if short < 126 => out.push(short | mask_bit),
            (Length::Shortest | Length::Two, _, Ok(medium)) => {
                out.push(0x7e | mask_bit);
                out.extend_from_slice(&medium.to_be_bytes());
            }
            (Length::Announced(len), _, _) => {
                out.push(0x7f | mask_bit);
                out.extend_from_slice(&len.to_be_bytes());
            }
            (Length::Shortest | Length::Two | Length::Eight, _, _) => {
                out.push(0x7f | mask_bit);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if masked {
            out.extend_from_slice(&KEY);
            let key = KEY.iter().cycle();
            out.extend(self.payload.iter().zip(key).map(|(byte, key)| byte ^ key));
        } else {
            out.extend_from_slice(&self.payload);
        }
    }
}

/// Frames as bytes for a receiver in this role.
pub(crate) fn bytes_for(receiver: Role, frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        frame.write(receiver, &mut out);
    }
    out
}

/// Frames with their shortest length and the mask they must have.
pub(crate) fn frames(receiver: Role, list: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<_> = list
        .iter()
        .map(|(first, payload)| Frame::new(*first, payload))
        .collect();
    bytes_for(receiver, &list)
}

/// What ends with these settings agree on, if they want compression.
pub(crate) fn agreed(config: &Config) -> Option<DeflateParameters> {
    let url = Url::parse("ws://example.com/").unwrap();
    let options = RequestOptions {
        deflate: config.deflate.as_ref(),
        ..RequestOptions::default()
    };
    let request = ClientRequest::new(&url, [7; 16], options).unwrap();
    let head = RequestHead::parse(request.request.into(), HeadLimits::default()).unwrap();
    let options = AcceptOptions {
        deflate: config.deflate.as_ref(),
        ..AcceptOptions::default()
    };
    accept(&head, options).unwrap().deflate
}

/// One end, right after the handshake.
pub(crate) fn end(role: Role, config: &Config) -> Connection {
    let shared = Arc::new(config.clone());
    let now = Instant::now();
    let connection = match role {
        Role::Server => Connection::server(shared, now),
        Role::Client => Connection::client(shared, Box::new(SameKey), now),
    };
    connection.with_deflate(agreed(config))
}

/// Something that was received, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    Error(ProtocolError),
}

/// Gives all bytes to the connection in pieces of `step`, and sends every message back.
pub(crate) fn feed(connection: &mut Connection, bytes: &[u8], step: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut bytes = bytes.to_vec();
    for mut rest in bytes.chunks_mut(step.max(1)) {
        while !rest.is_empty() {
            let (used, event) = connection.receive(rest);
            assert!(used > 0, "every call takes something");
            let mut echo = None;
            match event {
                Ok(Some(Event::Message(message))) => {
                    seen.push(Seen::Message(message.payload().to_vec()));
                    echo = Some(message.to_message());
                }
                Ok(Some(Event::Ping(body))) => seen.push(Seen::Ping(body.to_vec())),
                Ok(Some(Event::Pong(body))) => seen.push(Seen::Pong(body.to_vec())),
                Ok(Some(Event::Close(frame))) => {
                    seen.push(Seen::Close(frame.map(|frame| frame.code.0)));
                }
                Ok(_) => {}
                Err(error) => {
                    seen.push(Seen::Error(error));
                    return seen;
                }
            }
            if let Some(message) = echo {
                connection.send(&message).ok(); // refused once the connection is closing
            }
            rest = &mut rest[used..];
        }
    }
    seen
}

/// All bytes queued for sending.
pub(crate) fn sent(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while connection.queued() > 0 {
        let mut parts = [IoSlice::new(&[]); 8];
        let count = connection.poll_transmit(&mut parts);
        let before = out.len();
        for part in &parts[..count] {
            out.extend_from_slice(part);
        }
        let written = out.len() - before;
        connection.transmitted(written);
    }
    out
}

/// The frames in what was sent: first byte and unmasked payload.
pub(crate) fn sent_frames(connection: &mut Connection) -> Vec<(u8, Vec<u8>)> {
    let bytes = sent(connection);
    let mut rest = bytes.as_slice();
    let mut frames = Vec::new();
    while let [first, second, after @ ..] = rest {
        let (len, after) = match second & 0x7f {
            126 => (
                usize::from(u16::from_be_bytes([after[0], after[1]])),
                &after[2..],
            ),
            127 => {
                let len = u64::from_be_bytes(*after.first_chunk().unwrap());
                (usize::try_from(len).unwrap(), &after[8..])
            }
            short => (usize::from(short), after),
        };
        let (key, after) = if second & 0x80 == 0 {
            ([0; 4], after)
        } else {
            (*after.first_chunk().unwrap(), &after[4..])
        };
        let payload = after[..len].iter().zip(key.iter().cycle());
        frames.push((*first, payload.map(|(byte, key)| byte ^ key).collect()));
        rest = &after[len..];
    }
    assert!(rest.is_empty(), "whole frames are sent");
    frames
}

/// Code of the only close frame that was sent, with nothing behind it.
pub(crate) fn close_code(connection: &mut Connection) -> Option<u16> {
    let frames = sent_frames(connection);
    let closes = frames.iter().filter(|(first, _)| *first == 0x88).count();
    assert!(closes <= 1, "one close frame, not {closes}");
    if let Some((0x88, body)) = frames.last() {
        body.first_chunk().map(|code| u16::from_be_bytes(*code))
    } else {
        assert_eq!(closes, 0, "nothing follows a close frame");
        None
    }
}
