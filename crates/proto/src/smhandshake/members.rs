//! The members of an event: what both forms have in common.
//!
//! In: keys and scalar values, in the order they were written. Out: an [`Event`]. Invariant: no
//! key twice, at most [`MEMBERS_MAX`] of them, `event` is there.

use super::Event;

/// Collects an event's members.
#[derive(Debug, Default)]
pub(super) struct Members {
    seen: Vec<String>,
    event: Option<String>,
    data: Option<String>,
}

/// Which member a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Event,
    Data,
    /// To be ignored.
    Unknown,
}

impl Members {
    /// The key of the next member; `None`: it was there before, or there are too many.
    pub(super) fn begin(&mut self, key: String) -> Option<Member> {
        if self.seen.contains(&key) || self.seen.len() >= MEMBERS_MAX {
            return None;
        }
        let member = match key.as_str() {
            "event" => Member::Event,
            "data" => Member::Data,
            _ => Member::Unknown,
        };
        self.seen.push(key);
        Some(member)
    }

    pub(super) fn set(&mut self, member: Member, value: Option<String>) {
        match member {
            Member::Event => self.event = value,
            Member::Data => self.data = value,
            Member::Unknown => {}
        }
    }

    pub(super) fn into_event(self) -> Option<Event> {
        let name = self.event?;
        Some(Event {
            name,
            data: self.data,
        })
    }
}

/// Two are needed; the rest is for clients that add their own.
const MEMBERS_MAX: usize = 16;
