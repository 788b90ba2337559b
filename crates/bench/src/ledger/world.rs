//! [`World`]: what all clients of a round share, and the form of their messages.

use std::{net::SocketAddr, time::Duration};

use parking_lot::{Mutex, MutexGuard};

use serde::Deserialize;

use super::{
    book::{Arrival, Connection, Ledger, Number, Outcome},
    pace::Pace,
    random::Random,
};

/// Most recipients of a message.
const RECIPIENTS_MAX: u64 = 3;

/// Most bytes that fill a message up.
const FILLER_MAX: u64 = 400;

#[derive(Debug)]
pub(super) struct World {
    pub(super) ledger: Mutex<Ledger>,
    /// Proxies in front of the server.
    pub(super) messaging: SocketAddr,
    pub(super) rest: SocketAddr,
    /// Users who can receive.
    pub(super) recipients: Vec<u64>,
    pub(super) pace: Pace,
    /// Mean time between the messages of a user who talks.
    pub(super) interval: Duration,
    /// Mailboxes may be full, so that a message may be refused for some of its recipients.
    pub(super) has_quota: bool,
}

/// A message as it comes, as far as clients look at it.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    pub(super) id: String,
    pub(super) sender: u64,
    pub(super) text: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) data: Option<Data>,
}

/// What a refusal says.
#[derive(Debug, Deserialize)]
pub(super) struct Data {
    /// The number of the message.
    #[serde(rename = "ref")]
    reference: Option<String>,
    /// Whom the message was refused for; all, if that is not said.
    refused: Option<Vec<RefusedFor>>,
}

#[derive(Debug, Deserialize)]
struct RefusedFor {
    recipient: u64,
}

impl World {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    pub(super) fn into_ledger(self) -> Ledger {
        self.ledger.into_inner()
    }

    /// Notes a message to some other users; returns it as it goes to the server.
    pub(super) fn write(
        &self,
        sender: u64,
        connection: Connection,
        random: &mut Random,
    ) -> (Number, String) {
        let mut recipients: Vec<u64> = self.recipients.clone();
        recipients.retain(|user| *user != sender);
        let count = 1 + random.below(RECIPIENTS_MAX);
        while recipients.len() as u64 > count {
            let index = random.below(recipients.len() as u64);
            recipients.swap_remove(usize::try_from(index).unwrap_or_default());
        }
        self.write_to(sender, connection, recipients, random)
    }

    pub(super) fn write_to(
        &self,
        sender: u64,
        connection: Connection,
        recipients: Vec<u64>,
        random: &mut Random,
    ) -> (Number, String) {
        let to = format!("{recipients:?}");
        let number = self.ledger().sent(connection, recipients);
        let filler = "x".repeat(usize::try_from(random.below(FILLER_MAX)).unwrap_or_default());
        let text = format!("{number} {filler}");
        let message = format!(
            r#"{{"type":"text","sender":{sender},"recipients":{to},"text":"{text}","data":{{"ref":"{number}"}}}}"#
        );
        (number, message)
    }

    /// A message for a user was read; returns its number.
    pub(super) fn read(
        &self,
        user: u64,
        connection: Connection,
        envelope: &Envelope,
    ) -> Option<Number> {
        let number = envelope.number()?;
        self.ledger().read(&Arrival {
            user,
            connection,
            number,
            id: &envelope.id,
        });
        Some(number)
    }

    /// The time until a user's next message.
    pub(super) fn think(&self, random: &mut Random) -> Duration {
        let percent = u32::try_from(random.below(201)).unwrap_or_default();
        self.interval * percent / 100
    }
}

impl Envelope {
    /// `None` when it is none of the clients' messages.
    pub(super) fn number(&self) -> Option<Number> {
        self.text.split(' ').next()?.parse().ok()
    }

    pub(super) fn is_receipt(&self) -> bool {
        self.sender == 0 && self.kind.starts_with("notification_")
    }

    /// Notes what a receipt says of an own message.
    pub(super) fn note_receipt(&self, ledger: &mut Ledger) {
        let Some(data) = &self.data else { return };
        let reference = data.reference.as_deref();
        let Some(number) = reference.and_then(|number| number.parse().ok()) else {
            return;
        };
        match &data.refused {
            Some(refused) => {
                for refused in refused {
                    ledger.refused_for(number, refused.recipient);
                }
            }
            None => ledger.settled(number, Outcome::Refused),
        }
    }
}
