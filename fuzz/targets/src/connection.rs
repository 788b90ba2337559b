//! Random operations on one connection: what the application, the peer, the socket and the
//! clock do, in any order. The promises checked are those of `Connection`'s documentation.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use tidewire_proto::{
    CloseCode, Config, Connection, Kind, Message, PeerState, Prepared, Role, SendError,
};

use crate::{
    drive::{self, Seen},
    frames::small_limits,
    model::{self, Taken},
    script::Script,
    wire::read_sent,
};

/// Most operations of a run; more only repeat.
const OPERATIONS_MAX: usize = 48;

/// Longest frame around a control payload: header, key, 125 bytes.
const CONTROL_FRAME_MAX: usize = 2 + 4 + 125;

#[derive(Arbitrary, Clone, Debug)]
enum Operation {
    /// The next bytes of the peer's stream arrive.
    Receive(u8),
    Send(Vec<u8>, bool),
    SendRef(Vec<u8>, bool),
    SendPrepared(Vec<u8>, bool),
    /// A message of this many KiB, above the size from which payloads go by reference.
    SendLarge(u8),
    /// A part of a message; the last one if the second flag is set.
    SendFragment(Vec<u8>, bool, bool),
    /// Two frames that were encoded beforehand.
    SendFrames(Vec<u8>),
    Ping(Vec<u8>),
    Close(u16, String),
    /// The socket takes this many bytes, in so many slices.
    Transmit(u16, u8),
    /// Time passes, in 100 ms; the timer fires if it is due, or although it is not.
    Wait(u16, bool),
}

/// What one run did and what came out; equal inputs give an equal record.
#[derive(Debug, Default, PartialEq, Eq)]
struct Record {
    seen: Vec<Seen>,
    transmitted: Vec<u8>,
    messages: Vec<(Kind, Vec<u8>)>,
    /// The parts of a message that has begun and not ended.
    parts: Option<(Kind, Vec<u8>)>,
    pings: Vec<Vec<u8>>,
    given_up: bool,
}

struct Run {
    connection: Connection,
    role: Role,
    config: Arc<Config>,
    now: Instant,
    received: Vec<u8>,
    largest: usize,
    record: Record,
}

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok((script, operations, small)) = decode(&mut u) else {
        return;
    };
    let config = if small {
        small_limits()
    } else {
        Config::default()
    };
    let config = Arc::new(config);
    let now = Instant::now();
    let first = play(&script, &operations, &config, now);
    let second = play(&script, &operations, &config, now);
    assert_eq!(first, second, "equal inputs give equal outputs");
}

fn decode(u: &mut Unstructured<'_>) -> arbitrary::Result<(Script, Vec<Operation>, bool)> {
    let small = u.arbitrary()?;
    let mut operations = Vec::new();
    for _ in 0..u.int_in_range(1..=OPERATIONS_MAX)? {
        operations.push(u.arbitrary()?);
    }
    let mut script = Script::arbitrary(u)?;
    if u.ratio(1_u8, 8)? {
        script
            .bytes
            .extend_from_slice(u.peek_bytes(u.len()).unwrap_or_default());
    }
    Ok((script, operations, small))
}

fn play(script: &Script, operations: &[Operation], config: &Arc<Config>, now: Instant) -> Record {
    let role = script.receiver;
    let mut run = Run {
        connection: drive::connection(role, config, now),
        role,
        config: Arc::clone(config),
        now,
        received: Vec::new(),
        largest: 0,
        record: Record::default(),
    };
    let mut stream = script.bytes.as_slice();
    for operation in operations {
        run.step(operation, &mut stream);
        run.check_queue();
    }
    run.finish()
}

impl Run {
    fn step(&mut self, operation: &Operation, stream: &mut &[u8]) {
        let before = self.connection.poll_timeout();
        let closes = matches!(operation, Operation::Close(..));
        match operation {
            Operation::Receive(count) => {
                let (read, rest) = stream.split_at(usize::from(*count).min(stream.len()));
                *stream = rest;
                self.receive(read);
            }
            Operation::Send(payload, text) => self.send(payload, *text, |connection, message| {
                connection.send(message)
            }),
            Operation::SendRef(payload, text) => {
                self.send(payload, *text, |connection, message| {
                    connection.send_ref(message.kind(), message.payload())
                });
            }
            Operation::SendPrepared(payload, text) => {
                self.send(payload, *text, |connection, message| {
                    connection.send_prepared(&match message.as_text() {
                        Some(text) => Prepared::text(text),
                        None => Prepared::binary(message.payload()),
                    })
                });
            }
            Operation::SendLarge(kib) => {
                let payload = vec![b'a'; usize::from(*kib % 80) * 1024];
                self.send(&payload, *kib & 1 == 0, |connection, message| {
                    connection.send(message)
                });
            }
            Operation::SendFragment(payload, text, last) => {
                self.send_fragment(payload, *text, *last);
            }
            Operation::SendFrames(payload) => self.send_frames(payload),
            Operation::Ping(payload) => self.ping(payload),
            Operation::Close(code, reason) => {
                let now = self.now;
                self.connection.close(CloseCode(*code), reason, now);
                assert!(!self.connection.is_open(), "closing was begun");
            }
            Operation::Transmit(count, width) => {
                let bytes = drive::transmit(
                    &mut self.connection,
                    usize::from(*count),
                    usize::from(*width),
                );
                self.record.transmitted.extend(bytes);
            }
            Operation::Wait(tenths, spurious) => self.wait(*tenths, *spurious),
        }
        if let (Some(before), Some(after), false) = (before, self.connection.poll_timeout(), closes)
        {
            assert!(after >= before, "the deadline only moves later");
        }
    }

    fn receive(&mut self, read: &[u8]) {
        if read.is_empty() {
            return;
        }
        self.received.extend_from_slice(read);
        self.connection.handle_activity(self.now);
        drive::receive_read(&mut self.connection, read, &mut self.record.seen);
    }

    fn send(
        &mut self,
        payload: &[u8],
        text: bool,
        send: impl Fn(&mut Connection, &Message) -> Result<(), SendError>,
    ) {
        let message = if text {
            Message::text(String::from_utf8_lossy(payload).into_owned())
        } else {
            Message::binary(payload.to_vec())
        };
        let expected = self.room_for_message(message.payload().len());
        let result = send(&mut self.connection, &message);
        assert_eq!(result, expected);
        if result.is_ok() {
            self.largest = self.largest.max(message.payload().len());
            self.record
                .messages
                .push((message.kind(), message.payload().to_vec()));
        }
    }

    fn send_fragment(&mut self, payload: &[u8], text: bool, last: bool) {
        let kind = if text { Kind::Text } else { Kind::Binary };
        let expected = self.room_for(payload.len());
        let result = self.connection.send_fragment(kind, payload, last);
        assert_eq!(result, expected);
        if result.is_err() {
            return;
        }
        self.largest = self.largest.max(payload.len());
        let (kind, mut whole) = self.record.parts.take().unwrap_or((kind, Vec::new()));
        whole.extend_from_slice(payload);
        if last {
            self.record.messages.push((kind, whole));
        } else {
            self.record.parts = Some((kind, whole));
        }
    }

    fn send_frames(&mut self, payload: &[u8]) {
        let one = Prepared::binary(payload);
        let frames = Bytes::from([&one.frame()[..], &one.frame()[..]].concat());
        let expected = match (self.role, self.room_for_message(frames.len())) {
            (Role::Client, _) => Err(SendError::NotMasked),
            // Never refused; looking at the queue before is up to the caller, who does.
            (Role::Server, Err(SendError::Full)) => return,
            (Role::Server, room) => room,
        };
        let (_, outgoing) = self.connection.halves();
        let result = outgoing.send_frames(&frames, 2);
        assert_eq!(result, expected);
        if result.is_ok() {
            self.largest = self.largest.max(frames.len());
            let message = (Kind::Binary, payload.to_vec());
            self.record.messages.extend([message.clone(), message]);
        }
    }

    fn ping(&mut self, payload: &[u8]) {
        let expected = if payload.len() > 125 {
            Err(SendError::ControlTooLong)
        } else {
            self.room_for(payload.len())
        };
        let result = self.connection.ping(payload);
        assert_eq!(result, expected);
        if result.is_ok() {
            self.record.pings.push(payload.to_vec());
        }
    }

    /// The documented answer to sending so many bytes now.
    fn room_for(&self, len: usize) -> Result<(), SendError> {
        let queued = self.connection.queued();
        if !self.connection.is_open() {
            Err(SendError::Closed)
        } else if queued > 0 && queued + len > self.config.send_queue_bytes_max {
            Err(SendError::Full)
        } else {
            Ok(())
        }
    }

    fn room_for_message(&self, len: usize) -> Result<(), SendError> {
        self.room_for(len)?;
        if self.record.parts.is_some() {
            return Err(SendError::InFragments);
        }
        Ok(())
    }

    fn wait(&mut self, tenths: u16, spurious: bool) {
        self.now += Duration::from_millis(u64::from(tenths) * 100);
        let due = self
            .connection
            .poll_timeout()
            .is_some_and(|deadline| self.now >= deadline);
        if !due && !spurious {
            return;
        }
        let queued = self.connection.queued();
        let peer = self.connection.handle_timeout(self.now);
        if !due {
            assert_eq!(peer, PeerState::Alive, "nothing was due");
            assert_eq!(self.connection.queued(), queued, "nothing was due");
        }
        if peer == PeerState::GivenUp {
            assert!(
                self.connection.is_finished(),
                "who is given up is done with"
            );
            self.record.given_up = true;
        }
        assert!(
            self.connection
                .poll_timeout()
                .is_none_or(|deadline| deadline > self.now),
            "a timer that fired does not fire again at once"
        );
    }

    fn check_queue(&self) {
        // An empty queue takes one message of any size; to it come the headers of its frames,
        // a pong, a ping and the close frame.
        let frames = self.largest / self.config.send_frame_bytes_max + 1;
        let most = self
            .config
            .send_queue_bytes_max
            .max(self.largest)
            .max(self.config.control_queue_bytes_max)
            + 14 * frames
            + 3 * CONTROL_FRAME_MAX;
        let queued = self.connection.queued();
        assert!(queued <= most, "{queued} bytes are queued, {most} expected");
    }

    fn finish(mut self) -> Record {
        let rest = drive::transmit(&mut self.connection, usize::MAX, 3);
        self.record.transmitted.extend(rest);
        let stats = self.connection.stats();
        assert_eq!(stats.bytes_sent, self.record.transmitted.len() as u64);
        assert_eq!(stats.messages_sent, self.record.messages.len() as u64);
        let expected = model::expected(self.role, &self.config, Taken::Whole, &self.received);
        assert_eq!(self.record.seen, expected);
        let messages = |seen: &&Seen| matches!(seen, Seen::Message(..));
        let count = self.record.seen.iter().filter(messages).count();
        assert_eq!(stats.messages_received, count as u64);
        self.check_sent();
        self.record
    }

    fn check_sent(&self) {
        let frames = read_sent(&self.record.transmitted, self.role);
        let of = |opcode: u8| frames.iter().filter(move |frame| frame.opcode == opcode);
        let mut messages: Vec<(Kind, Vec<u8>)> = Vec::new();
        let mut parts: Option<(Kind, Vec<u8>)> = None;
        for frame in frames.iter().filter(|frame| frame.opcode < 8) {
            assert_eq!(parts.is_some(), frame.opcode == 0, "fragments in order");
            let text = frame.opcode == 1;
            let kind = if text { Kind::Text } else { Kind::Binary };
            let (kind, mut whole) = parts.take().unwrap_or((kind, Vec::new()));
            whole.extend_from_slice(&frame.payload);
            if frame.fin {
                messages.push((kind, whole));
            } else {
                parts = Some((kind, whole));
            }
        }
        assert_eq!(messages, self.record.messages, "every message, in order");
        assert_eq!(parts, self.record.parts, "and what has begun of one");
        // The keep-alive's own pings are empty.
        let pings: Vec<&Vec<u8>> = of(9)
            .map(|frame| &frame.payload)
            .filter(|body| !body.is_empty())
            .collect();
        let asked: Vec<&Vec<u8>> = self.record.pings.iter().filter(|p| !p.is_empty()).collect();
        assert_eq!(pings, asked, "every ping, in order");
        let mut received = self.record.seen.iter();
        for pong in of(10) {
            assert!(
                received.any(|seen| *seen == Seen::Ping(pong.payload.clone())),
                "each pong answers a ping, in order"
            );
        }
        if let Some(at) = frames.iter().position(|frame| frame.opcode == 8) {
            assert_eq!(at + 1, frames.len(), "nothing follows the close frame");
            model::close_frame(&frames[at].payload).expect("a close frame that may be sent");
        }
    }
}
