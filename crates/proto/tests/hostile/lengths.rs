//! Announced lengths: refused before anything is allocated, or allocated as bytes arrive.

use allocation_counter::measure;
use tidewire_proto::{Config, ProtocolError, Role};

use crate::peer::{Frame, Length, ROLES, Seen, bytes_for, close_code, end, feed};

/// A frame that announces `len` bytes, and `data` of them.
fn announce(receiver: Role, len: u64, data: &[u8]) -> Vec<u8> {
    bytes_for(
        receiver,
        &[Frame::new(0x82, data).length(Length::Announced(len))],
    )
}

/// Bytes held at most while the announcement is received and its first bytes come.
fn held(receiver: Role, len: u64, data: &[u8]) -> u64 {
    let mut input = announce(receiver, len, data);
    let mut connection = end(receiver, &Config::default());
    let info = measure(|| {
        let mut rest = input.as_mut_slice();
        while !rest.is_empty() {
            let (used, event) = connection.receive(rest);
            assert!(!matches!(event, Ok(Some(_))), "nothing is complete");
            rest = &mut rest[used..];
        }
    });
    info.bytes_max
}

#[test]
fn an_announced_length_allocates_nothing_before_the_data() {
    const DEFAULT_MAX: u64 = 16 << 20;
    for receiver in ROLES {
        for len in [15 << 20, DEFAULT_MAX] {
            assert_eq!(held(receiver, len, b""), 0, "{len} announced, nothing sent");
            let held = held(receiver, len, &[b'x'; 1000]);
            assert!(held <= 2000, "{len} announced, 1000 sent, {held} held");
        }
        for len in [
            DEFAULT_MAX + 1,
            (1 << 32) + 5,
            (1 << 63) - 1,
            1 << 63,
            u64::MAX,
        ] {
            // Only the close frame.
            let held = held(receiver, len, b"");
            assert!(held <= 1024, "{len} announced, {held} held");
        }
    }
}

#[test]
fn every_power_of_two_is_refused_or_awaited_without_memory() {
    for receiver in ROLES {
        for power in 7..64 {
            for len in [(1_u64 << power) - 1, 1 << power, (1 << power) + 1] {
                if len <= 65_535 {
                    continue; // not in its shortest form
                }
                let mut connection = end(receiver, &Config::default());
                let seen = feed(&mut connection, &announce(receiver, len, b""), 1);
                let expected = match len {
                    ..=0x0100_0000 => None,
                    0x0100_0001..=0x7fff_ffff_ffff_ffff => Some(1009),
                    _ => Some(1002),
                };
                let got = match seen.as_slice() {
                    [] => None,
                    [Seen::Error(error)] => Some(error.close_code().0),
                    other => panic!("{len}: {other:?}"),
                };
                assert_eq!(got, expected, "{len}");
                assert_eq!(close_code(&mut connection), expected, "{len}");
                assert!(held(receiver, len, b"") <= 1024, "{len}");
            }
        }
    }
}

/// The `websocket` crate allocated what a header announced.
#[test]
fn cve_2022_35922_a_header_alone_allocates_nothing() {
    for receiver in ROLES {
        for len in [100_000, 1 << 20, 16 << 20] {
            assert_eq!(held(receiver, len, b""), 0);
        }
    }
}

/// undici crashed when header and 64-bit length together overflowed.
#[test]
fn cve_2026_1528_lengths_near_the_end_of_64_bits_do_not_overflow() {
    let mut config = Config::default();
    config.message_bytes_max = usize::MAX;
    config.frame_bytes_max = usize::MAX;
    for receiver in ROLES {
        for below in 0..=20_u64 {
            let len = (1 << 63) - 1 - below;
            let mut connection = end(receiver, &config);
            let bytes = announce(receiver, len, b"some data");
            assert_eq!(feed(&mut connection, &bytes, 1), [], "more is awaited");
            let mut connection = end(receiver, &config);
            let bytes = announce(receiver, u64::MAX - below, b"some data");
            let seen = feed(&mut connection, &bytes, 1);
            assert_eq!(seen, [Seen::Error(ProtocolError::LengthTooLarge)]);
        }
        // The sum with what came before does not overflow either.
        let mut connection = end(receiver, &config);
        let script = [
            Frame::new(0x02, b"first"),
            Frame::new(0x80, b"x").length(Length::Announced((1 << 63) - 1)),
        ];
        assert_eq!(feed(&mut connection, &bytes_for(receiver, &script), 3), []);
    }
}

/// nginx unit took a length with its highest bit as negative and never came back.
#[test]
fn cve_2025_1695_a_negative_length_ends_the_connection() {
    for receiver in ROLES {
        for len in [-1_i64, -2, -14, i64::MIN, i64::MIN + 1] {
            for step in [1, usize::MAX] {
                let mut connection = end(receiver, &Config::default());
                let bytes = announce(receiver, u64::from_be_bytes(len.to_be_bytes()), b"data");
                let seen = feed(&mut connection, &bytes, step);
                assert_eq!(seen, [Seen::Error(ProtocolError::LengthTooLarge)]);
                assert_eq!(close_code(&mut connection), Some(1002));
            }
        }
    }
}

/// A short message that somebody keeps for ever costs what it says, however it arrived.
#[test]
fn a_kept_message_pins_no_read_buffer() {
    for receiver in ROLES {
        for (list, step) in [
            (vec![Frame::new(0x81, b"tiny")], usize::MAX),
            (vec![Frame::new(0x81, b"tiny")], 1),
            (vec![Frame::new(0x01, b"ti"), Frame::new(0x80, b"ny")], 3),
        ] {
            // As from a large read buffer with much behind the message.
            let mut input = bytes_for(receiver, &list);
            input.extend(bytes_for(receiver, &[Frame::new(0x8a, &[b'p'; 100])]).repeat(200));
            let mut kept = Vec::with_capacity(1);
            let info = measure(|| {
                let mut connection = end(receiver, &Config::default());
                for mut rest in input.chunks_mut(step) {
                    while !rest.is_empty() {
                        let (used, event) = connection.receive(rest);
                        if let Ok(Some(tidewire_proto::Event::Message(message))) = event {
                            kept.push(message.to_message());
                        }
                        rest = &mut rest[used..];
                    }
                }
            });
            assert_eq!(kept[0].payload(), &b"tiny"[..]);
            let pinned = info.bytes_current;
            assert!(
                pinned <= 128,
                "{pinned} bytes are kept for four, in pieces of {step}"
            );
        }
    }
}

/// What is handed out put together holds no more than twice what it says.
#[test]
fn a_kept_message_in_fragments_pins_at_most_twice_its_size() {
    for receiver in ROLES {
        for size in [100, 5000, 70_000, (1 << 20) + 1] {
            let payload = vec![b'x'; size];
            let list = [
                Frame::new(0x02, &payload[..size - 1]),
                Frame::new(0x80, b"x"),
            ];
            let mut input = bytes_for(receiver, &list);
            let mut connection = end(receiver, &Config::default());
            let mut kept = Vec::with_capacity(1);
            let info = measure(|| {
                for mut rest in input.chunks_mut(1000) {
                    while !rest.is_empty() {
                        let (used, event) = connection.receive(rest);
                        if let Ok(Some(tidewire_proto::Event::Message(message))) = event {
                            kept.push(message.to_message());
                        }
                        rest = &mut rest[used..];
                    }
                }
            });
            assert_eq!(kept[0].payload().len(), size);
            let pinned = usize::try_from(info.bytes_current).unwrap();
            assert!(
                pinned <= 2 * size + 128,
                "{pinned} bytes are kept for {size}"
            );
        }
    }
}
