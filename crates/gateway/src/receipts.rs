//! Pings to a client that stand for the pings of its backends, and what its pongs prove.
//!
//! In: backends' pings, each when all that came before it is in the client's send queue; the client's pongs. Out: pings to
//! send, and per logical socket what a pong says. Frames are ordered, so a pong proves that the client's
//! WebSocket library has read everything before its ping, and one ping stands for all that is due.
//!
//! Invariants: a proof is a pong whose payload was sent, and no client knows before; at most
//! [`PINGS_MAX`] pings are under way, what becomes due meanwhile is one more; an odd pong is passed on at most once per
//! ping, not instead of an answer to the keep-alive, and only by clients that never answered properly.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tidewire::ws::{SendError, WebSocket};

use crate::{lane::Pong, random};

/// Most pings under way, and most that are remembered.
const PINGS_MAX: usize = 8;

/// See the module.
#[derive(Debug)]
pub(crate) struct Receipts {
    /// Payload of the next ping. They begin anywhere, so that a client's own counter meets none by chance.
    next: u64,
    /// By logical socket, the newest ping of its backend that no ping of ours stands for.
    due: BTreeMap<u32, u64>,
    sent: VecDeque<Sent>,
    /// The client has answered with the payload it was sent.
    is_proper: bool,
    /// Pings of the connection's keep-alive that were not answered.
    keep_alives: u32,
    /// Pings of the connection when last looked at.
    pings_sent: u32,
}

/// A ping under way.
#[derive(Debug)]
struct Sent {
    payload: u64,
    /// Pings of the connection, with this one.
    place: u32,
    /// The backends' pings that it stands for, by logical socket.
    covers: Vec<(u32, u64)>,
    /// An odd pong was taken for its answer.
    odd: bool,
}

impl Default for Receipts {
    fn default() -> Self {
        let number = || u64::from(random::number());
        Self {
            next: number() << 32 | number(),
            due: BTreeMap::new(),
            sent: VecDeque::new(),
            is_proper: false,
            keep_alives: 0,
            pings_sent: 0,
        }
    }
}

impl Receipts {
    /// All that a backend sent before its ping of this number is in the queue to the client.
    pub(crate) fn due(&mut self, socket: u32, number: u64) {
        self.due.insert(socket, number);
    }

    /// Queues the ping that is due. Returns whether it waits for room in the send queue.
    pub(crate) fn send(&mut self, client: &mut WebSocket) -> bool {
        if self.due.is_empty() {
            return false;
        }
        let Some(payload) = self.ping(client.pings_sent()) else {
            return false; // a pong makes room
        };
        match client.try_ping(&payload) {
            Ok(()) => false,
            Err(error) => {
                self.not_sent();
                matches!(error, SendError::Full)
            }
        }
    }

    /// The payload of a ping to be sent now, after so many others.
    fn ping(&mut self, pings_sent: u32) -> Option<[u8; 8]> {
        if self.sent.len() == PINGS_MAX {
            self.sent.pop_front_if(|oldest| oldest.odd)?;
        }
        self.count_keep_alives(pings_sent);
        self.pings_sent = pings_sent.wrapping_add(1);
        self.next = self.next.wrapping_add(1);
        self.sent.push_back(Sent {
            payload: self.next,
            place: self.pings_sent,
            covers: std::mem::take(&mut self.due).into_iter().collect(),
            odd: false,
        });
        Some(self.next.to_be_bytes())
    }

    /// That ping was not sent.
    fn not_sent(&mut self) {
        if let Some(Sent { covers, .. }) = self.sent.pop_back() {
            self.pings_sent = self.pings_sent.wrapping_sub(1);
            self.due.extend(covers);
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
        let answered = number(payload)
            .and_then(|number| self.sent.iter().position(|sent| sent.payload == number));
        if let Some(answered) = answered {
            return self.proved(answered, tell);
        }
        if self.keep_alives > 0 {
            self.keep_alives -= 1;
            return;
        }
        if self.is_proper {
            return; // nobody has asked for it
        }
        if let Some(sent) = self.sent.iter_mut().find(|sent| !sent.odd) {
            sent.odd = true;
            for (socket, number) in &sent.covers {
                tell(*socket, *number, Pong::Odd(payload.clone()));
            }
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

/// The number of a pong. There is a client library that puts two bytes of zero before it.
fn number(payload: &[u8]) -> Option<u64> {
    let payload = match payload {
        [0, 0, rest @ ..] if rest.len() == size_of::<u64>() => rest,
        payload => payload,
    };
    payload.try_into().ok().map(u64::from_be_bytes)
}
