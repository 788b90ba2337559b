//! Broadcast: what is published once is sent on any number of connections.
//!
//! In: messages. Out: for every member the same bytes, by reference. A publication is encoded once,
//! behind the ones before it; the first member that looks seals what has gathered into a
//! segment, and all members send that segment. So a burst of messages costs each member one
//! clone of a handle and one slice of a write, and copies no payload.
//!
//! Invariants: a member sees every publication since it joined, in order (also with what is sent to
//! it, see `socket::publications`), or is told that it was too
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
use tidewire_proto::{CloseCode, CloseFrame, Kind, Prepared};

use crate::sync::Mutex;

/// Bounds of a topic.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopicConfig {
    /// Most bytes kept for members that are behind; a member for which more would have to be
    /// kept is too slow. Default 1 MiB, for the whole topic.
    pub backlog_bytes_max: usize,
    /// The treatment of a member that is too slow. Default: its connection is closed with 1013.
    pub too_slow: TooSlow,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            backlog_bytes_max: 1 << 20,
            too_slow: TooSlow::Close(CloseFrame::new(
                CloseCode::TRY_AGAIN_LATER,
                "too slow for what is published",
            )),
        }
    }
}

/// The answer to a member that does not take what is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TooSlow {
    /// Close its connection with this frame.
    Close(CloseFrame),
    /// Skip what it missed; it goes on with the oldest publication still kept.
    Skip,
}

/// Many connections that are sent the same.
///
/// A socket [joins](super::WebSocket::join) and is sent what is published from then on, while it is
/// received from. Clones are the same topic. Only for servers: clients would have to mask.
///
/// # Order
/// A member sees what one task publishes and sends to it in that order, whichever handle of the
/// connection it sends by: a message goes behind everything that was published before, and its
/// close frame too, as far as there is room. So a message to a slow member can be refused with
/// [`SendError::Full`](super::SendError::Full), or wait, because of publications. Pings and pongs keep no
/// order with publications, nor do two tasks that do not wait for one another.
#[derive(Clone, Default)]
pub struct Topic {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    config: TopicConfig,
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
    /// Frames that are not sealed yet, and how many.
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
    frames: Bytes,
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

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("members", &self.members())
            .finish_non_exhaustive()
    }
}

impl Topic {
    /// A topic with bounds of its own.
    pub fn new(config: TopicConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                ..Shared::default()
            }),
        }
    }

    /// Sends a text message to every member.
    pub fn publish_text(&self, text: &str) {
        self.publish_with(None, |open| {
            Prepared::append(open, Kind::Text, text.as_bytes());
        });
    }

    /// Sends a binary message to every member.
    pub fn publish_binary(&self, bytes: &[u8]) {
        self.publish_with(None, |open| Prepared::append(open, Kind::Binary, bytes));
    }

    /// Sends a ping of at most 125 bytes to every member; a longer one is cut.
    pub fn publish_ping(&self, payload: &[u8]) {
        self.publish_with(None, |open| Prepared::append_ping(open, payload));
    }

    /// Sends a prepared message to every member.
    pub fn publish(&self, message: &Prepared) {
        self.publish_with(None, |open| open.extend_from_slice(message.frame()));
    }

    /// Sends a prepared message to every member except this one, usually its author.
    pub fn publish_except(&self, message: &Prepared, member: &Membership) {
        let except = member.is_of(self).then_some(member.number);
        self.publish_with(except, |open| open.extend_from_slice(message.frame()));
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.shared.state.lock().count()
    }

    fn publish_with(&self, except: Option<usize>, encode: impl FnOnce(&mut BytesMut)) {
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
            state.drop_backlog(self.shared.config.backlog_bytes_max);
            self.shared.published.fetch_add(1, Ordering::Release);
            state.take_idle()
        };
        if to_wake.is_empty() {
            return;
        }
        to_wake.drain(..).for_each(Waker::wake);
        self.shared.state.lock().to_wake = to_wake;
    }

    /// A new member, from now on: its name, and where it is in what is published.
    pub(super) fn join(&self) -> (Membership, Cursor) {
        let mut state = self.shared.state.lock();
        state.seal(None);
        let number = state.free.pop().unwrap_or_else(|| {
            state.members.push(Member::default());
            state.members.len() - 1
        });
        let next = state.end();
        let published = self.shared.published.load(Ordering::Acquire);
        drop(state);
        let membership = Membership {
            topic: self.clone(),
            number,
            handed_out: published,
        };
        let cursor = Cursor {
            topic: self.clone(),
            number,
            next,
            seen: Some(published),
            waits: false,
        };
        (membership, cursor)
    }
}

/// A socket's place in a topic, to publish to everybody else in it.
pub struct Membership {
    topic: Topic,
    number: usize,
    /// How many publications there were when all of them had been queued.
    handed_out: u64,
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Membership {
    /// The topic it is a place in.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(super) fn is_of(&self, topic: &Topic) -> bool {
        Arc::ptr_eq(&self.topic.shared, &topic.shared)
    }

    /// Returns whether something was published since [`Self::catch_up`]; without a lock, for every message
    /// that a member sends.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.topic.shared.published.load(Ordering::Acquire) != self.handed_out
    }

    /// All that is published now is about to be queued.
    pub(super) fn catch_up(&mut self) {
        self.handed_out = self.topic.shared.published.load(Ordering::Acquire);
    }

    /// Not all of it could be queued.
    pub(super) fn fall_back(&mut self) {
        self.handed_out = self.handed_out.wrapping_sub(1);
    }
}

/// How far a member has taken what is published; dropping it leaves the topic.
pub(super) struct Cursor {
    topic: Topic,
    number: usize,
    /// The next segment to take.
    next: u64,
    /// How many publications there were when the last one had been taken.
    seen: Option<u64>,
    /// The task that receives is woken by the next one.
    waits: bool,
}

/// The next thing for a member.
pub(super) enum NextSegment {
    /// There is nothing new.
    Nothing,
    /// Whole frames, and how many.
    Frames(Bytes, u64),
    /// It missed something, and its connection is to be closed for that.
    TooSlow(CloseFrame),
}

impl Cursor {
    pub(super) fn is_of(&self, topic: &Topic) -> bool {
        Arc::ptr_eq(&self.topic.shared, &topic.shared)
    }

    /// Another task waits from now on.
    pub(super) fn forget_task(&mut self) {
        self.waits = false;
    }

    /// The next segment for this member. With a `waker`, that of the task that receives, this is woken
    /// when there is more; it is the one of the last such call, or [`Self::forget_task`] was called
    /// since. Without one, whoever waits goes on waiting.
    pub(super) fn take_next(&mut self, waker: Option<&Waker>) -> NextSegment {
        let shared = &self.topic.shared;
        let published = shared.published.load(Ordering::Acquire);
        if self.seen == Some(published) && (self.waits || waker.is_none()) {
            return NextSegment::Nothing;
        }
        let mut state = shared.state.lock();
        if self.next < state.first {
            match &shared.config.too_slow {
                TooSlow::Close(frame) => return NextSegment::TooSlow(frame.clone()),
                TooSlow::Skip => self.next = state.first,
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
            if let Some((frames, count)) = taken {
                return NextSegment::Frames(frames, count);
            }
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut state = self.topic.shared.state.lock();
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

impl Shared {}

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
        let frames = self.open.split().freeze();
        let count = mem::take(&mut self.open_count);
        if self.count() == 0 {
            return;
        }
        self.bytes += frames.len();
        self.segments.push_back(Segment {
            frames,
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
            (segment.except != Some(member)).then(|| (segment.frames.clone(), segment.count));
        while self.segments.front().is_some_and(|first| first.left == 0) {
            self.drop_first();
        }
        taken
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.segments.pop_front() {
            self.bytes -= first.frames.len();
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
