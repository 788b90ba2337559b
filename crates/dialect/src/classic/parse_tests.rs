//! Tests of the parser: texts, order of checks, bounds.

use tidewire_hub::{Config, Publication, Settings};

use super::*;
use crate::classic::{Ids, len_max, write};

const MAX: usize = 4;

const SENDER: &str = "Invalid payload: $.sender must be an id: an unsigned 64-bit number or a string of 1 to 128 bytes";

fn parse(payload: &[u8]) -> Result<Command<'_>, EnvelopeError> {
    let config = Config {
        recipients_max: MAX,
        ..Config::default()
    };
    super::parse(payload, Settings::try_from(config).unwrap().recipients())
}

/// The delivered form with a fixed id and time; for what is refused, code, text and reference.
fn deliver(payload: &str) -> Result<String, String> {
    deliver_with(payload, Ids::AsThemselves)
}

fn deliver_with(payload: &str, ids: Ids) -> Result<String, String> {
    let draft = match parse(payload.as_bytes()).map_err(|error| error.to_string())? {
        Command::Publish(draft) => draft,
        Command::Refuse { refusal, reference } => {
            let reference = reference.map_or_else(String::new, |text| text.literal().to_owned());
            return Err(format!("{}: {refusal} {reference}", refusal.code()));
        }
        other => panic!("{other:?}"),
    };
    let id = "5A32EA72-38F4D5DC-3541-00000008".parse().unwrap();
    let publication = Publication::new(id, draft, &JsonText::quote("NOW"));
    let out = write(&publication, ids);
    assert!(out.len() <= len_max(&publication));
    assert!(
        serde_json::from_str::<serde_json::Value>(&out).is_ok(),
        "{out}"
    );
    Ok(out)
}

fn check_error(payload: &str, expected: &str) {
    assert_eq!(deliver(payload), Err(expected.to_owned()), "for {payload}");
}

/// S-21: keys alphabetical, compact; S-22: the client's id is never read.
#[test]
fn the_delivered_form_has_alphabetical_keys_and_the_servers_id() {
    let delivered = deliver(
        r#" {"type":"text", "sender": 1, "recipients":[2, 3],"text":"hi","id":"mine","x":{"y":1}} "#,
    );
    assert_eq!(
        delivered.unwrap(),
        r#"{"data":null,"id":"5A32EA72-38F4D5DC-3541-00000008","recipients":[2,3],"sender":1,"text":"hi","timestamp":"NOW","type":"text"}"#
    );
}

#[test]
fn data_and_text_pass_through_byte_for_byte() {
    let delivered = deliver(
        r#"{"type":"b64image","sender":"anna","recipients":["42","bob"],"text":"\u0041\n","data":{ "b":1.0, "a":1e300,"b":"\/"}}"#,
    );
    assert_eq!(
        delivered.unwrap(),
        r#"{"data":{ "b":1.0, "a":1e300,"b":"\/"},"id":"5A32EA72-38F4D5DC-3541-00000008","recipients":[42,"bob"],"sender":"anna","text":"\u0041\n","timestamp":"NOW","type":"b64image"}"#
    );
}

/// S-23: a client's string is kept, anything else is replaced.
#[test]
fn a_timestamp_is_kept_when_it_is_a_short_string() {
    let with = |timestamp: &str| {
        let payload =
            format!(r#"{{"type":"x","sender":1,"recipients":[2],"timestamp":{timestamp}}}"#);
        deliver(&payload).unwrap()
    };
    assert!(with("\"2018\"").contains(r#""timestamp":"2018","#));
    assert!(with("\"\"").contains(r#""timestamp":"","#));
    let longest = format!("\"{}\"", "t".repeat(64));
    assert!(with(&longest).contains(&longest));
    for replaced in ["1", "null", "{}", &format!("\"{}\"", "t".repeat(65))] {
        assert!(
            with(replaced).contains(r#""timestamp":"NOW","#),
            "{replaced}"
        );
    }
}

/// S-20: exact texts.
#[test]
fn each_broken_rule_has_its_exact_text() {
    check_error("", "Empty message");
    check_error("[1]", "Invalid payload: expected an object");
    check_error("7", "Invalid payload: expected an object");
    check_error(
        "{",
        "Invalid payload: EOF while parsing an object at line 1 column 1",
    );
    check_error(
        "[",
        "Invalid payload: EOF while parsing a list at line 1 column 1",
    );
    check_error(
        "{} x",
        "Invalid payload: trailing characters at line 1 column 4",
    );
    check_error(
        r#"{"type":"a","type":"b"}"#,
        "Invalid payload: duplicate field `type` at line 1 column 18",
    );
    check_error("{}", "Invalid payload: $.type must be a string");
    check_error(
        r#"{"type":null}"#,
        "Invalid payload: $.type must be a string",
    );
    check_error(r#"{"type":1}"#, "Invalid payload: $.type must be a string");
    for sender in [
        "null",
        "-1",
        "1.5",
        "[1]",
        "18446744073709551616",
        "\"\"",
        "\" 42\"",
    ] {
        let payload = format!(r#"{{"type":"x","sender":{sender},"recipients":[2]}}"#);
        check_error(&payload, SENDER);
    }
    for recipients in [
        "null",
        "2",
        "{}",
        "[-1]",
        "[2,null]",
        "[[2]]",
        "[2.5]",
        "[-0]",
        "[\"\"]",
        "[true]",
        "[1e20]",
        "[1,2,3,4,5,-6]",
    ] {
        let payload = format!(r#"{{"type":"x","sender":1,"recipients":{recipients}}}"#);
        check_error(
            &payload,
            "Invalid payload: $.recipients[] must be ids: unsigned 64-bit numbers or strings of 1 to 128 bytes",
        );
    }
    check_error(
        r#"{"type":"x","sender":1,"recipients":[]}"#,
        "Invalid payload: $.recipients[] must contain at least 1 id",
    );
    for text in ["", r#","text":1"#, r#","text":null"#] {
        let payload = format!(r#"{{"type":"text","sender":1,"recipients":[2]{text}}}"#);
        check_error(&payload, "Invalid payload: $.text must be string");
    }
}

/// Old servers had none of these bounds, so a message beyond one costs nobody the connection, and its sender hears which
/// message it was.
#[test]
fn what_is_beyond_a_bound_is_refused_by_its_reference() {
    // The members of a good message, but for those given.
    let with = |members: &str| {
        let good = [
            ("\"type\"", r#""x""#),
            ("\"recipients\"", "[2]"),
            ("\"data\"", r#"{"ref":"r"}"#),
        ];
        let missing = good.iter().filter(|(name, _)| !members.starts_with(name));
        let missing: Vec<String> = missing
            .map(|(name, value)| format!("{name}:{value},"))
            .collect();
        let missing = missing.concat();
        format!(r#"{{{missing}"sender":1,{members}}}"#)
    };
    let deep = format!(
        r#"{{"ref":"r","x":{}{}}}"#,
        "[".repeat(126),
        "]".repeat(126)
    );
    for (members, refused) in [
        (
            r#""recipients":[1,2,3,4,5]"#.to_owned(),
            "too_many_recipients: $.recipients[] must contain at most 4 values \"r\"",
        ),
        (
            format!(r#""type":"{}""#, "t".repeat(65)),
            "type_too_long: $.type must have at most 64 bytes \"r\"",
        ),
        (
            format!(r#""data":{deep}"#),
            "too_deep: nested deeper than 127 levels \"r\"",
        ),
        (
            r#""data":{"ref":"r","x":1e400}"#.to_owned(),
            "number_too_large: a number in $.data must have at most 1000 characters and be below 1.8e308 \"r\"",
        ),
        (
            r#""recipients":[1,2,3,4,5,5,5,1]"#.to_owned(),
            "too_many_recipients: $.recipients[] must contain at most 4 values \"r\"",
        ),
    ] {
        check_error(&with(&members), refused);
    }
    assert!(
        deliver(&with(r#""recipients":[1,2,3,4,4,4,3,2,1]"#)).is_ok(),
        "a repeated id counts once"
    );
    // Numbers of members that are not passed on do not matter.
    assert!(deliver(&with(r#""x":1e400"#)).is_ok());
    let no_text = r#"{"type":"text","sender":1,"recipients":[1,2,3,4,5]}"#;
    check_error(no_text, "Invalid payload: $.text must be string");
}

/// Kinds: numbers, quoted numbers, numbers with a point or an exponent, names that read as numbers, names in either
/// normal form.
#[test]
fn ids_are_read_by_their_one_rule_and_written_as_who_reads_them_wishes() {
    let payload = r#"{"type":"x","sender":"Jo\u0308rg","recipients":[9007199254740993,"18446744073709551615",2.0,"007"]}"#;
    let numbers = deliver(payload).unwrap();
    assert!(
        numbers.contains(
            r#""recipients":[9007199254740993,18446744073709551615,2,"007"],"sender":"Jörg""#
        ),
        "{numbers}"
    );
    let strings = deliver_with(payload, Ids::AsStrings).unwrap();
    assert!(
        strings.contains(
            r#""recipients":["9007199254740993","18446744073709551615","2","007"],"sender":"Jörg""#
        ),
        "{strings}"
    );
}

#[test]
fn the_checks_come_in_the_documented_order() {
    check_error(
        r#"{"sender":-1,"recipients":[]}"#,
        "Invalid payload: $.type must be a string",
    );
    check_error(r#"{"type":"text","sender":-1,"recipients":[]}"#, SENDER);
    check_error(
        r#"{"type":"text","sender":1,"recipients":[]}"#,
        "Invalid payload: $.recipients[] must contain at least 1 id",
    );
}

#[test]
fn a_text_that_is_no_string_becomes_empty_in_other_types() {
    for text in ["1", "null", "{\"a\":1}"] {
        let payload = format!(r#"{{"type":"x","sender":1,"recipients":[2],"text":{text}}}"#);
        assert!(deliver(&payload).unwrap().contains(r#""text":"","#));
    }
}

/// S-20: the original takes one.
#[test]
fn a_byte_order_mark_is_passed_over() {
    let payload = "\u{feff}{\"type\":\"x\",\"sender\":1,\"recipients\":[2]}";
    assert!(deliver(payload).is_ok());
    check_error("\u{feff}", "Empty message");
    assert!(deliver(&format!("\u{feff}{payload}")).is_err());
}

#[test]
fn the_type_is_bounded_and_may_be_escaped() {
    let with = |kind: &str| format!(r#"{{"type":"{kind}","sender":1,"recipients":[2]}}"#);
    assert!(deliver(&with(&"t".repeat(64))).is_ok());
    // An escaped "text" is the type `text`, and is passed on as it came.
    check_error(
        &with(r"te\u0078t"),
        "Invalid payload: $.text must be string",
    );
    assert!(
        deliver(&with(r"a\u0062"))
            .unwrap()
            .ends_with(r#""type":"a\u0062"}"#)
    );
}

#[test]
fn what_other_readers_would_choke_on_is_refused() {
    let data = |data: &str| format!(r#"{{"type":"x","sender":1,"recipients":[2],"data":{data}}}"#);
    check_error(
        &data(r#""\ud800""#),
        "Invalid payload: unpaired surrogate in a string",
    );
    assert!(deliver(&data(&format!("{}{}", "[".repeat(126), "]".repeat(126)))).is_ok());
    let error = parse(b"{\"type\":\"\xFF\"}").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Invalid payload: invalid utf-8"),
        "{error}"
    );
}

#[test]
fn only_zeros_are_for_the_bot() {
    let is_for_bot = |recipients: &str| {
        let payload = format!(r#"{{"type":"x","sender":1,"recipients":{recipients}}}"#);
        let Ok(Command::Publish(draft)) = parse(payload.as_bytes()) else {
            panic!("expected a draft of {recipients}");
        };
        draft.is_for_bot()
    };
    assert!(is_for_bot("[0]"));
    assert!(is_for_bot("[\"0\",0]"));
    assert!(!is_for_bot("[0,1]"));
}
