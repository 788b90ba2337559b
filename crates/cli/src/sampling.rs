//! [`Sampled`]: lines that strangers cause cannot fill the disk.
//!
//! In: events on their way to the log. Out: of those from one place in the code, no more than a burst and then a few
//! per second, and a line that says how many were left out. Invariant: what is kept of a place is a few numbers, so
//! nothing grows with the events.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber, callsite::Identifier};
use tracing_subscriber::{
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};

/// Lines of one place that are written at once.
const BURST: u32 = 100;

/// Lines of one place per second in the long run.
const PER_SECOND: u32 = 10;

/// The output of supervised processes is bounded at its source, not by its place in the code.
const UNSAMPLED: &str = "tidewire_gateway::process";

/// Writes events as `inner` does, but of those from one place in the code no more than [`BURST`], and [`PER_SECOND`]
/// in the long run. The next line of the place that is written is followed by one that tells how many were left out.
/// `debug` and `trace` are written as they come: somebody has asked for them.
#[derive(Debug)]
pub(crate) struct Sampled<F> {
    inner: F,
    is_json: bool,
    places: Mutex<HashMap<Identifier, Place>>,
}

/// A place in the code that writes lines. There are as many as the program has.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Lines that may be written at once.
    credit: u32,
    /// When credit was last given.
    since: Instant,
    left_out: u64,
}

/// How an event ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is written, after so many others of its place were not.
    Written {
        left_out: u64,
    },
    LeftOut,
}

impl<F> Sampled<F> {
    pub(crate) fn new(inner: F, is_json: bool) -> Self {
        Self {
            inner,
            is_json,
            places: Mutex::default(),
        }
    }

    fn fate(&self, event: &Event<'_>) -> Fate {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target().starts_with(UNSAMPLED) {
            return Fate::Written { left_out: 0 };
        }
        let now = Instant::now();
        let mut places = self.places.lock();
        let place = places.entry(metadata.callsite());
        place.or_insert_with(|| Place::new(now)).take(now)
    }
}

impl Place {
    fn new(now: Instant) -> Self {
        Self {
            credit: BURST,
            since: now,
            left_out: 0,
        }
    }

    fn take(&mut self, now: Instant) -> Fate {
        let elapsed = now.saturating_duration_since(self.since);
        let earned = elapsed.as_millis() * u128::from(PER_SECOND) / 1000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.credit = self.credit.saturating_add(earned).min(BURST);
            // What is left of the time counts for the next.
            let spent = Duration::from_millis(u64::from(earned) * 1000 / u64::from(PER_SECOND));
            self.since = self
                .since
                .checked_add(spent)
                .map_or(now, |since| since.min(now));
        }
        if self.credit == 0 {
            self.left_out += 1;
            return Fate::LeftOut;
        }
        self.credit -= 1;
        let left_out = std::mem::take(&mut self.left_out);
        Fate::Written { left_out }
    }
}

impl<S, N, F> FormatEvent<S, N> for Sampled<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Fate::Written { left_out } = self.fate(event) else {
            return Ok(());
        };
        self.inner.format_event(context, writer.by_ref(), event)?;
        if left_out == 0 {
            return Ok(());
        }
        let metadata = event.metadata();
        let (level, target) = (metadata.level(), metadata.target());
        if self.is_json {
            // A target is a path of modules: nothing in it needs an escape.
            return writeln!(
                writer,
                r#"{{"level":"{level}","fields":{{"message":"lines like the one before were left out","count":{left_out}}},"target":"{target}"}}"#
            );
        }
        writeln!(
            writer,
            "{level:>5} {target}: {left_out} lines like the one before were left out"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use super::*;

    #[test]
    fn a_place_writes_a_burst_then_a_few_lines_a_second_and_counts_the_others() {
        let start = Instant::now();
        let mut place = Place::new(start);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for _ in 0..BURST {
            assert_eq!(place.take(at(0)), Fate::Written { left_out: 0 });
        }
        for _ in 0..7000 {
            assert_eq!(place.take(at(50)), Fate::LeftOut);
        }
        assert_eq!(place.take(at(100)), Fate::Written { left_out: 7000 });
        assert_eq!(place.take(at(199)), Fate::LeftOut);
        assert_eq!(place.take(at(200)), Fate::Written { left_out: 1 });
        // Time without lines gives no more than a burst.
        for _ in 0..BURST {
            assert_eq!(place.take(at(3_600_000)), Fate::Written { left_out: 0 });
        }
        assert_eq!(place.take(at(3_600_000)), Fate::LeftOut);
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn flood(number: u32) {
        for line in 0..number {
            tracing::info!(line, "somebody was refused");
        }
    }

    #[test]
    fn a_flood_of_one_place_leaves_room_for_others() {
        let sink = Sink::default();
        let writer = sink.clone();
        let format = tracing_subscriber::fmt::format().json();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .event_format(Sampled::new(format, true))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            flood(10_000);
            tracing::warn!("something else");
        });
        let text = String::from_utf8(sink.0.lock().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // However slow the machine is, it writes a line where ten are a second.
        assert!(lines.len() < 5_000, "{}", lines.len());
        assert!(lines.len() > BURST as usize);
        assert!(lines.last().unwrap().contains("something else"));
        for line in lines {
            let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(parsed["level"].is_string(), "{line}");
        }
    }
}
