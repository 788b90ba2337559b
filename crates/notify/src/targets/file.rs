//! Lines of a file: one JSON object each, in files that are rotated.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidewire_table::{Size, table};
use tokio::{
    fs::{self, File, OpenOptions},
    io::AsyncWriteExt as _,
    sync::Mutex,
};

use crate::{Delivery, DeliveryError, Event, Target};

table! {
    /// A file of JSON lines.
    pub struct FileConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// The file. Its folder has to be there.
        path: String, example "\"/var/log/tidewire/events.jsonl\"";
        /// Size at which a new file is begun; the old one is called `path` with `.1` behind it, the one before `.2`, and so
        /// on. 0 = never.
        max_size: u64 as Size = 64 << 20, in 0..=1 << 50;
        /// Old files kept.
        files_max: u32 = 8, in 1..=1000;
        /// Counts a delivery only once it is on the disk (fsync).
        sync: bool = true;
    }
}

/// Appends events to a file.
pub struct FileTarget {
    config: FileConfig,
    /// One delivery at a time.
    open: Mutex<Option<Open>>,
}

struct Open {
    file: File,
    len: u64,
}

impl FileTarget {
    /// It opens the file with the first delivery.
    pub fn new(config: FileConfig) -> Self {
        Self {
            config,
            open: Mutex::default(),
        }
    }

    async fn write(&self, events: &[Arc<Event>]) -> io::Result<()> {
        let mut lines = Vec::with_capacity(events.iter().map(|event| event.json.len() + 1).sum());
        for event in events {
            lines.extend_from_slice(&event.json);
            lines.push(b'\n');
        }
        let mut slot = self.open.lock().await;
        // Taken out: a write that fails or is cut off leaves half a line behind, and the file is opened anew.
        let mut open = match slot.take() {
            Some(open) if self.is_in_place(&open).await => open,
            Some(_) | None => self.open().await?,
        };
        if self.config.max_size > 0
            && open.len > 0
            && open.len + lines.len() as u64 > self.config.max_size
        {
            drop(open);
            self.rotate().await?;
            open = self.open().await?;
        }
        open.file.write_all(&lines).await?;
        open.file.flush().await?;
        if self.config.sync {
            open.file.sync_data().await?;
        }
        open.len += lines.len() as u64;
        *slot = Some(open);
        Ok(())
    }

    /// Returns whether the file is still the one under its name, as far as its length tells: log rotation of others moves it away.
    async fn is_in_place(&self, open: &Open) -> bool {
        fs::metadata(&self.config.path)
            .await
            .is_ok_and(|found| found.len() == open.len)
    }

    /// Opens the file, and ends a line that was cut off.
    async fn open(&self) -> io::Result<Open> {
        let path = Path::new(&self.config.path);
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        options.mode(0o640);
        let mut file = options.open(path).await?;
        let mut len = file.metadata().await?.len();
        if len > 0 && !ends_with_newline(&mut file, len).await? {
            file.write_all(b"\n").await?;
            file.flush().await?;
            len += 1;
        }
        Ok(Open { file, len })
    }

    async fn rotate(&self) -> io::Result<()> {
        let numbered = |number: u32| PathBuf::from(format!("{}.{number}", self.config.path));
        for number in (1..self.config.files_max).rev() {
            rename_if_there(&numbered(number), &numbered(number + 1)).await?;
        }
        rename_if_there(Path::new(&self.config.path), &numbered(1)).await
    }
}

async fn ends_with_newline(file: &mut File, len: u64) -> io::Result<bool> {
    use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
    file.seek(io::SeekFrom::Start(len - 1)).await?;
    Ok(file.read_u8().await? == b'\n')
}

async fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Target for FileTarget {
    fn deliver<'a>(&'a self, events: &'a [Arc<Event>]) -> Delivery<'a> {
        Box::pin(async move {
            self.write(events)
                .await
                .map_err(|error| DeliveryError::unavailable(error.to_string()))
        })
    }
}

impl fmt::Debug for FileTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileTarget")
            .field("path", &self.config.path)
            .finish_non_exhaustive()
    }
}
