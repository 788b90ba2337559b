//! [`Watch`]: notices that files have changed.
//!
//! In: paths. Out: word that something has changed and is quiet again. The files are looked at every few seconds
//! instead of asking the system to tell: there are few of them, they are replaced by renames and swapped
//! symbolic links (which a watch on a file misses), and network file systems tell nothing.
//! Invariant: what an editor is still writing is not told.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep_until};

/// How often the files are looked at. A change is told when it is as old as this.
const EVERY: Duration = Duration::from_secs(2);

/// Looks at files.
#[derive(Debug)]
pub(crate) struct Watch {
    files: Vec<PathBuf>,
    /// As they were told last.
    told: Vec<Seen>,
    /// As they were at the last look.
    seen: Vec<Seen>,
    next: Instant,
}

/// What is known of a file; `None`: it cannot be read.
type Seen = Option<(SystemTime, u64)>;

impl Watch {
    /// Over these files as they are now; over none it tells nothing.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let seen = look(&files);
        Self {
            files,
            told: seen.clone(),
            seen,
            next: Instant::now() + EVERY,
        }
    }

    /// Waits until files have changed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn changed(&mut self) {
        if self.files.is_empty() {
            std::future::pending::<()>().await;
        }
        loop {
            sleep_until(self.next).await;
            self.next = Instant::now() + EVERY;
            let files = self.files.clone();
            // A disk may let us wait.
            let looked = tokio::task::spawn_blocking(move || look(&files)).await;
            let Ok(seen) = looked else { continue };
            let quiet = seen == self.seen;
            self.seen = seen;
            if quiet && self.seen != self.told {
                self.told.clone_from(&self.seen);
                return;
            }
        }
    }

    /// Watches these from now on.
    pub(crate) fn follow(&mut self, files: &[PathBuf]) {
        if self.files != files {
            *self = Self::new(files.to_vec());
        }
    }
}

/// Through symbolic links: what they point to counts.
fn look(files: &[PathBuf]) -> Vec<Seen> {
    let look = |path: &PathBuf| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(look).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_once_and_so_are_loss_and_return() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, "1").unwrap();
        let mut watch = Watch::new(vec![path.clone()]);
        assert!(timeout(SOON, watch.changed()).await.is_err());
        fs::write(&path, "22").unwrap();
        timeout(SOON, watch.changed()).await.unwrap();
        assert!(timeout(SOON, watch.changed()).await.is_err());
        fs::remove_file(&path).unwrap();
        timeout(SOON, watch.changed()).await.unwrap();
        fs::write(directory.path().join("new"), "333").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        timeout(SOON, watch.changed()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_being_written_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        fs::write(&path, "").unwrap();
        let mut watch = Watch::new(vec![path.clone()]);
        assert!(timeout(EVERY / 2, watch.changed()).await.is_err());
        let mut text = String::new();
        for _ in 0..20 {
            text.push('x');
            fs::write(&path, &text).unwrap();
            assert!(timeout(EVERY, watch.changed()).await.is_err());
        }
        timeout(SOON, watch.changed()).await.unwrap();
    }
}
