//! The stream given to tungstenite through a socket in memory, which then has nothing more.

use std::io::{self, Read, Write};

use tidewire_proto::Role;
use tungstenite::{Error, Message, protocol, protocol::WebSocket};

use crate::{
    cases::{Case, hex},
    transcript::{End, Transcript},
};

/// Gives the stream, then would block; takes and forgets what is written.
struct Socket<'a>(&'a [u8]);

impl Read for Socket<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn transcript(case: &Case) -> Transcript {
    let role = match case.receiver {
        Role::Server => protocol::Role::Server,
        Role::Client => protocol::Role::Client,
    };
    let mut socket = WebSocket::from_raw_socket(Socket(&case.stream), role, None);
    let mut events = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(Message::Text(text)) => events.push(format!("text:{}", hex(text.as_bytes()))),
            Ok(Message::Binary(bytes)) => events.push(format!("binary:{}", hex(&bytes))),
            Ok(Message::Ping(bytes)) => events.push(format!("ping:{}", hex(&bytes))),
            Ok(Message::Pong(bytes)) => events.push(format!("pong:{}", hex(&bytes))),
            Ok(Message::Close(None)) => {
                events.push("close:-:-".to_owned());
                break End::Close;
            }
            Ok(Message::Close(Some(frame))) => {
                let code = u16::from(frame.code);
                events.push(format!("close:{code}:{}", hex(frame.reason.as_bytes())));
                break End::Close;
            }
            Ok(Message::Frame(_)) => break End::Reject("a raw frame".to_owned()),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break End::More,
            Err(error) => break End::Reject(error.to_string().replace(' ', "_")),
        }
    };
    Transcript { events, end }
}
