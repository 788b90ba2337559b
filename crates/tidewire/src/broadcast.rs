//! [`Broadcast`]: what is published once is sent on any number of connections, whatever they speak.
//!
//! In: encoded messages. Out: for every member the same bytes, by reference. A publication is encoded once,
//! behind the ones before it; the first member that looks seals what has gathered into a
//! segment, and all members send that segment. So a burst of messages costs each member one
//! clone of a handle and one slice of a write, and copies no payload.
//!
//! Invariants: a member sees every publication since it joined, in order, or is told that it was too
//! slow; what is kept for slow members is bounded and shared by them all; a segment is freed when
//! its last member has taken it.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use bytes::{Bytes, BytesMut};

use crate::sync::Mutex;

/// The answer to a member that is further behind than the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// It is told that it missed something.
    Missed,
    /// It goes on with the oldest publication still kept.
    Skip,
}

/// Many connections that are sent the same. Clones are one.
pub(crate) struct Broadcast {
    shared: Arc<Shared>,
}

impl Clone for Broadcast {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

struct Shared {
    backlog_bytes_max: usize,
    behind: Behind,
    /// Publications so far, to see without the lock that there is nothing new.
    published: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Sealed segments that some member has not taken, oldest first.
    segments: VecDeque<Segment>,
    /// Number of the first of them.
    first: u64,
    /// Bytes in them.
    bytes: usize,
    /// Messages that are not sealed yet, and how many.
    open: BytesMut,
    open_count: u64,
    /// Size of the last block allocated for them.
    block: usize,
    members: Vec<Member>,
    /// Numbers of places that nobody has.
    free: Vec<usize>,
    /// Members that have taken everything and wait; may name places that were left since.
    idle: Vec<usize>,
    /// Reused by publishers.
    to_wake: Vec<Waker>,
}

struct Segment {
    messages: Bytes,
    count: u64,
    /// Members that have not taken it.
    left: usize,
    /// Not for this member.
    except: Option<usize>,
}

/// A place; its number is used again after it was left.
#[derive(Default)]
struct Member {
    waker: Option<Waker>,
    /// The number is in `idle`.
    listed: bool,
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("members", &self.members())
            .finish_non_exhaustive()
    }
}

impl Broadcast {
    /// Keeps `backlog_bytes_max` for members that are behind.
    pub(crate) fn new(backlog_bytes_max: usize, behind: Behind) -> Self {
        Self {
            shared: Arc::new(Shared {
                backlog_bytes_max,
                behind,
                published: AtomicU64::new(0),
                state: Mutex::default(),
            }),
        }
    }

    /// Returns how many members there are.
    pub(crate) fn members(&self) -> usize {
        self.shared.state.lock().count()
    }

    /// Returns the number of publications so far; without a lock.
    #[inline]
    pub(crate) fn published(&self) -> u64 {
        self.shared.published.load(Ordering::Acquire)
    }

    /// Returns whether both are the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Publishes what `encode` appends, to all members but the one with the number `except`.
    pub(crate) fn publish(&self, except: Option<usize>, encode: impl FnOnce(&mut BytesMut)) {
        let mut to_wake = {
            let mut state = self.shared.state.lock();
            if state.count() == 0 {
                return;
            }
            if except.is_some() {
                state.seal(None);
            }
            state.make_room();
            encode(&mut state.open);
            state.open_count += 1;
            if except.is_some() {
                state.seal(except);
            }
            state.drop_backlog(self.shared.backlog_bytes_max);
            self.shared.published.fetch_add(1, Ordering::Release);
            state.take_idle()
        };
        if to_wake.is_empty() {
            return;
        }
        to_wake.drain(..).for_each(Waker::wake);
        self.shared.state.lock().to_wake = to_wake;
    }

    /// A new member, from now on.
    pub(crate) fn join(&self) -> Cursor {
        let mut state = self.shared.state.lock();
        state.seal(None);
        let number = state.free.pop().unwrap_or_else(|| {
            state.members.push(Member::default());
            state.members.len() - 1
        });
        let next = state.end();
        let published = self.shared.published.load(Ordering::Acquire);
        drop(state);
        Cursor {
            broadcast: self.clone(),
            number,
            next,
            seen: Some(published),
            waits: false,
        }
    }
}

/// How far a member has taken what is published; dropping it ends the membership.
pub(crate) struct Cursor {
    broadcast: Broadcast,
    number: usize,
    /// The next segment to take.
    next: u64,
    /// How many publications there were when the last one had been taken.
    seen: Option<u64>,
    /// The task that receives is woken by the next one.
    waits: bool,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The next thing for a member.
pub(crate) enum NextSegment {
    /// There is nothing new.
    Nothing,
    /// Whole messages, and how many.
    Messages(Bytes, u64),
    /// The member was too slow, and missed something.
    Missed,
}

impl Cursor {
    pub(crate) fn is_of(&self, broadcast: &Broadcast) -> bool {
        self.broadcast.is(broadcast)
    }

    /// Returns the broadcast it is a place in.
    pub(crate) fn broadcast(&self) -> &Broadcast {
        &self.broadcast
    }

    /// The place, for [`Broadcast::publish`].
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Another task waits from now on.
    pub(crate) fn forget_task(&mut self) {
        self.waits = false;
    }

    /// The next segment for this member. With a `waker`, that of the task that receives, this is woken
    /// when there is more; it is the one of the last such call, or [`Self::forget_task`] was called
    /// since. Without one, whoever waits goes on waiting.
    pub(crate) fn take_next(&mut self, waker: Option<&Waker>) -> NextSegment {
        let shared = &self.broadcast.shared;
        let published = shared.published.load(Ordering::Acquire);
        if self.seen == Some(published) && (self.waits || waker.is_none()) {
            return NextSegment::Nothing;
        }
        let mut state = shared.state.lock();
        if self.next < state.first {
            match shared.behind {
                Behind::Missed => return NextSegment::Missed,
                Behind::Skip => self.next = state.first,
            }
        }
        loop {
            if self.next == state.end() {
                state.seal(None);
            }
            if self.next == state.end() {
                self.seen = Some(shared.published.load(Ordering::Acquire));
                // A publication that was new has woken and forgotten whoever waited.
                self.waits = waker.is_some();
                if let Some(waker) = waker {
                    state.wait(self.number, waker);
                }
                return NextSegment::Nothing;
            }
            (self.seen, self.waits) = (None, false);
            let taken = state.take(self.next, self.number);
            self.next += 1;
            if let Some((messages, count)) = taken {
                return NextSegment::Messages(messages, count);
            }
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut state = self.broadcast.shared.state.lock();
        let from = self.next.max(state.first);
        for number in from..state.end() {
            state.take(number, self.number);
        }
        if let Some(member) = state.members.get_mut(self.number) {
            member.waker = None;
        }
        state.free.push(self.number);
    }
}

impl State {
    fn count(&self) -> usize {
        self.members.len() - self.free.len()
    }

    /// Number of the next segment.
    fn end(&self) -> u64 {
        self.first + self.segments.len() as u64
    }

    /// Grows the block that publications are encoded into while they keep coming, so that a busy
    /// topic allocates seldom and a quiet one holds little.
    fn make_room(&mut self) {
        const BLOCK_MIN: usize = 256;
        const BLOCK_MAX: usize = 16 << 10;
        if self.open.capacity() - self.open.len() < BLOCK_MIN / 2 {
            self.block = (self.block * 2).clamp(BLOCK_MIN, BLOCK_MAX);
            self.open.reserve(self.block);
        }
    }

    /// Makes a segment of what has gathered.
    fn seal(&mut self, except: Option<usize>) {
        if self.open.is_empty() {
            return;
        }
        let messages = self.open.split().freeze();
        let count = mem::take(&mut self.open_count);
        if self.count() == 0 {
            return;
        }
        self.bytes += messages.len();
        self.segments.push_back(Segment {
            messages,
            count,
            left: self.count(),
            except,
        });
    }

    /// A member takes segment `number`; `None` when it is not for that member.
    fn take(&mut self, number: u64, member: usize) -> Option<(Bytes, u64)> {
        let at = usize::try_from(number - self.first).ok()?;
        let segment = self.segments.get_mut(at)?;
        segment.left -= 1;
        let taken =
            (segment.except != Some(member)).then(|| (segment.messages.clone(), segment.count));
        while self.segments.front().is_some_and(|first| first.left == 0) {
            self.drop_first();
        }
        taken
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.segments.pop_front() {
            self.bytes -= first.messages.len();
            self.first += 1;
        }
    }

    /// Forgets the oldest segments above the bound.
    fn drop_backlog(&mut self, bytes_max: usize) {
        if self.bytes + self.open.len() <= bytes_max {
            return;
        }
        self.seal(None);
        while self.bytes > bytes_max && self.segments.len() > 1 {
            self.drop_first();
        }
    }

    fn wait(&mut self, number: usize, waker: &Waker) {
        let Some(member) = self.members.get_mut(number) else {
            return;
        };
        match &mut member.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        if !mem::replace(&mut member.listed, true) {
            self.idle.push(number);
        }
    }

    /// The wakers of those who wait, who do not any more.
    fn take_idle(&mut self) -> Vec<Waker> {
        let mut to_wake = mem::take(&mut self.to_wake);
        for number in self.idle.drain(..) {
            if let Some(member) = self.members.get_mut(number) {
                member.listed = false;
                to_wake.extend(member.waker.clone());
            }
        }
        to_wake
    }
}
