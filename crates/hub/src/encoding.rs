//! From an envelope to what live sessions get and what mailboxes keep.
//!
//! In: an envelope that is accepted. Out: one frame for all live sessions, with the full list of
//! recipients (S-21), and one record for all mailboxes. Invariant: a message is held once, however
//! many its recipients are.

use bytes::Bytes;
use jiff::Timestamp;
use tidewire_proto::Prepared;

use crate::{
    Hub, MessageId, UserId,
    clock::write_timestamp,
    envelope::Envelope,
    stored::{self, Receipt},
};

/// What the delivery of a message needs.
pub(crate) struct Message {
    pub(crate) receipt: Receipt,
    /// Who gets it: all but the administrator.
    pub(crate) recipients: Vec<UserId>,
    pub(crate) frame: Prepared,
    pub(crate) sends_back: bool,
}

impl Hub {
    /// The message, and the record to keep.
    pub(crate) fn encode(
        &self,
        envelope: &Envelope<'_>,
        id: MessageId,
        now: Timestamp,
    ) -> (Message, Bytes) {
        let timestamp = self.timestamp(envelope, now);
        if let [only] = envelope.recipients() {
            // The form for one recipient is the full one.
            let record = record(envelope, id, Some(only), &timestamp);
            let json = record.split_once('\n').map_or("", |(_header, json)| json);
            let frame = Prepared::text(json);
            return (self.message(envelope, id, frame), Bytes::from(record));
        }
        let frame = frame(envelope, id, &timestamp);
        let record = record(envelope, id, None, &timestamp);
        (self.message(envelope, id, frame), Bytes::from(record))
    }

    /// The message alone, which is not stored.
    pub(crate) fn encode_live(
        &self,
        envelope: &Envelope<'_>,
        id: MessageId,
        now: Timestamp,
    ) -> Message {
        let frame = frame(envelope, id, &self.timestamp(envelope, now));
        self.message(envelope, id, frame)
    }

    fn message(&self, envelope: &Envelope<'_>, id: MessageId, frame: Prepared) -> Message {
        let sender = envelope.sender();
        // 0 inside a longer list is skipped (S-24).
        let recipients = envelope.recipients().iter().filter(|id| !id.is_bot());
        Message {
            receipt: Receipt {
                id,
                sender: sender.clone(),
            },
            recipients: recipients.cloned().collect(),
            frame,
            sends_back: !sender.is_bot() && self.settings().sends_back(envelope.kind()),
        }
    }

    /// Empty when the client's own is kept.
    fn timestamp(&self, envelope: &Envelope<'_>, now: Timestamp) -> String {
        let mut timestamp = String::new();
        if !envelope.has_timestamp() {
            timestamp.reserve(32);
            write_timestamp(&mut timestamp, now, &self.settings().zone);
        }
        timestamp
    }
}

fn frame(envelope: &Envelope<'_>, id: MessageId, timestamp: &str) -> Prepared {
    let all = envelope.recipients();
    let mut json = String::with_capacity(envelope.json_len_max(all));
    envelope.write(id, all, timestamp, &mut json);
    Prepared::text(&json)
}

/// For its only recipient, or to be shared by several.
fn record(
    envelope: &Envelope<'_>,
    id: MessageId,
    only: Option<&UserId>,
    timestamp: &str,
) -> String {
    let sender = envelope.sender();
    let recipients = only.map(std::slice::from_ref).unwrap_or_default();
    let len_max = stored::header_len_max(sender) + envelope.json_len_max(recipients);
    let mut record = String::with_capacity(len_max);
    if only.is_none() {
        stored::write_place(envelope.recipients_at(), &mut record);
    }
    stored::write_header(id, sender, &mut record);
    envelope.write(id, recipients, timestamp, &mut record);
    record
}
