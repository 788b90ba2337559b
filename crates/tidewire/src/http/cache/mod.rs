//! Files and complete responses, ready to be sent: [`FileCache`].
//!
//! In: directories, responses of the application, and requests. Out: answers from memory. Files are read when their
//! directory is added, and again when they have changed; requests find them by their exact path. Invariants: a path that
//! is not in the table is not found, so nothing outside of the directories is; what is in memory is bounded in bytes; a
//! request sees an entry as a whole, the old one or the new one.
//!
//! Changes are found by looking (a `stat` per file and period) and not by the system's notification: looking works alike
//! on every system, on network and overlay file systems, and misses nothing when many files change at once.

mod config; // how much, and when it looks again
mod entry; // what is known under a path
mod tree; // a directory on disk
mod table; // all entries, within limits
mod body; // what is sent
mod answer; // conditions, ranges, codings
mod ready; // whole answers as bytes of HTTP/1.1
mod refresh; // a thread that looks again

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use tokio::time::Instant;

pub(super) use self::ready::Ready;
pub use self::{body::CachedBody, config::CacheConfig};
use self::{
    entry::{Content, Entry},
    table::Table,
};
use super::conditional::Asked;
use crate::sync::RwLock;

/// Files of directories, and complete responses of the application, served from memory. Clones are the same cache.
///
/// A [server](super::Http) that is given one ([`Config::files`](super::Config::files)) answers GET and HEAD for what
/// is in it before it asks its service: with validators and 304, ranges and 206, `Cache-Control: max-age`, and
/// precompressed forms (`page.html.br`, `page.html.gz`). Every other request goes to the service.
///
/// ```
/// use std::time::Duration;
///
/// use bytes::Bytes;
/// use http::Response;
/// use tidewire::http::{CacheConfig, FileCache};
///
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("index.html"), "<p>hello")?;
/// # let www = folder.path();
/// let cache = FileCache::new(CacheConfig::default().index("index.html".to_owned()));
/// cache.add_directory(www, "/chat", Duration::from_hours(1))?;
/// cache.insert("/version", Response::new(Bytes::from("1.0")), None)?;
/// assert!(cache.find("/chat/index.html").is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileCache {
    shared: Arc<Shared>,
}

struct Shared {
    config: CacheConfig,
    table: RwLock<Table>,
}

/// A directory or response was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The directory cannot be read.
    #[error("cannot read the directory {path}", path = path.display())]
    Unreadable {
        /// As it was given.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// There would be more entries than allowed.
    #[error("expected at most {entries_max} files and responses")]
    TooMany {
        /// [`CacheConfig::entries_max`].
        entries_max: usize,
    },
    /// There is no room in memory.
    #[error("no room for {len} bytes: the cache holds at most {bytes_max}")]
    Full {
        /// Of the response.
        len: usize,
        /// [`CacheConfig::bytes_max`].
        bytes_max: usize,
    },
    /// A path that no request can have: it does not begin with `/`.
    #[error("expected a path that begins with `/`")]
    Path,
}

impl FileCache {
    /// An empty cache. While it lives, and unless [`CacheConfig::reload_every`] says otherwise, a thread looks for
    /// changes.
    pub fn new(config: CacheConfig) -> Self {
        let every = config.reload_every;
        let shared = Arc::new(Shared {
            config,
            table: RwLock::new(Table::default()),
        });
        if let Some(every) = every {
            refresh::start(Arc::downgrade(&shared), every);
        }
        Self { shared }
    }

    /// Serves all files below `directory` under `prefix` (`/` or empty: from the root), and says that they are good for
    /// `max_age`. Reads them: blocking. What was found under the same paths is replaced; adding a directory again reads
    /// it again. Not found are: links that lead out, hidden files unless [`CacheConfig::hidden`], and what is no file.
    ///
    /// # Errors
    /// [`CacheError::Unreadable`], [`CacheError::TooMany`]; then nothing has changed.
    pub fn add_directory(
        &self,
        directory: impl AsRef<Path>,
        prefix: &str,
        max_age: Duration,
    ) -> Result<(), CacheError> {
        let directory = directory.as_ref();
        let prefix = table::normal_prefix(prefix);
        let found = tree::walk(directory, &prefix, &self.shared.config)?;
        let owner = {
            let mut table = self.shared.table.write();
            table.check_count(found.len(), &self.shared.config)?;
            table.own(directory, prefix, max_age)
        };
        refresh::load(&self.shared, owner, &found);
        Ok(())
    }

    /// Serves nothing of `directory` any more. Returns whether it had been added.
    pub fn remove_directory(&self, directory: impl AsRef<Path>) -> bool {
        self.shared.table.write().disown(directory.as_ref())
    }

    /// Returns whether `directory` is served.
    pub fn has_directory(&self, directory: impl AsRef<Path>) -> bool {
        self.shared.table.read().has_directory(directory.as_ref())
    }

    /// Serves `response` under `path`, for `timeout` or for as long as it is not removed; whatever was there is
    /// replaced. Validators are the response's own: with an `ETag`, conditional requests are answered.
    ///
    /// # Errors
    /// [`CacheError::Path`], [`CacheError::TooMany`], [`CacheError::Full`]; then nothing has changed.
    pub fn insert(
        &self,
        path: &str,
        response: Response<Bytes>,
        timeout: Option<Duration>,
    ) -> Result<(), CacheError> {
        if !path.starts_with('/') {
            return Err(CacheError::Path);
        }
        let expires = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let entry = Entry::response(response, expires);
        self.shared
            .table
            .write()
            .insert(path, entry, &self.shared.config)
    }

    /// Returns the response that a request for `path` gets, as a whole. `None`: there is none, it has expired, or its
    /// bytes are on disk.
    pub fn find(&self, path: &str) -> Option<Response<Bytes>> {
        self.find_with_timeout(path)
            .map(|(response, _left)| response)
    }

    /// As [`find`](Self::find), and how long it is still good; `None` there: for as long as it is not removed.
    pub fn find_with_timeout(&self, path: &str) -> Option<(Response<Bytes>, Option<Duration>)> {
        let now = Instant::now();
        let entry = self.entry(path).filter(|entry| !entry.is_expired(now))?;
        if matches!(entry.content, Content::Disk { .. }) {
            return None;
        }
        let left = entry
            .expires
            .map(|expires| expires.saturating_duration_since(now));
        Some((entry.to_response(), left))
    }

    /// Forgets what is under `path`, and returns it. A file comes back when it changes on disk, or when its directory is
    /// added again.
    pub fn remove(&self, path: &str) -> Option<Response<Bytes>> {
        let entry = self.shared.table.write().remove(path)?;
        Some(entry.to_response())
    }

    /// Forgets everything, directories too.
    pub fn clear(&self) {
        *self.shared.table.write() = Table::default();
    }

    /// Exchanges the contents of two caches at once for all requests that follow; settings stay where they are.
    pub fn swap(&self, other: &Self) {
        if Arc::ptr_eq(&self.shared, &other.shared) {
            return;
        }
        // Always in the same order, so that two exchanges do not wait for each other.
        let (first, second) = if Arc::as_ptr(&self.shared) < Arc::as_ptr(&other.shared) {
            (self, other)
        } else {
            (other, self)
        };
        let mut first = first.shared.table.write();
        let mut second = second.shared.table.write();
        std::mem::swap(&mut *first, &mut *second);
    }

    /// Drops what has expired, and looks through the directories for changes. Reads files: blocking. By default a thread
    /// does so every [`CacheConfig::reload_every`].
    pub fn expire(&self) {
        refresh::run(&self.shared);
    }

    /// The number of files and responses.
    pub fn len(&self) -> usize {
        self.shared.table.read().len()
    }

    /// Returns whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in memory, about.
    pub fn bytes(&self) -> usize {
        self.shared.table.read().bytes()
    }

    /// Answers a request for what is in the cache. `None`: it is for the application, since nothing is under its path or
    /// it is neither GET nor HEAD.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is kept.
    pub async fn respond(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Option<Response<CachedBody>> {
        if *method != Method::GET && *method != Method::HEAD {
            return None;
        }
        let path = uri.path();
        let Some(entry) = self.lookup(path) else {
            return self.to_folder(path, uri.query());
        };
        let mut asked = Asked::default();
        for (name, value) in headers {
            asked.field(name.as_str(), value.as_bytes());
        }
        let answered = answer::answer(&entry, method, &asked).await;
        Some(answered.unwrap_or_else(|error| {
            tracing::warn!(path, error = %crate::ErrorChain(&error), "a file cannot be read");
            let mut response = Response::new(CachedBody::whole(Bytes::from_static(
                b"the file cannot be read\n",
            )));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }))
    }

    /// A whole answer as bytes of HTTP/1.1, if the request is as plain as most are.
    pub(super) fn ready(&self, head: &tidewire_proto::handshake::RequestHead) -> Option<Ready> {
        ready::find(self, head)
    }

    /// The entry for the path of a request, which may be the index of a folder.
    fn lookup(&self, path: &str) -> Option<Arc<Entry>> {
        let is_encoded = path.contains('%');
        let decoded;
        let path = if is_encoded {
            decoded = percent_decode(path)?;
            decoded.as_str()
        } else {
            path
        };
        let entry = self.entry(path).or_else(|| {
            let index = self.shared.config.index.as_deref()?;
            self.entry(&format!("{}{index}", path.strip_suffix('/').map(|_| path)?))
        })?;
        (entry.expires.is_none() || !entry.is_expired(Instant::now())).then_some(entry)
    }

    fn entry(&self, path: &str) -> Option<Arc<Entry>> {
        self.shared.table.read().find(path)
    }

    /// Without its `/` at the end, links in the index of a folder would lead elsewhere.
    fn to_folder(&self, path: &str, query: Option<&str>) -> Option<Response<CachedBody>> {
        let index = self.shared.config.index.as_deref()?;
        if path.ends_with('/') || path.starts_with("//") {
            return None;
        }
        self.lookup(&format!("{path}/{index}"))?;
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let location = HeaderValue::try_from(format!("{path}/{query}")).ok()?;
        let mut response = Response::new(CachedBody::empty());
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        response.headers_mut().insert(header::LOCATION, location);
        Some(response)
    }
}

impl Default for FileCache {
    fn default() -> Self {
        Self::new(CacheConfig::default())
    }
}

impl fmt::Debug for FileCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.shared.table.read();
        f.debug_struct("FileCache")
            .field("config", &self.shared.config)
            .field("len", &table.len())
            .field("bytes", &table.bytes())
            .finish_non_exhaustive()
    }
}

/// `None`: it is no path of ours.
fn percent_decode(path: &str) -> Option<String> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}
