//! The tables of an endpoint, each key declared once with default, range and documentation.

use std::{path::PathBuf, time::Duration};

use tidewire::ws::AnswerLimits;
use tidewire_table::{
    DAY, EmptyIsNone, HOUR, MILLISECOND, MINUTE, Members, SECOND, Size, Texts, choice, table,
};

table! {
    /// How an upstream is opened.
    pub struct Opening {
        /// Time for one attempt to open an upstream.
        timeout: Duration = SECOND * 5, in MILLISECOND * 10..=MINUTE * 5, was "within";
        /// Further upstreams that are tried before the client hears of it.
        retries: u32 = 2, in 0..=100;
        /// Size of the head of an upstream's answer to the handshake, its cookies included; a larger one is answered
        /// with 502.
        head_bytes_max: usize as Size = 64 << 10, in 1 << 10..=1 << 20;
        /// Header fields in it.
        head_fields_max: usize = 128, in 8..=1024;
        /// Size of the body of an upstream's refusal that is passed on; of a larger one the client gets status and
        /// header fields.
        body_bytes_max: usize as Size = 64 << 10, in 0..=1 << 24;
    }
}

impl Opening {
    /// Returns how much an upstream may answer.
    pub(crate) fn answer_limits(&self) -> AnswerLimits {
        let mut limits = AnswerLimits::default();
        limits.head.bytes_max = self.head_bytes_max;
        limits.head.fields_max = self.head_fields_max;
        limits.body_bytes_max = self.body_bytes_max;
        limits
    }
}

table! {
    /// Active checks: a WebSocket handshake, a ping, its pong, a close. A supervised process is asked in the same way
    /// whether it is ready.
    pub struct Health {
        /// Switches the checks on.
        enabled: bool = true;
        /// Time from the beginning of a check to that of the next, less up to 10 % jitter; after a check that failed,
        /// a fifth of it.
        interval: Duration = SECOND * 5, in MILLISECOND * 100..=HOUR, was "every";
        /// Time for a whole check; at most `interval`.
        timeout: Duration = SECOND * 2, in MILLISECOND * 10..=MINUTE * 5, was "within";
        /// Path and query instead of the upstream's own; empty = its own.
        path: Option<String> as EmptyIsNone = None;
        /// Host header of the checks; empty = that of `request_headers`, or the upstream's own address.
        host: Option<String> as EmptyIsNone = None;
        /// Subprotocols that the checks offer, best first, for upstreams that insist on one.
        subprotocols: Vec<String>;
        /// Further headers of the checks, such as credentials or an Origin: set, or taken away by an empty text.
        /// They go over `request_headers`, which checks carry, too.
        headers: Members<String> as Texts, example "Origin = \"https://example.org\"";
        /// HTTP statuses other than 101 that count as success, for upstreams that want what no check can show; for
        /// example `[401]`.
        statuses: Vec<u16>;
        /// Checks that fail in a row until an upstream counts as unhealthy.
        unhealthy_after: u32 = 2, in 1..=100;
        /// Checks that succeed in a row until it counts as healthy again; the very first one makes it healthy at once.
        healthy_after: u32 = 1, in 1..=100;
        /// What becomes of the connections of an upstream that turns unhealthy: `"move"` (those that can go on with
        /// another upstream leave it: resume, SMHandshake; the others stay), `"keep"` (all stay), or `"close"` (the
        /// others are closed with 1012).
        on_unhealthy: OnUnhealthy = OnUnhealthy::Move;
    }
}

choice! {
    /// What becomes of the open connections of an upstream when its active checks find it unhealthy.
    #[derive(Default)]
    pub enum OnUnhealthy {
        /// Those that can go on with another upstream ([`Resume`]; every route of `SMHandshake`) leave it at once.
        /// The others stay: a failed check cuts no working socket.
        #[default]
        Move = "move",
        /// All stay, until the connection itself is found broken.
        Keep = "keep",
        /// Those that can go on elsewhere leave it, the others are closed with 1012.
        Close = "close",
    }
}

impl OnUnhealthy {
    /// Whether a connection leaves; `movable`: its client's socket outlives it.
    pub(crate) fn leaves(self, movable: bool) -> bool {
        match self {
            Self::Move => movable,
            Self::Keep => false,
            Self::Close => true,
        }
    }
}

table! {
    /// An upstream that cannot be reached, or does not answer when the gateway asks itself, gets no connections for a
    /// while; on unless switched off. What clients may have caused only makes the gateway ask.
    pub struct Ejection {
        /// Switches ejection on.
        enabled: bool = true;
        /// Openings that fail in a row until an upstream is ejected, or, where a client may be the cause, asked
        /// whether it answers.
        failures: u32 = 5, in 1..=1000;
        /// How long at first, doubled with each further time; then one opening is let through as a trial,
        /// and the gateway asks.
        ejected_for: Duration = SECOND, in MILLISECOND * 10..=DAY;
        /// How long at most; at least `ejected_for`.
        ejected_max: Duration = SECOND * 30, in MILLISECOND * 10..=DAY;
        /// Most upstreams that may be ejected at a time, in percent; one may be always.
        percent_max: u32 = 50, in 0..=100;
    }
}

table! {
    /// Bounds for one client. Where a limit is set, the gateway reads the messages.
    pub struct Rates {
        /// Messages of one client per second, with a burst of twice that; 0 = no limit.
        messages_per_second: u32 = 0;
        /// Payload bytes of one client per second, with a burst of twice that; 0 = no limit.
        bytes_per_second: u64 as Size = 0, in 0..=1 << 40;
        /// Size of the largest message of either side; 0 = no limit.
        message_bytes_max: usize as Size = 0, in 0..=1 << 30;
    }
}

impl Rates {
    /// Whether messages have to be looked at.
    pub fn any(&self) -> bool {
        self.messages_per_second > 0 || self.bytes_per_second > 0 || self.message_bytes_max > 0
    }
}

table! {
    /// The client's socket outlives its backend.
    pub struct Resume {
        /// Switches it on.
        enabled: bool = true;
        /// Time until the backend must be back; then the client is closed with 1014. A backend that is lost again
        /// within a second, without having said anything, has not come back.
        timeout: Duration = SECOND * 30, in MILLISECOND * 100..=DAY, was "within";
        /// Wait before the first attempt; doubled with each, jittered.
        backoff_min: Duration = MILLISECOND * 100, in MILLISECOND * 10..=HOUR;
        /// Longest wait; at least `backoff_min`.
        backoff_max: Duration = SECOND * 30, in MILLISECOND * 10..=HOUR;
        /// Messages kept meanwhile.
        messages_max: usize = 1000, in 1..=1_000_000;
        /// Bytes kept meanwhile; also the largest message.
        bytes_max: usize as Size = 1 << 20, in 1 << 10..=1 << 30;
        /// If there is no more room: `"close"` (with 1013), or `"wait"` (the client is not read).
        overflow: Overflow = Overflow::Close;
        /// Sent again to a new backend: `"unsent"` (never twice, some may be lost), or `"unconfirmed"` by a pong
        /// (never lost, some may come twice).
        replay: Replay = Replay::Unsent;
        /// Close codes of a backend that count as its loss, each 1000 to 4999; others go to the client.
        codes: Vec<u16> = vec![1001, 1006, 1012, 1013];
    }
}

choice! {
    /// What if more messages come than can be kept.
    #[derive(Default)]
    pub enum Overflow {
        /// The client is closed with 1013.
        #[default]
        Close = "close",
        /// The client is not read until there is room.
        Wait = "wait",
    }
}

choice! {
    /// What is sent again to a new backend.
    #[derive(Default)]
    pub enum Replay {
        /// What was not wholly given to the system: never twice, but what was on its way to a backend that dies may
        /// be lost.
        #[default]
        Unsent = "unsent",
        /// What no pong has confirmed: never lost, but what a dying backend has read may come twice.
        Unconfirmed = "unconfirmed",
    }
}

choice! {
    /// Who negotiates compression of pinned connections.
    #[derive(Default)]
    pub enum Extensions {
        /// Client and upstream, through the gateway (needs a relay that does not look inside).
        #[default]
        EndToEnd = "end-to-end",
        /// Each side with the gateway.
        PerHop = "per-hop",
    }
}

choice! {
    /// Who answers an upstream's pings, where the gateway reads the messages. A relay of bytes passes pings in any
    /// case.
    #[derive(Default)]
    pub enum PingAnswers {
        /// The client, when the upstream's answer to the handshake says `Tidewire-Confirm: pong`, as a Tidewire
        /// messaging server's does; otherwise the gateway.
        #[default]
        Auto = "auto",
        /// The client: a pong tells the upstream that the client has read all before. A client that is slow, or gone,
        /// looks to the upstream as it is.
        EndToEnd = "end-to-end",
        /// The gateway, at once: a pong tells the upstream that the gateway lives, and nothing about the client.
        Gateway = "gateway",
    }
}

table! {
    /// A process to run and to restart when it ends.
    pub struct Process {
        /// Switches the process on.
        enabled: bool = true;
        /// Program and arguments; there is no shell.
        command: Vec<String>;
        /// Its working directory; empty = the gateway's own.
        directory: Option<PathBuf> as EmptyIsNone = None;
        /// Time until it takes a WebSocket handshake; then it is ended and started again.
        ready_timeout: Duration = SECOND * 30, in MILLISECOND * 100..=HOUR, was "ready_within";
        /// Wait before the first restart; doubled with each, jittered.
        backoff_min: Duration = MILLISECOND * 100, in MILLISECOND * 10..=HOUR;
        /// Longest wait; at least `backoff_min`.
        backoff_max: Duration = SECOND * 30, in MILLISECOND * 10..=HOUR;
        /// So many ends within `crash_window` are a crash loop: reported, and the next restart waits longest.
        crash_loop: u32 = 5, in 1..=1000;
        /// See `crash_loop`. Ready for so long, and the crash loop is over.
        crash_window: Duration = MINUTE, in SECOND..=DAY;
        /// Time from SIGTERM to SIGKILL.
        stop_timeout: Duration = SECOND * 10, in Duration::ZERO..=HOUR, was "stop_within";
        /// Further environment variables.
        environment: Members<String> as Texts, example "LOG_LEVEL = \"info\"";
    }
}

impl Process {
    /// A program and its arguments, everything else at its default.
    pub fn new<A: Into<String>>(command: impl IntoIterator<Item = A>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}
