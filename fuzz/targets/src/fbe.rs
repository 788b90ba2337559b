//! The simple protocol in Fast Binary Encoding: any bytes, in one piece and in cuts that the input chooses.

use tidewire_proto::fbe::{DecodeError, Decoder, Frame};

/// Small, so that a fuzzer finds it.
const MESSAGE_BYTES_MAX: usize = 256;

/// What a stream held, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    frames: Vec<Vec<u8>>,
    error: Option<DecodeError>,
}

/// The same frames and the same end in any cut, within the maximum; what is read can be written and read again.
pub(crate) fn stream(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let whole = receive(stream, stream.len());
    assert_eq!(receive(stream, usize::from(cut % 64)), whole, "in cuts");
    assert_eq!(receive(stream, 1), whole, "byte by byte");
    for bytes in &whole.frames {
        let frame = Frame::parse(bytes).expect("was parsed before");
        let Ok(Some(message)) = frame.message() else {
            continue;
        };
        let mut encoded = Vec::new();
        message.encode_into(&mut encoded).expect("it is short");
        assert_eq!(encoded.len(), message.encoded_len(), "{message}");
        let frame = Frame::parse(&encoded).expect("our own bytes");
        assert_eq!(frame.message(), Ok(Some(message)), "the same message");
        assert_eq!(frame.type_number(), message.message_type().number());
        assert_eq!(message.to_message().as_ref(), message);
    }
}

fn receive(stream: &[u8], piece: usize) -> Seen {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let mut seen = Seen {
        frames: Vec::new(),
        error: None,
    };
    for mut input in stream.chunks(piece.max(1)) {
        while !input.is_empty() {
            let (used, frame) = decoder.receive(input);
            assert!((1..=input.len()).contains(&used), "{used} bytes");
            input = input.get(used..).unwrap_or(&[]);
            match frame {
                Ok(Some(frame)) => seen.frames.push(frame.bytes().to_vec()),
                Ok(None) => {}
                Err(error) => {
                    assert!(error.to_string().starts_with("expected "), "{error}");
                    seen.error = Some(error);
                    return seen;
                }
            }
            assert!(decoder.memory() <= MESSAGE_BYTES_MAX.max(512));
        }
    }
    seen
}
