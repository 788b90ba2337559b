//! [`Breaker`]: leaves a service alone that does not answer, and looks now and then whether it does again.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which a service is left alone.
const FAILURES: u32 = 5;
const PAUSE_LEAST: Duration = Duration::from_secs(1);
const PAUSE_MOST: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    shut_until: Option<Instant>,
}

impl Breaker {
    /// Returns whether the service may be asked now. Once the pause is over, one question is let through; the others wait
    /// for what becomes of it, at most for `patience`.
    #[must_use]
    pub(crate) fn lets_through(&mut self, patience: Duration) -> bool {
        let now = Instant::now();
        match self.shut_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.shut_until = now.checked_add(patience);
                true
            }
        }
    }

    /// The service has answered. Returns whether it had been left alone.
    pub(crate) fn answered(&mut self) -> bool {
        self.failures = 0;
        self.shut_until.take().is_some()
    }

    /// The service has not answered. Returns the pause, if there is one from now on.
    pub(crate) fn failed(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let beyond = self.failures.checked_sub(FAILURES)?;
        let pause = PAUSE_LEAST
            .saturating_mul(1 << beyond.min(5))
            .min(PAUSE_MOST);
        self.shut_until = Instant::now().checked_add(pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_service_that_fails_is_left_alone_for_longer_and_longer() {
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert_eq!(breaker.failed(), None);
            assert!(breaker.lets_through(PATIENCE));
        }
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(breaker.failed(), Some(pause));
            assert!(!breaker.lets_through(PATIENCE));
            tokio::time::advance(pause).await;
            assert!(breaker.lets_through(PATIENCE));
            assert!(!breaker.lets_through(PATIENCE), "one question at a time");
        }
        assert!(breaker.answered());
        assert!(breaker.lets_through(PATIENCE) && breaker.lets_through(PATIENCE));
        assert_eq!(breaker.failed(), None);
    }

    /// Whoever was let through may have gone away without an answer.
    #[tokio::test(start_paused = true)]
    async fn a_question_that_was_given_up_does_not_shut_it_for_ever() {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.failed();
        }
        tokio::time::advance(PAUSE_LEAST).await;
        assert!(breaker.lets_through(PATIENCE));
        tokio::time::advance(PATIENCE).await;
        assert!(breaker.lets_through(PATIENCE));
    }
}
