//! A user's WebSocket connection, frame by frame: [`Downlink`] and [`Uplink`].
//!
//! [`Uplink`] also knows what the server has certainly read: when the copy of a message comes
//! back, then the server has read it, and so every pong that was written before it on the same
//! connection.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{book::Number, frames::Frame, random::Random};

/// Largest head of an answer.
const HEAD_MAX: usize = 16 << 10;

/// Time to connect and for the handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What comes from the server. What is in the buffer has not been read by the library yet: it
/// has not been looked at.
#[derive(Debug)]
pub(super) struct Downlink {
    read: OwnedReadHalf,
    buffer: Vec<u8>,
}

/// What goes to the server.
#[derive(Debug)]
pub(super) struct Uplink {
    write: OwnedWriteHalf,
    masks: Random,
    proofs: Proofs,
}

/// Which messages are proved by which answer of the server.
#[derive(Debug, Default)]
struct Proofs {
    /// Read, no ping came behind them yet.
    read: Vec<Number>,
    /// A ping behind them was answered.
    answered: Vec<Number>,
    /// Messages that were sent behind such answers, and what their copies prove.
    waiting: VecDeque<(Number, Vec<Number>)>,
}

/// Opens a connection for a user.
pub(super) async fn connect(
    address: SocketAddr,
    user: u64,
    random: Random,
) -> anyhow::Result<(Downlink, Uplink)> {
    timeout(CONNECT_WITHIN, handshake(address, user, random)).await?
}

async fn handshake(
    address: SocketAddr,
    user: u64,
    masks: Random,
) -> anyhow::Result<(Downlink, Uplink)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut read, mut write) = stream.into_split();
    let request = format!(
        "GET /chat?id={user} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    );
    write.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::new();
    let head = loop {
        ensure!(buffer.len() < HEAD_MAX, "a long answer");
        ensure!(read.read_buf(&mut buffer).await? > 0, "no answer");
        let end = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(end) = end {
            break end + 4;
        }
    };
    ensure!(buffer.starts_with(b"HTTP/1.1 101"), "refused");
    buffer.drain(..head);
    let uplink = Uplink {
        write,
        masks,
        proofs: Proofs::default(),
    };
    Ok((Downlink { read, buffer }, uplink))
}

impl Downlink {
    /// `None` at the end of the stream. Cancel safe.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        loop {
            if let Some(frame) = Frame::take(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

impl Uplink {
    /// Not cancel safe: what was begun must be the connection's last.
    pub(super) async fn write(&mut self, frame: &Frame) -> anyhow::Result<()> {
        let [a, b, c, d, ..] = self.masks.next().to_be_bytes();
        let bytes = frame.encode([a, b, c, d]);
        self.write.write_all(&bytes).await.context("write")
    }

    /// The answer that RFC 6455 asks for. As [`Uplink::write`].
    pub(super) async fn pong(&mut self, payload: Vec<u8>) -> anyhow::Result<()> {
        self.write(&Frame::Pong(payload)).await?;
        self.proofs.ponged();
        Ok(())
    }

    /// A message of the user's own. As [`Uplink::write`].
    pub(super) async fn send(&mut self, number: Number, text: String) -> anyhow::Result<()> {
        self.proofs.sent(number);
        self.write(&Frame::Text(text.into_bytes())).await
    }

    /// A message for the user was read.
    pub(super) fn was_read(&mut self, number: Number) {
        self.proofs.read.push(number);
    }

    /// The copy of an own message came; returns what that proves.
    pub(super) fn copied(&mut self, number: Number) -> Vec<Number> {
        self.proofs.copied(number)
    }
}

impl Proofs {
    fn ponged(&mut self) {
        self.answered.append(&mut self.read);
    }

    fn sent(&mut self, number: Number) {
        if !self.answered.is_empty() {
            let answered = std::mem::take(&mut self.answered);
            self.waiting.push_back((number, answered));
        }
    }

    fn copied(&mut self, number: Number) -> Vec<Number> {
        let mut proved = Vec::new();
        let is_behind = |(first, _): &mut (Number, Vec<Number>)| *first <= number;
        while let Some((_, numbers)) = self.waiting.pop_front_if(is_behind) {
            proved.extend(numbers);
        }
        proved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_proves_what_was_answered_before_its_message_was_sent() {
        let mut proofs = Proofs::default();
        proofs.read.push(1);
        proofs.sent(10);
        proofs.ponged();
        proofs.read.push(2);
        proofs.sent(11);
        proofs.ponged();
        assert_eq!(proofs.copied(10), [0; 0], "no pong came before it");
        proofs.sent(12);
        assert_eq!(proofs.copied(11), [1]);
        assert_eq!(proofs.copied(11), [0; 0]);
        assert_eq!(proofs.copied(13), [2], "the copy of 12 may have been lost");
    }
}
