//! What became of messages: notices.
//!
//! In: facts about a message. Out: JSON of the envelope's shape, from the administrator, with
//! the nil id and no time stamp. Invariant: old clients, which know neither our
//! reference nor our types, read them as envelopes they may ignore.

use serde::Deserialize;
use serde_json::value::RawValue;
use tidewire_hub::{JsonText, MessageId, Notice, Refusal, RefusedRecipient, UserId};

use super::Ids;

/// The notice as a session of `user` gets it.
pub(super) fn write(notice: &Notice, user: &UserId, ids: Ids) -> String {
    match notice {
        Notice::Accepted { id, reference } => {
            let data = accepted(*id, reference.as_deref());
            envelope((user, ids), &data, "", "notification_accepted")
        }
        Notice::Received { id, recipient } => {
            let data = received(*id, recipient, ids);
            envelope((user, ids), &data, "", "notification_received")
        }
        Notice::Refused { refusal, reference } => {
            let mut data = String::with_capacity(128);
            begin_refusal(*refusal, None, reference.as_deref(), &mut data);
            data.push('}');
            envelope((user, ids), &data, &refusal.to_string(), REFUSED)
        }
        Notice::RefusedInPart {
            id,
            recipients,
            reference,
        } => {
            let refusal = recipients
                .first()
                .map_or(Refusal::MailboxFull, |first| first.refusal);
            let mut data = String::with_capacity(192 + recipients.len() * 48);
            begin_refusal(refusal, Some(*id), reference.as_deref(), &mut data);
            push_refused(recipients, ids, &mut data);
            data.push('}');
            envelope((user, ids), &data, &refusal.to_string(), REFUSED)
        }
    }
}

fn accepted(id: MessageId, reference: Option<&str>) -> String {
    let mut data = String::with_capacity(48 + REFERENCE_JSON_LEN_MAX);
    data.push_str("{\"id\":\"");
    id.write(&mut data);
    data.push('"');
    push_reference(reference, &mut data);
    data.push('}');
    data
}

fn received(id: MessageId, recipient: &UserId, ids: Ids) -> String {
    let mut data = String::with_capacity(72 + recipient.json_len_max());
    data.push_str("{\"id\":\"");
    id.write(&mut data);
    data.push_str("\",\"recipient\":");
    ids.write(recipient, &mut data);
    data.push('}');
    data
}

fn push_refused(recipients: &[RefusedRecipient], ids: Ids, data: &mut String) {
    data.push_str(",\"refused\":[");
    for (index, refused) in recipients.iter().enumerate() {
        if index > 0 {
            data.push(',');
        }
        data.push_str("{\"code\":\"");
        data.push_str(refused.refusal.code());
        data.push_str("\",\"recipient\":");
        ids.write(&refused.recipient, data);
        data.push('}');
    }
    data.push(']');
}

/// The members of a refusal's `data` up to the reference, without the closing brace. Codes and
/// texts are plain ASCII without quotes.
fn begin_refusal(
    refusal: Refusal,
    id: Option<MessageId>,
    reference: Option<&str>,
    data: &mut String,
) {
    data.push_str("{\"code\":\"");
    data.push_str(refusal.code());
    if let Some(id) = id {
        data.push_str("\",\"id\":\"");
        id.write(data);
    }
    data.push_str("\",\"message\":\"");
    data.push_str(&refusal.to_string());
    data.push('"');
    push_reference(reference, data);
}

fn push_reference(reference: Option<&str>, out: &mut String) {
    if let Some(reference) = reference {
        out.push_str(",\"ref\":");
        out.push_str(reference);
    }
}

/// The member `ref` of a message's `data`, if it is a string of moderate size: it comes back in the notices about
/// the message, so that the client knows which one is meant.
pub(super) fn reference(data: &str) -> Option<JsonText<'_>> {
    #[derive(Deserialize)]
    struct WithReference<'a> {
        #[serde(borrow, rename = "ref")]
        reference: &'a RawValue,
    }
    // Most messages have none, and are not read again for it. The key may be written with escapes, and the only
    // element of an array counts as well.
    let may_have_one = match data.strip_prefix('[') {
        Some(elements) => elements.trim_start().starts_with('"'),
        None => data.starts_with('{') && (data.contains("\"ref\"") || data.contains('\\')),
    };
    if !may_have_one {
        return None;
    }
    let WithReference { reference } = serde_json::from_str(data).ok()?;
    let json = reference.get();
    let is_short = json.len() <= REFERENCE_JSON_LEN_MAX;
    is_short.then(|| JsonText::from_literal(json)).flatten()
}

/// Longest reference that is sent back, quotes included.
const REFERENCE_JSON_LEN_MAX: usize = 130;

const REFUSED: &str = "notification_refused";

fn envelope((to, ids): (&UserId, Ids), data: &str, text: &str, kind: &str) -> String {
    let mut out = String::with_capacity(160 + to.json_len_max() + data.len() + text.len());
    out.push_str("{\"data\":");
    out.push_str(data);
    out.push_str(",\"id\":\"");
    MessageId::NIL.write(&mut out);
    out.push_str("\",\"recipients\":[");
    ids.write(to, &mut out);
    out.push_str("],\"sender\":");
    ids.write(&UserId::BOT, &mut out);
    out.push_str(",\"text\":\"");
    out.push_str(text);
    out.push_str("\",\"timestamp\":\"\",\"type\":\"");
    out.push_str(kind);
    out.push_str("\"}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> MessageId {
        "5A32EA72-38F4D5DC-3541-00000008".parse().unwrap()
    }

    /// The notice to user 7.
    fn written(notice: &Notice) -> String {
        write(notice, &UserId::from(7), Ids::AsThemselves)
    }

    fn data_of(json: &str) -> String {
        #[derive(Deserialize)]
        struct WithData<'a> {
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let WithData { data } = serde_json::from_str(json).unwrap();
        data.get().to_owned()
    }

    #[test]
    fn a_receipt_has_the_old_shape_and_a_reference_in_its_data() {
        let recipient = "bob".parse().unwrap();
        assert_eq!(
            written(&Notice::Received {
                id: id(),
                recipient
            }),
            r#"{"data":{"id":"5A32EA72-38F4D5DC-3541-00000008","recipient":"bob"},"id":"00000000-00000000-0000-00000000","recipients":[7],"sender":0,"text":"","timestamp":"","type":"notification_received"}"#
        );
    }

    #[test]
    fn every_id_is_a_string_for_who_asks() {
        let id = id();
        let recipient = UserId::from(8);
        let refused = RefusedRecipient {
            recipient: recipient.clone(),
            refusal: Refusal::MailboxFull,
        };
        for (notice, part) in [
            (Notice::Received { id, recipient }, r#""recipient":"8"}"#),
            (
                Notice::RefusedInPart {
                    id,
                    recipients: vec![refused],
                    reference: None,
                },
                r#""refused":[{"code":"mailbox_full","recipient":"8"}]}"#,
            ),
        ] {
            let json = write(&notice, &UserId::from(7), Ids::AsStrings);
            assert!(json.contains(part), "{json}");
            assert!(
                json.contains(r#""recipients":["7"],"sender":"0","#),
                "{json}"
            );
        }
    }

    #[test]
    fn an_acknowledgement_names_the_message_by_both_its_names() {
        for (data, expected) in [
            (
                r#"{"ref":"r-1","x":[2]}"#,
                r#"{"id":"5A32EA72-38F4D5DC-3541-00000008","ref":"r-1"}"#,
            ),
            ("null", r#"{"id":"5A32EA72-38F4D5DC-3541-00000008"}"#),
        ] {
            let reference = reference(data).map(|text| text.literal().into());
            let json = written(&Notice::Accepted {
                id: id(),
                reference,
            });
            assert_eq!(data_of(&json), expected);
            assert!(
                json.ends_with(r#""timestamp":"","type":"notification_accepted"}"#),
                "{json}"
            );
        }
    }

    #[test]
    fn a_refusal_names_code_and_reason() {
        let (refusal, reference) = (Refusal::Busy, None);
        assert_eq!(
            written(&Notice::Refused { refusal, reference }),
            r#"{"data":{"code":"busy","message":"the server is busy, try again"},"id":"00000000-00000000-0000-00000000","recipients":[7],"sender":0,"text":"the server is busy, try again","timestamp":"","type":"notification_refused"}"#
        );
    }

    #[test]
    fn a_refusal_in_part_names_message_recipients_and_reasons() {
        let refused = |recipient: &str, refusal| RefusedRecipient {
            recipient: recipient.parse().unwrap(),
            refusal,
        };
        let json = written(&Notice::RefusedInPart {
            id: id(),
            recipients: vec![
                refused("901", Refusal::MailboxFull),
                refused("bob", Refusal::SenderQuota),
            ],
            reference: Some("\"a\"".into()),
        });
        assert_eq!(
            data_of(&json),
            r#"{"code":"mailbox_full","id":"5A32EA72-38F4D5DC-3541-00000008","message":"the mailbox of a recipient is full","ref":"a","refused":[{"code":"mailbox_full","recipient":901},{"code":"sender_quota","recipient":"bob"}]}"#
        );
    }

    #[test]
    fn a_refusal_gives_the_reference_back_if_it_is_a_short_string() {
        let data = |data: &str| {
            let json = written(&Notice::Refused {
                refusal: Refusal::DiskFull,
                reference: reference(data).map(|text| text.literal().into()),
            });
            data_of(&json)
        };
        let with = r#"{"code":"disk_full","message":"the disk is full","ref":"a\u00e9\"b"}"#;
        for data_with in [
            r#"{"x":[1],"ref":"a\u00e9\"b"}"#,
            r#"{"r\u0065f":"a\u00e9\"b"}"#,
            r#"["a\u00e9\"b"]"#,
        ] {
            assert_eq!(data(data_with), with);
        }
        let long = format!(r#"{{"ref":"{}"}}"#, "x".repeat(129));
        for without in [
            "null",
            "1",
            "[]",
            "{}",
            r#"{"ref":1}"#,
            r#"{"ref":{"a":1}}"#,
            r#"{"ref":"a","ref":"b"}"#,
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
