//! A2: malformed input gets the documented close code, never a panic, and none of it is handed
//! out. Systematic inputs, in three cuts, in both roles.

use tidewire_proto::{Config, Role};

use crate::wire::{close_code, connection, frame, header, receive, sent};

struct Case {
    what: String,
    bytes: Vec<u8>,
    code: u16,
}

const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// Every case for one receiver; 1009 cases need the limits of [`limits`].
fn cases(receiver: Role) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |what: String, bytes: Vec<u8>, code| cases.push(Case { what, bytes, code });
    reserved_bits_and_opcodes(receiver, &mut add);
    control_frames(receiver, &mut add);
    lengths_and_masks(receiver, &mut add);
    order(receiver, &mut add);
    text(receiver, &mut add);
    close_codes(receiver, &mut add);
    cases
}

fn reserved_bits_and_opcodes(receiver: Role, add: &mut impl FnMut(String, Vec<u8>, u16)) {
    for rsv in [0x10_u8, 0x20, 0x40, 0x30, 0x50, 0x60, 0x70] {
        for first in [0x81_u8, 0x82, 0x01, 0x02, 0x88, 0x89, 0x8a] {
            for payload in [&b""[..], b"x", &[b'y'; 200]] {
                if first & 0x08 != 0 && payload.len() > 125 {
                    continue;
                }
                let bytes = frame(receiver, first | rsv, payload);
                add(format!("rsv {rsv:02x} on {first:02x}"), bytes, 1002);
            }
        }
    }
    for opcode in [3_u8, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for fin in [0, 0x80] {
            for payload in [&b""[..], b"x", &[0; 126]] {
                let bytes = frame(receiver, fin | opcode, payload);
                add(format!("opcode {opcode}"), bytes, 1002);
            }
        }
    }
}

fn control_frames(receiver: Role, add: &mut impl FnMut(String, Vec<u8>, u16)) {
    for opcode in [8_u8, 9, 10] {
        for len in [0_u64, 1, 125] {
            let payload = vec![0; usize::try_from(len).unwrap()];
            let bytes = frame(receiver, opcode, &payload);
            add(
                format!("fragmented control frame {opcode} of {len}"),
                bytes,
                1002,
            );
        }
        for len in [126_u64, 127, 1000, 65_535, 65_536, 1 << 40] {
            let bytes = header(receiver, 0x80 | opcode, len);
            add(format!("control frame {opcode} of {len}"), bytes, 1002);
        }
    }
}

fn lengths_and_masks(receiver: Role, add: &mut impl FnMut(String, Vec<u8>, u16)) {
    let mask = if receiver == Role::Server { 0x80 } else { 0 };
    for first in [0x81_u8, 0x82, 0x01, 0x02] {
        for len in [0_u16, 1, 64, 125] {
            let mut bytes = vec![first, mask | 0x7e];
            bytes.extend_from_slice(&len.to_be_bytes());
            add(format!("{len} in 16 bits"), bytes, 1002);
        }
        for len in [0_u64, 1, 125, 126, 1000, 65_535] {
            let mut bytes = vec![first, mask | 0x7f];
            bytes.extend_from_slice(&len.to_be_bytes());
            add(format!("{len} in 64 bits"), bytes, 1002);
        }
        for len in [1_u64 << 63, u64::MAX, (1 << 63) | 5] {
            let mut bytes = vec![first, mask | 0x7f];
            bytes.extend_from_slice(&len.to_be_bytes());
            add(format!("length {len}"), bytes, 1002);
        }
        for len in [1_u64 << 20, 1 << 32, (1 << 32) + 5, (1 << 63) - 1] {
            add(
                format!("announced {len}"),
                header(receiver, first, len),
                1009,
            );
        }
    }
    let other = match receiver {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    };
    for first in [0x81_u8, 0x82, 0x01, 0x88, 0x89, 0x8a] {
        for len in [0, 1, 5, 125] {
            let bytes = frame(other, first, &vec![b'a'; len]);
            add(
                format!("mask of the wrong side on {first:02x}"),
                bytes,
                1002,
            );
        }
    }
}

fn order(receiver: Role, add: &mut impl FnMut(String, Vec<u8>, u16)) {
    for first in [0x00_u8, 0x80] {
        for payload in [&b""[..], b"x"] {
            let bytes = frame(receiver, first, payload);
            add("continuation of nothing".into(), bytes.clone(), 1002);
            let ping = frame(receiver, 0x89, b"?");
            add(
                "continuation behind a ping".into(),
                [ping, bytes].concat(),
                1002,
            );
        }
    }
    for open in [0x01_u8, 0x02] {
        for next in [0x81_u8, 0x82, 0x01, 0x02] {
            for between in [
                &[][..],
                &frame(receiver, 0x89, b"?"),
                &frame(receiver, 0x00, b""),
            ] {
                let bytes = [
                    frame(receiver, open, b"a"),
                    between.to_vec(),
                    frame(receiver, next, b"b"),
                ];
                add(
                    format!("{next:02x} inside of {open:02x}"),
                    bytes.concat(),
                    1002,
                );
            }
        }
    }
}

/// What is no UTF-8, and how many bytes make that certain.
const BAD_TEXT: [&[u8]; 16] = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xc3\x28",
    b"\xe2\x28\xa1",
];

fn text(receiver: Role, add: &mut impl FnMut(String, Vec<u8>, u16)) {
    for bad in BAD_TEXT {
        for before in [
            "",
            "a",
            "grüß",
            "plain text of some length, beyond a few words of it, 64+",
        ] {
            let whole = [before.as_bytes(), bad, b" and more"].concat();
            let bytes = frame(receiver, 0x81, &whole);
            add(format!("text {bad:02x?} behind {before:?}"), bytes, 1007);
            // The same in two fragments, cut within what is bad.
            let cut = before.len() + bad.len() / 2;
            let parts = [
                frame(receiver, 0x01, &whole[..cut]),
                frame(receiver, 0x80, &whole[cut..]),
            ];
            add(
                format!("text {bad:02x?} in fragments"),
                parts.concat(),
                1007,
            );
        }
    }
    for cut in ["é", "€", "😀"] {
        for len in 1..cut.len() {
            let bytes = frame(receiver, 0x81, &cut.as_bytes()[..len]);
            add(format!("text ends within {cut}"), bytes, 1007);
        }
    }
    for bad in BAD_TEXT {
        let body = [&1000_u16.to_be_bytes(), bad].concat();
        let bytes = frame(receiver, 0x88, &body);
        add(format!("close reason {bad:02x?}"), bytes, 1007);
    }
}

fn close_codes(receiver: Role, add: &mut impl FnMut(String, Vec<u8>, u16)) {
    let bytes = frame(receiver, 0x88, b"\x03");
    add("half a close code".into(), bytes, 1002);
    let below = (0..1000).step_by(17);
    let within = [1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2500, 2999];
    let above = [5000, 5001, 9999, 32_768, 65_535];
    for code in below.chain(within).chain(above) {
        for reason in ["", "because"] {
            let code = u16::try_from(code).unwrap();
            let body = [&code.to_be_bytes(), reason.as_bytes()].concat();
            let bytes = frame(receiver, 0x88, &body);
            add(format!("close code {code}"), bytes, 1002);
        }
    }
}

fn limits() -> Config {
    let mut config = Config::default();
    config.frame_bytes_max = 100_000;
    config.message_bytes_max = 100_000;
    config
}

#[test]
fn a2_malformed_input_gets_its_close_code_in_any_cut_and_both_roles() {
    for role in ROLES {
        let cases = cases(role);
        assert!(cases.len() >= 600, "{} cases", cases.len());
        for Case { what, bytes, code } in cases {
            for step in [usize::MAX, 1, 7] {
                let mut connection = connection(role, limits());
                let (messages, verdict) = receive(&mut connection, &bytes, step.min(bytes.len()));
                let about = format!("{role:?}, {what}, in pieces of {step}: {bytes:02x?}");
                assert!(messages.is_empty(), "handed out: {about}");
                let error = verdict.expect_err(&about);
                assert_eq!(error.close_code().0, code, "{about}");
                let answer = sent(&mut connection);
                assert_eq!(close_code(role, &answer), Some(code), "{about}");
                assert!(connection.is_finished(), "{about}");
            }
        }
    }
}

#[test]
fn item_13_every_close_code_is_taken_or_refused_as_the_registry_says() {
    for code in 0..=u16::MAX {
        let good = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let mut server = connection(Role::Server, Config::default());
        let bytes = frame(Role::Server, 0x88, &code.to_be_bytes());
        let (_, verdict) = receive(&mut server, &bytes, bytes.len());
        assert_eq!(verdict.is_ok(), good, "{code}");
        let answer = close_code(Role::Server, &sent(&mut server));
        assert_eq!(answer, Some(if good { code } else { 1002 }));
    }
}

#[test]
fn item_13_a_reason_of_123_bytes_is_taken_and_one_of_124_is_no_control_frame() {
    for (len, good) in [(123, true), (124, false)] {
        let body = [&1000_u16.to_be_bytes()[..], &vec![b'r'; len]].concat();
        let bytes = if good {
            frame(Role::Server, 0x88, &body)
        } else {
            header(Role::Server, 0x88, body.len() as u64)
        };
        let mut server = connection(Role::Server, Config::default());
        assert_eq!(receive(&mut server, &bytes, bytes.len()).1.is_ok(), good);
    }
}
