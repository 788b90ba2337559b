//! Messages the hub itself makes.
//!
//! In: facts about a message. Out: JSON of the envelope's shape, from the administrator, with
//! the nil id and no time stamp (S-28). Invariant: old clients, which know neither our
//! reference nor our types, read them as envelopes they may ignore.

use crate::{MessageId, UserId};

/// To the sender: one connection of `recipient` has received message `id` (S-28).
pub(crate) fn received(sender: &UserId, id: MessageId, recipient: &UserId) -> String {
    let mut data = String::with_capacity(72 + recipient.json_len_max());
    data.push_str("{\"id\":\"");
    id.write(&mut data);
    data.push_str("\",\"recipient\":");
    recipient.write_json(&mut data);
    data.push('}');
    notification(sender, &data, "", "notification_received")
}

/// To the sender: his message was understood but not accepted. `code` and `message` are
/// plain ASCII without quotes.
pub(crate) fn refused(sender: &UserId, code: &str, message: &str) -> String {
    let data = format!("{{\"code\":\"{code}\",\"message\":\"{message}\"}}");
    notification(sender, &data, message, "notification_refused")
}

fn notification(to: &UserId, data: &str, text: &str, kind: &str) -> String {
    let mut out = String::with_capacity(160 + to.json_len_max() + data.len() + text.len());
    out.push_str("{\"data\":");
    out.push_str(data);
    out.push_str(",\"id\":\"");
    MessageId::NIL.write(&mut out);
    out.push_str("\",\"recipients\":[");
    to.write_json(&mut out);
    out.push_str("],\"sender\":0,\"text\":\"");
    out.push_str(text);
    out.push_str("\",\"timestamp\":\"\",\"type\":\"");
    out.push_str(kind);
    out.push_str("\"}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S-28, with our reference inside `data`.
    #[test]
    fn a_receipt_has_the_old_shape_and_a_reference_in_its_data() {
        let id = "5A32EA72-38F4D5DC-3541-00000008".parse().unwrap();
        let json = received(&UserId::from(7), id, &"bob".parse().unwrap());
        assert_eq!(
            json,
            r#"{"data":{"id":"5A32EA72-38F4D5DC-3541-00000008","recipient":"bob"},"id":"00000000-00000000-0000-00000000","recipients":[7],"sender":0,"text":"","timestamp":"","type":"notification_received"}"#
        );
    }

    #[test]
    fn a_refusal_names_code_and_reason() {
        let json = refused(&UserId::from(7), "busy", "try again");
        assert_eq!(
            json,
            r#"{"data":{"code":"busy","message":"try again"},"id":"00000000-00000000-0000-00000000","recipients":[7],"sender":0,"text":"try again","timestamp":"","type":"notification_refused"}"#
        );
    }
}
