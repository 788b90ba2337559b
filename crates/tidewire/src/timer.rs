//! [`Timer`]: something that happens once, later, unless it is cancelled.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{net::timer::after, runtime::Runtime};

/// A timer: expires at a time or after a span, can be waited for, cancelled and set anew. Clones are the same timer.
///
/// It goes by the steady clock: a change of the machine's time does not move it once it is set. In tests with tokio's
/// paused time it is as virtual as that.
///
/// ```
/// use std::time::Duration;
/// use tidewire::timer::{Expiry, Timer};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = Timer::after(Duration::from_secs(10));
/// assert_eq!(timer.wait().await, Expiry::Expired);
///
/// timer.set_after(Duration::from_secs(10));
/// let (cancelled, _) = tokio::join!(timer.wait(), async { timer.cancel() });
/// assert_eq!(cancelled, Expiry::Cancelled);
/// # }
/// ```
#[derive(Clone)]
pub struct Timer {
    setting: Arc<watch::Sender<Setting>>,
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    expires_at: Instant,
    /// Changes whenever waits end otherwise than by time.
    generation: u64,
}

/// How a wait for a timer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The time has come.
    Expired,
    /// It was cancelled, or set anew.
    Cancelled,
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("expires_in", &self.expires_in())
            .finish_non_exhaustive()
    }
}

impl Timer {
    /// Expires after `span`, from now.
    pub fn after(span: Duration) -> Self {
        let setting = Setting {
            expires_at: after(span),
            generation: 0,
        };
        Self {
            setting: Arc::new(watch::Sender::new(setting)),
        }
    }

    /// Expires at `time`; at once if that is past.
    pub fn at(time: SystemTime) -> Self {
        Self::after(until(time))
    }

    /// Sets it anew; waits that have begun end with [`Expiry::Cancelled`].
    pub fn set_after(&self, span: Duration) {
        self.setting.send_modify(|setting| {
            setting.expires_at = after(span);
            setting.generation += 1;
        });
    }

    /// As [`set_after`](Self::set_after), for a time.
    pub fn set_at(&self, time: SystemTime) {
        self.set_after(until(time));
    }

    /// Ends all waits that have begun with [`Expiry::Cancelled`].
    pub fn cancel(&self) {
        self.setting.send_modify(|setting| setting.generation += 1);
    }

    /// Waits until the time has come, or it is cancelled or set anew.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait(&self) -> Expiry {
        self.begin_wait().await
    }

    /// A wait for the time that is set now.
    fn begin_wait(&self) -> impl Future<Output = Expiry> + Send + use<> {
        let sender = Arc::clone(&self.setting);
        let mut receiver = sender.subscribe();
        let setting = *receiver.borrow_and_update();
        async move {
            let _kept = sender; // so that a change is the only reason for `wait_for` to end
            tokio::select! {
                biased;
                _changed = receiver.wait_for(|now| now.generation != setting.generation) => Expiry::Cancelled,
                () = sleep_until(setting.expires_at) => Expiry::Expired,
            }
        }
    }

    /// As [`wait`](Self::wait), blocking the thread. Must not be called where async code runs.
    ///
    /// # Errors
    /// The thread that drives blocking calls could not be started.
    #[cfg(feature = "blocking")]
    pub fn wait_blocking(&self) -> std::io::Result<Expiry> {
        let timer = self.clone();
        crate::blocking::runtime::wait(async move { timer.wait().await })
    }

    /// Calls `action` once, on `runtime`, when the time has come, or it is cancelled or set anew. The wait begins now, and
    /// goes on when this timer is dropped.
    pub fn on_expiry(&self, runtime: &Runtime, action: impl FnOnce(Expiry) + Send + 'static) {
        let wait = self.begin_wait();
        runtime.spawn(async move { action(wait.await) });
    }

    /// The span until it expires; zero when it has.
    pub fn expires_in(&self) -> Duration {
        let expires_at = self.setting.borrow().expires_at;
        expires_at.saturating_duration_since(Instant::now())
    }

    /// The time at which it expires, by the machine's clock as it is now; the present when it has.
    pub fn expires_at(&self) -> SystemTime {
        SystemTime::now() + self.expires_in()
    }
}

fn until(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::now()).unwrap_or_default()
}
