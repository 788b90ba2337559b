//! [`Blocks`]: users who may not connect, until a time or until the block is lifted.
//!
//! In: requests of an administrator. Out: whether a user is blocked. Invariants: a block that was answered is on disk,
//! so a restart keeps it; the file is replaced as a whole, so a crash leaves the earlier list or the later one; their number is bounded.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tidewire_hub::UserId;

/// Why and until when a user is blocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    /// For the client.
    pub(crate) reason: Arc<str>,
    pub(crate) since: Timestamp,
    /// `None`: until it is lifted.
    pub(crate) until: Option<Timestamp>,
}

impl Block {
    fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// A block was not made, or not lifted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("as many users are blocked as may be; see server.limits.blocked_users_max")]
    TooMany,
    #[error("the list of blocked users could not be written")]
    Io(#[from] io::Error),
}

/// The users who are blocked.
#[derive(Debug)]
pub(crate) struct Blocks {
    path: PathBuf,
    blocked: RwLock<BTreeMap<UserId, Block>>,
    /// Held while the file is written, so that the later list is the later file.
    writing: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    user: String,
    #[serde(flatten)]
    block: Block,
}

impl Blocks {
    /// Reads the list that an earlier run has left.
    ///
    /// # Errors
    /// The file is there and cannot be read: to go on would let in who is blocked.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        let blocked = match fs::read(&path) {
            Ok(bytes) => read(&bytes).map_err(|error| {
                let said = format!("{}: {error}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, said)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                let said = format!("{}: {error}", path.display());
                return Err(io::Error::new(error.kind(), said));
            }
        };
        Ok(Self {
            path,
            blocked: RwLock::new(blocked),
            writing: Mutex::new(()),
        })
    }

    /// The block of a user, if there is one now.
    pub(crate) fn of(&self, user: &UserId) -> Option<Block> {
        let blocked = self.blocked.read();
        let block = blocked.get(user)?;
        (!block.is_over(Timestamp::now())).then(|| block.clone())
    }

    /// All blocks there are now.
    pub(crate) fn all(&self) -> Vec<(UserId, Block)> {
        let now = Timestamp::now();
        let blocked = self.blocked.read();
        let blocks = blocked.iter().filter(|(_, block)| !block.is_over(now));
        blocks
            .map(|(user, block)| (user.clone(), block.clone()))
            .collect()
    }

    /// Blocks a user, for `length` or until it is lifted. An earlier block of the user is replaced. Writes a file, so
    /// it belongs on a thread that may wait.
    pub(crate) fn block(
        &self,
        user: &UserId,
        length: Option<SignedDuration>,
        reason: &str,
        blocked_max: usize,
    ) -> Result<Block, BlockError> {
        let _writing = self.writing.lock();
        let now = Timestamp::now();
        let block = Block {
            reason: reason.into(),
            since: now,
            until: length.and_then(|length| now.checked_add(length).ok()),
        };
        let mut next = self.blocked.read().clone();
        next.retain(|_, block| !block.is_over(now));
        next.insert(user.clone(), block.clone());
        if next.len() > blocked_max {
            return Err(BlockError::TooMany);
        }
        self.replace(next)?;
        Ok(block)
    }

    /// Lifts the block of a user; returns whether there was one. Writes a file.
    pub(crate) fn lift(&self, user: &UserId) -> Result<bool, BlockError> {
        let _writing = self.writing.lock();
        let now = Timestamp::now();
        let mut next = self.blocked.read().clone();
        let Some(block) = next.remove(user) else {
            return Ok(false);
        };
        self.replace(next)?;
        Ok(!block.is_over(now))
    }

    fn replace(&self, next: BTreeMap<UserId, Block>) -> io::Result<()> {
        write(&self.path, &next)?;
        *self.blocked.write() = next;
        Ok(())
    }
}

fn read(bytes: &[u8]) -> Result<BTreeMap<UserId, Block>, String> {
    let entries: Vec<Entry> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let pairs = entries.into_iter().map(|entry| {
        let user = entry.user.parse::<UserId>();
        let user = user.map_err(|error| format!("{:?}: {error}", entry.user))?;
        Ok((user, entry.block))
    });
    pairs.collect()
}

/// Writes beside the file, syncs, and puts that in its place.
fn write(path: &Path, blocks: &BTreeMap<UserId, Block>) -> io::Result<()> {
    let entries = blocks.iter().map(|(user, block)| Entry {
        user: user.to_string(),
        block: block.clone(),
    });
    let entries: Vec<Entry> = entries.collect();
    let text = serde_json::to_vec_pretty(&entries)?;
    let beside = path.with_extension("json.new");
    let mut file = File::create(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(dir) = path.parent() {
        // Where directories cannot be synced, the name is on disk a little later.
        File::open(dir).and_then(|dir| dir.sync_all()).ok();
    }
    Ok(())
}

const FILE: &str = "blocked-users.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        text.parse().unwrap()
    }

    #[test]
    fn a_block_outlives_a_restart_until_its_time_is_over_or_it_is_lifted() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(dir.path()).unwrap();
        let hour = Some(SignedDuration::from_hours(1));
        blocks.block(&user("7"), None, "spam", 9).unwrap();
        blocks.block(&user("Jörg K"), hour, "", 9).unwrap();
        let over = Some(SignedDuration::from_hours(-1));
        blocks.block(&user("8"), over, "", 9).unwrap();
        let again = Blocks::open(dir.path()).unwrap();
        assert_eq!(&*again.of(&user("7")).unwrap().reason, "spam");
        assert!(again.of(&user("Jörg K")).unwrap().until.is_some());
        assert_eq!(again.of(&user("8")), None);
        assert_eq!(again.all().len(), 2);
        assert!(again.lift(&user("7")).unwrap());
        assert!(!again.lift(&user("7")).unwrap());
        assert!(!again.lift(&user("8")).unwrap());
        assert_eq!(Blocks::open(dir.path()).unwrap().of(&user("7")), None);
    }

    #[test]
    fn a_full_list_refuses_and_those_whose_time_is_over_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(dir.path()).unwrap();
        let over = Some(SignedDuration::from_secs(-1));
        blocks.block(&user("1"), over, "", 2).unwrap();
        blocks.block(&user("2"), None, "", 2).unwrap();
        blocks.block(&user("3"), None, "", 2).unwrap();
        let full = blocks.block(&user("4"), None, "", 2).unwrap_err();
        assert!(matches!(full, BlockError::TooMany));
        blocks.block(&user("3"), None, "again", 2).unwrap();
        assert_eq!(blocks.of(&user("4")), None);
    }

    #[test]
    fn a_list_that_cannot_be_read_or_written_is_no_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "[{").unwrap();
        let error = Blocks::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
        fs::write(dir.path().join(FILE), "[]").unwrap();
        let blocks = Blocks::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("blocked-users.json.new")).unwrap();
        let error = blocks.block(&user("1"), None, "", 9).unwrap_err();
        assert!(matches!(error, BlockError::Io(_)));
        assert_eq!(
            blocks.of(&user("1")),
            None,
            "it would be gone after a restart"
        );
    }
}
