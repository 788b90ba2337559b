//! A backend's pings, until its client has proved to have received all that came before.
//!
//! In: pings as they are received, and what the client has proved. Out: the payloads of the pongs that are due, in
//! order. Invariants: no pong leaves before its proof; at most [`PINGS_MAX`] wait, and of more the oldest are not
//! answered (RFC 6455 section 5.5.3 asks for the most recent only); numbers are never used twice, so a proof of what
//! a backend sent is none for its successor.

use std::collections::VecDeque;

use bytes::Bytes;

/// Most pings of a backend that are remembered.
const PINGS_MAX: usize = 16;

/// What was not answered yet.
#[derive(Debug, Default)]
pub(super) struct Pings {
    waiting: VecDeque<(u64, Bytes)>,
    /// Number of the last one.
    last: u64,
}

impl Pings {
    /// A ping was received. Returns its number.
    pub(super) fn received(&mut self, payload: Bytes) -> u64 {
        if self.waiting.len() == PINGS_MAX {
            self.waiting.pop_front();
        }
        self.last += 1;
        self.waiting.push_back((self.last, payload));
        self.last
    }

    /// Returns whether all are answered.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next pong, when the ping with this number and all before are proved.
    pub(super) fn pong(&mut self, proved: u64) -> Option<Bytes> {
        let next = self.waiting.pop_front_if(|(number, _)| *number <= proved);
        next.map(|(_, payload)| payload)
    }

    /// Returns whether one is waiting that is not newer than this number.
    pub(super) fn has_until(&self, number: u64) -> bool {
        self.waiting
            .front()
            .is_some_and(|(first, _)| *first <= number)
    }

    /// Their backend is lost: nobody waits for the pongs any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pongs(pings: &mut Pings, proved: u64) -> Vec<Bytes> {
        std::iter::from_fn(|| pings.pong(proved)).collect()
    }

    #[test]
    fn a_proof_answers_the_pings_up_to_it_each_with_its_own_payload() {
        let mut pings = Pings::default();
        let first = pings.received(Bytes::from_static(b"one"));
        let second = pings.received(Bytes::from_static(b""));
        pings.received(Bytes::from_static(b"three"));
        assert_eq!(pongs(&mut pings, first - 1), [""; 0]);
        assert_eq!(pongs(&mut pings, second), ["one", ""]);
        assert_eq!(pongs(&mut pings, second), [""; 0]);
        assert!(!pings.is_empty() && !pings.has_until(second));
    }

    #[test]
    fn of_a_flood_only_the_newest_are_remembered() {
        let mut pings = Pings::default();
        for number in 0..100_000_u32 {
            pings.received(Bytes::copy_from_slice(&number.to_be_bytes()));
        }
        let answered = pongs(&mut pings, u64::MAX);
        assert_eq!(answered.len(), 16);
        assert_eq!(answered[15], 99_999_u32.to_be_bytes()[..]);
    }

    #[test]
    fn what_a_lost_backend_has_sent_proves_nothing_to_its_successor() {
        let mut pings = Pings::default();
        let old = pings.received(Bytes::from_static(b"1"));
        pings.forget();
        pings.received(Bytes::from_static(b"1"));
        assert_eq!(pings.pong(old), None);
        assert!(!pings.has_until(old));
    }
}
