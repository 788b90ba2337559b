//! [`HandoverSocket`]: the path where a successor finds us.
//!
//! Invariants: what stands there is a socket of our own user, readable by nobody else, or nothing; a
//! file that is anything else is neither used nor replaced; we take away only what we have put there.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

use super::{
    Bound, Program,
    exchange::{Predecessor, Successor, our_user},
};
use crate::HandoverError;

/// Where successors are waited for; nowhere by default.
#[derive(Debug, Default)]
pub struct HandoverSocket(Option<Ours>);

#[derive(Debug)]
struct Ours {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of what we have put there.
    identity: (u64, u64),
}

impl HandoverSocket {
    /// Listens at `path`, and takes the place of a predecessor.
    ///
    /// # Errors
    /// [`HandoverError`]; what stood there is untouched.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(path: &Path) -> Result<Self, HandoverError> {
        is_taken(path)?;
        // Where nobody looks for it, until it is as it should be.
        let mut new = OsString::from(path);
        new.push(format!(".{}.new", std::process::id()));
        let new = PathBuf::from(new);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&new)?;
        let placed = fs::set_permissions(&new, Permissions::from_mode(0o600))
            .and_then(|()| identity(&new))
            .and_then(|identity| fs::rename(&new, path).map(|()| identity));
        match placed {
            Ok(identity) => Ok(Self(Some(Ours {
                listener,
                path: path.to_owned(),
                identity,
            }))),
            Err(error) => {
                drop(fs::remove_file(&new));
                Err(error.into())
            }
        }
    }

    /// The next process that wants the listeners; strangers are sent away.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn successor(&self) -> Successor {
        let Some(ours) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            match ours.listener.accept().await.map_err(HandoverError::from) {
                Ok((stream, _)) => match Successor::new(stream) {
                    Ok(successor) => return successor,
                    Err(error) => tracing::warn!(%error, "a stranger asked for the listeners"),
                },
                Err(error) => {
                    tracing::error!(%error, "cannot wait for a successor; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The path belongs to a successor now.
    pub fn leave(&mut self) {
        self.0 = None;
    }
}

/// How long to wait after the system refused to accept.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

impl Drop for Ours {
    fn drop(&mut self) {
        // A successor may have put its own there.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, "the hand-over socket was not removed");
        }
    }
}

/// Asks the process that listens at `path` for its sockets; `None`: there is none.
///
/// # Errors
/// [`HandoverError`]: there is one, and it does not give them, or the path is not ours to use.
///
/// # Cancel safety
/// Cancel safe: the other process goes on.
pub async fn ask(
    path: &Path,
    program: Program,
) -> Result<Option<(Predecessor, Vec<Bound>)>, HandoverError> {
    if !is_taken(path)? {
        return Ok(None);
    }
    match UnixStream::connect(path).await {
        Ok(stream) => Predecessor::ask(stream, program).await.map(Some),
        // Left behind by a process that was killed.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether there is a socket at `path`; an error if there is something that is not to be touched.
fn is_taken(path: &Path) -> Result<bool, HandoverError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let problem = if !metadata.file_type().is_socket() {
        "is there already and no socket"
    } else if metadata.uid() != our_user() {
        "belongs to another user"
    } else {
        return Ok(true);
    };
    Err(HandoverError::Place {
        path: path.display().to_string(),
        problem,
    })
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_private_and_goes_with_its_owner_but_not_with_its_predecessor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handover.sock");
        let first = HandoverSocket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{mode:o}");
        let second = HandoverSocket::bind(&path).unwrap();
        drop(first);
        assert!(is_taken(&path).unwrap());
        drop(second);
        assert!(!is_taken(&path).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handover.sock");
        fs::write(&path, "precious").unwrap();
        let error = HandoverSocket::bind(&path).unwrap_err();
        assert!(error.to_string().ends_with("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let elsewhere = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &elsewhere).unwrap();
        assert!(HandoverSocket::bind(&elsewhere).is_err());
    }
}
