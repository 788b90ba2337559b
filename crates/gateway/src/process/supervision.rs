//! [`Supervision`]: when a process is started, asked to end, killed and started again.
//!
//! ```text
//!              started            ready
//!   Starting ──────────▶ Unready ───────▶ Ready
//!    ▲  │                   │               │    asked to end, ended by itself,
//!    │  │ not startable     │               │    or not ready in time: SIGTERM
//!    │  ▼                   ▼               ▼
//!   Waiting ◀────────────── Ending (after a while: SIGKILL) ──▶ Stopped
//! ```
//!
//! In: what happened to the process, commands, the time. Out: [`Action`]s for the task that owns the
//! process. Invariants: a process is started only when nothing is left of the one before; every unasked end is
//! followed by a wait of at least half of [`Process::backoff_min`]; in a crash loop it is
//! [`Process::backoff_max`], until the process has been ready for a whole [`Process::crash_window`].

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::settings::Process;

/// The life of a supervised process, without the process.
///
/// After every call drain [`poll_action`](Self::poll_action), then read
/// [`poll_timeout`](Self::poll_timeout). [`Action::Start`] is answered with
/// [`handle_started`](Self::handle_started) or [`handle_start_failed`](Self::handle_start_failed); what
/// has started ends with [`handle_exited`](Self::handle_exited), then
/// [`handle_gone`](Self::handle_gone). Events that do not fit the state change nothing.
#[derive(Debug)]
pub(super) struct Supervision {
    settings: Arc<Process>,
    condition: Condition,
    actions: VecDeque<Action>,
    /// Unasked ends in a row, none of them after a time of being ready.
    failures: u32,
    /// The latest unasked ends, at most [`Process::crash_loop`].
    ends: VecDeque<Instant>,
    crash_loop: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start the process.
    Start,
    /// Ask the process, and all that it started, to end.
    Terminate,
    /// End them.
    Kill,
    /// Do not wait any longer for their output.
    Abandon,
    /// Tell that it was not ready in time.
    ReportNotReady,
    /// Tell loudly that it ends again and again.
    ReportCrashLoop,
    /// Tell that the crash loop is over.
    ReportRecovered,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Started, or about to be, but not ready.
    Starting,
    Ready {
        since: Instant,
    },
    Ending,
    /// `None`: for ever.
    Waiting {
        until: Option<Instant>,
    },
    Stopped,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    /// [`Action::Start`] is given, and not answered.
    Starting { stop: bool },
    /// Runs.
    Unready { until: Option<Instant> },
    /// Runs, and has shown that it works.
    Ready { since: Instant },
    /// Has been asked to end, or has ended without all that it started.
    Ending { next: Next, step: Step },
    /// Nothing runs.
    Waiting { until: Option<Instant> },
    /// Nothing runs, for good.
    Stopped,
}

/// What follows an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    BackOff,
    Start,
    Stop,
}

/// How hard it was asked to end.
#[derive(Clone, Copy, Debug)]
enum Step {
    Terminated { kill_at: Option<Instant> },
    Killed { abandon_at: Option<Instant> },
    Abandoned,
}

impl Supervision {
    /// Wants the process started at once.
    pub(super) fn new(settings: Arc<Process>) -> Self {
        Self {
            settings,
            condition: Condition::Starting { stop: false },
            actions: VecDeque::from([Action::Start]),
            failures: 0,
            ends: VecDeque::new(),
            crash_loop: false,
        }
    }

    /// The process runs.
    pub(super) fn handle_started(&mut self, now: Instant) {
        let Condition::Starting { stop } = self.condition else {
            return;
        };
        let until = now.checked_add(self.settings.ready_timeout);
        self.condition = Condition::Unready { until };
        if stop {
            self.terminate(now, Next::Stop);
        }
    }

    /// There is no process. `random` is the jitter, uniform over all values.
    pub(super) fn handle_start_failed(&mut self, now: Instant, random: u32) {
        match self.condition {
            Condition::Starting { stop: true } => self.condition = Condition::Stopped,
            Condition::Starting { stop: false } => {
                self.count_end(now);
                self.back_off(now, random);
            }
            Condition::Unready { .. }
            | Condition::Ready { .. }
            | Condition::Ending { .. }
            | Condition::Waiting { .. }
            | Condition::Stopped => {}
        }
    }

    /// The process works.
    pub(super) fn handle_ready(&mut self, now: Instant) {
        if let Condition::Unready { .. } = self.condition {
            self.condition = Condition::Ready { since: now };
        }
    }

    /// The process has ended; others that it started may be left.
    pub(super) fn handle_exited(&mut self, now: Instant) {
        self.recover(now);
        if let Condition::Unready { .. } | Condition::Ready { .. } = self.condition {
            self.fail(now);
        }
    }

    /// Nothing is left of the process and of all that it started. `random` is the jitter, uniform over
    /// all values.
    pub(super) fn handle_gone(&mut self, now: Instant, random: u32) {
        let Condition::Ending { next, .. } = self.condition else {
            return;
        };
        match next {
            Next::BackOff => self.back_off(now, random),
            Next::Start => self.start(),
            Next::Stop => self.condition = Condition::Stopped,
        }
    }

    /// Some time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.recover(now);
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        match self.condition {
            Condition::Unready { .. } => {
                self.actions.push_back(Action::ReportNotReady);
                self.fail(now);
            }
            Condition::Waiting { .. } => self.start(),
            Condition::Ending { next, step } => {
                let step = match step {
                    Step::Terminated { .. } => {
                        self.actions.push_back(Action::Kill);
                        Step::Killed {
                            abandon_at: now.checked_add(LAST_WORDS),
                        }
                    }
                    Step::Killed { .. } | Step::Abandoned => {
                        self.actions.push_back(Action::Abandon);
                        Step::Abandoned
                    }
                };
                self.condition = Condition::Ending { next, step };
            }
            Condition::Starting { .. } | Condition::Ready { .. } | Condition::Stopped => {}
        }
    }

    /// The operator wants it restarted: asked to end if it runs, started without waiting, and its past
    /// forgotten. Does nothing once it is to stop.
    pub(super) fn restart(&mut self, now: Instant) {
        match &mut self.condition {
            Condition::Unready { .. } | Condition::Ready { .. } => {
                self.forget();
                self.terminate(now, Next::Start);
            }
            Condition::Ending { next, .. } => {
                if *next != Next::Stop {
                    *next = Next::Start;
                    self.forget();
                }
            }
            Condition::Waiting { .. } => {
                self.forget();
                self.start();
            }
            Condition::Starting { .. } | Condition::Stopped => {}
        }
    }

    /// It is not wanted any longer.
    pub(super) fn stop(&mut self, now: Instant) {
        match &mut self.condition {
            Condition::Starting { stop } => *stop = true,
            Condition::Unready { .. } | Condition::Ready { .. } => {
                self.terminate(now, Next::Stop);
            }
            Condition::Ending { next, .. } => *next = Next::Stop,
            Condition::Waiting { .. } | Condition::Stopped => self.condition = Condition::Stopped,
        }
    }

    /// Returns what is to be done now.
    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.condition {
            Condition::Unready { until } | Condition::Waiting { until } => until,
            Condition::Ready { since } if self.crash_loop => {
                since.checked_add(self.settings.crash_window)
            }
            Condition::Ending { step, .. } => match step {
                Step::Terminated { kill_at } => kill_at,
                Step::Killed { abandon_at } => abandon_at,
                Step::Abandoned => None,
            },
            Condition::Ready { .. } | Condition::Starting { .. } | Condition::Stopped => None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.condition {
            Condition::Starting { .. } | Condition::Unready { .. } => Phase::Starting,
            Condition::Ready { since } => Phase::Ready { since },
            Condition::Ending { .. } => Phase::Ending,
            Condition::Waiting { until } => Phase::Waiting { until },
            Condition::Stopped => Phase::Stopped,
        }
    }

    /// It ended too often, and has not been ready for long since.
    pub(super) fn in_crash_loop(&self) -> bool {
        self.crash_loop
    }

    /// An end that nobody asked for.
    fn fail(&mut self, now: Instant) {
        self.count_end(now);
        self.terminate(now, Next::BackOff);
    }

    /// Asks what runs to end. It may have done so by itself, but not what it started.
    fn terminate(&mut self, now: Instant, next: Next) {
        let kill_at = now.checked_add(self.settings.stop_timeout);
        let step = Step::Terminated { kill_at };
        self.condition = Condition::Ending { next, step };
        self.actions.push_back(Action::Terminate);
    }

    fn start(&mut self) {
        self.condition = Condition::Starting { stop: false };
        self.actions.push_back(Action::Start);
    }

    fn count_end(&mut self, now: Instant) {
        let was_stable = match self.condition {
            Condition::Ready { since } => now.saturating_duration_since(since) >= STABLE_AFTER,
            Condition::Starting { .. }
            | Condition::Unready { .. }
            | Condition::Ending { .. }
            | Condition::Waiting { .. }
            | Condition::Stopped => false,
        };
        self.failures = if was_stable {
            1
        } else {
            self.failures.saturating_add(1)
        };
        if self.settings.crash_loop == 0 {
            return;
        }
        let ends_max = usize::try_from(self.settings.crash_loop).unwrap_or(usize::MAX);
        let window = self.settings.crash_window;
        self.ends.push_back(now);
        while self.ends.len() > ends_max {
            self.ends.pop_front();
        }
        let oldest = self.ends.front();
        let spread = oldest.map(|at| now.saturating_duration_since(*at));
        let too_often = self.ends.len() == ends_max && spread.is_some_and(|it| it <= window);
        if too_often && !self.crash_loop {
            self.crash_loop = true;
            self.actions.push_back(Action::ReportCrashLoop);
        }
    }

    fn back_off(&mut self, now: Instant, random: u32) {
        let wait = if self.crash_loop {
            self.settings.backoff_max
        } else {
            self.backoff(random)
        };
        let until = now.checked_add(wait);
        self.condition = Condition::Waiting { until };
    }

    /// The step, less up to a half: doubled with each failure.
    fn backoff(&self, random: u32) -> Duration {
        let doublings = self.failures.saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let step = self.settings.backoff_min.saturating_mul(factor);
        let step = step.min(self.settings.backoff_max);
        // 16 bits are enough, and cannot overflow.
        let jitter = step / 2 / (1 << 16) * (random >> 16);
        step.saturating_sub(jitter)
    }

    /// The crash loop is over once a whole window was free of ends.
    fn recover(&mut self, now: Instant) {
        let Condition::Ready { since } = self.condition else {
            return;
        };
        let stable = now.saturating_duration_since(since) >= self.settings.crash_window;
        if stable && self.crash_loop {
            self.forget();
            self.actions.push_back(Action::ReportRecovered);
        }
    }

    fn forget(&mut self) {
        self.failures = 0;
        self.ends.clear();
        self.crash_loop = false;
    }
}

/// Ready for so long, and the back-off begins anew.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// After SIGKILL, for the output that is still on its way. Only a process that has left the group keeps it open
/// longer.
const LAST_WORDS: Duration = Duration::from_secs(1);
