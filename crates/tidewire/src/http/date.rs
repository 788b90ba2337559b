//! The field `Date`, made once a second per thread.

use std::{cell::RefCell, time::SystemTime};

use bytes::Bytes;

thread_local! {
    static LAST: RefCell<(u64, Bytes)> = const { RefCell::new((0, Bytes::new())) };
}

/// `Date: …`, the end of its line, and the empty line behind the fields (RFC 9110 section 6.6.1).
pub(super) fn line_and_end() -> Bytes {
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    let second = since.map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(last, line)| {
        if *last != second || line.is_empty() {
            *last = second;
            *line = Bytes::from(format!("Date: {}\r\n\r\n", httpdate::fmt_http_date(now)));
        }
        line.clone()
    })
}
