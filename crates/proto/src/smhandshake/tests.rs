//! The dialect by its readings (M-08 ... M-30), then what holds for any text.

use proptest::prelude::*;

use super::*;

/// The gateway's table in these tests: number and name.
fn known(name: &str) -> Option<u32> {
    ["endpoint1", "endpoint2", "a, b: {c}"]
        .iter()
        .zip(1..)
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, number)| number)
}

/// The texts of the opening, what is answered, and whether the client is ready after each.
fn check_opening(limits: Limits, dialogue: &[(&str, &str)]) -> Session {
    let mut session = Session::new(limits);
    for (message, answer) in dialogue {
        let said = match session.receive(Incoming::Text(message), known) {
            Reaction::Nothing => String::new(),
            Reaction::Answer(text)
            | Reaction::Announced { answer: text, .. }
            | Reaction::Ready(text)
            | Reaction::Refused { answer: text, .. } => text,
            other @ (Reaction::Forward { .. } | Reaction::Close { .. }) => {
                panic!("{message}: {other:?}")
            }
        };
        assert_eq!(said, *answer, "answer to {message}");
    }
    session
}

fn ready() -> Session {
    let session = check_opening(
        Limits::default(),
        &[
            (
                r#"{"event":"SMHandshake","data":"SYN"}"#,
                r#"{"event":"SMHandshake","data":"SYN/ACK"}"#,
            ),
            (r#"{"event":"SMHandshake","data":"ACK"}"#, ""),
            (
                r#"{"event":"SMHandshakeEnd"}"#,
                r#"{"event":"SMHandshakeEnd","data":"ACK"}"#,
            ),
        ],
    );
    assert!(session.is_ready());
    session
}

/// Code and `SMError` object of the failure that `message` leads to.
fn check_failure(before: &[&str], message: Incoming<'_>, code: u16, error: &str) {
    let mut session = Session::new(Limits::default());
    for text in before {
        assert!(
            !matches!(
                session.receive(Incoming::Text(text), known),
                Reaction::Close { .. }
            ),
            "{text}"
        );
    }
    for _ in 0..2 {
        // Once failed, it stays so.
        let reaction = session.receive(message, known);
        let Reaction::Close {
            failure,
            error: said,
        } = reaction
        else {
            panic!("{message:?}: {reaction:?}");
        };
        assert_eq!((failure.close_code().0, said.as_str()), (code, error));
        assert!(failure.close_code().is_valid_on_wire());
    }
    assert!(!session.is_ready());
}

/// The refusal that `message` leads to, and its object.
fn refused(session: &mut Session, message: Incoming<'_>) -> (Refusal, String) {
    let reaction = session.receive(message, known);
    let Reaction::Refused { refusal, answer } = reaction else {
        panic!("{message:?}: {reaction:?}");
    };
    (refusal, answer)
}

fn check_refusal(session: &mut Session, message: Incoming<'_>, refusal: Refusal, answer: &str) {
    assert_eq!(refused(session, message), (refusal, answer.to_owned()));
}

/// Number of the route, spelling, payload.
fn check_forward(session: &mut Session, message: &[u8], route: u32, name: &str, payload: &[u8]) {
    let mut inputs = vec![Incoming::Binary(message)];
    if let Ok(text) = std::str::from_utf8(message) {
        inputs.push(Incoming::Text(text));
    }
    for input in inputs {
        let Reaction::Forward { route: r, line } = session.receive(input, known) else {
            panic!("{input:?} is not forwarded");
        };
        assert_eq!((r, line.name), (route, name));
        assert_eq!(&message[line.payload_at..], payload);
    }
}

const SYN_TEXT: &str = "{event: SMHandshake, data: SYN}";
const ACK_TEXT: &str = "{event: SMHandshake, data: ACK}";

/// Parity: M-08.
#[test]
fn the_dialogue_in_json() {
    let session = check_opening(
        Limits::default(),
        &[
            (
                r#"{"event":"SMHandshake","data":"SYN"}"#,
                r#"{"event":"SMHandshake","data":"SYN/ACK"}"#,
            ),
            (r#"{"event":"SMHandshake","data":"ACK"}"#, ""),
            (
                r#"{"event":"SMHandshake","data":"Endpoint1"}"#,
                r#"{"event":"SMHandshake","data":"ACK","route":"Endpoint1"}"#,
            ),
            (
                r#"{"data":"Endpoint2", "event":"SMHandshake"}"#,
                r#"{"event":"SMHandshake","data":"ACK","route":"Endpoint2"}"#,
            ),
            (
                r#"{"event":"SMHandshake","data":"Endpoint3"}"#,
                r#"{"event":"SMHandshake","data":"NACK","route":"Endpoint3"}"#,
            ),
            (
                r#"{"event":"SMHandshakeEnd","data":null}"#,
                r#"{"event":"SMHandshakeEnd","data":"ACK"}"#,
            ),
        ],
    );
    assert!(session.is_ready());
}

/// Parity: M-08.
#[test]
fn the_dialogue_as_the_readme_writes_it() {
    let session = check_opening(
        Limits::default(),
        &[
            (
                "{event: SMHandshake, data: SYN}",
                "{event: SMHandshake, data: SYN/ACK}",
            ),
            ("{event: SMHandshake, data: ACK}", ""),
            (
                "{event: SMHandshake, data: Endpoint1}",
                "{event: SMHandshake, data: ACK}",
            ),
            (
                "{event: SMHandshake, data: Endpoint3}",
                "{event: SMHandshake, data: NACK}",
            ),
            (
                "{event: SMHandshakeEnd}",
                "{event: SMHandshakeEnd, data: ACK}",
            ),
        ],
    );
    assert!(session.is_ready());
}

/// Parity: M-21.
#[test]
fn the_look_up_gets_the_name_as_written_and_decides() {
    let mut session = ready();
    check_forward(
        &mut session,
        b"ROUTENAME=ENDPOINT2\nx",
        2,
        "ENDPOINT2",
        b"x",
    );
    let mut asked = Vec::new();
    let announced = r#"{"event":"SMHandshake","data":"eNdPoInT1"}"#;
    let reaction = session.receive(Incoming::Text(announced), |name| {
        asked.push(name.to_owned());
        known(name)
    });
    assert_eq!(asked, ["eNdPoInT1"]);
    assert!(matches!(reaction, Reaction::Announced { route: 1, .. }));
}

/// Parity: M-23.
#[test]
fn all_ways_to_write_an_event_are_read_as_the_same() {
    let event = Event {
        name: HANDSHAKE.to_owned(),
        data: Some("a b/c".to_owned()),
    };
    for text in [
        r#"{"event":"SMHandshake","data":"a b/c"}"#,
        r#" { "data" : "a b\/c" , "event" : "SMHandshake" } "#,
        "{\"event\":\"SMHandshake\",\"x\":{\"event\":[1,{\"data\":2}]},\"data\":\"a b/c\"}\r\n",
        r#"{"event":"SMHandshake","data":"a\u0020b/c","route":null}"#,
    ] {
        assert_eq!(
            Event::parse(text),
            Ok((event.clone(), Form::Strict)),
            "{text}"
        );
    }
    for text in [
        "{event: SMHandshake, data: a b/c}",
        "{event:SMHandshake,data:a b/c}",
        "\t{ data\n:  a b/c  ,\r\n event : SMHandshake } \n",
        r#"{event: "SMHandshake", data: "a b\/c"}"#,
        r#"{"event": SMHandshake, "data": a b/c}"#,
        "{'event': 'SMHandshake', 'data': 'a b/c'}",
        "{event: SMHandshake, id: 7, data: a b/c, note: 'x, y}', empty: , data2: x}",
    ] {
        assert_eq!(
            Event::parse(text),
            Ok((event.clone(), Form::Relaxed)),
            "{text}"
        );
    }
}

/// Parity: M-23.
#[test]
fn what_is_no_event_is_refused() {
    for text in [
        "",
        " ",
        "SYN",
        "{}",
        "{",
        "}",
        "[]",
        "null",
        r#"{"data":"SYN"}"#,
        r#"{"event":7"#,
        r#"{"event":"a","event":"a"}"#,
        r#"{"event":"a","\u0065vent":"a"}"#,
        r#"{"event":"a","x":1,"x":2}"#,
        r#"{"event":"a","data":{}}"#,
        r#"{"event":"a","data":[]}"#,
        r#"{"event":"a",}"#,
        r#"{"event":"a"} x"#,
        r#"{"event":"a\ud800"}"#,
        r#"{"event":null}"#,
        "{event: a, event: a}",
        "{event: a, data: b, data: b}",
        "{event: a, \"event\": a}",
        "{event: }",
        "{event}",
        "{event: a,}",
        "{event: a} x",
        "{event: a, data: {b: c}}",
        "{event: a, data: [b]}",
        "{event: a, data: \"b}",
        "{event: a, data: 'b}",
        "{event: a, data: b\"c}",
        "{event: a, data: b\\c}",
        "{event: a, data: b\0c}",
        "{event: a, data: 'b\nc'}",
        "{event: a, data: \"b\nc\"}",
        "{event: a, : b}",
        "{a, event: a}",
        "\u{feff}{event: a}",
    ] {
        assert_eq!(Event::parse(text), Err(EventError::Malformed), "{text:?}");
    }
}

/// Parity: M-23.
#[test]
fn sizes_members_and_depth_are_bounded() {
    let padded = |len: usize| {
        let text = r#"{"event":"a","data":"b"}"#;
        text.to_owned() + &" ".repeat(len - text.len())
    };
    assert!(Event::parse(&padded(EVENT_BYTES_MAX)).is_ok());
    assert_eq!(
        Event::parse(&padded(EVENT_BYTES_MAX + 1)),
        Err(EventError::TooLong)
    );
    for form in [Form::Strict, Form::Relaxed] {
        let quote = if form == Form::Strict { "\"" } else { "" };
        let with = |count: usize| {
            let more: Vec<String> = (1..count)
                .map(|n| format!(",{quote}k{n}{quote}:{n}"))
                .collect();
            let more = more.concat();
            format!("{{{quote}event{quote}:{quote}a{quote}{more}}}")
        };
        assert_eq!(Event::parse(&with(16)).unwrap().1, form);
        assert_eq!(Event::parse(&with(17)), Err(EventError::Malformed));
    }
    let depth = (EVENT_BYTES_MAX - 20) / 2;
    let deep = format!(
        r#"{{"event":"a","x":{}{}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert!(Event::parse(&deep).is_ok(), "skipped in a loop");
}

/// Parity: M-23.
#[test]
fn each_answer_has_the_form_of_the_message_it_answers() {
    let mut session = check_opening(
        Limits::default(),
        &[
            (SYN_TEXT, "{event: SMHandshake, data: SYN/ACK}"),
            (r#"{"event":"SMHandshake","data":"ACK"}"#, ""),
            (
                "{event: SMHandshake, data: 'endpoint1'}",
                "{event: SMHandshake, data: ACK}",
            ),
            (
                r#"{"event":"SMHandshake","data":"a, b: {c}"}"#,
                r#"{"event":"SMHandshake","data":"ACK","route":"a, b: {c}"}"#,
            ),
            (
                r#"{event: SMHandshake, data: "a, b: {c}"}"#,
                "{event: SMHandshake, data: ACK}",
            ),
            (
                r#"{event:SMHandshakeEnd,data:""}"#,
                "{event: SMHandshakeEnd, data: ACK}",
            ),
        ],
    );
    check_refusal(
        &mut session,
        Incoming::Text("ROUTENAME=endpoint9\nx"),
        Refusal::NoSuchRoute,
        "{event: SMError, data: no such route; expected a configured name - route endpoint9}",
    );
}

/// Parity: M-24.
#[test]
fn bare_acknowledgements_by_the_switch() {
    let limits = Limits {
        bare_ack: true,
        ..Limits::default()
    };
    for quote in ["", "\""] {
        let mut session = Session::new(limits);
        let mut said = Vec::new();
        for (event, data) in [
            ("SMHandshake", "SYN"),
            ("SMHandshake", "ACK"),
            ("SMHandshake", "endpoint1"),
            ("SMHandshake", "other"),
            ("SMHandshakeEnd", "x"),
        ] {
            let text = format!(
                "{{{quote}event{quote}:{quote}{event}{quote},{quote}data{quote}:{quote}{data}{quote}}}"
            );
            match session.receive(Incoming::Text(&text), known) {
                Reaction::Answer(text)
                | Reaction::Announced { answer: text, .. }
                | Reaction::Ready(text) => said.push(text),
                Reaction::Nothing => assert_eq!(data, "ACK"),
                other @ (Reaction::Forward { .. }
                | Reaction::Refused { .. }
                | Reaction::Close { .. }) => panic!("{text}: {other:?}"),
            }
        }
        assert!(
            said[0].contains("SYN/ACK") && said[0].starts_with('{'),
            "{said:?}"
        );
        assert_eq!(said[1..], ["ACK", "NACK", "ACK"]);
    }
}

/// Parity: M-25.
#[test]
fn words_of_the_handshake_are_no_names() {
    for name in ["SYN", "ack", "Syn/Ack", "NACK"] {
        assert!(is_reserved(name));
    }
    assert!(!is_reserved("SYN2") && !is_reserved("") && !is_reserved("SMHandshake"));
    let anything = |_: &str| Some(1);
    for name in ["SYN", "syn", "ACK", "SYN/ACK", "nack"] {
        let text = format!("{{event: SMHandshake, data: {name}}}");
        let mut session = Session::new(Limits::default());
        for before in [SYN_TEXT, ACK_TEXT] {
            session.receive(Incoming::Text(before), anything);
        }
        assert!(
            matches!(
                session.receive(Incoming::Text(&text), anything),
                Reaction::Close { .. }
            ),
            "{name}"
        );
        assert!(
            matches!(
                ready().receive(Incoming::Text(&text), anything),
                Reaction::Refused { .. }
            ),
            "{name}"
        );
    }
}

/// Parity: M-26.
#[test]
fn unknown_names_get_a_nack_and_cost_nothing_else() {
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    for name in ["nobody", "", "a\\nb", &long] {
        let text = format!(r#"{{"event":"SMHandshake","data":"{name}"}}"#);
        let mut session = ready();
        let expected = format!(r#"{{"event":"SMHandshake","data":"NACK","route":"{name}"}}"#);
        assert_eq!(
            session.receive(Incoming::Text(&text), known),
            Reaction::Answer(expected)
        );
        check_forward(&mut session, b"ROUTENAME=endpoint1\n", 1, "endpoint1", b"");
    }
}

/// Parity: M-26.
#[test]
fn routes_that_were_never_announced_are_usable() {
    check_forward(
        &mut ready(),
        b"ROUTENAME=Endpoint2\nhello",
        2,
        "Endpoint2",
        b"hello",
    );
}

/// Parity: M-27.
#[test]
fn wrong_order_is_told_and_ends_the_connection() {
    let end = "{event: SMHandshakeEnd}";
    let name = "{event: SMHandshake, data: endpoint1}";
    let opened = [SYN_TEXT, ACK_TEXT];
    for (before, text, due) in [
        (&opened[..0], ACK_TEXT, "SMHandshake with SYN"),
        (&opened[..0], name, "SMHandshake with SYN"),
        (&opened[..0], end, "SMHandshake with SYN"),
        (&opened[..0], "{event: SMHandshake}", "SMHandshake with SYN"),
        (
            &opened[..0],
            "{event: Other, data: SYN}",
            "SMHandshake with SYN",
        ),
        (&opened[..1], SYN_TEXT, "SMHandshake with ACK"),
        (&opened[..1], name, "SMHandshake with ACK"),
        (&opened[..1], end, "SMHandshake with ACK"),
        (
            &opened,
            SYN_TEXT,
            "SMHandshake with a route name or SMHandshakeEnd",
        ),
        (
            &opened,
            ACK_TEXT,
            "SMHandshake with a route name or SMHandshakeEnd",
        ),
        (
            &opened,
            "{event: SMError, data: x}",
            "SMHandshake with a route name or SMHandshakeEnd",
        ),
    ] {
        let error = format!("{{event: SMError, data: out of order; expected {due}}}");
        check_failure(before, Incoming::Text(text), 4400, &error);
    }
}

/// Parity: M-27.
#[test]
fn garbage_and_missing_handshakes_get_json() {
    let error = r#"{"event":"SMError","data":"no event; expected SMHandshake with SYN"}"#;
    let long = "x".repeat(EVENT_BYTES_MAX + 1);
    for text in ["", "hello", "{", "ROUTENAME=endpoint1\nhello", &long] {
        check_failure(&[], Incoming::Text(text), 4400, error);
    }
    let error = r#"{"event":"SMError","data":"a binary message; expected SMHandshake with SYN"}"#;
    check_failure(&[], Incoming::Binary(SYN_TEXT.as_bytes()), 4400, error);
    let error = "{event: SMError, data: a binary message; expected SMHandshake with ACK}";
    check_failure(&[SYN_TEXT], Incoming::Binary(b""), 4400, error);
}

/// Parity: M-27.
#[test]
fn silence_ends_the_connection_only_before_the_end() {
    for (count, due) in [
        (0, "SMHandshake with SYN"),
        (1, "SMHandshake with ACK"),
        (2, "SMHandshake with a route name or SMHandshakeEnd"),
    ] {
        let mut session = Session::new(Limits::default());
        for text in &[SYN_TEXT, ACK_TEXT][..count] {
            session.receive(Incoming::Text(text), known);
        }
        let Some(Reaction::Close { failure, error }) = session.handle_timeout::<u32>() else {
            panic!("still open");
        };
        assert_eq!(failure.close_code().0, 4408);
        assert!(
            error.contains(&format!("not over in time; expected {due}")),
            "{error}"
        );
        assert!(failure.to_string().len() <= crate::CloseFrame::REASON_BYTES_MAX);
        assert!(matches!(
            session.receive(Incoming::Text(SYN_TEXT), known),
            Reaction::Close { .. }
        ));
    }
    assert_eq!(ready().handle_timeout::<u32>(), None);
}

/// Parity: M-27.
#[test]
fn an_end_without_names_is_legal() {
    check_opening(
        Limits::default(),
        &[
            (SYN_TEXT, "{event: SMHandshake, data: SYN/ACK}"),
            (ACK_TEXT, ""),
            (
                "{event: SMHandshakeEnd, data: ACK}",
                "{event: SMHandshakeEnd, data: ACK}",
            ),
        ],
    );
}

/// Parity: M-28.
#[test]
fn the_route_line_is_taken_off() {
    let mut session = ready();
    for (message, payload) in [
        (&b"ROUTENAME=Endpoint1\nhello"[..], &b"hello"[..]),
        (b"ROUTENAME=Endpoint1\r\nhello", b"hello"),
        (b"ROUTENAME=Endpoint1\n\nhello", b"hello"),
        (b"ROUTENAME=Endpoint1\r\n\r\nhello", b"hello"),
        (b"ROUTENAME=Endpoint1\n\r\nhello", b"hello"),
        (b"ROUTENAME=Endpoint1\n\n\nhello", b"\nhello"),
        (b"ROUTENAME=Endpoint1\n\rhello", b"\rhello"),
        (b"ROUTENAME=Endpoint1\n", b""),
        (b"ROUTENAME=Endpoint1\n\n", b""),
        (b"ROUTENAME=Endpoint1\n\xff\0\xfe", b"\xff\0\xfe"),
        (
            b"ROUTENAME=Endpoint1\nROUTENAME=Endpoint2\nx",
            b"ROUTENAME=Endpoint2\nx",
        ),
    ] {
        check_forward(&mut session, message, 1, "Endpoint1", payload);
    }
}

/// Parity: M-28.
#[test]
fn messages_without_a_usable_route_line_are_refused_one_by_one() {
    let mut session = ready();
    let long = |end: &str| format!("ROUTENAME={}{end}x", "n".repeat(NAME_BYTES_MAX + 1));
    let unended = format!("ROUTENAME={}", "n".repeat(NAME_BYTES_MAX + 1));
    for (message, refusal) in [
        (&b"hello"[..], Refusal::NoRouteLine),
        (b"", Refusal::NoRouteLine),
        (b"ROUTENAME=Endpoint1", Refusal::NoRouteLine),
        (b"routename=Endpoint1\nx", Refusal::NoRouteLine),
        (b" ROUTENAME=Endpoint1\nx", Refusal::NoRouteLine),
        (b"ROUTENAME: Endpoint1\nx", Refusal::NoRouteLine),
        (
            b"{\"event\":\"Other\",\"data\":\"x\"}",
            Refusal::NoRouteLine,
        ),
        (b"{\"event\":\"SMHandshake\"}", Refusal::NoRouteLine),
        (b"ROUTENAME=\nx", Refusal::NameInvalid),
        (b"ROUTENAME=\r\nx", Refusal::NameInvalid),
        (b"ROUTENAME=Endpoint1\r\r\nx", Refusal::NameInvalid),
        (b"ROUTENAME=\xff\nx", Refusal::NameInvalid),
        (b"ROUTENAME=Endpoint9\nx", Refusal::NoSuchRoute),
        (b"ROUTENAME= Endpoint1\nx", Refusal::NoSuchRoute),
        (long("\n").as_bytes(), Refusal::NameTooLong),
        (long("\r\n").as_bytes(), Refusal::NameTooLong),
        (unended.as_bytes(), Refusal::NoRouteLine),
        (unended.repeat(2).as_bytes(), Refusal::NameTooLong),
    ] {
        let mut inputs = vec![Incoming::Binary(message)];
        if let Ok(text) = std::str::from_utf8(message) {
            inputs.push(Incoming::Text(text));
        }
        for input in inputs {
            let (said, answer) = refused(&mut session, input);
            assert_eq!(said, refusal, "{input:?}");
            let (event, form) = Event::parse(&answer).expect("an object");
            assert_eq!((event.name.as_str(), form), (ERROR, Form::Strict));
            assert!(event.data.is_some_and(|data| data.contains("expected")));
        }
        check_forward(
            &mut session,
            b"ROUTENAME=endpoint1\nx",
            1,
            "endpoint1",
            b"x",
        );
    }
}

/// Parity: M-28.
#[test]
fn names_of_255_bytes_are_the_longest() {
    let name = "n".repeat(NAME_BYTES_MAX);
    for end in ["\n", "\r\n"] {
        let message = format!("ROUTENAME={name}{end}x");
        let line = RouteLine::parse(message.as_bytes()).expect("a route line");
        assert_eq!(
            (line.name, message.split_at(line.payload_at).1),
            (name.as_str(), "x")
        );
    }
}

/// Parity: M-28.
#[test]
fn messages_above_the_limit_are_refused_one_by_one() {
    let limits = Limits {
        message_bytes_max: 24,
        ..Limits::default()
    };
    let mut session = check_opening(limits, &[(SYN_TEXT, "{event: SMHandshake, data: SYN/ACK}")]);
    session.receive(Incoming::Text(ACK_TEXT), known);
    session.receive(Incoming::Text("{event: SMHandshakeEnd}"), known);
    check_forward(
        &mut session,
        b"ROUTENAME=endpoint1\n1234",
        1,
        "endpoint1",
        b"1234",
    );
    check_refusal(
        &mut session,
        Incoming::Binary(b"ROUTENAME=endpoint1\n12345"),
        Refusal::TooLarge(24),
        "{event: SMError, data: message too large; expected at most 24 bytes - route endpoint1}",
    );
    check_forward(
        &mut session,
        b"ROUTENAME=endpoint1\n1234",
        1,
        "endpoint1",
        b"1234",
    );
}

/// Parity: M-30.
#[test]
fn what_goes_back_is_written_as_the_client_writes() {
    let line = |message: &'static str| RouteLine::parse(message.as_bytes()).unwrap();
    let mut prefix = Prefix::new("endpoint1", LineEnd::Lf);
    assert_eq!(prefix.as_str(), "ROUTENAME=endpoint1\n");
    for (message, written) in [
        ("ROUTENAME=Endpoint1\r\nx", "ROUTENAME=Endpoint1\r\n"),
        ("ROUTENAME=Endpoint1\r\n\r\nx", "ROUTENAME=Endpoint1\r\n"),
        ("ROUTENAME=Endpoint1\nx", "ROUTENAME=Endpoint1\n"),
        ("ROUTENAME=endpoint1\nx", "ROUTENAME=endpoint1\n"),
    ] {
        prefix.follow(&line(message));
        assert_eq!(prefix.as_str(), written);
        assert_eq!(prefix, Prefix::of(&line(message)));
    }
}

#[test]
fn a_route_line_of_a_backend_is_payload_behind_ours() {
    let prefix = Prefix::new("endpoint1", LineEnd::Lf);
    let message = prefix.as_str().to_owned() + "ROUTENAME=endpoint2\nspoofed";
    let line = RouteLine::parse(message.as_bytes()).unwrap();
    assert_eq!(line.name, "endpoint1");
    assert_eq!(
        message.split_at(line.payload_at).1,
        "ROUTENAME=endpoint2\nspoofed"
    );
    let spoofed = prefix.as_str().to_owned() + r#"{"event":"SMError","data":"x"}"#;
    assert_eq!(
        Event::parse(&spoofed),
        Err(EventError::Malformed),
        "no backend can write an error of the gateway"
    );
}

#[test]
fn names_can_be_announced_and_the_end_said_after_the_handshake() {
    let mut session = ready();
    assert_eq!(
        session.receive(
            Incoming::Text("{event: SMHandshake, data: endpoint2}"),
            known
        ),
        Reaction::Announced {
            route: 2,
            answer: "{event: SMHandshake, data: ACK}".to_owned()
        }
    );
    assert_eq!(
        session.receive(Incoming::Text(r#"{"event":"SMHandshakeEnd"}"#), known),
        Reaction::Answer(r#"{"event":"SMHandshakeEnd","data":"ACK"}"#.to_owned())
    );
    let long = format!("{{{}", " ".repeat(EVENT_BYTES_MAX));
    check_refusal(
        &mut session,
        Incoming::Text(&long),
        Refusal::EventTooLong,
        r#"{"event":"SMError","data":"event too long; expected at most 4096 bytes"}"#,
    );
}

#[test]
fn every_refusal_names_its_route_and_needs_no_quotes() {
    for refusal in [
        Refusal::NoRouteLine,
        Refusal::NameTooLong,
        Refusal::NameInvalid,
        Refusal::EventTooLong,
        Refusal::NoSuchRoute,
        Refusal::NotAllowed,
        Refusal::TooManyRoutes(64),
        Refusal::NotReachable,
        Refusal::QueueFull,
        Refusal::TooLarge(1),
        Refusal::TooFast,
    ] {
        let text = format!("{refusal} - route Endpoint1");
        assert!(text.contains("; expected "), "{text}");
        assert_eq!(
            refusal.render(Form::Relaxed, Some("Endpoint1")),
            format!("{{event: SMError, data: {text}}}")
        );
        assert_eq!(
            refusal.render(Form::Strict, Some("Endpoint1")),
            format!(r#"{{"event":"SMError","data":"{text}","route":"Endpoint1"}}"#)
        );
    }
    let session = ready();
    assert_eq!(
        session.refuse(Refusal::QueueFull, "a"),
        Refusal::QueueFull.render(Form::Strict, Some("a"))
    );
}

/// Text in which what matters to the syntax is frequent.
fn syntax() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("\\".to_owned()),
        Just("event".to_owned()),
        Just("data".to_owned()),
        Just("SMHandshake".to_owned()),
        Just("SYN".to_owned()),
        Just("null".to_owned()),
        Just("ROUTENAME=".to_owned()),
        Just("\r\n".to_owned()),
        Just(" ".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// An event or a message, nearly right.
fn nearly() -> impl Strategy<Value = String> {
    prop_oneof![
        syntax(),
        syntax().prop_map(|inside| format!("{{event: SMHandshake, data: {inside}}}")),
        syntax().prop_map(|inside| format!(r#"{{"event":"SMHandshake",{inside}}}"#)),
        syntax().prop_map(|inside| format!("ROUTENAME=endpoint1{inside}")),
    ]
}

proptest! {
    /// Parity: M-23.
    #[test]
    fn what_is_written_is_read_again(name in syntax(), data in proptest::option::of(syntax())) {
        let event = Event { name, data };
        for form in [Form::Strict, Form::Relaxed] {
            prop_assert_eq!(Event::parse(&event.render(form)), Ok((event.clone(), form)));
        }
        let routed = render(Form::Strict, &event.name, event.data.as_deref(), Some("r"));
        prop_assert_eq!(Event::parse(&routed), Ok((event, Form::Strict)));
    }

    /// Parity: M-23.
    #[test]
    fn json_without_its_quotes_means_the_same(data in "[A-Za-z0-9/._ -]{0,20}[A-Za-z]") {
        let data = data.trim_start();
        prop_assume!(data != "null");
        let strict = format!(r#"{{"event":"SMHandshake","data":"{data}"}}"#);
        let relaxed = strict.replace('"', "");
        let (event, form) = Event::parse(&relaxed).expect("relaxed");
        prop_assert_eq!(form, Form::Relaxed);
        prop_assert_eq!(Event::parse(&strict), Ok((event.clone(), Form::Strict)));
        prop_assert_eq!(event.data.as_deref(), Some(data));
    }

    /// Parity: M-23.
    #[test]
    fn strict_is_what_serde_json_takes(text in nearly()) {
        let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        if let Ok((event, Form::Strict)) = Event::parse(&text) {
            let json = json.expect("JSON");
            prop_assert_eq!(json["event"].as_str().unwrap_or_default(), event.name);
            if let Some(data) = json["data"].as_str() {
                prop_assert_eq!(Some(data), event.data.as_deref());
            }
        }
    }

    /// Parity: M-28.
    #[test]
    fn a_line_and_a_payload_come_apart_again(
        name in "[^\\p{Cc}]{1,60}",
        crlf in any::<bool>(),
        payload in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let prefix = Prefix::new(&name, if crlf { LineEnd::CrLf } else { LineEnd::Lf });
        let mut message = prefix.as_str().as_bytes().to_vec();
        // An empty line keeps every payload as it is.
        message.extend_from_slice(b"\n");
        message.extend_from_slice(&payload);
        let line = RouteLine::parse(&message).expect("a route line");
        prop_assert_eq!(line.name, name.as_str());
        prop_assert_eq!(&message[line.payload_at..], &payload[..]);
        prop_assert_eq!(Prefix::of(&line), prefix);
    }

    #[test]
    fn any_prefix_of_any_text_is_answered(texts in proptest::collection::vec(nearly(), 1..4)) {
        for mut session in [Session::new(Limits::default()), ready()] {
            for text in &texts {
                for (end, _) in text.char_indices() {
                    let opening = !session.is_ready();
                    let (part, _) = text.split_at(end);
                    match session.receive(Incoming::Text(part), known) {
                        Reaction::Forward { line, .. } => {
                            prop_assert!(!opening);
                            prop_assert!(part.is_char_boundary(line.payload_at));
                        }
                        Reaction::Close { .. } => prop_assert!(opening),
                        Reaction::Nothing | Reaction::Answer(_) | Reaction::Announced { .. }
                        | Reaction::Ready(_) | Reaction::Refused { .. } => {}
                    }
                    session.receive(Incoming::Binary(part.as_bytes()), known);
                }
            }
        }
    }
}
