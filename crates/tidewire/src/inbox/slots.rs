//! The numbered sessions of a server.
//!
//! In: requests, then connections, then their ends. Out: sessions by number. Invariants: numbers
//! are 1 to `sessions_max`; a session takes the smallest free one, from before its request is
//! accepted, so that nobody is accepted for whom there is no room; a number is free again when its
//! session, or the handshake that reserved it, has ended. What an ended session left unread stays
//! until its number is taken again.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, MutexGuard, Weak},
};

use tidewire_proto::{CloseCode, Message, handshake::RequestHead};

use super::config::InboxLimits;
use crate::sync::Mutex;
use crate::{
    blocking::pump::Pump,
    ws::{SendError, Sender},
};

/// Messages that may be sent to a session whose handshake is not quite over.
const EARLY_MAX: usize = 64;

#[derive(Debug)]
enum Slot {
    Free,
    /// As long as the request lives, its handshake goes on.
    Reserved {
        head: Weak<RequestHead>,
        early: Vec<Message>,
        closing: bool,
    },
    Live(Sender),
}

#[derive(Debug)]
struct Place {
    slot: Slot,
    pump: Pump,
}

#[derive(Debug, Default)]
struct State {
    /// The place of session n is at n - 1.
    places: Vec<Place>,
    free: BTreeSet<usize>,
    /// Handshakes; few at a time.
    reserved: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Slots {
    sessions_max: usize,
    inbox: InboxLimits,
    state: Mutex<State>,
}

impl Slots {
    pub(super) fn new(sessions_max: usize, inbox: InboxLimits) -> Self {
        Self {
            sessions_max,
            inbox,
            state: Mutex::default(),
        }
    }

    /// Takes the smallest free number for this request, if there is one.
    pub(super) fn reserve(&self, head: &Arc<RequestHead>) -> bool {
        let mut state = self.lock();
        let index = match state.free.pop_first() {
            Some(index) => index,
            None if state.places.len() < self.sessions_max => state.places.len(),
            None => return false,
        };
        let place = Place {
            slot: Slot::Reserved {
                head: Arc::downgrade(head),
                early: Vec::new(),
                closing: false,
            },
            pump: Pump::new(self.inbox.bounds()),
        };
        match state.places.get_mut(index) {
            Some(free) => *free = place,
            None => state.places.push(place),
        }
        state.reserved.push(index);
        true
    }

    /// The handshake is over: the session lives. Gives its number and pump; `None` when its
    /// reservation was cleared meanwhile.
    pub(super) fn open(&self, head: &Arc<RequestHead>, sender: &Sender) -> Option<(usize, Pump)> {
        loop {
            let mut state = self.lock();
            let State {
                places, reserved, ..
            } = &mut *state;
            let position = reserved.iter().position(|index| {
                let slot = places.get(*index).map(|place| &place.slot);
                matches!(slot, Some(Slot::Reserved { head: known, .. }) if known.as_ptr() == Arc::as_ptr(head))
            })?;
            let index = *reserved.get(position)?;
            let place = places.get_mut(index)?;
            let Slot::Reserved { early, closing, .. } = &mut place.slot else {
                return None;
            };
            if early.is_empty() {
                let closing = *closing;
                place.slot = Slot::Live(sender.clone());
                let pump = place.pump.clone();
                reserved.swap_remove(position);
                drop(state);
                if closing {
                    pump.close(sender, CloseCode::NORMAL, "");
                }
                return Some((index + 1, pump));
            }
            // Sent without the lock; meanwhile more may come, which is next.
            let early = mem::take(early);
            drop(state);
            for message in early {
                if let Err(error) = sender.try_send(&message) {
                    tracing::debug!(error = %crate::ErrorChain(&error), "an early message was not sent");
                }
            }
        }
    }

    /// The session has ended. Without effect on a newer one of the same number.
    pub(super) fn ended(&self, id: usize, sender: &Sender) {
        let mut state = self.lock();
        let Some(index) = id.checked_sub(1) else {
            return;
        };
        if let Some(place) = state.places.get_mut(index)
            && matches!(&place.slot, Slot::Live(live) if live == sender)
        {
            place.slot = Slot::Free;
            state.free.insert(index);
        }
    }

    /// Forgets all sessions and what they left unread.
    pub(super) fn clear(&self) {
        *self.lock() = State::default();
    }

    pub(super) fn count(&self) -> usize {
        let state = self.lock();
        state.places.len() - state.free.len()
    }

    pub(super) fn is_live(&self, id: usize) -> bool {
        let state = self.lock();
        let place = id.checked_sub(1).and_then(|index| state.places.get(index));
        place.is_some_and(|place| !matches!(place.slot, Slot::Free))
    }

    /// The inbox of the session, or what the last one of this number left.
    pub(super) fn pump(&self, id: usize) -> Option<Pump> {
        let state = self.lock();
        let place = state.places.get(id.checked_sub(1)?)?;
        Some(place.pump.clone())
    }

    /// Sends without waiting; `None` when there is no such session.
    pub(super) fn send(&self, id: usize, message: Message) -> Option<Result<(), SendError>> {
        let mut state = self.lock();
        let place = state.places.get_mut(id.checked_sub(1)?)?;
        let sender = match &mut place.slot {
            Slot::Free => return None,
            Slot::Reserved { early, .. } => {
                if early.len() >= EARLY_MAX {
                    return Some(Err(SendError::Full));
                }
                early.push(message);
                return Some(Ok(()));
            }
            Slot::Live(sender) => sender.clone(),
        };
        drop(state); // writes happen without the lock
        Some(sender.try_send(&message))
    }

    /// Starts to close the session.
    pub(super) fn close(&self, id: usize) {
        let mut state = self.lock();
        let index = id.checked_sub(1);
        let Some(place) = index.and_then(|index| state.places.get_mut(index)) else {
            return;
        };
        let sender = match &mut place.slot {
            Slot::Free => return,
            Slot::Reserved { closing, .. } => {
                *closing = true;
                return;
            }
            Slot::Live(sender) => sender.clone(),
        };
        let pump = place.pump.clone();
        drop(state);
        pump.close(&sender, CloseCode::NORMAL, "");
    }

    /// Starts to close all sessions.
    pub(super) fn close_all(&self) {
        let len = self.lock().places.len();
        (1..=len).for_each(|id| self.close(id));
    }

    /// Every look first frees what handshakes that failed had reserved.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut guard = self.state.lock();
        let State {
            places,
            free,
            reserved,
        } = &mut *guard;
        reserved.retain(|index| {
            let Some(place) = places.get_mut(*index) else {
                return false;
            };
            let dead =
                matches!(&place.slot, Slot::Reserved { head, .. } if head.strong_count() == 0);
            if dead {
                place.slot = Slot::Free;
                free.insert(*index);
            }
            !dead
        });
        guard
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidewire_proto::handshake::HeadLimits;

    use super::*;

    fn head() -> Arc<RequestHead> {
        let bytes = Bytes::from_static(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        Arc::new(RequestHead::parse(bytes, HeadLimits::default()).unwrap())
    }

    #[test]
    fn a_handshake_holds_its_number_as_long_as_its_request_lives() {
        let slots = Slots::new(2, InboxLimits::default());
        let (first, second, third) = (head(), head(), head());
        assert!(slots.reserve(&first) && slots.reserve(&second));
        assert!(!slots.reserve(&third), "two at most");
        assert!(slots.is_live(1) && slots.is_live(2) && !slots.is_live(3));
        drop(first);
        assert!(!slots.is_live(1));
        assert_eq!(slots.count(), 1);
        assert!(slots.reserve(&third), "the smallest free number");
        assert!(slots.is_live(1));
    }

    #[test]
    fn early_messages_are_bounded_and_strange_numbers_are_nobody() {
        let slots = Slots::new(1, InboxLimits::default());
        let request = head();
        slots.reserve(&request);
        for _ in 0..EARLY_MAX {
            assert!(matches!(slots.send(1, Message::text("x")), Some(Ok(()))));
        }
        assert!(matches!(
            slots.send(1, Message::text("x")),
            Some(Err(SendError::Full))
        ));
        for id in [0, 2, usize::MAX] {
            assert!(slots.send(id, Message::text("x")).is_none());
            assert!(slots.pump(id).is_none() && !slots.is_live(id));
            slots.close(id);
        }
    }
}
