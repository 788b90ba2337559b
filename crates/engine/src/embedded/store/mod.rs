//! The state behind the commands: file, index and clock, kept in step.
//!
//! A message is pending once its row is committed and its slot pushed. It leaves the index at
//! once; its row follows with a later transaction. So a transaction that fails for want of
//! room needs nothing undone in memory, and what has left is never handed out again.

mod read; // handing out what is pending

use std::sync::Arc;

use super::{
    Shared,
    clock::StoreClock,
    config::Config,
    database::{Database, Fault},
    format,
    index::Index,
    load::{Damage, Loaded},
    plan::{Plan, Planned, Reserved, Room},
    queue::Command,
    reserve::Reserve,
    row::{MessageRow, UserRow},
    stats,
};
use crate::{Append, AppendError, MailboxRefusal, Purge, UserKey};

#[derive(Debug)]
pub(super) struct Store {
    shared: Arc<Shared>,
    config: Config,
    clock: StoreClock,
    clock_saved_ms: u64,
    database: Database,
    index: Index,
    /// Found, but not yet set aside on disk.
    damage: Damage,
    epoch: u64,
    epoch_saved: bool,
    next_seq: i64,
    reserve: Reserve,
    /// About how many pages have gone into the log since the last checkpoint.
    log_pages: u64,
}

impl Store {
    pub(super) fn new(
        shared: Arc<Shared>,
        config: Config,
        clock: StoreClock,
        epoch: u64,
        database: Database,
        loaded: Loaded,
    ) -> Self {
        let reserve = Reserve::take(&config.dir, config.reserve_bytes);
        let mut store = Self {
            shared,
            config,
            clock_saved_ms: 0,
            clock,
            database,
            index: loaded.index,
            damage: Damage::default(),
            epoch,
            epoch_saved: true,
            next_seq: loaded.next_seq,
            reserve,
            log_pages: 0,
        };
        if !loaded.damage.is_empty() {
            store.damaged(loaded.damage);
        }
        store.gauge();
        store
    }

    /// Drops what has expired by now.
    pub(super) fn expire(&mut self) {
        let expired = self.index.expire(self.clock.now_ms());
        if expired > 0 {
            self.shared.counters.set_store_full(false);
            stats::add(&self.shared.counters.expired, expired);
            self.gauge();
        }
    }

    pub(super) fn ack<'a>(&mut self, acks: impl Iterator<Item = (&'a UserKey, &'a u64)>) {
        let acked = acks.map(|(user, up_to)| self.index.ack(user, *up_to)).sum();
        if acked > 0 {
            self.shared.counters.set_store_full(false);
        }
        stats::add(&self.shared.counters.acked, acked);
        self.gauge();
    }

    /// Removes what `purge` selects; returns how many messages left.
    pub(super) fn purge(&mut self, purge: &Purge) -> u64 {
        let purged = self.index.purge(purge);
        if purged > 0 {
            self.shared.counters.set_store_full(false);
        }
        stats::add(&self.shared.counters.purged, purged);
        self.gauge();
        purged
    }

    /// Decides about one append; `reserved` is what earlier ones of the same batch take.
    pub(super) fn plan(
        &mut self,
        append: &Append,
        reserved: &mut Reserved,
    ) -> rusqlite::Result<Plan> {
        let mut last_offsets = Vec::with_capacity(append.recipients.len());
        for user in &append.recipients {
            last_offsets.push(self.last_offset(user)?);
        }
        let now_ms = self.clock.now_ms();
        let room = Room {
            index: &self.index,
            config: &self.config,
            now_ms,
        };
        let plan = reserved.plan(append, &last_offsets, &room, &mut self.next_seq);
        match &plan {
            Ok(_) => self.shared.counters.set_store_full(false),
            Err(AppendError::StoreFull) => self.shared.counters.set_store_full(true),
            Err(_) => {}
        }
        Ok(plan)
    }

    /// Commits the planned appends of `commands`, and with them what has left the mailboxes.
    pub(super) fn write<'a>(
        &mut self,
        commands: impl Iterator<Item = &'a Command>,
    ) -> Result<(), Fault> {
        let now_ms = self.clock.now_ms();
        let save_clock = now_ms.saturating_sub(self.clock_saved_ms) >= CLOCK_SAVED_EVERY_MS;
        // Without the reserve the log must stay small.
        let missing = self.reserve.is_missing();
        let rows_max = if missing {
            GARBAGE_ROWS_NO_RESERVE
        } else {
            GARBAGE_ROWS_MAX
        };
        let dirty = self.index.dirty(rows_max);
        let mut pages = 2;
        self.database.transact(|database| {
            self.write_damage(database, now_ms)?;
            for user in &dirty {
                pages += self.write_user(database, user)?;
            }
            for command in commands {
                pages += write_append(database, command)?;
            }
            if save_clock {
                database.put_clock(now_ms)?;
            }
            Ok(())
        })?;
        self.damage = Damage::default();
        self.epoch_saved = true;
        self.index.settle(dirty.len());
        if save_clock {
            self.clock_saved_ms = now_ms;
        }
        self.log_pages += pages;
        stats::add(&self.shared.counters.commits, 1);
        Ok(())
    }

    /// Makes a committed append visible; returns what became of it in each mailbox.
    pub(super) fn publish(
        &mut self,
        append: &Append,
        planned: &[Planned],
    ) -> Vec<Result<u64, MailboxRefusal>> {
        let sender = append.sender.as_ref().map(|sender| &sender.user);
        let mut stored = 0;
        let mut outcomes = Vec::with_capacity(planned.len());
        for (user, planned) in append.recipients.iter().zip(planned) {
            outcomes.push(planned.map(|slot| {
                self.index.push(user, slot, sender);
                stored += 1;
                slot.offset
            }));
        }
        stats::add(&self.shared.counters.appended, stored);
        self.gauge();
        outcomes
    }

    /// Moves the log into the database once it has grown enough to be worth it.
    pub(super) fn checkpoint_if_due(&mut self) -> Result<(), Fault> {
        // Without the reserve the log must stay small.
        let pages_max = if self.reserve.is_missing() {
            1
        } else {
            CHECKPOINT_PAGES
        };
        if self.log_pages < pages_max {
            return Ok(());
        }
        self.log_pages = 0;
        match self.database.checkpoint(false) {
            Err(Fault::DiskFull) if self.give_up_reserve()? => Ok(()),
            result => result,
        }
    }

    /// On a disk without room for the reserve the database may not grow from the start.
    pub(super) fn confine(&self) -> rusqlite::Result<()> {
        if self.reserve.is_missing() {
            self.database.allow_growth(false)?;
        }
        Ok(())
    }

    /// Tries now and then to take a reserve back that was given up; then the database may grow
    /// again.
    pub(super) fn retake_reserve(&mut self) -> rusqlite::Result<()> {
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
    pub(super) fn give_up_reserve(&mut self) -> Result<bool, Fault> {
        if !self.reserve.give_up() {
            return Ok(false);
        }
        self.database.checkpoint(false)?;
        self.database.allow_growth(false)?;
        Ok(true)
    }

    /// Writes what is left and empties the log.
    pub(super) fn close(&mut self) -> Result<(), Fault> {
        self.clock_saved_ms = 0;
        self.write(std::iter::empty())?;
        while self.owes_write() {
            self.write(std::iter::empty())?;
        }
        self.database.checkpoint(true)
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Lets a test reach under the store.
    #[cfg(test)]
    pub(super) fn run(&self, sql: &str) {
        self.database.run(sql);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether memory is ahead of the file.
    pub(super) fn owes_write(&self) -> bool {
        self.index.is_dirty() || !self.damage.is_empty() || !self.epoch_saved
    }

    /// How long until something expires.
    pub(super) fn due_in_ms(&self) -> Option<u64> {
        self.index
            .due_ms()
            .map(|due_ms| due_ms.saturating_sub(self.clock.now_ms()))
    }

    /// The last offset given to this user, who is in the index afterwards.
    fn last_offset(&mut self, user: &UserKey) -> rusqlite::Result<u64> {
        if let Some(state) = self.index.user(user) {
            return Ok(state.last_offset());
        }
        let last_offset = self.database.last_offset(user)?;
        if last_offset.is_none() {
            let users = vec![user.as_bytes().to_vec()];
            self.damaged(Damage {
                users,
                ..Damage::default()
            });
        }
        // After damage the offsets start again, in a new epoch.
        let last_offset = last_offset.unwrap_or(0);
        self.index.admit(user, last_offset);
        Ok(last_offset)
    }

    /// Counts damage and starts a new epoch, so that nobody trusts an offset from before.
    fn damaged(&mut self, damage: Damage) {
        let count = damage.messages.len() + damage.users.len();
        stats::add(&self.shared.counters.corrupt, count as u64);
        self.damage.messages.extend(damage.messages);
        self.damage.users.extend(damage.users);
        // Without randomness any other number still tells the lives apart.
        self.epoch = format::draw_epoch().unwrap_or(self.epoch % (1 << 52) + 1);
        self.epoch_saved = false;
        tracing::error!(
            count,
            epoch = self.epoch,
            "damaged rows set aside, epoch changed"
        );
        self.gauge();
    }

    fn write_damage(&self, database: &Database, now_ms: u64) -> rusqlite::Result<()> {
        for seq in &self.damage.messages {
            database.quarantine_message(*seq, now_ms)?;
        }
        for key in &self.damage.users {
            database.quarantine_user(key, now_ms)?;
        }
        if !self.epoch_saved {
            database.put_epoch(self.epoch)?;
        }
        Ok(())
    }

    /// Returns about how many pages that touches.
    fn write_user(&self, database: &Database, user: &UserKey) -> rusqlite::Result<u64> {
        let Some(state) = self.index.user(user) else {
            return Ok(0);
        };
        // First the pages that become free, then those that may be needed.
        for seq in state.garbage() {
            database.delete(*seq)?;
        }
        database.put_user(&UserRow {
            key: user,
            last_offset: state.last_offset(),
            gone_up_to: state.gone_up_to(),
        })?;
        Ok(1 + state.garbage().len() as u64)
    }

    fn gauge(&self) {
        self.shared.counters.gauge(&self.index);
    }
}

/// Returns about how many pages that touches.
fn write_append(database: &Database, command: &Command) -> rusqlite::Result<u64> {
    let Command::Append {
        append,
        plan: Ok(planned),
        ..
    } = command
    else {
        return Ok(0);
    };
    let mut bytes = 0;
    let sender = append.sender.as_ref().map(|sender| &*sender.user);
    for (user, planned) in append.recipients.iter().zip(planned) {
        let Ok(slot) = planned else {
            continue;
        };
        bytes += ROW_BYTES + append.payload.len() as u64;
        database.insert(&MessageRow {
            seq: slot.seq,
            user,
            offset: slot.offset,
            expiry_ms: slot.expiry_ms,
            payload: &append.payload,
            sender,
        })?;
    }
    // Rows that are larger than a page leave pages partly empty.
    Ok(2 * bytes / PAGE_BYTES)
}

/// Rows deleted in one transaction at most, so that draining a full mailbox store does not
/// stop everybody else.
const GARBAGE_ROWS_MAX: usize = 16_384;
const GARBAGE_ROWS_NO_RESERVE: usize = 256;
/// How much time may run twice after a crash with a clock set back.
const CLOCK_SAVED_EVERY_MS: u64 = 1000;
/// 8 MiB of log: pages that change often are written back once for many commits, and the
/// reserve is large enough for what the log makes the database grow.
const CHECKPOINT_PAGES: u64 = 2048;
const PAGE_BYTES: u64 = 4096;
/// What a row takes beside its payload, about.
const ROW_BYTES: u64 = 48;
