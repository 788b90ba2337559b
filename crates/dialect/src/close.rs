//! The close frame of a connection: [`Close`].
//!
//! In: a code and a reason of any length. Out: a reason that fits into a control frame. Invariant: a reason has
//! at most 123 bytes and is cut between characters.

use std::borrow::Cow;

/// Close a connection with this code and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// WebSocket close code (RFC 6455 section 7.4).
    pub code: u16,
    /// At most 123 bytes.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// Cuts `reason` to what a close frame can carry.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > REASON_LEN_MAX {
            reason = Cow::Owned(cut(&reason).to_owned());
        }
        Self { code, reason }
    }
}

/// The longest start of `reason` that fits into a close frame.
fn cut(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_LEN_MAX);
    reason.get(..end).unwrap_or_default()
}

/// A control frame has 125 bytes, two of them for the code (RFC 6455 section 5.5).
const REASON_LEN_MAX: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    /// A long error text must not make an illegal control frame.
    #[test]
    fn a_reason_is_cut_between_characters() {
        let reason = |text: String| Close::new(4001, text).reason;
        assert_eq!(reason("short".to_owned()), "short");
        assert_eq!(reason("x".repeat(200)).len(), 123);
        assert_eq!(reason("ж".repeat(100)).len(), 122);
    }
}
