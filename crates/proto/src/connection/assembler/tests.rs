//! Compressed messages through a whole connection, in any cut.
#![cfg(feature = "deflate")]

use std::{fmt::Write as _, io::IoSlice, sync::Arc, time::Instant};

use proptest::prelude::*;

use crate::{
    CloseCode, Config, Connection, DeflateConfig, Event, Kind, MaskKeys, Message, Prepared,
    ProtocolError, SendError,
    handshake::{
        AcceptOptions, ClientRequest, HeadLimits, RequestHead, RequestOptions, ResponseHead, Url,
        accept,
    },
};

struct Keys(u8);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(1);
        [self.0, 0x5a, 0xa5, 0x3c]
    }
}

fn config(change: impl FnOnce(&mut DeflateConfig)) -> Config {
    let mut deflate = DeflateConfig {
        threshold: 1,
        ..DeflateConfig::default()
    };
    change(&mut deflate);
    Config {
        deflate: Some(deflate),
        ..Config::default()
    }
}

fn takeover(deflate: &mut DeflateConfig) {
    deflate.context_takeover = true;
    deflate.peer_context_takeover = true;
}

/// Two ends that agreed in the handshake.
fn open(client: Config, server: Config) -> (Connection, Connection) {
    let url = Url::parse("ws://example.com/").unwrap();
    let options = RequestOptions {
        deflate: client.deflate.as_ref(),
        ..RequestOptions::default()
    };
    let request = ClientRequest::new(&url, [7; 16], options).unwrap();
    let limits = HeadLimits::default();
    let head = RequestHead::parse(request.request.clone().into(), limits).unwrap();
    let options = AcceptOptions {
        deflate: server.deflate.as_ref(),
        ..AcceptOptions::default()
    };
    let accepted = accept(&head, options).unwrap();
    let answer = ResponseHead::parse(accepted.response.into(), limits).unwrap();
    let agreed = request.verify(&answer).unwrap();
    let now = Instant::now();
    (
        Connection::client(Arc::new(client), Box::new(Keys(0)), now).with_deflate(agreed.deflate),
        Connection::server(Arc::new(server), now).with_deflate(accepted.deflate),
    )
}

/// Both ends with the same settings.
fn pair(change: impl Fn(&mut DeflateConfig)) -> (Connection, Connection) {
    open(config(&change), config(&change))
}

fn sent(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while connection.queued() > 0 {
        let mut parts = [IoSlice::new(&[]); 4];
        let count = connection.poll_transmit(&mut parts);
        let before = out.len();
        for part in &parts[..count] {
            out.extend_from_slice(part);
        }
        let written = out.len() - before;
        connection.transmitted(written);
    }
    out
}

/// What `bytes` mean to `to`, given in pieces of `step`: payloads, and pings in brackets.
fn receive(to: &mut Connection, bytes: &[u8], step: usize) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let mut out = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        let mut piece = piece.to_vec();
        let mut rest = piece.as_mut_slice();
        while !rest.is_empty() {
            let (used, event) = to.receive(rest);
            match event? {
                Some(Event::Message(message)) => out.push(message.payload().to_vec()),
                Some(Event::Ping(body)) => out.push([b"[", body, b"]"].concat()),
                Some(Event::Close(_) | Event::Pong(_) | Event::Chunk(_)) | None => {}
            }
            rest = &mut rest[used..];
        }
    }
    Ok(out)
}

/// An unmasked frame, as a server sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Prepared::binary(payload).frame().to_vec();
    out[0] = first;
    out
}

fn text(len: usize) -> String {
    let mut out = String::new();
    for i in 0.. {
        if out.len() >= len {
            break;
        }
        let id = i * 7919;
        write!(out, "{{\"id\":{id},\"greeting\":\"κόσμε {i}\"}},").unwrap();
    }
    out
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

#[test]
fn messages_go_compressed_both_ways_in_any_cut() {
    for change in [takeover, |_: &mut DeflateConfig| ()] {
        for step in [1, 3, 100, usize::MAX] {
            let (mut client, mut server) = pair(change);
            for _ in 0..3 {
                let payload = text(3000);
                client.send(&Message::text(payload.as_str())).unwrap();
                let bytes = sent(&mut client);
                assert!(bytes.len() < payload.len() / 2, "{}", bytes.len());
                assert_eq!(bytes[0], 0xc1);
                assert_eq!(
                    receive(&mut server, &bytes, step).unwrap(),
                    [payload.as_bytes()]
                );
                server.send_ref(Kind::Binary, payload.as_bytes()).unwrap();
                let bytes = sent(&mut server);
                assert_eq!(bytes[0], 0xc2);
                assert_eq!(
                    receive(&mut client, &bytes, step).unwrap(),
                    [payload.as_bytes()]
                );
            }
        }
    }
}

#[test]
fn rsv1_is_refused_where_it_was_not_agreed_on_or_has_no_meaning() {
    let (mut plain, _) = open(Config::default(), config(|_| ()));
    let reserved = Err(ProtocolError::ReservedBit);
    assert_eq!(receive(&mut plain, &frame(0xc1, HELLO), 1), reserved);
    for (script, ok) in [
        (&[(0xc1, HELLO)][..], true),
        (&[(0x41, HELLO), (0x80, b"")], true),
        (&[(0x41, &HELLO[..3]), (0xc0, &HELLO[3..])], false),
        (&[(0x01, b"a"), (0xc0, b"b")], false),
        (&[(0xc9, b"")], false),
        (&[(0xca, b"")], false),
        (&[(0xc8, b"")], false),
        (&[(0xa1, b"")], false),
        (&[(0xd1, b"")], false),
        (&[(0xe1, HELLO)], false),
    ] {
        for step in [1, 100] {
            let (mut client, _) = pair(|_| ());
            let bytes: Vec<u8> = script
                .iter()
                .flat_map(|(first, payload)| frame(*first, payload))
                .collect();
            let got = receive(&mut client, &bytes, step);
            if ok {
                assert_eq!(got.unwrap(), [b"Hello"], "{script:02x?}");
            } else {
                assert_eq!(got, reserved, "{script:02x?}");
                assert_eq!(sent(&mut client)[0], 0x88, "a close frame tells the peer");
            }
        }
    }
}

#[test]
fn fragments_inflate_with_control_frames_and_plain_messages_between_them() {
    let script = [
        frame(0x41, &HELLO[..2]),
        frame(0x89, b"ping"),
        frame(0x00, &HELLO[2..3]),
        frame(0x00, b""),
        frame(0x89, b""),
        frame(0x80, &HELLO[3..]),
        frame(0x81, b"plain"),
        frame(0xc1, HELLO),
        frame(0xc1, b""),
        frame(0xc2, b"\x00"),
    ]
    .concat();
    for step in [1, 2, 5, usize::MAX] {
        let (mut client, _) = pair(takeover);
        assert_eq!(
            receive(&mut client, &script, step).unwrap(),
            [
                &b"[ping]"[..],
                b"[]",
                b"Hello",
                b"plain",
                b"Hello",
                b"",
                b""
            ],
            "{step}"
        );
    }
}

#[test]
fn what_was_not_negotiated_is_never_sent() {
    for (client, server) in [
        (Config::default(), config(|_| ())),
        (config(|_| ()), Config::default()),
    ] {
        let (mut client, mut server) = open(client, server);
        let payload = text(5000);
        for end in [&mut client, &mut server] {
            end.send(&Message::text(payload.as_str())).unwrap();
            assert_eq!(sent(end)[0], 0x81);
            let prepared = Prepared::text(&payload).compress(&DeflateConfig::default());
            end.send_prepared(&prepared).unwrap();
            assert_eq!(sent(end)[0], 0x81);
        }
    }
}

#[test]
fn limits_count_what_a_message_inflates_to() {
    let limit = 20_000;
    let limited = || Config {
        message_bytes_max: limit,
        ..config(|_| ())
    };
    for step in [1, 1000, usize::MAX] {
        for fragment in [usize::MAX, 7] {
            for over in [0, 1, 2] {
                for payload in [vec![0; limit + over], noise(limit + over)] {
                    let (_, mut server) = pair(|_| ());
                    let (mut client, _) = open(limited(), config(|_| ()));
                    let parts = payload.chunks(fragment.min(payload.len()).max(payload.len() / 9));
                    let count = parts.len();
                    for (i, part) in parts.enumerate() {
                        server
                            .send_fragment(Kind::Binary, part, i + 1 == count)
                            .unwrap();
                    }
                    let bytes = sent(&mut server);
                    assert_eq!(
                        bytes[0] & 0x40,
                        0x40,
                        "also noise is compressed in fragments"
                    );
                    let got = receive(&mut client, &bytes, step);
                    if over == 0 {
                        assert_eq!(got.unwrap(), [payload]);
                    } else {
                        let error = ProtocolError::MessageTooBig { max: limit };
                        assert_eq!(got.unwrap_err(), error);
                        assert_eq!(error.close_code(), CloseCode::TOO_BIG);
                    }
                }
            }
        }
    }
}

#[test]
fn corrupt_or_truncated_data_and_bombs_end_the_connection_with_their_code() {
    let (_, mut server) = pair(|_| ());
    server.send_ref(Kind::Binary, &vec![0; 4 << 20]).unwrap();
    let bomb = sent(&mut server);
    for (bytes, code) in [
        (frame(0xc1, b"\x06"), CloseCode::INVALID_PAYLOAD),
        (frame(0xc1, &HELLO[..4]), CloseCode::INVALID_PAYLOAD),
        (
            frame(0xc1, b"\x00\x01\x00\xfe\xff\xff\x00"),
            CloseCode::INVALID_PAYLOAD,
        ),
        (bomb, CloseCode::TOO_BIG),
    ] {
        for step in [1, usize::MAX] {
            let (mut client, _) = pair(takeover);
            let error = receive(&mut client, &bytes, step).unwrap_err();
            assert_eq!(error.close_code(), code, "{error}");
            assert_eq!(receive(&mut client, &bytes, step).unwrap_err(), error);
        }
    }
}

#[test]
fn text_is_checked_while_it_inflates() {
    let (_, mut server) = pair(|_| ());
    let word = "κόσμε".repeat(400);
    let (bad, cut) = (&word.as_bytes()[..801], &word.as_bytes()[800..]);
    for (parts, good) in [
        (
            &[&word.as_bytes()[..801], &word.as_bytes()[801..]][..],
            true,
        ),
        (&[bad], false),
        (&[cut, b"x\xff"], false),
    ] {
        for (i, part) in parts.iter().enumerate() {
            server
                .send_fragment(Kind::Text, part, i + 1 == parts.len())
                .unwrap();
        }
        let bytes = sent(&mut server);
        for step in [1, 64, usize::MAX] {
            let (mut client, _) = pair(|_| ());
            let got = receive(&mut client, &bytes, step);
            assert_eq!(got.is_ok(), good, "{parts:?}");
            assert!(good || got == Err(ProtocolError::InvalidUtf8));
        }
    }
}

#[test]
fn short_incompressible_and_secret_messages_are_sent_as_they_are() {
    let (mut client, mut server) = pair(|deflate| {
        takeover(deflate);
        deflate.threshold = 100;
    });
    let payload = text(2000);
    let secret = Message::text(payload.as_str());
    let mut expect = |bytes: Vec<u8>, first: u8, payload: &[u8]| {
        assert_eq!(bytes[0], first);
        assert_eq!(receive(&mut client, &bytes, 50).unwrap(), [payload]);
    };
    for _ in 0..3 {
        server.send_ref(Kind::Text, payload.as_bytes()).unwrap();
        expect(sent(&mut server), 0xc1, payload.as_bytes());
        server.send_ref(Kind::Binary, &noise(5000)).unwrap();
        expect(sent(&mut server), 0x82, &noise(5000));
        server.send_ref(Kind::Text, &[b'a'; 99]).unwrap();
        expect(sent(&mut server), 0x81, &[b'a'; 99]);
        server.send_ref(Kind::Text, &[b'a'; 100]).unwrap();
        expect(sent(&mut server), 0xc1, &[b'a'; 100]);
        server.send_uncompressed(&secret).unwrap();
        expect(sent(&mut server), 0x81, payload.as_bytes());
    }
    assert_eq!(server.stats().messages_sent, 15);
}

#[test]
fn a_prepared_message_is_compressed_once_for_every_peer_that_can_take_it() {
    let payload = text(40_000);
    let prepared = Prepared::text(&payload).compress(&DeflateConfig::default());
    let beginning = &payload.as_bytes()[..901];
    let short = Prepared::binary(beginning).compress(&DeflateConfig::default());
    for (window_bits, takes_long) in [(15, true), (10, false)] {
        let (mut client, mut server) = pair(|deflate| {
            takeover(deflate);
            deflate.window_bits = window_bits;
            deflate.peer_window_bits = window_bits;
        });
        for _ in 0..2 {
            // Its own compressor works before and after.
            server.send_ref(Kind::Text, payload.as_bytes()).unwrap();
            let own = sent(&mut server);
            assert_eq!(
                receive(&mut client, &own, 999).unwrap(),
                [payload.as_bytes()]
            );
            server.send_prepared(&prepared).unwrap();
            let bytes = sent(&mut server);
            assert_eq!(bytes[0], if takes_long { 0xc1 } else { 0x81 });
            assert_eq!(
                receive(&mut client, &bytes, 999).unwrap(),
                [payload.as_bytes()]
            );
            server.send_prepared(&short).unwrap();
            let bytes = sent(&mut server);
            assert_eq!(bytes[0], 0xc2, "a short message fits every window");
            assert_eq!(receive(&mut client, &bytes, 999).unwrap(), [beginning]);
        }
        client.send_prepared(&prepared).unwrap();
        let bytes = sent(&mut client);
        assert_eq!(bytes[0], 0xc1);
        assert_eq!(
            receive(&mut server, &bytes, 999).unwrap(),
            [payload.as_bytes()]
        );
    }
}

#[test]
fn a_long_message_is_compressed_into_frames_of_the_largest_size_allowed() {
    let small = Config {
        send_frame_bytes_max: 100,
        ..config(|_| ())
    };
    let (mut client, mut server) = open(small.clone(), small);
    let payload = text(9000);
    let prepared = Prepared::text(&payload).compress(&DeflateConfig::default());
    client.send(&Message::text(payload.as_str())).unwrap();
    assert_eq!(
        receive(&mut server, &sent(&mut client), 64).unwrap(),
        [payload.as_bytes()]
    );
    server.send_prepared(&prepared).unwrap();
    let bytes = sent(&mut server);
    assert_eq!(bytes[..2], [0x41, 100]);
    assert_eq!(
        receive(&mut client, &bytes, 64).unwrap(),
        [payload.as_bytes()]
    );
}

#[test]
fn a_message_under_way_in_fragments_refuses_others_and_lets_pings_pass() {
    let (mut client, mut server) = pair(takeover);
    let payload = text(3000);
    server
        .send_fragment(Kind::Text, payload.as_bytes(), false)
        .unwrap();
    let prepared = Prepared::text(&payload).compress(&DeflateConfig::default());
    assert_eq!(server.send_prepared(&prepared), Err(SendError::InFragments));
    assert_eq!(
        server.send(&Message::text(payload.as_str())),
        Err(SendError::InFragments)
    );
    server.ping(b"p").unwrap();
    server
        .send_fragment(Kind::Text, payload.as_bytes(), true)
        .unwrap();
    assert_eq!(
        receive(&mut client, &sent(&mut server), 17).unwrap(),
        [b"[p]".to_vec(), payload.repeat(2).into_bytes()]
    );
}

#[test]
fn chunks_of_a_compressed_message_come_as_it_inflates_without_its_limit() {
    let (_, mut server) = pair(|deflate| deflate.ratio_max = u32::MAX);
    let zeros = vec![0; 8 << 20];
    server.send_ref(Kind::Binary, &zeros).unwrap();
    server.send_ref(Kind::Text, text(5000).as_bytes()).unwrap();
    let bytes = sent(&mut server);
    for step in [10, usize::MAX] {
        let small = Config {
            message_bytes_max: 100,
            frame_bytes_max: 100,
            ..config(|deflate| deflate.ratio_max = u32::MAX)
        };
        let (client, _) = open(small, config(|_| ()));
        let (mut decoder, _) = client.split();
        let (mut messages, mut now) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(step.min(bytes.len())) {
            let mut piece = piece.to_vec();
            let mut rest = piece.as_mut_slice();
            while !rest.is_empty() {
                let (used, event) = decoder.receive_chunk(rest);
                if let Some(Event::Chunk(chunk)) = event.unwrap() {
                    assert!(chunk.data.len() <= 2 << 20, "{}", chunk.data.len());
                    now.extend_from_slice(chunk.data);
                    if chunk.last {
                        messages.push(std::mem::take(&mut now));
                    }
                }
                rest = &mut rest[used..];
            }
        }
        assert_eq!(messages.len(), 2);
        assert!(messages[0] == zeros && messages[1] == text(5000).as_bytes());
    }
}

#[test]
fn a_connection_without_compression_pays_a_pointer_for_each_half() {
    use crate::{deflate::Deflater, deflate::Inflater};
    assert_eq!(size_of::<Option<Box<Inflater>>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Box<Deflater>>>(), size_of::<usize>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_conversation_arrives(
        messages in prop::collection::vec((0..6_u8, 0..6000_usize, any::<bool>()), 1..12),
        (own, peer) in (9..=15_u8, 9..=15_u8),
        (own_takeover, peer_takeover) in (any::<bool>(), any::<bool>()),
        step in 1..3000_usize,
    ) {
        let wish = |deflate: &mut DeflateConfig| {
            deflate.window_bits = own;
            deflate.peer_window_bits = peer;
            deflate.context_takeover = own_takeover;
            deflate.peer_context_takeover = peer_takeover;
        };
        let (mut client, mut server) = open(config(wish), config(takeover));
        for (what, len, from_client) in messages {
            let (from, to) = if from_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let payload = if what % 2 == 0 { text(len).into_bytes() } else { noise(len) };
            match what / 2 {
                0 => from.send_ref(Kind::Binary, &payload).unwrap(),
                1 => {
                    let prepared = Prepared::binary(&payload).compress(&DeflateConfig::default());
                    from.send_prepared(&prepared).unwrap();
                }
                _ => {
                    let (a, b) = payload.split_at(payload.len() / 3);
                    from.send_fragment(Kind::Binary, a, false).unwrap();
                    from.send_fragment(Kind::Binary, b, true).unwrap();
                }
            }
            let bytes = sent(from);
            prop_assert_eq!(receive(to, &bytes, step), Ok(vec![payload]));
        }
    }
}
