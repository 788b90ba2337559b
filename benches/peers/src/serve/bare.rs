//! The least server of bytes: epoll, one thread, one shared read buffer, plain or with rustls by hand. What comes is
//! sent back, or to all receivers; the first byte of a connection tells. No limits, no queues but for what the system
//! does not take, nobody else's sending.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::Ipv4Addr,
    sync::Arc,
};

use anyhow::Context as _;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Options, Role, tls_config};

const LISTENER: Token = Token(usize::MAX);

/// Bytes of the read buffer all connections share.
const READ_BUFFER: usize = 512 << 10;

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Writes records that rustls holds.
    fn flush(&mut self) {
        if let Self::Tls(stream) = self {
            // What the system does not take now it takes when it is writable.
            stream.flush().ok();
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

struct Connection {
    wire: Wire,
    role: Option<Role>,
    /// Bytes that the system has not taken yet.
    backlog: Vec<u8>,
}

/// Serves until killed.
pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port).into())?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut bare = Bare {
        tls: tls_config(options)?,
        connections: Vec::new(),
        receivers: Vec::new(),
        buffer: vec![0; READ_BUFFER],
    };
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                bare.accept(&listener, &poll)?;
                continue;
            }
            let number = event.token().0;
            if event.is_writable() {
                bare.flush(number);
            }
            if event.is_readable() {
                bare.read(number);
            }
        }
    }
}

struct Bare {
    tls: Option<Arc<ServerConfig>>,
    connections: Vec<Option<Connection>>,
    receivers: Vec<usize>,
    buffer: Vec<u8>,
}

impl Bare {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> anyhow::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accept"),
            };
            stream.set_nodelay(true)?;
            let number = self.connections.len();
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(number), interest)?;
            let wire = match &self.tls {
                None => Wire::Plain(stream),
                Some(config) => {
                    let connection = ServerConnection::new(Arc::clone(config))?;
                    Wire::Tls(Box::new(StreamOwned::new(connection, stream)))
                }
            };
            self.connections.push(Some(Connection {
                wire,
                role: None,
                backlog: Vec::new(),
            }));
        }
    }

    fn read(&mut self, number: usize) {
        loop {
            let Some(connection) = &mut self.connections[number] else {
                return;
            };
            let count = match connection.wire.read(&mut self.buffer) {
                Ok(count @ 1..) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    connection.wire.flush();
                    return;
                }
                Ok(0) | Err(_) => return self.forget(number),
            };
            let is_drained = count < self.buffer.len() && connection.wire.is_plain();
            let mut input = &self.buffer[..count];
            let role = *connection.role.get_or_insert_with(|| {
                let role = Role::of_byte(input[0]);
                input = &input[1..];
                if role == Role::Receive {
                    self.receivers.push(number);
                }
                role
            });
            match role {
                Role::Echo => connection.write(input),
                Role::Publish => {
                    for receiver in &self.receivers {
                        if let Some(connection) = &mut self.connections[*receiver] {
                            connection.write(input);
                        }
                    }
                }
                Role::Receive => {}
            }
            // A short read has drained the socket (epoll(7)); no further one is needed.
            if is_drained {
                return;
            }
        }
    }

    fn flush(&mut self, number: usize) {
        if let Some(connection) = &mut self.connections[number] {
            let backlog = std::mem::take(&mut connection.backlog);
            connection.write(&backlog);
            connection.wire.flush();
        }
    }

    fn forget(&mut self, number: usize) {
        self.connections[number] = None;
        self.receivers.retain(|receiver| *receiver != number);
    }
}

impl Connection {
    fn write(&mut self, mut bytes: &[u8]) {
        while self.backlog.is_empty() && !bytes.is_empty() {
            // Errors show themselves at the next read.
            match self.wire.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(_) => break,
            }
        }
        self.backlog.extend_from_slice(bytes);
    }
}
