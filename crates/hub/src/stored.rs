//! The form in which a message lies in a mailbox.
//!
//! In: id, sender and delivered JSON. Out: `<id> <sender>\n<json>`, all text. Reason: receipts
//! need id and sender after a catch-up, and reading them must not cost a JSON parse.
//! Invariant: ids contain no control characters, so the first line break ends the header.

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

/// An upper bound of what [`write_header`] appends.
pub(crate) fn header_len_max(sender: &UserId) -> usize {
    MessageId::TEXT_LEN + 2 + sender.json_len_max()
}

/// Splits a record into its header and the JSON to deliver.
pub(crate) fn read(record: &[u8]) -> Result<(Receipt, &str), StoredError> {
    let text = str::from_utf8(record).map_err(|_| StoredError)?;
    let (header, json) = text.split_once('\n').ok_or(StoredError)?;
    let (id, sender) = header.split_once(' ').ok_or(StoredError)?;
    let id = id.parse().map_err(|_| StoredError)?;
    let sender = sender.parse().map_err(|_| StoredError)?;
    Ok((Receipt { id, sender }, json))
}

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
            assert_eq!(read(record.as_bytes()), Ok((receipt, "{\"a\":\n1}")));
        }
    }

    #[test]
    fn something_else_is_an_error() {
        for wrong in [b"".as_slice(), b"{}", b"x y\n{}", b"\xFF"] {
            assert_eq!(read(wrong), Err(StoredError));
        }
    }
}
