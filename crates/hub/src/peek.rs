//! Mailboxes seen from outside: whose they are, and which messages wait in one, without their texts.
//!
//! In: a page of mailboxes, or a user. Out: amounts; ids, senders, types and sizes. Invariants: no text or data of a
//! message leaves this file; whoever looks changes nothing.

use tidewire_engine::{Batch, MailboxInfo, MailboxPage, MailboxQuery, ReadError, UserKey};

use crate::{Hub, MessageId, Publication, Refusal, UserId};

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peeked {
    /// Its place in the mailbox.
    pub offset: u64,
    /// Its id.
    pub id: MessageId,
    /// Who has sent it.
    pub sender: UserId,
    /// Its type.
    pub kind: String,
    /// Size of what is kept of it.
    pub bytes: u64,
}

/// Called once with the messages that wait, oldest first.
pub type OnPeeked = Box<dyn FnOnce(Result<Vec<Peeked>, Refusal>) + Send>;

/// Called once with mailboxes.
pub type OnMailboxPage = Box<dyn FnOnce(Result<MailboxPage, Refusal>) + Send>;

impl Hub {
    /// Asks the store for mailboxes: that of one user, or a page of all.
    ///
    /// # Errors
    /// [`Refusal`]: `done` is not called.
    pub fn mailboxes(&self, query: MailboxQuery, done: OnMailboxPage) -> Result<(), Refusal> {
        let done = Box::new(move |result: Result<MailboxPage, ReadError>| {
            done(result.map_err(|_failed| Refusal::StoreFailed));
        });
        self.mailbox.mailboxes(query, done).map_err(Refusal::from)
    }

    /// Asks the store for the oldest messages that wait for `user`, at most `count`, behind the place `after`. They
    /// are read from the file, up to 1 MiB of them.
    ///
    /// # Errors
    /// [`Refusal`]: `done` is not called.
    pub fn peek(
        &self,
        user: &UserId,
        after: u64,
        count: usize,
        done: OnPeeked,
    ) -> Result<(), Refusal> {
        let recipient = user.clone();
        let done = Box::new(move |result: Result<Batch, ReadError>| {
            let batch = result.map_err(|_failed| Refusal::StoreFailed);
            done(batch.map(|batch| seen(batch, &recipient)));
        });
        let key: UserKey = user.mailbox_key();
        let read = self.mailbox.read(key, after, count, BYTES_MAX, done);
        read.map_err(Refusal::from)
    }
}

fn seen(batch: Batch, recipient: &UserId) -> Vec<Peeked> {
    let waiting = batch.messages.into_iter().filter_map(|stored| {
        let bytes = stored.body.len() as u64;
        let publication = Publication::from_body(stored.body, recipient).ok()?;
        Some(Peeked {
            offset: stored.offset,
            id: publication.id(),
            sender: publication.sender().clone(),
            kind: publication.kind().into_owned(),
            bytes,
        })
    });
    waiting.collect()
}

/// Names the user of a mailbox. A key is made from an id, so each is one.
pub fn mailbox_user(info: &MailboxInfo) -> Option<UserId> {
    info.user.parse().ok()
}

/// Bytes read for one look.
const BYTES_MAX: usize = 1 << 20;
