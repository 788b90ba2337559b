//! What systemd, or another service manager that speaks `sd_notify`, is told.
//!
//! In: what happens. Out: datagrams to `NOTIFY_SOCKET`; without that variable nothing happens. Invariant: the
//! program does the same whether somebody listens or not.

#[cfg(unix)]
use sd_notify::NotifyState;

/// All listeners stand, or a reload is over, however it ended.
pub(crate) fn ready(status: &str) {
    #[cfg(unix)]
    notify(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    #[cfg(not(unix))]
    let _ = status;
}

/// The configuration is about to be read again; [`ready`] has to follow.
pub(crate) fn reloading() {
    #[cfg(unix)]
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[
            NotifyState::Reloading,
            now,
            NotifyState::Status("reading the configuration again"),
        ]),
        // Without the time it would be an error of ours.
        Err(error) => tracing::warn!(%error, "cannot tell the service manager of the reload"),
    }
}

/// The stop begins.
pub(crate) fn stopping(status: &str) {
    #[cfg(unix)]
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
    #[cfg(not(unix))]
    let _ = status;
}

/// The process `pid` is the service from now on.
pub(crate) fn main_process(pid: u32) {
    #[cfg(unix)]
    notify(&[NotifyState::MainPid(pid)]);
    #[cfg(not(unix))]
    let _ = pid;
}

/// A status line with the URLs that were printed.
pub(crate) fn serving(urls: &[(&'static str, String)]) -> String {
    let urls: Vec<&str> = urls.iter().map(|(_, url)| url.as_str()).collect();
    format!("serving {}", urls.join(" "))
}

/// Returns whether the process `pid` belongs to the same service as we do: systemd tells services apart by control
/// groups.
pub(crate) fn is_of_our_service(pid: u32) -> bool {
    let group = |process: &str| std::fs::read(format!("/proc/{process}/cgroup")).ok();
    let ours = group("self");
    ours.is_some() && ours == group(&pid.to_string())
}

/// Tells the service manager that we live, where it wants to know, until stopped or until the runtime ends.
#[derive(Debug)]
pub(crate) struct Watchdog(Option<tokio::task::AbortHandle>);

impl Watchdog {
    /// Begins, every half of the time that the service manager waits (`WATCHDOG_USEC`).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn start() -> Self {
        #[cfg(unix)]
        if let Some(within) = sd_notify::watchdog_enabled()
            && !within.is_zero()
        {
            return Self(Some(tokio::spawn(live(within / 2)).abort_handle()));
        }
        Self(None)
    }

    /// Says nothing more.
    pub(crate) fn stop(&self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Says so each time that the runtime has run a task to its end, so never while its threads hang.
#[cfg(unix)]
async fn live(every: std::time::Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if tokio::spawn(async {}).await.is_err() {
            return; // the runtime ends
        }
        notify(&[NotifyState::Watchdog]);
    }
}

/// Tells it; that nobody hears it hurts nobody.
#[cfg(unix)]
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager (NOTIFY_SOCKET) was not told");
    }
}

/// A line more would be another message.
#[cfg(unix)]
fn one_line(text: &str) -> String {
    let mut line: String = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(STATUS_LEN_MAX) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Longest status, characters: a datagram has to hold it, and a line of `systemctl status` should.
#[cfg(unix)]
const STATUS_LEN_MAX: usize = 500;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_short_line() {
        assert_eq!(one_line("a:\n  b\nREADY=1"), "a: b READY=1");
        assert_eq!(one_line(&"é".repeat(10_000)).chars().count(), 501);
    }

    #[test]
    fn our_own_process_is_of_our_service_and_one_that_is_not_there_is_not() {
        let is_linux = std::path::Path::new("/proc/self/cgroup").exists();
        assert_eq!(is_of_our_service(std::process::id()), is_linux);
        assert!(!is_of_our_service(u32::MAX));
    }
}
