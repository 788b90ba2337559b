//! [`TraceContext`]: the trace that a request belongs to (W3C Trace Context, section 3.2).

use std::fmt;

/// A valid `traceparent`: the trace, the caller's span in it, and whether the caller records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Not zero.
    pub trace_id: u128,
    /// Not zero.
    pub span_id: u64,
    /// Whether the caller records its spans.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Reads the value of a `traceparent` header; `None` when it is not valid.
    ///
    /// ```
    /// use tidewire_telemetry::TraceContext;
    ///
    /// let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let context = TraceContext::parse(value).unwrap();
    /// assert_eq!(context.trace_id, 0x4bf92f3577b34da6a3ce929d0e0e4736);
    /// assert_eq!(context.to_string(), value);
    /// ```
    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (span, flags) = (parts.next()?, parts.next()?);
        let is_hex = |text: &str, len: usize| {
            let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            text.len() == len && text.bytes().all(digit)
        };
        // Later versions may add parts.
        let is_known =
            is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        let is_valid = is_known && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
        if !is_valid {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(trace, 16).ok()?,
            span_id: u64::from_str_radix(span, 16).ok()?,
            is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// The trace's id as it is written.
    pub fn trace(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

/// As the value of `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (self.trace_id, self.span_id);
        write!(
            f,
            "00-{trace:032x}-{span:016x}-{:02x}",
            u8::from(self.is_sampled)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_is_taken() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for good in [
            format!("00-{trace}-{span}-01"),
            format!("00-{trace}-{span}-00"),
            format!("01-{trace}-{span}-01-more"),
        ] {
            assert_eq!(TraceContext::parse(&good).unwrap().trace(), trace, "{good}");
        }
        for wrong in [
            "",
            "00",
            &format!("ff-{trace}-{span}-01"),
            &format!("00-{}-{span}-01", "0".repeat(32)),
            &format!("00-{trace}-{}-01", "0".repeat(16)),
            &format!("00-{}-{span}-01", trace.to_uppercase()),
            &format!("00-{trace}-{span}"),
            &format!("00-{trace}-{span}-01-more"),
            &format!("00-{trace}-+0f067aa0ba902b7-01"),
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }
}
