//! The access log: one JSON object per ended session.
//!
//! In: a session's record. Out: a line. Invariants: no secret is in it (no query, no headers, no payload);
//! a sink that fails costs its lines, never a connection; lines wait in a bounded queue.

use std::{io, sync::atomic::Ordering, time::SystemTime};

use serde::Serialize;
use tidewire_telemetry::{LineLog, LogPlace, timestamp};

use crate::record::{Dialect, End, Record, Refused};

/// Writes access records; cloning shares the sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessLog(LineLog);

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    end: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    milliseconds: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl AccessLog {
    /// A log to this place; `None` writes nothing.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(place: Option<&LogPlace>) -> io::Result<Self> {
        LineLog::open(place).map(Self)
    }

    /// The next line goes to a newly opened file of the same name: it was rotated.
    pub(crate) fn reopen(&self) {
        self.0.reopen();
    }

    /// Lines that found no room, or could not be written.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// Tells of an ended session.
    pub(crate) fn write(&self, record: &Record, end: Option<&End>) {
        if !self.0.is_on() {
            return;
        }
        let upstream = record.upstream();
        let line = Line {
            time: timestamp(record.since),
            id: record.id,
            parent: record.parent,
            dialect: Some(record.dialect.name()),
            endpoint: record.endpoint.as_deref(),
            upstream: upstream.as_deref(),
            client: record.client.shown(),
            request: record.request.as_deref(),
            trace: record.trace.as_deref(),
            code: end.and_then(|end| end.code).map(|code| code.0),
            status: None,
            end: end.map_or("aborted", |end| end.why.as_str()),
            reason: None,
            milliseconds: u64::try_from(record.opened.elapsed().as_millis()).unwrap_or(u64::MAX),
            bytes_in: record.bytes_in.load(Ordering::Relaxed),
            bytes_out: record.bytes_out.load(Ordering::Relaxed),
        };
        self.0.write(&line);
    }

    /// Tells of a request that was refused.
    pub(crate) fn write_refused(&self, refused: &Refused<'_>) {
        self.0.write(&Line {
            time: timestamp(SystemTime::now()),
            id: refused.id,
            parent: refused.parent,
            dialect: refused.dialect.map(Dialect::name),
            endpoint: refused.endpoint,
            upstream: None,
            client: refused.client.shown(),
            request: refused.request,
            trace: refused.trace,
            code: None,
            status: Some(refused.status),
            end: "refused",
            reason: Some(refused.reason),
            milliseconds: 0,
            bytes_in: 0,
            bytes_out: 0,
        });
    }

    /// Writes what waits, as far as that is possible in a few seconds, then nothing more.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}
