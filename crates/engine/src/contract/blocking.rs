//! Commands that wait for their completion, and short ways to write them.

use std::sync::mpsc::{Receiver, sync_channel};

use crate::{
    Append, AppendError, Appended, Batch, Mailbox, MailboxRefusal, Purge, ReadError, Sender,
    UserKey,
};
use bytes::Bytes;

/// A key.
pub fn user(name: &str) -> UserKey {
    UserKey::from(name)
}

/// A message for which nobody answers.
pub fn message(users: &[&str], payload: &[u8], ttl_ms: Option<u64>) -> Append {
    Append {
        recipients: users.iter().map(|name| user(name)).collect(),
        body: Bytes::copy_from_slice(payload),
        sender: None,
        ttl_ms,
        events: Vec::new(),
    }
}

/// A message for which `sender` answers, within his budgets.
pub fn from(sender: &str, users: &[&str], payload: &[u8]) -> Append {
    Append {
        sender: Some(Sender {
            user: user(sender),
            limited: true,
        }),
        ..message(users, payload, None)
    }
}

/// The offsets of an append that every mailbox took.
pub fn offsets(appended: &Appended) -> Vec<u64> {
    let given = given(appended).into_iter();
    given
        .map(|outcome| outcome.expect("every mailbox took it"))
        .collect()
}

/// The outcomes of an append as offsets.
pub fn given(appended: &Appended) -> Vec<Result<u64, MailboxRefusal>> {
    let outcomes = appended.outcomes.iter();
    outcomes
        .map(|outcome| outcome.map(|placed| placed.offset))
        .collect()
}

/// Purges and waits; returns how many messages left.
pub fn purge(store: &dyn Mailbox, purge: Purge) -> u64 {
    let (sender, receiver) = sync_channel(1);
    let done = Box::new(move |result| drop(sender.send(result)));
    store.purge(purge, done).expect("the command is taken");
    let result = receiver.recv().expect("the purge completes");
    result.expect("the store works")
}

/// Submits and returns where the result will come.
pub fn submit(store: &dyn Mailbox, append: Append) -> Receiver<Result<Appended, AppendError>> {
    let (sender, receiver) = sync_channel(1);
    let done = Box::new(move |result| drop(sender.send(result)));
    store.append(append, done).expect("the command is taken");
    receiver
}

/// Appends and waits.
pub fn try_append(
    store: &dyn Mailbox,
    users: &[&str],
    payload: &[u8],
) -> Result<Appended, AppendError> {
    submit(store, message(users, payload, None))
        .recv()
        .expect("the append completes")
}

/// Appends to one mailbox; returns the offset.
pub fn append(store: &dyn Mailbox, name: &str, payload: &[u8]) -> u64 {
    offsets(&try_append(store, &[name], payload).expect("the message is stored"))[0]
}

/// Reads and waits.
pub fn try_read(
    store: &dyn Mailbox,
    name: &str,
    after: u64,
    messages_max: usize,
    bytes_max: usize,
) -> Result<Batch, ReadError> {
    let (sender, receiver) = sync_channel(1);
    let done = Box::new(move |result| drop(sender.send(result)));
    store
        .read(user(name), after, messages_max, bytes_max, done)
        .expect("the command is taken");
    receiver.recv().expect("the read completes")
}

/// Reads everything behind `after`.
pub fn read(store: &dyn Mailbox, name: &str, after: u64) -> Batch {
    try_read(store, name, after, usize::MAX, usize::MAX).expect("the store works")
}

/// Acknowledges.
pub fn ack(store: &dyn Mailbox, name: &str, up_to: u64) {
    store
        .ack(&user(name), up_to)
        .expect("the acknowledgement is taken");
}

/// Offsets and payloads of a batch as text.
pub fn shown(batch: &Batch) -> Vec<(u64, String)> {
    let show = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
    batch
        .messages
        .iter()
        .map(|message| (message.offset, show(&message.body)))
        .collect()
}

/// What is pending behind 0, as text.
pub fn pending(store: &dyn Mailbox, name: &str) -> Vec<(u64, String)> {
    shown(&read(store, name, 0))
}

/// What [`pending`] is to return.
pub fn listed(messages: &[(u64, &str)]) -> Vec<(u64, String)> {
    messages
        .iter()
        .map(|(offset, payload)| (*offset, (*payload).to_owned()))
        .collect()
}
