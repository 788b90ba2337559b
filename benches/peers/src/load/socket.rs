//! A connection of the generator: opened blocking, used non-blocking.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;

use super::{Tls, frames::Frames};

/// Plain or TLS.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// How long anything that blocks may take: a connection, an answer outside of a measurement.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The upgrade request of a browser.
pub(super) fn request(path: &str) -> Vec<u8> {
    request_with(path, "")
}

/// The same with further header lines, each with its line end.
pub(super) fn request_with(path: &str, headers: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
    .into_bytes()
}

impl Socket {
    /// Wraps a stream.
    pub(super) fn new(stream: TcpStream, tls: Option<&Tls>) -> anyhow::Result<Self> {
        let Some(config) = tls else {
            return Ok(Self::Plain(stream));
        };
        let connection = ClientConnection::new(Arc::clone(config), "localhost".try_into()?)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    /// Connects and shakes hands, blocking; non-blocking from then on.
    pub(super) fn open(address: SocketAddr, path: &str, tls: Option<&Tls>) -> anyhow::Result<Self> {
        let socket = Self::open_blocking(address, &request(path), tls)?;
        socket.set_nonblocking()?;
        Ok(socket)
    }

    /// Connects without WebSocket, and says its role; non-blocking from then on.
    pub(super) fn open_bytes(
        address: SocketAddr,
        role: u8,
        tls: Option<&Tls>,
    ) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_nodelay(true)?;
        let mut socket = Self::new(TcpStream::from_std(stream), tls)?;
        socket.write_all(&[role])?;
        socket.flush()?;
        socket.set_nonblocking()?;
        Ok(socket)
    }

    /// Connects and shakes hands; still blocking afterwards, though never without an end.
    pub(super) fn open_blocking(
        address: SocketAddr,
        request: &[u8],
        tls: Option<&Tls>,
    ) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        let mut socket = Self::new(TcpStream::from_std(stream), tls)?;
        socket.write_all(request)?;
        let mut answer = Vec::new();
        let mut byte = [0; 1024];
        while !answer.ends_with(b"\r\n\r\n") {
            let count = socket.read(&mut byte).context("no answer in time")?;
            anyhow::ensure!(count > 0, "the server closed during the handshake");
            answer.extend_from_slice(&byte[..count]);
        }
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 101"), "handshake refused");
        Ok(socket)
    }

    /// From now on nothing blocks.
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        SockRef::from(self.tcp()).set_nonblocking(true)
    }

    /// Sends one frame and waits for its echo, which must be the answer expected.
    pub(super) fn echo_once(&mut self, frames: &Frames) -> anyhow::Result<()> {
        self.write_all(&frames.bytes[..frames.client_len])?;
        self.flush()?;
        let mut answer = vec![0; frames.server_len];
        let mut filled = 0;
        let deadline = Instant::now() + ANSWER_WITHIN;
        while filled < answer.len() {
            anyhow::ensure!(Instant::now() < deadline, "no echo in time");
            match self.read(&mut answer[filled..]) {
                Ok(0) => anyhow::bail!("the server closed a connection"),
                Ok(count) => filled += count,
                // Outside of any measured time.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::ensure!(answer == frames.answer, "the echo differs from the message");
        Ok(())
    }

    /// Watches it for both directions.
    pub(super) fn register(&mut self, registry: &Registry, number: usize) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(self.tcp_mut(), Token(number), interest)
    }

    /// Makes the drop a reset, so that no port waits for the peer's last segment.
    pub(super) fn reset_on_drop(&self) -> io::Result<()> {
        SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Reads until nothing is there, into a buffer nobody looks at; gives the number of bytes.
pub(super) fn drain(socket: &mut Socket, buffer: &mut [u8]) -> anyhow::Result<usize> {
    let mut total = 0;
    loop {
        match socket.read(buffer) {
            Ok(0) => anyhow::bail!("the server closed a connection"),
            Ok(count) => {
                total += count;
                // A short read has drained a plain socket (epoll(7)).
                if count < buffer.len() && matches!(socket, Socket::Plain(_)) {
                    return Ok(total);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(total),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends encoded frames over and over, as many bytes as are due.
pub(super) struct Sender {
    at: usize,
    due: usize,
}

impl Sender {
    /// Nothing is due.
    pub(super) fn new() -> Self {
        Self { at: 0, due: 0 }
    }

    /// Adds to what is due and writes what the system takes.
    pub(super) fn send(
        &mut self,
        socket: &mut Socket,
        frames: &[u8],
        more: usize,
    ) -> anyhow::Result<()> {
        self.due += more;
        while self.due > 0 {
            let end = frames.len().min(self.at + self.due);
            match socket.write(&frames[self.at..end]) {
                Ok(count) => {
                    self.due -= count;
                    self.at = (self.at + count) % frames.len();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        match socket.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(()),
        }
    }
}
