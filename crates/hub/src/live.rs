//! One live session as the hub sees it: [`Live`].
//!
//! In: completions (store's thread) and calls of the session's handle (connection's task).
//! Out: wake-ups of the connection's task. Invariant: one lock, a leaf; it is released before
//! any waker or the mailbox is called; a waker is taken when used, so a batch of messages wakes
//! once.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use jiff::Timestamp;
use parking_lot::Mutex;

use tidewire_engine::{Placed, UserKey};

use crate::{
    Connect, Dismissal, Event, Notice, Reason, UserId,
    delivery::{CaughtUp, Delivery, Followed, ReadRequest},
    publication::Receipt,
    redelivery::Past,
    send_queue::{Handed, Item, Limits, Mark, Outcome, Room},
};

#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) user: UserId,
    pub(crate) key: UserKey,
    pub(crate) id: u64,
    pub(crate) address: Option<IpAddr>,
    pub(crate) since: Timestamp,
    /// Sessions of this user in a row that ended without any proof, before this one.
    pub(crate) unproven_sessions: u32,
    /// Whether it has asked to hear what becomes of messages.
    pub(crate) receipts: bool,
    limits: Limits,
    dismissal: OnceLock<Arc<Dismissal>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    delivery: Delivery,
    submissions_pending: usize,
    submissions_bytes: usize,
    /// Whether the session stands in the gate's list.
    in_gate: bool,
    outgoing_waker: Option<Waker>,
    submit_waker: Option<Waker>,
    /// Who waits to submit does not wait for room in the send queue.
    submits_beside: bool,
    /// Of a consumer that waits for its client, not for us.
    dismissal_waker: Option<Waker>,
}

/// What [`Session::poll_outgoing`](crate::Session::poll_outgoing) brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// At least one event was appended to the vector.
    Events,
    /// Everything was handed out; the connection is to be closed so. Every further call says it
    /// again.
    End(Reason),
}

/// What [`Live::poll_outgoing`] found.
#[derive(Debug)]
pub(crate) struct Polled {
    pub(crate) outgoing: Poll<Outgoing>,
    pub(crate) handed: Handed,
    /// Whether the store should be asked for more.
    pub(crate) wants_read: bool,
}

/// A submission cannot begin.
#[derive(Debug)]
pub(crate) enum NotBegun {
    /// The session is over.
    Ended(Reason),
    /// As much is pending as may be: the caller did not wait until it was ready.
    TooMany,
}

impl Live {
    pub(crate) fn new(
        connect: &Connect,
        (id, since): (u64, Timestamp),
        limits: Limits,
        past: Past,
    ) -> Self {
        let user = connect.user.clone();
        Self {
            key: user.mailbox_key(),
            user,
            id,
            address: connect.address,
            since,
            unproven_sessions: past.unproven_sessions,
            receipts: connect.receipts,
            limits,
            dismissal: OnceLock::new(),
            state: Mutex::new(State {
                delivery: Delivery::new(limits, past.skip),
                submissions_pending: 0,
                submissions_bytes: 0,
                in_gate: false,
                outgoing_waker: None,
                submit_waker: None,
                submits_beside: false,
                dismissal_waker: None,
            }),
        }
    }

    pub(crate) fn handle_appended(&self, epoch: u64, placed: Placed, item: Item) -> Followed {
        self.update(|state| state.delivery.handle_appended(epoch, placed, item))
    }

    pub(crate) fn handle_read(&self, caught_up: CaughtUp) -> u64 {
        self.update(|state| state.delivery.handle_read(caught_up))
    }

    pub(crate) fn handle_read_not_taken(&self) {
        self.update(|state| state.delivery.handle_read_not_taken());
    }

    pub(crate) fn next_read(&self) -> Option<ReadRequest> {
        self.update(|state| state.delivery.next_read())
    }

    pub(crate) fn wants_read(&self) -> bool {
        self.state.lock().delivery.wants_read()
    }

    /// Queues something that may be dropped; returns whether it was taken.
    pub(crate) fn offer(&self, event: Event) -> bool {
        self.offer_copy(event, false)
    }

    /// The same; the receipt of a submission of this session may go beyond the send queue's bound
    /// by as many as may be pending.
    pub(crate) fn offer_copy(&self, event: Event, is_receipt: bool) -> bool {
        let beyond = if is_receipt {
            self.limits.submissions_max
        } else {
            0
        };
        self.update(|state| state.delivery.offer(Item::ephemeral(event), beyond))
    }

    /// Queues the outcome of a submission: that it was refused, or accepted where the session asked. It must not be lost in silence, so it may
    /// go beyond the send queue's bound by as many as may be pending; then the session ends.
    pub(crate) fn offer_outcome(&self, notice: Notice) {
        let item = Item::ephemeral(Event::Notice(Box::new(notice)));
        self.update(|state| {
            // Each submission may be owed a copy and, for some of its recipients, a refusal.
            if !state.delivery.offer(item, 2 * self.limits.submissions_max) {
                state.delivery.end(Reason::Overloaded);
            }
        });
    }

    pub(crate) fn end(&self, reason: Reason) {
        self.update(|state| state.delivery.end(reason));
    }

    /// Tells the connection to end; returns whether it was told for the first time.
    pub(crate) fn dismiss(&self, dismissal: &Dismissal) -> bool {
        if self.dismissal.set(Arc::new(dismissal.clone())).is_err() {
            return false;
        }
        let wakers = {
            let mut state = self.state.lock();
            [
                state.outgoing_waker.take(),
                state.submit_waker.take(),
                state.dismissal_waker.take(),
            ]
        };
        wakers.into_iter().for_each(wake);
        true
    }

    /// How the session was dismissed, if it was.
    pub(crate) fn dismissal(&self) -> Option<&Arc<Dismissal>> {
        self.dismissal.get()
    }

    /// The consumer waits for its client, and is to be woken when the session is dismissed.
    pub(crate) fn poll_dismissed(&self, cx: &Context<'_>) -> Poll<()> {
        store_waker(&mut self.state.lock().dismissal_waker, cx);
        // It may have come before the waker was there.
        match self.dismissal.get() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }

    /// Ends the session from the connection's side. Returns the epoch, if it is known, and what the
    /// session has come to.
    pub(crate) fn close(&self) -> (Option<u64>, Outcome) {
        // Wakers are dropped outside of the lock: they may run the executor's code.
        let (result, _wakers) = self.update(|state| {
            let result = (state.delivery.epoch(), state.delivery.send_queue.outcome());
            state.delivery.close();
            let wakers = [
                state.outgoing_waker.take(),
                state.submit_waker.take(),
                state.dismissal_waker.take(),
            ];
            (result, wakers)
        });
        result
    }

    pub(crate) fn begin_submission(&self, bytes: usize) -> Result<(), NotBegun> {
        self.update(|state| {
            if let Some(reason) = state.delivery.ended() {
                return Err(NotBegun::Ended(reason));
            }
            if !self.takes_submissions(state) {
                return Err(NotBegun::TooMany);
            }
            state.submissions_pending += 1;
            state.submissions_bytes += bytes;
            Ok(())
        })
    }

    pub(crate) fn settle_submission(&self, bytes: usize) {
        self.update(|state| {
            state.submissions_pending -= 1;
            state.submissions_bytes -= bytes;
        });
    }

    pub(crate) fn confirm(&self, mark: Mark, each: impl FnMut(Receipt)) -> Option<(u64, u64)> {
        self.update(|state| state.delivery.send_queue.confirm(mark, each))
    }

    /// See [`SendQueue::unconfirmed`](crate::send_queue::SendQueue).
    pub(crate) fn unconfirmed(&self, mark: Mark, each: impl FnMut(&Receipt)) -> Option<(u64, u64)> {
        self.state
            .lock()
            .delivery
            .send_queue
            .unconfirmed(mark, each)
    }

    /// See [`SendQueue::forget`](crate::send_queue::SendQueue).
    pub(crate) fn forget(&self, mark: Mark, keep: Room) {
        self.update(|state| state.delivery.send_queue.forget(mark, keep));
    }

    /// See [`SendQueue::hold`](crate::send_queue::SendQueue).
    pub(crate) fn hold(&self) {
        self.state.lock().delivery.send_queue.hold();
    }

    /// See [`SendQueue::take_held`](crate::send_queue::SendQueue).
    pub(crate) fn take_held(&self) -> Option<(u64, u64)> {
        self.state.lock().delivery.send_queue.take_held()
    }

    pub(crate) fn set_window(&self, window: Room) {
        self.update(|state| state.delivery.send_queue.set_window(window));
    }

    pub(crate) fn set_written(&self, mark: Mark) {
        self.state.lock().delivery.send_queue.set_written(mark);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.state.lock().delivery.is_waiting()
    }

    pub(crate) fn begin(&self, everything: bool) {
        self.update(|state| state.delivery.begin(everything));
    }

    pub(crate) fn mark(&self) -> Mark {
        self.state.lock().delivery.send_queue.mark()
    }

    pub(crate) fn poll_outgoing(
        &self,
        cx: &mut Context<'_>,
        out: &mut Vec<Event>,
        bytes_max: usize,
    ) -> Polled {
        self.update(|state| {
            let handed = state.delivery.send_queue.hand_out(out, bytes_max);
            let outgoing = match state.delivery.ended() {
                Some(_) | None if handed.any() => Poll::Ready(Outgoing::Events),
                Some(reason) if state.delivery.send_queue.is_empty() => {
                    Poll::Ready(Outgoing::End(reason))
                }
                Some(_) | None => {
                    store_waker(&mut state.outgoing_waker, cx);
                    if self.dismissal.get().is_some() {
                        // It came before the waker was there: the caller asks again.
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            };
            Polled {
                outgoing,
                handed,
                wants_read: state.delivery.wants_read(),
            }
        })
    }

    /// Ready also when the session has ended: the submission then says so.
    pub(crate) fn poll_ready_to_submit(
        &self,
        cx: &mut Context<'_>,
        gate_shut: bool,
        peer_reads: bool,
    ) -> Poll<()> {
        let mut state = self.state.lock();
        let ended = state.delivery.ended().is_some();
        let below = self.takes_submissions(&state);
        if ended || below && (peer_reads || state.delivery.send_queue.has_room()) && !gate_shut {
            return Poll::Ready(());
        }
        store_waker(&mut state.submit_waker, cx);
        state.submits_beside = peer_reads;
        Poll::Pending
    }

    /// Returns whether it newly stands in the gate's list.
    pub(crate) fn enter_gate(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().in_gate, true)
    }

    /// The gate is open again.
    pub(crate) fn leave_gate(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.in_gate = false;
            state.submit_waker.take()
        };
        wake(waker);
    }

    /// Changes the state, then wakes whoever can go on.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, outgoing, submit) = {
            let mut state = self.state.lock();
            let result = change(&mut state);
            let outgoing = if state.outgoing_waker.is_some() && state.delivery.has_output() {
                state.outgoing_waker.take()
            } else {
                None
            };
            let submit = if state.submit_waker.is_some() && self.may_submit_again(&state) {
                state.submit_waker.take()
            } else {
                None
            };
            (result, outgoing, submit)
        };
        wake(outgoing);
        wake(submit);
        result
    }

    /// Whether one more submission may begin.
    fn takes_submissions(&self, state: &State) -> bool {
        state.submissions_pending < self.limits.submissions_max
            && state.submissions_bytes < self.limits.submissions_bytes_max
    }

    /// Half of every bound is free: see [`SendQueue::is_half_empty`](crate::send_queue::SendQueue).
    fn may_submit_again(&self, state: &State) -> bool {
        let half_settled = state.submissions_pending <= self.limits.submissions_max / 2
            && state.submissions_bytes <= self.limits.submissions_bytes_max / 2;
        let has_room = state.submits_beside || state.delivery.send_queue.is_half_empty();
        half_settled && has_room && !state.in_gate || state.delivery.ended().is_some()
    }
}

fn store_waker(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Idle connections are the many: what each costs the hub is a decision.
    #[test]
    fn an_idle_session_is_small() {
        let size = size_of::<Live>();
        // Of these, 76 are for the operator: number, address, begin, and the way to end it.
        assert!(size <= 464, "{size} bytes");
    }
}
