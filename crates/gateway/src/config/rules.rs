//! Rules that many settings share.

use std::time::Duration;

use tidewire::tls::Identity;
use tidewire_config::{Checker, IdentityFiles, Rule};
use tidewire_table::{format_duration, format_size};

/// A certificate with its key. `None` when something was noted, or, unless they are needed, when neither was named.
pub(super) fn identity(
    check: &mut Checker<'_>,
    at: &str,
    files: IdentityFiles<'_>,
    is_needed: bool,
) -> Option<Identity> {
    if !is_needed && files.certificate.is_empty() && files.key.is_empty() {
        return None;
    }
    named(check, at, files);
    check.identity(at, files)
}

/// Notes when certificate or key is not named.
pub(super) fn named(check: &mut Checker<'_>, at: &str, files: IdentityFiles<'_>) {
    for (name, file) in [("certificate", files.certificate), ("key", files.key)] {
        if file.is_empty() {
            let what = "is missing: expected a file for both certificate and key".to_owned();
            check.complain(&format!("{at}.{name}"), Rule::Missing { what });
        }
    }
}

/// Notes when one time is below another that it has to reach.
pub(super) fn not_below(
    check: &mut Checker<'_>,
    at: &str,
    outer: (&str, Duration),
    inner: (&str, Duration),
) {
    if outer.1 < inner.1 {
        let rule = Rule::BelowOther {
            found: format_duration(outer.1),
            other: format!("{at}.{}", inner.0),
            least: format_duration(inner.1),
        };
        check.complain(&format!("{at}.{}", outer.0), rule);
    }
}

/// Notes when one size, at a key, is below another that it has to reach.
pub(super) fn size_not_below(check: &mut Checker<'_>, outer: (&str, usize), inner: (&str, usize)) {
    if outer.1 < inner.1 {
        let rule = Rule::BelowOther {
            found: format_size(outer.1 as u64),
            other: inner.0.to_owned(),
            least: format_size(inner.1 as u64),
        };
        check.complain(outer.0, rule);
    }
}

/// `None` for an empty text.
pub(super) fn text_of(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// 0 means that there is no limit.
pub(super) fn or_no_limit(limit: u32) -> usize {
    if limit == 0 {
        usize::MAX
    } else {
        limit as usize
    }
}
