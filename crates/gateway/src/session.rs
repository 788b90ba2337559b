//! The open sessions: what runs, for the admin page, and how each is asked to end.
//!
//! In: sessions as they open. Out: a list, and an [`Ending`] for those that shall end. Invariant: a session
//! is listed exactly while its [`Session`] lives, and its access record is written exactly once.

use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    mem,
    net::IpAddr,
    ops::Bound,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::SystemTime,
};

use tidewire::ws::{CloseCode, CloseFrame};
use tokio::time::Instant;

use crate::access_log::AccessLog;

/// How a client speaks to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Dialect {
    /// A plain client, connected through.
    Pinned,
    /// `SMHandshake`.
    Classic,
    /// `tidewire.mux.v1`.
    Mux,
}

impl Dialect {
    /// For logs and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Classic => "classic",
            Self::Mux => "mux",
        }
    }
}

/// All open sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<BTreeMap<u64, Arc<Record>>>,
    next: AtomicU64,
    log: RwLock<AccessLog>,
}

/// What is known of a session: of a client's connection, or a logical socket in it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    /// The connection, for a logical socket.
    pub(crate) parent: Option<u64>,
    /// `None` for a connection that carries logical sockets.
    pub(crate) endpoint: Option<Arc<str>>,
    pub(crate) dialect: Dialect,
    pub(crate) client: Option<IpAddr>,
    pub(crate) request: Option<Box<str>>,
    /// Trace of the request (W3C trace context), if it belongs to one.
    pub(crate) trace: Option<Box<str>>,
    pub(crate) since: SystemTime,
    pub(crate) opened: Instant,
    /// Which upstream serves it.
    pub(crate) upstream: Mutex<Option<Arc<str>>>,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    over: AtomicBool,
    ending: OnceLock<CloseFrame>,
    /// Who waits to be asked to end.
    waiting: Mutex<Option<Waker>>,
}

/// A session's place in the list.
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    pub(crate) record: Arc<Record>,
    end: Option<End>,
}

/// How a session ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) code: Option<CloseCode>,
    pub(crate) why: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.record.id).finish()
    }
}

/// What a session begins with.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) parent: Option<u64>,
    pub(crate) endpoint: Option<Arc<str>>,
    pub(crate) dialect: Dialect,
    pub(crate) client: Option<IpAddr>,
    /// Method and path, without the query, which may hold secrets.
    pub(crate) request: Option<Box<str>>,
    /// See [`Record::trace`].
    pub(crate) trace: Option<Box<str>>,
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
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: whoever has seen a session has seen all with smaller numbers.
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let record = Arc::new(Record {
            id,
            parent: begin.parent,
            endpoint: begin.endpoint,
            dialect: begin.dialect,
            client: begin.client,
            request: begin.request,
            trace: begin.trace,
            since: SystemTime::now(),
            opened: Instant::now(),
            upstream: Mutex::default(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            over: AtomicBool::new(false),
            ending: OnceLock::new(),
            waiting: Mutex::default(),
        });
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
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let later = open.range((Bound::Excluded(id), Bound::Unbounded));
        later.map(|(_id, record)| Arc::clone(record)).collect()
    }

    /// The session with this id.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Record>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&id).cloned()
    }

    /// How many there are, by endpoint and dialect.
    pub(crate) fn census(&self) -> BTreeMap<(Option<Arc<str>>, Dialect), usize> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.log
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on they are told elsewhere. Returns where they were told before.
    pub(crate) fn set_log(&self, log: AccessLog) -> AccessLog {
        let mut place = self.log.write().unwrap_or_else(PoisonError::into_inner);
        mem::replace(&mut place, log)
    }
}

impl Record {
    /// Asks the session to end with this close code; the first call counts. Returns whether this was it.
    pub(crate) fn end(&self, code: CloseCode, reason: &str) -> bool {
        let first = self.ending.set(CloseFrame::new(code, reason)).is_ok();
        if first {
            let waiting = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
        first
    }

    /// Whether it was asked to end.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        self.ending.get().is_some()
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until it is asked to end. One waiter at a time.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn asked_to_end(&self) -> CloseFrame {
        poll_fn(|cx| self.poll_end(cx)).await
    }

    /// As [`asked_to_end`](Self::asked_to_end).
    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> Poll<CloseFrame> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = self.ending.get() {
            return Poll::Ready(frame.clone());
        }
        match &*waiting {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            Some(_) | None => *waiting = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Which upstream serves it from now on.
    pub(crate) fn served_by(&self, upstream: &str) {
        let mut place = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::from(upstream));
    }

    /// Which upstream serves it.
    pub(crate) fn upstream(&self) -> Option<Arc<str>> {
        self.upstream
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
        let mut open = self
            .sessions
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.record.id);
        self.record.over.store(true, Ordering::Relaxed);
        drop(open);
        self.sessions.log().write(&self.record, self.end.as_ref());
    }
}
