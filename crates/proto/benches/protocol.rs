//! Micro-benchmarks of the core, through its public face: what a driver pays per frame.
//!
//! `cargo bench -p tidewire-proto`; a filter and options follow `--`. Input is copied fresh for
//! each iteration outside of the measured time, because receiving unmasks in place.
#![forbid(unsafe_code)]

use std::{hint::black_box, io::IoSlice, sync::Arc, time::Instant};

use bytes::Bytes;
use divan::{Bencher, counter::BytesCount, counter::ItemsCount};
use tidewire_proto::{
    Config, Connection, Event, Kind, Message, Prepared,
    handshake::{self, AcceptOptions, HeadLimits, RequestHead},
};

/// Frames per iteration, as many as one read might bring.
const FRAMES: usize = 64;

const KEY: [u8; 4] = [0x9b, 0x41, 0xd7, 0x2e];

fn main() {
    divan::main();
}

fn server() -> Connection {
    Connection::server(Arc::new(Config::default()), Instant::now())
}

/// Exactly `size` bytes: ASCII, or text of which a third is not.
fn payload(size: usize, ascii: bool) -> Vec<u8> {
    let words = if ascii {
        "Every message counts. "
    } else {
        "Žádná zpráva se neztratí. すべて届く。 "
    };
    let mut text = String::new();
    for character in words.chars().cycle() {
        if text.len() + character.len_utf8() > size {
            break;
        }
        text.push(character);
    }
    while text.len() < size {
        text.push('.');
    }
    text.into_bytes()
}

/// [`FRAMES`] masked client frames with this payload.
fn frames(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut one = vec![match kind {
        Kind::Text => 0x81,
        Kind::Binary => 0x82,
    }];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => one.push(0x80 | short),
        (_, Ok(medium)) => {
            one.push(0x80 | 0x7e);
            one.extend_from_slice(&medium.to_be_bytes());
        }
        (_, Err(_)) => {
            one.push(0x80 | 0x7f);
            one.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    one.extend_from_slice(&KEY);
    let masked = payload.iter().zip(KEY.iter().cycle());
    one.extend(masked.map(|(byte, key)| byte ^ key));
    one.repeat(FRAMES)
}

/// Receives everything in `input`; what to do with a message is the caller's.
fn receive(connection: &mut Connection, mut input: &mut [u8], mut each: impl FnMut(&Event<'_>)) {
    while !input.is_empty() {
        let (used, event) = connection.receive(input);
        if let Some(event) = event.expect("the frames are valid") {
            each(&event);
        }
        input = &mut input[used..];
    }
}

fn receiving(bencher: Bencher<'_, '_>, kind: Kind, payload: &[u8]) {
    let input = frames(kind, payload);
    let mut connection = server();
    bencher
        .counter(ItemsCount::new(FRAMES))
        .counter(BytesCount::new(payload.len() * FRAMES))
        .with_inputs(|| input.clone())
        .bench_local_refs(|input| {
            receive(&mut connection, input, |event| {
                black_box(event);
            });
        });
}

/// Header and mask: binary needs nothing else.
#[divan::bench(args = [32, 125, 1024, 16384, 65536])]
fn receive_binary(bencher: Bencher<'_, '_>, size: usize) {
    receiving(bencher, Kind::Binary, &payload(size, true));
}

/// The same by the fast way for small whole messages.
#[divan::bench(args = [32, 125, 1024])]
fn receive_binary_whole(bencher: Bencher<'_, '_>, size: usize) {
    let input = frames(Kind::Binary, &payload(size, true));
    let mut connection = server();
    bencher
        .counter(ItemsCount::new(FRAMES))
        .counter(BytesCount::new(size * FRAMES))
        .with_inputs(|| input.clone())
        .bench_local_refs(|input| {
            let (decoder, _) = connection.halves();
            let mut input = &mut input[..];
            while let Some((used, message)) = decoder.receive_whole(input) {
                black_box(message);
                input = &mut input[used..];
            }
            assert!(input.is_empty(), "every frame is a whole message");
        });
}

/// Header, mask and the check that finds only ASCII.
#[divan::bench(args = [32, 125, 1024, 16384, 65536])]
fn receive_text_ascii(bencher: Bencher<'_, '_>, size: usize) {
    receiving(bencher, Kind::Text, &payload(size, true));
}

/// Header, mask and the full check of UTF-8.
#[divan::bench(args = [32, 125, 1024, 16384, 65536])]
fn receive_text_mixed(bencher: Bencher<'_, '_>, size: usize) {
    receiving(bencher, Kind::Text, &payload(size, false));
}

/// What an echo costs without system calls: receive, queue the answer, hand out the bytes.
#[divan::bench(args = [32, 1024, 4096], consts = [true, false])]
fn echo<const BORROWED: bool>(bencher: Bencher<'_, '_>, size: usize) {
    let input = frames(Kind::Binary, &payload(size, true));
    let mut connection = server();
    bencher
        .counter(ItemsCount::new(FRAMES))
        .with_inputs(|| input.clone())
        .bench_local_refs(|input| {
            let mut input = &mut input[..];
            let (decoder, encoder) = connection.halves();
            while !input.is_empty() {
                let (used, event) = decoder.receive(input);
                if let Ok(Some(Event::Message(message))) = event {
                    let sent = if BORROWED {
                        encoder.send_ref(message.kind(), message.payload())
                    } else {
                        encoder.send(&message.to_message())
                    };
                    sent.expect("the queue is far from full");
                }
                input = &mut input[used..];
            }
            while connection.queued() > 0 {
                let mut parts = [IoSlice::new(&[]); 64];
                let count = connection.poll_transmit(&mut parts);
                let written = black_box(&parts[..count])
                    .iter()
                    .map(|part| part.len())
                    .sum();
                connection.transmitted(written);
            }
        });
}

/// A message of its own against one that was encoded once for everybody.
#[divan::bench(args = [32, 1024, 16384], consts = [true, false])]
fn send<const PREPARED: bool>(bencher: Bencher<'_, '_>, size: usize) {
    let payload = Bytes::from(payload(size, true));
    let prepared = Prepared::binary(&payload);
    let message = Message::binary(payload);
    let mut connection = server();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let sent = if PREPARED {
            connection.send_prepared(&prepared)
        } else {
            connection.send(&message)
        };
        sent.expect("the queue is empty");
        let mut parts = [IoSlice::new(&[]); 16];
        let count = connection.poll_transmit(&mut parts);
        let written = black_box(&parts[..count])
            .iter()
            .map(|part| part.len())
            .sum();
        connection.transmitted(written);
    });
}

/// A browser's request: parsed, judged, answered.
#[divan::bench]
fn handshake(bencher: Bencher<'_, '_>) {
    let request = Bytes::from_static(
        b"GET /chat?id=1 HTTP/1.1\r\nHost: chat.example\r\nConnection: Upgrade\r\n\
        Pragma: no-cache\r\nCache-Control: no-cache\r\nUpgrade: websocket\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
        Origin: https://chat.example\r\nSec-WebSocket-Version: 13\r\n\
        Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en,de;q=0.8\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
    );
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let head = RequestHead::parse(request.clone(), HeadLimits::default());
        let head = head.expect("the request is valid");
        handshake::accept(&head, AcceptOptions::default()).expect("the request is an upgrade")
    });
}
