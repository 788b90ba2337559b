//! Every refusal and every end of a connection, by reason: [`Reasons`].
//!
//! In: what became of a connection or request. Out: counters with a fixed set of labels, and one line a second and
//! reason in the log. Invariant: each WebSocket that was opened is counted once when it ends, so the sum over the reasons is the
//! number of closes.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tidewire::{
    service::Sampled,
    ws::{CloseFrame, RecvError, Request},
};
use tidewire_dialect::Ending;
use tidewire_hub::{ConnectError, DismissalCause, Reason};
use tidewire_telemetry::LineLog;

use crate::access_log::Visit;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of their counters.
            const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The label of metrics and of the log.
            pub(crate) fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    };
}

reasons! {
    /// Why a WebSocket ended.
    CloseReason {
        /// The client began the close.
        Client = "client",
        /// The connection was lost, or the stream failed.
        Lost = "lost",
        /// The client took nothing, or did not finish the close.
        TimedOut = "timed_out",
        /// The client broke the protocol.
        Protocol = "protocol",
        /// A message was too large.
        TooLarge = "too_large",
        /// The memory for clients was used up.
        Memory = "memory",
        /// The server stops.
        Shutdown = "shutdown",
        /// The request named no user, or was not understood.
        InvalidRequest = "invalid_request",
        /// No valid credentials.
        Unauthorized = "unauthorized",
        /// Whoever knows about the credentials cannot be asked.
        CannotTell = "cannot_tell",
        /// The credentials are good no more.
        Expired = "expired",
        /// Too many wrong credentials.
        TooManyLogins = "too_many_logins",
        /// Too many connections in a short time.
        TooManyConnects = "too_many_connects",
        /// Too many messages in a short time.
        TooManyMessages = "too_many_messages",
        /// The user is blocked.
        Blocked = "blocked",
        /// The connect hook said no.
        Denied = "denied",
        /// The connect hook did not answer.
        HookUnavailable = "hook_unavailable",
        /// The operator has ended the session.
        Disconnected = "disconnected",
        /// As many connections as there may be.
        TooManyConnections = "too_many_connections",
        /// A payload broke a rule.
        InvalidPayload = "invalid_payload",
        /// A sender who is somebody else.
        ForeignSender = "foreign_sender",
        /// No answer to a ping.
        Unanswered = "unanswered",
        /// Nothing sent for longer than allowed.
        Inactive = "inactive",
        /// The store has failed or is closed.
        Store = "store",
        /// Messages were delivered elsewhere, or the mailbox was reset.
        Overtaken = "overtaken",
        /// Too much was pending.
        Overloaded = "overloaded",
        /// The server cut it at the end of a drain.
        Aborted = "aborted",
    }
}

reasons! {
    /// Why a request was refused, or a connection before it was one.
    RefusalReason {
        /// A page of an origin that may not connect.
        Origin = "origin",
        /// A host name that is not served.
        Host = "host",
        /// The request has no endpoint, or is no WebSocket handshake.
        Handshake = "handshake",
        /// No valid credentials.
        Unauthorized = "unauthorized",
        /// Whoever knows about the credentials cannot be asked.
        CannotTell = "cannot_tell",
        /// Too many wrong credentials.
        TooManyLogins = "too_many_logins",
        /// Too many requests in a short time.
        TooManyRequests = "too_many_requests",
    }
}

/// Counts of refusals and closes since the start.
#[derive(Debug)]
pub(crate) struct Reasons {
    closes: Box<[Counter]>,
    refusals: Box<[Counter]>,
    /// Requests that were answered: by listener, then by the first digit of the status.
    answers: [[AtomicU64; 5]; 2],
    access_log: OnceLock<LineLog>,
}

/// The listeners of [`Reasons::answers`], and their classes of statuses.
const LISTENERS: [&str; 2] = ["messaging", "rest"];
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

struct Counter {
    count: AtomicU64,
    log: Sampled,
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count.fmt(f)
    }
}

impl Default for Reasons {
    fn default() -> Self {
        let counters = |count: usize| {
            let counter = || Counter {
                count: AtomicU64::new(0),
                log: Sampled::new(),
            };
            std::iter::repeat_with(counter).take(count).collect()
        };
        Self {
            closes: counters(CloseReason::ALL.len()),
            refusals: counters(RefusalReason::ALL.len()),
            answers: Default::default(),
            access_log: OnceLock::new(),
        }
    }
}

impl Reasons {
    /// Counts the end of a WebSocket. Returns how many lines were left out before this one, if it is to be logged.
    fn closed(&self, reason: CloseReason) -> Option<u64> {
        let counter = self.closes.get(reason as usize)?;
        counter.count.fetch_add(1, Relaxed);
        if reason.is_ordinary() {
            return None;
        }
        counter.log.admit()
    }

    /// Counts a refusal; `what` is told in the log, at most once a second and reason.
    pub(crate) fn refused(&self, reason: RefusalReason, what: &dyn fmt::Debug) {
        let Some(counter) = self.refusals.get(reason as usize) else {
            return;
        };
        counter.count.fetch_add(1, Relaxed);
        if let Some(left_out) = counter.log.admit() {
            let reason = reason.label();
            tracing::info!(reason, client = ?what, left_out, "request refused");
        }
    }

    /// The same for a request that was answered with this status.
    pub(crate) fn refused_with(&self, status: u16, what: &dyn fmt::Debug) {
        let reason = match status {
            401 => RefusalReason::Unauthorized,
            403 => RefusalReason::Origin,
            421 => RefusalReason::Host,
            429 => RefusalReason::TooManyRequests,
            _ => RefusalReason::Handshake,
        };
        self.refused(reason, what);
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(&self, listener: &'static str, status: u16) {
        let listener = usize::from(listener != LISTENERS[0]);
        let class = usize::from(status / 100).clamp(1, STATUSES.len()) - 1;
        self.answers[listener][class].fetch_add(1, Relaxed);
    }

    /// Requests that were answered, by listener and class of the status.
    pub(crate) fn answers(&self) -> impl Iterator<Item = ([&'static str; 2], u64)> {
        let listeners = LISTENERS.iter().zip(&self.answers);
        listeners.flat_map(|(listener, counts)| {
            let of = STATUSES.iter().zip(counts);
            of.map(|(status, count)| ([*listener, *status], count.load(Relaxed)))
        })
    }

    /// Where WebSockets and requests are told; to be said once, at the start.
    pub(crate) fn tell(&self, log: LineLog) {
        self.access_log.get_or_init(|| log);
    }

    pub(crate) fn access_log(&self) -> &LineLog {
        static NONE: LineLog = LineLog::none();
        self.access_log.get().unwrap_or(&NONE)
    }

    /// Ends of WebSockets, by label.
    pub(crate) fn closes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.closes.iter().map(|it| it.count.load(Relaxed));
        CloseReason::ALL.iter().map(|it| it.label()).zip(counts)
    }

    /// Refusals, by label.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.refusals.iter().map(|it| it.count.load(Relaxed));
        RefusalReason::ALL.iter().map(|it| it.label()).zip(counts)
    }
}

impl CloseReason {
    /// It happens all day, and says nothing about the server or an attack.
    fn is_ordinary(self) -> bool {
        matches!(self, Self::Client | Self::Lost | Self::Shutdown)
    }

    /// Of a session that the server ends.
    pub(crate) fn of_ending<E>(ending: &Ending<'_, E>) -> Self {
        match ending {
            Ending::Session(reason) => Self::of_session(*reason),
            Ending::Refused(error) => match error {
                ConnectError::StoreClosed => Self::Store,
                ConnectError::Stopping => Self::Shutdown,
                ConnectError::TooManySessionsOfUser | ConnectError::TooManySessions | _ => {
                    Self::TooManyConnections
                }
            },
            Ending::Request(_) => Self::InvalidRequest,
            Ending::Unauthorized => Self::Unauthorized,
            Ending::CannotTell => Self::CannotTell,
            Ending::Expired => Self::Expired,
            Ending::Blocked(_) => Self::Blocked,
            Ending::Denied { .. } => Self::Denied,
            Ending::Dismissed(dismissal) => match dismissal.cause {
                DismissalCause::Blocked => Self::Blocked,
                DismissalCause::Operator | _ => Self::Disconnected,
            },
            Ending::TooMany { .. } => Self::TooManyMessages,
            Ending::Invalid(_) => Self::InvalidPayload,
            Ending::ForeignSender => Self::ForeignSender,
            Ending::Unanswered => Self::Unanswered,
            Ending::Inactive { .. } => Self::Inactive,
            // Whatever is added later has to be told apart here.
            _ => Self::Aborted,
        }
    }

    fn of_session(reason: Reason) -> Self {
        match reason {
            Reason::StoreFailed | Reason::StoreStuck | Reason::StoreClosed => Self::Store,
            Reason::Overtaken | Reason::MailboxReset => Self::Overtaken,
            Reason::Overloaded | _ => Self::Overloaded,
        }
    }

    /// Of a socket that has ended by itself.
    pub(crate) fn of_error(error: &RecvError) -> Self {
        match error {
            RecvError::Protocol(error) if error.close_code().0 == 1009 => Self::TooLarge,
            RecvError::Protocol(_) => Self::Protocol,
            RecvError::TimedOut => Self::TimedOut,
            RecvError::Lost | RecvError::Io(_) | _ => Self::Lost,
        }
    }

    /// Of a socket whose close the library or a drain has begun.
    pub(crate) fn of_close(ours: &CloseFrame) -> Self {
        match ours.code.0 {
            1001 => Self::Shutdown,
            1009 => Self::TooLarge,
            1013 => Self::Memory,
            4010 => Self::Unanswered,
            _ => Self::Protocol,
        }
    }
}

/// Counts one WebSocket when it ends, whatever the way.
#[derive(Debug)]
pub(crate) struct Tally {
    reasons: Arc<Reasons>,
    reason: Option<CloseReason>,
    /// For the log.
    client: Option<std::net::IpAddr>,
    /// For the access log, if there is one.
    visit: Option<Box<Visit>>,
}

impl Tally {
    pub(crate) fn new(reasons: &Arc<Reasons>, client: Option<std::net::IpAddr>) -> Self {
        Self {
            reasons: Arc::clone(reasons),
            reason: None,
            client,
            visit: None,
        }
    }

    /// The same for a request, whose end the access log tells too.
    pub(crate) fn of(
        reasons: &Arc<Reasons>,
        client: Option<std::net::IpAddr>,
        request: &Request,
    ) -> Self {
        let mut tally = Self::new(reasons, client);
        tally.visit = Visit::begin(reasons.access_log(), client, request);
        tally
    }

    /// What the access log will tell, if there is one.
    pub(crate) fn visit(&mut self) -> Option<&mut Visit> {
        self.visit.as_deref_mut()
    }

    /// Notes the close code that was sent or received; the first one counts.
    pub(crate) fn note_code(&mut self, code: u16) {
        if let Some(visit) = self.visit() {
            visit.code.get_or_insert(code);
        }
    }

    /// Notes why it ends; the first reason counts.
    pub(crate) fn note(&mut self, reason: CloseReason) {
        self.reason.get_or_insert(reason);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let reason = self.reason.unwrap_or(CloseReason::Aborted);
        if let Some(visit) = &self.visit {
            visit.ended(reason);
        }
        if let Some(left_out) = self.reasons.closed(reason) {
            let (reason, client) = (reason.label(), self.client);
            tracing::info!(reason, ?client, left_out, "connection closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise G4.
    #[test]
    fn a_websocket_is_counted_once_by_the_first_reason_noted() {
        let reasons = Arc::<Reasons>::default();
        let mut tally = Tally::new(&reasons, None);
        tally.note(CloseReason::Blocked);
        tally.note(CloseReason::Lost);
        drop(tally);
        drop(Tally::new(&reasons, None));
        let counted: Vec<_> = reasons.closes().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("blocked", 1), ("aborted", 1)]);
    }

    #[test]
    fn labels_are_told_apart() {
        let mut labels: Vec<_> = CloseReason::ALL.iter().map(|it| it.label()).collect();
        let count = labels.len();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), count);
    }
}
