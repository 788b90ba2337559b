//! Malformed input, made rule by rule: every entry breaks exactly one rule, behind a message that
//! is well formed and must be answered.

use crate::peer::{Frame, Length};

/// Input and what it must be answered with.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) frames: Vec<Frame>,
    /// Compression was agreed on.
    pub(crate) deflate: bool,
    pub(crate) code: u16,
}

/// Limits that the corpus counts on.
pub(crate) const MESSAGE_BYTES_MAX: usize = 100_000;
pub(crate) const FRAGMENTS_MAX: u32 = 16;

const CONTROL: [u8; 3] = [8, 9, 10];
const OPCODES: [u8; 6] = [0, 1, 2, 8, 9, 10];

#[derive(Default)]
struct Corpus(Vec<Case>);

impl Corpus {
    fn add(&mut self, name: String, code: u16, frames: Vec<Frame>) {
        self.0.push(Case {
            name,
            frames,
            deflate: false,
            code,
        });
    }

    fn add_compressed(&mut self, name: String, code: u16, frames: Vec<Frame>) {
        self.add(name, code, frames);
        if let Some(case) = self.0.last_mut() {
            case.deflate = true;
        }
    }
}

/// All entries.
pub(crate) fn all() -> Vec<Case> {
    let mut corpus = Corpus::default();
    reserved_bits(&mut corpus);
    reserved_opcodes(&mut corpus);
    control_frames(&mut corpus);
    order(&mut corpus);
    lengths(&mut corpus);
    masks(&mut corpus);
    text(&mut corpus);
    closes(&mut corpus);
    limits(&mut corpus);
    if cfg!(feature = "deflate") {
        compressed(&mut corpus);
    }
    corpus.0
}

/// RFC 6455 section 5.2, RFC 7692 section 6.
fn reserved_bits(corpus: &mut Corpus) {
    for reserved in 1..8_u8 {
        for opcode in OPCODES {
            for fin in [0, 0x80] {
                let first = fin | reserved << 4 | opcode;
                let frame = || vec![Frame::new(first, b"rejected")];
                corpus.add(format!("first byte {first:#04x}"), 1002, frame());
                let agreed = reserved == 4 && matches!(opcode, 1 | 2);
                if cfg!(feature = "deflate") && !agreed {
                    let name = format!("first byte {first:#04x} with compression");
                    corpus.add_compressed(name, 1002, frame());
                }
            }
        }
    }
}

/// RFC 6455 section 5.2.
fn reserved_opcodes(corpus: &mut Corpus) {
    for opcode in (3..8).chain(11..16_u8) {
        for fin in [0, 0x80] {
            for payload in [&b""[..], b"rejected"] {
                let frame = Frame::new(fin | opcode, payload);
                let name = format!("opcode {opcode}, fin {fin:#x}, {} bytes", payload.len());
                corpus.add(
                    format!("{name} in a message"),
                    1002,
                    vec![Frame::new(0x01, b"rejected"), frame.clone()],
                );
                corpus.add(name, 1002, vec![frame]);
            }
        }
    }
}

/// RFC 6455 section 5.5.
fn control_frames(corpus: &mut Corpus) {
    for opcode in CONTROL {
        for before in [vec![], vec![Frame::new(0x02, b"rejected")]] {
            let place = before.len();
            let mut add = |name: String, frame: Frame| {
                let frames = [before.clone(), vec![frame]].concat();
                corpus.add(
                    format!("opcode {opcode} {name}, {place} before"),
                    1002,
                    frames,
                );
            };
            for len in [0, 1, 2, 125] {
                add(
                    format!("fragmented, {len} bytes"),
                    Frame::new(opcode, &vec![b'x'; len]),
                );
            }
            for len in [126, 127, 128, 255, 256, 65_535, 65_536] {
                let frame = Frame::new(0x80 | opcode, &vec![b'x'; len]);
                add(format!("of {len} bytes"), frame);
            }
            for length in [Length::Two, Length::Eight] {
                let frame = Frame::new(0x80 | opcode, b"\x03\xe8").length(length);
                add(format!("with its length as {length:?}"), frame);
            }
        }
    }
}

/// RFC 6455 section 5.4.
fn order(corpus: &mut Corpus) {
    let parts: [(&str, &[u8]); 4] = [
        ("empty", b""),
        ("one", b"x"),
        ("some", b"rejected"),
        ("ping", b""),
    ];
    for (what, payload) in parts {
        for first in [0x00, 0x80] {
            let name = format!("{what} continuation {first:#04x}");
            let frame = Frame::new(first, payload);
            corpus.add(format!("{name} of nothing"), 1002, vec![frame.clone()]);
            corpus.add(
                format!("{name} behind a ping"),
                1002,
                vec![Frame::new(0x89, b""), frame.clone()],
            );
            corpus.add(
                format!("{name} behind the end"),
                1002,
                vec![Frame::new(0x01, b"hel"), Frame::new(0x80, b"lo"), frame],
            );
        }
        for opening in [0x01, 0x02] {
            for first in [0x01, 0x02, 0x81, 0x82] {
                let name = format!("{what} {first:#04x} in a message begun by {opening:#04x}");
                corpus.add(
                    name,
                    1002,
                    vec![
                        Frame::new(opening, b"rejected"),
                        Frame::new(0x8a, b"pong"),
                        Frame::new(first, payload),
                    ],
                );
            }
        }
    }
}

/// RFC 6455 section 5.2; limits.
fn lengths(corpus: &mut Corpus) {
    for first in [0x81, 0x82, 0x01, 0x02] {
        for len in [0, 1, 2, 50, 100, 124, 125] {
            let frame = Frame::new(first, &vec![b'x'; len]).length(Length::Two);
            corpus.add(
                format!("{first:#04x}: {len} in two bytes"),
                1002,
                vec![frame],
            );
        }
        for len in [0, 1, 125, 126, 127, 1000, 65_534, 65_535] {
            let frame = Frame::new(first, &vec![b'x'; len]).length(Length::Eight);
            corpus.add(
                format!("{first:#04x}: {len} in eight bytes"),
                1002,
                vec![frame],
            );
        }
        let announce = |len| vec![Frame::new(first, b"").length(Length::Announced(len))];
        for len in [1 << 63, 1 << 63 | 1, 3 << 62, u64::MAX - 1, u64::MAX] {
            corpus.add(
                format!("{first:#04x}: announces {len}"),
                1002,
                announce(len),
            );
        }
        for power in 17..63 {
            let len = 1_u64 << power;
            corpus.add(
                format!("{first:#04x}: announces 2^{power}"),
                1009,
                announce(len),
            );
        }
        for len in [MESSAGE_BYTES_MAX as u64 + 1, (1 << 32) + 5, (1 << 63) - 1] {
            corpus.add(
                format!("{first:#04x}: announces {len}"),
                1009,
                announce(len),
            );
        }
    }
}

/// RFC 6455 section 5.1.
fn masks(corpus: &mut Corpus) {
    for opcode in OPCODES {
        for len in [0, 1, 100, 125] {
            let mut frame = Frame::new(0x80 | opcode, &vec![b'x'; len]);
            frame.wrong_mask = true;
            corpus.add(
                format!("wrong mask, opcode {opcode}, {len} bytes"),
                1002,
                vec![frame.clone()],
            );
            corpus.add(
                format!("wrong mask in a message, opcode {opcode}, {len} bytes"),
                1002,
                vec![Frame::new(0x01, b"rejected"), frame],
            );
        }
    }
}

/// Byte sequences that no UTF-8 text contains; those that only lack an end come last.
pub(crate) const NOT_UTF8: [&[u8]; 24] = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\xbd\xed\xb8\x80",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xce\xce\xba",
    b"\xe2\x82x",
    b"\xce",
    b"\xe2\x82",
    b"\xf0\x9f",
    b"\xf0\x9f\x98",
];

/// RFC 6455 section 8.1: at every boundary, whole and in fragments.
fn text(corpus: &mut Corpus) {
    for bad in NOT_UTF8 {
        for before in ["", "a", "κόσμε", "😀"] {
            let payload = [before.as_bytes(), bad].concat();
            let name = format!("text {payload:02x?}");
            for cut in 0..=payload.len() {
                let (one, two) = payload.split_at(cut);
                corpus.add(
                    format!("{name}, fragments at {cut}"),
                    1007,
                    vec![
                        Frame::new(0x01, one),
                        Frame::new(0x89, b"ping"),
                        Frame::new(0x80, two),
                    ],
                );
            }
            corpus.add(name, 1007, vec![Frame::new(0x81, &payload)]);
        }
        let reason = [b"\x03\xe8reason ", bad].concat();
        corpus.add(
            format!("reason {bad:02x?}"),
            1007,
            vec![Frame::new(0x88, &reason)],
        );
    }
}

/// RFC 6455 sections 5.5.1 and 7.4; all codes are in `closing`.
fn closes(corpus: &mut Corpus) {
    for byte in [0, 3, 0x7f, 0xff] {
        corpus.add(
            format!("close of one byte {byte}"),
            1002,
            vec![Frame::new(0x88, &[byte])],
        );
    }
    let codes = [
        0, 1, 99, 100, 500, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 5001,
        32_768, 65_535,
    ];
    for code in codes {
        for reason in ["", "a reason"] {
            let body = [&u16::to_be_bytes(code), reason.as_bytes()].concat();
            corpus.add(
                format!("close code {code} {reason:?}"),
                1002,
                vec![Frame::new(0x88, &body)],
            );
            corpus.add(
                format!("close code {code} {reason:?} in a message"),
                1002,
                vec![Frame::new(0x01, b"rejected"), Frame::new(0x88, &body)],
            );
        }
    }
}

/// What is allowed one by one, and too much together.
fn limits(corpus: &mut Corpus) {
    for first in [0x01, 0x02] {
        for len in [0, 1, 100] {
            let mut frames = vec![Frame::new(first, &vec![b'x'; len])];
            let more = Frame::new(0x00, &vec![b'x'; len]);
            frames.resize(FRAGMENTS_MAX as usize + 1, more);
            corpus.add(format!("too many fragments of {len}"), 1008, frames);
        }
        for part in [MESSAGE_BYTES_MAX / 2 + 1, MESSAGE_BYTES_MAX] {
            corpus.add(
                format!("two fragments of {part}"),
                1009,
                vec![
                    Frame::new(first, &vec![b'x'; part]),
                    Frame::new(0x80, &vec![b'x'; part]),
                ],
            );
        }
    }
}

/// RFC 7692 section 7.2.2; bombs are in `inflating`.
fn compressed(corpus: &mut Corpus) {
    let corrupt: [(&str, &[u8]); 12] = [
        ("a reserved block type", b"\x06"),
        ("a reserved last block type", b"\x07"),
        (
            "a stored block whose length is not repeated",
            b"\x00\x05\x00\x05\x00hello",
        ),
        ("a stored block that stops", b"\x00\x05\x00\xfa\xffhel"),
        ("a stored block without length", b"\x00\x05"),
        ("a distance before the beginning", b"\x4b\x04\x12\x00"),
        ("a fixed block that stops", b"\xf2\x48\xcd"),
        ("too many length codes", b"\xfc\x00\x00"),
        ("an over-subscribed code", b"\x04\x00\xfe\xff"),
        (
            "a repeat without a first length",
            b"\x04\x00\x24\x49\x12\x24\x49\x12\x24",
        ),
        ("noise", b"\xff\xff\xff\xff\xff\xff"),
        ("plain text", b"this was never compressed"),
    ];
    for (name, payload) in corrupt {
        for first in [0xc1, 0xc2] {
            let whole = vec![Frame::new(first, payload)];
            corpus.add_compressed(format!("{first:#04x} {name}"), 1007, whole);
            let (one, two) = payload.split_at(1);
            corpus.add_compressed(
                format!("{first:#04x} {name}, in fragments"),
                1007,
                vec![
                    Frame::new(first & 0x7f, one),
                    Frame::new(0x89, b"ping"),
                    Frame::new(0x80, two),
                ],
            );
        }
    }
    for bad in NOT_UTF8 {
        corpus.add_compressed(
            format!("inflates to {bad:02x?}"),
            1007,
            vec![Frame::new(0xc1, &stored(bad))],
        );
    }
}

/// `payload` as a stored block, and the beginning of the empty one whose end is not sent.
pub(crate) fn stored(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    let mut out = vec![0];
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(!len).to_le_bytes());
    out.extend_from_slice(payload);
    out.push(0);
    out
}
