//! One direction of a logical socket, between the task of its client and the task of its backend.
//!
//! In: what one task has for the other. Out: the same, in order. Invariants: what is waiting is counted in
//! bytes and items; a producer that looks at [`Lane::poll_room`] before it pushes keeps both bounded; each
//! side learns when the other has gone; no waker is called under the lock.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tidewire::ws::{CloseFrame, Kind};

/// What waits in a lane has a size.
pub(crate) trait Cost {
    /// Bytes of payload.
    fn cost(&self) -> usize;
}

/// A message, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) data: Bytes,
    /// Whether the message ends here.
    pub(crate) last: bool,
}

/// From a client to its backend.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Piece(Piece),
    /// The client closes; `None`: without a code.
    Close(Option<CloseFrame>),
}

/// From a backend to its client.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    /// The backend is open, and chose this subprotocol.
    Opened(Option<String>),
    /// It could not be opened: status and reason.
    Rejected(u16, String),
    Piece(Piece),
    /// The backend is lost and is looked for again in so many milliseconds.
    Lost(u32),
    /// It is back.
    Back,
    /// The end; `None`: without a code.
    Closed(Option<CloseFrame>),
}

impl Cost for Up {
    fn cost(&self) -> usize {
        match self {
            Self::Piece(piece) => piece.data.len(),
            Self::Close(_) => 0,
        }
    }
}

impl Cost for Down {
    fn cost(&self) -> usize {
        match self {
            Self::Piece(piece) => piece.data.len(),
            Self::Opened(_) | Self::Rejected(..) | Self::Lost(_) | Self::Back | Self::Closed(_) => {
                0
            }
        }
    }
}

/// What was taken out of a lane so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Bytes of payload.
    pub(crate) bytes: u64,
    pub(crate) items: u64,
}

/// A queue from one task to another.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    state: Mutex<State<T>>,
    bytes_max: usize,
    items_max: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    taken: Taken,
    producer: Option<Waker>,
    consumer: Option<Waker>,
    producer_gone: bool,
    consumer_gone: bool,
    /// Items that the consumer left behind.
    left: usize,
}

impl<T: Cost> Lane<T> {
    /// A lane which has room while it holds less than this.
    pub(crate) fn new(bytes_max: usize, items_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                taken: Taken::default(),
                producer: None,
                consumer: None,
                producer_gone: false,
                consumer_gone: false,
                left: 0,
            }),
            bytes_max,
            items_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in, whether there is room or not. What comes after the consumer has gone is
    /// dropped.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.lock();
        if state.consumer_gone {
            return;
        }
        state.bytes += item.cost();
        state.items.push_back(item);
        let consumer = state.consumer.take();
        drop(state);
        wake(consumer);
    }

    /// Whether there is room.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.lock();
        self.is_roomy(&state)
    }

    /// Waits for room, or for the consumer to go, after which there is room for ever.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if self.is_roomy(&state) {
            return Poll::Ready(());
        }
        register(&mut state.producer, cx);
        Poll::Pending
    }

    fn is_roomy(&self, state: &State<T>) -> bool {
        state.consumer_gone || (state.bytes < self.bytes_max && state.items.len() < self.items_max)
    }

    /// Takes the next one out; `None`: there will be no more.
    pub(crate) fn poll_pop(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.lock();
        let Some(item) = state.items.pop_front() else {
            if state.producer_gone {
                return Poll::Ready(None);
            }
            register(&mut state.consumer, cx);
            return Poll::Pending;
        };
        state.bytes -= item.cost();
        state.taken.bytes += item.cost() as u64;
        state.taken.items += 1;
        let producer = state.producer.take();
        drop(state);
        wake(producer);
        Poll::Ready(Some(item))
    }

    /// Puts something back in front that was taken out and could not be used yet.
    pub(crate) fn put_back(&self, item: T) {
        let mut state = self.lock();
        state.bytes += item.cost();
        state.taken.bytes = state.taken.bytes.saturating_sub(item.cost() as u64);
        state.taken.items = state.taken.items.saturating_sub(1);
        state.items.push_front(item);
    }

    /// What was taken out so far; `cx` is woken when it changes.
    pub(crate) fn taken(&self, cx: &Context<'_>) -> Taken {
        let mut state = self.lock();
        register(&mut state.producer, cx);
        state.taken
    }

    /// Whether nothing waits.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    /// Nothing more will be put in.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.producer_gone = true;
        let consumer = state.consumer.take();
        drop(state);
        wake(consumer);
    }

    /// Nothing more will be taken out. Returns how many items were left behind so far.
    pub(crate) fn abandon(&self) -> usize {
        let mut state = self.lock();
        state.consumer_gone = true;
        state.left += state.items.len();
        let left = state.left;
        state.bytes = 0;
        let items = std::mem::take(&mut state.items);
        let producer = state.producer.take();
        drop(state);
        drop(items);
        wake(producer);
        left
    }
}

fn register(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        Some(_) | None => *place = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn piece(text: &'static str) -> Up {
        Up::Piece(Piece {
            kind: Kind::Text,
            data: Bytes::from_static(text.as_bytes()),
            last: true,
        })
    }

    #[test]
    fn what_goes_in_comes_out_in_order_and_both_sides_are_woken() {
        let lane = Lane::new(4, 10);
        let (producer, consumer) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (waker, other) = (Arc::clone(&producer).into(), Arc::clone(&consumer).into());
        let (from, to) = (Context::from_waker(&waker), Context::from_waker(&other));
        assert!(lane.poll_pop(&to).is_pending());
        lane.push(piece("abc"));
        assert_eq!(consumer.0.load(Ordering::Relaxed), 1);
        assert!(lane.poll_room(&from).is_ready());
        lane.push(piece("d"));
        assert!(lane.poll_room(&from).is_pending());
        assert!(matches!(lane.poll_pop(&to), Poll::Ready(Some(Up::Piece(it))) if it.data == "abc"));
        assert_eq!(producer.0.load(Ordering::Relaxed), 1);
        assert_eq!(lane.taken(&from), Taken { bytes: 3, items: 1 });
        lane.end();
        assert!(matches!(lane.poll_pop(&to), Poll::Ready(Some(Up::Piece(it))) if it.data == "d"));
        assert!(matches!(lane.poll_pop(&to), Poll::Ready(None)));
    }

    #[test]
    fn nobody_waits_for_a_consumer_that_has_gone() {
        let lane = Lane::new(1, 1);
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        let cx = Context::from_waker(&waker);
        lane.push(piece("x"));
        assert!(lane.poll_room(&cx).is_pending());
        lane.abandon();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(lane.poll_room(&cx).is_ready());
        lane.push(piece("y"));
        assert!(lane.is_empty());
    }
}
