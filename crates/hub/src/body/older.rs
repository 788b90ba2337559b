//! Records of before bodies had a version.
//!
//! In: `<id> <sender>\n<json>` for one recipient, or `@<place> <id> <sender>\n<json>`, which several shared: an
//! empty list of recipients began at `place` of the JSON. Out: a body of today. Invariant: nothing writes
//! this form any more; it goes with the last store that may hold one, a
//! [`ttl_seconds_max`](https://docs.rs/tidewire-engine) after the upgrade.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{BodyError, Decoded, Members, encode};

/// The members of the delivered form; the others stand in the header, or are the reader himself.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    text: &'a RawValue,
    #[serde(borrow)]
    timestamp: &'a RawValue,
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
}

pub(super) fn decode(record: &[u8]) -> Result<Decoded, BodyError> {
    let record = str::from_utf8(record).map_err(|_| BodyError)?;
    let (header, json) = record.split_once('\n').ok_or(BodyError)?;
    let header = match header.strip_prefix('@') {
        None => header,
        Some(header) => {
            let (place, header) = header.split_once(' ').ok_or(BodyError)?;
            check_place(json, place)?;
            header
        }
    };
    let (id, sender) = header.split_once(' ').ok_or(BodyError)?;
    let id = id.parse().map_err(|_| BodyError)?;
    let sender = sender.parse().map_err(|_| BodyError)?;
    let Record {
        data,
        text,
        timestamp,
        kind,
    } = serde_json::from_str(json).map_err(|_| BodyError)?;
    let members = Members {
        kind: literal(kind)?,
        timestamp: literal(timestamp)?,
        text: literal(text)?,
        data: data.get(),
    };
    let (body, parts): (Bytes, _) = encode(id, &sender, &members);
    Ok(Decoded {
        id,
        sender,
        body,
        parts,
    })
}

fn literal(value: &RawValue) -> Result<&str, BodyError> {
    let json = value.get();
    json.starts_with('"').then_some(json).ok_or(BodyError)
}

fn check_place(json: &str, place: &str) -> Result<(), BodyError> {
    let place = place.parse().map_err(|_| BodyError)?;
    let (before, after) = json.split_at_checked(place).ok_or(BodyError)?;
    let is_list = before.ends_with('[') && after.starts_with(']');
    is_list.then_some(()).ok_or(BodyError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    fn check(record: &[u8], sender: &str, members: &Members<'_>) {
        let sender: UserId = sender.parse().unwrap();
        let id = "6A0B26FA-7A3EBE5D-18D1-00000002".parse().unwrap();
        let decoded = super::super::decode(Bytes::copy_from_slice(record)).unwrap();
        assert_eq!((decoded.id, &decoded.sender), (id, &sender));
        let (body, parts) = encode(id, &sender, members);
        assert_eq!((decoded.body, decoded.parts), (body, parts));
    }

    /// Bytes that a server of before has written.
    #[test]
    fn records_of_before_are_read() {
        check(
            br#"6A0B26FA-7A3EBE5D-18D1-00000002 1
{"data":{"b":1.50,"a":"recipients"},"id":"6A0B26FA-7A3EBE5D-18D1-00000002","recipients":[42],"sender":1,"text":"\u00e9 \" \n","timestamp":"2026-11-30 09:00:00.123456+00:00","type":"t\u0065xt"}"#,
            "1",
            &Members {
                kind: r#""t\u0065xt""#,
                timestamp: r#""2026-11-30 09:00:00.123456+00:00""#,
                text: r#""\u00e9 \" \n""#,
                data: r#"{"b":1.50,"a":"recipients"}"#,
            },
        );
        check(
            "@66 6A0B26FA-7A3EBE5D-18D1-00000002 a b\"ж\n{\"data\":\"[]\",\"id\":\"6A0B26FA-7A3EBE5D-18D1-00000002\",\"recipients\":[],\"sender\":\"a b\\\"ж\",\"text\":\"\",\"timestamp\":\"\",\"type\":\"poke\"}".as_bytes(),
            "a b\"ж",
            &Members {
                kind: "\"poke\"",
                timestamp: "\"\"",
                text: "\"\"",
                data: "\"[]\"",
            },
        );
    }

    #[test]
    fn something_else_is_an_error() {
        let id = "5A32EA72-38F4D5DC-3541-00000008";
        let rest = r#""text":"","timestamp":"","type":"x"}"#;
        let places = ["", "x", "-1", "9", "11", "99", "99999999999999999999999"]
            .map(|place| format!("@{place} {id} 1\n{{\"d\":\"жж\",\"r\":[],\"data\":1,{rest}"));
        let records = [
            format!("{id}\n{{\"data\":1,{rest}"),
            format!("{id}  42\n{{\"data\":1,{rest}"),
            format!("x 1\n{{\"data\":1,{rest}"),
            format!("{id} 1\n{{{rest}"),
            format!("{id} 1\n{{\"data\":1,\"text\":1,\"timestamp\":\"\",\"type\":\"x\"}}"),
            format!("{id} 1\n{{\"data\":1,{rest} x"),
        ];
        for wrong in places.iter().chain(&records) {
            let decoded = super::super::decode(Bytes::copy_from_slice(wrong.as_bytes()));
            assert_eq!(decoded, Err(BodyError), "{wrong}");
        }
        for wrong in [
            b"".as_slice(),
            b"{}",
            b"x y\n{}",
            b"\xFF",
            b"@",
            b"@\n",
            b"@1\n",
            b"\x02",
        ] {
            let decoded = super::super::decode(Bytes::copy_from_slice(wrong));
            assert_eq!(decoded, Err(BodyError));
        }
    }
}
