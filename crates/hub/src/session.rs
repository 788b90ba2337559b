//! A connection's handle on the hub: [`Session`].
//!
//! In: the connection's task: commands, polls and confirmations. Out: events, and the reason to
//! end. Invariant: dropping the handle is the disconnect, whatever the way (defect
//! 2.4-4): no error path can forget it.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tidewire_auth::Identity;
use tidewire_engine::SubmitError;

use crate::{
    Command, CommandError, ConnectError, Dismissal, Draft, Event, Hub, Mark, MessageId, Outgoing,
    Refusal, SessionEnd, Settings, UserId,
    events_out::ToldSession,
    live::{Live, NotBegun, Polled},
    origin::Origin,
    publication::Receipt,
    send_queue::Room,
    submission::reference_of,
    trace::TraceStep,
    user_stats::UserCounters,
};

/// A live session of one user. One task polls it; dropping it disconnects.
pub struct Session {
    hub: Arc<Hub>,
    live: Arc<Live>,
    identity: Arc<Identity>,
    counters: Arc<UserCounters>,
    told: Option<ToldSession>,
    end: OnceLock<SessionEnd>,
}

/// Who connects, and what the connection asks for. An id alone asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Whose session it will be.
    pub user: UserId,
    /// What authentication found. The hub keeps it for as long as the session lives; whether it may be this user is
    /// the caller's to check. Default: [`Identity::of_group`].
    pub identity: Arc<Identity>,
    /// Whether this session hears what became of its messages, whatever the settings are for all:
    /// [`Notice::Accepted`](crate::Notice::Accepted) for each message of its own, and
    /// [`Notice::Received`](crate::Notice::Received) for messages of its user that a connection has proved to have. Default: no.
    pub receipts: bool,
    /// Where the client is, to be shown to the operator. Default: not known.
    pub address: Option<IpAddr>,
}

impl From<UserId> for Connect {
    fn from(user: UserId) -> Self {
        Self {
            user,
            identity: Arc::new(Identity::of_group()),
            receipts: false,
            address: None,
        }
    }
}

impl Hub {
    /// Begins a session. What waits in the user's mailbox comes first.
    pub fn connect(self: &Arc<Self>, connect: impl Into<Connect>) -> Result<Session, ConnectError> {
        if !self.is_accepting() {
            return Err(ConnectError::Stopping);
        }
        let connect = connect.into();
        let past = self.redeliveries.past(&connect.user);
        let begun = (self.next_session(), self.now());
        let live = Arc::new(Live::new(&connect, begun, self.limits, past));
        self.session_table.insert(&live)?;
        self.online.enter(&live.key);
        // Before the handle is there, so that dropping it takes back what was counted.
        self.receipt_sessions.add(&live);
        let counters = self
            .user_stats
            .connected(&live.user, self.now().as_second());
        let hub = Arc::clone(self);
        let told = self.tell_connected(&live.user, connect.identity.device());
        let session = Session {
            hub,
            live: Arc::clone(&live),
            identity: connect.identity,
            counters,
            told,
            end: OnceLock::new(),
        };
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
    /// Whose session it is.
    pub fn user(&self) -> &UserId {
        &self.live.user
    }

    /// Returns what authentication found when the session began.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns how the session was ended from outside, if it was: the connection is to be closed so, whatever is still
    /// queued.
    pub fn dismissal(&self) -> Option<&Dismissal> {
        self.live.dismissal().map(|dismissal| &**dismissal)
    }

    /// Ready when the session was ended from outside. For a connection that waits for its client; one that waits in
    /// [`Session::poll_outgoing`] or [`Session::poll_ready_to_submit`] is woken anyway, and asks
    /// [`Session::dismissal`].
    pub fn poll_dismissed(&self, cx: &Context<'_>) -> Poll<()> {
        self.live.poll_dismissed(cx)
    }

    /// Says how the session ends, for those who are told of it; the first word counts. Without one the connection
    /// was lost ([`SessionEnd::lost`]).
    pub fn ends_with(&self, end: SessionEnd) {
        self.end.get_or_init(|| end);
    }

    /// Takes a command of the client, which came in as a message of `payload_len` bytes.
    ///
    /// `Ok` of a [`Command::Publish`] means well-formed, not accepted: acceptance is the store's answer, and a
    /// refusal arrives as a [`Notice`](crate::Notice) among the events. Call it when
    /// [`Session::poll_ready_to_submit`] is ready; otherwise the message is refused as `busy`.
    ///
    /// # Errors
    /// The connection is to be closed: the client broke a rule, or the session has ended.
    pub fn submit(&self, command: Command<'_>, payload_len: usize) -> Result<(), CommandError> {
        match command {
            Command::Publish(draft) => self.publish(draft, payload_len),
            Command::Refuse { refusal, reference } => {
                let now = self.hub.now();
                self.counters.came_in(now.as_second(), payload_len);
                let reference = reference.map(|text| text.literal().into());
                self.hub.notify_refused(&self.live, refusal, reference);
                Ok(())
            }
        }
    }

    fn publish(&self, draft: Draft<'_>, payload_len: usize) -> Result<(), CommandError> {
        if !self.may_send_as(&draft.sender) {
            self.hub.counters.invalid.add(1);
            return Err(CommandError::ForeignSender);
        }
        let now = self.hub.now();
        self.counters.came_in(now.as_second(), payload_len);
        let bytes = submission_bytes(payload_len, &draft);
        match self.live.begin_submission(bytes) {
            Ok(()) => {
                let origin = Origin::Session {
                    live: Arc::clone(&self.live),
                    counters: Arc::clone(&self.counters),
                    bytes,
                    reference: reference_of(&draft),
                };
                let id = self.hub.next_id(now);
                let send_to = self.identity.grants().send_to();
                self.hub.accept(draft, &origin, send_to, (id, now));
            }
            Err(NotBegun::TooMany) => {
                let reference = reference_of(&draft);
                self.hub
                    .notify_refused(&self.live, Refusal::Busy, reference);
            }
            Err(NotBegun::Ended(reason)) => return Err(CommandError::Ended(reason)),
        }
        Ok(())
    }

    /// The bounds for what clients send.
    pub fn settings(&self) -> &Settings {
        self.hub.settings()
    }

    /// Counts a payload that broke a rule of the dialect, so that there is no command in it.
    pub fn count_invalid(&self) {
        self.hub.count_invalid();
    }

    /// The connection has written `bytes` of messages.
    pub fn count_sent(&self, bytes: usize) {
        self.counters.went_out(bytes);
    }

    /// Ready when the next message should be read from the connection: fewer than
    /// `submissions_max` and less than `submissions_bytes_max` are pending, the session's send queue has room and the store is not busy.
    ///
    /// `peer_reads` says that everything handed out was written: then the send queue does not
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

    /// Appends what the client is to get to `out`: at least one event, then as many as stay
    /// within about `bytes_max`. Pending also when too much is unconfirmed.
    ///
    /// Single consumer: the last caller's waker is kept, and woken once.
    pub fn poll_outgoing(
        &self,
        cx: &mut Context<'_>,
        out: &mut Vec<Event>,
        bytes_max: usize,
    ) -> Poll<Outgoing> {
        let Polled {
            outgoing,
            handed,
            wants_read,
        } = {
            let before = out.len();
            let polled = self.live.poll_outgoing(cx, out, bytes_max);
            self.note_handed_out(out.get(before..).unwrap_or_default());
            polled
        };
        if handed.durable > 0 {
            self.hub.counters.delivered.add(handed.durable);
            self.counters.received(handed.durable);
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

    /// At most so many messages and bytes are handed out from now on without being confirmed; one
    /// message always is. The configured bounds hold as well. Default: those bounds.
    pub fn set_window(&self, messages: usize, bytes: usize) {
        self.live.set_window(Room { messages, bytes });
    }

    /// The bounds of what may be handed out without being confirmed: messages and bytes.
    pub fn window_max(&self) -> (usize, usize) {
        let config = self.hub.settings().config();
        (config.in_flight_messages_max, config.in_flight_bytes_max)
    }

    /// Everything handed out up to `mark` has been given to the system, by a connection whose client has
    /// not proved anything yet. It counts as handed out once for
    /// [`unproven_deliveries_max`](crate::Config::unproven_deliveries_max).
    pub fn written(&self, mark: Mark) {
        self.live.set_written(mark);
    }

    /// Sessions of the same user in a row that were handed messages and ended without any proof, right
    /// before this one: the more, the more patient the connection should be.
    pub fn unproven_sessions(&self) -> u32 {
        self.live.unproven_sessions
    }

    /// Whether the session hands out nothing until [`Session::begin`] says where: messages of this user
    /// were handed out [`unproven_deliveries_max`](crate::Config::unproven_deliveries_max) times to clients that
    /// proved nothing.
    pub fn is_waiting(&self) -> bool {
        self.live.is_waiting()
    }

    /// Begins to hand out: with everything, when the client has proved to answer pings; otherwise without what
    /// was handed out often enough. When it proves that later, calling it with [`Begin::Everything`] reads the
    /// mailbox from its start again. Without effect on sessions that do not wait.
    pub fn begin(&self, begin: Begin) {
        if begin == Begin::Everything {
            self.counters.answered();
        }
        self.live.begin(begin == Begin::Everything);
        self.hub.read_if_wanted(&self.live);
    }

    /// For a connection whose client answers no pings: of what was handed out up to `mark`, only the newest
    /// [`unproven_messages_kept`](crate::Config::unproven_messages_kept) count as unconfirmed, so that more can be handed
    /// out. Nothing leaves the mailbox.
    pub fn forget_unproven(&self, mark: Mark) {
        self.hub.forget_unproven(&self.live, mark);
    }

    /// What has been forgotten by now goes with the next [`Session::release_unproven`].
    pub fn hold_unproven(&self) {
        self.live.hold();
    }

    /// What was forgotten when it was held leaves the mailbox: the client has been given it, and it is alive. The
    /// senders hear nothing of it. Without effect when a client of the user has ever answered a ping: then this
    /// connection only seems to be one that never does.
    pub fn release_unproven(&self) {
        if !self.counters.has_answered() {
            self.hub.release_unproven(&self.live);
        }
    }

    /// Ends the session, but keeps what is to be done if it turns out that the client has received everything
    /// up to `mark`: for the time between our close frame and the client's answer.
    pub fn into_unproven(self, mark: Mark) -> Unproven {
        let mut receipts = Vec::new();
        let mut ids = Vec::new();
        let is_traced = self.hub.trace.is_on();
        let unconfirmed = self.live.unconfirmed(mark, |receipt| {
            if is_traced {
                ids.push(receipt.id);
            }
            if self.hub.tells_delivery(receipt) {
                receipts.push(receipt.clone());
            }
        });
        Unproven {
            hub: Arc::clone(&self.hub),
            live: Arc::clone(&self.live),
            unconfirmed,
            receipts,
            ids,
        }
    }

    /// Copies of what the user has sent himself are no deliveries.
    fn note_handed_out(&self, events: &[Event]) {
        if events.is_empty() || !self.hub.trace.is_on() {
            return;
        }
        let (user, now) = (self.user(), self.hub.now());
        let step = TraceStep::HandedOut {
            session: self.live.id,
        };
        for event in events {
            let Event::Publication(publication) = event else {
                continue;
            };
            if publication.sender() != user || publication.recipients().contains(user) {
                self.hub.trace.note(publication.id(), now, user, step);
            }
        }
    }

    fn may_send_as(&self, sender: &UserId) -> bool {
        let own = sender == self.user() && !sender.is_bot();
        own || !self.hub.settings().config().check_sender
    }
}

/// Where a [waiting](Session::is_waiting) session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the start of the mailbox.
    Everything,
    /// Behind what was handed out often enough.
    BehindRepeated,
}

/// What an ended session had handed out without a proof. Dropping it leaves all of that in the mailbox.
pub struct Unproven {
    hub: Arc<Hub>,
    live: Arc<Live>,
    unconfirmed: Option<(u64, u64)>,
    receipts: Vec<Receipt>,
    ids: Vec<MessageId>,
}

impl Unproven {
    /// The client has received it after all: it leaves the mailbox.
    pub fn confirm(self) {
        if let Some((count, up_to)) = self.unconfirmed {
            self.hub.redeliveries.proved_at_end(&self.live.user);
            self.hub.note_confirmed(&self.live, &self.ids);
            self.hub.proved(&self.live, count, up_to, self.receipts);
        }
    }
}

impl fmt::Debug for Unproven {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Unproven")
            .field("user", &self.live.user)
            .finish_non_exhaustive()
    }
}

/// What a submission counts until it is settled: its payload, and keys and results per recipient.
fn submission_bytes(payload_len: usize, draft: &Draft<'_>) -> usize {
    payload_len + draft.recipients.as_slice().len() * RECIPIENT_BYTES
}

/// About what the process holds for each recipient of a pending message.
const RECIPIENT_BYTES: usize = 128;

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.disconnect(&self.live);
        if let Some(told) = &self.told {
            let end = self.end.take().unwrap_or_else(SessionEnd::lost);
            self.hub.tell_disconnected(&self.live.user, told, &end);
        }
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
