//! Close codes and the body of a close frame (RFC 6455 sections 5.5.1 and 7.4).

use std::fmt;

use crate::{ProtocolError, mask::is_utf8};

/// A status code of a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// Data of a type this end does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Never on the wire: the peer's close frame had no code.
    pub const NO_STATUS: Self = Self(1005);
    /// Never on the wire: the connection broke without a close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// Data that does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A rule of this endpoint was broken.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message above the limit.
    pub const TOO_BIG: Self = Self(1009);
    /// The server hit an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// Overload; try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// Returns whether the code may stand in a close frame: 1000–1003, 1007–1014 (section 7.4.1 and
    /// IANA's registry), 3000–4999 (section 7.4.2).
    pub const fn is_valid_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Code and reason of a close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why.
    pub code: CloseCode,
    /// Why, for people; at most 123 bytes on the wire.
    pub reason: String,
}

impl CloseFrame {
    /// Most bytes of a reason: 125 less the code.
    pub const REASON_BYTES_MAX: usize = 123;

    /// A close frame; a longer reason is cut to [`Self::REASON_BYTES_MAX`] bytes at a
    /// character boundary.
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut end = reason.len().min(Self::REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        reason.truncate(end);
        Self { code, reason }
    }

    /// Reads the body of a received close frame; an empty body is `None`.
    pub(crate) fn parse(body: &[u8]) -> Result<Option<Self>, ProtocolError> {
        let (code, reason) = match body {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::CloseTruncated),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !CloseCode(code).is_valid_on_wire() {
            return Err(ProtocolError::InvalidCloseCode(code));
        }
        let reason = is_utf8(reason).ok_or(ProtocolError::InvalidUtf8)?;
        Ok(Some(Self {
            code: CloseCode(code),
            reason: reason.to_owned(),
        }))
    }

    /// The body to send: code and reason.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = self.code.0.to_be_bytes().to_vec();
        body.extend_from_slice(self.reason.as_bytes());
        body.truncate(125);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_to_123_bytes_at_a_character_boundary() {
        for (reason, len) in [
            ("a".repeat(123), 123),
            ("a".repeat(124), 123),
            ("é".repeat(70), 122),
        ] {
            assert_eq!(CloseFrame::new(CloseCode::NORMAL, reason).reason.len(), len);
        }
    }

    #[test]
    fn codes_that_must_not_appear_on_the_wire_are_refused() {
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            assert_eq!(
                CloseFrame::parse(&u16::to_be_bytes(code)),
                Err(ProtocolError::InvalidCloseCode(code))
            );
        }
        for code in [
            1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert!(CloseFrame::parse(&u16::to_be_bytes(code)).is_ok(), "{code}");
        }
    }

    #[test]
    fn a_body_of_one_byte_or_with_bad_utf8_is_refused() {
        assert_eq!(CloseFrame::parse(&[3]), Err(ProtocolError::CloseTruncated));
        assert_eq!(
            CloseFrame::parse(&[3, 232, 0xff]),
            Err(ProtocolError::InvalidUtf8)
        );
        assert_eq!(CloseFrame::parse(&[]), Ok(None));
    }
}
