//! The cork of a thread: lets a socket hold back its writes until its task yields.
//!
//! A task that [serves](super::WebSocket::serve) a socket marks its own polls here. Within such a
//! poll the socket's encoder is checked out once and kept here, so that answering a batch of
//! messages costs one lock and one write. At the end of the poll it is put back and everything queued
//! is written, whatever the task waits for; so is what the stream did not take before. Outside of
//! such a poll nothing is held back.
//!
//! Invariant: only the thread that polls the task has the encoder here; whoever locks the
//! connection on that thread puts it back first.

use std::cell::Cell;

use tidewire_proto::Encoder;

thread_local! {
    /// The connection whose task is being polled.
    static CURRENT: Cell<ConnectionKey> = const { Cell::new(ConnectionKey(0)) };
    /// Its encoder, while it is checked out.
    static HELD: Cell<Option<Box<Encoder>>> = const { Cell::new(None) };
    /// How many polls this thread has begun and ended.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// Tells a connection from others while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionKey(usize);

impl ConnectionKey {
    /// The key of what lies at this address; none lies at 0.
    pub(super) fn of<T>(connection: &T) -> Self {
        Self(std::ptr::from_ref(connection).addr())
    }
}

/// Returns whether the task that serves this connection is being polled by this thread.
#[inline]
pub(super) fn is_of(connection: ConnectionKey) -> bool {
    CURRENT.get() == connection
}

/// The number of the current poll of this connection's task, never used again on this thread; `None`
/// outside.
#[inline]
pub(super) fn number(connection: ConnectionKey) -> Option<u64> {
    is_of(connection).then(|| NUMBER.get())
}

/// The encoder that is held for this connection, to be put back.
#[inline]
pub(super) fn release(connection: ConnectionKey) -> Option<Box<Encoder>> {
    if is_of(connection) { HELD.take() } else { None }
}

/// Uses the encoder that is held for the current connection, and holds it on; `check_out` has it, if it
/// is not held yet.
#[inline]
pub(super) fn with<R>(
    check_out: impl FnOnce() -> Option<Box<Encoder>>,
    queue: impl FnOnce(&mut Encoder) -> R,
) -> Option<R> {
    let mut encoder = HELD.take().or_else(check_out)?;
    let result = queue(&mut encoder);
    HELD.set(Some(encoder));
    Some(result)
}

/// The poll around one that has begun, to go on when that ends.
#[derive(Debug)]
#[must_use = "a poll that begins also ends"]
pub(super) struct Outer {
    connection: ConnectionKey,
    held: Option<Box<Encoder>>,
}

/// A poll of this connection's task begins.
#[inline]
pub(super) fn begin(connection: ConnectionKey) -> Outer {
    NUMBER.set(NUMBER.get().wrapping_add(1));
    Outer {
        connection: CURRENT.replace(connection),
        held: HELD.take(),
    }
}

/// It ends; returns the encoder that it held.
#[inline]
pub(super) fn end(outer: Outer) -> Option<Box<Encoder>> {
    NUMBER.set(NUMBER.get().wrapping_add(1));
    CURRENT.set(outer.connection);
    HELD.replace(outer.held)
}
