//! The state behind the commands: file, index and clock, kept in step.
//!
//! A message is pending once its row is committed and its slot pushed. It leaves the index at
//! once; its row follows with a later transaction. So a transaction that fails for want of
//! room needs nothing undone in memory, and what has left is never handed out again.

mod events; // what the outbox is asked
mod read; // handing out what is pending
mod room; // what the disk has room for
mod write; // one transaction

use std::sync::Arc;

use super::{
    Shared,
    clock::StoreClock,
    config::Config,
    database::{Database, Fault, KnownUser},
    format,
    index::Index,
    load::{Damage, Loaded},
    mark::Mark,
    meta::Meta,
    outbox::OutboxState,
    plan::{Plan, Planned, Reserved, Room},
    reserve::Reserve,
    snapshot::Held,
    stats,
};
use crate::{Append, AppendError, MailboxRefusal, Placed, Purge, UserKey};

/// What was found in the directory.
pub(super) struct Opened {
    pub(super) database: Database,
    /// `None`: damaged.
    pub(super) meta: Option<Meta>,
    pub(super) mark: Mark,
    /// The commits there have been at least.
    pub(super) marked_commits: u64,
    pub(super) loaded: Loaded,
    pub(super) outbox: OutboxState,
}

#[derive(Debug)]
pub(super) struct Store {
    shared: Arc<Shared>,
    config: Config,
    clock: StoreClock,
    database: Database,
    index: Index,
    /// Found, but not yet set aside on disk.
    damage: Damage,
    /// What the file says, but for the epoch.
    meta: Meta,
    epoch_saved: bool,
    mark: Mark,
    /// Users up to this key have no row any more without something pending; `None` when that
    /// is true of all.
    swept_up_to: Option<String>,
    next_seq: i64,
    reserve: Reserve,
    /// About how many pages have gone into the log since the last checkpoint.
    log_pages: u64,
    /// Somebody copies the file.
    held: Held,
    pub(super) outbox: OutboxState,
    /// Events have been stored since those who wait for them were told.
    has_new_events: bool,
}

impl Store {
    pub(super) fn new(
        shared: Arc<Shared>,
        config: Config,
        opened: Opened,
        clock: StoreClock,
    ) -> Self {
        let Opened {
            database,
            meta,
            mark,
            marked_commits,
            loaded,
            outbox,
        } = opened;
        let reserve = Reserve::take(&config.dir, config.reserve_bytes);
        let is_meta_sound = meta.is_some();
        // Where it is damaged, the new epoch forgets the offsets anyway.
        let meta = meta.unwrap_or_else(|| Meta {
            offset_floor: loaded.offset_max,
            commits: marked_commits,
            ..Meta::default()
        });
        let mut store = Self {
            shared,
            config,
            clock,
            database,
            index: loaded.index,
            damage: Damage::default(),
            meta,
            epoch_saved: true,
            mark,
            swept_up_to: loaded.has_idle_users.then(String::new),
            next_seq: loaded.next_seq,
            reserve,
            log_pages: 0,
            held: Held::default(),
            outbox,
            has_new_events: false,
        };
        if !is_meta_sound {
            stats::add(&store.shared.counters.corrupt, 1);
            tracing::error!("the store's own row is damaged");
            store.renew_epoch();
        }
        if let Some(lost) = marked_commits.checked_sub(store.meta.commits)
            && lost > 0
        {
            store.commits_lost(lost);
        }
        if !loaded.damage.is_empty() {
            store.damaged(loaded.damage);
        }
        store.gauge();
        store
    }

    /// Drops what has expired by now.
    pub(super) fn expire(&mut self) {
        let is_noted = self.outbox.wants_expired() || self.shared.outbox.watches_expired();
        self.index.note_expired(is_noted);
        let mut expired = self.index.expire(self.clock.now_ms());
        if let Some(jump) = self.clock.confirmed() {
            let horizon_ms = self.clock.now_ms().saturating_add(jump.ms);
            let older = self.index.expire_older(jump.before_seq, horizon_ms);
            tracing::warn!(
                gap_seconds = jump.ms / 1000,
                expired = older,
                "the clock's gap is confirmed: what it makes too old has expired"
            );
            expired += older;
        }
        if expired > 0 {
            self.shared.counters.set_store_full(false);
            let entries = self.index.take_expired();
            self.shared.outbox.tell_expired(&entries);
            self.outbox.note_expired(entries);
            // Who sees that something has expired sees that it does not wait any more.
            self.gauge();
            stats::add(&self.shared.counters.expired, expired);
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
        if self.outbox.admit(&append.events, true).is_err() {
            return Ok(Err(AppendError::OutboxFull));
        }
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

    /// Removes some rows of users who have nothing pending, which an earlier format kept.
    pub(super) fn sweep(&mut self) -> Result<(), Fault> {
        let Some(after) = &self.swept_up_to else {
            return Ok(());
        };
        if self.index.owed_rows_len() > 0 {
            // Until those are written the users' rows tell who has left them.
            return Ok(());
        }
        let users = self
            .database
            .users_behind(after, SWEPT_ROWS_MAX)
            .map_err(Fault::Fatal)?;
        let Some((last, _)) = users.last() else {
            self.swept_up_to = None;
            return Ok(());
        };
        let last = last.clone();
        let mut meta = self.next_meta();
        self.database.transact(|database| {
            for (key, last_offset) in &users {
                if self.index.user(key).is_none_or(|user| !user.needs_row()) {
                    meta.offset_floor = meta.offset_floor.max(*last_offset);
                    database.delete_user(key)?;
                }
            }
            database.put_meta(&meta)
        })?;
        self.committed(meta, users.len() as u64 / 16);
        self.swept_up_to = Some(last);
        Ok(())
    }

    /// Whether there is something for [`sweep`](Self::sweep).
    pub(super) fn owes_sweep(&self) -> bool {
        self.swept_up_to.is_some()
    }

    /// What the next transaction says about the store.
    fn next_meta(&mut self) -> Meta {
        self.clock.observe();
        let mut meta = self.meta;
        self.clock.save(&mut meta);
        meta.commits += 1;
        meta
    }

    /// A transaction with this row has reached the disk.
    fn committed(&mut self, meta: Meta, pages: u64) {
        self.mark.set(meta.commits);
        self.meta = meta;
        self.log_pages += pages;
        stats::add(&self.shared.counters.commits, 1);
        self.gauge();
    }

    /// Makes a committed append visible; returns what became of it in each mailbox.
    pub(super) fn publish(
        &mut self,
        append: &Append,
        planned: &[Planned],
    ) -> Vec<Result<Placed, MailboxRefusal>> {
        let sender = append.sender.as_ref().map(|sender| &sender.user);
        let (mut stored, mut shared) = (0, None);
        let mut outcomes = Vec::with_capacity(planned.len());
        for (user, planned) in append.recipients.iter().zip(planned) {
            outcomes.push(planned.map(|slot| {
                let previous = self.index.push(user, slot, sender);
                stored += 1;
                shared = slot.row.is_shared().then_some(slot);
                Placed {
                    offset: slot.offset,
                    previous,
                }
            }));
        }
        if let Some(slot) = shared {
            self.index.insert_shared(slot.row, stored, slot.len);
        }
        stats::add(&self.shared.counters.appended, stored.into());
        self.gauge();
        outcomes
    }

    /// Writes what is left and empties the log.
    pub(super) fn close(&mut self) -> Result<(), Fault> {
        self.write(std::iter::empty())?;
        while self.owes_write() {
            self.write(std::iter::empty())?;
        }
        self.checkpoint(true)?;
        if let Err(error) = self.mark.sync() {
            // It may be behind after a power cut, which is allowed.
            tracing::warn!(%error, "the number of commits could not be synced");
        }
        Ok(())
    }

    /// Forgets users without anything waiting beyond the cache's bound.
    pub(super) fn evict(&mut self) {
        self.index.evict();
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
        self.meta.epoch
    }

    /// Whether memory is ahead of the file.
    pub(super) fn owes_write(&self) -> bool {
        self.index.is_dirty()
            || self.outbox.is_dirty()
            || !self.damage.is_empty()
            || !self.epoch_saved
    }

    /// Whether the store's time has to be written although nothing else has.
    pub(super) fn owes_clock(&self) -> bool {
        self.clock_due_ms()
            .is_some_and(|due_ms| due_ms <= self.clock.now_ms())
    }

    /// How long until something expires or the store's time has to be written.
    pub(super) fn due_in_ms(&self) -> Option<u64> {
        let due = [
            self.index.due_ms(),
            self.clock.confirm_ms(),
            self.clock_due_ms(),
        ];
        let due_ms = due.into_iter().flatten().min()?;
        Some(due_ms.saturating_sub(self.clock.now_ms()))
    }

    /// An idle store writes its time now and then, so that a crash later on is no gap.
    fn clock_due_ms(&self) -> Option<u64> {
        let waiting = self.index.totals().messages > 0;
        waiting.then_some(self.meta.clock_ms + CLOCK_SAVED_EVERY_MS)
    }

    /// The last offset given to this user, who is in the index afterwards.
    fn last_offset(&mut self, user: &UserKey) -> rusqlite::Result<u64> {
        if let Some(state) = self.index.user(user) {
            return Ok(state.last_offset());
        }
        let known = self.database.user(user)?;
        let floor = self.meta.offset_floor;
        let (last_offset, has_row) = match known {
            KnownUser::Row { last_offset } => ((last_offset, true), true),
            // Without a floor nobody was ever forgotten.
            KnownUser::Absent => ((floor, floor == 0), false),
            KnownUser::Damaged => {
                let users = vec![user.as_bytes().to_vec()];
                self.damaged(Damage {
                    users,
                    ..Damage::default()
                });
                // The user's own is unknown, which the new epoch makes up for.
                ((floor, false), true)
            }
        };
        self.index.admit(user, last_offset, has_row);
        Ok(last_offset.0)
    }

    /// Counts damage and starts a new epoch, so that nobody trusts an offset from before.
    fn damaged(&mut self, damage: Damage) {
        let count = damage.messages.len() + damage.users.len();
        stats::add(&self.shared.counters.corrupt, count as u64);
        self.damage.messages.extend(damage.messages);
        self.damage.users.extend(damage.users);
        tracing::error!(count, "damaged rows set aside");
        self.renew_epoch();
    }

    /// Transactions that were on disk are not in the file any more.
    fn commits_lost(&mut self, count: u64) {
        stats::add(&self.shared.counters.lost_commits, count);
        tracing::error!(
            count,
            "committed transactions are missing: the write-ahead log is damaged, or files of \
             another time were put in place; accepted messages may be lost"
        );
        self.meta.commits += count;
        self.renew_epoch();
    }

    /// Starts a new epoch, so that nobody trusts an offset from before.
    fn renew_epoch(&mut self) {
        // Without randomness any other number still tells the lives apart.
        self.meta.epoch = format::draw_epoch().unwrap_or(self.meta.epoch % (1 << 52) + 1);
        self.epoch_saved = false;
        tracing::error!(epoch = self.meta.epoch, "the store has a new epoch");
        self.gauge();
    }

    fn gauge(&self) {
        let gap_ms = self.clock.gap_ms();
        self.shared.counters.gauge(&self.index, gap_ms);
    }
}

/// Far less than what is believed of a gap between two runs.
const CLOCK_SAVED_EVERY_MS: u64 = 10 * 60 * 1000;
/// Rows of users removed in one transaction.
const SWEPT_ROWS_MAX: usize = 4096;
/// 8 MiB of log: pages that change often are written back once for many commits, and the
/// reserve is large enough for what the log makes the database grow.
const CHECKPOINT_PAGES: u64 = 2048;
