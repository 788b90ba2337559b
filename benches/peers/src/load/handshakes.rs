//! Handshakes: connect, upgrade, reset, again.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddr,
};

use mio::{Events, Poll, net::TcpStream};

use super::{
    Figure, Stopwatch, Times, Tls,
    echo::LOOK_EVERY,
    socket::{self, Socket},
};
use crate::child::Server;

struct Attempt {
    socket: Socket,
    /// Bytes of the request the system has taken.
    sent: usize,
    answer: Vec<u8>,
}

/// One round.
pub(super) fn round(
    server: &Server,
    at_once: usize,
    times: Times,
    tls: Option<&Tls>,
) -> anyhow::Result<Figure> {
    let request = socket::request("/");
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut attempts = Vec::with_capacity(at_once);
    for number in 0..at_once {
        attempts.push(attempt(server.address, number, &poll, tls)?);
    }
    let mut stopwatch = Stopwatch::start(server, times);
    let mut count = 0;
    loop {
        poll.poll(&mut events, Some(LOOK_EVERY))?;
        for event in &events {
            let number = event.token().0;
            if attempts[number].go_on(&request)? {
                count += 1;
                attempts[number] = attempt(server.address, number, &poll, tls)?;
            }
        }
        if let Some(figure) = stopwatch.look(count)? {
            return Ok(figure);
        }
    }
}

fn attempt(
    address: SocketAddr,
    number: usize,
    poll: &Poll,
    tls: Option<&Tls>,
) -> anyhow::Result<Attempt> {
    let mut socket = Socket::new(TcpStream::connect(address)?, tls)?;
    socket.reset_on_drop()?;
    socket.register(poll.registry(), number)?;
    Ok(Attempt {
        socket,
        sent: 0,
        answer: Vec::with_capacity(512),
    })
}

impl Attempt {
    /// Does what is possible now; whether the handshake is done.
    fn go_on(&mut self, request: &[u8]) -> anyhow::Result<bool> {
        while self.sent < request.len() {
            match self.socket.write(&request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if waits(error.kind()) => break,
                Err(error) => return Err(error.into()),
            }
        }
        match self.socket.flush() {
            Err(error) if !waits(error.kind()) => return Err(error.into()),
            _ => {}
        }
        let mut buffer = [0; 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => anyhow::bail!("the server closed during the handshake"),
                Ok(count) => self.answer.extend_from_slice(&buffer[..count]),
                Err(error) if waits(error.kind()) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            if self.answer.ends_with(b"\r\n\r\n") {
                anyhow::ensure!(
                    self.answer.starts_with(b"HTTP/1.1 101"),
                    "handshake refused"
                );
                return Ok(true);
            }
        }
    }
}

fn waits(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
