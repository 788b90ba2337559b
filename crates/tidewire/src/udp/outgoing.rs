//! Datagrams that wait to be sent.
//!
//! In: payloads, one by one. Out: the oldest of them, side by side, so that a system call can take many. Invariant: what
//! waits costs at most `bytes_max`, where a datagram counts for its payload and [`ENTRY_COST`]; one fits always.

use std::net::{IpAddr, SocketAddr};

/// The cost of a datagram beside its payload, so that empty ones are bounded too.
pub(super) const ENTRY_COST: usize = 64;

/// Capacity that is kept while nothing waits.
const KEPT_BYTES: usize = 64 << 10;
const KEPT_ENTRIES: usize = 1024;

/// A datagram in the queue; its payload lies behind those of the entries before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) to: SocketAddr,
    /// The address it must come from; `None` leaves that to the system.
    pub(super) source: Option<IpAddr>,
    pub(super) len: usize,
}

impl Entry {
    /// Returns whether both go the same way.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.to == other.to && self.source == other.source
    }
}

/// There was no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// How much of both has been sent.
    bytes_sent: usize,
    entries_sent: usize,
    bytes_max: usize,
}

impl Outgoing {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
            bytes_sent: 0,
            entries_sent: 0,
            bytes_max,
        }
    }

    #[inline]
    pub(super) fn push(
        &mut self,
        payload: &[u8],
        to: SocketAddr,
        source: Option<IpAddr>,
    ) -> Result<(), Full> {
        let cost = payload.len() + ENTRY_COST;
        if !self.is_empty() && self.cost().saturating_add(cost) > self.bytes_max {
            return Err(Full);
        }
        self.bytes.extend_from_slice(payload);
        self.entries.push(Entry {
            to,
            source,
            len: payload.len(),
        });
        Ok(())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.entries_sent == self.entries.len()
    }

    /// Bytes of the payloads that wait.
    pub(super) fn queued(&self) -> usize {
        self.bytes.len() - self.bytes_sent
    }

    /// The cost of all that waits, as it counts for the bound.
    pub(super) fn cost(&self) -> usize {
        self.queued() + (self.entries.len() - self.entries_sent) * ENTRY_COST
    }

    /// The datagrams that wait, oldest first, and the payloads of all side by side.
    #[inline]
    pub(super) fn waiting(&self) -> (&[Entry], &[u8]) {
        (
            &self.entries[self.entries_sent..],
            &self.bytes[self.bytes_sent..],
        )
    }

    /// Takes the oldest out.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = *self.entries.get(self.entries_sent)?;
        self.entries_sent += 1;
        self.bytes_sent += entry.len;
        if self.is_empty() {
            self.bytes.clear();
            self.entries.clear();
            (self.bytes_sent, self.entries_sent) = (0, 0);
        } else if self.entries_sent >= KEPT_ENTRIES && self.entries_sent * 2 >= self.entries.len() {
            self.entries.drain(..self.entries_sent);
            self.bytes.drain(..self.bytes_sent);
            (self.bytes_sent, self.entries_sent) = (0, 0);
        }
        Some(entry)
    }

    /// Leaves the source of the oldest to the system; returns it if there was one.
    pub(super) fn forget_source(&mut self) -> Option<IpAddr> {
        self.entries.get_mut(self.entries_sent)?.source.take()
    }

    /// Gives memory back that a burst needed.
    pub(super) fn shrink(&mut self) {
        if self.is_empty()
            && (self.bytes.capacity() > KEPT_BYTES || self.entries.capacity() > KEPT_ENTRIES)
        {
            self.bytes.shrink_to(KEPT_BYTES);
            self.entries.shrink_to(KEPT_ENTRIES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn datagrams_come_out_in_order_and_empty_ones_are_bounded() {
        let mut out = Outgoing::new(10 * ENTRY_COST);
        for port in 0..10 {
            out.push(&[], to(port), None).unwrap();
        }
        assert_eq!(out.push(&[], to(10), None), Err(Full));
        for port in 0..10 {
            assert_eq!(out.pop().unwrap().to, to(port));
        }
        assert_eq!(out.pop(), None);
        assert_eq!(out.cost(), 0);
    }

    #[test]
    fn one_datagram_fits_always() {
        let mut out = Outgoing::new(0);
        out.push(&[1; 100], to(1), None).unwrap();
        assert_eq!(out.push(&[], to(1), None), Err(Full));
        assert_eq!(out.queued(), 100);
    }

    #[test]
    fn a_queue_that_never_empties_does_not_grow() {
        let mut out = Outgoing::new(1 << 20);
        out.push(&[0; 32], to(0), None).unwrap();
        for number in 0_u32..100_000 {
            out.push(&number.to_ne_bytes(), to(1), None).unwrap();
            out.pop().unwrap();
            let (entries, bytes) = out.waiting();
            assert_eq!((entries.len(), bytes), (1, &number.to_ne_bytes()[..]));
        }
        assert!(out.entries.capacity() <= 4 * KEPT_ENTRIES);
    }
}
