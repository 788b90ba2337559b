//! The bytes of the original, in any cuts, damaged, and of other versions.

use super::*;

const ID: Id = Id([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

/// The bytes that the original's own code writes, and what they mean.
const GOLDEN: &[(&str, MessageRef<'_>)] = &[
    (
        "2c000000 08000000 1c000000 01000000 0102030405060708090a0b0c0d0e0f10 1c000000 04000000 74657374",
        MessageRef::Request {
            id: ID,
            message: "test",
        },
    ),
    (
        "28000000 08000000 1c000000 01000000 0102030405060708090a0b0c0d0e0f10 1c000000 00000000",
        MessageRef::Request {
            id: ID,
            message: "",
        },
    ),
    (
        "28000000 08000000 20000000 02000000 0102030405060708090a0b0c0d0e0f10 04000000 efbeadde",
        MessageRef::Response {
            id: ID,
            length: 4,
            hash: 0xDEAD_BEEF,
        },
    ),
    (
        "30000000 08000000 1c000000 03000000 0102030405060708090a0b0c0d0e0f10 1c000000 08000000 52656a6563746564",
        MessageRef::Reject {
            id: ID,
            error: "Rejected",
        },
    ),
    (
        "1a000000 08000000 0c000000 04000000 0c000000 02000000 4869",
        MessageRef::Notify { notification: "Hi" },
    ),
    (
        "20000000 08000000 18000000 05000000 0102030405060708090a0b0c0d0e0f10",
        MessageRef::Disconnect { id: ID },
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let bytes = digits.chunks(2);
    bytes
        .map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("two digits"))
        .collect()
}

fn golden() -> impl Iterator<Item = (Vec<u8>, MessageRef<'static>)> {
    GOLDEN.iter().map(|(hex, message)| (bytes(hex), *message))
}

/// Everything that a stream holds when it arrives in pieces of this size.
fn receive(stream: &[u8], piece: usize) -> Result<Vec<Option<Message>>, DecodeError> {
    let mut decoder = Decoder::new(1024);
    let mut received = Vec::new();
    for mut input in stream.chunks(piece) {
        while !input.is_empty() {
            let (used, frame) = decoder.receive(input);
            if let Some(frame) = frame? {
                received.push(frame.message()?.map(|message| message.to_message()));
            }
            assert!(decoder.memory() <= 1024, "within the maximum");
            input = &input[used..];
        }
    }
    assert!(decoder.is_between_messages(), "the stream ends here");
    Ok(received)
}

#[test]
fn messages_have_the_bytes_of_the_original() {
    for (bytes, message) in golden() {
        let mut encoded = Vec::new();
        message.encode_into(&mut encoded).expect("short enough");
        assert_eq!(encoded, bytes, "{message}");
        assert_eq!(message.encoded_len(), bytes.len(), "{message}");
        let frame = Frame::parse(&bytes).expect("a message");
        assert_eq!(frame.message(), Ok(Some(message)));
        assert_eq!(frame.bytes(), bytes);
        assert_eq!(frame.type_number(), message.message_type().number());
    }
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let stream: Vec<u8> = golden().flat_map(|(bytes, _)| bytes).collect();
    let expected: Vec<_> = golden()
        .map(|(_, message)| Some(message.to_message()))
        .collect();
    for piece in 1..=stream.len() {
        assert_eq!(receive(&stream, piece).as_ref(), Ok(&expected), "{piece}");
    }
    for cut in 0..=stream.len() {
        let mut decoder = Decoder::default();
        let mut count = 0;
        for mut input in [&stream[..cut], &stream[cut..]] {
            while !input.is_empty() {
                let (used, frame) = decoder.receive(input);
                count += usize::from(frame.expect("valid").is_some());
                input = &input[used..];
            }
        }
        assert_eq!(count, expected.len(), "cut at {cut}");
    }
}

#[test]
fn a_prefix_of_a_message_is_no_message_and_no_error() {
    for (bytes, message) in golden() {
        for len in 0..bytes.len() {
            let mut decoder = Decoder::default();
            let (used, frame) = decoder.receive(&bytes[..len]);
            assert_eq!((used, frame), (len, Ok(None)), "{message} {len}");
            assert_eq!(decoder.buffered(), len);
            assert!(Frame::parse(&bytes[..len]).is_err(), "{message} {len}");
        }
    }
}

#[test]
fn any_flipped_bit_gives_a_message_or_a_named_error() {
    for (bytes, _) in golden() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let whole = Frame::parse(&flipped).and_then(|frame| frame.message());
            match whole {
                Ok(Some(message)) => assert!(message.encoded_len() < 1024, "{message}"),
                Ok(None) => {}
                Err(error) => assert!(error.to_string().starts_with("expected "), "{error}"),
            }
            let mut decoder = Decoder::new(1024);
            let (used, frame) = decoder.receive(&flipped);
            assert!(used <= flipped.len());
            if let Err(error) = frame {
                assert_eq!(decoder.receive(b"x"), (1, Err(error)), "an error stays");
            }
            assert!(
                decoder.memory() <= flipped.len(),
                "no more than has arrived"
            );
        }
    }
}

#[test]
fn the_announced_size_allocates_nothing() {
    let mut decoder = Decoder::default();
    let announced = u32::try_from(MESSAGE_BYTES_MAX_DEFAULT).expect("small");
    let length = announced.to_le_bytes();
    let (_, frame) = decoder.receive(&length);
    assert_eq!(frame, Ok(None));
    assert!(decoder.memory() <= 16, "{} bytes", decoder.memory());
    assert_eq!(
        Decoder::default().receive(&(announced + 1).to_le_bytes()).1,
        Err(DecodeError::TooLong {
            size: announced + 1,
            max: MESSAGE_BYTES_MAX_DEFAULT
        })
    );
}

#[test]
fn a_long_message_leaves_no_buffer_behind() {
    let text = "x".repeat(100_000);
    let mut stream = Vec::new();
    MessageRef::Notify {
        notification: &text,
    }
    .encode_into(&mut stream)
    .expect("short enough");
    let mut decoder = Decoder::default();
    let mut received = 0;
    for piece in stream.chunks(1000) {
        let (used, frame) = decoder.receive(piece);
        assert_eq!(used, piece.len());
        received += usize::from(frame.expect("valid").is_some());
        assert!(decoder.memory() <= stream.len());
    }
    assert_eq!(received, 1);
    assert_eq!(decoder.receive(&[]), (0, Ok(None)));
    assert!(decoder.memory() <= 512, "{} bytes", decoder.memory());
}

#[test]
fn each_broken_rule_has_its_name() {
    let request = bytes(GOLDEN[0].0);
    let with = |at: usize, value: u32| {
        let mut changed = request.clone();
        changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
        receive(&changed, changed.len())
    };
    assert_eq!(with(0, 15), Err(DecodeError::TooShort { size: 15 }));
    let (size, max) = (1025, 1024);
    assert_eq!(with(0, size), Err(DecodeError::TooLong { size, max }));
    for offset in [0, 7, 37, 44, u32::MAX] {
        let expected = Err(DecodeError::StructOutside { offset });
        assert_eq!(with(4, offset), expected, "{offset}");
    }
    for size in [0, 7, 37, u32::MAX] {
        let expected = Err(DecodeError::StructSize { size, max: 36 });
        assert_eq!(with(8, size), expected, "{size}");
    }
    let outside = Err(DecodeError::TextOutside(MessageType::Request));
    for offset in [29, 33, 36, u32::MAX] {
        assert_eq!(with(32, offset), outside, "{offset}");
    }
    for len in [5, u32::MAX] {
        assert_eq!(with(36, len), outside, "{len}");
    }
    let not_text = Err(DecodeError::NotUtf8(MessageType::Request));
    assert_eq!(with(40, u32::MAX), not_text);
    let too_long = Frame::parse(&[&request[..], b"x"].concat()).expect_err("a byte more");
    let (announced, len) = (44, 45);
    assert_eq!(too_long, DecodeError::WrongLength { announced, len });
}

#[test]
fn messages_of_unknown_types_are_skipped() {
    let mut stream = bytes(GOLDEN[0].0);
    stream[12] = 77;
    stream.extend(bytes(GOLDEN[4].0));
    let expected = vec![None, Some(GOLDEN[4].1.to_message())];
    for piece in [1, 7, stream.len()] {
        assert_eq!(receive(&stream, piece).as_ref(), Ok(&expected));
    }
}

#[test]
fn fields_of_other_versions_are_left_out_or_ignored() {
    // The response of the README: no length, the hash in its place.
    let old =
        bytes("24000000 08000000 1c000000 02000000 0102030405060708090a0b0c0d0e0f10 efbeadde");
    let response = MessageRef::Response {
        id: ID,
        length: 0xDEAD_BEEF,
        hash: 0,
    };
    assert_eq!(receive(&old, 36), Ok(vec![Some(response.to_message())]));
    // A struct without any field.
    let none = bytes("10000000 08000000 08000000 01000000");
    let request = MessageRef::Request {
        id: Id::NIL,
        message: "",
    };
    assert_eq!(receive(&none, 16), Ok(vec![Some(request.to_message())]));
    // A field more, behind which the text stands.
    let more = bytes("1e000000 08000000 10000000 04000000 10000000 ffffffff 02000000 4869");
    assert_eq!(receive(&more, 30), Ok(vec![Some(GOLDEN[4].1.to_message())]));
    // The offset 0 is an empty text.
    let empty = bytes("14000000 08000000 0c000000 04000000 00000000");
    let notify = MessageRef::Notify { notification: "" };
    assert_eq!(receive(&empty, 20), Ok(vec![Some(notify.to_message())]));
}

#[test]
fn a_buffer_without_room_is_left_as_it_is() {
    let message = GOLDEN[0].1;
    let mut buffer = [0xaa; 43];
    let error = message.encode_into(&mut buffer.as_mut_slice());
    let (bytes, room) = (44, 43);
    assert_eq!(error, Err(EncodeError::NoRoom { bytes, room }));
    assert_eq!(buffer, [0xaa; 43]);
    let mut buffer = [0xaa; 44];
    let written = message.encode_into(&mut buffer.as_mut_slice());
    assert_eq!(written, Ok(()));
    assert_eq!(buffer.as_slice(), golden().next().expect("one").0);
}

#[test]
fn the_hash_is_that_of_libstdcxx() {
    let known = [
        ("test", 0x0a7a_19fb),
        ("a", 0x88c1_ed6b),
        ("Hello from Rust", 0x6cd9_9716),
        ("0123456789abcdef", 0x0642_ed86),
    ];
    for (text, hash) in known {
        assert_eq!(hash_of_text(text), hash, "{text}");
    }
}

#[test]
fn ids_and_messages_are_printed_as_people_know_them() {
    assert_eq!(ID.to_string(), "01020304-0506-0708-090a-0b0c0d0e0f10");
    let random = Id::from_random([0xff; 16]).to_string();
    assert_eq!(random, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    let notify = MessageRef::Notify {
        notification: "a\n\"b\"",
    };
    let expected = r#"SimpleNotify(Notification="a\n\"b\"")"#;
    assert_eq!(notify.to_string(), expected);
    let long = "x".repeat(300);
    let long = MessageRef::Notify {
        notification: &long,
    };
    assert!(long.to_string().ends_with("x…\")"));
}
