//! What a client's control frames may cost (RFC 6455 sections 5.5.2 and 5.5.3 set no bound).
//!
//! In: each ping and pong. Out: whether it is to be counted, and the time. Invariants: a pong for a ping of ours is
//! free, one for one; the clock is read for frames that are counted only; nothing is allocated.

use std::sync::OnceLock;

use tidewire_proto::{Decoder, ProtocolError};
use tokio::time::Instant;

/// A control frame that may have to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Ping,
    Pong,
}

/// How many of our pings were answered, as a number that wraps around; never more than were sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answered(u32);

impl Answered {
    /// A control frame came, after `pings_sent` pings of ours.
    ///
    /// # Errors
    /// See [`Decoder::count_control`].
    pub(super) fn count(
        &mut self,
        control: Control,
        pings_sent: u32,
        decoder: &mut Decoder,
    ) -> Result<(), ProtocolError> {
        if control == Control::Pong && self.0 != pings_sent {
            self.0 = self.0.wrapping_add(1);
            return Ok(());
        }
        decoder.count_control(now_ms())
    }
}

/// Milliseconds since some time; wraps around.
fn now_ms() -> u32 {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let beginning = *BEGINNING.get_or_init(|| now);
    // Runtimes whose time is virtual may be behind.
    let since = now.saturating_duration_since(beginning).as_millis();
    let until = beginning.saturating_duration_since(now).as_millis();
    let low = |millis: u128| u32::try_from(millis & u128::from(u32::MAX)).unwrap_or(0);
    low(since).wrapping_sub(low(until))
}
