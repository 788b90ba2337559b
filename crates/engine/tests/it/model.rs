//! Random operations on the embedded store and on a model a reader can check by eye.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use tempfile::TempDir;
use tidewire_engine::{
    AppendError, Mailbox, MailboxRefusal, Purge, SqliteMailbox, embedded::Config,
};

use crate::clock::TestClock;
use tidewire_engine::contract::blocking::{ack, from, given, purge, submit, try_read, user};

const USERS: [&str; 3] = ["ann", "bob", "eve"];
const SENDERS: [&str; 2] = ["kim", "lee"];
const USER_MESSAGES_MAX: usize = 5;
const MESSAGES_MAX: usize = 9;

#[derive(Clone, Debug)]
enum Operation {
    Append {
        sender: usize,
        users: Vec<usize>,
        len: usize,
        ttl_ms: Option<u64>,
    },
    /// Removes what this sender has sent, to one user or to all.
    Purge {
        sender: usize,
        user: Option<usize>,
    },
    /// Acknowledges up to this far before the last offset.
    Ack {
        user: usize,
        back: u64,
    },
    Read {
        user: usize,
        after: u64,
        messages_max: usize,
        bytes_max: usize,
    },
    Advance {
        ms: u64,
    },
    Restart,
}

fn operation() -> impl Strategy<Value = Operation> {
    let user = 0..USERS.len();
    prop_oneof![
        6 => (
            0..SENDERS.len(),
            prop::collection::vec(user.clone(), 1..4),
            0_usize..50,
            prop::option::of(1_u64..2000),
        )
            .prop_map(|(sender, users, len, ttl_ms)| Operation::Append { sender, users, len, ttl_ms }),
        1 => (0..SENDERS.len(), prop::option::of(user.clone()))
            .prop_map(|(sender, user)| Operation::Purge { sender, user }),
        3 => (user.clone(), 0_u64..6).prop_map(|(user, back)| Operation::Ack { user, back }),
        4 => (user, 0_u64..20, 0_usize..8, 0_usize..200).prop_map(
            |(user, after, messages_max, bytes_max)| Operation::Read {
                user, after, messages_max, bytes_max,
            }
        ),
        1 => (1_u64..1500).prop_map(|ms| Operation::Advance { ms }),
        1 => Just(Operation::Restart),
    ]
}

#[derive(Default)]
struct Model {
    mailboxes: [ModelMailbox; USERS.len()],
    now_ms: u64,
    appended: u8,
}

#[derive(Default)]
struct ModelMailbox {
    /// By offset.
    pending: BTreeMap<u64, ModelMessage>,
    last_offset: u64,
}

struct ModelMessage {
    expiry_ms: u64,
    sender: usize,
    payload: Vec<u8>,
}

impl Model {
    fn append(
        &mut self,
        sender: usize,
        users: &[usize],
        payload: &[u8],
        ttl_ms: u64,
        given: Option<&[Result<u64, MailboxRefusal>]>,
    ) -> Result<Vec<Result<u64, MailboxRefusal>>, AppendError> {
        let mut lens = self
            .mailboxes
            .each_ref()
            .map(|mailbox| mailbox.pending.len());
        let fits: Vec<bool> = users
            .iter()
            .map(|at| {
                let fits = lens[*at] < USER_MESSAGES_MAX;
                lens[*at] += usize::from(fits);
                fits
            })
            .collect();
        let taken = fits.iter().filter(|fits| **fits).count();
        if taken == 0 {
            let refusals = vec![MailboxRefusal::Full; users.len()];
            return Err(AppendError::NoMailbox { refusals });
        }
        let pending: usize = self
            .mailboxes
            .iter()
            .map(|mailbox| mailbox.pending.len())
            .sum();
        if pending + taken > MESSAGES_MAX {
            return Err(AppendError::StoreFull);
        }
        let expiry_ms = self.now_ms + ttl_ms;
        // Only into an empty mailbox the store may skip offsets.
        let mut given = given.into_iter().flatten();
        let mut push = |(at, fits): (&usize, bool)| {
            let given = given.next().and_then(|outcome| outcome.as_ref().ok());
            if !fits {
                return Err(MailboxRefusal::Full);
            }
            let mailbox = &mut self.mailboxes[*at];
            let given = given.copied().unwrap_or_default();
            if mailbox.pending.is_empty() && given > mailbox.last_offset {
                mailbox.last_offset = given;
            } else {
                mailbox.last_offset += 1;
            }
            mailbox.pending.insert(
                mailbox.last_offset,
                ModelMessage {
                    expiry_ms,
                    sender,
                    payload: payload.to_vec(),
                },
            );
            Ok(mailbox.last_offset)
        };
        Ok(users.iter().zip(fits).map(&mut push).collect())
    }

    fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        for mailbox in &mut self.mailboxes {
            mailbox
                .pending
                .retain(|_, message| message.expiry_ms > self.now_ms);
        }
    }

    fn purge(&mut self, sender: usize, user: Option<usize>) -> usize {
        let mut count = 0;
        for (at, mailbox) in self.mailboxes.iter_mut().enumerate() {
            if user.is_none_or(|user| user == at) {
                let before = mailbox.pending.len();
                mailbox
                    .pending
                    .retain(|_, message| message.sender != sender);
                count += before - mailbox.pending.len();
            }
        }
        count
    }
}

impl ModelMailbox {
    fn read(
        &self,
        after: u64,
        messages_max: usize,
        bytes_max: usize,
    ) -> (Vec<(u64, Vec<u8>)>, bool) {
        let mut messages: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut bytes = 0;
        for (offset, message) in self.pending.range(after + 1..) {
            bytes += message.payload.len();
            if messages.len() == messages_max || (bytes > bytes_max && !messages.is_empty()) {
                return (messages, true);
            }
            messages.push((*offset, message.payload.clone()));
        }
        (messages, false)
    }

    fn gone_up_to(&self) -> u64 {
        self.pending
            .first_key_value()
            .map_or(self.last_offset, |(offset, _)| offset - 1)
    }
}

fn check(operations: &[Operation]) {
    let dir = TempDir::new().expect("a temporary directory");
    let mut config = Config::new(dir.path());
    config.user_messages_max = USER_MESSAGES_MAX as u64;
    config.messages_max = MESSAGES_MAX as u64;
    config.sender_share_percent = 100;
    config.ttl = Duration::from_secs(3);
    config.reserve_bytes = 0;
    // Small enough for the cache of idle users to overflow.
    config.idle_users_max = 1;
    let clock = Arc::new(TestClock::new());
    let open = || SqliteMailbox::open_with_clock(config.clone(), clock.clone()).expect("opens");
    let mut store = open();
    let mut model = Model::default();
    for operation in operations {
        match operation {
            Operation::Append {
                sender,
                users,
                len,
                ttl_ms,
            } => {
                model.appended = model.appended.wrapping_add(1);
                let payload = vec![model.appended; *len];
                let names: Vec<&str> = users.iter().map(|at| USERS[*at]).collect();
                let mut append = from(SENDERS[*sender], &names, &payload);
                append.ttl_ms = *ttl_ms;
                let result = submit(&*store, append);
                let result = result
                    .recv()
                    .expect("completes")
                    .map(|appended| given(&appended));
                let given = result.as_deref().ok();
                let expected =
                    model.append(*sender, users, &payload, ttl_ms.unwrap_or(3000), given);
                assert_eq!(result, expected);
            }
            Operation::Purge { sender, user } => {
                let purged = purge(&*store, selection(*sender, *user));
                assert_eq!(purged, model.purge(*sender, *user) as u64);
            }
            Operation::Ack { user, back } => {
                let mailbox = &mut model.mailboxes[*user];
                let up_to = mailbox.last_offset.saturating_sub(*back);
                ack(&*store, USERS[*user], up_to);
                mailbox.pending.retain(|offset, _| *offset > up_to);
            }
            Operation::Read {
                user,
                after,
                messages_max,
                bytes_max,
            } => {
                check_read(&*store, &model, *user, (*after, *messages_max, *bytes_max));
            }
            Operation::Advance { ms } => {
                clock.advance(*ms);
                model.advance(*ms);
            }
            Operation::Restart => {
                store.stop();
                store = open();
            }
        }
    }
    for at in 0..USERS.len() {
        check_read(&*store, &model, at, (0, usize::MAX, usize::MAX));
    }
    assert_eq!(store.stats().corrupt, 0);
    check_nothing_stays(&*store, &config);
}

fn selection(sender: usize, recipient: Option<usize>) -> Purge {
    let sender = user(SENDERS[sender]);
    match recipient {
        None => Purge::Sender(sender),
        Some(recipient) => Purge::Between {
            recipient: user(USERS[recipient]),
            sender,
        },
    }
}

/// What nobody waits for leaves nothing in the file.
fn check_nothing_stays(store: &dyn Mailbox, config: &Config) {
    for name in USERS {
        ack(store, name, u64::MAX);
    }
    store.stop();
    let connection = rusqlite::Connection::open(config.dir.join("mailbox.db")).expect("opens");
    let rows = "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM user)";
    let rows: i64 = connection
        .query_row(rows, [], |row| row.get(0))
        .expect("there are such tables");
    assert_eq!(rows, 0);
}

fn check_read(
    store: &dyn Mailbox,
    model: &Model,
    at: usize,
    (after, messages_max, bytes_max): (u64, usize, usize),
) {
    let batch = try_read(store, USERS[at], after, messages_max, bytes_max).expect("read");
    let messages: Vec<_> = batch
        .messages
        .iter()
        .map(|read| (read.offset, read.body.to_vec()))
        .collect();
    let mailbox = &model.mailboxes[at];
    let expected = mailbox.read(after, messages_max, bytes_max);
    assert_eq!((messages, batch.more), expected);
    if mailbox.pending.is_empty() {
        assert!(batch.gone_up_to >= mailbox.gone_up_to());
    } else {
        assert_eq!(batch.gone_up_to, mailbox.gone_up_to());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(
        operations in prop::collection::vec(operation(), 1..60)
    ) {
        check(&operations);
    }
}
