//! Counters of a socket, written by whoever works on it and read from anywhere.

use std::{
    ops::AddAssign,
    sync::atomic::{AtomicU64, Ordering},
};

/// Counters of all that sockets have moved since they were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes of payload given to the system.
    pub bytes_sent: u64,
    /// Bytes of payload received.
    pub bytes_received: u64,
    /// Datagrams given to the system.
    pub datagrams_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Bytes of payload queued now and not yet given to the system.
    pub bytes_queued: usize,
    /// Datagrams dropped since they were longer than [`datagram_bytes_max`](super::Config::datagram_bytes_max), and those
    /// that were cut by a smaller buffer of [`recv_into`](super::Socket::recv_into).
    pub datagrams_oversized: u64,
    /// Datagrams dropped since they came from no source of a [group](super::Group::source) of IPv6.
    pub datagrams_filtered: u64,
    /// Datagrams that the system refused to send, and reports that one did not arrive.
    pub errors: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.datagrams_sent += other.datagrams_sent;
        self.datagrams_received += other.datagrams_received;
        self.bytes_queued += other.bytes_queued;
        self.datagrams_oversized += other.datagrams_oversized;
        self.datagrams_filtered += other.datagrams_filtered;
        self.errors += other.errors;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    datagrams_sent: AtomicU64,
    datagrams_received: AtomicU64,
    oversized: AtomicU64,
    filtered: AtomicU64,
    errors: AtomicU64,
}

impl Counters {
    pub(crate) fn sent(&self, datagrams: u64, bytes: u64) {
        self.datagrams_sent.fetch_add(datagrams, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, datagrams: u64, bytes: u64) {
        self.datagrams_received
            .fetch_add(datagrams, Ordering::Relaxed);
        self.bytes_received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn oversized(&self) {
        self.oversized.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn filtered(&self) {
        self.filtered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn traffic(&self, bytes_queued: usize) -> Traffic {
        Traffic {
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            bytes_received: self.bytes_received.load(Ordering::Relaxed),
            datagrams_sent: self.datagrams_sent.load(Ordering::Relaxed),
            datagrams_received: self.datagrams_received.load(Ordering::Relaxed),
            bytes_queued,
            datagrams_oversized: self.oversized.load(Ordering::Relaxed),
            datagrams_filtered: self.filtered.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}
