//! [`Proved`]: how far a client has received what its backend sent, as pongs of the client tell.
//!
//! In: pongs that its connection has understood ([`Receipts`](crate::receipts::Receipts)). Out: the same, to the task
//! of the backend. Invariant: nothing is kept but the newest of either kind.

use std::{
    mem,
    sync::{Mutex, PoisonError},
    task::{Context, Waker},
};

use bytes::Bytes;

use super::{register, wake};

/// What a client's pong says about its backend's ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pong {
    /// It answers a ping behind that one: all before has been received.
    Proof,
    /// It came for that ping, and does not carry its payload. The backend may know such clients.
    Odd(Bytes),
}

/// From a client's task to its backend's.
#[derive(Debug, Default)]
pub(crate) struct Proved {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    number: u64,
    odd: Option<(u64, Bytes)>,
    waker: Option<Waker>,
}

impl Proved {
    /// The client's pong for the backend's ping of this number.
    pub(crate) fn tell(&self, number: u64, pong: Pong) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match pong {
            Pong::Proof => state.number = state.number.max(number),
            Pong::Odd(payload) => state.odd = Some((number, payload)),
        }
        let waker = mem::take(&mut state.waker);
        drop(state);
        wake(waker);
    }

    /// The newest ping that was proved, and an odd pong that was not taken yet; `cx` is woken when there is more.
    pub(crate) fn take(&self, cx: &Context<'_>) -> (u64, Option<(u64, Bytes)>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        register(&mut state.waker, cx);
        (state.number, state.odd.take())
    }
}
