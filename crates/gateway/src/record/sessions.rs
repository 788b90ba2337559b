//! The open sessions: what runs, for the admin page.
//!
//! In: sessions as they open. Out: a list of their [records](Record). Invariant: a session
//! is listed exactly while its [`Session`] lives, and its access record is written exactly once; a request that
//! is refused has one too, and no session.

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

use crate::record::{Begin, Dialect, End, Record, Refused, access_log::AccessLog};

/// All open sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<BTreeMap<u64, Arc<Record>>>,
    next: AtomicU64,
    log: RwLock<AccessLog>,
    /// In the order of [`REFUSALS`].
    refusals: [AtomicU64; REFUSALS.len()],
}

/// Why requests are refused, as labels of metrics: the status that each stands for; the last one is any other.
const REFUSALS: [(&str, &[u16]); 8] = [
    ("bad_request", &[400]),
    ("unauthorized", &[401]),
    ("forbidden", &[403]),
    ("no_endpoint", &[404]),
    ("too_many", &[429]),
    ("unavailable", &[503]),
    ("backend_failed", &[502, 504]),
    ("other", &[]),
];

/// A session's place in the list.
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    pub(crate) record: Arc<Record>,
    end: Option<End>,
    is_refused: bool,
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
        tracing::debug!(
            id,
            parent = record.parent,
            dialect = record.dialect.name(),
            endpoint = record.endpoint.as_deref(),
            client = record.client.shown(),
            request = record.request.as_deref(),
            "opened"
        );
        Session {
            sessions: Arc::clone(self),
            record,
            end: None,
            is_refused: false,
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

    /// Notes a request that was refused, in the log and in the access log, with a number of its own.
    pub(crate) fn refused(&self, refused: Refused<'_>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let Refused {
            endpoint,
            client,
            request,
            status,
            reason,
            ..
        } = refused;
        let known = REFUSALS.iter().position(|(_, of)| of.contains(&status));
        self.refusals[known.unwrap_or(REFUSALS.len() - 1)].fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            id,
            client = client.shown(),
            endpoint,
            request,
            status,
            reason,
            "refused"
        );
        self.log().write_refused(&Refused { id, ..refused });
    }

    /// How many requests were refused, by reason.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.refusals.iter().map(|it| it.load(Ordering::Relaxed));
        REFUSALS.iter().map(|(reason, _)| *reason).zip(counts)
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
    /// It never came to be: its client is refused, which is noted instead.
    pub(crate) fn never_opened(mut self) {
        self.is_refused = true;
    }

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
        if self.is_refused {
            return;
        }
        let end = self.end.as_ref();
        tracing::debug!(
            id = self.record.id,
            code = end.and_then(|end| end.code).map(|code| code.0),
            end = end.map_or("aborted", |end| end.why.as_str()),
            "ended"
        );
        self.sessions.log().write(&self.record, end);
    }
}
