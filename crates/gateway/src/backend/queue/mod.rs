//! One direction of a logical socket, between the task of its client and the task of its backend.
//!
//! In: what one task has for the other. Out: the same, in order. Invariants: what is waiting is counted in
//! bytes and items; a producer that looks at [`PieceQueue::poll_room`] before it pushes keeps both bounded; many
//! small pieces take little more memory than their bytes; each side learns when the other has gone; no waker
//! is called under the lock.

mod run; // small pieces side by side
mod proved; // what the other end has proved to have received

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use bytes::Bytes;
use tidewire::{
    memory::{MemoryAccount, Reservation},
    ws::{CloseFrame, Kind},
};

pub(crate) use self::proved::{Pong, Proved};
use self::run::Run;

/// What waits in a queue: mostly pieces of messages.
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

/// What was taken out of a queue so far, each once, even if it was put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dequeued {
    /// Bytes of payload.
    pub(crate) bytes: u64,
    pub(crate) items: u64,
}

/// A queue from one task to another.
#[derive(Debug)]
pub(crate) struct PieceQueue<T> {
    state: Mutex<State<T>>,
    bytes_max: usize,
    items_max: usize,
    /// The part of the client's account that it holds. Taken before `state`, where both are.
    memory: Mutex<Reservation>,
}

#[derive(Debug)]
struct State<T> {
    slots: VecDeque<Slot<T>>,
    /// In all slots.
    items: usize,
    bytes: usize,
    taken: Dequeued,
    /// So many items in front were taken out before, and counted.
    again: usize,
    producer: Option<Waker>,
    consumer: Option<Waker>,
    producer_gone: bool,
    consumer_gone: bool,
    /// Items that the consumer left behind.
    left: usize,
    /// Bytes of memory that are, or are about to be, in `memory`.
    charged: usize,
}

/// A place in the queue.
#[derive(Debug)]
enum Slot<T> {
    One(T),
    Run(Run),
}

impl<T: Item> PieceQueue<T> {
    /// A queue which has room while it holds less than this. Its memory counts for `account`, which is evicted when there
    /// is none left: what was pushed is kept until then.
    pub(crate) fn new(bytes_max: usize, items_max: usize, account: &MemoryAccount) -> Self {
        Self {
            state: Mutex::new(State {
                slots: VecDeque::new(),
                items: 0,
                bytes: 0,
                taken: Dequeued::default(),
                again: 0,
                producer: None,
                consumer: None,
                producer_gone: false,
                consumer_gone: false,
                left: 0,
                charged: 0,
            }),
            bytes_max,
            items_max,
            memory: Mutex::new(account.reserve()),
        }
    }

    /// Puts something in, whether there is room or not. What comes after the consumer has gone is
    /// dropped.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.state.lock();
        if state.consumer_gone {
            return;
        }
        state.push_back(item);
        let charge = state.charge();
        let consumer = state.consumer.take();
        drop(state);
        self.settle(charge);
        wake(consumer);
    }

    /// Has the account hold what is charged.
    fn settle(&self, charge: Charge) {
        if charge == Charge::Same {
            return;
        }
        let mut memory = self.memory.lock();
        let charged = self.state.lock().charged;
        let settled = memory.resize(charged);
        let account = memory.account().clone();
        drop(memory);
        if settled.is_err() {
            account.evict();
        }
    }

    /// Returns whether there is room.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state.lock();
        self.is_roomy(&state)
    }

    /// Waits for room, or for the consumer to go, after which there is room for ever.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
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
        let mut state = self.state.lock();
        let Some(item) = state.pop_front() else {
            if state.producer_gone {
                return Poll::Ready(None);
            }
            register(&mut state.consumer, cx);
            return Poll::Pending;
        };
        let charge = state.charge();
        let producer = state.producer.take();
        drop(state);
        self.settle(charge);
        wake(producer);
        Poll::Ready(Some(item))
    }

    /// Waits until nothing is in it and nothing more comes.
    pub(crate) fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.is_over() {
            return Poll::Ready(());
        }
        register(&mut state.consumer, cx);
        Poll::Pending
    }

    /// Returns whether nothing is in it and nothing more comes.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().is_over()
    }

    /// Puts something back in front that was taken out and could not be used. It is not counted again.
    pub(crate) fn put_back(&self, item: T) {
        let mut state = self.state.lock();
        if state.consumer_gone {
            return;
        }
        state.items += 1;
        state.again += 1;
        state.bytes += item.cost();
        state.slots.push_front(Slot::One(item));
    }

    /// Returns what was taken out so far; `cx` is woken when it changes.
    pub(crate) fn taken(&self, cx: &Context<'_>) -> Dequeued {
        let mut state = self.state.lock();
        register(&mut state.producer, cx);
        state.taken
    }

    /// Returns whether nothing waits.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.state.lock().items == 0
    }

    /// Nothing more will be put in.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.producer_gone = true;
        let consumer = state.consumer.take();
        drop(state);
        wake(consumer);
    }

    /// Nothing more will be taken out. Returns how many items were left behind so far.
    pub(crate) fn abandon(&self) -> usize {
        let mut state = self.state.lock();
        state.consumer_gone = true;
        state.left += state.items;
        let left = state.left;
        (state.items, state.bytes, state.again) = (0, 0, 0);
        let items = std::mem::take(&mut state.slots);
        let charge = state.charge();
        let producer = state.producer.take();
        drop(state);
        drop(items);
        self.settle(charge);
        wake(producer);
        left
    }
}

impl PieceQueue<Down> {
    /// Puts a ping in. Two may be adjacent, because a backend may ask twice at once to tell an answer from a
    /// heartbeat; a third takes the place of the second, so that a backend which only pings takes two places.
    pub(crate) fn push_ping(&self, number: u64) {
        let mut state = self.state.lock();
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
    fn is_over(&self) -> bool {
        self.producer_gone && self.items == 0
    }

    /// Changes what is charged, in steps.
    fn charge(&mut self) -> Charge {
        let memory = self.bytes + self.slots.len() * SLOT_BYTES;
        let enough = memory <= self.charged.max(FREE_BYTES);
        let too_much = self.charged > 0 && (self.items == 0 || memory < self.charged / 4);
        if enough && !too_much {
            return Charge::Same;
        }
        self.charged = if memory <= FREE_BYTES {
            0
        } else {
            memory.next_multiple_of(CHARGED_STEP)
        };
        Charge::Changed
    }

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

/// Bytes that a place costs besides its payload.
const SLOT_BYTES: usize = 96;

/// Bytes that a queue may hold without being charged.
const FREE_BYTES: usize = 4 << 10;

/// The account is asked once for so many bytes.
const CHARGED_STEP: usize = 16 << 10;

/// Tells if the account has to hold another amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the account is told outside of the lock"]
enum Charge {
    Same,
    Changed,
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

    use tidewire::memory::MemoryBudget;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn queue_of<T: Item>(bytes_max: usize, items_max: usize) -> PieceQueue<T> {
        PieceQueue::new(bytes_max, items_max, &MemoryBudget::unlimited().account())
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
        let queue = queue_of(4, 10);
        let (producer, consumer) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (waker, other) = (Arc::clone(&producer).into(), Arc::clone(&consumer).into());
        let (from, to) = (Context::from_waker(&waker), Context::from_waker(&other));
        assert!(queue.poll_pop(&to).is_pending());
        queue.push(piece("abc"));
        assert_eq!(consumer.0.load(Ordering::Relaxed), 1);
        assert!(queue.poll_room(&from).is_ready());
        queue.push(piece("d"));
        assert!(queue.poll_room(&from).is_pending());
        assert!(
            matches!(queue.poll_pop(&to), Poll::Ready(Some(Up::Piece(it))) if it.data == "abc")
        );
        assert_eq!(producer.0.load(Ordering::Relaxed), 1);
        assert_eq!(queue.taken(&from), Dequeued { bytes: 3, items: 1 });
        queue.end();
        assert!(matches!(queue.poll_pop(&to), Poll::Ready(Some(Up::Piece(it))) if it.data == "d"));
        assert!(matches!(queue.poll_pop(&to), Poll::Ready(None)));
    }

    #[test]
    fn nobody_waits_for_a_consumer_that_has_gone() {
        let queue = queue_of(1, 1);
        let count = Arc::new(Count::default());
        let waker = Arc::clone(&count).into();
        let cx = Context::from_waker(&waker);
        queue.push(piece("x"));
        assert!(queue.poll_room(&cx).is_pending());
        queue.abandon();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(queue.poll_room(&cx).is_ready());
        queue.push(piece("y"));
        assert!(queue.is_empty());
    }

    fn take(queue: &PieceQueue<Up>) -> Option<Piece> {
        let waker = Arc::new(Count::default()).into();
        match queue.poll_pop(&Context::from_waker(&waker)) {
            Poll::Ready(Some(Up::Piece(piece))) => Some(piece),
            Poll::Ready(Some(Up::Close(_)) | None) | Poll::Pending => None,
        }
    }

    #[test]
    fn small_and_large_pieces_come_out_as_they_went_in() {
        let queue = queue_of(usize::MAX, usize::MAX);
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
            queue.push(Up::Piece(piece.clone()));
        }
        for piece in &pieces {
            assert_eq!(take(&queue).as_ref(), Some(piece));
        }
        assert_eq!(take(&queue), None);
        assert!(queue.is_empty());
        assert!(queue.state.lock().slots.is_empty());
        assert_eq!(queue.state.lock().bytes, 0);
    }

    #[test]
    fn tiny_pieces_take_few_places() {
        let queue = queue_of(usize::MAX, usize::MAX);
        for _ in 0..10_922 {
            queue.push(piece(""));
        }
        let state = queue.state.lock();
        assert_eq!(state.items, 10_922);
        assert!(state.slots.len() < 20, "{}", state.slots.len());
    }

    #[test]
    fn pings_keep_their_place_and_of_many_adjacent_ones_two_are_kept() {
        let queue: PieceQueue<Down> = queue_of(usize::MAX, usize::MAX);
        let text = || Piece {
            kind: Kind::Text,
            data: Bytes::from_static(b"x"),
            last: true,
        };
        for number in 1..10_000 {
            queue.push_ping(number);
        }
        queue.push(text().into());
        queue.push(text().into());
        queue.push_ping(10_000);
        assert_eq!(queue.state.lock().items, 5);
        let cx = Context::from_waker(Waker::noop());
        let mut pings = Vec::new();
        while let Poll::Ready(Some(down)) = queue.poll_pop(&cx) {
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
        let queue = queue_of(10, 10);
        let waker = Arc::new(Count::default()).into();
        let cx = Context::from_waker(&waker);
        queue.push(piece("abc"));
        queue.push(piece("de"));
        let first = take(&queue).unwrap();
        let second = take(&queue).unwrap();
        assert_eq!(queue.taken(&cx), Dequeued { bytes: 5, items: 2 });
        queue.put_back(Up::Piece(second));
        queue.put_back(Up::Piece(first));
        assert_eq!(queue.taken(&cx), Dequeued { bytes: 5, items: 2 });
        queue.push(piece("f"));
        assert_eq!(take(&queue).unwrap().data, "abc");
        assert_eq!(take(&queue).unwrap().data, "de");
        assert_eq!(queue.taken(&cx), Dequeued { bytes: 5, items: 2 });
        assert_eq!(take(&queue).unwrap().data, "f");
        assert_eq!(queue.taken(&cx), Dequeued { bytes: 6, items: 3 });
    }

    #[test]
    fn what_waits_counts_for_the_account_until_it_is_taken() {
        let budget = MemoryBudget::new(1 << 30);
        let account = budget.account();
        let queue = PieceQueue::new(usize::MAX, usize::MAX, &account);
        queue.push(piece("little"));
        assert_eq!(account.held(), 0);
        let large = Piece {
            kind: Kind::Binary,
            data: vec![0; 100_000].into(),
            last: true,
        };
        for count in 1..=10 {
            queue.push(Up::Piece(large.clone()));
            assert!(account.held() >= count * 100_000, "{}", account.held());
            assert!(
                account.held() <= count * 100_000 + 32_768,
                "{}",
                account.held()
            );
        }
        while take(&queue).is_some() {}
        assert_eq!(account.held(), 0);
        for _ in 0..100_000 {
            queue.push(piece("tiny"));
        }
        assert!(account.held() >= 400_000, "{}", account.held());
        queue.abandon();
        assert_eq!(account.held(), 0);
        assert!(!account.is_evicted());
    }

    #[test]
    fn a_queue_without_memory_evicts_its_account() {
        let budget = MemoryBudget::new(100_000);
        let account = budget.account();
        let queue = PieceQueue::new(usize::MAX, usize::MAX, &account);
        for _ in 0..2_000 {
            queue.push(piece("a message of some length"));
        }
        assert!(account.is_evicted());
        drop(queue);
        assert_eq!(budget.stats().bytes_used, 0);
    }
}
