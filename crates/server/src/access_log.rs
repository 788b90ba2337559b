//! The access log: one JSON object per WebSocket when it ends, and per request that was none.
//!
//! In: what is known of a connection or request, and what became of it. Out: a line. Invariants: no secret is in it (no
//! query, no header field, no payload); without a log nothing is noted.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use axum::{
    body::HttpBody as _,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use serde::Serialize;
use tidewire_hub::UserId;
use tidewire_telemetry::{LineLog, TraceContext, timestamp};

use crate::{
    access::{Access, Fields, peer_of},
    rest::Rest,
    shaping::{CloseReason, Shaping},
};

/// As much of a method and path as a record has.
const REQUEST_BYTES_MAX: usize = 1024;

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    listener: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    request: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    end: &'a str,
    milliseconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_out: Option<u64>,
}

/// What a request begins with.
#[derive(Debug)]
struct Asked {
    listener: &'static str,
    client: Option<IpAddr>,
    request: Box<str>,
    trace: Option<TraceContext>,
    time: SystemTime,
    began: Instant,
}

impl Asked {
    fn new(
        listener: &'static str,
        client: Option<IpAddr>,
        (method, path): (&str, &str),
        fields: &impl Fields,
    ) -> Self {
        let mut request = format!("{method} {path}");
        request.truncate(request.floor_char_boundary(REQUEST_BYTES_MAX));
        let traceparent = fields.single("traceparent");
        Self {
            listener,
            client,
            request: request.into(),
            trace: traceparent
                .and_then(|value| std::str::from_utf8(value).ok())
                .and_then(TraceContext::parse),
            time: SystemTime::now(),
            began: Instant::now(),
        }
    }

    fn line<'a>(&'a self, end: &'a str) -> Line<'a> {
        let elapsed = self.began.elapsed().as_millis();
        Line {
            time: timestamp(self.time),
            listener: self.listener,
            client: self.client,
            request: &self.request,
            trace: self.trace.map(|trace| trace.trace()),
            user: None,
            status: None,
            code: None,
            end,
            milliseconds: u64::try_from(elapsed).unwrap_or(u64::MAX),
            messages_in: None,
            messages_out: None,
            bytes_in: None,
            bytes_out: None,
        }
    }
}

/// A WebSocket that is open, for its record.
#[derive(Debug)]
pub(crate) struct Visit {
    log: LineLog,
    asked: Asked,
    pub(crate) user: Option<UserId>,
    pub(crate) code: Option<u16>,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    /// Received and sent.
    pub(crate) bytes: (u64, u64),
}

impl Visit {
    /// `None` without a log.
    pub(crate) fn begin(
        log: &LineLog,
        client: Option<IpAddr>,
        request: &tidewire::ws::Request,
    ) -> Option<Box<Self>> {
        log.is_on().then(|| {
            let head = &request.head;
            let line = (head.method(), head.path());
            Box::new(Self {
                log: log.clone(),
                asked: Asked::new("messaging", client, line, head.as_ref()),
                user: None,
                code: None,
                messages_in: 0,
                messages_out: 0,
                bytes: (0, 0),
            })
        })
    }

    /// Writes the record.
    pub(crate) fn ended(&self, reason: CloseReason) {
        let user = self.user.as_ref().map(ToString::to_string);
        self.log.write(&Line {
            user: user.as_deref(),
            code: self.code,
            messages_in: Some(self.messages_in),
            messages_out: Some(self.messages_out),
            bytes_in: Some(self.bytes.0),
            bytes_out: Some(self.bytes.1),
            ..self.asked.line(reason.label())
        });
    }
}

/// Writes the record of a WebSocket request that was refused.
pub(crate) fn refused(
    log: &LineLog,
    client: Option<IpAddr>,
    request: &tidewire::ws::Request,
    status: u16,
) {
    if !log.is_on() {
        return;
    }
    let head = &request.head;
    let line = (head.method(), head.path());
    let asked = Asked::new("messaging", client, line, head.as_ref());
    log.write(&Line {
        status: Some(status),
        ..asked.line("refused")
    });
}

/// What the middleware knows of its listener.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) listener: &'static str,
    pub(crate) access: Access,
    pub(crate) shaping: Arc<Shaping>,
}

impl Recorded {
    /// For requests of the listener of this name, with these handlers.
    pub(crate) fn of(listener: &'static str, rest: &Rest) -> Self {
        Self {
            listener,
            access: rest.access.clone(),
            shaping: Arc::clone(&rest.shaping),
        }
    }
}

/// A request until it is answered; when its client leaves before, the record says so.
struct Pending {
    log: LineLog,
    asked: Asked,
    answer: Option<(u16, Option<u64>)>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let (status, bytes) = self.answer.unzip();
        let end = if status.is_some() {
            "answered"
        } else {
            "aborted"
        };
        self.log.write(&Line {
            status,
            bytes_out: bytes.flatten(),
            ..self.asked.line(end)
        });
    }
}

/// Writes a record of each request.
pub(crate) async fn record(
    State(recorded): State<Recorded>,
    request: Request,
    next: Next,
) -> Response {
    let reasons = &recorded.shaping.reasons;
    let mut pending = reasons.access_log().is_on().then(|| {
        let client = recorded
            .access
            .client(request.headers(), &peer_of(&request));
        let line = (request.method().as_str(), request.uri().path());
        Pending {
            log: reasons.access_log().clone(),
            asked: Asked::new(recorded.listener, client, line, request.headers()),
            answer: None,
        }
    });
    let response = next.run(request).await;
    let status = response.status().as_u16();
    reasons.answered(recorded.listener, status);
    if let Some(pending) = &mut pending {
        pending.answer = Some((status, response.body().size_hint().exact()));
    }
    response
}
