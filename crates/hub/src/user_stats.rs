//! Statistics per user as the REST API shows them: [`Stat`] (S-52).
//!
//! In: connects, disconnects, messages. Out: numbers with the names of the original. Invariant:
//! only users who have connected get an entry, and the table is bounded: those
//! longest offline leave first. Counting a message touches atomics of the entry, no table.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use serde::Serialize;

use crate::UserId;

/// Statistics of one user. Times are unix seconds, spans are seconds, 0 where unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stat {
    /// Bytes of messages he has sent and bytes written to his connections.
    pub bytes_transferred: u64,
    /// Connections ever begun.
    pub connected_times: u64,
    /// Connections ever ended.
    pub disconnected_times: u64,
    /// Who.
    pub id: UserId,
    /// Whether a connection is open.
    pub is_online: bool,
    /// When the last connection began.
    pub last_connection: i64,
    /// When he last sent a message on the current connection.
    pub last_message_time: i64,
    /// Messages handed to his connections, each connection counted.
    pub received_messages: u64,
    /// Messages accepted from him (not recipients).
    pub sent_messages: u64,
    /// Since his last message, or since the last connection.
    pub time_inactivity: i64,
    /// Since the last disconnection, if offline.
    pub time_offline: i64,
    /// Since the last connection, if online.
    pub time_online: i64,
}

/// The counters behind a [`Stat`].
#[derive(Debug, Default)]
pub(crate) struct UserCounters {
    connected: AtomicU64,
    disconnected: AtomicU64,
    last_connection: AtomicI64,
    last_disconnection: AtomicI64,
    last_message: AtomicI64,
    received: AtomicU64,
    sent: AtomicU64,
    bytes: AtomicU64,
    /// A client of his has answered a ping; forgotten with the entry.
    answered: AtomicBool,
}

impl UserCounters {
    /// A message of so many bytes has come in.
    pub(crate) fn came_in(&self, now: i64, bytes: usize) {
        self.last_message.store(now, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn accepted(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    pub(crate) fn answered(&self) {
        self.answered.store(true, Relaxed);
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    pub(crate) fn received(&self, messages: u64) {
        self.received.fetch_add(messages, Relaxed);
    }

    pub(crate) fn went_out(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn stat(&self, id: UserId, now: i64) -> Stat {
        let connected_times = self.connected.load(Relaxed);
        let disconnected_times = self.disconnected.load(Relaxed);
        let is_online = connected_times > disconnected_times;
        let last_connection = self.last_connection.load(Relaxed);
        let last_disconnection = self.last_disconnection.load(Relaxed);
        let last_message_time = self.last_message.load(Relaxed);
        let last_activity = if last_message_time > 0 {
            last_message_time
        } else {
            last_connection
        };
        // A moment that never was is 0; the span since then is no span.
        let since = |moment: i64| if moment > 0 { (now - moment).max(0) } else { 0 };
        Stat {
            bytes_transferred: self.bytes.load(Relaxed),
            connected_times,
            disconnected_times,
            id,
            is_online,
            last_connection,
            last_message_time,
            received_messages: self.received.load(Relaxed),
            sent_messages: self.sent.load(Relaxed),
            time_inactivity: since(last_activity),
            time_offline: if is_online {
                0
            } else {
                since(last_disconnection)
            },
            time_online: if is_online { since(last_connection) } else { 0 },
        }
    }
}

/// The bounded table of users.
#[derive(Debug)]
pub(crate) struct UserStats {
    users_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    users: BTreeMap<UserId, Entry>,
    /// Users without a connection, longest offline first.
    offline: BTreeMap<OfflineSince, UserId>,
    disconnects: u64,
}

#[derive(Debug, Default)]
struct Entry {
    counters: Arc<UserCounters>,
    sessions: usize,
    offline: Option<OfflineSince>,
}

/// Unix seconds, then the number of the disconnection.
type OfflineSince = (i64, u64);

impl UserStats {
    pub(crate) fn new(users_max: usize) -> Self {
        Self {
            users_max,
            table: Mutex::default(),
        }
    }

    pub(crate) fn connected(&self, user: &UserId, now: i64) -> Arc<UserCounters> {
        let mut guard = self.table.lock();
        let Table { users, offline, .. } = &mut *guard;
        let entry = users.entry(user.clone()).or_default();
        entry.sessions += 1;
        if let Some(since) = entry.offline.take() {
            offline.remove(&since);
        }
        let counters = Arc::clone(&entry.counters);
        counters.connected.fetch_add(1, Relaxed);
        counters.last_connection.store(now, Relaxed);
        counters.last_message.store(0, Relaxed);
        guard.evict(self.users_max);
        counters
    }

    pub(crate) fn disconnected(&self, user: &UserId, now: i64) {
        let mut guard = self.table.lock();
        let Table {
            users,
            offline,
            disconnects,
        } = &mut *guard;
        let Some(entry) = users.get_mut(user) else {
            return;
        };
        entry.counters.disconnected.fetch_add(1, Relaxed);
        entry.counters.last_disconnection.store(now, Relaxed);
        entry.sessions -= 1;
        if entry.sessions == 0 {
            *disconnects += 1;
            entry.offline = Some((now, *disconnects));
            offline.insert((now, *disconnects), user.clone());
        }
        guard.evict(self.users_max);
    }

    pub(crate) fn find(&self, user: &UserId) -> Option<Arc<UserCounters>> {
        self.table
            .lock()
            .users
            .get(user)
            .map(|entry| Arc::clone(&entry.counters))
    }

    pub(crate) fn stat(&self, user: &UserId, now: i64) -> Stat {
        self.find(user).unwrap_or_default().stat(user.clone(), now)
    }

    /// At most `count` users behind `after` in ascending order; from the first if it is `None`.
    /// The table is locked for these alone.
    pub(crate) fn page(&self, after: Option<&UserId>, count: usize, now: i64) -> Vec<Stat> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let table = self.table.lock();
        let users = table.users.range::<UserId, _>((from, Bound::Unbounded));
        users
            .take(count)
            .map(|(user, entry)| entry.counters.stat(user.clone(), now))
            .collect()
    }
}

impl Table {
    fn evict(&mut self, users_max: usize) {
        while self.users.len() > users_max {
            let Some((_, user)) = self.offline.pop_first() else {
                return;
            };
            self.users.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u64) -> UserId {
        UserId::from(number)
    }

    /// S-52.
    #[test]
    fn a_user_who_never_connected_has_only_zeros() {
        let stats = UserStats::new(10);
        let json = serde_json::to_string(&stats.stat(&user(5), 1_500_000_000)).unwrap();
        assert_eq!(
            json,
            r#"{"bytesTransferred":0,"connectedTimes":0,"disconnectedTimes":0,"id":5,"isOnline":false,"lastConnection":0,"lastMessageTime":0,"receivedMessages":0,"sentMessages":0,"timeInactivity":0,"timeOffline":0,"timeOnline":0}"#
        );
        assert!(stats.page(None, 9, 1).is_empty());
    }

    #[test]
    fn times_run_from_connection_message_and_disconnection() {
        let stats = UserStats::new(10);
        let counters = stats.connected(&user(5), 100);
        let stat = stats.stat(&user(5), 130);
        assert_eq!(
            (stat.time_online, stat.time_inactivity, stat.time_offline),
            (30, 30, 0)
        );
        counters.came_in(120, 7);
        let stat = stats.stat(&user(5), 130);
        assert_eq!((stat.last_message_time, stat.time_inactivity), (120, 10));
        stats.connected(&user(5), 140);
        assert_eq!(stats.stat(&user(5), 140).last_message_time, 0);
        stats.disconnected(&user(5), 150);
        assert!(stats.stat(&user(5), 150).is_online);
        stats.disconnected(&user(5), 160);
        let stat = stats.stat(&user(5), 170);
        assert_eq!(
            (stat.is_online, stat.time_offline, stat.time_online),
            (false, 10, 0)
        );
        assert_eq!((stat.connected_times, stat.disconnected_times), (2, 2));
        assert_eq!(stat.bytes_transferred, 7);
    }

    #[test]
    fn the_longest_offline_user_leaves_a_full_table_first() {
        let stats = UserStats::new(2);
        for (number, now) in [(1, 10), (2, 11), (3, 12)] {
            stats.connected(&user(number), now);
        }
        assert_eq!(stats.page(None, 9, 20).len(), 3, "who is online stays");
        stats.disconnected(&user(2), 13);
        assert_eq!(
            stats
                .page(None, 9, 20)
                .iter()
                .map(|stat| &stat.id)
                .collect::<Vec<_>>(),
            [&user(1), &user(3)]
        );
        stats.disconnected(&user(1), 14);
        stats.disconnected(&user(3), 15);
        stats.connected(&user(1), 16);
        stats.connected(&user(4), 17);
        assert_eq!(
            stats
                .page(None, 9, 20)
                .iter()
                .map(|stat| &stat.id)
                .collect::<Vec<_>>(),
            [&user(1), &user(4)]
        );
    }

    #[test]
    fn pages_together_are_all_users_in_order() {
        let stats = UserStats::new(100);
        for number in (0..10).rev() {
            stats.connected(&user(number), 10);
        }
        let mut found: Vec<UserId> = Vec::new();
        loop {
            let page = stats.page(found.last(), 3, 20);
            assert!(page.len() <= 3);
            if page.is_empty() {
                break;
            }
            found.extend(page.into_iter().map(|stat| stat.id));
        }
        assert_eq!(found, (0..10).map(user).collect::<Vec<_>>());
    }
}
