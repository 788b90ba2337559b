//! Connections of nobody in particular, which make room for others: so that who only holds connections open keeps nobody
//! out.
//!
//! In: connections as they come, their requests, and the word that one is known. Out: the news that a connection is to end.
//! Invariant: there are at most so many guests; one more displaces the one that has asked for nothing for longest.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard},
};

use tokio::sync::Notify;

use crate::sync::Mutex;

/// The guests of a server.
#[derive(Debug)]
pub(crate) struct Guests {
    guests_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By when they last asked for something.
    places: BTreeMap<u64, Arc<Notify>>,
}

/// A connection that may have to make room.
#[derive(Debug)]
pub(crate) struct Guest {
    guests: Arc<Guests>,
    displaced: Arc<Notify>,
    /// `None`: it is no guest any more.
    place: Mutex<Option<u64>>,
}

impl Guests {
    /// Room for so many; `None` where there is no bound.
    pub(crate) fn new(guests_max: usize) -> Option<Arc<Self>> {
        (guests_max != usize::MAX).then(|| {
            Arc::new(Self {
                guests_max,
                state: Mutex::default(),
            })
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A connection has come.
    pub(crate) fn enter(self: &Arc<Self>) -> Arc<Guest> {
        let displaced = Arc::new(Notify::new());
        let place = self.put(Arc::clone(&displaced));
        Arc::new(Guest {
            guests: Arc::clone(self),
            displaced,
            place: Mutex::new(Some(place)),
        })
    }

    fn put(&self, guest: Arc<Notify>) -> u64 {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.places.insert(number, guest);
        let oldest = if state.places.len() > self.guests_max {
            state.places.pop_first()
        } else {
            None
        };
        drop(state);
        if let Some((_number, oldest)) = oldest {
            oldest.notify_one();
        }
        number
    }
}

impl Guest {
    /// It has asked for something: others go before it.
    pub(crate) fn touch(&self) {
        let Some(before) = self.lock().take() else {
            return;
        };
        let known = self.guests.lock().places.remove(&before);
        if known.is_some() {
            let place = self.guests.put(Arc::clone(&self.displaced));
            *self.lock() = Some(place);
        }
    }

    /// It is somebody's who has proved who that is: it makes room for nobody any more.
    pub(crate) fn trust(&self) {
        let place = self.lock().take();
        if let Some(place) = place {
            self.guests.lock().places.remove(&place);
        }
    }

    /// Waits until it has to make room.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Option<u64>> {
        self.place.lock()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.trust();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_displaced(guest: &Guest) -> bool {
        tokio::select! {
            biased;
            () = guest.displaced() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn one_more_guest_displaces_the_one_that_asked_for_nothing_for_longest() {
        let guests = Guests::new(3).unwrap();
        let [first, second, third] = std::array::from_fn(|_| guests.enter());
        first.touch();
        let fourth = guests.enter();
        assert!(is_displaced(&second).await);
        second.touch(); // too late
        third.trust();
        let fifth = guests.enter();
        for guest in [&first, &third, &fourth, &fifth] {
            assert!(!is_displaced(guest).await);
        }
        let _sixth = guests.enter();
        assert!(is_displaced(&first).await && !is_displaced(&third).await);
        drop((fourth, fifth));
        assert_eq!(guests.lock().places.len(), 1);
        assert!(Guests::new(usize::MAX).is_none());
    }
}
