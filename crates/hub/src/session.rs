//! A connection's handle on the hub: [`Session`].
//!
//! In: the connection's task: payloads, polls and confirmations. Out: encoded messages, and the
//! wish to end. Invariant: dropping the handle is the disconnect, whatever the way (defect
//! 2.4-4): no error path can forget it.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tidewire_engine::SubmitError;
use tidewire_proto::Prepared;

use crate::{
    ConnectError, End, EnvelopeError, Hub, Mark, Outgoing, Refusal, UserId,
    envelope::Envelope,
    live::{Live, NotBegun, Polled},
    submission::Origin,
    user_stats::UserCounters,
};

/// A live session of one user. One task polls it; dropping it disconnects.
pub struct Session {
    hub: Arc<Hub>,
    live: Arc<Live>,
    counters: Arc<UserCounters>,
}

/// Who connects, and what the connection asks for. An id alone asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Whose session it will be.
    pub user: UserId,
    /// Whether this session hears what became of its messages, whatever the settings are for all:
    /// `notification_accepted` for each message of its own that was accepted, and
    /// `notification_received` for messages of its user that a connection has proved to have. Default: no.
    pub receipts: bool,
}

impl From<UserId> for Connect {
    fn from(user: UserId) -> Self {
        Self {
            user,
            receipts: false,
        }
    }
}

impl Hub {
    /// Begins a session. What waits in the user's mailbox comes first.
    pub fn connect(self: &Arc<Self>, connect: impl Into<Connect>) -> Result<Session, ConnectError> {
        if !self.is_accepting() {
            return Err(ConnectError::Stopping);
        }
        let live = Arc::new(Live::new(connect.into(), self.limits));
        self.registry.insert(&live)?;
        // Before the handle is there, so that dropping it takes back what was counted.
        self.receipt_sessions.add(&live);
        let counters = self
            .user_stats
            .connected(&live.user, self.now().as_second());
        let session = Session::new(Arc::clone(self), Arc::clone(&live), counters);
        // Registered first, read second: what is stored in between is found by the read, what
        // is stored later finds the session.
        match self.try_read(&live) {
            Ok(()) => {}
            Err(SubmitError::Busy) => self.wait_for_gate(&live),
            Err(SubmitError::Closed | _) => return Err(ConnectError::StoreClosed),
        }
        tracing::debug!(user = %live.user, "session began");
        Ok(session)
    }
}

impl Session {
    fn new(hub: Arc<Hub>, live: Arc<Live>, counters: Arc<UserCounters>) -> Self {
        Self {
            hub,
            live,
            counters,
        }
    }

    /// Whose session it is.
    pub fn user(&self) -> &UserId {
        &self.live.user
    }

    /// Takes a message from the connection, text or binary alike.
    ///
    /// `Ok` means well-formed, not accepted: acceptance is the store's answer, and a refusal
    /// arrives as `notification_refused` among the outgoing messages. Call it when
    /// [`Session::poll_ready_to_submit`] is ready; otherwise the message is refused as `busy`.
    ///
    /// # Errors
    /// How to close the connection: the payload broke a rule (4001), or the session has ended.
    pub fn submit(&self, payload: &[u8]) -> Result<(), End> {
        let settings = self.hub.settings();
        let envelope = Envelope::parse(payload, settings.config().recipients_max)
            .and_then(|envelope| self.check_sender(envelope))
            .inspect_err(|_| self.hub.counters.invalid.add(1))
            .map_err(|error| End::invalid_payload(&error))?;
        let now = self.hub.now();
        self.counters.came_in(now.as_second(), payload.len());
        match self.live.begin_submission() {
            Ok(()) => {
                let live = Arc::clone(&self.live);
                let origin = Origin::Session {
                    live,
                    counters: Arc::clone(&self.counters),
                };
                self.hub.accept(&envelope, &origin, now);
            }
            Err(NotBegun::TooMany) => {
                self.hub
                    .notify_refused(&self.live, Refusal::Busy, envelope.data_json());
            }
            Err(NotBegun::Ended(end)) => return Err(end),
        }
        Ok(())
    }

    /// Ready when the next message should be read from the connection: fewer than
    /// `submissions_max` are pending, the session's outbox has room and the store is not busy.
    ///
    /// `peer_reads` says that everything handed out was written: then the outbox does not
    /// count. What it waits for is a confirmation, and that may stand behind messages of the
    /// peer's own; not reading them would wait for ever.
    pub fn poll_ready_to_submit(&self, cx: &mut Context<'_>, peer_reads: bool) -> Poll<()> {
        let gate_shut = self.hub.is_gate_shut();
        let ready = self.live.poll_ready_to_submit(cx, gate_shut, peer_reads);
        if gate_shut && ready.is_pending() {
            self.hub.wait_for_gate(&self.live);
        }
        ready
    }

    /// Appends what is to be written to `out`: at least one message, then as many as stay
    /// within `bytes_max`. Pending also when too much is unconfirmed.
    ///
    /// Single consumer: the last caller's waker is kept, and woken once.
    pub fn poll_outgoing(
        &self,
        cx: &mut Context<'_>,
        out: &mut Vec<Prepared>,
        bytes_max: usize,
    ) -> Poll<Outgoing> {
        let Polled {
            outgoing,
            handed,
            wants_read,
        } = self.live.poll_outgoing(cx, out, bytes_max);
        if handed.durable > 0 {
            self.hub.counters.delivered.add(handed.durable);
        }
        if handed.any() {
            self.counters.went_out(handed.durable, handed.bytes);
        }
        if wants_read {
            self.hub.read_if_wanted(&self.live);
        }
        outgoing
    }

    /// Stands for everything handed out so far; pass it to [`Session::confirm`] once the peer
    /// has it.
    pub fn mark(&self) -> Mark {
        self.live.mark()
    }

    /// Everything handed out up to `mark` was received: it leaves the mailbox. Marks never
    /// confirmed cost a repetition at the next connect, never a loss.
    pub fn confirm(&self, mark: Mark) {
        self.hub.confirm(&self.live, mark);
    }

    fn check_sender<'a>(&self, envelope: Envelope<'a>) -> Result<Envelope<'a>, EnvelopeError> {
        let own = envelope.sender() == self.user() && !envelope.sender().is_bot();
        if own || !self.hub.settings().config().check_sender {
            return Ok(envelope);
        }
        Err(EnvelopeError::ForeignSender)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.disconnect(&self.live);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("user", self.user())
            .finish_non_exhaustive()
    }
}
