//! The ledger: what clients sent and learnt of it, what arrived, and whether the one fits the
//! other.
//!
//! Only clients write into it; nothing of it comes from the server's own counters. A message is
//! *read* when its frame was taken whole from the socket by a client's library: from there on a
//! pong may prove it, and what the application makes of it is its own matter, told apart as
//! *handled*.

use std::collections::{BTreeMap, BTreeSet};

/// Problems that are told in words, per kind.
const EXAMPLES_MAX: usize = 5;

/// Number of a message in [`Ledger`], over all senders.
pub(super) type Number = usize;

/// Number of a connection, over all users. Order is promised within one only.
pub(super) type Connection = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The sender has not learnt what became of it: it may arrive or not.
    Unknown,
    /// On disk, for all recipients but those that were refused.
    Accepted,
    /// For all recipients.
    Refused,
}

/// A message that was given to a socket.
#[derive(Debug)]
struct Sent {
    connection: Connection,
    recipients: Vec<u64>,
    refused_for: BTreeSet<u64>,
    outcome: Outcome,
}

/// What one recipient got of one message.
#[derive(Debug, Default)]
struct Receipt {
    id: String,
    times: u64,
    is_handled: bool,
    /// The server has certainly read an answer to a ping behind it.
    is_proved: bool,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Problem {
    Lost,
    RefusedButDelivered,
    Misdelivered,
    OtherId,
    TwiceInOneConnection,
    OutOfOrder,
    AfterProof,
    NotDrained,
}

/// A message as a recipient reads it.
#[derive(Clone, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) user: u64,
    pub(super) connection: Connection,
    pub(super) number: Number,
    pub(super) id: &'a str,
}

/// Filled while a round runs; [`Ledger::balance`] closes it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: Vec<Sent>,
    receipts: BTreeMap<(u64, Number), Receipt>,
    /// Highest number a connection has got from a connection of a sender.
    last_in: BTreeMap<(Connection, Connection), Number>,
    /// Highest number a user has got for the first time from a connection of a sender.
    highest: BTreeMap<(u64, Connection), Number>,
    connections: Connection,
    closes: BTreeMap<String, u64>,
    problems: BTreeMap<Problem, (u64, Vec<String>)>,
}

/// What a ledger amounts to. All but messages and connections count deliveries: a message to
/// three recipients is three.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) messages: u64,
    pub(super) accepted: u64,
    pub(super) received: u64,
    pub(super) handled: u64,
    /// Accepted, and neither received nor pending.
    pub(super) lost: u64,
    /// Of these, let go for users who never answer a ping.
    pub(super) let_go: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
    pub(super) unknown_received: u64,
    pub(super) duplicates: u64,
    pub(super) proved: u64,
    pub(super) connections: u64,
    pub(super) closes: BTreeMap<String, u64>,
    pub(super) problems: BTreeMap<Problem, (u64, Vec<String>)>,
    /// Lost deliveries per recipient.
    pub(super) lost_by_user: BTreeMap<u64, u64>,
    pub(super) received_by_user: BTreeMap<u64, u64>,
    pub(super) duplicates_by_user: BTreeMap<u64, u64>,
}

impl Ledger {
    pub(super) fn connected(&mut self) -> Connection {
        self.connections += 1;
        self.connections
    }

    pub(super) fn closed(&mut self, how: &str) {
        *self.closes.entry(how.to_owned()).or_default() += 1;
    }

    /// Before any byte of it is written.
    pub(super) fn sent(&mut self, connection: Connection, recipients: Vec<u64>) -> Number {
        self.sent.push(Sent {
            connection,
            recipients,
            refused_for: BTreeSet::new(),
            outcome: Outcome::Unknown,
        });
        self.sent.len() - 1
    }

    /// The sender has learnt it.
    pub(super) fn settled(&mut self, number: Number, outcome: Outcome) {
        if let Some(sent) = self.sent.get_mut(number) {
            sent.outcome = outcome;
        }
    }

    /// Accepted, but not for this recipient.
    pub(super) fn refused_for(&mut self, number: Number, recipient: u64) {
        if let Some(sent) = self.sent.get_mut(number) {
            sent.refused_for.insert(recipient);
        }
    }

    /// A recipient's library has taken it whole from the socket.
    pub(super) fn read(&mut self, arrival: &Arrival<'_>) {
        let Arrival {
            user,
            connection,
            number,
            id,
        } = *arrival;
        let what = format!("message {number} ({id}) to user {user}, connection {connection}");
        let Some(sent) = self.sent.get(number) else {
            return self.problem(Problem::Misdelivered, what);
        };
        let from = sent.connection;
        if !sent.recipients.contains(&user) {
            return self.problem(Problem::Misdelivered, what);
        }
        match self.last_in.insert((connection, from), number) {
            Some(last) if last == number => {
                self.problem(Problem::TwiceInOneConnection, what.clone());
            }
            Some(last) if last > number => {
                self.problem(Problem::OutOfOrder, format!("{what}: behind {last}"));
            }
            Some(_) | None => {}
        }
        let receipt = self.receipts.entry((user, number)).or_default();
        receipt.times += 1;
        if receipt.times == 1 {
            id.clone_into(&mut receipt.id);
            let highest = self.highest.entry((user, from)).or_default();
            let before = *highest;
            *highest = before.max(number);
            if before > number {
                let what = format!("{what}: came for the first time behind {before}");
                self.problem(Problem::OutOfOrder, what);
            }
            return;
        }
        if receipt.id != id {
            let what = format!("{what}: had come as {}", receipt.id);
            self.problem(Problem::OtherId, what);
        } else if receipt.is_proved {
            self.problem(Problem::AfterProof, what);
        }
    }

    pub(super) fn handled(&mut self, user: u64, number: Number) {
        if let Some(receipt) = self.receipts.get_mut(&(user, number)) {
            receipt.is_handled = true;
        }
    }

    /// The server has certainly read the user's answer to a ping behind these messages.
    pub(super) fn proved(&mut self, user: u64, numbers: &[Number]) {
        for number in numbers {
            if let Some(receipt) = self.receipts.get_mut(&(user, *number)) {
                receipt.is_proved = true;
            }
        }
    }

    pub(super) fn problem(&mut self, problem: Problem, what: String) {
        let (count, examples) = self.problems.entry(problem).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_MAX {
            examples.push(what);
        }
    }

    /// Compares both sides, when everything that was pending has been fetched.
    ///
    /// The server may let go `let_go` messages for users who never answer a ping (`mute`): it says so
    /// and counts them, and as many may be missing there.
    pub(super) fn balance(mut self, mute: &BTreeSet<u64>, let_go: u64) -> Balance {
        let mut balance = Balance {
            messages: self.sent.len() as u64,
            connections: self.connections,
            closes: std::mem::take(&mut self.closes),
            ..Balance::default()
        };
        let mut found = Vec::new();
        for (number, sent) in self.sent.iter().enumerate() {
            for user in &sent.recipients {
                let receipt = self.receipts.get(&(*user, number));
                let is_refused = sent.refused_for.contains(user);
                balance.add(sent.outcome, is_refused, *user, receipt);
                let problem = match (sent.outcome, is_refused, receipt) {
                    (Outcome::Accepted, false, None)
                        if mute.contains(user) && balance.let_go < let_go =>
                    {
                        balance.let_go += 1;
                        continue;
                    }
                    (Outcome::Accepted, false, None) => Problem::Lost,
                    (Outcome::Refused, _, Some(_)) | (_, true, Some(_)) => {
                        Problem::RefusedButDelivered
                    }
                    (Outcome::Accepted, false, Some(_))
                    | (Outcome::Refused, _, None)
                    | (_, true, None)
                    | (Outcome::Unknown, false, _) => continue,
                };
                let from = sent.connection;
                found.push((
                    problem,
                    format!("message {number} of connection {from} to user {user}"),
                ));
            }
        }
        for (problem, what) in found {
            self.problem(problem, what);
        }
        balance.problems = self.problems;
        balance
    }
}

impl Balance {
    fn add(&mut self, outcome: Outcome, is_refused: bool, user: u64, receipt: Option<&Receipt>) {
        let is_received = receipt.is_some();
        match outcome {
            _ if is_refused => self.refused += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Accepted => {
                self.accepted += 1;
                if is_received {
                    self.received += 1;
                    *self.received_by_user.entry(user).or_default() += 1;
                } else {
                    self.lost += 1;
                    *self.lost_by_user.entry(user).or_default() += 1;
                }
            }
            Outcome::Unknown => {
                self.unknown += 1;
                self.unknown_received += u64::from(is_received);
            }
        }
        if let Some(receipt) = receipt {
            self.duplicates += receipt.times - 1;
            *self.duplicates_by_user.entry(user).or_default() += receipt.times - 1;
            self.handled += u64::from(receipt.is_handled);
            self.proved += u64::from(receipt.is_proved);
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages 0 and 2 are accepted, 1 is unknown, 3 is refused; all of connection 1 to users
    /// 7 and 8.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for outcome in [
            Outcome::Accepted,
            Outcome::Unknown,
            Outcome::Accepted,
            Outcome::Refused,
        ] {
            let number = ledger.sent(1, vec![7, 8]);
            ledger.settled(number, outcome);
        }
        ledger
    }

    fn read(ledger: &mut Ledger, user: u64, connection: Connection, numbers: &[Number]) {
        for &number in numbers {
            let id = format!("id {number}");
            ledger.read(&Arrival {
                user,
                connection,
                number,
                id: &id,
            });
        }
    }

    #[test]
    fn a_ledger_that_fits_is_summed_up() {
        let mut ledger = ledger();
        read(&mut ledger, 7, 10, &[0, 1]);
        read(&mut ledger, 7, 11, &[1, 2]);
        read(&mut ledger, 8, 12, &[0, 2]);
        ledger.handled(7, 0);
        ledger.proved(7, &[0]);
        let balance = ledger.balance(&BTreeSet::new(), 0);
        assert!(balance.is_clean(), "{balance:?}");
        let counts = [
            balance.accepted,
            balance.received,
            balance.refused,
            balance.unknown,
            balance.unknown_received,
            balance.duplicates,
            balance.handled,
            balance.proved,
        ];
        assert_eq!(counts, [4, 4, 2, 2, 1, 1, 1, 1]);
    }

    #[test]
    fn a_recipient_that_was_refused_expects_nothing() {
        let mut ledger = ledger();
        ledger.refused_for(0, 8);
        ledger.refused_for(2, 8);
        read(&mut ledger, 7, 10, &[0, 2]);
        let balance = ledger.balance(&BTreeSet::new(), 0);
        assert!(balance.is_clean(), "{balance:?}");
        assert_eq!((balance.accepted, balance.refused), (2, 4));
    }

    #[test]
    fn as_many_may_be_missing_for_a_mute_user_as_the_server_says_it_has_let_go() {
        let read_all_but_two = || {
            let mut ledger = ledger();
            read(&mut ledger, 7, 10, &[0, 2]);
            ledger
        };
        for (mute, let_go, missing) in [(8, 2, 0), (8, 1, 1), (7, 2, 2), (8, 0, 2)] {
            let balance = read_all_but_two().balance(&BTreeSet::from([mute]), let_go);
            let count = balance
                .problems
                .get(&Problem::Lost)
                .map_or(0, |(count, _)| *count);
            assert_eq!(count, missing, "mute: {mute}, let go: {let_go}");
        }
    }

    #[test]
    fn every_broken_promise_is_noticed() {
        type Reads<'a> = &'a [(u64, Connection, &'a [Number])];
        let cases: [(Problem, Reads<'_>); 7] = [
            (Problem::Lost, &[(7, 10, &[0, 2]), (8, 11, &[0])]),
            (
                Problem::RefusedButDelivered,
                &[(7, 10, &[0, 2, 3]), (8, 11, &[0, 2])],
            ),
            (
                Problem::Misdelivered,
                &[(7, 10, &[0, 2]), (8, 11, &[0, 2]), (9, 12, &[0])],
            ),
            (
                Problem::Misdelivered,
                &[(7, 10, &[0, 2, 99]), (8, 11, &[0, 2])],
            ),
            (
                Problem::TwiceInOneConnection,
                &[(7, 10, &[0, 0, 2]), (8, 11, &[0, 2])],
            ),
            (Problem::OutOfOrder, &[(7, 10, &[2, 0]), (8, 11, &[0, 2])]),
            (
                Problem::OutOfOrder,
                &[(7, 10, &[2]), (7, 11, &[0]), (8, 12, &[0, 2])],
            ),
        ];
        for (problem, reads) in cases {
            let mut ledger = ledger();
            for (user, connection, numbers) in reads {
                read(&mut ledger, *user, *connection, numbers);
            }
            let balance = ledger.balance(&BTreeSet::new(), 0);
            let found: Vec<_> = balance.problems.keys().collect();
            assert!(found.contains(&&problem), "{problem:?} in {found:?}");
        }
    }

    #[test]
    fn what_was_proved_must_not_come_again_and_an_id_stays() {
        let mut ledger = ledger();
        read(&mut ledger, 7, 10, &[0, 2]);
        ledger.proved(7, &[0]);
        read(&mut ledger, 7, 11, &[0, 2]);
        read(&mut ledger, 8, 12, &[0, 2]);
        ledger.read(&Arrival {
            user: 8,
            connection: 13,
            number: 0,
            id: "another",
        });
        let balance = ledger.balance(&BTreeSet::new(), 0);
        let found: Vec<_> = balance
            .problems
            .iter()
            .map(|(kind, (count, _))| (*kind, *count))
            .collect();
        assert_eq!(found, [(Problem::OtherId, 1), (Problem::AfterProof, 1)]);
        assert_eq!(balance.duplicates, 3);
    }
}
