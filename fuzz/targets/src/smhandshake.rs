//! `SocketMaster`'s dialect: events in either form, the order of the opening, route lines. What is
//! written can be read again; nothing is forwarded before the handshake is over; nothing
//! follows a failure.

use arbitrary::Unstructured;
use tidewire_proto::smhandshake::{
    EVENT_BYTES_MAX, Event, EventError, Form, Incoming, Limits, LineEnd, NAME_BYTES_MAX, Prefix,
    Reaction, RouteLine, Session, is_reserved,
};

/// The whole text, and every beginning of it.
pub(crate) fn event(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for (end, _) in text.char_indices() {
        read_again(text.split_at(end).0);
    }
    read_again(text);
}

fn read_again(text: &str) {
    let (event, form) = match Event::parse(text) {
        Ok(read) => read,
        Err(error) => {
            let long = text.len() > EVENT_BYTES_MAX;
            assert_eq!(error == EventError::TooLong, long, "the limit");
            return;
        }
    };
    assert!(text.contains('{') && text.contains('}'), "an object");
    for other in [Form::Strict, Form::Relaxed] {
        let written = event.render(other);
        if written.len() <= EVENT_BYTES_MAX {
            let again = Event::parse(&written);
            assert_eq!(again, Ok((event.clone(), other)), "{written}");
        }
    }
    // What JSON takes, the unquoted form takes as well, once it cannot be JSON.
    if form == Form::Strict && event.data.is_some() {
        let key = text.replacen("\"event\"", "event", 1);
        if let Ok((same, Form::Relaxed)) = Event::parse(&key) {
            assert_eq!(same, event, "{key}");
        }
    }
}

/// Messages in any order, against the order of the opening written down once more.
pub(crate) fn session(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let limits = Limits {
        bare_ack: u.arbitrary().unwrap_or_default(),
        message_bytes_max: 300,
    };
    let (mut session, mut twin) = (Session::new(limits), Session::new(limits));
    let mut due = Due::Syn;
    while !u.is_empty() {
        let Ok((choice, quoted, text)) = message(&mut u) else {
            return;
        };
        if choice == SILENCE {
            let reaction = session.handle_timeout::<u8>();
            assert_eq!(
                reaction,
                twin.handle_timeout(),
                "equal inputs, equal outputs"
            );
            match reaction {
                None => assert_eq!(due, Due::Messages, "no time-out once it is over"),
                Some(Reaction::Close { .. }) => due = Due::Nothing,
                Some(other) => panic!("{other:?}"),
            }
            continue;
        }
        let input = if choice == BINARY {
            Incoming::Binary(text.as_bytes())
        } else {
            Incoming::Text(&text)
        };
        let reaction = session.receive(input, known);
        assert_eq!(
            reaction,
            twin.receive(input, known),
            "equal inputs, equal outputs"
        );
        due = due.after(choice, &text, &reaction);
        check_said(&session, quoted, choice, &text, &reaction, limits.bare_ack);
        assert_eq!(session.is_ready(), due == Due::Messages);
    }
}

/// What the client has to send, by the protocol's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Syn,
    Ack,
    Names,
    Messages,
    /// It has failed.
    Nothing,
}

impl Due {
    fn after(self, choice: u8, text: &str, reaction: &Reaction<'_, u8>) -> Self {
        let next = match (self, choice) {
            (Self::Nothing, _) => Self::Nothing,
            (Self::Messages, _) | (Self::Names, 4) => Self::Messages,
            (Self::Syn, 0) => Self::Ack,
            (Self::Ack, 1) | (Self::Names, 2 | 3) => Self::Names,
            // Free text may happen to be right: the event says so.
            (_, FREE) => match (self, Event::parse(text).map(|(event, _)| event)) {
                (Self::Syn, Ok(e))
                    if e.name == "SMHandshake" && e.data.as_deref() == Some("SYN") =>
                {
                    Self::Ack
                }
                (Self::Ack, Ok(e))
                    if e.name == "SMHandshake" && e.data.as_deref() == Some("ACK") =>
                {
                    Self::Names
                }
                (Self::Names, Ok(e)) if e.name == "SMHandshakeEnd" => Self::Messages,
                (Self::Names, Ok(e))
                    if e.name == "SMHandshake"
                        && e.data.as_deref().is_some_and(|name| !is_reserved(name)) =>
                {
                    Self::Names
                }
                _ => Self::Nothing,
            },
            _ => Self::Nothing,
        };
        let closes = matches!(reaction, Reaction::Close { .. });
        assert_eq!(
            closes,
            next == Self::Nothing,
            "{self:?}, {text}: {reaction:?}"
        );
        if matches!(
            reaction,
            Reaction::Forward { .. } | Reaction::Refused { .. }
        ) {
            assert_eq!(self, Self::Messages, "nothing is forwarded before the end");
        }
        if matches!(reaction, Reaction::Ready(_)) {
            assert_eq!((self, next), (Self::Names, Self::Messages));
        }
        next
    }
}

/// Answers are events in the client's form, and not much longer than the message.
fn check_said(
    session: &Session,
    quoted: bool,
    choice: u8,
    text: &str,
    reaction: &Reaction<'_, u8>,
    bare: bool,
) {
    let said = match reaction {
        Reaction::Nothing => return,
        Reaction::Forward { line, .. } => {
            assert!(text.is_char_boundary(line.payload_at), "text stays text");
            return;
        }
        Reaction::Answer(said)
        | Reaction::Announced { answer: said, .. }
        | Reaction::Ready(said)
        | Reaction::Refused { answer: said, .. }
        | Reaction::Close { error: said, .. } => said,
    };
    assert!(said.len() <= 2 * 6 * text.len() + 300, "{said}");
    if bare && matches!(said.as_str(), "ACK" | "NACK") {
        return;
    }
    if said.len() <= EVENT_BYTES_MAX {
        let (_, form) = Event::parse(said).expect("an event");
        assert_eq!(form, session.form(), "the client's form");
    }
    if choice < WRITTEN && !matches!(reaction, Reaction::Close { .. }) {
        assert_eq!(session.form() == Form::Strict, quoted, "{said}");
    }
}

/// A message: which one, whether it is written in JSON, its text.
fn message(u: &mut Unstructured<'_>) -> arbitrary::Result<(u8, bool, String)> {
    let choice = u.int_in_range(0..=SILENCE)?;
    let quoted: bool = u.arbitrary()?;
    let (event, data) = match choice {
        0 => ("SMHandshake", "SYN"),
        1 => ("SMHandshake", "ACK"),
        2 => ("SMHandshake", "endpoint1"),
        3 => ("SMHandshake", "nobody"),
        4 => ("SMHandshakeEnd", "x"),
        5 => ("SMError", "x"),
        _ => {
            let free: &str = u.arbitrary()?;
            let line = if quoted { "ROUTENAME=endpoint1\n" } else { "" };
            return Ok((choice, quoted, [line, free].concat()));
        }
    };
    let text = if quoted {
        format!(r#"{{"event":"{event}","data":"{data}"}}"#)
    } else {
        format!("{{event: {event}, data: {data}}}")
    };
    Ok((choice, quoted, text))
}

fn known(name: &str) -> Option<u8> {
    assert!(
        (1..=NAME_BYTES_MAX).contains(&name.len()),
        "asked for names only"
    );
    assert!(!is_reserved(name) || name.len() <= 7);
    name.eq_ignore_ascii_case("endpoint1").then_some(1)
}

/// Below it, messages are written events.
const WRITTEN: u8 = 6;
const FREE: u8 = 6;
const BINARY: u8 = 7;
const SILENCE: u8 = 8;

/// A route line: found where it is, the same with more behind it, written again as it was.
pub(crate) fn route_line(data: &[u8]) {
    let Ok(line) = RouteLine::parse(data) else {
        return;
    };
    assert!(line.payload_at <= data.len());
    let (head, payload) = data.split_at(line.payload_at);
    let prefix = Prefix::of(&line);
    let rest = head
        .strip_prefix(prefix.as_str().as_bytes())
        .expect("what was read is what would be written");
    assert!(
        matches!(rest, b"" | b"\n" | b"\r\n"),
        "one empty line at most"
    );
    assert!(prefix.as_str().len() <= "ROUTENAME=\r\n".len() + NAME_BYTES_MAX);
    let mut followed = Prefix::new("other", LineEnd::Lf);
    followed.follow(&line);
    assert_eq!(followed, prefix);
    // A sender that always adds an empty line keeps every payload.
    let whole = [prefix.as_str().as_bytes(), b"\n", payload].concat();
    let again = RouteLine::parse(&whole).expect("a line of ours");
    assert_eq!(again.name, line.name);
    assert_eq!(whole.get(again.payload_at..), Some(payload));
    // A backend's payload is never taken for a line.
    let nested = [prefix.as_str().as_bytes(), data].concat();
    let outer = RouteLine::parse(&nested).expect("a line of ours");
    assert_eq!(
        nested.get(outer.payload_at..),
        Some(data),
        "the line of a backend is payload"
    );
}
