//! The floor: epoll, one thread, one shared read buffer and the least WebSocket that echoes. No
//! checks, no fragments, no limits, no pings, no TLS: what remains of the cost is the system's
//! and the payload's.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::Ipv4Addr,
};

use anyhow::Context as _;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use super::{Options, Role};

const LISTENER: Token = Token(usize::MAX);

/// Bytes of the read buffer all connections share.
const READ_BUFFER: usize = 512 << 10;

struct Connection {
    stream: TcpStream,
    role: Role,
    upgraded: bool,
    /// The beginning of a frame whose end has not come yet.
    partial: Vec<u8>,
    /// What the system has not taken yet.
    backlog: Vec<u8>,
}

/// Serves until killed.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(options.cert.is_none(), "the floor has no TLS");
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port).into())?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor {
        connections: Vec::new(),
        free: Vec::new(),
        receivers: Vec::new(),
        buffer: vec![0; READ_BUFFER],
        answers: Vec::with_capacity(READ_BUFFER),
    };
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                floor.accept(&listener, &poll)?;
                continue;
            }
            let number = event.token().0;
            if event.is_writable() {
                floor.flush(number);
            }
            if event.is_readable() {
                floor.read(number);
            }
        }
    }
}

struct Floor {
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    receivers: Vec<usize>,
    buffer: Vec<u8>,
    answers: Vec<u8>,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> anyhow::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accept"),
            };
            stream.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(number), interest)?;
            self.connections[number] = Some(Connection {
                stream,
                role: Role::Echo,
                upgraded: false,
                partial: Vec::new(),
                backlog: Vec::new(),
            });
        }
    }

    fn read(&mut self, number: usize) {
        loop {
            let Some(connection) = &mut self.connections[number] else {
                return;
            };
            let held = connection.partial.len();
            if self.buffer.len() < held + READ_BUFFER / 2 {
                self.buffer.resize(held + READ_BUFFER, 0);
            }
            self.buffer[..held].copy_from_slice(&connection.partial);
            connection.partial.clear();
            let space = self.buffer.len() - held;
            let count = match connection.stream.read(&mut self.buffer[held..]) {
                Ok(count @ 1..) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    connection.partial.extend_from_slice(&self.buffer[..held]);
                    return;
                }
                Ok(0) | Err(_) => return self.forget(number),
            };
            self.handle(number, held + count);
            // A short read has drained the socket (epoll(7)); no further one is needed.
            if count < space {
                return;
            }
        }
    }

    fn handle(&mut self, number: usize, filled: usize) {
        let Some(connection) = &mut self.connections[number] else {
            return;
        };
        let mut input = &self.buffer[..filled];
        self.answers.clear();
        if !connection.upgraded {
            let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
                connection.partial.extend_from_slice(input);
                return;
            };
            let head = String::from_utf8_lossy(&input[..end]);
            connection.role = Role::of(head.split(' ').nth(1).unwrap_or_default());
            connection.upgraded = true;
            if connection.role == Role::Receive {
                self.receivers.push(number);
            }
            let answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
            connection.write(answer);
            input = &input[end + 4..];
        }
        while let Some(used) = echo_frame(input, &mut self.answers) {
            input = &input[used..];
        }
        connection.partial.extend_from_slice(input);
        if connection.role != Role::Publish {
            connection.write(&self.answers);
            return;
        }
        for receiver in &self.receivers {
            if let Some(connection) = &mut self.connections[*receiver] {
                connection.write(&self.answers);
            }
        }
    }

    fn flush(&mut self, number: usize) {
        if let Some(connection) = &mut self.connections[number]
            && !connection.backlog.is_empty()
        {
            let backlog = std::mem::take(&mut connection.backlog);
            connection.write(&backlog);
        }
    }

    fn forget(&mut self, number: usize) {
        if self.connections[number].take().is_some() {
            self.receivers.retain(|receiver| *receiver != number);
            self.free.push(number);
        }
    }
}

impl Connection {
    fn write(&mut self, mut bytes: &[u8]) {
        while self.backlog.is_empty() && !bytes.is_empty() {
            // Errors show themselves at the next read.
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(_) => break,
            }
        }
        self.backlog.extend_from_slice(bytes);
    }
}

/// Answers the frame at the beginning of `input`; gives its length, `None` while it is cut.
fn echo_frame(input: &[u8], answers: &mut Vec<u8>) -> Option<usize> {
    let [first, second, rest @ ..] = input else {
        return None;
    };
    let (size, rest) = match second & 0x7f {
        126 => {
            let (size, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*size)), rest)
        }
        127 => {
            let (size, rest) = rest.split_first_chunk::<8>()?;
            (usize::try_from(u64::from_be_bytes(*size)).ok()?, rest)
        }
        short => (usize::from(short), rest),
    };
    let (mask, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..size)?;
    answers.push(*first);
    answers.push(second & 0x7f);
    let extended = input.len() - rest.len() - 4 - 2;
    answers.extend_from_slice(&input[2..2 + extended]);
    let start = answers.len();
    answers.extend_from_slice(payload);
    let mask = std::array::from_fn::<u8, 16, _>(|index| mask[index % 4]);
    let mut blocks = answers[start..].chunks_exact_mut(16);
    for block in &mut blocks {
        for (byte, mask) in block.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in blocks.into_remainder().iter_mut().zip(mask) {
        *byte ^= mask;
    }
    Some(input.len() - rest.len() + size)
}
