//! [`LineLog`]: JSON objects, one a line, to a place that may be slow, full or away.
//!
//! In: records. Out: lines, written by a thread of their own. Invariants: whoever writes a record never waits; records wait
//! in a bounded queue, and those that find no room, or that the place does not take, are dropped and counted.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use serde::Serialize;

/// Lines that may wait for the place; more are dropped and counted.
const WAITING_MAX: usize = 4096;

/// How often a file is looked for under its name, in case it was moved away.
const LOOKED_FOR_EVERY: Duration = Duration::from_secs(1);

/// How long the end waits for lines that are still to be written.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended to a file, which is opened again when it was moved away, and when [asked](LineLog::reopen) for.
    File(PathBuf),
}

/// Writes records as lines; clones share the place. The default writes nothing.
#[derive(Clone, Debug, Default)]
pub struct LineLog(Option<Arc<Sink>>);

#[derive(Debug)]
struct Sink {
    lines: Mutex<Option<SyncSender<String>>>,
    shared: Arc<Shared>,
    /// Ends with the writer.
    ended: Mutex<Receiver<()>>,
}

/// Between those who write records and the thread.
#[derive(Debug, Default)]
struct Shared {
    reopen: AtomicBool,
    dropped: AtomicU64,
}

impl LogPlace {
    /// Reads the value of a key: `"stdout"`, `"stderr"` or a file; `None` if it is empty.
    pub fn from_key(value: &str) -> Option<Self> {
        match value {
            "" => None,
            "stdout" => Some(Self::Stdout),
            "stderr" => Some(Self::Stderr),
            file => Some(Self::File(PathBuf::from(file))),
        }
    }
}

impl LineLog {
    /// A log that writes nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A log to this place; `None` writes nothing.
    ///
    /// # Errors
    /// The file cannot be opened, or there is no thread for the writer.
    pub fn open(place: Option<&LogPlace>) -> io::Result<Self> {
        let Some(place) = place else {
            return Ok(Self::default());
        };
        let open = match place {
            LogPlace::Stdout => Open::Stdout,
            LogPlace::Stderr => Open::Stderr,
            LogPlace::File(path) => Open::File(OpenFile::new(path)?),
        };
        let (lines, waiting) = sync_channel(WAITING_MAX);
        // Nothing is sent: it is dropped at the end.
        let (end, ended) = sync_channel(0);
        let shared = Arc::<Shared>::default();
        let of_writer = Arc::clone(&shared);
        thread::Builder::new()
            .name("tidewire-access-log".to_owned())
            .spawn(move || {
                write_all(&waiting, open, &of_writer);
                drop(end);
            })?;
        Ok(Self(Some(Arc::new(Sink {
            lines: Mutex::new(Some(lines)),
            shared,
            ended: Mutex::new(ended),
        }))))
    }

    /// Returns whether anything is written.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes a record, without waiting.
    pub fn write(&self, record: &impl Serialize) {
        let Some(sink) = &self.0 else { return };
        let Ok(line) = serde_json::to_string(record) else {
            return;
        };
        let lines = sink.lines.lock();
        let sent = lines.as_ref().map(|lines| lines.try_send(line));
        if !matches!(sent, Some(Ok(()))) {
            sink.shared.dropped.fetch_add(1, Relaxed);
        }
    }

    /// The next line goes to a newly opened file of the same name: it was moved away.
    pub fn reopen(&self) {
        if let Some(sink) = &self.0 {
            sink.shared.reopen.store(true, Relaxed);
        }
    }

    /// Returns how many lines found no room, or could not be written.
    pub fn dropped(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |sink| sink.shared.dropped.load(Relaxed))
    }

    /// Writes what waits, as far as the place takes it within 5 s, then nothing more. Blocks for that long at most.
    pub fn close(&self) {
        let Some(sink) = &self.0 else { return };
        let lines = sink.lines.lock().take();
        if lines.is_none() {
            return;
        }
        drop(lines);
        let ended = sink.ended.lock().recv_timeout(CLOSE_WITHIN);
        if ended == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the access log takes no lines: some are lost");
        }
    }
}

/// A time as records have it, in UTC.
pub fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_out_of_range| String::new(), |time| time.to_string())
}

/// A place that takes lines.
enum Open {
    Stdout,
    Stderr,
    File(OpenFile),
}

struct OpenFile {
    path: PathBuf,
    file: File,
    looked_for: Instant,
}

impl Open {
    fn write(&mut self, line: &[u8], shared: &Shared) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(line),
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::File(open) => {
                if shared.reopen.swap(false, Relaxed) || open.is_away() {
                    open.reopen();
                }
                open.file.write_all(line)
            }
        }
    }
}

impl OpenFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: append(path)?,
            looked_for: Instant::now(),
        })
    }

    /// Returns whether the name stands for no file or another one; looks once a second.
    fn is_away(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.looked_for) < LOOKED_FOR_EVERY {
            return false;
        }
        self.looked_for = now;
        is_another(&self.path, &self.file)
    }

    /// On an error the file that was open stays in use.
    fn reopen(&mut self) {
        match append(&self.path) {
            Ok(opened) => self.file = opened,
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "access log not reopened");
            }
        }
    }
}

#[cfg(unix)]
fn is_another(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let named = fs::metadata(path).map(place).ok();
    named != file.metadata().map(place).ok()
}

#[cfg(not(unix))]
fn is_another(path: &Path, _file: &File) -> bool {
    !fs::exists(path).unwrap_or(true)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// The writer's thread: ends when nobody can send any more.
fn write_all(waiting: &Receiver<String>, mut open: Open, shared: &Shared) {
    let mut failing = false;
    while let Ok(mut line) = waiting.recv() {
        line.push('\n');
        let written = open.write(line.as_bytes(), shared);
        if let Err(error) = &written {
            shared.dropped.fetch_add(1, Relaxed);
            if !failing {
                tracing::error!(%error, "access log not written; further failures are not told");
            }
        }
        failing = written.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).expect("readable");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("access");
        let log = LineLog::open(Some(&LogPlace::File(path.clone()))).expect("it opens");
        log.write(&"a\n\"b\"\r\u{1b}[31m");
        log.write(&7);
        log.close();
        assert_eq!(lines(&path), [r#""a\n\"b\"\r\u001b[31m""#, "7"]);
        log.write(&8);
        assert_eq!((lines(&path).len(), log.dropped()), (2, 1));
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let [path, moved] = ["access", "access.1"].map(|name| directory.path().join(name));
        let mut open = OpenFile::new(&path).expect("it opens");
        assert!(!is_another(&path, &open.file));
        fs::rename(&path, &moved).expect("renamed");
        assert!(is_another(&path, &open.file));
        open.reopen();
        assert!(!is_another(&path, &open.file));
        fs::write(directory.path().join("other"), "").expect("written");
        fs::rename(directory.path().join("other"), &path).expect("renamed");
        assert!(is_another(&path, &open.file));
    }

    /// A disk that hangs: the writer stays in a write, as to a pipe that nobody reads.
    #[cfg(unix)]
    #[test]
    fn a_place_that_takes_nothing_costs_lines_and_nobody_waits() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let shared = Arc::<Shared>::default();
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let (end, ended) = sync_channel(0);
        let open = Open::File(OpenFile {
            path: PathBuf::from("/dev/null"),
            file: File::from(std::os::fd::OwnedFd::from(writer)),
            looked_for: Instant::now() + Duration::from_hours(1),
        });
        let of_writer = Arc::clone(&shared);
        thread::spawn(move || {
            write_all(&waiting, open, &of_writer);
            drop(end);
        });
        let log = LineLog(Some(Arc::new(Sink {
            lines: Mutex::new(Some(lines)),
            shared,
            ended: Mutex::new(ended),
        })));
        let line = "x".repeat(64 << 10);
        for _ in 0..WAITING_MAX + 100 {
            log.write(&line);
        }
        // The pipe and the writer hold a few.
        assert!(
            log.dropped() > 0 && log.dropped() <= 100,
            "{}",
            log.dropped()
        );
        drop(reader);
        log.close();
        assert!(log.dropped() > 100, "what could not be written counts too");
    }
}
