//! How much may be with the peer unproved: [`Window`].

use std::time::Duration;

/// Messages and bytes. One message is always allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chat) struct Window {
    pub(in crate::chat) messages: u32,
    pub(in crate::chat) bytes: u32,
}

impl Window {
    /// Where every connection begins: a peer that needs two seconds for a message still proves these
    /// within the default patience.
    pub(super) const START: Self = Self {
        messages: 4,
        bytes: 16 << 10,
    };

    /// Halved for each session in vain before this one.
    pub(super) fn shrunk(self, times: u32) -> Self {
        let times = times.min(16);
        Self {
            messages: (self.messages >> times).max(1),
            bytes: (self.bytes >> times).max(1),
        }
    }

    pub(super) fn at_most(self, max: Self) -> Self {
        Self {
            messages: self.messages.min(max.messages),
            bytes: self.bytes.min(max.bytes),
        }
    }

    /// After a proof of so much, before which nothing had moved for so long. A used window doubles while that is
    /// far from the patience; one that took a good part of it halves, because twice as much might take too long.
    pub(super) fn after_proof(
        self,
        messages: u64,
        bytes: u64,
        standstill: Duration,
        patience: Duration,
    ) -> Self {
        let was_used = messages >= u64::from(self.messages.div_ceil(2))
            || bytes >= u64::from(self.bytes.div_ceil(2));
        if was_used && standstill <= patience / 8 {
            return Self {
                messages: self.messages.saturating_mul(2),
                bytes: self.bytes.saturating_mul(2),
            };
        }
        if standstill > patience / 4 {
            return self.shrunk(1);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn after(messages: u64, bytes: u64, standstill_ms: u64) -> (u32, u32) {
        let standstill = Duration::from_millis(standstill_ms);
        let window = Window::START.after_proof(messages, bytes, standstill, PATIENCE);
        (window.messages, window.bytes)
    }

    #[test]
    fn a_used_window_doubles_while_the_peer_moves() {
        assert_eq!(after(4, 100, 10), (8, 32 << 10));
        assert_eq!(after(1, 9 << 10, 10), (8, 32 << 10), "used by bytes");
        assert_eq!(after(1, 100, 10), (4, 16 << 10), "not used");
        assert_eq!(after(4, 100, 2000), (4, 16 << 10), "not quickly");
    }

    #[test]
    fn a_window_halves_after_a_long_standstill_and_never_falls_below_one() {
        assert_eq!(after(4, 100, 2600), (2, 8 << 10));
        assert_eq!(Window::START.shrunk(40).messages, 1);
    }
}
