//! Pings to a client that stand for the pings of its backends, and what its pongs prove.
//!
//! In: backends' pings, each when all that came before it is in the client's send queue; the client's pongs. Out: pings to
//! send, and per logical socket what a pong says. Frames are ordered, so a pong proves that the client's
//! WebSocket library has read everything before its ping, and one ping stands for all that is due.
//!
//! Invariants: a proof is a pong that contains a payload which was sent, and no client knows before; at most
//! [`PINGS_MAX`] pings are under way, and of what becomes due meanwhile the oldest and the newest of each socket are kept;
//! an odd pong is passed on at most once per ping, not instead of an answer to the keep-alive, and only by clients that never
//! answered properly and never sent a pong too many, as those do whose pongs are heartbeats by a timer.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tidewire::ws::{SendError, WebSocket};

use crate::{ambient::random, backend::queue::Pong};

/// Most pings under way, and most that are remembered.
const PINGS_MAX: usize = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct Receipts {
    /// Payload of the next ping. They begin anywhere, so that a client's own counter meets none by chance.
    next: u64,
    /// By logical socket, the pings of its backend that no ping of ours stands for.
    due: BTreeMap<u32, Due>,
    sent: VecDeque<Sent>,
    /// The client has answered with the payload it was sent.
    is_proper: bool,
    /// The client has sent a pong that no ping had asked for.
    sends_heartbeats: bool,
    /// Pings of the connection's keep-alive that were not answered.
    keep_alives: u32,
    /// Pings of the connection when last looked at.
    pings_sent: u32,
}

/// Pings of a backend that were not sent on yet: a backend may ask twice at once, and counts the answers.
#[derive(Clone, Copy, Debug)]
struct Due {
    next: u64,
    /// The newest, if there are more.
    newest: Option<u64>,
}

/// A ping under way.
#[derive(Debug)]
struct Sent {
    payload: [u8; 8],
    /// Pings of the connection, with this one.
    place: u32,
    /// The backends' pings that it stands for, by logical socket.
    covers: Vec<(u32, u64)>,
    /// An odd pong was taken for its answer.
    odd: bool,
}

impl Default for Receipts {
    fn default() -> Self {
        let number = || u64::from(random());
        Self {
            next: number() << 32 | number(),
            due: BTreeMap::new(),
            sent: VecDeque::new(),
            is_proper: false,
            sends_heartbeats: false,
            keep_alives: 0,
            pings_sent: 0,
        }
    }
}

impl Receipts {
    /// All that a backend sent before its ping of this number is in the queue to the client.
    pub(crate) fn due(&mut self, socket: u32, number: u64) {
        let first = Due {
            next: number,
            newest: None,
        };
        self.due
            .entry(socket)
            .and_modify(|due| due.newest = Some(number))
            .or_insert(first);
    }

    /// Queues the pings that are due. Returns whether one waits for room in the send queue.
    pub(crate) fn send(&mut self, client: &mut WebSocket) -> bool {
        // Where there is none, a pong makes room.
        while let Some(payload) = self.ping(client.pings_sent()) {
            if let Err(error) = client.try_ping(&payload) {
                self.not_sent();
                return matches!(error, SendError::Full);
            }
        }
        false
    }

    /// The payload of a ping to be sent now, after so many others.
    fn ping(&mut self, pings_sent: u32) -> Option<[u8; 8]> {
        if self.due.is_empty() {
            return None;
        }
        if self.sent.len() == PINGS_MAX {
            self.sent.pop_front_if(|oldest| oldest.odd)?;
        }
        self.count_keep_alives(pings_sent);
        self.pings_sent = pings_sent.wrapping_add(1);
        self.next = self.next.wrapping_add(1);
        let payload = self.next.to_be_bytes();
        let covers = self.due.iter().map(|(socket, due)| (*socket, due.next));
        self.sent.push_back(Sent {
            payload,
            place: self.pings_sent,
            covers: covers.collect(),
            odd: false,
        });
        self.due.retain(|_socket, due| {
            let newest = due.newest.take();
            due.next = newest.unwrap_or(due.next);
            newest.is_some()
        });
        Some(payload)
    }

    /// That ping was not sent.
    fn not_sent(&mut self) {
        if let Some(Sent { covers, .. }) = self.sent.pop_back() {
            self.pings_sent = self.pings_sent.wrapping_sub(1);
            for (socket, next) in covers {
                let newest = self.due.get(&socket).map(|due| due.next);
                self.due.insert(socket, Due { next, newest });
            }
        }
    }

    /// The client has sent a pong, after so many pings. `tell` hears what it says: about the ping of this number on
    /// this logical socket.
    pub(crate) fn pong(
        &mut self,
        payload: &Bytes,
        pings_sent: u32,
        mut tell: impl FnMut(u32, u64, Pong),
    ) {
        self.count_keep_alives(pings_sent);
        // The payload may stand anywhere: there are client libraries that put two bytes of zero before it.
        let is_in = |sent: &Sent| {
            payload
                .windows(sent.payload.len())
                .any(|part| part == sent.payload)
        };
        let answered = self.sent.iter().rposition(is_in);
        if let Some(answered) = answered {
            return self.proved(answered, tell);
        }
        if self.keep_alives > 0 {
            self.keep_alives -= 1;
            return;
        }
        if self.is_proper || self.sends_heartbeats {
            return; // it means nothing
        }
        let Some(sent) = self.sent.iter_mut().find(|sent| !sent.odd) else {
            self.sends_heartbeats = true;
            return;
        };
        sent.odd = true;
        for (socket, number) in &sent.covers {
            tell(*socket, *number, Pong::Odd(payload.clone()));
        }
    }

    /// The answer to this ping, and to all before.
    fn proved(&mut self, answered: usize, mut tell: impl FnMut(u32, u64, Pong)) {
        self.is_proper = true;
        if let Some(Sent { place, .. }) = self.sent.get(answered) {
            // Of the keep-alive only what came behind may still be answered.
            let ours = u32::try_from(self.sent.len() - answered - 1).unwrap_or(u32::MAX);
            let behind = self.pings_sent.wrapping_sub(*place);
            self.keep_alives = behind.saturating_sub(ours).min(self.keep_alives);
        }
        for Sent { covers, .. } in self.sent.drain(..=answered) {
            for (socket, number) in covers {
                tell(socket, number, Pong::Proof);
            }
        }
    }

    fn count_keep_alives(&mut self, pings_sent: u32) {
        let more = pings_sent.wrapping_sub(self.pings_sent);
        self.keep_alives = self.keep_alives.saturating_add(more);
        self.pings_sent = pings_sent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a pong says, after so many pings of the connection.
    fn says(receipts: &mut Receipts, payload: &[u8], pings_sent: u32) -> Vec<(u64, Pong)> {
        let mut said = Vec::new();
        let payload = Bytes::copy_from_slice(payload);
        receipts.pong(&payload, pings_sent, |_, number, pong| {
            said.push((number, pong));
        });
        said
    }

    fn odd(number: u64) -> Vec<(u64, Pong)> {
        vec![(number, Pong::Odd(Bytes::new()))]
    }

    #[test]
    fn an_odd_pong_answers_the_keep_alive_first() {
        let mut receipts = Receipts::default();
        receipts.due(1, 7);
        receipts.ping(1).unwrap(); // behind one of the keep-alive
        assert_eq!(says(&mut receipts, b"", 2), []);
        assert_eq!(says(&mut receipts, b"", 2), odd(7));
    }

    #[test]
    fn after_a_pong_too_many_only_a_payload_of_ours_says_something() {
        let mut receipts = Receipts::default();
        assert_eq!(says(&mut receipts, b"", 0), []);
        receipts.due(1, 7);
        let ping = receipts.ping(0).unwrap();
        assert_eq!(says(&mut receipts, b"", 1), []);
        let padded = [b"ab", &ping[..], b"c"].concat();
        assert_eq!(says(&mut receipts, &padded, 1), [(7, Pong::Proof)]);
    }

    #[test]
    fn eight_pings_are_under_way_and_the_newest_waits() {
        let mut receipts = Receipts::default();
        let mut last = None;
        for number in 0..100_u32 {
            receipts.due(1, number.into());
            last = receipts.ping(number.min(8)).or(last);
        }
        assert_eq!(says(&mut receipts, &last.unwrap(), 8).len(), 8);
        receipts.ping(8).unwrap();
        let newest = receipts.ping(9).unwrap();
        assert_eq!(
            says(&mut receipts, &newest, 10).last(),
            Some(&(99, Pong::Proof))
        );
    }
}
