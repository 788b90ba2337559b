//! Mailboxes seen from outside: whose they are, and which messages wait in one, without their texts.
//!
//! In: a page of mailboxes, or a user. Out: amounts; ids, senders, types and sizes. Invariants: no text or data of a
//! message leaves this file; whoever looks changes nothing.

use std::sync::Arc;

use tidewire_engine::{Batch, MailboxInfo, MailboxPage, MailboxQuery, ReadError};

use crate::{Hub, MessageId, Publication, Refusal, UserId};

/// A message that waits in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Its place there.
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

/// Messages that wait in a mailbox, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingPage {
    /// The messages.
    pub messages: Vec<Waiting>,
    /// Behind this offset others wait; `None`: there are no more.
    pub next: Option<u64>,
}

/// Called once with the answer to [`Hub::waiting`], on the store's thread: it must not wait.
pub type OnWaiting = Box<dyn FnOnce(Result<WaitingPage, Refusal>) + Send>;

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

    /// Asks the store for the oldest messages that wait for `user` behind the offset `after`, at most `count` and 1 MiB of
    /// them; they stay.
    ///
    /// # Errors
    /// [`Refusal`]: the store does not take the question, and `done` is not called.
    pub fn waiting(
        self: &Arc<Self>,
        user: &UserId,
        after: u64,
        count: usize,
        done: OnWaiting,
    ) -> Result<(), Refusal> {
        let (hub, recipient) = (Arc::clone(self), user.clone());
        let completed = Box::new(move |result: Result<Batch, ReadError>| {
            done(match result {
                Ok(batch) => Ok(page(batch, &recipient)),
                Err(_failed) => Err(Refusal::StoreFailed),
            });
            hub.command_completed();
        });
        self.gate.begin();
        let key = user.mailbox_key();
        let read = self.mailbox.read(key, after, count, PAGE_BYTES, completed);
        read.map_err(|error| {
            self.command_not_taken(error);
            Refusal::from(error)
        })
    }
}

fn page(batch: Batch, recipient: &UserId) -> WaitingPage {
    let last = batch.messages.last().map(|message| message.offset);
    let messages = batch.messages.into_iter().filter_map(|stored| {
        let bytes = stored.body.len() as u64;
        let publication = Publication::from_body(stored.body, recipient).ok()?;
        Some(Waiting {
            offset: stored.offset,
            id: publication.id(),
            sender: publication.sender().clone(),
            kind: publication.kind().into_owned(),
            bytes,
        })
    });
    WaitingPage {
        messages: messages.collect(),
        next: last.filter(|_| batch.more),
    }
}

/// Names the user of a mailbox. A key is made from an id, so each is one.
pub fn mailbox_user(info: &MailboxInfo) -> Option<UserId> {
    info.user.parse().ok()
}

/// Bodies of one page, at about 1 ms.
const PAGE_BYTES: usize = 1 << 20;
