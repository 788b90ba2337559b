//! The steps of messages, remembered for a while: [`Trace`].
//!
//! In: a record per step of a message, from whichever thread makes it. Out: the steps of one message, or the newest
//! messages of a user, for an operator who asks why something did not arrive. Invariants: no payload is kept; the bytes
//! are bounded, and the oldest records go first; a message's records lie in one shard, so they go together. A record
//! is written under the lock of its shard, a leaf that nobody holds for longer than a copy of 72 bytes, or for the look
//! through a shard that a question costs.

mod questions; // what operators ask

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tidewire_table::{DAY, HOUR, SECOND, Size, table};

use crate::{MessageId, Refusal, UserId};

table! {
    /// The trace of messages: `GET /v1/trace`, `tidewire trace`.
    pub struct TraceConfig {
        /// Remembers the steps of messages, without their contents.
        enabled: bool = true;
        /// Memory for them, taken as it is needed; a message to one user takes about 290 bytes. When it is used up the
        /// oldest are forgotten, counted.
        max_size: usize as Size = 32 << 20, in 1 << 20..=8 << 30;
        /// How long they are remembered.
        keep: Duration = HOUR, in SECOND..=DAY * 7;
    }
}

/// A step of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEntry {
    /// Which message.
    pub id: MessageId,
    /// When.
    pub at: Timestamp,
    /// The recipient whom it concerns; of what concerns the message as a whole the sender.
    pub user: UserId,
    /// The step.
    pub step: TraceStep,
}

/// A step of a message, with what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceStep {
    /// It came from its sender.
    Received {
        /// By this session; `None`: over REST.
        session: Option<u64>,
        /// To so many.
        recipients: u32,
    },
    /// It is on disk in the recipient's mailbox.
    Stored {
        /// Its place there.
        offset: u64,
        /// Live sessions of the recipient that were found.
        sessions: u32,
    },
    /// It was offered to the recipient's live sessions without being stored.
    PassedOn {
        /// Sessions that took it.
        sessions: u32,
        /// Sessions whose queue was full: they miss it.
        missed: u32,
    },
    /// It went to those who are told of events: it is for the administrator.
    ForAdministrator,
    /// The recipient does not get it.
    Refused(Refusal),
    /// Nobody gets it.
    RefusedAll(Refusal),
    /// A session's connection was given it to write. No proof that it has arrived.
    HandedOut {
        /// The session's number.
        session: u64,
    },
    /// A session's connection has proved that its client has it; in `confirm = "written"` mode that the system took it.
    Confirmed {
        /// The session's number.
        session: u64,
    },
}

/// Why a message has left a mailbox without a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It was too old.
    Expired,
    /// It was removed on request.
    Removed,
    /// It was given to a client that never answers a ping.
    Released,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceStats {
    /// Steps that are remembered.
    pub records: u64,
    /// About how many bytes they take.
    pub bytes: u64,
    /// Steps that were forgotten before their time, because the memory was used up.
    pub dropped: u64,
}

/// The steps of messages; `None` where nothing is remembered.
#[derive(Debug, Default)]
pub(crate) struct Trace(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    shards: Box<[Mutex<Shard>]>,
    shard_bytes_max: usize,
    departures: Mutex<Departures>,
    keep: SignedDuration,
    began: Timestamp,
}

#[derive(Debug, Default)]
struct Shard {
    records: VecDeque<TraceEntry>,
    /// Names that the records keep.
    names_bytes: usize,
    dropped: u64,
}

/// Messages that have left mailboxes without a proof; oldest first.
#[derive(Debug)]
struct Departures {
    records: VecDeque<Departed>,
    len_max: usize,
}

#[derive(Clone, Debug)]
struct Departed {
    at: Timestamp,
    which: Which,
    why: Departure,
}

/// Which messages have left.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// That at this offset.
    At(UserId, u64),
    /// All up to this offset.
    UpTo(UserId, u64),
    /// All that waited for a recipient, or that a sender had sent, or both.
    Of {
        recipient: Option<UserId>,
        sender: Option<UserId>,
    },
}

impl Trace {
    pub(crate) fn new(config: &TraceConfig, now: Timestamp) -> Self {
        if !config.enabled {
            return Self(None);
        }
        // An eighth is for what has left.
        let departures = config.max_size / 8;
        let steps = config.max_size - departures;
        Self(Some(Box::new(Kept {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_bytes_max: steps / SHARDS,
            departures: Mutex::new(Departures {
                records: VecDeque::new(),
                len_max: departures / (size_of::<Departed>() + NAME_BYTES_MAX),
            }),
            keep: SignedDuration::try_from(config.keep).unwrap_or(SignedDuration::MAX),
            began: now,
        })))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Since when steps are remembered, at the most.
    pub(crate) fn began(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|kept| kept.began)
    }

    pub(crate) fn note(&self, id: MessageId, at: Timestamp, user: &UserId, step: TraceStep) {
        let Some(kept) = &self.0 else { return };
        let entry = TraceEntry {
            id,
            at,
            user: user.clone(),
            step,
        };
        let oldest = at - kept.keep_before(at);
        kept.shard(id)
            .lock()
            .push(entry, kept.shard_bytes_max, oldest);
    }

    /// Notes that messages have left mailboxes without a proof.
    pub(crate) fn note_departure(&self, at: Timestamp, which: Which, why: Departure) {
        let Some(kept) = &self.0 else { return };
        kept.departures.lock().push(Departed { at, which, why });
    }

    /// The steps of a message that are remembered, in their order.
    pub(crate) fn of_message(&self, id: MessageId, now: Timestamp) -> Vec<TraceEntry> {
        let Some(kept) = &self.0 else {
            return Vec::new();
        };
        let oldest = now - kept.keep_before(now);
        let shard = kept.shard(id).lock();
        let found = shard.records.iter();
        let found = found.filter(|entry| entry.id == id && entry.at >= oldest);
        found.cloned().collect()
    }

    /// The messages of a user, sent by him or to him, of which something happened last; the newest first.
    pub(crate) fn of_user(&self, user: &UserId, limit: usize, now: Timestamp) -> Vec<MessageId> {
        let Some(kept) = &self.0 else {
            return Vec::new();
        };
        let oldest = now - kept.keep_before(now);
        let mut found = Vec::new();
        for shard in &kept.shards {
            let mut seen = HashSet::new();
            let shard = shard.lock();
            let newest_first = shard.records.iter().rev();
            for entry in newest_first.take_while(|entry| entry.at >= oldest) {
                if entry.user == *user && seen.insert(entry.id) {
                    found.push((entry.at, entry.id));
                    if seen.len() == limit {
                        break;
                    }
                }
            }
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.truncate(limit);
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// Why a message of `sender`, stored at `stored`, is not at this place of a mailbox any more, if that is remembered.
    pub(crate) fn departure(
        &self,
        (recipient, offset): (&UserId, u64),
        sender: Option<&UserId>,
        stored: Timestamp,
    ) -> Option<(Timestamp, Departure)> {
        let departures = self.0.as_ref()?.departures.lock();
        let mut after = departures.records.iter().filter(|gone| gone.at >= stored);
        let gone = after.find(|gone| match &gone.which {
            Which::At(user, at) => user == recipient && *at == offset,
            Which::UpTo(user, up_to) => user == recipient && *up_to >= offset,
            Which::Of {
                recipient: whose,
                sender: whom,
            } => {
                whose.as_ref().is_none_or(|whose| whose == recipient)
                    && (whom.is_none() || whom.as_ref() == sender)
            }
        })?;
        Some((gone.at, gone.why))
    }

    pub(crate) fn stats(&self) -> TraceStats {
        let mut stats = TraceStats::default();
        for shard in self.0.iter().flat_map(|kept| &kept.shards) {
            let shard = shard.lock();
            stats.records += shard.records.len() as u64;
            stats.bytes += shard.bytes() as u64;
            stats.dropped += shard.dropped;
        }
        stats
    }
}

impl Kept {
    fn shard(&self, id: MessageId) -> &Mutex<Shard> {
        // Neighbours in time lie in different shards, so threads rarely meet in one.
        let index = id.counter_low() % SHARDS;
        self.shards
            .get(index)
            .expect("the index is below their number")
    }

    /// How far before `now` is remembered; no farther than time reaches.
    fn keep_before(&self, now: Timestamp) -> SignedDuration {
        self.keep.min(now.duration_since(Timestamp::MIN))
    }
}

impl Shard {
    fn push(&mut self, entry: TraceEntry, bytes_max: usize, oldest: Timestamp) {
        // Two go for one that comes, so that what is too old goes while something comes.
        for _ in 0..2 {
            if self.records.front().is_some_and(|front| front.at < oldest) {
                self.pop();
            }
        }
        let bytes = RECORD_BYTES + name_bytes(&entry.user);
        while !self.records.is_empty() && self.bytes() + bytes > bytes_max {
            self.pop();
            self.dropped += 1;
        }
        if self.records.len() == self.records.capacity() {
            // Not beyond what will ever be used.
            let rest = (bytes_max / RECORD_BYTES).saturating_sub(self.records.len());
            self.records
                .reserve_exact(self.records.len().clamp(16, rest.max(16)));
        }
        self.names_bytes += name_bytes(&entry.user);
        self.records.push_back(entry);
    }

    fn pop(&mut self) {
        if let Some(entry) = self.records.pop_front() {
            self.names_bytes -= name_bytes(&entry.user);
        }
    }

    fn bytes(&self) -> usize {
        self.records.len() * RECORD_BYTES + self.names_bytes
    }
}

impl Departures {
    fn push(&mut self, departed: Departed) {
        if self.records.len() >= self.len_max {
            self.records.pop_front();
        }
        self.records.push_back(departed);
    }
}

/// A name is shared with those who use it; when they are gone it is the record's.
fn name_bytes(user: &UserId) -> usize {
    match user.as_number() {
        Some(_) => 0,
        None => user.with_key(str::len) + 16,
    }
}

const SHARDS: usize = 64;
const RECORD_BYTES: usize = size_of::<TraceEntry>();
const NAME_BYTES_MAX: usize = 2 * (128 + 16);

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(max_size: usize) -> Trace {
        let config = TraceConfig {
            max_size,
            keep: Duration::from_mins(1),
            ..TraceConfig::default()
        };
        Trace::new(&config, at(0))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn id(number: u32) -> MessageId {
        format!("00000000-00000000-0000-{number:08X}")
            .parse()
            .unwrap()
    }

    const STEP: TraceStep = TraceStep::HandedOut { session: 1 };

    #[test]
    fn a_record_is_small() {
        assert_eq!(RECORD_BYTES, 72);
    }

    #[test]
    fn the_oldest_go_when_the_memory_is_used_up_and_are_counted() {
        let trace = trace(1 << 20);
        for number in 0..100_000 {
            trace.note(id(number), at(1), &UserId::from(7), STEP);
        }
        let stats = trace.stats();
        assert!(stats.bytes <= 1 << 20, "{stats:?}");
        assert_eq!(stats.records + stats.dropped, 100_000);
        assert!(trace.of_message(id(0), at(1)).is_empty());
        assert_eq!(trace.of_message(id(99_999), at(1)).len(), 1);
    }

    #[test]
    fn long_names_count() {
        let trace = trace(1 << 20);
        for number in 0..100_000_u32 {
            let name = format!("{number:0>128}x").split_off(1);
            trace.note(id(number), at(1), &name.parse().unwrap(), STEP);
        }
        let stats = trace.stats();
        assert!(stats.records * (72 + 128) < 1 << 20, "{stats:?}");
    }

    #[test]
    fn what_is_too_old_is_not_told() {
        let trace = trace(1 << 20);
        trace.note(id(1), at(10), &UserId::from(7), STEP);
        assert_eq!(trace.of_message(id(1), at(70)).len(), 1);
        assert!(trace.of_message(id(1), at(71)).is_empty());
        assert!(trace.of_user(&UserId::from(7), 10, at(71)).is_empty());
        assert_eq!(trace.stats().dropped, 0);
    }

    #[test]
    fn the_newest_messages_of_a_user_come_first() {
        let trace = trace(1 << 20);
        for number in 0..300 {
            let user = UserId::from(u64::from(number % 2));
            trace.note(id(number), at(i64::from(number) / 10), &user, STEP);
        }
        let newest = trace.of_user(&UserId::from(1), 3, at(30));
        assert_eq!(newest, [id(299), id(297), id(295)]);
    }

    #[test]
    fn why_a_message_has_left_is_found_by_place_or_by_sender() {
        let trace = trace(1 << 20);
        let (seven, eight) = (UserId::from(7), UserId::from(8));
        let find = |offset, stored| trace.departure((&seven, offset), Some(&eight), at(stored));
        trace.note_departure(at(5), Which::At(seven.clone(), 3), Departure::Expired);
        trace.note_departure(at(6), Which::UpTo(seven.clone(), 9), Departure::Released);
        let sender = Some(eight.clone());
        let which = Which::Of {
            recipient: None,
            sender,
        };
        trace.note_departure(at(7), which, Departure::Removed);
        assert_eq!(find(3, 1), Some((at(5), Departure::Expired)));
        assert_eq!(find(4, 1), Some((at(6), Departure::Released)));
        assert_eq!(find(10, 1), Some((at(7), Departure::Removed)));
        // What was stored later was not there.
        assert_eq!(find(10, 8), None);
    }

    #[test]
    fn nothing_is_remembered_where_it_is_switched_off() {
        let config = TraceConfig {
            enabled: false,
            ..TraceConfig::default()
        };
        let trace = Trace::new(&config, at(0));
        trace.note(id(1), at(1), &UserId::from(7), STEP);
        assert!(!trace.is_on() && trace.of_message(id(1), at(1)).is_empty());
        assert_eq!(trace.stats(), TraceStats::default());
    }
}
