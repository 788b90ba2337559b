//! Room kept back for the moment the disk is full.
//!
//! Draining a store needs disk space too: the log grows before rows go, and moving the log
//! into the database may make that grow. So a file of zeros holds some space, which is given
//! up when even an acknowledgement cannot be written, and taken back when there is room.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const RESERVE_FILE: &str = "reserve";
/// Taking the reserve writes all of it, so it is not tried with every commit. It also bounds
/// how long the store stays shut after somebody has made room on the disk.
const RETRY_AFTER: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The configuration wants none.
    Unwanted,
    Held,
    GivenUp {
        retry_at: Instant,
    },
}

impl Reserve {
    /// Takes the reserve if the disk has room for it.
    pub(super) fn take(dir: &Path, bytes: u64) -> Self {
        let mut reserve = Self {
            path: dir.join(RESERVE_FILE),
            bytes,
            state: State::Unwanted,
        };
        if bytes > 0 {
            reserve.state = State::GivenUp {
                retry_at: Instant::now(),
            };
            reserve.retake_if_due();
        }
        reserve
    }

    /// Frees the space; false if there is none to free.
    pub(super) fn give_up(&mut self) -> bool {
        if !matches!(self.state, State::Held) {
            return false;
        }
        self.state = State::GivenUp {
            retry_at: Instant::now() + RETRY_AFTER,
        };
        match fs::remove_file(&self.path) {
            Ok(()) => {
                tracing::warn!("the store gave up its disk reserve so that it can be drained");
                true
            }
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "the disk reserve is stuck");
                false
            }
        }
    }

    /// Tries to take the space back; returns whether that has just worked.
    pub(super) fn retake_if_due(&mut self) -> bool {
        let State::GivenUp { retry_at } = self.state else {
            return false;
        };
        if retry_at > Instant::now() {
            return false;
        }
        match self.fill() {
            Ok(()) => {
                self.state = State::Held;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the store has no disk reserve");
                self.state = State::GivenUp {
                    retry_at: Instant::now() + RETRY_AFTER,
                };
                if let Err(error) = fs::remove_file(&self.path) {
                    tracing::debug!(%error, "no partial disk reserve to remove");
                }
                false
            }
        }
    }

    /// Whether the store has to live without its reserve.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.state, State::GivenUp { .. })
    }

    /// Really writes the bytes: a file that only has the length holds no space.
    fn fill(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|file| file.len() == self.bytes) {
            return Ok(());
        }
        let mut file: File = super::files::open_private(&self.path)?;
        let zeros = [0; 16 << 10];
        let mut left = self.bytes;
        while left > 0 {
            let count = left.min(zeros.len() as u64);
            let Some(part) = usize::try_from(count)
                .ok()
                .and_then(|count| zeros.get(..count))
            else {
                break;
            };
            file.write_all(part)?;
            left -= count;
        }
        file.set_len(self.bytes)?;
        file.sync_all()
    }
}
