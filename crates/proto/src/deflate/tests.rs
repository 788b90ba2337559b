//! Compressing and inflating together, and against the examples of RFC 7692.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::{ProtocolError, Role};

const MAX: usize = 1 << 20;

fn agreed(bits: u8, takeover: bool) -> DeflateParameters {
    let config = config(bits, takeover);
    accept(
        std::iter::once(&b"permessage-deflate; client_max_window_bits"[..]),
        &config,
    )
    .unwrap()
    .unwrap()
    .0
}

fn config(bits: u8, takeover: bool) -> DeflateConfig {
    DeflateConfig {
        window_bits: bits,
        peer_window_bits: bits,
        context_takeover: takeover,
        peer_context_takeover: takeover,
        ..DeflateConfig::default()
    }
}

/// Both ends of one direction.
fn pair(sender: Role, bits: u8, takeover: bool) -> (Deflater, Inflater) {
    let (agreed, config) = (agreed(bits, takeover), config(bits, takeover));
    (
        Deflater::new(agreed, sender, &config).unwrap(),
        Inflater::new(agreed, sender, &config),
    )
}

fn inflater(takeover: bool) -> Inflater {
    pair(Role::Server, 15, takeover).1
}

/// A whole message, given in pieces of `step`.
fn inflate_in(
    inflater: &mut Inflater,
    compressed: &[u8],
    step: usize,
    bytes_max: usize,
) -> Result<Vec<u8>, ProtocolError> {
    let mut message = Vec::new();
    for piece in compressed.chunks(step.max(1)) {
        inflater.push(piece, &mut message, bytes_max)?;
        assert!(message.capacity() <= bytes_max.max(2 * message.len()));
    }
    inflater.finish(&mut message, bytes_max)?;
    Ok(message)
}

fn inflate(inflater: &mut Inflater, compressed: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    inflate_in(inflater, compressed, usize::MAX, MAX)
}

fn compress(deflater: &mut Deflater, payload: &[u8]) -> Option<Vec<u8>> {
    let mut out = None;
    let shrunk = deflater.message(payload, |compressed| out = Some(compressed.to_vec()));
    assert_eq!(shrunk, out.is_some());
    out
}

/// Bytes that no compressor makes shorter.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

fn json(len: usize, seed: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for i in seed.. {
        if out.len() >= len {
            break;
        }
        write!(
            out,
            "{{\"id\":{},\"user\":\"user-{}\",\"text\":\"message {i} for the room\"}},",
            i * 7919,
            i % 17
        )
        .unwrap();
    }
    out.truncate(len);
    out
}

/// One stored block (RFC 1951 section 3.2.4), as a compressed message.
fn stored(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in payload.chunks(65_535) {
        let len = block.len() as u16;
        out.push(0);
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    out.push(0);
    out
}

/// A message of `len` zeros.
fn bomb(len: usize) -> Vec<u8> {
    let mut deflater = pair(Role::Server, 15, false).0;
    compress(&mut deflater, &vec![0; len]).unwrap()
}

#[test]
fn the_examples_of_the_rfc_are_inflated() {
    for (name, compressed, message) in [
        (
            "7.2.3.1 one block",
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            "Hello",
        ),
        (
            "7.2.3.3 stored",
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            "Hello",
        ),
        (
            "7.2.3.4 BFINAL",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            "Hello",
        ),
        (
            "7.2.3.5 two blocks",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
            "Hello",
        ),
        ("7.2.3.6 empty", b"\x00", ""),
        (
            "BFINAL without the empty block",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00",
            "Hello",
        ),
        ("no block at all", b"", ""),
        (
            "empty blocks",
            b"\x00\x00\x00\xff\xff\x00\x00\x00\xff\xff\x00",
            "",
        ),
        (
            "data behind BFINAL",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00",
            "HelloHello",
        ),
    ] {
        for takeover in [false, true] {
            for step in [1, 2, 3, 100] {
                let mut inflater = inflater(takeover);
                for _ in 0..2 {
                    assert_eq!(
                        inflate_in(&mut inflater, compressed, step, MAX).as_deref(),
                        Ok(message.as_bytes()),
                        "{name}, takeover {takeover}, step {step}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_second_message_may_refer_to_the_first_only_with_takeover() {
    // Section 7.2.3.2: the same message again, as one reference.
    let (first, second) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
    let mut with = inflater(true);
    assert_eq!(inflate(&mut with, first).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(inflate(&mut with, second).as_deref(), Ok(&b"Hello"[..]));
    let mut without = inflater(false);
    assert_eq!(inflate(&mut without, first).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(
        inflate(&mut without, second),
        Err(ProtocolError::CorruptDeflate)
    );
}

#[test]
fn a_message_that_is_corrupt_or_stops_early_is_refused() {
    let whole = compress(&mut pair(Role::Server, 15, false).0, &json(3000, 1)).unwrap();
    for takeover in [false, true] {
        for len in 1..whole.len() {
            assert_eq!(
                inflate(&mut inflater(takeover), &whole[..len]),
                Err(ProtocolError::CorruptDeflate),
                "cut at {len}"
            );
        }
        for corrupt in [
            &b"\x06"[..],                                    // reserved block type
            b"\x00\x05\x00\xfa\xfe", // stored length and its complement differ
            b"\xff\xff\xff\xff",     // reserved again
            b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff", // tail not removed
        ] {
            assert_eq!(
                inflate(&mut inflater(takeover), corrupt),
                Err(ProtocolError::CorruptDeflate),
                "{corrupt:02x?}"
            );
        }
    }
}

#[test]
fn the_limit_is_exact_however_the_message_was_compressed() {
    for limit in [1, 100, SCRATCH - 1, SCRATCH, SCRATCH + 1, 3 * SCRATCH] {
        for (over, fits) in [(0, true), (1, false), (2, false)] {
            let payload = noise(limit + over);
            let zeros = vec![0; limit + over];
            let mut streamed = Vec::new();
            pair(Role::Client, 15, false)
                .0
                .piece(&payload, true, |piece| streamed.extend_from_slice(piece));
            let mut squeezed = Vec::new();
            pair(Role::Client, 15, false)
                .0
                .piece(&zeros, true, |piece| squeezed.extend_from_slice(piece));
            for (compressed, payload) in [
                (&stored(&payload), &payload),
                (&streamed, &payload),
                (&squeezed, &zeros),
            ] {
                for step in [1, 7, usize::MAX] {
                    let expected = if fits {
                        Ok(payload.as_slice())
                    } else {
                        Err(ProtocolError::MessageTooBig { max: limit })
                    };
                    let got = inflate_in(&mut inflater(true), compressed, step, limit);
                    assert_eq!(
                        got.as_deref().map_err(|error| *error),
                        expected,
                        "{limit}+{over} in {step}"
                    );
                }
            }
        }
    }
}

const SCRATCH: usize = 16 << 10;

#[test]
fn cve_2026_1526_a_bomb_is_stopped_by_the_limit_and_before_by_the_ratio() {
    let mut gigabyte = bomb(1 << 20);
    gigabyte.extend([0, 0, 0xff, 0xff]);
    let gigabyte = gigabyte.repeat(1 << 10);
    for step in [1, 1000, usize::MAX] {
        assert_eq!(
            inflate_in(&mut inflater(false), &gigabyte, step, 2 * MAX),
            Err(ProtocolError::InflateRatio { max: 100 }),
        );
    }
    let config = DeflateConfig {
        ratio_max: u32::MAX,
        ..config(15, false)
    };
    let mut any_ratio = Inflater::new(agreed(15, false), Role::Server, &config);
    let mut message = Vec::new();
    assert_eq!(
        any_ratio.push(&gigabyte, &mut message, MAX),
        Err(ProtocolError::MessageTooBig { max: MAX }),
    );
    assert!(message.capacity() <= MAX, "{}", message.capacity());
}

#[test]
fn the_ratio_counts_above_its_floor_alone_which_is_a_mib_by_default() {
    assert_eq!(DeflateConfig::default().ratio_floor, 1 << 20);
    let inflate_above = |floor: usize, message_bytes: usize| {
        let config = DeflateConfig {
            ratio_floor: floor,
            ..config(15, false)
        };
        let mut inflater = Inflater::new(agreed(15, false), Role::Server, &config);
        inflate_in(&mut inflater, &bomb(message_bytes), 1000, 2 * MAX).map(|message| message.len())
    };
    let refused = Err(ProtocolError::InflateRatio { max: 100 });
    assert_eq!(inflate_above(0, 64 << 10), refused);
    for floor in [64 << 10, 1 << 20] {
        assert_eq!(inflate_above(floor, floor), Ok(floor));
        assert_eq!(inflate_above(floor, floor + 1), refused);
    }
}

#[test]
fn text_of_one_repeated_line_passes_up_to_the_floor() {
    let line = b"tide and wire, ";
    let text = line.repeat((1 << 20) / line.len());
    // As zlib's default of other implementations.
    let thorough = DeflateConfig {
        level: 9,
        ..config(15, false)
    };
    let mut deflater = Deflater::new(agreed(15, false), Role::Client, &thorough).unwrap();
    let compressed = compress(&mut deflater, &text).unwrap();
    assert!(compressed.len() * 100 < text.len(), "{}", compressed.len());
    let mut inflater = pair(Role::Client, 15, false).1;
    assert_eq!(inflate(&mut inflater, &compressed), Ok(text));
}

#[test]
fn each_window_works_in_both_roles_with_and_without_takeover() {
    for sender in [Role::Client, Role::Server] {
        for bits in 9..=15 {
            for takeover in [false, true] {
                let (mut deflater, mut inflater) = pair(sender, bits, takeover);
                let mut sizes = Vec::new();
                for seed in [0, 3000, 0, 0] {
                    let payload = json(20_000, seed);
                    let compressed = compress(&mut deflater, &payload).unwrap();
                    assert_eq!(inflate(&mut inflater, &compressed), Ok(payload));
                    sizes.push(compressed.len());
                }
                if bits == 15 {
                    assert_eq!(sizes[3] * 4 < sizes[0], takeover, "{sizes:?}");
                }
                assert!(inflater.idle_bytes() <= if takeover { 1 << bits } else { 0 });
            }
        }
    }
}

#[test]
fn references_never_reach_behind_the_window_agreed_on() {
    // A repetition farther away than the window: were it used, the strict inflater, which keeps
    // no more than the window of the messages before, would refuse it.
    for bits in 9..=12_u8 {
        let (mut deflater, mut inflater) = pair(Role::Server, bits, true);
        let window = 1_usize << bits;
        let block = noise(window / 2);
        for filler in [0, window / 2, window, window * 2] {
            let text = [json(600, filler), block.clone(), json(filler, 1)].concat();
            for payload in [&text, &block] {
                if let Some(compressed) = compress(&mut deflater, payload) {
                    assert_eq!(inflate(&mut inflater, &compressed).as_ref(), Ok(payload));
                }
            }
        }
    }
}

#[test]
fn a_message_that_does_not_shrink_is_left_alone_and_the_window_with_it() {
    for takeover in [false, true] {
        let (mut deflater, mut inflater) = pair(Role::Server, 15, takeover);
        let text = json(2000, 5);
        for payload in [
            &text,
            &noise(5000),
            &text,
            &noise(200_000),
            &text,
            &Vec::new(),
            &text,
        ] {
            match compress(&mut deflater, payload) {
                // The peer never inflates it, so what follows must not refer to it.
                None => assert!(payload.len() != text.len()),
                Some(compressed) => {
                    assert_eq!(inflate(&mut inflater, &compressed).as_ref(), Ok(payload));
                }
            }
        }
    }
}

#[test]
fn many_messages_that_do_not_shrink_leave_the_compressor_as_good_as_new() {
    // zlib-rs forgets at a reset where its undrained output began.
    for takeover in [false, true] {
        let (mut deflater, mut inflater) = pair(Role::Server, 15, takeover);
        for len in (0..300).map(|i| 100 + i * 97) {
            assert_eq!(compress(&mut deflater, &noise(len)), None);
        }
        let payload = [json(50_000, 1), noise(50_000)].concat();
        let compressed = compress(&mut deflater, &payload).unwrap();
        assert_eq!(inflate(&mut inflater, &compressed), Ok(payload));
    }
}

#[test]
fn a_message_from_elsewhere_does_not_confuse_the_compressor() {
    let (mut deflater, mut inflater) = pair(Role::Server, 15, true);
    let (mut other, _) = pair(Role::Server, 15, false);
    for seed in 0..4 {
        for from in [&mut deflater, &mut other] {
            let payload = json(1500, seed);
            let compressed = compress(from, &payload).unwrap();
            assert_eq!(inflate(&mut inflater, &compressed), Ok(payload));
        }
        deflater.forget();
    }
}

/// Otherwise each fragment of one byte would cost the move of a window.
#[test]
fn what_is_remembered_stays_where_it_is_while_a_message_comes_byte_by_byte() {
    let mut inflater = inflater(true);
    let message = noise(50_000);
    assert_eq!(inflate(&mut inflater, &stored(&message)), Ok(message));
    let compressed = stored(&[b'x'; 100]);
    let mut message = Vec::new();
    for (came, piece) in compressed.chunks(1).enumerate().take(50) {
        let len = message.len();
        let before = inflater.remembered_at(1000).unwrap();
        inflater.push(piece, &mut message, MAX).unwrap();
        let after = inflater.remembered_at(1000 + message.len() - len);
        assert_eq!(after, Some(before), "byte {came} moved it");
    }
    assert!(message.len() > 20);
}

#[test]
fn a_message_in_pieces_is_inflated_piece_by_piece() {
    for takeover in [false, true] {
        let (mut deflater, mut inflater) = pair(Role::Client, 12, takeover);
        for pieces in [
            vec![json(100, 1), noise(40_000), json(100, 1)],
            vec![Vec::new()],
            vec![json(100, 1), Vec::new(), Vec::new()],
            vec![Vec::new(), Vec::new(), json(5000, 2)],
        ] {
            let (mut message, mut expected) = (Vec::new(), Vec::new());
            for (i, piece) in pieces.iter().enumerate() {
                deflater.piece(piece, i + 1 == pieces.len(), |compressed| {
                    inflater.push(compressed, &mut message, MAX).unwrap();
                });
                expected.extend_from_slice(piece);
                assert_eq!(message, expected, "nothing is held back");
            }
            inflater.finish(&mut message, MAX).unwrap();
            assert_eq!(message, expected);
        }
    }
}

#[test]
fn engines_come_from_the_pool_and_go_back_to_it() {
    let config = config(15, false);
    let agreed = agreed(15, false);
    let pool = || config.pool.kept();
    let mut deflaters: Vec<_> = (0..20)
        .map(|_| Deflater::new(agreed, Role::Server, &config).unwrap())
        .collect();
    let mut inflaters: Vec<_> = (0..20)
        .map(|_| Inflater::new(agreed, Role::Server, &config))
        .collect();
    let payload = json(1000, 1);
    for (deflater, inflater) in deflaters.iter_mut().zip(&mut inflaters) {
        let compressed = compress(deflater, &payload).unwrap();
        assert_eq!(inflate(inflater, &compressed).as_ref(), Ok(&payload));
        assert_eq!(pool(), (1, 1), "one of each served all");
    }
    let (mut message, mut first) = (Vec::new(), Vec::new());
    for (deflater, inflater) in deflaters.iter_mut().zip(&mut inflaters) {
        deflater.piece(&payload, false, |piece| first = piece.to_vec());
        inflater.push(&first, &mut message, MAX).unwrap();
    }
    assert_eq!(pool(), (0, 0), "all under way");
    for (deflater, inflater) in deflaters.iter_mut().zip(&mut inflaters) {
        deflater.piece(b"", true, |piece| first = piece.to_vec());
        inflater.push(&first, &mut message, MAX).unwrap();
        inflater.finish(&mut message, MAX).unwrap();
    }
    assert_eq!(pool(), (8, 8), "a bounded number is kept");
}

#[test]
fn a_window_of_8_is_never_compressed_for_but_inflated() {
    let value = &b"permessage-deflate; server_no_context_takeover; client_max_window_bits=8; server_max_window_bits=8"[..];
    let config = DeflateConfig::default();
    let agreed = verify(std::iter::once(value), Some(&config))
        .unwrap()
        .unwrap();
    assert!(Deflater::new(agreed, Role::Client, &config).is_none());
    let mut inflater = Inflater::new(agreed, Role::Server, &config);
    assert_eq!(
        inflate(&mut inflater, b"\xf2\x48\xcd\xc9\xc9\x07\x00").as_deref(),
        Ok(&b"Hello"[..])
    );
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2000),
        (0..40_000_usize, 0..50_usize).prop_map(|(len, seed)| json(len, seed)),
        (0..40_000_usize).prop_map(noise),
        (0..60_000_usize, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_compressed_is_inflated_in_any_cut(
        payloads in prop::collection::vec(payload(), 1..6),
        bits in 9..=15_u8,
        takeover: bool,
        server: bool,
        step in prop_oneof![1..20_usize, 20..5000_usize],
    ) {
        let sender = if server { Role::Server } else { Role::Client };
        let (mut deflater, mut inflater) = pair(sender, bits, takeover);
        for payload in payloads {
            if let Some(compressed) = compress(&mut deflater, &payload) {
                prop_assert!(compressed.len() < payload.len());
                prop_assert_eq!(inflate_in(&mut inflater, &compressed, step, MAX), Ok(payload));
            }
        }
    }

    #[test]
    fn garbage_never_panics_nor_passes_the_limit(
        garbage in prop::collection::vec(any::<u8>(), 0..3000),
        takeover: bool,
        limit in 0..5000_usize,
    ) {
        let mut inflater = inflater(takeover);
        let mut message = Vec::new();
        let pushed = inflater.push(&garbage, &mut message, limit);
        let _verdict = pushed.and_then(|()| inflater.finish(&mut message, limit));
        prop_assert!(message.len() <= limit && message.capacity() <= limit);
    }
}
