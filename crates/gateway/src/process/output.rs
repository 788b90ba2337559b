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

    fn left_out(&self, LeftOut { lines, bytes }: LeftOut) {
        let Self {
            endpoint,
            pid,
            stream,
        } = self;
        tracing::warn!(%endpoint, pid, stream, lines, bytes, "too much output: lines were left out");
    }
}

/// Logs all that comes, until the last process that could write has gone.
pub(super) async fn log(mut pipe: impl AsyncRead + Unpin, source: Source) {
    let mut buffer = vec![0; BUFFER];
    let mut lines = Lines::default();
    let mut quota = Quota::new(Instant::now());
    loop {
        // What was left out is told in time also of who writes no more, or never ends a line.
        let due = quota.left_out().is_some() || lines.is_too_long();
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => Some(read),
            () = tokio::time::sleep_until(quota.renewed + PERIOD), if due => None,
        };
        let count = match read {
            None => 0,
            Some(Ok(0)) => break,
            Some(Ok(count)) => count,
            Some(Err(error)) => {
                let Source {
                    endpoint, stream, ..
                } = &source;
                tracing::warn!(%endpoint, stream, %error, "the output cannot be read");
                break;
            }
        };
        if quota.is_over(Instant::now()) {
            if let Some(left_out) = quota.left_out() {
                source.left_out(left_out);
            }
            quota = Quota::new(Instant::now());
            if let Some(line) = lines.cut()
                && quota.take(line.len()) == Taken::Logged
            {
                source.line(&line);
            }
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        lines.push(bytes, |line| {
            if quota.take(line.len()) == Taken::Logged {
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

/// How much may be logged.
#[derive(Debug)]
struct Quota {
    renewed: Instant,
    lines: u32,
    bytes: usize,
    left_out: LeftOut,
}

/// Output that was not logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    lines: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what is left out is not logged"]
enum Taken {
    Logged,
    LeftOut,
}

impl Quota {
    fn new(now: Instant) -> Self {
        Self {
            renewed: now,
            lines: 0,
            bytes: 0,
            left_out: LeftOut::default(),
        }
    }

    /// A line of so many bytes comes.
    fn take(&mut self, len: usize) -> Taken {
        if self.lines < LINES_MAX && self.bytes < BYTES_MAX {
            self.lines += 1;
            self.bytes += len;
            return Taken::Logged;
        }
        self.left_out.lines = self.left_out.lines.saturating_add(1);
        self.left_out.bytes = self.left_out.bytes.saturating_add(len as u64);
        Taken::LeftOut
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.renewed) >= PERIOD
    }

    fn left_out(&self) -> Option<LeftOut> {
        (self.left_out.lines > 0).then_some(self.left_out)
    }
}

/// Lines of a stream that are logged in a [`PERIOD`]. A flood must cost the gateway's threads and its log
/// little; a program that is read by people writes far less.
const LINES_MAX: u32 = 1000;

/// Bytes of a stream that are logged in a [`PERIOD`], and one line more.
const BYTES_MAX: usize = 128 << 10;

const PERIOD: Duration = Duration::from_secs(1);

/// Read at a time; a pipe holds 64 KiB on Linux.
const BUFFER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::{super::tests::Log, *};

    #[tokio::test(start_paused = true)]
    async fn what_was_left_out_is_told_of_who_is_silent_afterwards_or_ends_no_line() {
        for (written, told) in [
            ("x\n".repeat(2000), "lines were left out"),
            ("\0".repeat(20_000), " bytes left out)"),
        ] {
            let logged = Log::default();
            let _guard = logged.capture();
            let (mut process, pipe) = tokio::io::duplex(BUFFER);
            let source = Source {
                endpoint: "chat".into(),
                pid: 1,
                stream: "stdout",
            };
            let log = tokio::spawn(log(pipe, source));
            process.write_all(written.as_bytes()).await.unwrap();
            tokio::time::sleep(PERIOD * 2).await;
            let text = logged.text();
            assert!(text.contains(told), "{text}");
            tokio::time::sleep(PERIOD * 10).await;
            assert_eq!(logged.text(), text, "it is told once");
            drop(process);
            log.await.unwrap();
        }
    }

    #[test]
    fn a_quota_is_for_a_second_and_tells_what_it_left_out() {
        let start = Instant::now();
        let mut quota = Quota::new(start);
        let taken = (0..LINES_MAX + 7).filter(|_| quota.take(10) == Taken::Logged);
        assert_eq!(taken.count(), LINES_MAX as usize);
        let just_before = start + Duration::from_millis(999);
        assert!(!quota.is_over(just_before));
        assert_eq!(quota.take(30), Taken::LeftOut);
        let left_out = LeftOut {
            lines: 8,
            bytes: 100,
        };
        assert!(quota.is_over(start + PERIOD));
        assert_eq!(quota.left_out(), Some(left_out));
    }

    #[test]
    fn few_long_lines_are_as_much_as_many_short_ones() {
        let mut quota = Quota::new(Instant::now());
        let taken = (0..1_000).filter(|_| quota.take(8 << 10) == Taken::Logged);
        assert_eq!(taken.count(), 16);
        let left_out = quota.left_out().unwrap();
        assert_eq!((left_out.lines, left_out.bytes), (984, 984 * 8192));
    }
}
