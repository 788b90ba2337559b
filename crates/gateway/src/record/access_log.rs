//! The access log: one JSON object per ended session.
//!
//! In: a session's record. Out: a line. Invariants: no secret is in it (no query, no headers, no payload);
//! a sink that fails costs its lines, never a connection; lines wait in a bounded queue.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::SystemTime,
};

use parking_lot::Mutex;

use serde::Serialize;

use crate::{
    record::{Dialect, End, Record, Refused},
    settings,
};

/// Lines that may wait for the sink; more are dropped and counted.
const WAITING_MAX: usize = 4096;

/// Writes access records; cloning shares the sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessLog(Option<Arc<Sink>>);

#[derive(Debug)]
struct Sink {
    lines: Mutex<Option<SyncSender<String>>>,
    reopen: Arc<AtomicBool>,
    dropped: AtomicU64,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
}

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

impl Sink {
    fn send(&self, line: &Line<'_>) {
        let Ok(line) = serde_json::to_string(line) else {
            return;
        };
        let lines = self.lines.lock();
        let sent = lines.as_ref().map(|lines| lines.try_send(line));
        if !matches!(sent, Some(Ok(()))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl AccessLog {
    /// A log to this place; `None` writes nothing.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(place: Option<&settings::AccessLog>) -> io::Result<Self> {
        let Some(place) = place else {
            return Ok(Self::default());
        };
        let path = match place {
            settings::AccessLog::Stdout => None,
            settings::AccessLog::File(path) => Some(path.clone()),
        };
        let file = path.as_ref().map(append).transpose()?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let reopen = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&reopen);
        let writer = thread::Builder::new()
            .name("tidewire-access-log".to_owned())
            .spawn(move || write_all(&waiting, path.as_ref(), file, &asked))?;
        Ok(Self(Some(Arc::new(Sink {
            lines: Mutex::new(Some(lines)),
            reopen,
            dropped: AtomicU64::new(0),
            writer: Mutex::new(Some(writer)),
        }))))
    }

    /// The next line goes to a newly opened file of the same name: it was rotated.
    pub(crate) fn reopen(&self) {
        if let Some(sink) = &self.0 {
            sink.reopen.store(true, Ordering::Relaxed);
        }
    }

    /// Lines that found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |sink| sink.dropped.load(Ordering::Relaxed))
    }

    /// Tells of an ended session.
    pub(crate) fn write(&self, record: &Record, end: Option<&End>) {
        let Some(sink) = &self.0 else { return };
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
        sink.send(&line);
    }

    /// Tells of a request that was refused.
    pub(crate) fn write_refused(&self, refused: &Refused<'_>) {
        let Some(sink) = &self.0 else { return };
        sink.send(&Line {
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

    /// Writes what waits, then nothing more.
    pub(crate) fn close(&self) {
        let Some(sink) = &self.0 else { return };
        let lines = sink.lines.lock().take();
        drop(lines);
        let writer = sink.writer.lock().take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the access log's writer failed");
        }
    }
}

fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_out_of_range| String::new(), |time| time.to_string())
}

fn append(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// The writer's thread: ends when nobody can send any more.
fn write_all(
    waiting: &Receiver<String>,
    path: Option<&PathBuf>,
    mut file: Option<File>,
    reopen: &AtomicBool,
) {
    let mut failing = false;
    while let Ok(mut line) = waiting.recv() {
        line.push('\n');
        if let Some(path) = path.filter(|_path| reopen.swap(false, Ordering::Relaxed)) {
            match append(path) {
                Ok(opened) => file = Some(opened),
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "access log not reopened");
                }
            }
        }
        let written = match &mut file {
            Some(file) => file.write_all(line.as_bytes()),
            None => io::stdout().lock().write_all(line.as_bytes()),
        };
        if let Err(error) = &written
            && !failing
        {
            tracing::error!(%error, "access log not written; further failures are not told");
        }
        failing = written.is_err();
    }
}
