//! The one row of table `meta`: what the store knows about itself, under a checksum.
//!
//! It is written with every commit, so its counter says how many there were; see
//! [`mark`](super::mark).

use crc32fast::Hasher;

/// A leap of the wall clock between two runs that is not believed yet; see
/// [`clock`](super::clock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jump {
    /// Messages with a lower row key were stored before the leap.
    pub(super) before_seq: i64,
    /// How much longer ago that was if the wall clock is right.
    pub(super) ms: u64,
    /// The store's time at which it is believed.
    pub(super) confirm_ms: u64,
}

/// The row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) epoch: u64,
    /// The store's time at the last commit.
    pub(super) clock_ms: u64,
    /// The wall clock at the same moment.
    pub(super) wall_ms: u64,
    /// No offset greater than this was given to a user who has no row in any table.
    pub(super) offset_floor: u64,
    /// Transactions committed in the life of the file.
    pub(super) commits: u64,
    pub(super) jump: Option<Jump>,
}

/// The columns as they lie in the file, the checksum last.
pub(super) type Columns = [i64; 9];

impl Meta {
    pub(super) fn columns(&self) -> Columns {
        let jump = self.jump.unwrap_or(Jump {
            before_seq: 0,
            ms: 0,
            confirm_ms: 0,
        });
        let mut columns = [
            self.epoch.cast_signed(),
            self.clock_ms.cast_signed(),
            self.wall_ms.cast_signed(),
            self.offset_floor.cast_signed(),
            self.commits.cast_signed(),
            jump.before_seq,
            jump.ms.cast_signed(),
            jump.confirm_ms.cast_signed(),
            0,
        ];
        columns[8] = checksum(&columns);
        columns
    }

    /// `None` if the row is not what was written.
    pub(super) fn check(columns: &Columns) -> Option<Self> {
        let [
            epoch,
            clock_ms,
            wall_ms,
            floor,
            commits,
            before_seq,
            jump_ms,
            confirm_ms,
            crc,
        ] = *columns;
        let jump = Jump {
            before_seq,
            ms: jump_ms.cast_unsigned(),
            confirm_ms: confirm_ms.cast_unsigned(),
        };
        (checksum(columns) == crc).then_some(Self {
            epoch: epoch.cast_unsigned(),
            clock_ms: clock_ms.cast_unsigned(),
            wall_ms: wall_ms.cast_unsigned(),
            offset_floor: floor.cast_unsigned(),
            commits: commits.cast_unsigned(),
            jump: (jump.ms > 0).then_some(jump),
        })
    }
}

/// Over all columns but the last.
fn checksum(columns: &Columns) -> i64 {
    let mut hasher = Hasher::new();
    for column in &columns[..8] {
        hasher.update(&column.to_le_bytes());
    }
    hasher.finalize().into()
}
