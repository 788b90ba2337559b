//! [`Sampled`]: log lines that strangers cause, at a bounded rate.
//!
//! In: events of one kind. Out: which of them to log, and how many were left out before. Invariant: one line a second
//! at most, however many there are.

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// Events of one kind, of which one in each second is logged: for what strangers cause.
///
/// ```
/// use tidewire::service::Sampled;
///
/// static REFUSED: Sampled = Sampled::new();
///
/// if let Some(left_out) = REFUSED.admit() {
///     println!("refused somebody, and {left_out} others since the last line");
/// }
/// ```
#[derive(Debug)]
pub struct Sampled(Mutex<State>);

#[derive(Debug)]
struct State {
    admitted_at: Option<Instant>,
    left_out: u64,
}

impl Default for Sampled {
    fn default() -> Self {
        Self::new()
    }
}

impl Sampled {
    /// None has come yet.
    pub const fn new() -> Self {
        Self(Mutex::new(State {
            admitted_at: None,
            left_out: 0,
        }))
    }

    /// `None`: not to be logged. Else how many were not since the last line.
    pub fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.0.lock();
        let is_early = |at: Instant| now.saturating_duration_since(at) < INTERVAL;
        if state.admitted_at.is_some_and(is_early) {
            state.left_out = state.left_out.saturating_add(1);
            return None;
        }
        state.admitted_at = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_one_line_a_second_that_tells_what_was_left_out() {
        let sampled = Sampled::new();
        assert_eq!(sampled.admit(), Some(0));
        for _ in 0..1000 {
            assert_eq!(sampled.admit(), None);
        }
        tokio::time::advance(INTERVAL).await;
        assert_eq!(sampled.admit(), Some(1000));
        assert_eq!(sampled.admit(), None);
        tokio::time::advance(2 * INTERVAL).await;
        assert_eq!(sampled.admit(), Some(1));
    }
}
