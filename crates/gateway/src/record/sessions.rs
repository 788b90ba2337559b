//! The open sessions: what runs, for the admin page.
//!
//! In: sessions as they open. Out: a list of their [records](Record). Invariant: a session
//! is listed exactly while its [`Session`] lives, and its access record is written exactly once.

use std::{
    collections::BTreeMap,
    fmt, mem,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};

use tidewire::ws::CloseCode;

use crate::record::{Begin, Dialect, End, Record, access_log::AccessLog};

/// All open sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<BTreeMap<u64, Arc<Record>>>,
    next: AtomicU64,
    log: RwLock<AccessLog>,
}

/// A session's place in the list.
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    pub(crate) record: Arc<Record>,
    end: Option<End>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.record.id).finish()
    }
}

impl Sessions {
    /// Ended sessions are told to `log`.
    pub(crate) fn new(log: AccessLog) -> Arc<Self> {
        Arc::new(Self {
            log: RwLock::new(log),
            ..Self::default()
        })
    }

    /// Lists a session.
    pub(crate) fn open(self: &Arc<Self>, begin: Begin) -> Session {
        let mut open = self.open.lock();
        // Under the lock: whoever has seen a session has seen all with smaller numbers.
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let record = Arc::new(Record::new(id, begin));
        open.insert(id, Arc::clone(&record));
        drop(open);
        Session {
            sessions: Arc::clone(self),
            record,
            end: None,
        }
    }

    /// All sessions, in the order they were opened.
    pub(crate) fn all(&self) -> Vec<Arc<Record>> {
        self.after(0)
    }

    /// The sessions that were opened after the one with this id, in that order.
    pub(crate) fn after(&self, id: u64) -> Vec<Arc<Record>> {
        let open = self.open.lock();
        let later = open.range((Bound::Excluded(id), Bound::Unbounded));
        later.map(|(_id, record)| Arc::clone(record)).collect()
    }

    /// The session with this id.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Record>> {
        let open = self.open.lock();
        open.get(&id).cloned()
    }

    /// How many there are, by endpoint and dialect.
    pub(crate) fn census(&self) -> BTreeMap<(Option<Arc<str>>, Dialect), usize> {
        let open = self.open.lock();
        let count = |mut census: BTreeMap<_, _>, record: &Arc<Record>| {
            *census
                .entry((record.endpoint.clone(), record.dialect))
                .or_default() += 1;
            census
        };
        open.values().fold(BTreeMap::new(), count)
    }

    /// Where ended sessions are told.
    pub(crate) fn log(&self) -> AccessLog {
        self.log.read().clone()
    }

    /// From now on they are told elsewhere. Returns where they were told before.
    pub(crate) fn set_log(&self, log: AccessLog) -> AccessLog {
        let mut place = self.log.write();
        mem::replace(&mut place, log)
    }
}

impl Session {
    /// How it ended, for the access record.
    pub(crate) fn ended(mut self, code: Option<CloseCode>, why: impl Into<String>) {
        self.end = Some(End {
            code,
            why: why.into(),
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock();
        open.remove(&self.record.id);
        self.record.set_over();
        drop(open);
        self.sessions.log().write(&self.record, self.end.as_ref());
    }
}
