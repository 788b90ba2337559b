//! `conformance/mux/vectors.json`: what its fields mean stands in the file itself.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tidewire_proto::mux::{Body, Frame, Side};

/// One of the file's lists.
pub(crate) fn entries(list: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/mux/vectors.json");
    let text = fs::read_to_string(&path).expect("the vectors");
    let mut all: Value = serde_json::from_str(&text).expect("valid JSON");
    let Value::Array(entries) = all[list].take() else {
        panic!("{list} is a list");
    };
    assert!(entries.len() > 10, "{list}");
    entries
}

/// A frame in the file.
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) from: Side,
    pub(crate) bytes: Vec<u8>,
    /// How many zero bytes at the end of the payload its JSON does not repeat.
    pub(crate) zeros: usize,
}

impl Step {
    pub(crate) fn new(entry: &Value) -> Self {
        let zeros = entry["zeros"].as_u64().unwrap_or_default();
        let zeros = usize::try_from(zeros).expect("a length");
        let mut bytes = from_hex(entry["hex"].as_str().expect("hex"));
        bytes.resize(bytes.len() + zeros, 0);
        Self {
            name: entry["name"].to_string(),
            from: match entry["from"].as_str() {
                Some("client") => Side::Client,
                Some("gateway") => Side::Gateway,
                other => panic!("{other:?} is no side"),
            },
            bytes,
            zeros,
        }
    }
}

/// The fields of a frame; `zeros` bytes at the end of the payload are left out.
pub(crate) fn to_json(frame: &Frame<'_>, zeros: usize) -> Value {
    let payload = |payload: &[u8]| to_hex(&payload[..payload.len() - zeros]);
    let mut fields = match &frame.body {
        Body::Open(open) => json!({
            "credit": open.credit,
            "name": open.name,
            "query": open.query,
            "subprotocols": open.subprotocols,
        }),
        Body::Accept {
            credit,
            subprotocol,
        } => json!({ "credit": credit, "subprotocol": subprotocol }),
        Body::Reject { status, reason } => json!({ "status": status, "reason": reason }),
        Body::Data {
            flags,
            payload: data,
        } => json!({ "last": flags.last, "binary": flags.binary, "payload": payload(data) }),
        Body::Credit(credit) => json!({ "credit": credit }),
        Body::Close(close) => json!({
            "code": close.map(|close| close.code.0),
            "reason": close.map(|close| close.reason),
        }),
        Body::Ping(data) | Body::Pong(data) => json!({ "payload": payload(data) }),
        Body::Down { retry_ms } => json!({ "retry_ms": retry_ms }),
        Body::Up => json!({}),
        Body::GoAway { within_ms } => json!({ "within_ms": within_ms }),
    };
    fields["type"] = frame.frame_type().name().to_lowercase().into();
    fields["stream"] = frame.stream.into();
    fields
}

fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "whole bytes");
    let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a digit");
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| pair.iter().fold(0, |sum, byte| sum * 16 + digit(byte)))
        .map(|byte| u8::try_from(byte).expect("two digits"))
        .collect()
}

fn to_hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
