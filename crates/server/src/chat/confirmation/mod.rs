//! When is a message with the peer?
//!
//! In: what was queued on the socket, pongs, bytes that moved, the time. Out: [`Action`]s: pings to send,
//! marks that are proved, the window of what may be unproved, and when to give the peer up. Sans-I/O.
//!
//! A ping goes out behind the messages; its pong proves that the peer's WebSocket library has read
//! everything before it (RFC 6455 section 5.5.2). **Nothing else confirms a message**, unless the operator
//! trusts the system's send buffer (`server.confirm = "written"`).
//!
//! - The first ping goes out before any message. A peer that answers no ping for the whole patience although
//!   it takes our bytes is *mute*: it gets messages without being asked for proofs, they stay in the
//!   mailbox, and it is not closed for it. Any later pong corrects that.
//! - Unproved messages have a window ([`Window`]) that begins small, grows with proofs and shrinks
//!   when nothing moved for long before one, so that a peer whose pongs wait behind its work proves something before the patience is over.
//! - The patience is about standstill: bytes that the system takes and bytes that come in renew it.
//! - A pong proves by the payload of our ping, wherever it stands in it: some peers put bytes before it. Some
//!   answer with empty pongs, and others send empty pongs as a heartbeat without reading: so an
//!   empty one proves nothing, but two within [`PAIR_WITHIN`] for two pings sent at once do, from a
//!   peer that has never shown a payload.
//!
//! ```text
//!              pong with our payload            two empty pongs for two pings
//!   Unknown ───────────────────────▶ Echoes       Unknown ──▶ Empty (until a payload is seen: Echoes)
//!      │ patience over, bytes taken     ▲
//!      └────────────▶ Mute ─────────────┘ any pong that proves
//! ```

mod pings; // what was sent and not answered
mod window; // how much may be unproved

#[cfg(test)]
mod model; // random peers, silences and clocks
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tidewire_hub::Mark;
use tokio::time::Instant;

use self::pings::{Pings, Pong, SentPing};
pub(super) use self::{pings::seed, window::Window};

/// What the connection is to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The peer answers pings: a session that waits for that may begin.
    Answers,
    /// The peer has not answered in time for a session that waits for it.
    BeginUnanswered,
    /// Everything up to the mark has arrived.
    Confirm(Mark),
    /// A peer that never answers pings has been given everything up to the mark: it need not be remembered.
    Forget(Mark),
    /// From now on what was forgotten waits for [`Action::Release`].
    Hold,
    /// What was held was acknowledged by the peer's system, and the peer has talked since.
    Release,
    /// No more than this is to be unproved.
    SetWindow(Window),
    /// Send a ping with this payload.
    Ping([u8; 8]),
    /// Nothing has moved for too long.
    GiveUp,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// How long nothing may move while a ping is unanswered.
    pub(crate) pong_timeout: Duration,
    /// Silence after which a ping goes out; `None`: never.
    pub(crate) ping_interval: Option<Duration>,
    /// A peer whose system has acknowledged nothing for this long has lost its connection.
    pub(crate) acknowledged_timeout: Duration,
    /// How long a peer has to be mute before anything of it is released.
    pub(crate) unproven_kept: Duration,
}

/// How a connection begins.
#[derive(Clone, Debug)]
pub(super) struct Beginning {
    /// Whether proofs are asked for at all.
    pub(super) by_pong: bool,
    pub(super) timing: Arc<Timing>,
    /// Sessions of the same user in a row that ended without a proof.
    pub(super) unproven_sessions: u32,
    /// The session waits for the first pong.
    pub(super) is_waiting: bool,
    /// The largest window.
    pub(super) window_max: Window,
    /// Makes the payloads of this connection's pings its own.
    pub(super) seed: u32,
}

/// What is known of the peer's pongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// Nothing yet.
    Unknown,
    /// They carry the ping's payload.
    Echoes,
    /// They are empty.
    Empty,
    /// There are none.
    Mute,
}

#[derive(Debug)]
pub(super) struct Confirmation {
    by_pong: bool,
    timing: Arc<Timing>,
    /// How long nothing may move, after what earlier sessions have shown.
    patience: Duration,
    peer: Peer,
    /// A pong came that no ping of ours had asked for: empty ones mean nothing.
    sends_heartbeats: bool,
    pings: Pings,
    window: Window,
    window_max: Window,
    queued: Queued,
    covered: Mark,
    confirmed: Mark,
    confirmed_bytes: u64,
    moved_at: Instant,
    /// The longest time that nothing moved since the unanswered pings.
    standstill: Duration,
    received_at: Instant,
    /// For peers that are not as most are; boxed, because those are idle.
    unusual: Option<Box<Unusual>>,
    due: Due,
}

/// What few connections need.
#[derive(Debug, Default)]
struct Unusual {
    /// The session waits for the first pong until then.
    waits_until: Option<Instant>,
    /// When the last empty pong came that may be the first of two.
    first_empty_at: Option<Instant>,
    /// The peer became mute then.
    mute_since: Option<Instant>,
    /// For a mute peer: what was written when, to be released later.
    held: Option<(Mark, Instant)>,
    forgotten: Mark,
    released: Mark,
}

/// How much was queued on the socket, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Queued {
    /// Messages.
    pub(super) mark: Mark,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Bytes of the socket's queue that the system has not taken.
    pub(super) unwritten: usize,
}

/// How a session that waits for the first pong begins.
#[derive(Clone, Copy, Debug)]
enum Begin {
    Answers,
    Unanswered,
}

/// Actions that were not taken yet.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an action of its own"
)]
struct Due {
    begin: Option<Begin>,
    /// Up to what has been [confirmed](Confirmation::confirmed).
    confirm: bool,
    forget: bool,
    hold: bool,
    release: bool,
    window: bool,
    pings: u8,
    give_up: bool,
}

impl Confirmation {
    /// The connection is open and idle: the first ping goes out.
    pub(super) fn new(beginning: Beginning, now: Instant) -> Self {
        let Beginning {
            by_pong,
            timing,
            unproven_sessions,
            is_waiting,
            window_max,
            seed,
        } = beginning;
        let doubled = unproven_sessions.min(PATIENCE_DOUBLINGS_MAX);
        let patience = timing.pong_timeout.saturating_mul(1 << doubled);
        let mut this = Self {
            by_pong,
            timing,
            patience,
            peer: Peer::Unknown,
            sends_heartbeats: false,
            pings: Pings::new(seed),
            window: Window::START.shrunk(unproven_sessions).at_most(window_max),
            window_max,
            queued: Queued::default(),
            covered: Mark::default(),
            confirmed: Mark::default(),
            confirmed_bytes: 0,
            moved_at: now,
            standstill: Duration::ZERO,
            received_at: now,
            unusual: None,
            due: Due::default(),
        };
        if is_waiting {
            this.unusual().waits_until = Some(now + patience.min(WAIT_MAX));
        }
        if by_pong {
            this.due.window = true;
            this.send_ping(now);
        }
        this
    }

    /// So much has been queued on the socket by now.
    pub(super) fn handle_queued(&mut self, queued: Queued, now: Instant) {
        self.queued = queued;
        if !self.by_pong {
            if queued.unwritten == 0 && queued.mark > self.confirmed {
                self.confirmed = queued.mark;
                self.due.confirm = true;
            }
            return;
        }
        match self.peer {
            Peer::Mute => self.hold(now),
            Peer::Unknown | Peer::Echoes | Peer::Empty => self.ask_for_proof(now),
        }
    }

    /// Bytes were received.
    pub(super) fn handle_received(&mut self, now: Instant) {
        self.received_at = now;
        self.moved(now);
    }

    /// The system took bytes of the socket's queue.
    pub(super) fn handle_written(&mut self, now: Instant) {
        self.moved(now);
    }

    fn moved(&mut self, now: Instant) {
        if let Some(ping) = self.pings.last() {
            let still_since = self.moved_at.max(ping.sent_at);
            self.standstill = self.standstill.max(now - still_since);
        }
        self.moved_at = now;
    }

    /// A pong came.
    pub(super) fn handle_pong(&mut self, payload: &[u8], now: Instant) {
        match self.pings.recognise(payload) {
            Pong::Ours(serial) => {
                let proved = self.pings.take_up_to(serial);
                self.answered(Peer::Echoes);
                if let Some(ping) = proved {
                    self.proved(ping, now);
                }
            }
            Pong::Empty => self.handle_empty_pong(now),
            Pong::Foreign => {}
        }
        if self.by_pong {
            self.ask_for_proof(now);
        }
    }

    fn handle_empty_pong(&mut self, now: Instant) {
        if self.peer == Peer::Echoes || self.sends_heartbeats {
            return;
        }
        if self.pings.count_empty_pong() {
            self.sends_heartbeats = true;
            if self.peer == Peer::Empty {
                self.peer = Peer::Unknown;
            }
            return;
        }
        if self.pings.is_empty() {
            return;
        }
        let first = self.unusual().first_empty_at.replace(now);
        let is_second = first.is_some_and(|first| now - first <= PAIR_WITHIN);
        if is_second && let Some(ping) = self.pings.take_pair() {
            self.unusual().first_empty_at = None;
            self.answered(Peer::Empty);
            self.proved(ping, now);
        } else if !self.pings.has_pair() {
            // The answer to a single ping, or a heartbeat: two at once tell them apart.
            self.unusual().first_empty_at = None;
            self.send_pings(true, now);
        }
    }

    fn answered(&mut self, peer: Peer) {
        if self.peer == Peer::Mute {
            // It was slow, not mute: what it has got without being asked is to be proved first.
            self.unusual().held = None;
            self.window = Window::START.at_most(self.window_max);
            self.due.window = self.by_pong;
        }
        let is_new = !matches!(self.peer, Peer::Echoes | Peer::Empty);
        self.peer = peer;
        if is_new {
            if let Some(unusual) = &mut self.unusual {
                unusual.waits_until = None;
            }
            self.due.begin = Some(Begin::Answers);
        }
    }

    /// The peer has read everything up to `ping`.
    fn proved(&mut self, ping: SentPing, now: Instant) {
        // How near it came to being given up.
        let still_since = self.moved_at.max(ping.sent_at);
        let standstill = std::mem::take(&mut self.standstill).max(now - still_since);
        let used = ping.mark.since(self.confirmed);
        // The proof of a message says how long such take; that of an idle peer, at least how long its pongs do.
        let least = if used > 0 {
            self.timing.pong_timeout
        } else {
            self.patience
        };
        self.patience = (standstill * 4).clamp(least, patience_max(&self.timing));
        let used_bytes = ping.bytes.saturating_sub(self.confirmed_bytes);
        let window = self
            .window
            .after_proof(used, used_bytes, standstill, self.patience)
            .at_most(self.window_max);
        if window != self.window && self.by_pong {
            self.window = window;
            self.due.window = true;
        }
        if ping.mark > self.confirmed {
            self.confirmed = ping.mark;
            self.confirmed_bytes = ping.bytes;
            self.due.confirm |= self.by_pong;
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        [
            self.standstill_at(),
            self.mute_at(),
            self.ping_at(),
            self.waits_until(),
            self.release_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The time is `now`. Spurious calls do nothing.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if is_due(self.standstill_at()) {
            self.due.give_up = true;
            return;
        }
        if is_due(self.mute_at()) {
            self.peer = Peer::Mute;
            self.unusual().mute_since = Some(now);
            self.window = self.window_max;
            self.due.window = self.by_pong;
            self.hold(now);
        }
        if is_due(self.waits_until()) {
            self.unusual().waits_until = None;
            self.due.begin = Some(Begin::Unanswered);
        }
        if is_due(self.ping_at()) {
            self.send_ping(now);
        }
        if is_due(self.release_at())
            && let Some((mark, _)) = self.unusual().held.take()
        {
            self.unusual().released = mark;
            self.due.release = true;
            self.hold(now);
        }
    }

    /// The next thing to do.
    pub(super) fn poll_action(&mut self) -> Option<Action> {
        let due = &mut self.due;
        if let Some(begin) = due.begin.take() {
            return Some(match begin {
                Begin::Answers => Action::Answers,
                Begin::Unanswered => Action::BeginUnanswered,
            });
        }
        if std::mem::take(&mut due.confirm) {
            return Some(Action::Confirm(self.confirmed));
        }
        if std::mem::take(&mut due.forget) {
            return Some(Action::Forget(self.queued.mark));
        }
        if std::mem::take(&mut due.release) {
            return Some(Action::Release);
        }
        if std::mem::take(&mut due.hold) {
            return Some(Action::Hold);
        }
        if std::mem::take(&mut due.window) {
            return Some(Action::SetWindow(self.window));
        }
        if due.pings > 0 {
            due.pings -= 1;
            return Some(Action::Ping(self.pings.payload(due.pings)));
        }
        std::mem::take(&mut due.give_up).then_some(Action::GiveUp)
    }

    /// Whether the peer has not answered any ping.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.peer, Peer::Unknown | Peer::Mute)
    }

    /// When nothing has moved for the whole patience although something should: a peer that answers
    /// pings owes a pong, or any peer's system has to take what is queued.
    fn standstill_at(&self) -> Option<Instant> {
        let sent_at = self.pings.last()?.sent_at;
        let owes = match self.peer {
            Peer::Echoes | Peer::Empty => true,
            Peer::Unknown | Peer::Mute => self.queued.unwritten > 0,
        };
        owes.then(|| self.moved_at.max(sent_at) + self.patience)
    }

    /// When a peer that takes our bytes and has not answered a ping counts as mute.
    fn mute_at(&self) -> Option<Instant> {
        let first = self.pings.first()?;
        (self.peer == Peer::Unknown && self.queued.unwritten == 0)
            .then(|| first.sent_at + self.patience)
    }

    /// When it has been quiet for so long that a sign of life is wanted.
    fn ping_at(&self) -> Option<Instant> {
        let interval = self.timing.ping_interval?;
        let quiet_since = match (self.peer, self.pings.last()) {
            (Peer::Mute, Some(last)) => self.received_at.max(last.sent_at),
            (_, Some(_)) => return None,
            (_, None) => self.received_at,
        };
        Some(quiet_since + interval)
    }

    /// When a mute peer's messages may go: it has sent something since, so that the path was alive behind them. A
    /// path that takes everything and carries nothing looks the same as a listener that never says a word.
    fn release_at(&self) -> Option<Instant> {
        let unusual = self.unusual.as_ref()?;
        let (_, written_at) = unusual.held?;
        let mute_since = unusual
            .mute_since
            .filter(|_| self.received_at > written_at)?;
        let acknowledged = written_at + self.timing.acknowledged_timeout;
        Some(acknowledged.max(mute_since + self.timing.unproven_kept))
    }

    /// Notes what a mute peer's system was given, so that it can be given more.
    fn hold(&mut self, now: Instant) {
        let (mark, unwritten) = (self.queued.mark, self.queued.unwritten);
        if !self.by_pong || unwritten > 0 {
            return;
        }
        let unusual = self.unusual();
        let is_more = mark > unusual.forgotten;
        let is_held = unusual.held.is_none() && mark > unusual.released;
        unusual.forgotten = mark;
        if is_held {
            unusual.held = Some((mark, now));
        }
        self.due.forget |= is_more;
        self.due.hold |= is_held;
    }

    fn waits_until(&self) -> Option<Instant> {
        self.unusual.as_ref()?.waits_until
    }

    fn unusual(&mut self) -> &mut Unusual {
        self.unusual.get_or_insert_default()
    }

    /// Sends a ping behind what no ping has followed yet, unless one is unanswered.
    fn ask_for_proof(&mut self, now: Instant) {
        if self.pings.is_empty() && self.queued.mark > self.covered {
            self.send_ping(now);
        }
    }

    fn send_ping(&mut self, now: Instant) {
        self.send_pings(self.peer == Peer::Empty, now);
    }

    fn send_pings(&mut self, is_pair: bool, now: Instant) {
        self.covered = self.queued.mark;
        self.pings.send(self.queued, is_pair, now);
        self.due.pings += if is_pair { 2 } else { 1 };
    }
}

/// The longest patience.
fn patience_max(timing: &Timing) -> Duration {
    timing
        .pong_timeout
        .saturating_mul(1 << PATIENCE_DOUBLINGS_MAX)
}

/// Two empty pongs no further apart answer two pings: the pings are adjacent in the stream, and heartbeats
/// come every few seconds at most.
const PAIR_WITHIN: Duration = Duration::from_millis(500);
/// How long a session waits for the first pong before it leaves out what was handed out often.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Each session in vain doubles the patience of the next one, up to 32 times the configured value.
const PATIENCE_DOUBLINGS_MAX: u32 = 5;
