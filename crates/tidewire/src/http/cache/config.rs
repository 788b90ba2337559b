//! Bounds of a cache of files, and when it looks again.

use std::time::Duration;

/// Settings of a [`FileCache`](super::FileCache).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Bytes of files and responses in memory. A file for which there is no room is read from disk at each request; a
    /// response of the application is [refused](super::CacheError::Full). Default 256 MiB.
    pub bytes_max: usize,
    /// A larger file is read from disk at each request, 64 KiB at a time. Default 8 MiB.
    pub file_bytes_max: usize,
    /// Files and responses that are known, at most. A directory with more is refused. Default 100 000.
    pub entries_max: usize,
    /// How often the directories are looked through for what has changed, and expired responses dropped, by a thread of
    /// the cache. Looking costs a `stat` per file. `None`: only [`expire`](super::FileCache::expire) does it. Default 2 s.
    pub reload_every: Option<Duration>,
    /// The file that stands for its folder, for example `index.html`: `/docs/` is answered with it, and `/docs` sent there.
    /// Default `None`: folders are not found.
    pub index: Option<String>,
    /// Serve `page.html.gz` or `page.html.br` for `page.html` to clients that take it. Default true.
    pub precompressed: bool,
    /// Serve files and folders whose name begins with a dot, too. Default false: they are seldom meant to be seen.
    pub hidden: bool,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            bytes_max: 256 << 20,
            file_bytes_max: 8 << 20,
            entries_max: 100_000,
            reload_every: Some(Duration::from_secs(2)),
            index: None,
            precompressed: true,
            hidden: false,
        }
    }
}
