//! What a round comes to, in a few lines.

use std::collections::BTreeMap;

use super::{
    book::{Balance, Problem},
    kind::Kind,
    round::Outcome,
};

impl Problem {
    fn what(self) -> &'static str {
        match self {
            Self::Lost => "accepted, but neither received nor pending",
            Self::RefusedButDelivered => "refused, but delivered",
            Self::Misdelivered => "not for this user, or never sent",
            Self::OtherId => "came again with another id",
            Self::TwiceInOneConnection => "came twice in one connection",
            Self::OutOfOrder => "out of its sender's order",
            Self::AfterProof => "came again after its proof",
            Self::NotDrained => "what is pending could not be fetched",
        }
    }
}

/// Prints everything.
pub(super) fn print(outcome: &Outcome) {
    let Outcome {
        balance,
        kinds,
        kills,
        pending,
        expired,
    } = outcome;
    println!(
        "  {} messages; deliveries: {} accepted = {} received + {pending} pending + {expired} expired + {} let go + {} missing",
        balance.messages,
        balance.accepted,
        balance.received,
        balance.let_go,
        balance.lost - balance.let_go
    );
    println!(
        "  {} refused, {} unknown to their senders ({} of them received), {} handled by an application",
        balance.refused, balance.unknown, balance.unknown_received, balance.handled
    );
    println!(
        "  {} duplicates, {:.4} per received delivery, {} after proof ({} proved)",
        balance.duplicates,
        balance.duplicates_per_delivery(),
        balance.count(Problem::AfterProof),
        balance.proved
    );
    let closes: Vec<String> = balance
        .closes
        .iter()
        .map(|(how, count)| format!("{how}: {count}"))
        .collect();
    println!(
        "  {} connections, {kills} kills; ends: {}",
        balance.connections,
        closes.join(", ")
    );
    print_kinds(balance, kinds);
    for (problem, (count, examples)) in &balance.problems {
        println!("  FAILED {count} x {}", problem.what());
        for example in examples {
            println!("    {example}");
        }
    }
}

/// Who lost and who got twice, by kind of the recipient.
fn print_kinds(balance: &Balance, kinds: &[(u64, Kind)]) {
    let mut rows: BTreeMap<Kind, [u64; 4]> = BTreeMap::new();
    for (user, kind) in kinds.iter().filter(|(_, kind)| !kind.sends_by_rest()) {
        let row = rows.entry(*kind).or_default();
        let counts = [
            Some(&1),
            balance.received_by_user.get(user),
            balance.duplicates_by_user.get(user),
            balance.lost_by_user.get(user),
        ];
        for (sum, count) in row.iter_mut().zip(counts) {
            *sum += count.copied().unwrap_or_default();
        }
    }
    for (kind, [users, received, duplicates, lost]) in rows {
        let name = format!("{kind:?}");
        println!(
            "    {name:<14} {users:>3} users: {received:>7} received, {duplicates:>7} duplicates, {lost:>6} lost"
        );
    }
}

impl Balance {
    pub(super) fn count(&self, problem: Problem) -> u64 {
        self.problems.get(&problem).map_or(0, |(count, _)| *count)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of one round are far below 2^52"
    )]
    fn duplicates_per_delivery(&self) -> f64 {
        let received = self.received + self.unknown_received;
        self.duplicates as f64 / received.max(1) as f64
    }
}
