//! How many transactions were committed, kept outside of the database.
//!
//! SQLite ends the replay of its log at the first frame that is damaged and says nothing: a
//! flipped bit looks like the torn end of a log that a crash leaves. So the number of commits
//! stands in the database, within each transaction, and again in a file of its own, written
//! after the commit. Invariant: the file never says more than was fsynced. It is not fsynced
//! itself, so after a power cut it may be behind, which raises no alarm; when it is ahead of
//! the database, committed transactions are missing.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use super::files;

const MARK_FILE: &str = "commits";
/// The number and its CRC-32, little endian.
const LEN: usize = 12;

#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    failing: bool,
}

impl Mark {
    /// Opens the file, creating it if it is absent; returns the number in it, 0 if there is
    /// none that can be trusted.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, u64)> {
        let file = files::open_private(&dir.join(MARK_FILE))?;
        let mut bytes = Vec::new();
        (&file).take(LEN as u64 + 1).read_to_end(&mut bytes)?;
        let commits = decode(&bytes).unwrap_or(0);
        let mark = Self {
            file,
            failing: false,
        };
        Ok((mark, commits))
    }

    /// A commit with this number has reached the disk.
    pub(super) fn set(&mut self, commits: u64) {
        match self.write(commits) {
            Ok(()) => self.failing = false,
            // An old number is a true one.
            Err(error) if !self.failing => {
                tracing::warn!(%error, "the number of commits could not be noted");
                self.failing = true;
            }
            Err(_) => {}
        }
    }

    /// Makes the number durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&mut self, commits: u64) -> io::Result<()> {
        let bytes = encode(commits);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)
    }
}

fn encode(commits: u64) -> [u8; LEN] {
    let number = commits.to_le_bytes();
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&number);
    bytes[8..].copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    let crc = <[u8; 4]>::try_from(rest).ok()?;
    (crc32fast::hash(number) == u32::from_le_bytes(crc)).then(|| u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back_and_damage_is_no_number() {
        let bytes = encode(0x0123_4567_89ab);
        assert_eq!(decode(&bytes), Some(0x0123_4567_89ab));
        for bit in 0..LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit}");
        }
        for cut in 0..LEN {
            assert_eq!(decode(&bytes[..cut]), None, "{cut} bytes");
        }
        assert_eq!(
            decode(&[0; LEN]),
            None,
            "a file that was never written back"
        );
    }
}
