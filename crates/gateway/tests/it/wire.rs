//! Peers of the gateway that write whatever bytes they like.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tidewire_gateway::Running;
use tidewire_proto::handshake::accept_key;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// One end of a TCP connection, and what was read and not used.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Vec<u8>,
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawFrame {
    /// FIN, reserved bits and opcode.
    pub(crate) first: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Connects to the gateway.
    pub(crate) async fn to(gateway: &Running) -> Self {
        Self::new(TcpStream::connect(gateway.addresses()[0]).await.unwrap())
    }

    /// Connects, and opens a WebSocket with these further fields.
    pub(crate) async fn open(gateway: &Running, path: &str, fields: &str) -> Self {
        let mut wire = Self::to(gateway).await;
        wire.write(upgrade(path, fields)).await;
        let answer = wire.head().await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        wire
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads once; whether there was something.
    pub(crate) async fn more(&mut self) -> bool {
        self.buffer.reserve(64 << 10);
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    /// A head, with the empty line; what there is, if the end comes first.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return String::from_utf8(head).unwrap();
            }
            if !self.more().await {
                let head = std::mem::take(&mut self.buffer);
                return String::from_utf8_lossy(&head).into_owned();
            }
        }
    }

    /// All to the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// The next frame, or `None` at the end.
    pub(crate) async fn frame(&mut self) -> Option<RawFrame> {
        loop {
            if let Some((frame, len)) = parse(&self.buffer) {
                self.buffer.drain(..len);
                return Some(frame);
            }
            if !self.more().await {
                assert!(self.buffer.is_empty(), "half a frame: {:?}", self.buffer);
                return None;
            }
        }
    }

    /// The next message of a client, put together.
    pub(crate) async fn message(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let frame = self.frame().await.expect("a frame");
            assert!(frame.masked && frame.first & 0x7f < 3, "{frame:?}");
            message.extend(frame.payload);
            if frame.first & 0x80 != 0 {
                return message;
            }
        }
    }

    /// The next message of one frame, as text.
    pub(crate) async fn text(&mut self) -> String {
        let frame = self.frame().await.expect("a frame");
        assert_eq!(frame.first, 0x81, "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// The code of the close frame that comes next, behind what else comes; `None`: there is none.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        while let Some(frame) = self.frame().await {
            if frame.first == 0x88 {
                let code = frame.payload.first_chunk()?;
                return Some(u16::from_be_bytes(*code));
            }
        }
        None
    }
}

fn parse(bytes: &[u8]) -> Option<(RawFrame, usize)> {
    let masked = bytes.get(1)? & 0x80 != 0;
    let (len, at) = match bytes[1] & 0x7f {
        126 => (
            u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
            4,
        ),
        127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
        len => (u64::from(len), 2),
    };
    let len = usize::try_from(len).unwrap();
    let key = masked.then(|| bytes.get(at..at + 4));
    let key: [u8; 4] = match key {
        Some(key) => key?.try_into().unwrap(),
        None => [0; 4],
    };
    let at = if masked { at + 4 } else { at };
    let payload = bytes.get(at..at.checked_add(len)?)?;
    let payload = payload.iter().zip(key.iter().cycle());
    let frame = RawFrame {
        first: bytes[0],
        masked,
        payload: payload.map(|(byte, key)| byte ^ key).collect(),
    };
    Some((frame, at + len))
}

/// A frame as a server sends it.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    framed(first, payload.as_ref(), None)
}

/// A frame as a client sends it.
pub(crate) fn masked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    framed(first, payload.as_ref(), Some([0x12, 0x34, 0x56, 0x78]))
}

fn framed(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if key.is_some() { 0x80_u8 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        len @ 0..126 => out.push(bit | u8::try_from(len).unwrap()),
        len @ 126..0x1_0000 => {
            out.push(bit | 0x7e);
            out.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            out.push(bit | 0x7f);
            out.extend((len as u64).to_be_bytes());
        }
    }
    let key = key.inspect(|key| out.extend(key)).unwrap_or_default();
    out.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    out
}

/// A request for a WebSocket with further fields, each with its line end.
pub(crate) fn upgrade(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gw.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{fields}\r\n"
    )
}

/// The value of a field in a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut values = head.lines().filter_map(|line| line.split_once(':'));
    let found = values.find(|(field, _)| field.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}

/// The accept value for a request's head.
pub(crate) fn accept(head: &str) -> String {
    accept_key(field(head, "sec-websocket-key").unwrap().as_bytes())
}

/// A valid 101 for a request's head.
pub(crate) fn switching(head: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(head)
    )
}

/// A backend of bytes.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    /// Connections so far.
    pub(crate) visits: Arc<AtomicUsize>,
}

impl Fake {
    /// Runs `serve` for each connection.
    pub(crate) fn start<F, S>(serve: S) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Wire) -> F + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let visits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&visits);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(Wire::new(stream)));
            }
        });
        Self { address, visits }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/own", self.address)
    }

    pub(crate) fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}
