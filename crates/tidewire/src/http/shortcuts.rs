//! Requests that need no service: what is in the cache of files, and TRACE.
//!
//! In: heads that keep every rule, of requests without a body. Out: the answer as bytes of HTTP/1.1, or nothing, and then
//! the request goes the way of all others.

use std::sync::Arc;

use bytes::Bytes;
use tidewire_proto::handshake::RequestHead;

use super::{
    cache::{FileCache, Ready},
    date,
    stats::Counters,
};
use crate::sync::Mutex;

/// The requests that a connection answers by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Shortcuts {
    pub(super) files: Option<FileCache>,
    pub(super) trace: bool,
    pub(super) date: bool,
    pub(super) counters: Arc<Counters>,
    /// Where the head of the request under way is kept as it came.
    pub(super) received: Option<HeadSlot>,
}

/// The head of the request under way.
pub(super) type HeadSlot = Arc<Mutex<Bytes>>;

/// The head of a request as it was received: every byte, the empty line included. An extension of requests over HTTP/1.1
/// where [`Config::keep_heads`](super::Config::keep_heads) asks for it.
#[derive(Clone, Debug)]
pub struct ReceivedHead(pub Bytes);

impl Shortcuts {
    pub(super) fn count(&self) {
        self.counters.request();
    }

    pub(super) fn keep(&self, head: &RequestHead) {
        if let Some(slot) = &self.received {
            *slot.lock() = head.as_bytes().clone();
        }
    }

    pub(super) fn answer(&self, head: &RequestHead) -> Option<Ready> {
        if self.trace && head.method() == "TRACE" {
            return self.trace(head);
        }
        let ready = self.files.as_ref()?.ready(head)?;
        self.counters.cached();
        Some(ready)
    }

    /// Gives the request back as it came, without what pages must not see of it (RFC 9110 section 9.3.8).
    fn trace(&self, head: &RequestHead) -> Option<Ready> {
        let goes_on = head.minor_version() == 1 && !head.has_token("connection", "close");
        let is_plain = head.values("expect").next().is_none();
        if !goes_on || !is_plain {
            return None;
        }
        let body = without_secrets(head);
        let fields = "HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: ";
        let fields = format!("{fields}{}\r\n", body.len());
        let end = if self.date {
            date::line_and_end()
        } else {
            Bytes::from_static(b"\r\n")
        };
        Some(Ready::new(Bytes::from(fields), end, body))
    }
}

/// The bytes of a head, without the lines of fields that hold credentials.
fn without_secrets(head: &RequestHead) -> Bytes {
    let has_secrets = head.fields().any(|(name, _value)| is_secret(name));
    if !has_secrets {
        return head.as_bytes().clone();
    }
    let mut out = Vec::with_capacity(head.as_bytes().len());
    for line in head.as_bytes().split_inclusive(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is_kept = !std::str::from_utf8(name).is_ok_and(is_secret);
        if is_kept {
            out.extend_from_slice(line);
        }
    }
    Bytes::from(out)
}

/// Returns whether a field holds credentials.
pub(super) fn is_secret(name: &str) -> bool {
    ["authorization", "cookie", "proxy-authorization"]
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}
