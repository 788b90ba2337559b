//! How the hub ends a connection: [`End`].
//!
//! In: a broken rule or a session that cannot go on. Out: a WebSocket close code with a reason
//! that fits into a control frame. Invariant: a reason has at most 123 bytes and is cut
//! between characters.

use std::borrow::Cow;

/// Close a connection with this code and reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// WebSocket close code.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: Cow<'static, str>,
}

impl End {
    /// Cuts `reason` to what a close frame can carry.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > REASON_LEN_MAX {
            reason = Cow::Owned(cut_reason(&reason).to_owned());
        }
        Self { code, reason }
    }

    /// The peer broke a rule of the payload: 4001 `Invalid payload. ` and the error.
    pub fn invalid_payload(error: &impl std::fmt::Display) -> Self {
        Self::new(INVALID_PAYLOAD, format!("Invalid payload. {error}"))
    }

    /// Too much is pending to go on.
    pub(crate) fn overloaded() -> Self {
        Self::new(TRY_AGAIN_LATER, "the server is busy")
    }
}

/// The longest start of `reason` that fits into a close frame (123 bytes).
pub fn cut_reason(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_LEN_MAX);
    reason.get(..end).unwrap_or_default()
}

/// The store failed.
pub(crate) const INTERNAL_ERROR: u16 = 1011;
/// The store was closed under a live session: the process is on its way out.
pub(crate) const SERVICE_RESTART: u16 = 1012;
/// The session cannot go on; a new connection can.
pub(crate) const TRY_AGAIN_LATER: u16 = 1013;
/// The payload broke a rule of S-20.
pub(crate) const INVALID_PAYLOAD: u16 = 4001;

/// A control frame has 125 bytes, two of them for the code (RFC 6455 section 5.5).
const REASON_LEN_MAX: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    /// A long error text must not make an illegal control frame.
    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(cut_reason("short"), "short");
        assert_eq!(cut_reason(&"x".repeat(200)).len(), 123);
        assert_eq!(cut_reason(&"ж".repeat(100)).len(), 122);
        let end = End::invalid_payload(&"ж".repeat(100));
        assert_eq!(end.code, 4001);
        assert!(end.reason.starts_with("Invalid payload. ж") && end.reason.len() <= 123);
    }
}
