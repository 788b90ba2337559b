//! What waits in memory for one connection: [`SendQueue`].
//!
//! In: events, durable publications with their offset, others without. Out: batches
//! for the consumer, and on confirmation what may leave the mailbox. Invariant: queue and
//! in-flight list stay within their bounds (one message always fits an empty one); durable
//! messages leave in the order of their offsets.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    Event, Publication,
    config::Config,
    publication::{ENCODING_BYTES, Receipt},
};

/// How many messages a session has been handed: see [`Session::mark`](crate::Session::mark).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// How many messages were handed out since `earlier`.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<u64> for Mark {
    /// A mark counts messages handed out; one that was not given by the session it is used
    /// on confirms at most what was handed out.
    fn from(count: u64) -> Self {
        Self(count)
    }
}

/// One event that waits.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) event: Event,
    /// What it counts for the bounds, in bytes.
    pub(crate) size: usize,
    /// Of a publication in the user's mailbox; `None`: lost with the connection, never confirmed.
    pub(crate) offset: Option<u64>,
}

impl Item {
    /// A publication that lies in the user's mailbox.
    pub(crate) fn durable(publication: Arc<Publication>, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..Self::ephemeral(Event::Publication(publication))
        }
    }

    /// Something that may be lost.
    pub(crate) fn ephemeral(event: Event) -> Self {
        Self {
            size: event.size(),
            event,
            offset: None,
        }
    }
}

/// Where a message lies in its mailbox, and whom its delivery concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Durable {
    offset: u64,
    receipt: Receipt,
}

/// Bounds of one session.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_field_names, reason = "bounds carry their suffix")]
pub(crate) struct Limits {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) in_flight_messages_max: usize,
    pub(crate) in_flight_bytes_max: usize,
    pub(crate) submissions_max: usize,
    pub(crate) submissions_bytes_max: usize,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            messages_max: config.outbox_messages_max,
            bytes_max: config.outbox_bytes_max,
            in_flight_messages_max: config.in_flight_messages_max,
            in_flight_bytes_max: config.in_flight_bytes_max,
            submissions_max: config.submissions_max,
            submissions_bytes_max: config.submissions_bytes_max,
        }
    }
}

/// Bounded queue of a session, then its unconfirmed messages.
#[derive(Debug)]
pub(crate) struct SendQueue {
    limits: Limits,
    queue: VecDeque<Item>,
    queue_bytes: usize,
    /// Room is kept for the running read.
    is_reserved: bool,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    /// Unproven messages, and their bytes, that the connection wants at most; the limits hold as well.
    window: (u32, u32),
    handed: Mark,
    /// The peer's system may have everything up to here.
    written: Mark,
    /// Something was confirmed.
    proved: bool,
    /// For clients that never answer a ping; boxed, because those are few.
    forgotten: Option<Box<Forgotten>>,
}

/// Messages that are unproven and no longer remembered one by one.
#[derive(Debug, Default)]
struct Forgotten {
    latest: Span,
    held: Span,
}

/// So many messages, the last at this offset.
#[derive(Debug, Default)]
struct Span {
    count: u64,
    up_to: u64,
}

impl Span {
    fn add(&mut self, offset: u64) {
        self.count += 1;
        self.up_to = offset;
    }
}

/// Messages and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Room {
    /// How much to ask of a store, which counts nothing but bodies: at least half of the bytes are for them.
    pub(crate) fn for_bodies(self) -> Self {
        let messages = self.messages.min(self.bytes / (2 * ENCODING_BYTES)).max(1);
        Self {
            messages,
            bytes: self.bytes.saturating_sub(messages * ENCODING_BYTES).max(1),
        }
    }
}

/// What a session has come to when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Something was confirmed.
    pub(crate) proved: bool,
    /// Something was handed out and not confirmed.
    pub(crate) unproven: bool,
    /// The highest offset of that which the peer's system may have.
    pub(crate) written_up_to: Option<u64>,
}

#[derive(Debug)]
struct InFlight {
    /// The mark that covers it.
    mark: Mark,
    bytes: usize,
    durable: Durable,
}

impl SendQueue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            queue: VecDeque::new(),
            queue_bytes: 0,
            is_reserved: false,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            window: (u32::MAX, u32::MAX),
            handed: Mark::default(),
            written: Mark::default(),
            proved: false,
            forgotten: None,
        }
    }

    /// Queues without regard to the bounds; the caller has asked [`SendQueue::fits`].
    pub(crate) fn push(&mut self, item: Item) {
        self.queue_bytes += item.size;
        self.queue.push_back(item);
    }

    /// Keeps room for a read.
    pub(crate) fn reserve(&mut self) -> Room {
        self.is_reserved = true;
        self.reserved()
    }

    pub(crate) fn release_reserved(&mut self) {
        self.is_reserved = false;
    }

    /// Room kept for the running read: half of the bounds, so that the other half stays free for
    /// what cannot wait in the mailbox.
    fn reserved(&self) -> Room {
        let Limits {
            messages_max,
            bytes_max,
            ..
        } = self.limits;
        if !self.is_reserved {
            return Room::default();
        }
        Room {
            messages: (messages_max / 2).max(1),
            bytes: (bytes_max / 2).max(1),
        }
    }

    /// Moves messages into `out`: at least one if any may go, at most `bytes_max` beyond that.
    pub(crate) fn hand_out(&mut self, out: &mut Vec<Event>, bytes_max: usize) -> Handed {
        let mut handed = Handed::default();
        while self.front_may_go() {
            let bytes = self.queue.front().map_or(0, |item| item.size);
            if handed.any() && handed.bytes + bytes > bytes_max {
                break;
            }
            let Some(item) = self.queue.pop_front() else {
                break;
            };
            self.queue_bytes -= bytes;
            self.handed.0 += 1;
            handed.bytes += bytes;
            if let (Some(offset), Event::Publication(publication)) = (item.offset, &item.event) {
                handed.durable += 1;
                self.in_flight_bytes += bytes;
                self.in_flight.push_back(InFlight {
                    mark: self.handed,
                    bytes,
                    durable: Durable {
                        offset,
                        receipt: publication.receipt(),
                    },
                });
            } else {
                handed.ephemeral += 1;
            }
            out.push(item.event);
        }
        if self.queue.is_empty() && self.queue.capacity() > IDLE_CAPACITY_MAX {
            self.queue = VecDeque::new();
        }
        handed
    }

    /// Everything handed out up to `mark` has arrived; `each` sees it in order. Returns how
    /// many durable messages that were and the highest offset of them.
    pub(crate) fn confirm(
        &mut self,
        mark: Mark,
        mut each: impl FnMut(Receipt),
    ) -> Option<(u64, u64)> {
        let mut confirmed = None;
        while let Some(durable) = self.pop_in_flight(mark) {
            let (count, _) = confirmed.unwrap_or_default();
            confirmed = Some((count + 1, durable.offset));
            each(durable.receipt);
        }
        self.shrink_in_flight();
        self.proved |= confirmed.is_some();
        if confirmed.is_some() {
            self.forgotten = None;
        }
        confirmed
    }

    /// Forgets, unproven, the oldest of what was handed out up to `mark`, until `keep` remains: the mailbox has
    /// it, and a later confirmation covers it too.
    pub(crate) fn forget(&mut self, mark: Mark, keep: Room) {
        while (self.in_flight.len() > keep.messages || self.in_flight_bytes > keep.bytes)
            && let Some(durable) = self.pop_in_flight(mark)
        {
            let forgotten = self.forgotten.get_or_insert_default();
            forgotten.latest.add(durable.offset);
        }
        self.shrink_in_flight();
    }

    /// What has been forgotten by now may be [taken](SendQueue::take_held) later.
    pub(crate) fn hold(&mut self) {
        if let Some(forgotten) = &mut self.forgotten {
            let latest = std::mem::take(&mut forgotten.latest);
            if latest.count > 0 {
                forgotten.held.count += latest.count;
                forgotten.held.up_to = latest.up_to;
            }
        }
    }

    /// How many messages were forgotten when they were held, and the highest offset of them.
    pub(crate) fn take_held(&mut self) -> Option<(u64, u64)> {
        let held = std::mem::take(&mut self.forgotten.as_mut()?.held);
        (held.count > 0).then_some((held.count, held.up_to))
    }

    /// What was handed out up to `mark` and not confirmed: how many durable messages, and the
    /// highest offset of them.
    pub(crate) fn unconfirmed(
        &self,
        mark: Mark,
        mut each: impl FnMut(&Receipt),
    ) -> Option<(u64, u64)> {
        let covered = self
            .in_flight
            .iter()
            .take_while(|message| message.mark <= mark);
        covered.fold(None, |counted, message| {
            each(&message.durable.receipt);
            let (count, _) = counted.unwrap_or_default();
            Some((count + 1, message.durable.offset))
        })
    }

    fn pop_in_flight(&mut self, mark: Mark) -> Option<Durable> {
        self.in_flight.front().filter(|front| front.mark <= mark)?;
        let InFlight { bytes, durable, .. } = self.in_flight.pop_front()?;
        self.in_flight_bytes -= bytes;
        Some(durable)
    }

    fn shrink_in_flight(&mut self) {
        if self.in_flight.is_empty() && self.in_flight.capacity() > IDLE_CAPACITY_MAX {
            self.in_flight = VecDeque::new();
        }
    }

    /// Forgets all durable messages: the mailbox is read again from its start.
    pub(crate) fn forget_durable(&mut self) {
        self.queue.retain(|item| item.offset.is_none());
        self.queue_bytes = self.queue.iter().map(|item| item.size).sum();
        self.in_flight = VecDeque::new();
        self.in_flight_bytes = 0;
        self.forgotten = None;
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            handed: self.handed,
            ..Self::new(self.limits)
        };
    }

    /// See [`Session::set_window`](crate::Session::set_window).
    pub(crate) fn set_window(&mut self, window: Room) {
        let size = |count| u32::try_from(count).unwrap_or(u32::MAX);
        self.window = (size(window.messages), size(window.bytes));
    }

    /// See [`Session::written`](crate::Session::written).
    pub(crate) fn set_written(&mut self, mark: Mark) {
        self.written = self.written.max(mark);
    }

    /// How the session leaves its user's mailbox.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome {
            proved: self.proved,
            unproven: !self.in_flight.is_empty(),
            written_up_to: self
                .unconfirmed(self.written, |_| {})
                .map(|(_, offset)| offset),
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        self.handed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a message of so many bytes may be queued, and `extra` messages beyond the bound.
    pub(crate) fn fits(&self, bytes: usize, extra: usize) -> bool {
        let Limits {
            messages_max,
            bytes_max,
            ..
        } = self.limits;
        let reserved = self.reserved();
        let messages = self.queue.len() + reserved.messages;
        let within_bytes = self.queue_bytes + reserved.bytes + bytes <= bytes_max;
        messages < messages_max + extra && (within_bytes || self.queue.is_empty() || extra > 0)
    }

    /// Whether the queue is below its bounds.
    pub(crate) fn has_room(&self) -> bool {
        let Limits {
            messages_max,
            bytes_max,
            ..
        } = self.limits;
        self.queue.len() < messages_max && self.queue_bytes < bytes_max
    }

    /// Whether at least half of the bounds is free: what waited for room goes on here, not at
    /// the first free place, so that it goes on for a while.
    pub(crate) fn is_half_empty(&self) -> bool {
        let Limits {
            messages_max,
            bytes_max,
            ..
        } = self.limits;
        self.queue.len() <= messages_max / 2 && self.queue_bytes <= bytes_max / 2
    }

    /// Whether [`SendQueue::hand_out`] would hand out something.
    pub(crate) fn front_may_go(&self) -> bool {
        let Some(front) = self.queue.front() else {
            return false;
        };
        let Limits {
            in_flight_messages_max,
            in_flight_bytes_max,
            ..
        } = self.limits;
        let bytes = self.in_flight_bytes + front.size;
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        front.offset.is_none()
            || self.in_flight.is_empty()
            || self.in_flight.len() < in_flight_messages_max.min(size(self.window.0))
                && bytes <= in_flight_bytes_max.min(size(self.window.1))
    }
}

/// What one call handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) durable: u64,
    pub(crate) ephemeral: u64,
    pub(crate) bytes: usize,
}

impl Handed {
    pub(crate) fn any(self) -> bool {
        self.durable + self.ephemeral > 0
    }
}

/// An idle connection keeps no more queue places than this.
const IDLE_CAPACITY_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        messages_max: 4,
        bytes_max: 100,
        in_flight_messages_max: 2,
        in_flight_bytes_max: 60,
        submissions_max: 1,
        submissions_bytes_max: 1000,
    };

    fn item(offset: Option<u64>, size: usize) -> Item {
        let publication = Arc::new(Publication::of_tests());
        Item {
            event: Event::Publication(publication),
            size,
            offset,
        }
    }

    #[test]
    fn one_message_always_fits_an_empty_queue() {
        let mut send_queue = SendQueue::new(LIMITS);
        assert!(send_queue.fits(1000, 0));
        send_queue.push(item(Some(1), 102));
        assert!(!send_queue.fits(2, 0));
        assert!(!send_queue.has_room());
        let mut out = Vec::new();
        let handed = send_queue.hand_out(&mut out, 1);
        assert_eq!(
            handed,
            Handed {
                durable: 1,
                ephemeral: 0,
                bytes: 102
            }
        );
    }

    #[test]
    fn no_more_is_handed_out_than_may_be_unconfirmed() {
        let mut send_queue = SendQueue::new(LIMITS);
        for offset in 1..=3 {
            send_queue.push(item(Some(offset), 20));
        }
        let mut out = Vec::new();
        assert_eq!(send_queue.hand_out(&mut out, 1000).durable, 2);
        assert_eq!(send_queue.hand_out(&mut out, 1000).durable, 0);
        assert_eq!(send_queue.confirm(Mark(1), drop), Some((1, 1)));
        assert_eq!(send_queue.confirm(Mark(1), drop), None);
        assert_eq!(send_queue.hand_out(&mut out, 1000).durable, 1);
        assert_eq!(send_queue.confirm(send_queue.mark(), drop), Some((2, 3)));
    }

    #[test]
    fn ephemeral_messages_count_for_the_mark_but_are_not_confirmed() {
        let mut send_queue = SendQueue::new(LIMITS);
        send_queue.push(item(None, 20));
        send_queue.push(item(Some(5), 20));
        send_queue.push(item(None, 20));
        let mut out = Vec::new();
        assert_eq!(
            send_queue.hand_out(&mut out, 40),
            Handed {
                durable: 1,
                ephemeral: 1,
                bytes: 40
            }
        );
        assert_eq!(send_queue.mark(), Mark(2));
        assert_eq!(send_queue.confirm(Mark(1), drop), None);
        assert_eq!(send_queue.confirm(Mark(2), drop), Some((1, 5)));
    }

    #[test]
    fn a_running_read_keeps_half_of_the_room() {
        let mut send_queue = SendQueue::new(LIMITS);
        assert_eq!(
            send_queue.reserve(),
            Room {
                messages: 2,
                bytes: 50
            }
        );
        send_queue.push(item(None, 20));
        send_queue.push(item(None, 20));
        assert!(!send_queue.fits(2, 0));
        send_queue.release_reserved();
        assert!(send_queue.fits(2, 0));
    }
}
