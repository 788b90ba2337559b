//! [`Condition`]: what the active checks of one upstream say.
//!
//! In: results of checks, with the time. Out: healthy or not, and when to check next. Invariant:
//! the status changes only after as many results in a row as the settings ask for; an upstream not
//! yet checked counts as usable.

use std::time::{Duration, Instant};

use crate::settings::Health;

/// What the checks say about an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthStatus {
    /// Not checked yet, or not checked at all; used as if healthy.
    #[default]
    Unknown,
    /// Used.
    Healthy,
    /// Not used, unless all its siblings are unhealthy too.
    Unhealthy,
}

/// The checks so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    status: HealthStatus,
    since: Option<Instant>,
    /// Results in a row that speak against the status.
    against: u32,
    /// Why the last check failed; `None` if it succeeded.
    error: Option<String>,
}

impl Condition {
    /// A check ended, with the reason if it failed.
    pub(super) fn checked(
        &mut self,
        now: Instant,
        result: Result<(), String>,
        settings: &Health,
    ) -> Learnt {
        let succeeded = result.is_ok();
        let failed_before = self.error.is_some();
        let before = self.status;
        self.error = result.err();
        let (wanted, enough) = match (succeeded, before) {
            (true, HealthStatus::Unknown) => (HealthStatus::Healthy, 1), // nothing spoke against it
            (true, _) => (HealthStatus::Healthy, settings.healthy_after),
            (false, _) => (HealthStatus::Unhealthy, settings.unhealthy_after),
        };
        if before == wanted {
            self.against = 0;
        } else {
            self.against = self.against.saturating_add(1);
            if self.against >= enough {
                self.status = wanted;
                self.since = Some(now);
                self.against = 0;
            }
        }
        let changed = self.status != before;
        let was_down = failed_before || (changed && before == HealthStatus::Unhealthy);
        Learnt {
            changed,
            recovered: self.status == HealthStatus::Healthy && succeeded && was_down,
        }
    }

    /// How long from the beginning of the last check to that of the next: `interval`, less up to 10 %
    /// by `random`, uniform over all values; a fifth of that after a check that failed, so that a
    /// loss and a recovery are both found soon.
    pub(super) fn next_check_after(&self, settings: &Health, random: u32) -> Duration {
        let pace = if self.error.is_some() {
            settings.interval / HASTE
        } else {
            settings.interval
        };
        let jitter = pace / 10 * (random >> 16) / (1 << 16); // 16 bits are enough, and cannot overflow
        pace.saturating_sub(jitter)
    }

    pub(super) fn is_unhealthy(&self) -> bool {
        self.status == HealthStatus::Unhealthy
    }

    pub(super) fn status(&self) -> HealthStatus {
        self.status
    }

    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

/// What a check taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Learnt {
    /// The status is another one.
    pub(super) changed: bool,
    /// Checks failed, and now the upstream counts as healthy.
    pub(super) recovered: bool,
}

/// So many times as often as usual an upstream is checked whose last check failed.
const HASTE: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::OnUnhealthy;

    fn settings(unhealthy_after: u32, healthy_after: u32) -> Health {
        Health {
            enabled: true,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            path: None,
            host: None,
            subprotocols: Vec::new(),
            headers: std::collections::BTreeMap::default(),
            statuses: Vec::new(),
            unhealthy_after,
            healthy_after,
            on_unhealthy: OnUnhealthy::default(),
        }
    }

    /// Runs checks (`+` succeeds, `-` fails) and compares the status after each: `?`, `h`, `u`.
    fn check(settings: &Health, checks: &str, expected: &str) {
        let mut condition = Condition::default();
        let now = Instant::now();
        let statuses: String = checks
            .chars()
            .map(|result| {
                let before = condition.status();
                let result = match result {
                    '+' => Ok(()),
                    _ => Err("refused".to_owned()),
                };
                let learnt = condition.checked(now, result, settings);
                assert_eq!(learnt.changed, before != condition.status());
                match condition.status() {
                    HealthStatus::Unknown => '?',
                    HealthStatus::Healthy => 'h',
                    HealthStatus::Unhealthy => 'u',
                }
            })
            .collect();
        assert_eq!(statuses, expected, "{checks}");
    }

    #[test]
    fn status_changes_after_enough_results_in_a_row() {
        check(&settings(2, 1), "+-+--+", "hhhhuh");
        check(&settings(2, 1), "-+", "?h");
        check(&settings(2, 1), "---", "?uu");
        check(&settings(1, 1), "-+-", "uhu");
        check(&settings(3, 2), "+--+---+-++", "hhhhhhuuuuh");
    }

    #[test]
    fn the_first_success_makes_healthy_whatever_is_asked_of_the_unhealthy() {
        check(&settings(2, 3), "+", "h");
    }

    #[test]
    fn a_success_after_failures_is_a_recovery_once_it_counts_as_healthy() {
        let now = Instant::now();
        let learnt = |checks: &str, settings: &Health| {
            let mut condition = Condition::default();
            let results = checks.chars().map(|result| match result {
                '+' => Ok(()),
                _ => Err("refused".to_owned()),
            });
            results
                .map(|result| condition.checked(now, result, settings).recovered)
                .last()
        };
        for (checks, recovered) in [
            ("+", false),
            ("++", false),
            ("+-+", true),
            ("-+", true),
            ("--+", false), // healthy_after is 2
            ("--++", true),
            ("--+++", false),
        ] {
            assert_eq!(learnt(checks, &settings(2, 2)), Some(recovered), "{checks}");
        }
    }

    #[test]
    fn checks_are_jittered_by_a_tenth_and_five_times_as_often_after_a_failure() {
        let settings = settings(2, 1);
        let mut condition = Condition::default();
        let bounds = |condition: &Condition| {
            (
                condition.next_check_after(&settings, u32::MAX).as_millis(),
                condition.next_check_after(&settings, 0).as_millis(),
            )
        };
        assert_eq!(bounds(&condition), (4_500, 5_000));
        condition.checked(Instant::now(), Err("refused".into()), &settings);
        assert_eq!(bounds(&condition), (900, 1_000));
        condition.checked(Instant::now(), Ok(()), &settings);
        assert_eq!(bounds(&condition), (4_500, 5_000));
    }
}
