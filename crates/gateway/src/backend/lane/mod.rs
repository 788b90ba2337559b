//! One direction of a logical socket, between the task of its client and the task of its backend.
//!
//! In: what one task has for the other. Out: the same, in order. Invariants: what is waiting is counted in
//! bytes and items; a producer that looks at [`Lane::poll_room`] before it pushes keeps both bounded; many
//! small pieces take little more memory than their bytes; each side learns when the other has gone; no waker
//! is called under the lock.

mod run; // small pieces side by side
mod proved; // what the other end has proved to have received

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tidewire::ws::{CloseFrame, Kind};

pub(crate) use self::proved::{Pong, Proved};
use self::run::Run;

/// What waits in a lane: mostly pieces of messages.
pub(crate) trait Item: From<Piece> {
    /// The piece that it is, if it is one.
    fn piece(&self) -> Option<&Piece>;

    /// Bytes of payload.
    fn cost(&self) -> usize {
        self.piece().map_or(0, |piece| piece.data.len())
    }
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
    /// The backend has sent its ping of this number behind the pieces before.
    Ping(u64),
    /// The backend is lost and is looked for again in so many milliseconds.
    Lost(u32),
    /// It is back.
    Back,
    /// The end; `None`: without a code.
    Closed(Option<CloseFrame>),
}

impl From<Piece> for Up {
    fn from(piece: Piece) -> Self {
        Self::Piece(piece)
    }
}

impl Item for Up {
    fn piece(&self) -> Option<&Piece> {
        match self {
            Self::Piece(piece) => Some(piece),
            Self::Close(_) => None,
        }
    }
}

impl From<Piece> for Down {
    fn from(piece: Piece) -> Self {
        Self::Piece(piece)
    }
}

impl Item for Down {
    fn piece(&self) -> Option<&Piece> {
        match self {
            Self::Piece(piece) => Some(piece),
            Self::Opened(_)
            | Self::Rejected(..)
            | Self::Ping(_)
            | Self::Lost(_)
            | Self::Back
            | Self::Closed(_) => None,
        }
    }
}

/// What was taken out of a lane so far, each once, even if it was put back.
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
    slots: VecDeque<Slot<T>>,
    /// In all slots.
    items: usize,
    bytes: usize,
    taken: Taken,
    /// So many items in front were taken out before, and counted.
    again: usize,
    producer: Option<Waker>,
    consumer: Option<Waker>,
    producer_gone: bool,
    consumer_gone: bool,
    /// Items that the consumer left behind.
    left: usize,
}

/// A place in the queue.
#[derive(Debug)]
enum Slot<T> {
    One(T),
    Run(Run),
}

impl<T: Item> Lane<T> {
    /// A lane which has room while it holds less than this.
    pub(crate) fn new(bytes_max: usize, items_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                slots: VecDeque::new(),
                items: 0,
                bytes: 0,
                taken: Taken::default(),
                again: 0,
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
        state.push_back(item);
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
        state.consumer_gone || (state.bytes < self.bytes_max && state.items < self.items_max)
    }

    /// Takes the next one out; `None`: there will be no more.
    pub(crate) fn poll_pop(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.lock();
        let Some(item) = state.pop_front() else {
            if state.producer_gone {
                return Poll::Ready(None);
            }
            register(&mut state.consumer, cx);
            return Poll::Pending;
        };
        let producer = state.producer.take();
        drop(state);
        wake(producer);
        Poll::Ready(Some(item))
    }

    /// Puts something back in front that was taken out and could not be used. It is not counted again.
    pub(crate) fn put_back(&self, item: T) {
        let mut state = self.lock();
        if state.consumer_gone {
            return;
        }
        state.items += 1;
        state.again += 1;
        state.bytes += item.cost();
        state.slots.push_front(Slot::One(item));
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
        self.lock().items == 0
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
        state.left += state.items;
        let left = state.left;
        (state.items, state.bytes, state.again) = (0, 0, 0);
        let items = std::mem::take(&mut state.slots);
        let producer = state.producer.take();
        drop(state);
        drop(items);
        wake(producer);
        left
    }
}

impl Lane<Down> {
    /// Puts a ping in. Two may be adjacent, because a backend may ask twice at once to tell an answer from a
    /// heartbeat; a third takes the place of the second, so that a backend which only pings takes two places.
    pub(crate) fn push_ping(&self, number: u64) {
        let mut state = self.lock();
        let before_last = state.slots.len().wrapping_sub(2);
        let is_second = matches!(state.slots.get(before_last), Some(Slot::One(Down::Ping(_))));
        if is_second && let Some(Slot::One(Down::Ping(last))) = state.slots.back_mut() {
            *last = number;
            return;
        }
        drop(state);
        self.push(Down::Ping(number));
    }
}

impl<T: Item> State<T> {
    fn push_back(&mut self, item: T) {
        self.items += 1;
        self.bytes += item.cost();
        let Some(piece) = item.piece().filter(|piece| Run::is_small(piece)) else {
            self.slots.push_back(Slot::One(item));
            return;
        };
        match self.slots.back_mut() {
            Some(Slot::Run(run)) if run.has_room(piece) => run.push(piece),
            Some(last) => {
                let before = match last {
                    Slot::One(before) => before.piece().filter(|piece| Run::is_small(piece)),
                    Slot::Run(_) => None,
                };
                let Some(before) = before else {
                    self.slots.push_back(Slot::One(item));
                    return;
                };
                let mut run = Run::default();
                run.push(before);
                run.push(piece);
                *last = Slot::Run(run);
            }
            None => self.slots.push_back(Slot::One(item)),
        }
    }

    fn pop_front(&mut self) -> Option<T> {
        let item = match self.slots.pop_front()? {
            Slot::One(item) => item,
            Slot::Run(mut run) => {
                let piece = run.pop()?; // a run in the queue is not empty
                if !run.is_empty() {
                    self.slots.push_front(Slot::Run(run));
                }
                T::from(piece)
            }
        };
        self.items -= 1;
        self.bytes -= item.cost();
        if self.again > 0 {
            self.again -= 1;
        } else {
            self.taken.bytes += item.cost() as u64;
            self.taken.items += 1;
        }
        Some(item)
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

    fn take(lane: &Lane<Up>) -> Option<Piece> {
        let waker = Arc::new(Count::default()).into();
        match lane.poll_pop(&Context::from_waker(&waker)) {
            Poll::Ready(Some(Up::Piece(piece))) => Some(piece),
            Poll::Ready(Some(Up::Close(_)) | None) | Poll::Pending => None,
        }
    }

    #[test]
    fn small_and_large_pieces_come_out_as_they_went_in() {
        let lane = Lane::new(usize::MAX, usize::MAX);
        let lens = [0, 1, 255, 256, 3, 0, 4000, 7, 200, 200, 200];
        let pieces: Vec<Piece> = (0..2000_usize)
            .map(|number| Piece {
                kind: if number % 3 == 0 {
                    Kind::Text
                } else {
                    Kind::Binary
                },
                data: vec![number.to_le_bytes()[0]; lens[number % lens.len()]].into(),
                last: number % 2 == 0,
            })
            .collect();
        for piece in &pieces {
            lane.push(Up::Piece(piece.clone()));
        }
        for piece in &pieces {
            assert_eq!(take(&lane).as_ref(), Some(piece));
        }
        assert_eq!(take(&lane), None);
        assert!(lane.is_empty());
        assert!(lane.lock().slots.is_empty());
        assert_eq!(lane.lock().bytes, 0);
    }

    #[test]
    fn h5_tiny_pieces_take_few_places() {
        let lane = Lane::new(usize::MAX, usize::MAX);
        for _ in 0..10_922 {
            lane.push(piece(""));
        }
        let state = lane.lock();
        assert_eq!(state.items, 10_922);
        assert!(state.slots.len() < 20, "{}", state.slots.len());
    }

    #[test]
    fn pings_keep_their_place_and_of_many_adjacent_ones_two_are_kept() {
        let lane: Lane<Down> = Lane::new(usize::MAX, usize::MAX);
        let text = || Piece {
            kind: Kind::Text,
            data: Bytes::from_static(b"x"),
            last: true,
        };
        for number in 1..10_000 {
            lane.push_ping(number);
        }
        lane.push(text().into());
        lane.push(text().into());
        lane.push_ping(10_000);
        assert_eq!(lane.lock().items, 5);
        let cx = Context::from_waker(Waker::noop());
        let mut pings = Vec::new();
        while let Poll::Ready(Some(down)) = lane.poll_pop(&cx) {
            let number = if let Down::Ping(number) = down {
                number
            } else {
                0
            };
            pings.push(number);
        }
        assert_eq!(pings, [1, 9_999, 0, 0, 10_000]);
    }

    #[test]
    fn what_was_put_back_counts_once_as_taken() {
        let lane = Lane::new(10, 10);
        let waker = Arc::new(Count::default()).into();
        let cx = Context::from_waker(&waker);
        lane.push(piece("abc"));
        lane.push(piece("de"));
        let first = take(&lane).unwrap();
        let second = take(&lane).unwrap();
        assert_eq!(lane.taken(&cx), Taken { bytes: 5, items: 2 });
        lane.put_back(Up::Piece(second));
        lane.put_back(Up::Piece(first));
        assert_eq!(lane.taken(&cx), Taken { bytes: 5, items: 2 });
        lane.push(piece("f"));
        assert_eq!(take(&lane).unwrap().data, "abc");
        assert_eq!(take(&lane).unwrap().data, "de");
        assert_eq!(lane.taken(&cx), Taken { bytes: 5, items: 2 });
        assert_eq!(take(&lane).unwrap().data, "f");
        assert_eq!(lane.taken(&cx), Taken { bytes: 6, items: 3 });
    }
}
