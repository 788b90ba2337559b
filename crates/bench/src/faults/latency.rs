//! Round trips, and what is told of them.

use std::{fmt, time::Duration};

/// Round trips of one sort.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies(Vec<Duration>);

/// Of many round trips, the one below which half and 99 of a hundred lie, and the longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) count: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) longest: Duration,
}

impl Latencies {
    pub(super) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    pub(super) fn summary(&self) -> Summary {
        let mut all = self.0.clone();
        all.sort_unstable();
        let at = |percent: usize| {
            let index = all.len().saturating_sub(1) * percent / 100;
            all.get(index).copied().unwrap_or_default()
        };
        Summary {
            count: all.len(),
            p50: at(50),
            p99: at(99),
            longest: at(100),
        }
    }
}

/// Of several phases: the medians of their percentiles, so that a stall of the machine in a few of them does not count, and
/// the longest of all.
pub(super) fn median(phases: &[Latencies]) -> Summary {
    let all: Vec<Summary> = phases.iter().map(Latencies::summary).collect();
    let middle = |of: fn(&Summary) -> Duration| {
        let mut values: Vec<Duration> = all.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Summary {
        count: all.iter().map(|phase| phase.count).sum(),
        p50: middle(|phase| phase.p50),
        p99: middle(|phase| phase.p99),
        longest: all
            .iter()
            .map(|phase| phase.longest)
            .max()
            .unwrap_or_default(),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |took: Duration| took.as_secs_f64() * 1000.0;
        let (p50, p99, longest) = (ms(self.p50), ms(self.p99), ms(self.longest));
        write!(f, "{p50:>6.2} {p99:>7.2} {longest:>8.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_round_trips() {
        let mut latencies = Latencies::default();
        for number in (0..=100).rev() {
            latencies.push(Duration::from_millis(number));
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 101);
        assert_eq!(summary.p50, Duration::from_millis(50));
        assert_eq!(summary.p99, Duration::from_millis(99));
        assert_eq!(summary.longest, Duration::from_millis(100));
        assert_eq!(Latencies::default().summary().p99, Duration::ZERO);
    }
}
