//! Flow control of one stream. A DATA frame costs its whole length, the header included.
//!
//! Invariant of a receiver: what the peer may still send, what is held and what has been passed on but
//! not told yet are together the window, so never more than the window is held. A receiver that gives
//! back what it passed on always ends with more than half a window at its peer, so a sender that needs
//! any credit waits for its turn, never for ever.

use super::{CREDIT_MAX, DATA_HEADER_BYTES, FlowError, PAYLOAD_BYTES_MAX};

/// Returns the cost of a DATA frame with so much payload.
fn cost(payload_len: usize) -> u64 {
    u64::try_from(payload_len.saturating_add(DATA_HEADER_BYTES)).unwrap_or(u64::MAX)
}

/// The credit that this end may still use on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendCredit {
    stream: u32,
    available: u32,
}

impl SendCredit {
    /// With the first credit, of OPEN or ACCEPT; above [`CREDIT_MAX`] it counts as that.
    pub fn new(stream: u32, first: u32) -> Self {
        Self {
            stream,
            available: first.min(CREDIT_MAX),
        }
    }

    /// Bytes left, headers included.
    pub fn available(&self) -> u32 {
        self.available
    }

    /// Takes what the next frame of a message costs of which `remaining` payload bytes are left, and
    /// gives how many of them go into it: at most [`PAYLOAD_BYTES_MAX`]. `None`: wait for credit.
    /// Never gives 0 while something remains.
    pub fn take(&mut self, remaining: usize) -> Option<usize> {
        let header = u32::try_from(DATA_HEADER_BYTES).unwrap_or(u32::MAX);
        let room = usize::try_from(self.available.checked_sub(header)?).unwrap_or(usize::MAX);
        let payload_len = remaining.min(PAYLOAD_BYTES_MAX).min(room);
        if payload_len == 0 && remaining > 0 {
            return None;
        }
        self.spend(payload_len).then_some(payload_len)
    }

    /// Takes what a frame with exactly this payload costs; `false`, and nothing taken, if there is not
    /// enough. Not public: who waits for room for a whole frame may wait for ever, see the module.
    fn spend(&mut self, payload_len: usize) -> bool {
        let left = u64::from(self.available).checked_sub(cost(payload_len));
        match left.map(u32::try_from) {
            Some(Ok(left)) => {
                self.available = left;
                true
            }
            Some(Err(_)) | None => false,
        }
    }

    /// CREDIT was received.
    ///
    /// # Errors
    /// [`FlowError::TooMuchCredit`].
    pub fn add(&mut self, increment: u32) -> Result<(), FlowError> {
        let sum = self.available.checked_add(increment);
        let sum = sum.filter(|sum| *sum <= CREDIT_MAX);
        self.available = sum.ok_or(FlowError::TooMuchCredit {
            stream: self.stream,
        })?;
        Ok(())
    }
}

/// The credit that the peer may still use on a stream, and when it is given more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveCredit {
    stream: u32,
    window: u32,
    /// The credit that the peer may use, in bytes.
    available: u32,
    /// Passed on, and not told yet.
    passed: u32,
}

impl ReceiveCredit {
    /// With what OPEN or ACCEPT gives the peer; above [`CREDIT_MAX`] it counts as that.
    pub fn new(stream: u32, window: u32) -> Self {
        let window = window.min(CREDIT_MAX);
        Self {
            stream,
            window,
            available: window,
            passed: 0,
        }
    }

    /// A DATA frame with this payload was received: it is held from now on.
    ///
    /// # Errors
    /// [`FlowError::Overrun`].
    pub fn charge(&mut self, payload_len: usize) -> Result<(), FlowError> {
        let cost = cost(payload_len);
        let left = u64::from(self.available).checked_sub(cost);
        let left = left.and_then(|left| u32::try_from(left).ok());
        self.available = left.ok_or(FlowError::Overrun {
            stream: self.stream,
            credit: self.available,
            cost,
        })?;
        Ok(())
    }

    /// A DATA frame with this payload was passed on, and is not held any more. Gives the content of
    /// the CREDIT frame that is to be sent now: once at least half of the window was passed on.
    #[must_use]
    pub fn give_back(&mut self, payload_len: usize) -> Option<u32> {
        let cost = u32::try_from(cost(payload_len)).unwrap_or(u32::MAX);
        self.passed = self.passed.saturating_add(cost.min(self.held()));
        if self.passed == 0 || self.passed < self.window / 2 {
            return None;
        }
        let increment = std::mem::take(&mut self.passed);
        self.available = self.available.saturating_add(increment);
        Some(increment)
    }

    /// Bytes received and not passed on, headers included.
    pub fn held(&self) -> u32 {
        let free = self.available.saturating_add(self.passed);
        self.window.saturating_sub(free)
    }

    /// Returns the credit that the peer may still use, in bytes.
    pub fn available(&self) -> u32 {
        self.available
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_costs_its_header_too() {
        let mut credit = SendCredit::new(1, 16_390);
        assert_eq!(credit.take(100_000), Some(16_384));
        assert_eq!((credit.available(), credit.take(1)), (0, None));
        assert_eq!(credit.take(0), None);
        credit.add(6).unwrap();
        assert_eq!(credit.take(1), None, "a header alone brings nothing on");
        assert_eq!(credit.take(0), Some(0));
    }

    #[test]
    fn a_frame_is_cut_to_the_credit() {
        let mut credit = SendCredit::new(1, 100);
        assert_eq!(credit.take(1000), Some(94));
        assert!(!credit.spend(0));
    }

    #[test]
    fn the_sum_of_credit_stays_below_two_to_the_31() {
        let mut credit = SendCredit::new(3, CREDIT_MAX);
        assert_eq!(credit.add(1), Err(FlowError::TooMuchCredit { stream: 3 }));
        assert_eq!(
            credit.add(u32::MAX),
            Err(FlowError::TooMuchCredit { stream: 3 })
        );
        assert!(credit.spend(0));
        assert_eq!(credit.add(6), Ok(()));
    }

    #[test]
    fn a_peer_that_sends_more_than_its_credit_is_told_apart() {
        let mut credit = ReceiveCredit::new(9, 16_390);
        assert_eq!(credit.charge(16_384), Ok(()));
        let overrun = FlowError::Overrun {
            stream: 9,
            credit: 0,
            cost: 6,
        };
        assert_eq!(credit.charge(0), Err(overrun));
    }

    #[test]
    fn credit_is_given_back_once_half_of_the_window_was_passed_on() {
        let mut credit = ReceiveCredit::new(1, 20_000);
        for _ in 0..2 {
            credit.charge(5_000).unwrap();
        }
        assert_eq!(credit.give_back(5_000), None);
        assert_eq!(credit.held(), 5_006);
        assert_eq!(credit.give_back(5_000), Some(10_012));
        assert_eq!((credit.held(), credit.available()), (0, 20_000));
    }

    #[test]
    fn never_more_is_given_back_than_was_held() {
        let mut credit = ReceiveCredit::new(1, 20_000);
        credit.charge(10).unwrap();
        assert_eq!(credit.give_back(usize::MAX), None);
        assert_eq!(credit.give_back(usize::MAX), None);
        assert_eq!(credit.held(), 0);
        assert_eq!(credit.available(), 19_984);
    }
}
