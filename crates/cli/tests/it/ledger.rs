//! [`Ledger`]: what was sent and promised on one side, what arrived on the other, and whether
//! the one fits the other.

use std::collections::{BTreeMap, BTreeSet};

use crate::peer::Envelope;

/// A message that was written to the server.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) sender: u64,
    /// Rising per sender, in the order of sending.
    pub(crate) number: u64,
    pub(crate) recipients: Vec<u64>,
    /// Whether the server answered that it is accepted. Otherwise it may or may not arrive.
    pub(crate) accepted: bool,
}

/// What one connection received. No user has two of them in one life of the server.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) user: u64,
    pub(crate) envelopes: Vec<Envelope>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sent: Vec<Sent>,
    /// In the order of the server's lives.
    pub(crate) readings: Vec<Reading>,
}

/// What a checked ledger amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) accepted: usize,
    pub(crate) unanswered: usize,
    /// Deliveries of a message to a user after the first one.
    pub(crate) duplicates: usize,
}

/// What a user has got from a sender so far.
#[derive(Debug, Default)]
struct Received {
    numbers: BTreeSet<u64>,
    /// Where the last connection began: what stood before that had left the mailbox.
    gone_below: u64,
}

impl Ledger {
    /// Checks every promise:
    /// - what was accepted arrived at each of its recipients, and what arrived had been sent;
    /// - in one connection every sender's messages come in order, none twice;
    /// - over all connections of a user, too, what comes for the first time comes in order;
    /// - what has left a mailbox never comes back: duplicates are what a crash has brought back;
    /// - an unanswered message arrives at all of its recipients or at none;
    /// - an id means one message, whoever receives it, however often.
    pub(crate) fn check(&self) -> Summary {
        let mut summary = Summary::default();
        let received = self.check_readings(&mut summary);
        for sent in &self.sent {
            let arrived = |user: &&u64| {
                received
                    .get(&(**user, sent.sender))
                    .is_some_and(|from| from.numbers.contains(&sent.number))
            };
            let count = sent.recipients.iter().filter(arrived).count();
            let all = count == sent.recipients.len();
            if sent.accepted {
                summary.accepted += 1;
                assert!(all, "accepted, but arrived {count} times: {sent:?}");
            } else {
                summary.unanswered += 1;
                assert!(all || count == 0, "arrived {count} times: {sent:?}");
            }
        }
        summary
    }

    /// Returns what each user has got from each sender.
    fn check_readings(&self, summary: &mut Summary) -> BTreeMap<(u64, u64), Received> {
        let sent: BTreeMap<(u64, u64), &Sent> = self
            .sent
            .iter()
            .map(|sent| ((sent.sender, sent.number), sent))
            .collect();
        assert_eq!(sent.len(), self.sent.len(), "numbers are unique");
        let mut received: BTreeMap<(u64, u64), Received> = BTreeMap::new();
        let mut ids: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for Reading { user, envelopes } in &self.readings {
            let mut last: BTreeMap<u64, u64> = BTreeMap::new();
            for envelope in envelopes {
                let (sender, number) = (envelope.sender, number(envelope));
                let what = format!("{number} from {sender} to {user}");
                let sent = sent.get(&(sender, number));
                let recipients = &sent
                    .unwrap_or_else(|| panic!("{what}: not sent"))
                    .recipients;
                assert!(recipients.contains(user), "{what}: misdelivered");
                let named = *ids.entry(&envelope.id).or_insert((sender, number));
                assert_eq!(named, (sender, number), "{what}: id of another message");
                let from = received.entry((*user, sender)).or_default();
                let last = last.insert(sender, number);
                if from.take(number, last, &what) {
                    summary.duplicates += 1;
                }
            }
        }
        let names: BTreeSet<_> = ids.values().collect();
        assert_eq!(ids.len(), names.len(), "a message has one id");
        received
    }
}

impl Received {
    /// Notes a message that came behind `last` in its connection; tells whether it is a duplicate.
    fn take(&mut self, number: u64, last: Option<u64>, what: &str) -> bool {
        assert!(last < Some(number), "{what}: behind {last:?}");
        if last.is_none() {
            let gone = self.gone_below;
            assert!(gone <= number, "{what}: was gone, as all below {gone}");
            self.gone_below = number;
        }
        let highest = self.numbers.last().copied();
        let is_new = self.numbers.insert(number);
        assert!(
            !is_new || highest < Some(number),
            "{what}: first time behind {highest:?}"
        );
        !is_new
    }
}

/// Texts are a number and something to fill the disk with.
fn number(envelope: &Envelope) -> u64 {
    let text = envelope.text.split(' ').next().unwrap_or_default();
    text.parse()
        .unwrap_or_else(|error| panic!("{error}: {envelope:?}"))
}

fn sent(number: u64, recipients: &[u64], accepted: bool) -> Sent {
    Sent {
        sender: 1,
        number,
        recipients: recipients.to_vec(),
        accepted,
    }
}

fn reading(user: u64, numbers: &[u64]) -> Reading {
    let envelope = |number: &u64| Envelope {
        id: format!("id {number}"),
        sender: 1,
        text: format!("{number} xx"),
        kind: "text".to_owned(),
    };
    Reading {
        user,
        envelopes: numbers.iter().map(envelope).collect(),
    }
}

fn ledger(readings: &[Reading]) -> Ledger {
    Ledger {
        sent: vec![
            sent(0, &[7], true),
            sent(1, &[7, 8], false),
            sent(2, &[7], true),
        ],
        readings: readings.to_vec(),
    }
}

#[test]
fn a_ledger_that_fits_is_summed_up() {
    let summary = ledger(&[reading(7, &[0]), reading(7, &[0, 2])]).check();
    let expected = Summary {
        accepted: 2,
        unanswered: 1,
        duplicates: 1,
    };
    assert_eq!(summary, expected);
    ledger(&[reading(7, &[0, 1]), reading(8, &[1]), reading(7, &[1, 2])]).check();
}

#[test]
fn every_broken_promise_is_noticed() {
    for (what, readings) in [
        ("accepted, but arrived", vec![reading(7, &[0])]),
        ("arrived 1 times", vec![reading(7, &[0, 1, 2])]),
        ("misdelivered", vec![reading(7, &[0, 2]), reading(8, &[2])]),
        ("not sent", vec![reading(7, &[0, 2, 3])]),
        ("behind Some(2)", vec![reading(7, &[2, 0])]),
        ("behind Some(0)", vec![reading(7, &[0, 0, 2])]),
        (
            "first time behind",
            vec![reading(7, &[0, 2]), reading(7, &[1])],
        ),
        (
            "was gone",
            vec![reading(7, &[0]), reading(7, &[2]), reading(7, &[0])],
        ),
    ] {
        let ledger = ledger(&readings);
        let panic = std::panic::catch_unwind(move || ledger.check()).expect_err(what);
        let text = panic.downcast_ref::<String>().expect("a text");
        assert!(text.contains(what), "{text:?} for {what:?}");
    }
}
