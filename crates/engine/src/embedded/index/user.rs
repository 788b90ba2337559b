//! One mailbox in memory: [`User`], a ring of [`Slot`]s with what is owed to the file for it.
//!
//! In: messages that enter and leave, kept in step with the totals and the senders. Out: amounts
//! for the limits, and what the mailbox's rows have to say. Invariant: offsets rise.

use std::collections::{HashMap, VecDeque};

use super::Totals;
use crate::embedded::{
    senders::{Amount, SenderId, Senders},
    shared::RowKey,
};

/// Where one pending message is, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) struct Slot {
    pub(in crate::embedded) offset: u64,
    pub(in crate::embedded) row: RowKey,
    pub(in crate::embedded) expiry_ms: u64,
    pub(in crate::embedded) len: u32,
    /// Who answers for it, once it is in the index.
    pub(in crate::embedded) sender: Option<SenderId>,
}

/// One mailbox.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, one byte each"
)]
pub(in crate::embedded) struct User {
    /// Offsets rise; there are holes where a message expired before an older one.
    pub(super) pending: VecDeque<Slot>,
    pub(super) bytes: u64,
    /// What of each sender waits; kept only while the mailbox is long.
    pub(super) by_sender: Option<HashMap<SenderId, Amount>>,
    pub(super) last_offset: u64,
    /// It was given to this user; otherwise it is only not less than what was.
    pub(super) is_exact: bool,
    /// When to look for expired messages; not later than the earliest expiry.
    pub(super) due_ms: Option<u64>,
    /// Rows of messages that have left, but for shared ones.
    pub(super) garbage: Vec<i64>,
    /// How many entries of shared rows have left and are still listed there.
    pub(super) listed: u32,
    /// There may be a row in table `user`.
    pub(super) has_row: bool,
    /// Stands in [`Index::dirty`]: the row in table `user` is out of date.
    pub(super) dirty: bool,
    /// Stands in [`Index::idle`].
    pub(super) idle: bool,
}

impl User {
    pub(in crate::embedded) fn amount(&self) -> Amount {
        Amount {
            messages: self.pending.len() as u64,
            bytes: self.bytes,
        }
    }

    /// What of this sender waits here.
    pub(in crate::embedded) fn amount_of(&self, sender: SenderId) -> Amount {
        if let Some(by_sender) = &self.by_sender {
            return by_sender.get(&sender).copied().unwrap_or_default();
        }
        let mut amount = Amount::default();
        for slot in self
            .pending
            .iter()
            .filter(|slot| slot.sender == Some(sender))
        {
            amount.add(1, u64::from(slot.len));
        }
        amount
    }

    pub(in crate::embedded) fn last_offset(&self) -> u64 {
        self.last_offset
    }

    /// Everything up to here has left.
    pub(in crate::embedded) fn gone_up_to(&self) -> u64 {
        self.pending
            .front()
            .map_or(self.last_offset, |slot| slot.offset - 1)
    }

    /// The slots behind `after`, oldest first.
    pub(in crate::embedded) fn behind(&self, after: u64) -> impl Iterator<Item = &Slot> {
        let first = self.pending.partition_point(|slot| slot.offset <= after);
        self.pending.range(first..)
    }

    /// Whether this message waits in this row.
    pub(in crate::embedded) fn holds(&self, offset: u64, row: RowKey) -> bool {
        let found = self
            .pending
            .binary_search_by_key(&offset, |slot| slot.offset);
        found.is_ok_and(|at| self.pending.get(at).is_some_and(|slot| slot.row == row))
    }

    /// Whether table `user` has to say something about this user.
    pub(in crate::embedded) fn needs_row(&self) -> bool {
        !self.pending.is_empty() || self.listed > 0
    }

    pub(in crate::embedded) fn has_row(&self) -> bool {
        self.has_row
    }

    pub(in crate::embedded) fn garbage(&self) -> &[i64] {
        &self.garbage
    }

    /// Counts a message that stands in `pending`.
    pub(super) fn enter(&mut self, slot: &Slot, totals: &mut Totals) {
        let len = u64::from(slot.len);
        self.bytes += len;
        totals.messages += 1;
        totals.bytes += len;
        match (&mut self.by_sender, slot.sender) {
            (Some(by_sender), Some(sender)) => by_sender.entry(sender).or_default().add(1, len),
            (Some(_), None) => {}
            (None, _) if self.pending.len() < SCANNED_MAX => {}
            (None, _) => {
                let mut by_sender: HashMap<SenderId, Amount> = HashMap::new();
                for slot in &self.pending {
                    if let Some(sender) = slot.sender {
                        let amount = by_sender.entry(sender).or_default();
                        amount.add(1, u64::from(slot.len));
                    }
                }
                self.by_sender = Some(by_sender);
            }
        }
    }

    /// The same for a message that was taken out of `pending`.
    pub(super) fn leave(&mut self, slot: Slot, totals: &mut Totals, senders: &mut Senders) {
        let len = u64::from(slot.len);
        self.bytes -= len;
        if !slot.row.is_shared() {
            self.garbage.push(slot.row.seq());
        }
        totals.messages -= 1;
        totals.bytes -= len;
        let Some(sender) = slot.sender else {
            return;
        };
        senders.leave(sender, len);
        if let Some(by_sender) = &mut self.by_sender
            && let Some(amount) = by_sender.get_mut(&sender)
        {
            amount.remove(1, len);
            if amount.messages == 0 {
                by_sender.remove(&sender);
            }
        }
    }
}

/// A mailbox of fewer messages is looked through to find what of one sender waits in it.
const SCANNED_MAX: usize = 128;
