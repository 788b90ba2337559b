//! The figures of clients, added up.

use super::latency::Latencies;

/// Most faults that are told in words.
const TOLD_MAX: usize = 20;

/// Counts of one or of all clients.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) echoed: u64,
    /// Of these, sent while the backend was away.
    pub(super) echoed_late: u64,
    /// On their way when a backend was killed, and not echoed.
    pub(super) in_doubt: u64,
    /// From a backend's return to the echo of what had waited for it.
    pub(super) recoveries: Latencies,
    sockets_lost: u64,
    lost: u64,
    twice: u64,
    misled: u64,
    faults: Vec<String>,
}

impl Tally {
    pub(super) fn socket_lost(&mut self, what: &str) {
        self.sockets_lost += 1;
        self.fault("socket lost", what);
    }

    pub(super) fn lost(&mut self, what: &str) {
        self.lost += 1;
        self.fault("message lost", what);
    }

    /// Or out of order.
    pub(super) fn twice(&mut self, what: &str) {
        self.twice += 1;
        self.fault("message twice", what);
    }

    /// Something came that was no echo of an own message.
    pub(super) fn misled(&mut self, what: &str) {
        self.misled += 1;
        self.fault("foreign message", what);
    }

    fn fault(&mut self, kind: &str, what: &str) {
        if self.faults.len() < TOLD_MAX {
            self.faults.push(format!("{kind}: {what}"));
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.echoed += other.echoed;
        self.echoed_late += other.echoed_late;
        self.in_doubt += other.in_doubt;
        self.recoveries.add(&other.recoveries);
        self.sockets_lost += other.sockets_lost;
        self.lost += other.lost;
        self.twice += other.twice;
        self.misled += other.misled;
        self.faults.extend(other.faults);
    }

    pub(super) fn is_clean(&self) -> bool {
        self.sockets_lost + self.lost + self.twice + self.misled == 0
    }

    /// Everything in a few lines.
    pub(super) fn print(&self, name: &str, clients: usize) {
        println!(
            "{name:<8} {clients:>5} clients: {} sent, {} echoed ({} of them sent while down), {} in doubt",
            self.sent, self.echoed, self.echoed_late, self.in_doubt
        );
        println!(
            "{:>8} {} sockets lost, {} messages lost, {} twice, {} foreign",
            "", self.sockets_lost, self.lost, self.twice, self.misled
        );
        let took = self.recoveries.summary();
        println!(
            "{:>8} from a backend's return to what had waited for it: p50 {} ms, p99 {} ms, longest {} ms ({} of them)",
            "",
            took.p50.as_millis(),
            took.p99.as_millis(),
            took.longest.as_millis(),
            took.count
        );
        self.print_faults();
    }

    /// Those that are told in words.
    pub(super) fn print_faults(&self) {
        for fault in self.faults.iter().take(TOLD_MAX) {
            println!("FAULT {fault}");
        }
    }
}
