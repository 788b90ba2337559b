//! The corpus, and any other bytes: the same verdict however they arrive.

use std::collections::HashSet;

use tidewire_proto::{Config, Role};

use crate::{
    corpus::{self, Case, FRAGMENTS_MAX, MESSAGE_BYTES_MAX},
    peer::{Frame, ROLES, Seen, bytes_for, end, feed, sent_frames},
};

fn config(deflate: bool) -> Config {
    let mut config = Config::default();
    config.message_bytes_max = MESSAGE_BYTES_MAX;
    config.frame_bytes_max = MESSAGE_BYTES_MAX;
    config.fragments_max = FRAGMENTS_MAX;
    #[cfg(feature = "deflate")]
    {
        config.deflate = deflate.then(tidewire_proto::DeflateConfig::default);
    }
    #[cfg(not(feature = "deflate"))]
    assert!(!deflate);
    config
}

fn check(case: &Case, receiver: Role, step: usize) {
    let about = format!("{} for a {receiver:?} in pieces of {step}", case.name);
    let hello = Frame::new(0x81, b"well formed");
    let after = Frame::new(0x81, b"never seen");
    let frames = [vec![hello], case.frames.clone(), vec![after]].concat();
    let mut connection = end(receiver, &config(case.deflate));
    let seen = feed(&mut connection, &bytes_for(receiver, &frames), step);
    assert_eq!(
        seen.first(),
        Some(&Seen::Message(b"well formed".to_vec())),
        "{about}"
    );
    let Some(Seen::Error(error)) = seen.last() else {
        panic!("{about}: accepted as {seen:?}");
    };
    assert_eq!(error.close_code().0, case.code, "{about}: {error}");
    let sent = sent_frames(&mut connection);
    let mut answers = sent.iter().filter(|(first, _)| *first != 0x8a);
    assert_eq!(
        answers.next(),
        Some(&(0x81, b"well formed".to_vec())),
        "{about}"
    );
    let messages = seen
        .iter()
        .filter(|seen| matches!(seen, Seen::Message(_)))
        .count();
    let (first, body) = answers
        .nth(messages - 1)
        .unwrap_or_else(|| panic!("{about}: no close frame"));
    assert_eq!(
        (*first, &body[..2]),
        (0x88, &case.code.to_be_bytes()[..]),
        "{about}"
    );
    assert_eq!(
        sent.last().map(|(first, _)| *first),
        Some(0x88),
        "{about}: last"
    );
    let reason = String::from_utf8(body[2..].to_vec()).expect("a reason is text");
    assert_eq!(reason, error.to_string(), "{about}");
    for (_, payload) in &sent {
        let rejected = payload.windows(8).any(|bytes| bytes == b"rejected");
        assert!(!rejected, "{about}: sends back what it refuses");
    }
    assert!(!connection.is_open() && connection.is_finished(), "{about}");
}

#[test]
fn malformed_input_gets_its_close_code_in_both_roles_and_any_cut() {
    let corpus = corpus::all();
    let distinct: HashSet<_> = corpus
        .iter()
        .map(|case| (case.deflate, bytes_for(Role::Server, &case.frames)))
        .collect();
    assert!(distinct.len() >= 600, "{} different inputs", distinct.len());
    for case in &corpus {
        for receiver in ROLES {
            for step in [usize::MAX, 1, 7] {
                check(case, receiver, step);
            }
        }
    }
}

/// Small numbers from a seed, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % below
    }

    fn bytes(&mut self, below: usize) -> Vec<u8> {
        let len = self.roll(below);
        let text = self.roll(2) == 0;
        (0..len)
            .map(|_| u8::try_from(self.roll(if text { 128 } else { 256 })).unwrap())
            .collect()
    }
}

/// Mostly sensible frames, compressed ones too, then perhaps anything.
fn stream(dice: &mut Dice, receiver: Role) -> Vec<u8> {
    let firsts = [
        0x81, 0x82, 0x01, 0x02, 0x00, 0x00, 0x80, 0x80, 0x89, 0x8a, 0xc1, 0xc2, 0x41, 0x88,
    ];
    let mut frames = Vec::new();
    for _ in 0..dice.roll(6) {
        let first = firsts[dice.roll(firsts.len())];
        let below = if dice.roll(8) == 0 { 200 } else { 12 };
        let payload = dice.bytes(below);
        let compressed = first & 0x40 != 0 && dice.roll(4) > 0;
        let payload = if compressed {
            corpus::stored(&payload)
        } else {
            payload
        };
        frames.push(Frame::new(first, &payload));
    }
    let mut bytes = bytes_for(receiver, &frames);
    if dice.roll(4) == 0 {
        bytes.extend(dice.bytes(40));
    }
    bytes
}

#[test]
fn events_and_answers_do_not_depend_on_how_bytes_arrive() {
    for seed in 1..=10_000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for receiver in ROLES {
            let bytes = stream(&mut dice, receiver);
            let config = config(cfg!(feature = "deflate") && seed % 2 == 0);
            let run = |step| {
                let mut connection = end(receiver, &config);
                let seen = feed(&mut connection, &bytes, step);
                (seen, sent_frames(&mut connection))
            };
            let whole = run(usize::MAX);
            for step in [1, 2 + dice.roll(30)] {
                assert_eq!(
                    run(step),
                    whole,
                    "seed {seed}, {receiver:?}, pieces of {step}"
                );
            }
        }
    }
}
