//! [`Record`]: what is known of a session, and its wish to see it end.
//!
//! In: what it begins with. Out: what is shown of it, and how it is asked to end. Invariant: it is asked once.

pub(crate) mod sessions; // what runs
pub(crate) mod access_log; // what has run
pub(crate) mod pace; // ends many, not all at once

use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::SystemTime,
};

use parking_lot::Mutex;

use tidewire::{
    proto::proxy::Node,
    ws::{CloseCode, CloseFrame},
};
use tokio::time::Instant;

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

/// What a session begins with.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) parent: Option<u64>,
    pub(crate) endpoint: Option<Arc<str>>,
    pub(crate) dialect: Dialect,
    pub(crate) client: Node,
    /// Method and path, without the query, which may hold secrets.
    pub(crate) request: Option<Box<str>>,
    /// See [`Record::trace`].
    pub(crate) trace: Option<Box<str>>,
}

/// A request that was refused, of a client or for a logical socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused<'a> {
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    /// `None`: it came to none.
    pub(crate) dialect: Option<Dialect>,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) client: Node,
    pub(crate) request: Option<&'a str>,
    pub(crate) trace: Option<&'a str>,
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
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
    pub(crate) client: Node,
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

/// How a session ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) code: Option<CloseCode>,
    pub(crate) why: String,
}

impl Record {
    /// Of a session that begins now.
    pub(crate) fn new(id: u64, begin: Begin) -> Self {
        Self {
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
        }
    }

    /// Asks the session to end with this close code; the first call counts. Returns whether this was it.
    pub(crate) fn end(&self, code: CloseCode, reason: &str) -> bool {
        let first = self.ending.set(CloseFrame::new(code, reason)).is_ok();
        if first {
            let waiting = self.waiting.lock().take();
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
        first
    }

    /// Returns whether it was asked to end.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        self.ending.get().is_some()
    }

    /// It has ended.
    pub(crate) fn set_over(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Returns whether it has ended.
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
        let mut waiting = self.waiting.lock();
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
        let mut place = self.upstream.lock();
        *place = Some(Arc::from(upstream));
    }

    /// Which upstream serves it.
    pub(crate) fn upstream(&self) -> Option<Arc<str>> {
        self.upstream.lock().clone()
    }
}
