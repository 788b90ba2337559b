//! Behaviour of a connection: scripts of bytes in, events and bytes out, in any cut.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Keys that are easy to read in a failure: 1, 2, 3, …
#[derive(Default)]
struct Counting(u8);

impl MaskKeys for Counting {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(1);
        [self.0, 0x5a, 0xa5, 0x3c]
    }
}

/// A masked client frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = Vec::new();
    let plain = Prepared::binary(payload);
    let header = &plain.frame()[..plain.frame().len() - payload.len()];
    out.push(first);
    out.push(header[1] | 0x80);
    out.extend_from_slice(&header[2..]);
    out.extend_from_slice(&key);
    out.extend(
        payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[i % 4]),
    );
    out
}

fn frames(list: &[(u8, &[u8])]) -> Vec<u8> {
    list.iter()
        .flat_map(|(first, payload)| frame(*first, payload))
        .collect()
}

fn server_with(change: impl FnOnce(&mut Config)) -> Connection {
    let mut config = Config::default();
    change(&mut config);
    Connection::server(Arc::new(config), Instant::now())
}

fn server() -> Connection {
    server_with(|_| {})
}

/// Feeds `bytes` in pieces of `step`; gives what happened, in short words.
fn feed(connection: &mut Connection, bytes: &[u8], step: usize) -> Vec<String> {
    feed_by(connection, bytes, step, false)
}

/// As [`feed`]; `fast` tries [`Decoder::receive_whole`] first, as a driver does.
fn feed_by(connection: &mut Connection, bytes: &[u8], step: usize, fast: bool) -> Vec<String> {
    let mut log = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        let mut piece = piece.to_vec();
        let mut rest = piece.as_mut_slice();
        while !rest.is_empty() {
            if fast && let Some((used, message)) = connection.halves().0.receive_whole(rest) {
                let text = String::from_utf8_lossy(message.payload());
                log.push(format!("{:?} {text}", message.kind()));
                rest = &mut rest[used..];
                continue;
            }
            let (used, event) = connection.receive(rest);
            assert!(used > 0, "every call takes something");
            match event {
                Ok(None) => {}
                Ok(Some(Event::Message(message))) => {
                    let kind = message.kind();
                    log.push(format!(
                        "{kind:?} {}",
                        String::from_utf8_lossy(message.payload())
                    ));
                }
                Ok(Some(Event::Ping(body))) => {
                    log.push(format!("Ping {}", String::from_utf8_lossy(body)));
                }
                Ok(Some(Event::Pong(body))) => {
                    log.push(format!("Pong {}", String::from_utf8_lossy(body)));
                }
                Ok(Some(Event::Chunk(chunk))) => {
                    let data = String::from_utf8_lossy(chunk.data);
                    log.push(format!("Chunk {data} {}", chunk.last));
                }
                Ok(Some(Event::Close(None))) => log.push("Close".into()),
                Ok(Some(Event::Close(Some(close)))) => {
                    log.push(format!("Close {} {}", close.code, close.reason));
                }
                Err(error) => {
                    log.push(format!("Error {error}"));
                    return log;
                }
            }
            rest = &mut rest[used..];
        }
    }
    log
}

fn sent(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while connection.queued() > 0 {
        let mut parts = [IoSlice::new(&[]); 4];
        let count = connection.poll_transmit(&mut parts);
        let start = out.len();
        parts[..count]
            .iter()
            .for_each(|part| out.extend_from_slice(part));
        let written = out.len() - start;
        connection.transmitted(written);
    }
    out
}

/// The same script whole, byte by byte and in odd pieces.
fn check(list: &[(u8, &[u8])], expected: &[&str]) {
    for step in [usize::MAX, 1, 2, 3, 7, 64] {
        assert_eq!(
            feed(&mut server(), &frames(list), step),
            expected,
            "in pieces of {step}"
        );
        assert_eq!(
            feed_by(&mut server(), &frames(list), step, true),
            expected,
            "in pieces of {step}, the fast way first"
        );
    }
}

#[test]
fn messages_and_control_frames_come_out_as_they_went_in() {
    check(
        &[(0x81, b"Hello"), (0x82, b"\x01\x02"), (0x81, b"")],
        &["Text Hello", "Binary \u{1}\u{2}", "Text "],
    );
    check(
        &[(0x89, b"are you there"), (0x8a, b"yes"), (0x89, b"")],
        &["Ping are you there", "Pong yes", "Ping "],
    );
}

#[test]
fn control_frames_between_fragments_leave_the_message_alone() {
    let script: &[(u8, &[u8])] = &[
        (0x01, b"Hel"),
        (0x89, b"ping"),
        (0x00, b""),
        (0x8a, b"pong"),
        (0x80, b"lo"),
        (0x82, b"next"),
    ];
    check(
        script,
        &["Ping ping", "Pong pong", "Text Hello", "Binary next"],
    );
}

#[test]
fn a_final_empty_fragment_whose_header_is_cut_ends_the_message() {
    check(&[(0x01, b"Hello"), (0x80, b"")], &["Text Hello"]);
}

#[test]
fn fragmentation_out_of_order_is_refused() {
    check(&[(0x80, b"x")], &["Error continuation without a message"]);
    check(
        &[(0x01, b"x"), (0x81, b"y")],
        &["Error new message inside a fragmented one"],
    );
    check(
        &[(0x01, b"x"), (0x80, b"y"), (0x80, b"z")],
        &["Text xy", "Error continuation without a message"],
    );
}

#[test]
fn utf8_is_checked_across_fragments_and_fails_at_the_first_bad_byte() {
    let word = "κόσμε".as_bytes();
    check(
        &[(0x01, &word[..3]), (0x00, &word[3..4]), (0x80, &word[4..])],
        &["Text κόσμε"],
    );
    check(
        &[(0x01, &word[..3]), (0x80, b"")],
        &["Error text is not valid UTF-8"],
    );
    check(
        &[(0x01, b"ok"), (0x00, b"\xff")],
        &["Error text is not valid UTF-8"],
    );
    // The first part of an incomplete frame is enough.
    let bytes = frame(0x81, &[b"abc\xff".as_slice(), &[b'a'; 100]].concat());
    assert_eq!(
        feed(&mut server(), &bytes[..10], 10),
        ["Error text is not valid UTF-8"]
    );
}

#[test]
fn limits_are_checked_at_the_header_and_reserve_nothing() {
    let config = |config: &mut Config| {
        config.message_bytes_max = 10;
        config.frame_bytes_max = 8;
        config.fragments_max = 3;
    };
    let run = |list: &[(u8, &[u8])]| feed(&mut server_with(config), &frames(list), 1);
    assert_eq!(run(&[(0x82, b"12345678")]), ["Binary 12345678"]);
    assert_eq!(
        run(&[(0x82, b"123456789")]),
        ["Error frame of 9 bytes, 8 are allowed"]
    );
    assert_eq!(
        run(&[(0x02, b"12345"), (0x80, b"67890")]),
        ["Binary 1234567890"]
    );
    assert_eq!(
        run(&[(0x02, b"12345"), (0x80, b"678901")]),
        ["Error message too big: more than 10 bytes"]
    );
    assert_eq!(run(&[(0x02, b""), (0x00, b""), (0x80, b"")]), ["Binary "]);
    assert_eq!(
        run(&[(0x02, b""), (0x00, b""), (0x00, b""), (0x80, b"")]),
        ["Error message in more than 3 fragments"]
    );
    let mut huge = server();
    let log = feed(
        &mut huge,
        &[
            0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4,
        ],
        14,
    );
    assert_eq!(
        log,
        ["Error frame of 9223372036854775807 bytes, 16777216 are allowed"]
    );
}

#[test]
fn a_broken_rule_is_answered_with_its_close_code_and_nothing_is_received_after() {
    let mut connection = server();
    feed(
        &mut connection,
        &frames(&[(0x83, b"x"), (0x81, b"never")]),
        1000,
    );
    let out = sent(&mut connection);
    assert_eq!((out[0], &out[2..4]), (0x88, &1002_u16.to_be_bytes()[..]));
    assert!(connection.is_finished() && !connection.is_open());
    assert_eq!(
        feed(&mut connection, &frame(0x81, b"late"), 1000),
        ["Error reserved opcode 3"]
    );
    assert_eq!(connection.send(&"x".into()), Err(SendError::Closed));
    assert!(sent(&mut connection).is_empty());
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let mut connection = server();
    feed(
        &mut connection,
        &frames(&[(0x89, b"one"), (0x89, b"two")]),
        1000,
    );
    assert_eq!(sent(&mut connection), b"\x8a\x03one\x8a\x03two");
}

#[test]
fn a_peer_that_pings_and_never_reads_costs_one_pending_pong() {
    let mut connection = server_with(|config| config.control_queue_bytes_max = 1000);
    for i in 0..100_000_u32 {
        feed(&mut connection, &frame(0x89, &i.to_be_bytes()), 1000);
    }
    assert!(connection.queued() <= 1000 + 8, "{}", connection.queued());
    let out = sent(&mut connection);
    assert!(
        out.ends_with(&[&[0x8a, 4][..], &99_999_u32.to_be_bytes()[..]].concat()),
        "the newest is answered"
    );
}

#[test]
fn pongs_that_are_left_to_the_application_are_sent_when_it_says_so() {
    let mut connection = server_with(|config| config.answer_pings = false);
    let log = feed(
        &mut connection,
        &frames(&[(0x89, b"one"), (0x89, b"two"), (0x88, b"")]),
        1000,
    );
    assert_eq!(log, ["Ping one", "Ping two", "Close"]);
    let out = sent(&mut connection);
    assert_eq!(out, b"\x88\x00", "a close frame is answered all the same");
    assert_eq!(
        connection.halves().1.pong(b"two"),
        Err(SendError::Closed),
        "nothing follows a close frame"
    );

    let mut connection = server_with(|config| config.answer_pings = false);
    let (_, encoder) = connection.halves();
    encoder.pong(b"one").unwrap();
    assert_eq!(
        encoder.pong(&[0; 126]),
        Err(SendError::ControlTooLong),
        "RFC 6455 section 5.5"
    );
    assert_eq!(sent(&mut connection), b"\x8a\x03one");
}

#[test]
fn of_the_applications_pongs_too_only_the_newest_waits_behind_much_that_is_queued() {
    let mut connection = server_with(|config| {
        config.answer_pings = false;
        config.control_queue_bytes_max = 1000;
    });
    for i in 0..100_000_u32 {
        connection.halves().1.pong(&i.to_be_bytes()).unwrap();
    }
    assert!(connection.queued() <= 1000 + 8, "{}", connection.queued());
    let out = sent(&mut connection);
    assert!(out.ends_with(&[&[0x8a, 4][..], &99_999_u32.to_be_bytes()[..]].concat()));
}

#[test]
fn the_peers_close_is_echoed_and_ends_the_connection() {
    let mut connection = server();
    let log = feed(
        &mut connection,
        &frames(&[(0x88, b"\x03\xe8bye"), (0x81, b"late")]),
        1000,
    );
    assert_eq!(log, ["Close 1000 bye"]);
    assert_eq!(sent(&mut connection), b"\x88\x02\x03\xe8");
    assert!(connection.is_finished());
    let mut connection = server();
    assert_eq!(feed(&mut connection, &frame(0x88, b""), 1), ["Close"]);
    assert_eq!(sent(&mut connection), b"\x88\x00");
}

#[test]
fn bad_close_frames_are_answered_with_the_right_code() {
    for (body, code) in [
        (&b"\x03"[..], 1002_u16),
        (b"\x03\xed", 1002),
        (b"\x03\xe8\xff", 1007),
    ] {
        let mut connection = server();
        feed(&mut connection, &frame(0x88, body), 1000);
        assert_eq!(sent(&mut connection)[2..4], code.to_be_bytes(), "{body:?}");
    }
}

#[test]
fn after_our_close_data_is_still_received_until_the_peers_close() {
    let mut connection = server();
    connection.close(CloseCode::NORMAL, "done", Instant::now());
    assert_eq!(connection.send(&"x".into()), Err(SendError::Closed));
    let log = feed(
        &mut connection,
        &frames(&[(0x81, b"last words"), (0x89, b"?"), (0x88, b"\x03\xe8")]),
        1000,
    );
    assert_eq!(log, ["Text last words", "Ping ?", "Close 1000 "]);
    assert_eq!(
        sent(&mut connection),
        b"\x88\x06\x03\xe8done",
        "no pong after our close frame"
    );
    assert!(connection.is_finished());
}

#[test]
fn a_peer_that_never_answers_our_close_is_given_up_at_the_deadline() {
    let now = Instant::now();
    let mut connection = server();
    connection.close(CloseCode::NORMAL, "", now);
    let deadline = connection.poll_timeout().unwrap();
    assert_eq!(deadline, now + Duration::from_secs(5));
    assert_eq!(
        connection.handle_timeout(deadline.checked_sub(Duration::from_millis(1)).unwrap()),
        PeerState::Alive
    );
    assert_eq!(connection.handle_timeout(deadline), PeerState::GivenUp);
    assert!(connection.is_finished());
}

#[test]
fn silence_is_pinged_and_then_given_up() {
    let now = Instant::now();
    let mut connection = Connection::server(Arc::default(), now);
    let ping_at = now + Duration::from_secs(25);
    assert_eq!(connection.poll_timeout(), Some(ping_at));
    assert_eq!(connection.handle_timeout(ping_at), PeerState::Alive);
    assert_eq!(sent(&mut connection), b"\x89\x00");
    let give_up = ping_at + Duration::from_secs(10);
    assert_eq!(connection.poll_timeout(), Some(give_up));
    assert_eq!(
        connection.handle_timeout(give_up.checked_sub(Duration::from_millis(1)).unwrap()),
        PeerState::Alive
    );
    let mut alive = Connection::server(Arc::default(), now);
    assert_eq!(alive.handle_timeout(ping_at), PeerState::Alive);
    alive.handle_activity(give_up);
    assert!(
        alive.handle_timeout(give_up) == PeerState::Alive,
        "anything received is a sign of life"
    );
    assert_eq!(connection.handle_timeout(give_up), PeerState::GivenUp);
    assert!(
        sent(&mut connection).starts_with(b"\x88\x15\x03\xf3no answer"),
        "a last word"
    );
}

#[test]
fn a_full_queue_refuses_and_takes_again_after_writing() {
    let mut connection = server_with(|config| config.send_queue_bytes_max = 100);
    connection
        .send(&vec![0; 500].into())
        .expect("an empty queue takes one message of any size");
    assert_eq!(connection.send(&"x".into()), Err(SendError::Full));
    sent(&mut connection);
    connection.send(&"x".into()).unwrap();
}

#[test]
fn a_client_masks_every_frame_with_a_fresh_key() {
    let mut client = Connection::client(Arc::default(), Box::<Counting>::default(), Instant::now());
    client.send(&"Hello".into()).unwrap();
    client.send_prepared(&Prepared::text("Hello")).unwrap();
    client.ping(b"Hello").unwrap();
    let out = sent(&mut client);
    assert_eq!([out[2], out[13], out[24]], [1, 2, 3], "{out:02x?}");
    let log = feed(&mut server(), &out, 1000);
    assert_eq!(log, ["Text Hello", "Text Hello", "Ping Hello"]);
}

#[test]
fn an_answer_holds_nothing_of_what_its_buffer_held_before() {
    let mut server = server();
    let used = b"secret of another user, secret of another user".to_vec();
    server.halves().1.lend_buffer(|| used);
    server.ping(b"hi").unwrap();
    assert_eq!(sent(&mut server), b"\x89\x02hi");
    server.close(CloseCode::NORMAL, "bye", Instant::now());
    assert_eq!(sent(&mut server), b"\x88\x05\x03\xe8bye");
}

#[test]
fn the_core_of_an_idle_connection_is_small() {
    assert!(
        size_of::<Connection>() <= 384,
        "{}",
        size_of::<Connection>()
    );
}

/// The same bytes, received in chunks from the `from`th piece on.
fn feed_chunks(bytes: &[u8], step: usize, from: usize) -> Vec<String> {
    let (mut decoder, _) = server_with(|config| config.message_bytes_max = 8).split();
    let mut log = Vec::new();
    for (number, piece) in bytes.chunks(step).enumerate() {
        let mut piece = piece.to_vec();
        let mut rest = piece.as_mut_slice();
        while !rest.is_empty() {
            let (used, event) = if number < from {
                decoder.receive(rest)
            } else {
                decoder.receive_chunk(rest)
            };
            match event.unwrap() {
                Some(Event::Chunk(chunk)) => log.push(format!(
                    "{}{}",
                    String::from_utf8_lossy(chunk.data),
                    if chunk.last { "." } else { "" }
                )),
                Some(Event::Message(message)) => {
                    log.push(format!("whole {:?}", message.payload()));
                }
                Some(Event::Ping(_)) => log.push("ping".into()),
                Some(Event::Pong(_) | Event::Close(_)) | None => {}
            }
            rest = &mut rest[used..];
        }
    }
    log
}

#[test]
fn a_message_above_the_limit_can_be_received_in_chunks() {
    let script = frames(&[
        (0x01, b"a long "),
        (0x89, b"?"),
        (0x00, b""),
        (0x80, b"message"),
        (0x81, b"another long one"),
    ]);
    assert_eq!(
        feed_chunks(&script, 1000, 0),
        ["a long ", "ping", "message.", "another long one."]
    );
    for step in 1..30 {
        let text = feed_chunks(&script, step, 0).concat().replace("ping", "");
        assert_eq!(
            text, "a long message.another long one.",
            "in pieces of {step}"
        );
    }
    // What was put together before is the first chunk.
    let text = feed_chunks(&script, 7, 2).concat().replace("ping", "");
    assert_eq!(text, "a long message.another long one.");
}

#[test]
fn what_is_left_of_a_message_received_in_chunks_is_never_taken_for_a_whole_one() {
    let (mut decoder, _) = server().split();
    let mut bytes = frames(&[(0x02, b"begin"), (0x80, b"end"), (0x82, b"next")]);
    let (used, event) = decoder.receive_chunk(&mut bytes);
    assert!(matches!(
        event,
        Ok(Some(Event::Chunk(Chunk {
            data: b"begin",
            last: false,
            ..
        })))
    ));
    let (more, event) = decoder.receive(&mut bytes[used..]);
    assert!(matches!(event, Ok(None)));
    let (_, event) = decoder.receive(&mut bytes[used + more..]);
    assert!(matches!(event, Ok(Some(Event::Message(next))) if next.payload() == b"next"));
}

#[test]
fn a_message_is_sent_in_fragments_with_pings_between_and_no_other_message() {
    let mut client = Connection::client(Arc::default(), Box::<Counting>::default(), Instant::now());
    client.send_fragment(Kind::Text, b"Hel", false).unwrap();
    assert_eq!(client.send(&"x".into()), Err(SendError::InFragments));
    client.ping(b"?").unwrap();
    client.send_fragment(Kind::Text, b"", false).unwrap();
    client.send_fragment(Kind::Text, b"lo", true).unwrap();
    client.send(&"x".into()).unwrap();
    let out = sent(&mut client);
    assert_eq!(
        feed(&mut server(), &out, 1000),
        ["Ping ?", "Text Hello", "Text x"]
    );
}

#[test]
fn long_messages_leave_in_frames_of_the_size_the_peer_can_take() {
    let mut connection = server_with(|config| config.send_frame_bytes_max = 4);
    connection.send(&"HelloWorld".into()).unwrap();
    connection.send_prepared(&Prepared::text("12345")).unwrap();
    connection.send(&"four".into()).unwrap();
    assert_eq!(
        sent(&mut connection),
        b"\x01\x04Hell\x00\x04oWor\x80\x02ld\x01\x041234\x80\x015\x81\x04four"
    );
}

#[test]
fn frames_encoded_for_many_are_refused_by_a_client() {
    let frames = Prepared::text("a").frame().clone();
    let mut client = Connection::client(Arc::default(), Box::<Counting>::default(), Instant::now());
    assert_eq!(
        client.halves().1.send_frames(&frames, 1),
        Err(SendError::NotMasked)
    );
    let mut server = server();
    server.halves().1.send_frames(&frames, 1).unwrap();
    assert_eq!(
        (sent(&mut server), server.stats().messages_sent),
        (frames.to_vec(), 1)
    );
}

proptest! {
    #[test]
    fn events_do_not_depend_on_how_bytes_arrive(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        script in prop::collection::vec((prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
            prop::collection::vec(any::<u8>(), 0..140)), 0..8),
        step in 1..40_usize,
        garbage in any::<bool>(),
    ) {
        let mut input: Vec<u8> = script.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
        if garbage {
            input.extend_from_slice(&bytes);
        }
        let (mut whole, mut cut, mut fast) = (server(), server(), server());
        let expected = feed(&mut whole, &input, usize::MAX);
        prop_assert_eq!(&expected, &feed(&mut cut, &input, step));
        prop_assert_eq!(&expected, &feed_by(&mut fast, &input, step, true));
        let answers = sent(&mut whole);
        prop_assert_eq!(&answers, &sent(&mut cut));
        prop_assert_eq!(answers, sent(&mut fast));
        prop_assert_eq!(whole.stats().messages_received, fast.stats().messages_received);
    }
}
