//! A client that keeps a connection: connects, and connects again whenever it ends.
//!
//! In: a [`Client`], a [`Backoff`], and an async function or a maker of handlers. Out: one task, which ends with the
//! [`Reconnecting`] handle. Invariant: every way an attempt or a connection can end is told, in order, and followed by
//! a wait or by the end of the task.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{Client, ConnectError, Connection, Handler, RecvError, SendError, Sender};
use crate::{entropy, net::Backoff, service::Drain, sync::Mutex};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// The attempt failed.
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
    /// The connection ended properly.
    #[error("the connection was closed")]
    Closed,
    /// The connection ended otherwise.
    #[error("the connection was lost")]
    Lost(#[source] RecvError),
}

/// Is told that there is no connection, and when the next attempt begins; `None` when there is none.
type Down = Box<dyn FnMut(DownReason, Option<Duration>) + Send>;

/// Settings of a [`Reconnecting`] client.
///
/// ```no_run
/// use std::time::Duration;
/// use tidewire::tcp::{Backoff, Client, Handler, Session};
///
/// struct Print;
///
/// impl Handler for Print {
///     fn received(&mut self, _session: &mut Session<'_>, bytes: &[u8]) {
///         println!("{}", String::from_utf8_lossy(bytes));
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new("127.0.0.1:1111")
///     .reconnect(Backoff::default())
///     .on_down(|reason, retry_in| eprintln!("{reason}, again in {retry_in:?}"))
///     .start(|_session| Print);
/// client.connected().await;
/// client.try_send("hello")?;
/// client.close(Duration::from_secs(5)).await;
/// # Ok(()) }
/// ```
pub struct Reconnect {
    client: Client,
    backoff: Backoff,
    down: Down,
}

impl fmt::Debug for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnect")
            .field("client", &self.client)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Keeps a connection: connects, and connects again whenever it ends, until [`Reconnecting::close`]. Gives up after
    /// [`Backoff::failures_max`], and when a certificate is not accepted.
    pub fn reconnect(self, backoff: Backoff) -> Reconnect {
        Reconnect {
            client: self,
            backoff,
            down: Box::new(|_reason, _retry_in| ()),
        }
    }
}

impl Reconnect {
    /// Calls `down` whenever an attempt has failed or a connection has ended, with the wait before the next attempt;
    /// `None` when there is none.
    #[must_use]
    pub fn on_down(
        self,
        mut down: impl FnMut(&DownReason, Option<Duration>) + Send + 'static,
    ) -> Self {
        self.on_down_owned(move |reason, retry_in| down(&reason, retry_in))
    }

    /// As [`on_down`](Self::on_down), for whoever has a reason of their own to make of it.
    pub(crate) fn on_down_owned(
        mut self,
        down: impl FnMut(DownReason, Option<Duration>) + Send + 'static,
    ) -> Self {
        self.down = Box::new(down);
        self
    }

    /// Starts, in a task of its own; each connection gets a handler that `make` makes.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start<H: Handler>(
        self,
        mut make: impl FnMut(&Sender) -> H + Send + 'static,
    ) -> Reconnecting {
        self.start_with(move |connection| {
            let handler = make(&connection.sender());
            connection.run(handler)
        })
    }

    /// Starts, in a task of its own; each connection is given to an async function, whose end is the connection's.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_with<F, T>(self, serve: F) -> Reconnecting
    where
        F: FnMut(Connection) -> T + Send + 'static,
        T: Future<Output = Result<(), RecvError>> + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        let ended = Ended(Arc::clone(&shared));
        let kept = keep(self, serve, Arc::clone(&shared));
        let task = tokio::spawn(async move {
            kept.await;
            drop(ended);
        });
        Reconnecting { shared, task }
    }
}

/// The state that the task and its handle share.
#[derive(Debug, Default)]
struct Shared {
    current: Mutex<Option<Sender>>,
    /// The task has ended.
    ended: AtomicBool,
    /// One of the two has changed.
    changed: Notify,
    /// The next attempt begins now.
    at_once: Notify,
    closing: Drain,
}

impl Shared {
    fn set(&self, sender: Option<Sender>) {
        *self.current.lock() = sender;
        self.changed.notify_waiters();
    }
}

/// However the task ends, nobody waits for it in vain.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
        self.0.set(None);
    }
}

async fn keep<F, T>(mut settings: Reconnect, mut serve: F, shared: Arc<Shared>)
where
    F: FnMut(Connection) -> T + Send + 'static,
    T: Future<Output = Result<(), RecvError>> + Send + 'static,
{
    let mut failures = 0_u32;
    loop {
        let connected = tokio::select! {
            connected = settings.client.connect() => connected,
            () = shared.closing.started() => return,
        };
        let reason = match connected {
            Err(error) => DownReason::Connect(error),
            Ok(connection) => {
                let up_since = Instant::now();
                shared.set(Some(connection.sender()));
                if shared.closing.is_started() {
                    connection.sender().close();
                }
                let ended = serve(connection).await;
                shared.set(None);
                if up_since.elapsed() >= settings.backoff.stable_after {
                    failures = 0;
                }
                ended.map_or_else(DownReason::Lost, |()| DownReason::Closed)
            }
        };
        if shared.closing.is_started() {
            return;
        }
        let retry_in = settings.retry_in(&reason, failures);
        failures = failures.saturating_add(1);
        (settings.down)(reason, retry_in);
        let Some(wait) = retry_in else { return };
        tokio::select! {
            () = sleep(wait) => {}
            () = shared.at_once.notified() => {}
            () = shared.closing.started() => return,
        }
    }
}

impl Reconnect {
    /// `None` gives up.
    fn retry_in(&self, reason: &DownReason, failures: u32) -> Option<Duration> {
        let is_permanent = match reason {
            DownReason::Connect(error) => error.is_permanent(),
            DownReason::Closed | DownReason::Lost(_) => false,
        };
        let again = failures.saturating_add(1) < self.backoff.failures_max;
        let random = u64::from_ne_bytes(entropy::random());
        (again && !is_permanent).then(|| self.backoff.wait(failures, None, random))
    }
}

/// A client that keeps a connection. Dropping it aborts the connection; [`close`](Self::close) ends it properly.
#[derive(Debug)]
pub struct Reconnecting {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Reconnecting {
    /// The connection there is now.
    pub fn sender(&self) -> Option<Sender> {
        self.shared.current.lock().clone()
    }

    /// Waits for a connection; `None` when the client has given up.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connected(&self) -> Option<Sender> {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable(); // before the look, so that no change is missed
            if let Some(sender) = self.sender() {
                return Some(sender);
            }
            if self.has_ended() {
                return None;
            }
            changed.await;
        }
    }

    /// Returns whether the client has given up.
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::SeqCst)
    }

    /// Sends on the connection there is, without waiting.
    ///
    /// # Errors
    /// [`SendError::Closed`] while there is none, [`SendError::Full`]; nothing was queued.
    pub fn try_send(&self, bytes: impl Into<Bytes>) -> Result<(), SendError> {
        self.sender().ok_or(SendError::Closed)?.try_send(bytes)
    }

    /// Ends the connection there is, behind what is queued, and connects anew; without one the next attempt begins at
    /// once.
    pub fn reconnect(&self) {
        // First, so that the wait behind the connection's end is cut short as well.
        self.shared.at_once.notify_one();
        if let Some(sender) = self.sender() {
            sender.close();
        }
    }

    /// Ends the connection behind what is queued, at most `within`, then aborts it; no other is made. When this returns,
    /// nothing runs any more.
    ///
    /// # Cancel safety
    /// When dropped, the client is aborted.
    pub async fn close(mut self, within: Duration) {
        self.shared.closing.start();
        if let Some(sender) = self.sender() {
            sender.close();
        }
        if timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
            (&mut self.task).await.ok();
        }
    }
}

impl Drop for Reconnecting {
    fn drop(&mut self) {
        self.task.abort();
    }
}
