//! A socket, as all who use it share it: the queue of what was not sent yet, counters, groups.
//!
//! In: datagrams of any thread. Out: the same, in as few calls as possible. Each is sent at once by who brings it, unless
//! the thread is in a [turn](Turn) of this socket: then all leave together at its end. When the system takes no more, a
//! task waits until it does; it ends when the queue is empty.

use std::{
    collections::VecDeque,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use socket2::SockRef;
use tokio::{io::Interest, net::UdpSocket, runtime::Handle, sync::Notify};

use super::{
    Config, Group,
    bind::Change,
    buffer::Buffer,
    core::Core,
    error::{GroupError, SendError, SocketError},
    outgoing::{Entry, Full, Outgoing},
    system::{Reads, System},
    traffic::Traffic,
    turn::Turn,
};
use crate::sync::Mutex;

/// Errors that wait for somebody to receive; the oldest are dropped.
const ERRORS_MAX: usize = 16;

/// Most bytes that a turn holds back.
const TURN_BYTES_MAX: usize = 64 << 10;

/// Called with every error.
pub(super) type OnError = Box<dyn Fn(&SocketError) + Send + Sync>;

pub(super) struct Shared {
    pub(super) io: UdpSocket,
    pub(super) system: System,
    pub(super) core: Core,
    /// Told to end.
    closing: AtomicBool,
    out: Mutex<Outgoing>,
    /// Bytes in the queue of the handler, which is not shared.
    pub(super) handler_queued: AtomicUsize,
    closed: AtomicBool,
    /// A task waits until the system takes more.
    flushing: AtomicBool,
    /// There is room in the queue again, or it is closed.
    room: Notify,
    /// The queue was in the way of somebody, and is empty now.
    pub(super) drained: AtomicBool,
    /// The receiver has something to look at: the wish to end, an error, a change of groups.
    pub(super) attention: Notify,
    runtime: Handle,
    /// Groups joined and left, to be told to a handler; `None` without one.
    changes: Mutex<Option<Vec<(Change, Group)>>>,
    /// Counted already, to be told to who receives.
    errors: Mutex<VecDeque<SocketError>>,
    has_errors: AtomicBool,
    on_error: Option<OnError>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("local", &self.core.local)
            .field("peer", &self.core.peer)
            .finish_non_exhaustive()
    }
}

/// Is told what happens to queued datagrams.
pub(super) trait Outcome {
    fn sent(&mut self, out: &mut Outgoing, entry: Entry);
    /// It was refused, and is not sent.
    fn failed(&mut self, out: &mut Outgoing, error: SocketError);
    /// Another, sent before, did not arrive.
    fn lost(&mut self, out: &mut Outgoing, error: SocketError);
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Flushed {
    Empty,
    /// The system takes nothing for now.
    Blocked,
    /// It would go on for long.
    Paused,
}

impl Shared {
    /// Must be called within a runtime.
    pub(super) fn new(
        socket: socket2::Socket,
        config: Config,
        peer: Option<SocketAddr>,
        on_error: Option<OnError>,
    ) -> io::Result<Arc<Self>> {
        let system = System::new(&socket, &config)?;
        let io = UdpSocket::from_std(socket.into())?;
        let local = io.local_addr()?;
        Ok(Arc::new(Self {
            io,
            system,
            closing: AtomicBool::new(false),
            out: Mutex::new(Outgoing::new(config.send_queue_bytes_max)),
            handler_queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            flushing: AtomicBool::new(false),
            room: Notify::new(),
            drained: AtomicBool::new(false),
            attention: Notify::new(),
            runtime: Handle::current(),
            changes: Mutex::new(None),
            errors: Mutex::default(),
            has_errors: AtomicBool::new(false),
            on_error,
            core: Core::new(config, local, peer),
        }))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Tells the receiver to end.
    pub(super) fn start_close(&self) {
        self.closing.store(true, Ordering::Release);
        self.attention.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Nothing is sent any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.start_close();
        self.room.notify_waiters();
    }

    /// Sends a datagram or queues it; a failure that is its own comes back.
    pub(super) fn try_send(
        self: &Arc<Self>,
        payload: &[u8],
        to: Option<SocketAddr>,
        source: Option<IpAddr>,
    ) -> Result<(), SendError> {
        let to = self.core.check(payload.len(), to)?;
        let mut own = ForReceiver::new(self);
        let mut out = self.open_queue()?;
        let was_empty = out.is_empty();
        out.push(payload, to, source)
            .map_err(|Full| SendError::Full)?;
        if Turn::is_of(&**self) && out.cost() < TURN_BYTES_MAX {
            return Ok(());
        }
        if was_empty || Turn::is_of(&**self) {
            self.flush_now(&mut out, &mut own);
        }
        match own.error.take_if(|_| was_empty) {
            Some(error) => Err(SendError::Refused(error.error)),
            None => Ok(()),
        }
    }

    /// Queues what `queue` brings, then sends it, in as few calls as possible.
    pub(super) fn try_send_many<R>(
        self: &Arc<Self>,
        queue: impl FnOnce(&Self, &mut Outgoing) -> R,
    ) -> Result<R, SendError> {
        let mut out = self.open_queue()?;
        let was_empty = out.is_empty();
        let result = queue(self, &mut out);
        if was_empty && !out.is_empty() {
            self.flush_now(&mut out, &mut ForReceiver::new(self));
        }
        Ok(result)
    }

    fn open_queue(&self) -> Result<std::sync::MutexGuard<'_, Outgoing>, SendError> {
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        Ok(self.out.lock())
    }

    /// As [`try_send`](Self::try_send), but waits for room.
    pub(super) async fn send(
        self: &Arc<Self>,
        payload: &[u8],
        to: Option<SocketAddr>,
        source: Option<IpAddr>,
    ) -> Result<(), SendError> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable(); // before the look, so that no change is missed
            match self.try_send(payload, to, source) {
                Err(SendError::Full) => room.await,
                done => return done,
            }
        }
    }

    /// Waits until everything queued here has been given to the system.
    pub(super) async fn flush(self: &Arc<Self>) -> Result<(), SendError> {
        drop(self.open_queue()?);
        self.finish().await;
        Ok(())
    }

    /// As [`flush`](Self::flush), also when nothing more may be queued.
    pub(super) async fn finish(self: &Arc<Self>) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            {
                let mut out = self.out.lock();
                self.flush_now(&mut out, &mut ForReceiver::new(self));
                if out.is_empty() {
                    return;
                }
            }
            room.await;
        }
    }

    /// Sends what a turn has held back.
    pub(super) fn flush_turn(self: &Arc<Self>) {
        let mut out = self.out.lock();
        if !out.is_empty() {
            self.flush_now(&mut out, &mut ForReceiver::new(self));
        }
    }

    /// Sends what it can; the rest is left to a task.
    fn flush_now(self: &Arc<Self>, out: &mut Outgoing, outcome: &mut ForReceiver<'_>) {
        if self.flushing.load(Ordering::Acquire) {
            return; // the task holds the order
        }
        match self.flush_queue(out, outcome) {
            Flushed::Empty => {}
            Flushed::Blocked | Flushed::Paused => {
                self.flushing.store(true, Ordering::Release);
                let shared = Arc::clone(self);
                self.runtime.spawn(shared.flush_rest());
            }
        }
    }

    async fn flush_rest(self: Arc<Self>) {
        loop {
            // An error is told by the next call.
            self.io.writable().await.ok();
            {
                let mut out = self.out.lock();
                let flushed = self.flush_queue(&mut out, &mut ForReceiver::new(&self));
                if flushed == Flushed::Empty {
                    self.flushing.store(false, Ordering::Release);
                    out.shrink();
                    break;
                }
            }
            self.room.notify_waiters();
            tokio::task::yield_now().await;
        }
        self.room.notify_waiters();
        self.drained.store(true, Ordering::Release);
        self.attention.notify_one();
    }

    /// Sends from a queue until it is empty, or the system takes no more.
    pub(super) fn flush_queue(&self, out: &mut Outgoing, outcome: &mut impl Outcome) -> Flushed {
        const CALLS_MAX: usize = 64;
        let mut pending_error = false;
        for _ in 0..CALLS_MAX {
            let (entries, bytes) = out.waiting();
            let Some(first) = entries.first().copied() else {
                return Flushed::Empty;
            };
            let send = || self.system.send(&self.io, entries, bytes);
            match self.io.try_io(Interest::WRITABLE, send) {
                Ok(count) => {
                    pending_error = false;
                    let mut sent_bytes = 0;
                    for _ in 0..count {
                        if let Some(entry) = out.pop() {
                            sent_bytes += entry.len as u64;
                            outcome.sent(out, entry);
                        }
                    }
                    self.core.counters.sent(count as u64, sent_bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
                // It belongs to an earlier datagram; the system has told it, and forgets it.
                Err(error) if is_about_earlier(&error) && !pending_error => {
                    pending_error = true;
                    while let Some(error) = self.system.take_error(&self.io) {
                        self.count(&error);
                        outcome.lost(out, error);
                    }
                }
                // The datagram it answers went to a broadcast address, for example.
                Err(_) if out.forget_source().is_some() => {}
                Err(error) => {
                    pending_error = false;
                    out.pop();
                    let to = Some(first.to);
                    let error = SocketError { to, error };
                    self.count(&error);
                    outcome.failed(out, error);
                }
            }
        }
        if out.is_empty() {
            Flushed::Empty
        } else {
            Flushed::Paused
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.out.lock().queued() + self.handler_queued.load(Ordering::Relaxed)
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.core.counters.traffic(self.queued())
    }

    pub(super) fn join(&self, group: &Group) -> Result<(), GroupError> {
        self.core.join(&SockRef::from(&self.io), group)?;
        self.tell_change(Change::Join, group);
        Ok(())
    }

    pub(super) fn leave(&self, group: &Group) -> Result<(), GroupError> {
        self.core.leave(&SockRef::from(&self.io), group)?;
        self.tell_change(Change::Leave, group);
        Ok(())
    }

    fn tell_change(&self, change: Change, group: &Group) {
        if let Some(changes) = self.changes.lock().as_mut() {
            changes.push((change, group.clone()));
            self.attention.notify_one();
        }
    }

    /// From now on there is a handler to be told of groups; those joined before come first.
    pub(super) fn watch_changes(&self) {
        let joined = self.core.groups().into_iter().map(|it| (Change::Join, it));
        *self.changes.lock() = Some(joined.collect());
    }

    pub(super) fn take_changes(&self) -> Vec<(Change, Group)> {
        self.changes
            .lock()
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Reads what is there into the buffer of the thread.
    #[inline]
    pub(super) fn recv(&self, buffer: &mut Buffer) -> io::Result<Reads> {
        if self.is_closing() {
            // The runtime may not know yet what has come.
            return self.system.recv(&self.io, buffer);
        }
        let mut reads = None;
        let result = self.io.try_io(Interest::READABLE, || {
            let read = *reads.insert(self.system.recv(&self.io, buffer)?);
            // A call that came back early has seen that there is no more: one call less.
            if read.is_last {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match (reads, result) {
            (Some(reads), _) => Ok(reads),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Waits for something to be read, an error, a change of groups, or the end.
    ///
    /// Cancel safe.
    pub(super) async fn ready(&self) {
        tokio::select! {
            biased;
            // An error is told by the next call.
            _ = self.io.ready(Interest::READABLE | Interest::ERROR) => {}
            () = self.attention.notified() => {}
        }
    }

    /// The next error that the system has learned of, counted.
    pub(super) fn take_error(&self) -> Option<SocketError> {
        if self.has_errors.load(Ordering::Acquire) {
            let mut errors = self.errors.lock();
            let error = errors.pop_front();
            self.has_errors.store(!errors.is_empty(), Ordering::Release);
            if error.is_some() {
                return error;
            }
        }
        let taken = self.io.try_io(Interest::ERROR, || {
            let error = self.system.take_error(&self.io);
            error.ok_or_else(|| io::ErrorKind::WouldBlock.into())
        });
        let error = taken.ok()?;
        self.count(&error);
        Some(error)
    }

    /// Counts an error, and tells who wants to know.
    pub(super) fn count(&self, error: &SocketError) {
        self.core.counters.error();
        if let Some(on_error) = &self.on_error {
            on_error(error);
        }
    }
}

/// Returns whether an error of a call is that of a datagram sent before.
pub(crate) fn is_about_earlier(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    ) || is_protocol_error(error)
}

fn is_protocol_error(error: &io::Error) -> bool {
    // EPROTO, ENOPROTOOPT: ICMP's other sorts of unreachable.
    cfg!(target_os = "linux") && matches!(error.raw_os_error(), Some(71 | 92))
}

/// Keeps the last failure, and leaves what others are to be told to the receiver.
struct ForReceiver<'a> {
    shared: &'a Shared,
    error: Option<SocketError>,
}

impl<'a> ForReceiver<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            error: None,
        }
    }
}

impl Outcome for ForReceiver<'_> {
    fn sent(&mut self, _: &mut Outgoing, _: Entry) {}

    fn failed(&mut self, out: &mut Outgoing, error: SocketError) {
        if let Some(earlier) = self.error.replace(error) {
            self.lost(out, earlier);
        }
    }

    fn lost(&mut self, _: &mut Outgoing, error: SocketError) {
        let mut errors = self.shared.errors.lock();
        if errors.len() == ERRORS_MAX {
            errors.pop_front();
        }
        errors.push_back(error);
        self.shared.has_errors.store(true, Ordering::Release);
        self.shared.attention.notify_one();
    }
}

impl Drop for ForReceiver<'_> {
    fn drop(&mut self) {
        if let Some(error) = self.error.take() {
            self.lost(&mut Outgoing::new(0), error);
        }
    }
}
