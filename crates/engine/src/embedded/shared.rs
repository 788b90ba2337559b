//! Rows that several mailboxes share: a message to many is one row with its body and the list of
//! its recipients ([`SharedRows`]).
//!
//! In: entries of such rows that enter and leave mailboxes. Out: which rows are to be deleted or
//! written again, and which users need a row of their own meanwhile. A row cannot tell by itself
//! who has left it; what tells is the row of the user (`gone_up_to`), which therefore stays until
//! no row lists an entry that has left. Invariants: a row is deleted with its last entry; entries
//! that have left are at most as many as those that wait, or take less room than the body.

use std::collections::{HashMap, VecDeque};

use crate::UserKey;

/// Key of a row, and whether several mailboxes share it. One number, because each waiting
/// message holds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowKey(i64);

impl RowKey {
    /// The row of one message in one mailbox. Keys are positive.
    pub(super) fn own(seq: i64) -> Self {
        Self(seq)
    }

    /// A row with a list of recipients.
    pub(super) fn shared(seq: i64) -> Self {
        Self(-seq)
    }

    pub(super) fn seq(self) -> i64 {
        self.0.abs()
    }

    pub(super) fn is_shared(self) -> bool {
        self.0 < 0
    }
}

#[derive(Debug, Default)]
pub(super) struct SharedRows {
    rows: HashMap<i64, SharedRow>,
    /// To be deleted, or written again if still in `rows`; each once.
    owed: VecDeque<i64>,
}

#[derive(Debug)]
struct SharedRow {
    waiting: u32,
    body_len: u32,
    /// Stands in [`SharedRows::owed`].
    is_owed: bool,
    /// Who has left and is still listed, once per entry.
    left: Vec<UserKey>,
}

/// How an entry left its mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// With everything before it, so that the user's row tells.
    FromTheFront,
    /// Or from the middle, which only the shared row can tell.
    Anywhere,
}

/// What follows for the users when an entry has left.
#[derive(Debug)]
#[must_use]
pub(super) enum Left {
    /// The user is still listed.
    Listed,
    /// He is not, and neither are these any more: once per entry.
    Unlisted(Vec<UserKey>),
}

impl SharedRows {
    /// A row with `entries` waiting is in the file.
    pub(super) fn insert(&mut self, seq: i64, entries: u32, body_len: u32) {
        let row = SharedRow {
            waiting: entries,
            body_len,
            is_owed: false,
            left: Vec::new(),
        };
        self.rows.insert(seq, row);
    }

    /// An entry of `user` has left its mailbox.
    pub(super) fn leave(&mut self, seq: i64, user: &UserKey, leaving: Leaving) -> Left {
        let Some(row) = self.rows.get_mut(&seq) else {
            return Left::Unlisted(Vec::new());
        };
        row.waiting -= 1;
        let is_over = row.waiting == 0;
        if !is_over && leaving == Leaving::FromTheFront && !row.is_mostly_left() {
            row.left.push(UserKey::clone(user));
            return Left::Listed;
        }
        let left = std::mem::take(&mut row.left);
        if !row.is_owed {
            row.is_owed = true;
            self.owed.push_back(seq);
        }
        if is_over {
            self.rows.remove(&seq);
        }
        Left::Unlisted(left)
    }

    /// The row is set aside with all its entries; returns who is not listed any more.
    pub(super) fn remove(&mut self, seq: i64) -> Vec<UserKey> {
        // If it is owed, there is nothing left to delete, which does no harm.
        self.rows
            .remove(&seq)
            .map(|row| row.left)
            .unwrap_or_default()
    }

    /// Whether something of the row waits.
    pub(super) fn holds(&self, seq: i64) -> bool {
        self.rows.contains_key(&seq)
    }

    /// At most `count` rows to be deleted or written again.
    pub(super) fn owed(&self, count: usize) -> Vec<i64> {
        self.owed.iter().take(count).copied().collect()
    }

    pub(super) fn owed_len(&self) -> usize {
        self.owed.len()
    }

    /// The first `count` of the owed rows are written; returns who is not listed any more, once
    /// per entry.
    pub(super) fn settle(&mut self, count: usize) -> Vec<UserKey> {
        let mut unlisted = Vec::new();
        for seq in self.owed.drain(..count) {
            if let Some(row) = self.rows.get_mut(&seq) {
                row.is_owed = false;
                unlisted.append(&mut row.left);
            }
        }
        unlisted
    }
}

impl SharedRow {
    /// Whether writing the row again without those who have left, one of whom is not counted yet,
    /// costs less than was saved so far by not writing it.
    fn is_mostly_left(&self) -> bool {
        let left = self.left.len() as u64 + 1;
        left >= u64::from(self.waiting) && left * ENTRY_BYTES >= u64::from(self.body_len)
    }
}

/// About what an entry that has left costs in the file and in memory.
const ENTRY_BYTES: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn users(count: usize) -> Vec<UserKey> {
        (0..count).map(|at| format!("user-{at}").into()).collect()
    }

    #[test]
    fn a_row_is_written_again_at_half_and_deleted_with_the_last_entry() {
        let mut rows = SharedRows::default();
        let users = users(8);
        rows.insert(5, 8, 200);
        for user in &users[..3] {
            assert!(matches!(
                rows.leave(5, user, Leaving::FromTheFront),
                Left::Listed
            ));
        }
        assert_eq!(rows.owed_len(), 0);
        let Left::Unlisted(unlisted) = rows.leave(5, &users[3], Leaving::FromTheFront) else {
            panic!("half have left");
        };
        assert_eq!(unlisted, users[..3]);
        assert_eq!((rows.owed(9), rows.holds(5)), (vec![5], true));
        assert_eq!(rows.settle(1), []);
        // A list of four is shorter than the body.
        for user in &users[4..7] {
            let left = rows.leave(5, user, Leaving::FromTheFront);
            assert!(matches!(left, Left::Listed));
        }
        let Left::Unlisted(unlisted) = rows.leave(5, &users[7], Leaving::FromTheFront) else {
            panic!("all have left");
        };
        assert_eq!(unlisted, users[4..7]);
        assert_eq!((rows.owed(9), rows.holds(5)), (vec![5], false));
    }

    #[test]
    fn who_leaves_from_the_middle_is_taken_off_the_list() {
        let mut rows = SharedRows::default();
        let users = users(3);
        rows.insert(5, 3, 1 << 20);
        let listed = rows.leave(5, &users[0], Leaving::FromTheFront);
        assert!(matches!(listed, Left::Listed));
        let Left::Unlisted(unlisted) = rows.leave(5, &users[1], Leaving::Anywhere) else {
            panic!("the list has to change");
        };
        assert_eq!(unlisted, users[..1]);
        assert_eq!((rows.owed(9), rows.holds(5)), (vec![5], true));
        let Left::Unlisted(unlisted) = rows.leave(5, &users[2], Leaving::Anywhere) else {
            panic!("all have left");
        };
        assert_eq!(unlisted, []);
        assert_eq!((rows.owed_len(), rows.holds(5)), (1, false), "owed once");
    }
}
