//! The live sessions of this process, by user: [`SessionTable`].
//!
//! In: sessions that begin and end. Out: the live sessions of a user, as a shared list that is
//! replaced when it changes, so that a delivery clones one pointer and holds no lock while it
//! delivers. Invariant: one leaf lock per shard; bounds on sessions in all and per user.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{ConnectError, UserId, live::Live};

/// The live sessions of one user, never empty.
pub(crate) type Sessions = Arc<[Arc<Live>]>;

type Shard = Mutex<HashMap<UserId, Sessions>>;

#[derive(Debug)]
pub(crate) struct SessionTable {
    shards: Box<[Shard]>,
    hasher: RandomState,
    len: AtomicUsize,
    sessions_max: usize,
    sessions_per_user_max: usize,
}

impl SessionTable {
    pub(crate) fn new(sessions_max: usize, sessions_per_user_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::new(),
            len: AtomicUsize::new(0),
            sessions_max,
            sessions_per_user_max,
        }
    }

    pub(crate) fn insert(&self, live: &Arc<Live>) -> Result<(), ConnectError> {
        // The place is taken before the limit is looked at: two at once cannot both be last.
        if self.len.fetch_add(1, Ordering::Relaxed) >= self.sessions_max {
            self.len.fetch_sub(1, Ordering::Relaxed);
            return Err(ConnectError::TooManySessions);
        }
        let inserted = self.insert_into(&mut self.shard(&live.user).lock(), live);
        if inserted.is_err() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        inserted
    }

    pub(crate) fn remove(&self, live: &Arc<Live>) {
        let mut shard = self.shard(&live.user).lock();
        let Some(sessions) = shard.get_mut(&live.user) else {
            return;
        };
        let rest: Sessions = sessions
            .iter()
            .filter(|other| !Arc::ptr_eq(other, live))
            .cloned()
            .collect();
        if rest.len() == sessions.len() {
            return;
        }
        if rest.is_empty() {
            shard.remove(&live.user);
        } else {
            *sessions = rest;
        }
        self.len.fetch_sub(1, Ordering::Relaxed);
    }

    /// `None`: the user is offline.
    pub(crate) fn sessions(&self, user: &UserId) -> Option<Sessions> {
        self.shard(user).lock().get(user).cloned()
    }

    /// All sessions for which the answer is yes, in no order.
    pub(crate) fn matching(&self, is_meant: impl Fn(&Live) -> bool) -> Vec<Arc<Live>> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            #[expect(clippy::iter_over_hash_type, reason = "the caller sorts what it shows")]
            for sessions in shard.values() {
                found.extend(sessions.iter().filter(|live| is_meant(live)).cloned());
            }
        }
        found
    }

    /// The same with the shard of the user.
    pub(crate) fn look_up(&self, user: &UserId) -> Option<(usize, Sessions)> {
        let at = self.shard_of(user);
        let sessions = self.shards.get(at)?.lock().get(user).cloned()?;
        Some((at, sessions))
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn insert_into(
        &self,
        shard: &mut HashMap<UserId, Sessions>,
        live: &Arc<Live>,
    ) -> Result<(), ConnectError> {
        let Some(sessions) = shard.get_mut(&live.user) else {
            shard.insert(live.user.clone(), Arc::from([Arc::clone(live)]));
            return Ok(());
        };
        if sessions.len() >= self.sessions_per_user_max {
            return Err(ConnectError::TooManySessionsOfUser);
        }
        *sessions = sessions.iter().chain([live]).cloned().collect();
        Ok(())
    }

    /// Users are spread over this many shards, from 0 to [`SHARDS`].
    pub(crate) fn shard_of(&self, user: &UserId) -> usize {
        usize::try_from(self.hasher.hash_one(user) % SHARDS_U64).unwrap_or_default()
    }

    fn shard(&self, user: &UserId) -> &Shard {
        self.shards
            .get(self.shard_of(user))
            .expect("the remainder is below the number of shards")
    }
}

/// Enough that two cores rarely meet; an empty shard costs about 50 bytes.
pub(crate) const SHARDS: usize = 64;
const SHARDS_U64: u64 = SHARDS as u64;
