//! Frames as bytes (RFC 6455 section 5.2), built and read without the crate under test.
//!
//! Building takes any field, also wrong ones; reading accepts only what an endpoint may send.

use tidewire_proto::Role;

/// How the payload length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LengthForm {
    /// In the fewest bytes, as section 5.2 demands.
    Shortest,
    /// In 2 more bytes, though fewer might do.
    Two,
    /// In 8 more bytes, though fewer might do.
    Eight,
}

/// Appends one frame. `announced` is the length in the header.
pub(crate) fn put_frame(
    out: &mut Vec<u8>,
    first: u8,
    form: LengthForm,
    announced: u64,
    key: Option<[u8; 4]>,
    payload: &[u8],
) {
    out.push(first);
    let mask = if key.is_some() { 0x80 } else { 0 };
    let form = match form {
        LengthForm::Shortest | LengthForm::Two if announced > 0xffff => LengthForm::Eight,
        LengthForm::Shortest if announced > 125 => LengthForm::Two,
        LengthForm::Shortest | LengthForm::Two | LengthForm::Eight => form,
    };
    let bytes = announced.to_be_bytes();
    match form {
        LengthForm::Shortest => out.push(mask | bytes[7]),
        LengthForm::Two => {
            out.push(mask | 0x7e);
            out.extend_from_slice(&bytes[6..]);
        }
        LengthForm::Eight => {
            out.push(mask | 0x7f);
            out.extend_from_slice(&bytes);
        }
    }
    out.extend_from_slice(&key.unwrap_or_default()[..if key.is_some() { 4 } else { 0 }]);
    out.extend(masked(payload, key));
}

/// The payload combined with the key by exclusive or, by the definition in section 5.3.
pub(crate) fn masked(payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let key = key.unwrap_or_default();
    payload
        .iter()
        .enumerate()
        .map(|(index, byte)| byte ^ key[index % 4])
        .collect()
}

/// A frame that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// Reads everything a connection has sent.
///
/// # Panics
/// If it is not a sequence of whole frames that `sender` may send.
pub(crate) fn read_sent(mut bytes: &[u8], sender: Role) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert!(
            matches!(first, 0x00..=0x02 | 0x80..=0x82 | 0x88..=0x8a),
            "sent frames have no reserved bits, a known opcode, and FIN if they are control \
             frames: {first:#x}"
        );
        assert_eq!(
            second & 0x80 != 0,
            sender == Role::Client,
            "a client masks, a server does not"
        );
        let (len, rest) = match second & 0x7f {
            126 => {
                let (len, rest) = rest.split_first_chunk().expect("two bytes of length");
                let len = u64::from(u16::from_be_bytes(*len));
                assert!(len > 125, "the shortest form of the length is sent");
                (len, rest)
            }
            127 => {
                let (len, rest) = rest.split_first_chunk().expect("eight bytes of length");
                let len = u64::from_be_bytes(*len);
                assert!(len > 0xffff, "the shortest form of the length is sent");
                (len, rest)
            }
            short => (u64::from(short), rest),
        };
        assert!(
            first & 8 == 0 || len <= 125,
            "control frames have at most 125 bytes"
        );
        let (key, rest) = match sender {
            Role::Client => {
                let (key, rest) = rest.split_first_chunk::<4>().expect("a masking key");
                (Some(*key), rest)
            }
            Role::Server => (None, rest),
        };
        let len = usize::try_from(len).expect("a length that fits memory");
        let (payload, rest) = rest.split_at_checked(len).expect("the whole payload");
        frames.push(Frame {
            fin: first & 0x80 != 0,
            opcode: first & 0x0f,
            payload: masked(payload, key),
        });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "no half frame is sent");
    frames
}
