//! The form in which a message lies in a mailbox.
//!
//! In: id, sender and delivered JSON. Out: `<id> <sender>\n<json>`, all text, for one recipient;
//! for several, who share the record, `@<place> <id> <sender>\n<json>`, with an empty list of
//! recipients that begins at `place` of the JSON and is filled in when the record is read. Reason:
//! receipts need id and sender after a catch-up, and reading them must not cost a JSON parse.
//! Invariant: ids contain no control characters, so the first line break ends the header.

use std::{borrow::Cow, fmt::Write as _};

use crate::{MessageId, UserId};

/// What a delivery owes to the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) id: MessageId,
    pub(crate) sender: UserId,
}

/// A mailbox holds something that is no record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stored message")]
pub(crate) struct StoredError;

/// Appends the header of a shared record, before [`write_header`].
pub(crate) fn write_place(recipients_at: usize, out: &mut String) {
    // Writing to a string never fails.
    write!(out, "{SHARED}{recipients_at} ").ok();
}

/// Appends the header; the JSON follows.
pub(crate) fn write_header(id: MessageId, sender: &UserId, out: &mut String) {
    id.write(out);
    out.push(' ');
    match sender.as_number() {
        Some(_) => sender.write_json(out),
        None => out.push_str(&sender.mailbox_key()),
    }
    out.push('\n');
}

/// An upper bound of what [`write_place`] and [`write_header`] append.
pub(crate) fn header_len_max(sender: &UserId) -> usize {
    MessageId::TEXT_LEN + 24 + sender.json_len_max()
}

/// Splits a record into its header and the JSON to deliver to `recipient`.
pub(crate) fn read<'a>(
    record: &'a [u8],
    recipient: &UserId,
) -> Result<(Receipt, Cow<'a, str>), StoredError> {
    let text = str::from_utf8(record).map_err(|_| StoredError)?;
    let (header, json) = text.split_once('\n').ok_or(StoredError)?;
    let (header, json) = match header.strip_prefix(SHARED) {
        None => (header, Cow::Borrowed(json)),
        Some(header) => {
            let (place, header) = header.split_once(' ').ok_or(StoredError)?;
            let place = place.parse().map_err(|_| StoredError)?;
            (header, Cow::Owned(for_one(json, place, recipient)?))
        }
    };
    let (id, sender) = header.split_once(' ').ok_or(StoredError)?;
    let id = id.parse().map_err(|_| StoredError)?;
    let sender = sender.parse().map_err(|_| StoredError)?;
    Ok((Receipt { id, sender }, json))
}

/// Fills `recipient` into the empty list that begins at `place`.
fn for_one(json: &str, place: usize, recipient: &UserId) -> Result<String, StoredError> {
    let (before, after) = json.split_at_checked(place).ok_or(StoredError)?;
    if !before.ends_with('[') || !after.starts_with(']') {
        return Err(StoredError);
    }
    let mut filled = String::with_capacity(json.len() + recipient.json_len_max());
    filled.push_str(before);
    recipient.write_json(&mut filled);
    filled.push_str(after);
    Ok(filled)
}

/// Marks a record that several recipients share. No message id begins so.
const SHARED: char = '@';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back() {
        for sender in ["7", "a b\"c", "18446744073709551615"] {
            let receipt = Receipt {
                id: "5A32EA72-38F4D5DC-3541-00000008".parse().unwrap(),
                sender: sender.parse().unwrap(),
            };
            let mut record = String::new();
            write_header(receipt.id, &receipt.sender, &mut record);
            assert!(record.len() <= header_len_max(&receipt.sender));
            record.push_str("{\"a\":\n1}");
            let read = read(record.as_bytes(), &UserId::from(1));
            assert_eq!(read, Ok((receipt, "{\"a\":\n1}".into())));
        }
    }

    #[test]
    fn a_shared_record_names_whoever_reads_it() {
        let id = "5A32EA72-38F4D5DC-3541-00000008".parse().unwrap();
        let (mut record, sender) = (String::new(), "a b".parse().unwrap());
        let json = "{\"data\":\"ж\",\"recipients\":[],\"text\":\"[]\"}";
        write_place(json.find("[]").unwrap() + 1, &mut record);
        write_header(id, &sender, &mut record);
        assert!(record.len() <= header_len_max(&sender));
        record.push_str(json);
        for recipient in ["7", "bob"] {
            let recipient = recipient.parse().unwrap();
            let (receipt, read) = read(record.as_bytes(), &recipient).unwrap();
            let sender = sender.clone();
            assert_eq!(receipt, Receipt { id, sender });
            let mut list = String::new();
            recipient.write_json(&mut list);
            assert_eq!(read, json.replacen("[]", &format!("[{list}]"), 1));
        }
    }

    #[test]
    fn something_else_is_an_error() {
        let id = "5A32EA72-38F4D5DC-3541-00000008";
        let places = [
            "",
            "x",
            "-1",
            "11",
            "18",
            "99",
            "99999999999999999999999",
            "9",
        ]
        .map(|place| format!("@{place} {id} 1\n{{\"d\":\"жж\",[]}}"));
        for wrong in places {
            let read = read(wrong.as_bytes(), &UserId::from(1));
            assert_eq!(read, Err(StoredError), "{wrong}");
        }
        for wrong in [
            b"".as_slice(),
            b"{}",
            b"x y\n{}",
            b"\xFF",
            b"@",
            b"@\n",
            b"@1\n",
        ] {
            assert_eq!(read(wrong, &UserId::from(1)), Err(StoredError));
        }
    }
}
