//! [`Proved`]: how far a client has received what its backend sent, as pongs of the client tell.
//!
//! In: pongs that its connection has understood ([`Receipts`](crate::client::receipts::Receipts)). Out: the same, to the task
//! of the backend. Invariant: of proofs the newest is kept, of odd pongs the newest [`ODD_MAX`].

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Waker},
};

use parking_lot::Mutex;

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
    odd: VecDeque<(u64, Bytes)>,
    waker: Option<Waker>,
}

impl Proved {
    /// The client's pong for the backend's ping of this number.
    pub(crate) fn tell(&self, number: u64, pong: Pong) {
        let mut state = self.state.lock();
        match pong {
            Pong::Proof => state.number = state.number.max(number),
            Pong::Odd(payload) => {
                if state.odd.len() == ODD_MAX {
                    state.odd.pop_front();
                }
                state.odd.push_back((number, payload));
            }
        }
        let waker = mem::take(&mut state.waker);
        drop(state);
        wake(waker);
    }

    /// The newest ping that was proved; `cx` is woken when there is more, of either kind.
    pub(crate) fn newest(&self, cx: &Context<'_>) -> u64 {
        let mut state = self.state.lock();
        register(&mut state.waker, cx);
        state.number
    }

    /// Takes out the oldest odd pong, and the number of its ping.
    pub(crate) fn take_odd(&self) -> Option<(u64, Bytes)> {
        let mut state = self.state.lock();
        state.odd.pop_front()
    }
}

/// Most odd pongs that wait for the backend's task: as many as there may be pings under way to a client.
const ODD_MAX: usize = 8;
