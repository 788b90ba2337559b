//! What a backend may not have got: the messages to be sent again to its successor.
//!
//! In: messages as they are queued, and how far the system has taken them or a pong has confirmed
//! them. Out: those to replay, in order. Invariant: so many bytes and messages are kept, and not more:
//! beyond, none is sent.

use std::collections::VecDeque;

use tidewire::memory::Reservation;

use crate::{backend::queue::Piece, settings::Replay};

/// Most bytes and messages that are kept, whatever their size.
const BYTES_MAX: usize = 1 << 20;
const MESSAGES_MAX: usize = 1024;

/// Messages that are kept count for the client's account in steps of so many bytes, and less does not.
const COUNTED_STEP: usize = 16 << 10;

/// Messages on their way to a backend.
#[derive(Debug)]
pub(super) struct Ledger {
    replay: Option<Replay>,
    /// Each with its end in the stream of bytes to this backend, and the ping that confirms it.
    under_way: VecDeque<(Piece, u64, u64)>,
    bytes: usize,
    memory: Reservation,
    /// Number of the last ping sent, and of the next.
    pinged: u64,
    /// Messages were sent since.
    unpinged: bool,
}

impl Ledger {
    /// A ledger; `None` keeps nothing. Its messages are held by `memory`.
    pub(super) fn new(replay: Option<Replay>, memory: Reservation) -> Self {
        Self {
            replay,
            under_way: VecDeque::new(),
            bytes: 0,
            memory,
            pinged: 0,
            unpinged: false,
        }
    }

    /// Returns whether messages are to be kept.
    pub(super) fn keeps(&self) -> bool {
        self.replay.is_some()
    }

    /// Returns whether another message may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < BYTES_MAX && self.under_way.len() < MESSAGES_MAX
    }

    /// Returns whether a full ledger has room again once the system has taken what was sent.
    pub(super) fn is_settled_by_sending(&self) -> bool {
        self.replay == Some(Replay::Unsent)
    }

    /// A message was queued; `end` is the position of its last byte among all bytes of the connection.
    pub(super) fn sent(&mut self, piece: Piece, end: u64) {
        self.bytes += piece.data.len();
        self.under_way.push_back((piece, end, self.pinged + 1));
        self.unpinged = true;
        if self.bytes >= self.memory.bytes() + COUNTED_STEP {
            self.count();
        }
    }

    /// Has the account hold what is kept; without room it is evicted.
    fn count(&mut self) {
        let bytes = self.bytes / COUNTED_STEP * COUNTED_STEP;
        if self.memory.resize(bytes).is_err() {
            self.memory.account().evict();
        }
    }

    /// So many bytes of the connection have been given to the system.
    pub(super) fn settle(&mut self, bytes_sent: u64) {
        if self.replay != Some(Replay::Unconfirmed) {
            self.drop_while(|end, _ping| end <= bytes_sent);
        }
    }

    /// The payload of a ping behind the messages sent since the last one, if there are any.
    pub(super) fn ping(&mut self) -> Option<[u8; 8]> {
        if self.replay != Some(Replay::Unconfirmed) || !self.unpinged {
            return None;
        }
        self.pinged += 1;
        self.unpinged = false;
        Some(self.pinged.to_be_bytes())
    }

    /// That ping was not sent.
    pub(super) fn not_pinged(&mut self) {
        self.pinged -= 1;
        self.unpinged = true;
    }

    /// A pong came.
    pub(super) fn confirmed(&mut self, payload: &[u8]) {
        if let Ok(number) = payload.try_into() {
            let number = u64::from_be_bytes(number);
            self.drop_while(|_end, ping| ping <= number);
        }
    }

    fn drop_while(&mut self, done: impl Fn(u64, u64) -> bool) {
        while let Some((piece, end, ping)) = self.under_way.front() {
            if !done(*end, *ping) {
                break;
            }
            self.bytes -= piece.data.len();
            self.under_way.pop_front();
        }
        if self.bytes < self.memory.bytes() / 2 {
            self.count();
        }
    }

    /// The backend is lost: what is to be sent again, in order.
    pub(super) fn take(&mut self) -> VecDeque<Piece> {
        self.bytes = 0;
        self.unpinged = false;
        self.count();
        let under_way = std::mem::take(&mut self.under_way);
        under_way.into_iter().map(|(piece, ..)| piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidewire::{memory::MemoryBudget, ws::Kind};

    use super::*;

    fn ledger(replay: Replay) -> Ledger {
        Ledger::new(Some(replay), MemoryBudget::unlimited().account().reserve())
    }

    fn piece(data: &'static [u8]) -> Piece {
        Piece {
            kind: Kind::Binary,
            data: Bytes::from_static(data),
            last: true,
        }
    }

    fn left(ledger: &mut Ledger) -> Vec<Bytes> {
        ledger.take().into_iter().map(|piece| piece.data).collect()
    }

    #[test]
    fn what_was_wholly_given_to_the_system_is_not_sent_again() {
        let mut ledger = ledger(Replay::Unsent);
        for (data, end) in [(&b"a"[..], 10), (b"b", 20), (b"c", 30)] {
            ledger.sent(piece(data), end);
        }
        assert_eq!(ledger.ping(), None);
        ledger.settle(19);
        assert_eq!(left(&mut ledger), ["b", "c"]);
        assert_eq!(ledger.bytes, 0);
    }

    #[test]
    fn no_more_messages_are_kept_than_so_many_however_small_they_are() {
        let mut ledger = ledger(Replay::Unsent);
        let mut count = 0;
        while ledger.has_room() {
            count += 1;
            ledger.sent(piece(b""), count);
        }
        assert_eq!(count, 1024);
        ledger.settle(1);
        assert!(ledger.has_room());
    }

    #[test]
    fn a_ping_that_was_not_sent_is_due_again() {
        let mut ledger = ledger(Replay::Unconfirmed);
        ledger.sent(piece(b"a"), 10);
        let ping = ledger.ping().unwrap();
        ledger.not_pinged();
        assert_eq!(ledger.ping(), Some(ping));
        ledger.confirmed(&ping);
        assert!(left(&mut ledger).is_empty());
    }

    #[test]
    fn what_no_pong_has_confirmed_is_sent_again() {
        let mut ledger = ledger(Replay::Unconfirmed);
        ledger.sent(piece(b"a"), 10);
        let first = ledger.ping().unwrap();
        assert_eq!(ledger.ping(), None, "nothing new to confirm");
        ledger.sent(piece(b"b"), 20);
        ledger.settle(20);
        ledger.confirmed(b"no number of ours");
        ledger.confirmed(&first);
        assert_eq!(left(&mut ledger), ["b"]);
    }
}
