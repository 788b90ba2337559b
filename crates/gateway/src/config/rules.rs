//! Rules that many settings share.

use std::time::Duration;

use tidewire::tls::Identity;
use tidewire_config::{Checker, Rule};
use tidewire_table::{format_duration, format_size};

/// A handshake looks at most so often whether certificate files have changed.
pub(super) const FILES_LOOKED_AT_EVERY: Duration = Duration::from_secs(30);

/// A certificate with its key. `None` when one of them was noted, or, unless they are needed, when
/// neither was named.
pub(super) fn identity(
    check: &mut Checker<'_>,
    at: &str,
    certificate: &str,
    key: &str,
    is_needed: bool,
) -> Option<Identity> {
    let is_wanted = is_needed || !(certificate.is_empty() && key.is_empty());
    let mut is_fine = is_wanted;
    for (name, file) in [("certificate", certificate), ("key", key)] {
        let name = format!("{at}.{name}");
        if !file.is_empty() {
            is_fine &= check.file(&name, file);
        } else if is_wanted {
            let what = "is missing: expected a file for both certificate and key".to_owned();
            check.complain(&name, Rule::Missing { what });
            is_fine = false;
        }
    }
    is_fine.then(|| Identity::from_files(certificate, key))
}

/// Whether a file is there, or none was named.
pub(super) fn is_there_if_named(check: &mut Checker<'_>, key: &str, file: &str) -> bool {
    file.is_empty() || check.file(key, file)
}

/// What was made of the files, or what is wrong with them.
pub(super) fn built<T>(
    check: &mut Checker<'_>,
    key: &str,
    result: Result<T, tidewire::tls::TlsError>,
) -> Option<T> {
    match result {
        Ok(made) => Some(made),
        Err(error) => {
            let message = error.to_string();
            check.complain(key, Rule::Tls { message });
            None
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
