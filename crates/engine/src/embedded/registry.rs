//! The embedded adapter of [`Registry`]: sessions of this process, counted in memory.
//!
//! In: sessions that begin and end. Out: answers at once, on the thread that asks. Invariant: one
//! leaf lock per shard; a user without a session takes no room.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    num::NonZeroU32,
};

use parking_lot::Mutex;

use crate::{OnAreOnline, OnOnlineUsers, Registry, UserKey};

/// Sessions of this process. About 40 bytes for each user who is online.
#[derive(Debug)]
pub struct LocalRegistry {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

/// How many sessions each user has.
type Shard = Mutex<HashMap<UserKey, NonZeroU32>>;

impl Default for LocalRegistry {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl LocalRegistry {
    fn shard(&self, user: &UserKey) -> &Shard {
        let at = self.hasher.hash_one(user) % SHARDS;
        usize::try_from(at)
            .ok()
            .and_then(|at| self.shards.get(at))
            .expect("the remainder is below the number of shards")
    }
}

impl Registry for LocalRegistry {
    fn enter(&self, user: &UserKey) {
        let mut shard = self.shard(user).lock();
        let count = shard.get(user).map_or(0, |count| count.get());
        let count = NonZeroU32::MIN.saturating_add(count);
        shard.insert(UserKey::clone(user), count);
    }

    fn leave(&self, user: &UserKey) {
        let mut shard = self.shard(user).lock();
        let Some(count) = shard.get_mut(user) else {
            return;
        };
        match NonZeroU32::new(count.get() - 1) {
            Some(rest) => *count = rest,
            None => {
                shard.remove(user);
            }
        }
    }

    fn are_online(&self, users: Vec<UserKey>, done: OnAreOnline) {
        let is_online = |user: &UserKey| self.shard(user).lock().contains_key(user);
        let answers = users.iter().map(is_online).collect();
        done(Ok(answers));
    }

    fn online_users(&self, limit: usize, done: OnOnlineUsers) {
        let mut users = Vec::new();
        for shard in &self.shards {
            let room = limit - users.len();
            users.extend(shard.lock().keys().take(room).cloned());
        }
        done(Ok(users));
    }
}

/// Enough that two cores rarely meet; an empty shard costs about 50 bytes.
const SHARDS: u64 = 64;
