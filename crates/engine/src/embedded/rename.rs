//! Mailboxes that lie under a spelling of their user's key that is no longer used.
//!
//! In: an opened file, and the rule that gives a key's present spelling. Out: the same messages under that spelling, in
//! one transaction. Messages of several spellings of one user come to lie in one mailbox, in the order in which they
//! were stored. Invariants: nothing that waits is lost, and nothing that has left comes back; offsets of a user go
//! on above all that were ever given to any of his spellings; a message to two spellings of a user is one message.

use std::collections::{BTreeMap, HashMap};

use super::{
    database::{Database, Fault},
    meta::Meta,
    recipients::Recipients,
    row::{MessageRow, To},
};

/// The present spelling of a key; `None`: the key has it already.
pub(super) type Respell = fn(&str) -> Option<String>;

/// Everything that is known of the keys concerned.
#[derive(Debug, Default)]
struct Names {
    /// Old spellings and new ones, the latter to themselves.
    spellings: BTreeMap<String, String>,
    /// By new spelling, the highest offset given under any of a user's.
    last_offsets: BTreeMap<String, u64>,
    /// Up to where each spelling's messages have left.
    gone: HashMap<String, u64>,
}

/// A row as it is to be.
struct Changed {
    seq: i64,
    crc: u32,
    place: Place,
    sender: Option<String>,
}

enum Place {
    One {
        user: String,
        offset: u64,
    },
    Several(Vec<u8>),
    /// All of it has left.
    Nowhere,
}

/// Renames what is misspelt; returns how many spellings there were.
pub(super) fn rename(database: &Database, meta: &Meta, respell: Respell) -> Result<usize, Fault> {
    let names = Names::read(database, meta, respell).map_err(Fault::Fatal)?;
    let old = names.spellings.iter().filter(|(old, new)| old != new);
    let count = old.count();
    if count == 0 {
        return Ok(0);
    }
    let mut meta = *meta;
    // Who has nothing waiting afterwards goes on above the floor.
    let last_offset = names.last_offsets.values().max().copied();
    meta.offset_floor = meta.offset_floor.max(last_offset.unwrap_or_default());
    let mut changed = Vec::new();
    let mut next = names.next_offsets();
    let read = database.for_each_message(|row| {
        if let Ok(row) = row {
            changed.extend(names.change(&row, &mut next));
        }
    });
    read.map_err(Fault::Fatal)?;
    database.transact(|database| {
        for row in &changed {
            write(database, row)?;
        }
        for spelling in names.spellings.keys() {
            database.delete_user(spelling)?;
        }
        database.put_meta(&meta)
    })?;
    Ok(count)
}

fn write(database: &Database, row: &Changed) -> rusqlite::Result<()> {
    let sender = row.sender.as_deref();
    match &row.place {
        Place::One { user, offset } => {
            database.replace_place(row.seq, row.crc, (user, *offset), None, sender)
        }
        Place::Several(list) => {
            database.replace_place(row.seq, row.crc, ("", 0), Some(list), sender)
        }
        Place::Nowhere => database.delete(row.seq),
    }
}

impl Names {
    fn read(database: &Database, meta: &Meta, respell: Respell) -> rusqlite::Result<Self> {
        let mut names = Self::default();
        let mut offsets: HashMap<String, u64> = HashMap::new();
        database.for_each_message(|row| {
            let Ok(row) = row else { return };
            names.spell(row.sender, respell);
            for (user, offset) in entries(&row) {
                names.spell(Some(user), respell);
                let last = offsets.entry(user.to_owned()).or_default();
                *last = offset.max(*last);
            }
        })?;
        database.for_each_user(|row| {
            let Ok(row) = row else { return };
            names.spell(Some(row.key), respell);
            let last = offsets.entry(row.key.to_owned()).or_default();
            *last = row.last_offset.max(*last);
            names.gone.insert(row.key.to_owned(), row.gone_up_to);
        })?;
        for (spelling, user) in &names.spellings {
            let given = offsets.get(spelling).copied().unwrap_or_default();
            let last = names.last_offsets.entry(user.clone()).or_default();
            *last = given.max(*last).max(meta.offset_floor);
        }
        Ok(names)
    }

    fn spell(&mut self, key: Option<&str>, respell: Respell) {
        if let Some(old) = key
            && !self.spellings.contains_key(old)
            && let Some(new) = respell(old)
        {
            self.spellings.insert(new.clone(), new.clone());
            self.spellings.insert(old.to_owned(), new);
        }
    }

    fn next_offsets(&self) -> HashMap<&str, u64> {
        let users = self.last_offsets.iter();
        users
            .map(|(user, last)| (user.as_str(), last + 1))
            .collect()
    }

    /// Returns a row as it is to be; `None`: it stays as it is.
    fn change<'a>(
        &'a self,
        row: &MessageRow<'_>,
        next: &mut HashMap<&'a str, u64>,
    ) -> Option<Changed> {
        let is_known = |key: &str| self.spellings.contains_key(key);
        let is_sender_old = row
            .sender
            .is_some_and(|sender| self.spellings.get(sender).is_some_and(|new| new != sender));
        if !is_sender_old && !entries(row).any(|(user, _)| is_known(user)) {
            return None;
        }
        let sender = row.sender.map(|sender| match self.spellings.get(sender) {
            Some(new) => new.clone(),
            None => sender.to_owned(),
        });
        let mut kept: Vec<(String, u64)> = Vec::new();
        for (user, offset) in entries(row) {
            let Some(new) = self.spellings.get(user) else {
                kept.push((user.to_owned(), offset));
                continue;
            };
            let is_gone = offset <= self.gone.get(user).copied().unwrap_or_default();
            if is_gone || kept.iter().any(|(known, _)| known == new) {
                continue;
            }
            let place = next.get_mut(new.as_str())?;
            kept.push((new.clone(), *place));
            *place += 1;
        }
        let place = match (row.to, kept.pop()) {
            (_, None) => Place::Nowhere,
            (To::One { .. }, Some((user, offset))) => Place::One { user, offset },
            (To::Several(_), Some(last)) => {
                let mut list = Vec::new();
                for (user, offset) in kept.iter().chain([&last]) {
                    Recipients::push(&mut list, user, *offset);
                }
                Place::Several(list)
            }
        };
        let to = match &place {
            Place::One { user, offset } => To::One {
                user,
                offset: *offset,
            },
            Place::Several(list) => To::Several(Recipients::pushed(list)?),
            Place::Nowhere => row.to,
        };
        let crc = MessageRow {
            seq: row.seq,
            to,
            expiry_ms: row.expiry_ms,
            body: row.body,
            sender: sender.as_deref(),
        }
        .crc();
        Some(Changed {
            seq: row.seq,
            crc,
            place,
            sender,
        })
    }
}

/// The mailboxes that a row stands for.
fn entries<'a>(row: &MessageRow<'a>) -> Box<dyn Iterator<Item = (&'a str, u64)> + 'a> {
    match row.to {
        To::One { user, offset } => Box::new(std::iter::once((user, offset))),
        To::Several(recipients) => Box::new(recipients.iter()),
    }
}
