//! Messages to everybody, at a rate.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::Publish;

/// A thread that sends messages to everybody until this is dropped.
///
/// All that is due is sent every millisecond, where `CppServer` sends the messages of a second at once and sleeps for what is
/// left of it: its clients see the same rate, and here nobody's buffer has to hold a second.
#[derive(Debug)]
pub(super) struct Multicast {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Multicast {
    pub(super) fn start(publisher: Box<dyn Publish>, rate: u64, size: usize) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("multicast".to_owned())
            .spawn(move || publish(&*publisher, rate, size, &stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Multicast {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic was told by the thread itself.
            thread.join().ok();
        }
    }
}

fn publish(publisher: &dyn Publish, rate: u64, size: usize, stopped: &AtomicBool) {
    const TICK: Duration = Duration::from_millis(1);
    let message = vec![0; size];
    let start = Instant::now();
    let mut before = 0;
    while !stopped.load(Ordering::Relaxed) {
        let due = due(rate, start.elapsed());
        // A thread that got no processor for a while does not make up for it all at once.
        publisher.publish(&message, (due - before).min(due_at_most(rate)));
        before = due;
        thread::park_timeout(TICK);
    }
}

/// Messages due after this time.
fn due(rate: u64, elapsed: Duration) -> u64 {
    let due = u128::from(rate) * elapsed.as_nanos() / 1_000_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

/// The messages of a tenth of a second.
fn due_at_most(rate: u64) -> u64 {
    (rate / 10).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_time() {
        assert_eq!(due(1_000_000, Duration::from_millis(1)), 1_000);
        assert_eq!(due(3, Duration::from_millis(999)), 2);
        assert_eq!(due(3, Duration::from_secs(1)), 3);
        assert_eq!(due(u64::MAX, Duration::from_hours(1)), u64::MAX);
    }
}
