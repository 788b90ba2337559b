//! Messages the hub itself makes.
//!
//! In: facts about a message. Out: JSON of the envelope's shape, from the administrator, with
//! the nil id and no time stamp (S-28). Invariant: old clients, which know neither our
//! reference nor our types, read them as envelopes they may ignore.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{MessageId, Refusal, RefusedRecipient, UserId};

/// To the session that submitted it: message `id` is on disk for its recipients. `own_data` is the message's
/// `data`: its member `ref`, a string, comes back, as in [`refused`].
pub(crate) fn accepted(sender: &UserId, id: MessageId, own_data: &str) -> String {
    let mut data = String::with_capacity(48 + REFERENCE_JSON_LEN_MAX);
    data.push_str("{\"id\":\"");
    id.write(&mut data);
    data.push('"');
    push_reference(&mut data, own_data);
    data.push('}');
    notification(sender, &data, "", "notification_accepted")
}

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

/// To the sender: his message was understood but not accepted. `refused_data` is the message's
/// own `data`: its member `ref`, a string, comes back, so that the client knows which message is
/// meant.
pub(crate) fn refused(sender: &UserId, refusal: Refusal, refused_data: &str) -> String {
    let mut data = String::with_capacity(128);
    begin_refusal(refusal, None, refused_data, &mut data);
    data.push('}');
    notification(sender, &data, &refusal.to_string(), "notification_refused")
}

/// To the sender: message `id` was accepted, but not for these recipients, of whom there is at
/// least one.
pub(crate) fn refused_in_part(
    sender: &UserId,
    id: MessageId,
    recipients: &[RefusedRecipient],
    refused_data: &str,
) -> String {
    let refusal = recipients
        .first()
        .map_or(Refusal::MailboxFull, |first| first.refusal);
    let mut data = String::with_capacity(192 + recipients.len() * 48);
    begin_refusal(refusal, Some(id), refused_data, &mut data);
    data.push_str(",\"refused\":[");
    for (index, refused) in recipients.iter().enumerate() {
        if index > 0 {
            data.push(',');
        }
        data.push_str("{\"code\":\"");
        data.push_str(refused.refusal.code());
        data.push_str("\",\"recipient\":");
        refused.recipient.write_json(&mut data);
        data.push('}');
    }
    data.push_str("]}");
    notification(sender, &data, &refusal.to_string(), "notification_refused")
}

/// The members of a refusal's `data` up to the reference, without the closing brace. Codes and
/// texts are plain ASCII without quotes.
fn begin_refusal(refusal: Refusal, id: Option<MessageId>, refused_data: &str, data: &mut String) {
    data.push_str("{\"code\":\"");
    data.push_str(refusal.code());
    if let Some(id) = id {
        data.push_str("\",\"id\":\"");
        id.write(data);
    }
    data.push_str("\",\"message\":\"");
    data.push_str(&refusal.to_string());
    data.push('"');
    push_reference(data, refused_data);
}

/// The `data` of a delivered form.
pub(crate) fn data_of(json: &[u8]) -> &str {
    #[derive(Deserialize)]
    struct WithData<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    serde_json::from_slice(json).map_or("null", |WithData { data }| data.get())
}

fn push_reference(out: &mut String, data: &str) {
    if let Some(reference) = reference(data) {
        out.push_str(",\"ref\":");
        out.push_str(reference);
    }
}

/// The member `ref` of an object as JSON, if it is a string of moderate size.
fn reference(data: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct WithReference<'a> {
        #[serde(borrow, rename = "ref")]
        reference: &'a RawValue,
    }
    let WithReference { reference } = serde_json::from_str(data).ok()?;
    let json = reference.get();
    (json.starts_with('"') && json.len() <= REFERENCE_JSON_LEN_MAX).then_some(json)
}

/// Longest reference that is sent back, quotes included.
const REFERENCE_JSON_LEN_MAX: usize = 130;

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
    fn an_acknowledgement_names_the_message_by_both_its_names() {
        let id = "5A32EA72-38F4D5DC-3541-00000008".parse().unwrap();
        for (data, expected) in [
            (
                r#"{"ref":"r-1","x":[2]}"#,
                r#"{"id":"5A32EA72-38F4D5DC-3541-00000008","ref":"r-1"}"#,
            ),
            ("null", r#"{"id":"5A32EA72-38F4D5DC-3541-00000008"}"#),
        ] {
            let json = accepted(&UserId::from(7), id, data);
            assert_eq!(data_of(json.as_bytes()), expected);
            assert!(
                json.ends_with(r#""timestamp":"","type":"notification_accepted"}"#),
                "{json}"
            );
        }
    }

    #[test]
    fn a_refusal_names_code_and_reason() {
        let json = refused(&UserId::from(7), Refusal::Busy, "null");
        assert_eq!(
            json,
            r#"{"data":{"code":"busy","message":"the server is busy, try again"},"id":"00000000-00000000-0000-00000000","recipients":[7],"sender":0,"text":"the server is busy, try again","timestamp":"","type":"notification_refused"}"#
        );
    }

    #[test]
    fn a_refusal_in_part_names_message_recipients_and_reasons() {
        let refused = |recipient: &str, refusal| RefusedRecipient {
            recipient: recipient.parse().unwrap(),
            refusal,
        };
        let recipients = [
            refused("901", Refusal::MailboxFull),
            refused("bob", Refusal::SenderQuota),
        ];
        let id = "5A32EA72-38F4D5DC-3541-00000008".parse().unwrap();
        let json = refused_in_part(&UserId::from(7), id, &recipients, r#"{"ref":"a"}"#);
        assert_eq!(
            data_of(json.as_bytes()),
            r#"{"code":"mailbox_full","id":"5A32EA72-38F4D5DC-3541-00000008","message":"the mailbox of a recipient is full","ref":"a","refused":[{"code":"mailbox_full","recipient":901},{"code":"sender_quota","recipient":"bob"}]}"#
        );
    }

    #[test]
    fn a_refusal_gives_the_reference_back_if_it_is_a_short_string() {
        let data = |data: &str| {
            let json = refused(&UserId::from(7), Refusal::DiskFull, data);
            data_of(json.as_bytes()).to_owned()
        };
        let with = r#"{"code":"disk_full","message":"the disk is full","ref":"a\u00e9\"b"}"#;
        assert_eq!(data(r#"{"x":[1],"ref":"a\u00e9\"b"}"#), with);
        let long = format!(r#"{{"ref":"{}"}}"#, "x".repeat(129));
        for without in [
            "null",
            "1",
            "[]",
            "{}",
            r#"{"ref":1}"#,
            r#"{"ref":{"a":1}}"#,
            &long,
        ] {
            assert_eq!(
                data(without),
                r#"{"code":"disk_full","message":"the disk is full"}"#,
                "{without}"
            );
        }
    }
}
