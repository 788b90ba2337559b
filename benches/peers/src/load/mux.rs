//! Echo over logical sockets (`tidewire.mux.v1`, `docs/protocols/mux-v1.md`), closed loop: an
//! answer lets the next message of its stream go.
//!
//! In: a gateway with an endpoint [`ENDPOINT`] that echoes. Messages are encoded before the clock
//! starts, one per stream number. Invariant: a message is sent only as a whole and only within the
//! credit; what is received is charged and given back as the protocol wants it.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::SocketAddr,
    time::Instant,
};

use anyhow::Context as _;
use mio::{Events, Poll};
use tidewire::proto::mux::{
    Body, DATA_HEADER_BYTES, DataFlags, Frame, Open, PAYLOAD_BYTES_MAX, ReceiveCredit, SUBPROTOCOL,
    SendCredit, Side, data_header,
};

use super::{
    Figure, Stopwatch, Times,
    echo::{LOOK_EVERY, READ_BUFFER},
    frames::put_binary,
    socket::{self, ANSWER_WITHIN, Socket},
};
use crate::child::Server;

/// Name of the endpoint, as the gateway's configuration has it.
pub(crate) const ENDPOINT: &str = "echo";

/// First credit for what the gateway sends: large, so that it never waits for the generator.
const FIRST_CREDIT: u32 = 64 << 20;

/// One round: so many connections with so many streams each.
pub(super) fn round(
    server: &Server,
    connections: usize,
    streams: usize,
    size: usize,
    times: Times,
) -> anyhow::Result<Figure> {
    let messages = Messages::new(streams, size)?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut connection = Connection::open(server.address, streams)?;
        connection.socket.register(poll.registry(), number)?;
        connection.flush()?;
        open.push(connection);
    }
    let deadline = Instant::now() + ANSWER_WITHIN;
    while open.iter().any(|connection| connection.accepted < streams) {
        anyhow::ensure!(Instant::now() < deadline, "streams not accepted in time");
        poll.poll(&mut events, Some(LOOK_EVERY))?;
        for event in &events {
            open[event.token().0].go_on(&messages)?;
        }
    }
    let mut stopwatch = Stopwatch::start(server, times);
    for connection in &mut open {
        connection.begin(&messages)?;
    }
    let mut count = 0;
    loop {
        poll.poll(&mut events, Some(LOOK_EVERY))?;
        for event in &events {
            count += open[event.token().0].go_on(&messages)?;
        }
        if let Some(figure) = stopwatch.look(count)? {
            return Ok(figure);
        }
    }
}

/// What is sent, encoded once.
struct Messages {
    payload: Vec<u8>,
    /// WebSocket frames, one per stream.
    frames: Vec<Vec<u8>>,
}

impl Messages {
    fn new(streams: usize, size: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(size <= PAYLOAD_BYTES_MAX, "each message is one DATA frame");
        let payload: Vec<u8> = (0..=255).cycle().take(size).collect();
        let flags = DataFlags {
            last: true,
            binary: true,
        };
        let mut frames = Vec::with_capacity(streams);
        for index in 0..streams {
            let mut data = data_header(number(index), flags).to_vec();
            data.extend_from_slice(&payload);
            let mut frame = Vec::new();
            put_binary(&mut frame, &data);
            frames.push(frame);
        }
        Ok(Self { payload, frames })
    }
}

/// The stream at `index`: they count from 1.
fn number(index: usize) -> u32 {
    u32::try_from(index + 1).expect("a scenario has few streams")
}

struct Connection {
    socket: Socket,
    streams: Vec<Stream>,
    /// How many streams are open.
    accepted: usize,
    input: Vec<u8>,
    /// Bytes of `input` that wait for the rest of their frame.
    filled: usize,
    /// What the system has not taken yet; at most a message per stream and a few small frames.
    output: Vec<u8>,
}

struct Stream {
    send: SendCredit,
    receive: ReceiveCredit,
    /// Payload bytes of the message that is being received.
    got: usize,
    /// A message is due and waits for credit.
    waits: bool,
    /// Whether the first answer was compared with the message.
    compared: bool,
}

impl Connection {
    /// Shakes hands and queues an OPEN per stream.
    fn open(address: SocketAddr, streams: usize) -> anyhow::Result<Self> {
        let offer = format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n");
        let request = socket::request_with("/", &offer);
        let socket = Socket::open_blocking(address, &request, None)?;
        socket.set_nonblocking()?;
        let mut connection = Self {
            socket,
            streams: Vec::with_capacity(streams),
            accepted: 0,
            input: vec![0; READ_BUFFER],
            filled: 0,
            output: Vec::new(),
        };
        for index in 0..streams {
            connection.streams.push(Stream {
                send: SendCredit::new(number(index), 0),
                receive: ReceiveCredit::new(number(index), FIRST_CREDIT),
                got: 0,
                waits: false,
                compared: false,
            });
            let open = Open {
                credit: FIRST_CREDIT,
                name: ENDPOINT,
                ..Open::default()
            };
            connection.queue(number(index), Body::Open(open))?;
        }
        Ok(connection)
    }

    /// Sends the first message of each stream.
    fn begin(&mut self, messages: &Messages) -> anyhow::Result<()> {
        for index in 0..self.streams.len() {
            self.send(index, messages);
        }
        self.flush()
    }

    /// Does what is possible now; gives the number of whole answers.
    fn go_on(&mut self, messages: &Messages) -> anyhow::Result<u64> {
        let mut answers = 0;
        loop {
            match self.socket.read(&mut self.input[self.filled..]) {
                Ok(0) => anyhow::bail!("the gateway closed a connection"),
                Ok(count) => {
                    self.filled += count;
                    // A short read has drained the socket (epoll(7)).
                    let drained = self.filled < self.input.len();
                    answers += self.take_frames(messages)?;
                    if drained {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.flush()?;
        Ok(answers)
    }

    /// Handles all whole frames of the input.
    fn take_frames(&mut self, messages: &Messages) -> anyhow::Result<u64> {
        let input = std::mem::take(&mut self.input);
        let mut used = 0;
        let mut answers = 0;
        while let Some((content, end)) = whole_frame(&input[used..self.filled])? {
            if !content.is_empty() {
                let frame = Frame::decode(content, Side::Gateway)?;
                answers += u64::from(self.take_frame(&frame, messages)?);
            }
            used += end;
        }
        self.input = input;
        self.input.copy_within(used..self.filled, 0);
        self.filled -= used;
        anyhow::ensure!(self.filled < self.input.len(), "a frame is far too large");
        Ok(answers)
    }

    /// Handles a frame; whether it was the end of an answer.
    fn take_frame(&mut self, frame: &Frame<'_>, messages: &Messages) -> anyhow::Result<bool> {
        let index = (frame.stream as usize).wrapping_sub(1);
        let stream = self.streams.get_mut(index);
        let stream =
            stream.with_context(|| format!("no stream of ours is meant by {:?}", frame.body))?;
        match frame.body {
            Body::Accept { credit, .. } => {
                stream.send.add(credit)?;
                self.accepted += 1;
            }
            Body::Credit(more) => {
                stream.send.add(more)?;
                if stream.waits {
                    self.send(index, messages);
                }
            }
            Body::Data { flags, payload } => {
                stream.receive.charge(payload.len())?;
                let more = stream.receive.give_back(payload.len());
                let ends = stream.receive_data(flags, payload, messages)?;
                if let Some(more) = more {
                    self.queue(frame.stream, Body::Credit(more))?;
                }
                if ends {
                    self.send(index, messages);
                }
                return Ok(ends);
            }
            _ => anyhow::bail!("unexpected: stream {}, {:?}", frame.stream, frame.body),
        }
        Ok(false)
    }

    /// Queues the next message of a stream, or lets it wait for the credit.
    fn send(&mut self, index: usize, messages: &Messages) {
        let stream = &mut self.streams[index];
        let cost = messages.payload.len() + DATA_HEADER_BYTES;
        // There will be: the credit is more than twice the cost, and half of it always comes back.
        stream.waits = (stream.send.available() as usize) < cost;
        if !stream.waits {
            stream.send.take(messages.payload.len());
            self.output.extend_from_slice(&messages.frames[index]);
        }
    }

    fn queue(&mut self, stream: u32, body: Body<'_>) -> anyhow::Result<()> {
        let frame = Frame { stream, body }.encode()?;
        put_binary(&mut self.output, &frame);
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let mut at = 0;
        while at < self.output.len() {
            match self.socket.write(&self.output[at..]) {
                Ok(count) => at += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.output.drain(..at);
        Ok(())
    }
}

impl Stream {
    /// Takes a piece of an answer; whether it is the last one.
    fn receive_data(
        &mut self,
        flags: DataFlags,
        payload: &[u8],
        messages: &Messages,
    ) -> anyhow::Result<bool> {
        let begin = self.got;
        self.got += payload.len();
        let expected = messages.payload.get(begin..self.got);
        anyhow::ensure!(
            expected.is_some_and(|expected| self.compared || expected == payload),
            "the echo differs from the message"
        );
        if flags.last {
            anyhow::ensure!(self.got == messages.payload.len(), "an echo is too short");
            self.got = 0;
            self.compared = true;
        }
        Ok(flags.last)
    }
}

/// The content of the WebSocket frame at the beginning, and where it ends; `None` if it is not there
/// as a whole. A ping has no content here: the gateway asks only silent peers, which this one is not.
fn whole_frame(input: &[u8]) -> anyhow::Result<Option<(&[u8], usize)>> {
    let [first, second, ..] = *input else {
        return Ok(None);
    };
    let (header, len) = match second {
        0..=125 => (2, Some(u64::from(second))),
        126 => {
            let len = input[2..].first_chunk().copied();
            (4, len.map(u16::from_be_bytes).map(u64::from))
        }
        127 => {
            let len = input[2..].first_chunk().copied();
            (10, len.map(u64::from_be_bytes))
        }
        128.. => anyhow::bail!("a server does not mask"),
    };
    let Some(len) = len else {
        return Ok(None);
    };
    // What is larger never gets complete; the full buffer tells.
    let end = header + usize::try_from(len)?.min(READ_BUFFER);
    let Some(content) = input.get(header..end) else {
        return Ok(None);
    };
    match first {
        0x82 => Ok(Some((content, end))),
        0x89 => Ok(Some((&[], end))),
        0x88 => anyhow::bail!(
            "closed by the gateway: {}",
            String::from_utf8_lossy(content.get(2..).unwrap_or_default())
        ),
        _ => anyhow::bail!("expected whole binary messages, got a frame that begins with {first}"),
    }
}
