//! `tidewire.mux.v1` against the golden vectors that all languages share.
#![forbid(unsafe_code)]

mod conversation; // two ends that judge what they say to each other
mod vectors; // the file, and frames as JSON

use serde_json::Value;
use tidewire_proto::mux::{Frame, FrameError};

use self::{
    conversation::{Conversation, Outcome},
    vectors::{Step, entries},
};

#[test]
fn what_is_valid_decodes_to_its_fields_and_encodes_to_its_bytes() {
    for entry in entries("valid") {
        let step = Step::new(&entry);
        let frame = Frame::decode(&step.bytes, step.from)
            .unwrap_or_else(|error| panic!("{}: {error}", step.name));
        assert_eq!(vectors::to_json(&frame, step.zeros), entry["frame"]);
        assert_eq!(frame.encode().as_ref(), Ok(&step.bytes), "{}", step.name);
    }
}

#[test]
fn what_is_invalid_is_refused_and_says_what_was_expected() {
    for entry in entries("invalid") {
        let step = Step::new(&entry);
        let error = Frame::decode(&step.bytes, step.from).expect_err(&step.name);
        assert_eq!(error.to_string(), entry["error"], "{}", step.name);
        assert!(error.to_string().len() <= 123, "fits a close frame");
    }
}

#[test]
fn dialogues_end_as_they_should() {
    for dialogue in entries("dialogues") {
        let mut conversation = Conversation::default();
        let steps = dialogue["steps"].as_array().expect("steps");
        for (index, entry) in steps.iter().enumerate() {
            let step = Step::new(entry);
            let what = format!("{}, step {}", dialogue["name"], index + 1);
            let frame = Frame::decode(&step.bytes, step.from).expect(&what);
            assert_eq!(vectors::to_json(&frame, step.zeros), entry["frame"]);
            let expected = match (&entry["error"], &entry["ignored"]) {
                (Value::String(error), _) => Outcome::Error(error.clone()),
                (_, Value::Bool(true)) => Outcome::Ignored,
                _ => Outcome::Taken,
            };
            assert_eq!(conversation.say(step.from, &frame), expected, "{what}");
            let is_last = index + 1 == steps.len();
            assert!(is_last || !matches!(expected, Outcome::Error(_)), "{what}");
        }
    }
}

#[test]
fn a_frame_that_breaks_a_rule_is_not_encoded() {
    use tidewire_proto::mux::{Body, Close, Open};
    let name = "n".repeat(256);
    let query = "q".repeat(65_536);
    let open = Open {
        credit: 65_536,
        name: "a",
        ..Open::default()
    };
    let bodies = [
        Body::Open(Open {
            name: &name,
            ..open.clone()
        }),
        Body::Open(Open {
            query: &query,
            ..open.clone()
        }),
        Body::Open(Open {
            subprotocols: vec!["a"; 256],
            ..open
        }),
        Body::Ping(&[0; 126]),
    ];
    for body in bodies {
        let mut out = vec![7];
        let result = Frame { stream: 1, body }.encode_into(&mut out);
        assert!(matches!(result, Err(FrameError::Invalid { .. })));
        assert_eq!(out, [7]);
    }
    let close = Close::new(tidewire_proto::CloseCode::NORMAL, "");
    let body = Body::Close(Some(close));
    let result = Frame { stream: 0, body }.encode();
    assert!(matches!(result, Err(FrameError::StreamZero(_))));
}

#[test]
fn a_reason_is_cut_to_what_fits() {
    use tidewire_proto::{
        CloseCode,
        mux::{Body, Close},
    };
    let reason = "é".repeat(100);
    let close = Close::new(CloseCode::NORMAL, &reason);
    assert_eq!(close.reason.len(), 122);
    let body = Body::Close(Some(close));
    assert!(Frame { stream: 1, body }.encode().is_ok());
}
