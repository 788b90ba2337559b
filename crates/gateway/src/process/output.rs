//! What a process writes to stdout and stderr: read until it ends, logged line by line.
//!
//! In: a pipe. Out: log lines with endpoint, pid and stream. Invariant: the pipe is always read, so that
//! the process never waits for the log; what is more than the log should take is left out, and counted.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::Instant,
};

use super::line::Lines;

/// Whose output it is.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) endpoint: Arc<str>,
    pub(super) pid: u32,
    pub(super) stream: &'static str,
}

impl Source {
    fn line(&self, line: &str) {
        let Self {
            endpoint,
            pid,
            stream,
        } = self;
        tracing::info!(%endpoint, pid, stream, "{line}");
    }

    fn left_out(&self, lines: u64) {
        let Self {
            endpoint,
            pid,
            stream,
        } = self;
        tracing::warn!(%endpoint, pid, stream, lines, "too much output: lines were left out");
    }
}

/// Logs all that comes, until the last process that could write has gone.
pub(super) async fn log(mut pipe: impl AsyncRead + Unpin, source: Source) {
    let mut buffer = vec![0; BUFFER];
    let mut lines = Lines::default();
    let mut quota = Quota::new(Instant::now());
    loop {
        let count = match pipe.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => {
                let Source {
                    endpoint, stream, ..
                } = &source;
                tracing::warn!(%endpoint, stream, %error, "the output cannot be read");
                break;
            }
        };
        if let Some(left_out) = quota.renew(Instant::now()) {
            source.left_out(left_out);
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        lines.push(bytes, |line| {
            if quota.take() {
                source.line(&line);
            }
        });
    }
    if let Some(left_out) = quota.left_out() {
        source.left_out(left_out);
    }
    if let Some(line) = lines.finish() {
        source.line(&line);
    }
}

/// How many lines may be logged.
#[derive(Debug)]
struct Quota {
    renewed: Instant,
    used: u32,
    left_out: u64,
}

impl Quota {
    fn new(now: Instant) -> Self {
        Self {
            renewed: now,
            used: 0,
            left_out: 0,
        }
    }

    /// A line is to be logged: may it?
    fn take(&mut self) -> bool {
        let may = self.used < LINES_MAX;
        if may {
            self.used += 1;
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
        may
    }

    /// Every second anew. Gives how many lines were left out in the last one, if any.
    fn renew(&mut self, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.renewed) < PERIOD {
            return None;
        }
        let left_out = self.left_out();
        *self = Self::new(now);
        left_out
    }

    fn left_out(&self) -> Option<u64> {
        (self.left_out > 0).then_some(self.left_out)
    }
}

/// Lines of a stream that are logged in a [`PERIOD`]. A flood must cost the gateway's threads and its log
/// little; a program that is read by people writes far less.
const LINES_MAX: u32 = 1000;

const PERIOD: Duration = Duration::from_secs(1);

/// Read at a time; a pipe holds 64 KiB on Linux.
const BUFFER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_renewed_every_second_and_tells_what_it_left_out() {
        let start = Instant::now();
        let mut quota = Quota::new(start);
        let taken = (0..LINES_MAX + 7).filter(|_| quota.take()).count();
        assert_eq!(taken, LINES_MAX as usize);
        let just_before = start + Duration::from_millis(999);
        assert_eq!(quota.renew(just_before), None);
        assert!(!quota.take());
        assert_eq!(quota.renew(start + PERIOD), Some(8));
        assert!(quota.take());
        assert_eq!(quota.renew(start + PERIOD * 2), None);
        assert_eq!(quota.left_out(), None);
    }
}
