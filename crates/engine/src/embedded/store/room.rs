//! Room on the disk: when the log moves into the database, and what is kept back for draining.

use super::{CHECKPOINT_PAGES, Store};
use crate::embedded::{
    database::Fault,
    snapshot::{Snapshot, SnapshotError},
};

impl Store {
    /// Moves the log into the database once it has grown enough to be worth it.
    pub(in crate::embedded) fn checkpoint_if_due(&mut self) -> Result<(), Fault> {
        // Without the reserve the log must stay small.
        let pages_max = if self.reserve.is_missing() {
            1
        } else {
            CHECKPOINT_PAGES
        };
        if self.log_pages < pages_max || self.may_wait_for_a_copy() {
            return Ok(());
        }
        self.log_pages = 0;
        match self.checkpoint(false) {
            Err(Fault::DiskFull) if self.give_up_reserve()? => Ok(()),
            result => result,
        }
    }

    /// Moves the log into the database, whose file must not change from then on while the snapshot lives. The inner
    /// error tells why there is none, the outer one that the store has failed.
    pub(in crate::embedded) fn snapshot(
        &mut self,
    ) -> rusqlite::Result<Result<Snapshot, SnapshotError>> {
        if self.held.is_held() {
            return Ok(Err(SnapshotError::Taken));
        }
        self.log_pages = 0;
        let written = if self.owes_write() {
            self.write(std::iter::empty())
        } else {
            Ok(())
        };
        match written.and_then(|()| self.checkpoint(false)) {
            Ok(()) => Ok(Ok(self.held.take())),
            Err(Fault::DiskFull) => Ok(Err(SnapshotError::DiskFull)),
            Err(Fault::Fatal(error)) => Err(error),
        }
    }

    /// Returns whether somebody copies the file, and the log may grow on. Without the reserve it may not.
    fn may_wait_for_a_copy(&self) -> bool {
        self.held.is_held() && self.log_pages < HELD_PAGES_MAX && !self.reserve.is_missing()
    }

    /// Moves the log into the database; who copies the file has come too late.
    pub(in crate::embedded) fn checkpoint(&mut self, truncate: bool) -> Result<(), Fault> {
        self.held.end();
        self.database.checkpoint(truncate)
    }

    /// On a disk without room for the reserve the database may not grow from the start.
    pub(in crate::embedded) fn confine(&self) -> rusqlite::Result<()> {
        if self.reserve.is_missing() {
            self.database.allow_growth(false)?;
        }
        Ok(())
    }

    /// Tries now and then to take a reserve back that was given up; then the database may grow
    /// again.
    pub(in crate::embedded) fn retake_reserve(&mut self) -> rusqlite::Result<()> {
        if self.reserve.retake_if_due() {
            self.database.allow_growth(true)?;
            tracing::info!("the store has its disk reserve again");
        }
        Ok(())
    }

    /// Frees the reserve on a disk so full that nothing can be written; false if there is none.
    ///
    /// The room goes to the log and to what the log makes the database grow. From then on the
    /// database may not grow, so that appends cannot use up what draining needs; what draining
    /// frees inside the file they can have.
    pub(in crate::embedded) fn give_up_reserve(&mut self) -> Result<bool, Fault> {
        if !self.reserve.give_up() {
            return Ok(false);
        }
        self.checkpoint(false)?;
        self.database.allow_growth(false).map_err(Fault::Fatal)?;
        Ok(true)
    }
}

/// 256 MiB of log: how far it grows while somebody copies the database file.
const HELD_PAGES_MAX: u64 = 65_536;
