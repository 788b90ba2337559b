//! How often the hot path allocates: never, once a connection is warm.
//!
//! The allocator that counts belongs to this test program alone; it counts per thread, so the
//! tests do not disturb one another.

use std::{io::IoSlice, sync::Arc, time::Instant};

use allocation_counter::measure;
use tidewire_proto::fbe::{Decoder, Id, MessageRef};
use tidewire_proto::{Config, Connection, Event, Kind, MaskKeys, Prepared};

const MESSAGES_PER_READ: usize = 16;
const READS: usize = 50;
const PAYLOAD: &[u8; 32] = b"thirty-two bytes of plain ASCII.";
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Where each buffer of sent bytes goes and comes from, as in a driver with pooled buffers.
struct Driver {
    connection: Connection,
    buffer: Vec<u8>,
}

struct SameKey;

impl MaskKeys for SameKey {
    fn next_key(&mut self) -> [u8; 4] {
        KEY
    }
}

impl Driver {
    fn server() -> Self {
        Self::new(Connection::server(
            Arc::new(Config::default()),
            Instant::now(),
        ))
    }

    fn client() -> Self {
        let keys = Box::new(SameKey);
        let config = Arc::new(Config::default());
        Self::new(Connection::client(config, keys, Instant::now()))
    }

    fn new(connection: Connection) -> Self {
        Self {
            connection,
            buffer: Vec::with_capacity(16 * 1024),
        }
    }

    /// Receives one read, sends every message back, writes once.
    fn echo(&mut self, mut read: &mut [u8]) -> usize {
        let (decoder, encoder) = self.connection.halves();
        encoder.lend_buffer(|| std::mem::take(&mut self.buffer));
        let mut messages = 0;
        while !read.is_empty() {
            let (used, event) = decoder.receive(read);
            match event {
                Ok(Some(Event::Message(message))) => {
                    encoder
                        .send_ref(message.kind(), message.payload())
                        .expect("the queue has room");
                    messages += 1;
                }
                Ok(Some(event)) => encoder.answer(&event),
                Ok(None) => {}
                Err(error) => panic!("the stream is valid: {error}"),
            }
            read = &mut read[used..];
        }
        self.write();
        messages
    }

    fn write(&mut self) {
        let (_, encoder) = self.connection.halves();
        while encoder.queued() > 0 {
            let mut parts = [IoSlice::new(&[]); 4];
            let count = encoder.poll_transmit(&mut parts);
            let written = parts[..count].iter().map(|part| part.len()).sum();
            encoder.transmitted(written);
        }
        if let Some(buffer) = encoder.reclaim_buffer() {
            self.buffer = buffer;
        }
    }
}

/// Whole frames of 32 bytes as a peer of the server (masked) or of the client sends them.
fn stream(first: u8, masked: bool) -> Vec<u8> {
    let mut frame = vec![first, 32 | if masked { 0x80 } else { 0 }];
    if masked {
        frame.extend_from_slice(&KEY);
        frame.extend(PAYLOAD.iter().zip(KEY.iter().cycle()).map(|(a, b)| a ^ b));
    } else {
        frame.extend_from_slice(PAYLOAD);
    }
    frame.repeat(MESSAGES_PER_READ)
}

/// Allocations of many reads by a warm connection, each given to the core in pieces of `cut`.
fn allocations(mut driver: Driver, stream: &[u8], cut: usize) -> u64 {
    let mut read = stream.to_vec();
    let mut echo = |driver: &mut Driver| {
        read.copy_from_slice(stream);
        read.chunks_mut(cut)
            .map(|piece| driver.echo(piece))
            .sum::<usize>()
    };
    assert_eq!(echo(&mut driver), MESSAGES_PER_READ, "warm-up echoes");
    let mut messages = 0;
    let info = measure(|| {
        for _ in 0..READS {
            messages += echo(&mut driver);
        }
    });
    assert_eq!(messages, READS * MESSAGES_PER_READ);
    info.count_total
}

#[test]
fn echoing_small_messages_allocates_nothing() {
    for (what, first) in [("text", 0x81), ("binary", 0x82)] {
        let masked = stream(first, true);
        assert_eq!(
            allocations(Driver::server(), &masked, masked.len()),
            0,
            "a server, {what}"
        );
        let plain = stream(first, false);
        assert_eq!(
            allocations(Driver::client(), &plain, plain.len()),
            0,
            "a client, {what}"
        );
    }
}

/// What is cut by the end of a read is put together in a buffer of its own, which may grow once.
#[test]
fn only_messages_that_are_cut_allocate_and_at_most_twice() {
    let masked = stream(0x82, true);
    let cut = 100; // two frames and a half
    let cuts = (READS * (masked.len().div_ceil(cut) - 1)) as u64;
    let allocated = allocations(Driver::server(), &masked, cut);
    assert!(
        allocated <= 2 * cuts,
        "{allocated} allocations for {cuts} cuts"
    );
}

#[test]
fn answering_pings_allocates_nothing() {
    let mut driver = Driver::server();
    let pings = stream(0x89, true);
    let mut read = pings.clone();
    driver.echo(&mut read);
    let info = measure(|| {
        for _ in 0..READS {
            read.copy_from_slice(&pings);
            driver.echo(&mut read);
        }
    });
    assert_eq!(info.count_total, 0);
    let sent = driver.connection.stats().bytes_sent;
    let pongs = (READS + 1) * MESSAGES_PER_READ;
    assert_eq!(
        sent,
        (pongs * (2 + PAYLOAD.len())) as u64,
        "all were answered"
    );
}

#[test]
fn a_prepared_broadcast_allocates_nothing_per_connection() {
    let prepared = Prepared::binary(PAYLOAD);
    let mut driver = Driver::server();
    let send = |driver: &mut Driver| {
        let (_, encoder) = driver.connection.halves();
        encoder.lend_buffer(|| std::mem::take(&mut driver.buffer));
        encoder
            .send_prepared(&prepared)
            .expect("the queue has room");
        driver.write();
    };
    send(&mut driver);
    let info = measure(|| (0..READS).for_each(|_| send(&mut driver)));
    assert_eq!(info.count_total, 0);
}

/// The owned message is the price of keeping it: one allocation, and none for sending it.
#[test]
fn an_owned_echo_allocates_once_per_message() {
    let mut driver = Driver::server();
    let stream = stream(0x82, true);
    let mut read = stream.clone();
    driver.echo(&mut read);
    read.copy_from_slice(&stream);
    let mut rest = read.as_mut_slice();
    let mut messages = 0_u64;
    let info = measure(|| {
        let (decoder, encoder) = driver.connection.halves();
        encoder.lend_buffer(|| std::mem::take(&mut driver.buffer));
        while !rest.is_empty() {
            let (used, event) = decoder.receive(rest);
            if let Ok(Some(Event::Message(message))) = event {
                assert_eq!(message.kind(), Kind::Binary);
                let owned = message.to_message();
                encoder.send(&owned).expect("the queue has room");
                messages += 1;
            }
            rest = &mut std::mem::take(&mut rest)[used..];
        }
        driver.write();
    });
    assert_eq!(messages, MESSAGES_PER_READ as u64);
    assert_eq!(info.count_total, messages);
}

/// A message of a named route costs nothing but its look-up: line, payload and prefix are borrowed.
/// Parity: M-28.
#[cfg(feature = "smhandshake")]
#[test]
fn route_lines_allocate_nothing() {
    use tidewire_proto::smhandshake::{Incoming, Limits, Prefix, Reaction, RouteLine, Session};

    const MESSAGE: &str = "ROUTENAME=Endpoint1\r\n\r\nthirty-two bytes of plain ASCII.";
    let known = |name: &str| name.eq_ignore_ascii_case("endpoint1").then_some(1);
    let mut session = Session::new(Limits::default());
    for text in [
        "{event: SMHandshake, data: SYN}",
        "{event: SMHandshake, data: ACK}",
        "{event: SMHandshakeEnd}",
    ] {
        session.receive(Incoming::Text(text), known);
    }
    let first = RouteLine::parse(MESSAGE.as_bytes()).expect("a route line");
    let mut prefix = Prefix::of(&first);
    let used = measure(|| {
        for message in [
            Incoming::Text(MESSAGE),
            Incoming::Binary(MESSAGE.as_bytes()),
        ] {
            let Reaction::Forward { route: 1, line } = session.receive(message, known) else {
                panic!("not forwarded");
            };
            prefix.follow(&line);
            assert_eq!(MESSAGE.len() - line.payload_at, PAYLOAD.len());
        }
    });
    assert_eq!(used.count_total, 0);
}

/// The messages of the simple protocol, many of which lie whole in each read.
#[test]
fn reading_and_writing_simple_messages_allocates_nothing() {
    let id = Id([7; 16]);
    let request = MessageRef::Request {
        id,
        message: "thirty-two bytes of plain ASCII.",
    };
    let mut stream = Vec::new();
    for _ in 0..MESSAGES_PER_READ {
        request.encode_into(&mut stream).expect("it is short");
    }
    let mut answers = Vec::with_capacity(stream.len());
    let mut decoder = Decoder::default();
    let mut answer = |cut: usize| {
        answers.clear();
        for mut input in stream.chunks(cut) {
            while !input.is_empty() {
                let (used, frame) = decoder.receive(input);
                if let Some(frame) = frame.expect("valid") {
                    let message = frame.message().expect("valid").expect("known");
                    message.encode_into(&mut answers).expect("it is short");
                }
                input = &input[used..];
            }
        }
        assert_eq!(answers, stream);
    };
    answer(100); // its buffer for messages in parts is kept
    for cut in [stream.len(), 100] {
        let info = measure(|| (0..READS).for_each(|_| answer(cut)));
        assert_eq!(info.count_total, 0, "in pieces of {cut}");
    }
}
