//! Compressed messages: what they cost, whatever they claim.

use allocation_counter::measure;
use tidewire_proto::{
    Config, Connection, DeflateConfig, Event, Message, Prepared, ProtocolError, Role,
};

use crate::{
    corpus::stored,
    peer::{Frame, ROLES, Seen, bytes_for, close_code, end, feed, frames, sent, sent_frames},
};

const LIMIT: usize = 1 << 20;

fn config(change: impl FnOnce(&mut DeflateConfig)) -> Config {
    let mut deflate = DeflateConfig::default();
    deflate.threshold = 0;
    change(&mut deflate);
    let mut config = Config::default();
    config.message_bytes_max = LIMIT;
    config.fragments_max = u32::MAX;
    config.deflate = Some(deflate);
    config
}

fn takeover(deflate: &mut DeflateConfig) {
    deflate.context_takeover = true;
    deflate.peer_context_takeover = true;
}

fn any_ratio(deflate: &mut DeflateConfig) {
    deflate.ratio_max = u32::MAX;
}

/// The limit of these tests is where the ratio begins to count by default.
fn early_ratio(deflate: &mut DeflateConfig) {
    deflate.ratio_floor = 64 << 10;
}

const fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// A payload as an end of ours compresses it.
fn compress(payload: &[u8]) -> Vec<u8> {
    let prepared = Prepared::binary(payload).compress(&config(|_| ()).deflate.unwrap());
    let mut server = end(Role::Server, &config(|_| ()));
    server.send_prepared(&prepared).unwrap();
    let (first, compressed) = sent_frames(&mut server).remove(0);
    assert_eq!(first, 0xc2, "it shrinks");
    compressed
}

/// Fed in pieces: the first error, and the most bytes held meanwhile.
fn cost(
    receiver: Role,
    config: &Config,
    bytes: &[u8],
    step: usize,
) -> (Option<ProtocolError>, u64) {
    let mut connection = end(receiver, config);
    let mut input = bytes.to_vec();
    let mut error = None;
    let info = measure(|| {
        for mut rest in input.chunks_mut(step) {
            while !rest.is_empty() && error.is_none() {
                let (used, event) = connection.receive(rest);
                error = event.err();
                rest = &mut rest[used..];
            }
        }
    });
    (error, info.bytes_max)
}

/// Bombs: a ratio of 1030, blocks that say nothing, and one inside fragments of one byte.
fn bombs(receiver: Role) -> Vec<(&'static str, Vec<u8>)> {
    let zeros = compress(&vec![0; 16 << 20]);
    let one_byte = |payload: &[u8]| {
        let mut list: Vec<_> = payload.chunks(1).map(|byte| Frame::new(0, byte)).collect();
        list[0].first = 0x42;
        bytes_for(receiver, &list)
    };
    vec![
        ("16 MiB of zeros", frames(receiver, &[(0xc2, &zeros)])),
        ("in fragments of one byte", one_byte(&zeros[..20_000])),
        (
            "again and again",
            frames(receiver, &[(0x42, &zeros), (0x00, &zeros), (0x80, &zeros)]),
        ),
    ]
}

#[test]
fn a_bomb_costs_its_limit_and_a_window() {
    for receiver in ROLES {
        for (name, bytes) in bombs(receiver) {
            for step in [1, 1000, usize::MAX] {
                let (error, held) = cost(receiver, &config(any_ratio), &bytes, step);
                assert_eq!(
                    error,
                    Some(ProtocolError::MessageTooBig { max: LIMIT }),
                    "{name}"
                );
                assert!(held < 2 * LIMIT as u64, "{name}: {held} bytes held");
                let (error, held) = cost(receiver, &config(early_ratio), &bytes, step);
                let stopped = matches!(error, Some(ProtocolError::InflateRatio { max: 100 }));
                assert!(stopped, "{name}: {error:?}");
                assert!(held < 512 << 10, "{name}: {held} bytes held by the ratio");
            }
        }
    }
}

/// undici inflated 6 MB to 1 GB.
#[test]
fn cve_2026_1526_what_inflates_without_end_is_cut_at_the_limit() {
    // A fixed block of one zero byte, then lengths of 258 at distance 1: 13 bits each.
    let mut bits = vec![];
    let mut push = |value: u32, count: u32| bits.extend((0..count).map(|i| value >> i & 1 == 1));
    push(0b010, 3); // not the last, fixed
    push(0b0000_1100, 8); // literal 0 (0x30, most significant bit first)
    for _ in 0..3_000_000 {
        push(0b1010_0011, 8); // 285: length 258
        push(0, 5); // distance 1
    }
    let payload: Vec<u8> = bits
        .chunks(8)
        .map(|byte| {
            byte.iter()
                .rev()
                .fold(0, |sum, bit| sum << 1 | u8::from(*bit))
        })
        .collect();
    assert!(payload.len() > 4_000_000, "{}", payload.len());
    for receiver in ROLES {
        let bytes = frames(receiver, &[(0xc2, &payload)]);
        let mut config = config(any_ratio);
        let (error, held) = cost(receiver, &config, &bytes, 64 << 10);
        assert_eq!(error, Some(ProtocolError::MessageTooBig { max: LIMIT }));
        assert!(held < 2 * LIMIT as u64, "{held}");
        config = self::config(early_ratio);
        let (error, _) = cost(receiver, &config, &bytes, 64 << 10);
        assert_eq!(error, Some(ProtocolError::InflateRatio { max: 100 }));
    }
}

/// `CivetWeb` wrote behind the buffer when a message inflated to more than it had guessed.
#[test]
fn cve_2026_29035_a_message_may_inflate_to_any_size_up_to_the_limit() {
    for receiver in ROLES {
        for size in [
            0,
            1,
            16_383,
            16_384,
            16_385,
            32_768,
            65_535,
            65_536,
            65_537,
            LIMIT - 1,
            LIMIT,
        ] {
            let payload = vec![b'a'; size];
            let mut sender = end(other(receiver), &config(takeover));
            sender.send(&Message::binary(payload.clone())).unwrap();
            let bytes = sent(&mut sender);
            let mut connection = end(
                receiver,
                &config(|deflate| {
                    takeover(deflate);
                    any_ratio(deflate);
                }),
            );
            let seen = feed(&mut connection, &bytes, 999);
            assert!(seen == [Seen::Message(payload)], "{size} bytes");
        }
    }
}

#[test]
fn the_limit_counts_inflated_bytes_to_the_byte() {
    for receiver in ROLES {
        for over in 0..=2 {
            for fill in [b'a', b'\0'] {
                let compressed = compress(&vec![fill; LIMIT + over]);
                for step in [1, usize::MAX] {
                    let mut connection = end(receiver, &config(any_ratio));
                    let bytes = frames(receiver, &[(0xc2, &compressed)]);
                    let seen = feed(&mut connection, &bytes, step);
                    if over == 0 {
                        assert!(
                            matches!(&seen[..], [Seen::Message(message)] if message.len() == LIMIT)
                        );
                    } else {
                        let error = ProtocolError::MessageTooBig { max: LIMIT };
                        assert_eq!(seen, [Seen::Error(error)], "{over} too many");
                        assert_eq!(close_code(&mut connection), Some(1009));
                    }
                }
            }
        }
    }
}

#[test]
fn blocks_that_inflate_to_nothing_keep_nothing() {
    let config = config(|_| ());
    for receiver in ROLES {
        // Empty stored blocks, 100 000 of them, in one frame and in one each.
        let empty = [0, 0, 0, 0xff, 0xff];
        let one = frames(
            receiver,
            &[(0xc2, &[&empty.repeat(100_000)[..], b"\0"].concat())],
        );
        let first = frames(receiver, &[(0x42, &empty)]);
        let many = [first, frames(receiver, &[(0x00, &empty)]).repeat(99_999)].concat();
        for bytes in [one, many] {
            let (error, held) = cost(receiver, &config, &bytes, 4096);
            assert_eq!(error, None);
            assert!(held < 128 << 10, "{held} bytes held for nothing");
        }
    }
}

#[test]
fn a_secret_sent_uncompressed_has_the_size_it_has() {
    for role in ROLES {
        let sizes = |compressed: bool| {
            let mut connection = end(role, &config(takeover));
            let mut sizes = Vec::new();
            for guess in [
                "token=hunter2hunter2",
                "token=aaaaaaaaaaaaaa",
                "token=zzzzzzzzzzzzzz",
            ] {
                let text = format!("{{\"auth\":\"token=hunter2hunter2\",\"echo\":\"{guess}\"}}");
                if compressed {
                    connection.send(&Message::text(text)).unwrap();
                } else {
                    connection.send_uncompressed(&Message::text(text)).unwrap();
                }
                let frame = sent_frames(&mut connection).remove(0);
                assert_eq!(frame.0 & 0x40 != 0, compressed);
                sizes.push(frame.1.len());
            }
            sizes
        };
        let plain = sizes(false);
        assert!(plain.iter().all(|size| *size == plain[0]), "{plain:?}");
        let leaky = sizes(true);
        assert!(
            leaky.iter().any(|size| *size != leaky[0]),
            "the oracle works: {leaky:?}"
        );
    }
    assert!(Config::default().deflate.is_none(), "off by default");
}

#[test]
fn messages_that_do_not_shrink_leave_both_ends_in_step() {
    let noise: Vec<u8> = (0..5000_u32)
        .flat_map(|i| {
            i.wrapping_mul(2_654_435_761)
                .rotate_left(i % 32)
                .to_be_bytes()
        })
        .collect();
    for role in ROLES {
        let (mut from, mut to) = (
            end(role, &config(takeover)),
            end(other(role), &config(takeover)),
        );
        for round in 0..5 {
            let text = format!("a message of the room, number {round}, ")
                .repeat(50)
                .into_bytes();
            for payload in [&text, &noise, &text, &noise[..100].to_vec()] {
                from.send(&Message::binary(payload.clone())).unwrap();
                let seen = feed(&mut to, &sent(&mut from), 100);
                assert!(seen == [Seen::Message(payload.clone())], "round {round}");
            }
        }
    }
}

#[test]
fn control_frames_between_compressed_fragments_are_answered() {
    for receiver in ROLES {
        for step in [1, 2, usize::MAX] {
            let payload = stored("κόσμε".as_bytes());
            let mut connection = end(receiver, &config(takeover));
            for _ in 0..2 {
                let script: &[(u8, &[u8])] = &[
                    (0x41, &payload[..7]),
                    (0x89, b"ping"),
                    (0x00, &payload[7..8]),
                    (0x8a, b"pong"),
                    (0x80, &payload[8..]),
                ];
                let seen = feed(&mut connection, &frames(receiver, script), step);
                let expected = [
                    Seen::Ping(b"ping".to_vec()),
                    Seen::Pong(b"pong".to_vec()),
                    Seen::Message("κόσμε".as_bytes().to_vec()),
                ];
                assert_eq!(seen, expected);
                assert_eq!(sent_frames(&mut connection)[0], (0x8a, b"ping".to_vec()));
            }
        }
    }
}

/// The cut must not decide which rule was broken first.
#[test]
fn the_first_broken_rule_of_a_compressed_text_counts_in_any_cut() {
    for receiver in ROLES {
        let bad = stored(b"\xff");
        let bad = &bad[..bad.len() - 1];
        let corrupt = [bad, b"\x07\x07"].concat();
        let bomb = [bad, &compress(&vec![b'a'; LIMIT * 2])].concat();
        let late = [&compress(&vec![b'a'; LIMIT * 2])[..], &stored(b"\xff")].concat();
        for (payload, code) in [(corrupt, 1007), (bomb, 1007), (late, 1009)] {
            let bytes = frames(receiver, &[(0xc1, &payload)]);
            let verdict = |step| {
                let mut connection = end(receiver, &config(any_ratio));
                feed(&mut connection, &bytes, step)
            };
            let whole = verdict(usize::MAX);
            let [Seen::Error(error)] = whole.as_slice() else {
                panic!("accepted: {whole:?}");
            };
            assert_eq!(error.close_code().0, code, "{error}");
            for step in [1, 7, 1000] {
                assert_eq!(verdict(step), whole, "in pieces of {step}");
            }
        }
    }
}

/// With compression too: what is allocated grows with what arrives.
#[test]
fn tiny_compressed_fragments_allocate_in_proportion() {
    let config = config(takeover);
    for receiver in ROLES {
        let total = |count: usize| {
            let payload = vec![b'x'; 50_000];
            let block = stored(&payload);
            let block = &block[..block.len() - 1];
            let all = block.repeat(count.div_ceil(block.len()));
            let mut list: Vec<_> = all[..count]
                .chunks(1)
                .map(|byte| Frame::new(0, byte))
                .collect();
            list[0].first = 0x42;
            let mut input = bytes_for(receiver, &list);
            let mut connection: Connection = end(receiver, &config);
            let info = measure(|| {
                for mut rest in input.chunks_mut(4096) {
                    while !rest.is_empty() {
                        let (used, event) = connection.receive(rest);
                        assert!(!matches!(event.unwrap(), Some(Event::Message(_))));
                        rest = &mut rest[used..];
                    }
                }
            });
            info.bytes_total
        };
        let (small, large) = (total(10_000), total(200_000));
        assert!(
            large <= 20 * small,
            "{small} for 10 000 fragments, {large} for 200 000"
        );
    }
}
