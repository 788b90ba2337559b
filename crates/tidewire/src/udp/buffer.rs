//! The buffer that a thread reads into: an idle socket owns none.
//!
//! In: a call that reads. Out: its datagrams, borrowed, in order.

use std::{cell::Cell, net::IpAddr};

use quinn_udp::RecvMeta;

use super::{
    config::BATCH_MAX,
    datagram::{DatagramRef, Origin, canonical},
};

/// A read has room for all that the system puts together.
pub(super) const READ_BYTES: usize = 1 << 16;

/// From one read's bytes to the next: not a power of two, since the first bytes of all would share a few lines of the cache.
pub(super) const READ_STRIDE: usize = READ_BYTES + 192;

/// The buffer of a thread.
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    pub(super) meta: [RecvMeta; BATCH_MAX],
}

thread_local! {
    static BUFFER: Cell<Option<Box<Buffer>>> = const { Cell::new(None) };
}

impl Buffer {
    /// Lends the buffer of this thread.
    pub(super) fn lend<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        let mut buffer = BUFFER.take().unwrap_or_else(|| {
            Box::new(Self {
                bytes: vec![0; BATCH_MAX * READ_STRIDE],
                meta: [RecvMeta::default(); BATCH_MAX],
            })
        });
        let result = work(&mut buffer);
        BUFFER.set(Some(buffer));
        result
    }

    /// The datagrams of a read, of as many as there were.
    pub(super) fn datagrams(
        &self,
        reads: usize,
        local: Option<IpAddr>,
    ) -> impl Iterator<Item = DatagramRef<'_>> {
        let reads = self
            .meta
            .iter()
            .zip(self.bytes.chunks(READ_STRIDE))
            .take(reads);
        reads.flat_map(move |(meta, bytes)| {
            let origin = Origin {
                from: canonical(meta.addr),
                to: meta.dst_ip.map(|it| it.to_canonical()).or(local),
                interface: meta.interface_index,
            };
            let mut left = Some(&bytes[..meta.len]);
            std::iter::from_fn(move || {
                let bytes = left.take()?;
                let (payload, behind) = bytes.split_at(meta.stride.min(bytes.len()));
                left = (!behind.is_empty()).then_some(behind);
                Some(DatagramRef { payload, origin })
            })
        })
    }
}
