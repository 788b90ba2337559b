//! A client frame by frame, for manners that no library has.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::desk::{Desk, raw_with};

/// A connection that answers nothing by itself.
pub(crate) struct RawClient {
    stream: TcpStream,
    /// Messages seen so far.
    pub(crate) messages: Vec<String>,
}

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

impl RawClient {
    pub(crate) async fn connect(desk: &Desk, id: u64) -> Self {
        Self::connect_with(desk, id, "").await
    }

    /// With further header lines.
    pub(crate) async fn connect_with(desk: &Desk, id: u64, head: &str) -> Self {
        Self::over(raw_with(desk, id, head).await)
    }

    /// On an upgraded connection.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            messages: Vec::new(),
        }
    }

    /// The next frame: opcode and payload; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let length = match self.stream.read_u8().await.ok()? {
            126 => self.stream.read_u16().await.ok()?.into(),
            127 => self.stream.read_u64().await.ok()?,
            short => short.into(),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        if first & 0xF == TEXT {
            let text = String::from_utf8(payload.clone()).unwrap();
            self.messages.push(text);
        }
        Some((first & 0xF, payload))
    }

    /// The payload of the next ping.
    pub(crate) async fn ping(&mut self) -> Vec<u8> {
        loop {
            if let (PING, payload) = self.frame().await.expect("a ping") {
                return payload;
            }
        }
    }

    /// Reads until a message contains `part`; answers each ping by `pongs`, which gives payloads.
    pub(crate) async fn until(&mut self, part: &str, pongs: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        while !self
            .messages
            .last()
            .is_some_and(|message| message.contains(part))
        {
            let frame = self.frame().await;
            match frame.unwrap_or_else(|| panic!("{part} in {:?}", self.messages)) {
                (PING, payload) => {
                    if let Some(pong) = pongs(&payload) {
                        self.send(PONG, &pong).await;
                    }
                }
                (CLOSE, payload) => panic!("closed: {}", String::from_utf8_lossy(&payload)),
                _ => {}
            }
        }
    }

    /// Sends a frame with a mask of zeros.
    pub(crate) async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        if payload.len() < 126 {
            frame.push(0x80 | u8::try_from(payload.len()).unwrap());
        } else {
            frame.push(0xFE);
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).await.unwrap();
    }
}
