//! Many tiny things: fragments, pings, empty messages. Memory and work stay what they were.

use allocation_counter::{AllocationInfo, measure};
use tidewire_proto::{Config, Connection, Event, ProtocolError, Role};

use crate::peer::{ROLES, Seen, close_code, end, feed, frames, sent_frames};

const MILLION: usize = 1_000_000;

fn unlimited_fragments() -> Config {
    let mut config = Config::default();
    config.fragments_max = u32::MAX;
    config
}

/// Gives `unit` to the connection `count` times; returns lengths of the messages it makes.
fn repeat(
    connection: &mut Connection,
    unit: &[u8],
    count: usize,
) -> Result<Vec<usize>, ProtocolError> {
    let mut messages = Vec::new();
    // As many units as a read buffer holds at a time.
    let batch = (16 * 1024 / unit.len()).min(count);
    let template = unit.repeat(batch);
    let mut input = template.clone();
    let mut left = count;
    while left > 0 {
        let now = batch.min(left);
        input.copy_from_slice(&template);
        let mut rest = &mut input[..now * unit.len()];
        while !rest.is_empty() {
            let (used, event) = connection.receive(rest);
            if let Some(Event::Message(message)) = event? {
                messages.push(message.payload().len());
            }
            rest = &mut rest[used..];
        }
        left -= now;
    }
    Ok(messages)
}

/// A message of `count` fragments with `payload` each: what it allocates.
fn fragmented(receiver: Role, payload: &[u8], count: usize) -> (AllocationInfo, Vec<usize>) {
    let mut connection = end(receiver, &unlimited_fragments());
    let first = frames(receiver, &[(0x02, payload)]);
    let middle = frames(receiver, &[(0x00, payload)]);
    let last = frames(receiver, &[(0x80, payload)]);
    let mut messages = Vec::new();
    let info = measure(|| {
        repeat(&mut connection, &first, 1).unwrap();
        repeat(&mut connection, &middle, count - 2).unwrap();
        messages = repeat(&mut connection, &last, 1).unwrap();
    });
    (info, messages)
}

#[test]
fn a_million_fragments_of_one_byte_cost_what_their_message_holds() {
    for receiver in ROLES {
        let (info, messages) = fragmented(receiver, b"x", MILLION);
        assert_eq!(messages, [MILLION]);
        let held = info.bytes_max;
        assert!(
            held <= 4 * MILLION as u64,
            "{held} bytes held for a million"
        );
        let count = info.count_total;
        assert!(count <= 50, "{count} allocations: not one per fragment");
    }
}

#[test]
fn a_million_empty_fragments_cost_nothing() {
    for receiver in ROLES {
        let (info, messages) = fragmented(receiver, b"", MILLION);
        assert_eq!(messages, [0]);
        assert!(
            info.bytes_max <= 64 << 10,
            "the test's own buffers: {info:?}"
        );
    }
}

#[test]
fn fragments_above_the_limit_end_the_connection_with_1008() {
    for receiver in ROLES {
        for payload in [&b""[..], b"x"] {
            let mut connection = end(receiver, &Config::default());
            repeat(&mut connection, &frames(receiver, &[(0x01, payload)]), 1).unwrap();
            let more = frames(receiver, &[(0x00, payload)]);
            repeat(&mut connection, &more, 4095).unwrap();
            let error = repeat(&mut connection, &more, MILLION).unwrap_err();
            assert_eq!(error, ProtocolError::TooManyFragments { max: 4096 });
            assert_eq!(close_code(&mut connection), Some(1008));
        }
    }
}

/// ws kept an object per fragment and per chunk.
#[test]
fn cve_2026_48779_tiny_fragments_are_merged_and_counted() {
    for receiver in ROLES {
        let mut connection = end(receiver, &Config::default());
        let first = frames(receiver, &[(0x01, b"x")]);
        let more = frames(receiver, &[(0x00, b"x")]);
        let info = measure(|| {
            repeat(&mut connection, &first, 1).unwrap();
            repeat(&mut connection, &more, MILLION).unwrap_err();
        });
        assert!(info.bytes_max <= 64 << 10, "{info:?}");
        assert_eq!(close_code(&mut connection), Some(1008));
    }
}

/// Bandit put continuations together without a limit on their sum.
#[test]
fn cve_2026_42786_continuations_together_keep_the_limit_of_a_message() {
    let mut config = unlimited_fragments();
    config.message_bytes_max = 100_000;
    for receiver in ROLES {
        let mut connection = end(receiver, &config);
        let part = [b'x'; 1000];
        let first = frames(receiver, &[(0x02, &part)]);
        let more = frames(receiver, &[(0x00, &part)]);
        let info = measure(|| {
            repeat(&mut connection, &first, 1).unwrap();
            let error = repeat(&mut connection, &more, MILLION).unwrap_err();
            assert_eq!(error, ProtocolError::MessageTooBig { max: 100_000 });
        });
        assert!(info.bytes_max <= 300_000, "{info:?}");
        assert_eq!(close_code(&mut connection), Some(1009));
    }
}

#[test]
fn a_million_pings_of_a_peer_that_does_not_read_keep_the_queue_at_its_limit() {
    for receiver in ROLES {
        let mut connection = end(receiver, &Config::default());
        let ping = frames(receiver, &[(0x89, &[b'p'; 125])]);
        let mut messages = Vec::new();
        let info = measure(|| messages = repeat(&mut connection, &ping, MILLION).unwrap());
        assert!(messages.is_empty());
        let queued = connection.queued();
        assert!(queued <= (16 << 10) + 135, "{queued} bytes queued");
        assert!(info.bytes_max <= 128 << 10, "{info:?}");
    }
}

#[test]
fn every_ping_is_answered_while_the_peer_reads_and_the_newest_when_it_does_not() {
    for receiver in ROLES {
        let mut connection = end(receiver, &Config::default());
        for i in 0..100_000_u32 {
            let ping = frames(receiver, &[(0x89, &i.to_be_bytes())]);
            feed(&mut connection, &ping, usize::MAX);
            assert_eq!(
                sent_frames(&mut connection),
                [(0x8a, i.to_be_bytes().to_vec())]
            );
        }
        for i in 0..100_000_u32 {
            feed(
                &mut connection,
                &frames(receiver, &[(0x89, &i.to_be_bytes())]),
                usize::MAX,
            );
        }
        let answers = sent_frames(&mut connection);
        assert!(
            answers.len() < 5000,
            "{} answers: no more than went in",
            answers.len()
        );
        let newest = answers.last().map(|(_, body)| body.clone());
        assert_eq!(newest.unwrap(), 99_999_u32.to_be_bytes());
    }
}

#[test]
fn allocations_grow_no_faster_than_the_bytes_that_arrive() {
    for receiver in ROLES {
        // Tiny fragments, empty ones, and a message cut into pieces of one byte.
        for payload in [&b"x"[..], b""] {
            let (small, _) = fragmented(receiver, payload, 10_000);
            let (large, _) = fragmented(receiver, payload, MILLION);
            let linear = small.bytes_total.max(64 << 10) * 100;
            assert!(large.bytes_total <= linear, "{small:?} for 1 %, {large:?}");
        }
        let total = |len: usize| {
            let mut input = frames(receiver, &[(0x82, &vec![b'x'; len])]);
            let mut connection = end(receiver, &Config::default());
            let info = measure(|| {
                for piece in input.chunks_mut(1) {
                    connection.receive(piece).1.unwrap();
                }
            });
            info.bytes_total
        };
        let (small, large) = (total(10_000), total(MILLION));
        assert!(large <= 4 * 100 * small, "{small} for 1 %, {large}");
        assert!(large <= 4 * MILLION as u64, "{large}: doubling, not more");
    }
}

/// Every input byte is looked at once: what was given is never asked for again.
#[test]
fn no_byte_is_taken_twice() {
    for receiver in ROLES {
        let script: &[(u8, &[u8])] = &[
            (0x01, "κόσ".as_bytes()),
            (0x89, b"ping"),
            (0x00, b""),
            (0x80, "με".as_bytes()),
            (0x82, &vec![b'x'; 70_000]),
        ];
        let bytes = frames(receiver, script);
        for step in [1, 2, 13, 4096] {
            let mut connection = end(receiver, &Config::default());
            let mut taken = 0;
            let mut calls = 0;
            let mut input = bytes.clone();
            for mut rest in input.chunks_mut(step) {
                while !rest.is_empty() {
                    let (used, event) = connection.receive(rest);
                    event.unwrap();
                    taken += used;
                    calls += 1;
                    // What was taken may be lost: nothing reads it again.
                    rest[..used].fill(0xff);
                    rest = &mut rest[used..];
                }
            }
            assert_eq!(taken, bytes.len());
            assert!(
                calls <= bytes.len().div_ceil(step) + 3 * script.len(),
                "{calls} calls"
            );
        }
    }
}

#[test]
fn a_message_of_100_megabytes_is_copied_a_bounded_number_of_times() {
    const SIZE: usize = 100 << 20;
    let mut config = Config::default();
    config.message_bytes_max = SIZE;
    config.frame_bytes_max = SIZE;
    let mut connection = end(Role::Client, &config);
    let mut header = vec![0x82, 127];
    header.extend_from_slice(&(SIZE as u64).to_be_bytes());
    let mut piece = vec![0; 16 << 10];
    let mut calls = 0;
    let mut len = 0;
    let info = measure(|| {
        connection.receive(&mut header).1.unwrap();
        for _ in 0..SIZE / piece.len() {
            let (used, event) = connection.receive(&mut piece);
            assert_eq!(used, 16 << 10);
            if let Some(Event::Message(message)) = event.unwrap() {
                len = message.payload().len();
            }
            calls += 1;
        }
    });
    assert_eq!((len, calls), (SIZE, 6400));
    // Growing by doubling: in all no more than four times the message, in few steps.
    assert!(info.count_total <= 40, "{info:?}");
    assert!(info.bytes_total <= 4 * SIZE as u64, "{info:?}");
}

#[test]
fn control_frames_between_fragments_leave_the_message_alone() {
    for receiver in ROLES {
        for step in [1, 2, 3, usize::MAX] {
            let script: &[(u8, &[u8])] = &[
                (0x01, "κ".as_bytes()),
                (0x89, b"one"),
                (0x00, b""),
                (0x8a, b"unasked"),
                (0x89, &[0xff; 125]),
                (0x80, b"end"),
            ];
            let mut connection = end(receiver, &Config::default());
            let seen = feed(&mut connection, &frames(receiver, script), step);
            let expected = [
                Seen::Ping(b"one".to_vec()),
                Seen::Pong(b"unasked".to_vec()),
                Seen::Ping(vec![0xff; 125]),
                Seen::Message("κend".as_bytes().to_vec()),
            ];
            assert_eq!(seen, expected, "{receiver:?} in pieces of {step}");
            let answers: Vec<u8> = sent_frames(&mut connection)
                .iter()
                .map(|(first, _)| *first)
                .collect();
            assert_eq!(answers, [0x8a, 0x8a, 0x81]);
        }
    }
}
