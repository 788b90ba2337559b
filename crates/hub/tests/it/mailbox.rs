//! An in-memory [`Mailbox`] with the contract of the port: commands wait in a queue until a test
//! executes them, one by one, each with its completion.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Mutex,
};

use bytes::Bytes;
use tidewire_engine::{
    Append, AppendError, Appended, Batch, Mailbox, MailboxRefusal, MailboxStats, OnAppend, OnPurge,
    OnRead, Placed, Purge, ReadError, Sender, Stored, SubmitError, UserKey,
};

pub(crate) struct PumpedMailbox {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Command>,
    queue_max: usize,
    boxes: HashMap<UserKey, UserBox>,
    epoch: u64,
    refuse_next: Option<AppendError>,
    /// Messages one mailbox takes, if there is a limit.
    user_messages_max: Option<usize>,
    /// Who answered for the last append.
    last_sender: Option<Sender>,
    read_fails: bool,
    closed: bool,
    reads: u64,
}

#[derive(Default)]
struct UserBox {
    last: u64,
    gone_up_to: u64,
    messages: VecDeque<Stored>,
}

enum Command {
    Append(Append, OnAppend),
    Read {
        user: UserKey,
        after: u64,
        messages_max: usize,
        bytes_max: usize,
        done: OnRead,
    },
    Ack {
        user: UserKey,
        up_to: u64,
    },
    Purge(Purge, OnPurge),
}

impl PumpedMailbox {
    pub(crate) fn new(queue_max: usize) -> Self {
        let inner = Inner {
            queue_max,
            epoch: 7,
            ..Inner::default()
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    /// Executes and completes the oldest command; false if there is none.
    pub(crate) fn step(&self) -> bool {
        let mut inner = self.inner.lock().unwrap();
        let Some(command) = inner.queue.pop_front() else {
            return false;
        };
        match command {
            Command::Append(append, done) => {
                let result = inner.append(append);
                drop(inner);
                done(result);
            }
            Command::Read {
                user,
                after,
                messages_max,
                bytes_max,
                done,
            } => {
                let result = inner.read(&user, after, messages_max, bytes_max);
                drop(inner);
                done(result);
            }
            Command::Ack { user, up_to } => inner.ack(&user, up_to),
            Command::Purge(purge, done) => {
                let result = Ok(inner.purge(&purge));
                drop(inner);
                done(result);
            }
        }
        true
    }

    /// Executes until nothing is queued.
    pub(crate) fn pump(&self) {
        while self.step() {}
    }

    pub(crate) fn queued(&self) -> usize {
        self.inner.lock().unwrap().queue.len()
    }

    /// Reads executed so far.
    pub(crate) fn reads(&self) -> u64 {
        self.inner.lock().unwrap().reads
    }

    /// Bodies waiting for a user.
    pub(crate) fn pending(&self, user: &str) -> Vec<Bytes> {
        let inner = self.inner.lock().unwrap();
        let stored = inner
            .boxes
            .get(user)
            .into_iter()
            .flat_map(|user| &user.messages);
        stored.map(|stored| stored.body.clone()).collect()
    }

    pub(crate) fn refuse_next(&self, error: AppendError) {
        self.inner.lock().unwrap().refuse_next = Some(error);
    }

    pub(crate) fn set_user_messages_max(&self, messages_max: usize) {
        self.inner.lock().unwrap().user_messages_max = Some(messages_max);
    }

    pub(crate) fn last_sender(&self) -> Option<Sender> {
        self.inner.lock().unwrap().last_sender.clone()
    }

    pub(crate) fn fail_reads(&self) {
        self.inner.lock().unwrap().read_fails = true;
    }

    pub(crate) fn set_queue_max(&self, queue_max: usize) {
        self.inner.lock().unwrap().queue_max = queue_max;
    }

    pub(crate) fn set_epoch(&self, epoch: u64) {
        self.inner.lock().unwrap().epoch = epoch;
    }

    /// Puts something into a mailbox that no hub has written.
    pub(crate) fn plant(&self, user: &str, payload: &'static [u8]) {
        let mut inner = self.inner.lock().unwrap();
        let user = inner.boxes.entry(user.into()).or_default();
        user.last += 1;
        let stored = Stored {
            offset: user.last,
            body: payload.into(),
        };
        user.messages.push_back(stored);
    }

    fn submit(&self, command: Command) -> Result<(), SubmitError> {
        let mut inner = self.inner.lock().unwrap();
        if inner.closed {
            return Err(SubmitError::Closed);
        }
        // Acknowledgements are merged in a real store: they take no place in its queue.
        let is_ack = |command: &Command| matches!(command, Command::Ack { .. });
        let waiting = inner
            .queue
            .iter()
            .filter(|command| !is_ack(command))
            .count();
        if waiting >= inner.queue_max && !is_ack(&command) {
            return Err(SubmitError::Busy);
        }
        inner.queue.push_back(command);
        Ok(())
    }
}

impl Inner {
    fn append(&mut self, append: Append) -> Result<Appended, AppendError> {
        assert!(!append.recipients.is_empty(), "an append has recipients");
        self.last_sender.clone_from(&append.sender);
        if let Some(error) = self.refuse_next.take() {
            return Err(error);
        }
        let limit = self.user_messages_max.unwrap_or(usize::MAX);
        let mut outcomes = Vec::new();
        for user in append.recipients {
            let user = self.boxes.entry(user).or_default();
            if user.messages.len() >= limit {
                outcomes.push(Err(MailboxRefusal::Full));
                continue;
            }
            outcomes.push(Ok(Placed {
                offset: user.last + 1,
                previous: Some(user.last),
            }));
            user.last += 1;
            user.messages.push_back(Stored {
                offset: user.last,
                body: append.body.clone(),
            });
        }
        if outcomes.iter().all(Result::is_err) {
            let refusals = outcomes.into_iter().filter_map(Result::err).collect();
            return Err(AppendError::NoMailbox { refusals });
        }
        Ok(Appended {
            epoch: self.epoch,
            outcomes,
        })
    }

    /// The hub's tests purge mailboxes only as a whole.
    fn purge(&mut self, purge: &Purge) -> u64 {
        let Purge::Recipient(user) = purge else {
            return 0;
        };
        let user = self.boxes.entry(user.clone()).or_default();
        user.gone_up_to = user.last;
        std::mem::take(&mut user.messages).len() as u64
    }

    fn read(
        &mut self,
        user: &UserKey,
        after: u64,
        messages_max: usize,
        bytes_max: usize,
    ) -> Result<Batch, ReadError> {
        self.reads += 1;
        if self.read_fails {
            return Err(ReadError::Failed {
                reason: "test".into(),
            });
        }
        let empty = UserBox::default();
        let user = self.boxes.get(user).unwrap_or(&empty);
        let mut pending = user
            .messages
            .iter()
            .filter(|stored| stored.offset > after)
            .peekable();
        let (mut messages, mut bytes) = (Vec::<Stored>::new(), 0);
        while let Some(stored) = pending.peek() {
            bytes += stored.body.len();
            if messages.len() == messages_max || bytes > bytes_max && !messages.is_empty() {
                break;
            }
            messages.extend(pending.next().cloned());
        }
        let more = pending.peek().is_some();
        Ok(Batch {
            epoch: self.epoch,
            messages,
            gone_up_to: user.gone_up_to,
            last_offset: user.last,
            more,
        })
    }

    fn ack(&mut self, user: &UserKey, up_to: u64) {
        let user = self.boxes.get_mut(user).unwrap();
        assert!(
            up_to <= user.last,
            "nobody acknowledges what was never stored"
        );
        user.gone_up_to = user.gone_up_to.max(up_to);
        user.messages.retain(|stored| stored.offset > up_to);
    }
}

impl Mailbox for PumpedMailbox {
    fn append(&self, append: Append, done: OnAppend) -> Result<(), SubmitError> {
        self.submit(Command::Append(append, done))
    }

    fn read(
        &self,
        user: UserKey,
        after: u64,
        messages_max: usize,
        bytes_max: usize,
        done: OnRead,
    ) -> Result<(), SubmitError> {
        assert!(messages_max > 0 && bytes_max > 0);
        self.submit(Command::Read {
            user,
            after,
            messages_max,
            bytes_max,
            done,
        })
    }

    fn ack(&self, user: &UserKey, up_to: u64) -> Result<(), SubmitError> {
        self.submit(Command::Ack {
            user: UserKey::clone(user),
            up_to,
        })
    }

    fn purge(&self, purge: Purge, done: OnPurge) -> Result<(), SubmitError> {
        self.submit(Command::Purge(purge, done))
    }

    fn stats(&self) -> MailboxStats {
        MailboxStats::default()
    }

    fn stop(&self) {
        self.pump();
        self.inner.lock().unwrap().closed = true;
    }
}

impl fmt::Debug for PumpedMailbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PumpedMailbox")
    }
}
