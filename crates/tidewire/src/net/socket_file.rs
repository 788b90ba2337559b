//! The file of a Unix socket: one that a dead process has left is replaced, permissions are set before anybody can
//! connect, and it is removed at the end.
//!
//! Invariants: what is no socket is never removed, and neither is a socket that somebody listens on.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::bind::UnixOptions;

/// The file of a socket that is listened on. Clones are one; the last one removes the file if it is ours.
#[derive(Clone, Debug)]
pub(super) struct SocketFile(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    path: PathBuf,
    /// Device and inode: somebody may have put another file there meanwhile.
    identity: (u64, u64),
    is_ours: AtomicBool,
}

impl SocketFile {
    /// The socket at `path`, which is not ours; `None` when there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        metadata.file_type().is_socket().then(|| {
            Self(Arc::new(Owned {
                // The process may go to another folder.
                path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
                identity: identity(&metadata),
                is_ours: AtomicBool::new(false),
            }))
        })
    }

    pub(super) fn is_ours(&self) -> bool {
        self.0.is_ours.load(Ordering::Acquire)
    }

    pub(super) fn set_ours(&self, is_ours: bool) {
        self.0.is_ours.store(is_ours, Ordering::Release);
    }

    /// Gives the file other permissions, if it is ours.
    pub(super) fn permit(&self, options: &UnixOptions) -> io::Result<()> {
        if self.is_ours() {
            permit(&self.0.path, options)
        } else {
            Ok(())
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let is_it = |metadata: Metadata| identity(&metadata) == self.identity;
        let is_ours = *self.is_ours.get_mut();
        if !is_ours || !fs::symlink_metadata(&self.path).is_ok_and(is_it) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the file of a Unix socket stays");
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Listens at `path`, with the permissions that `options` say.
pub(super) fn listen(
    path: &Path,
    options: &UnixOptions,
    backlog: i32,
) -> io::Result<(UnixListener, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    // Of two processes that start at once, the second must not take the socket that the first has bound, and does not
    // listen on yet, for one that a dead process has left.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or_else(|| Path::new(".")));
    let is_locked = folder
        .as_ref()
        .is_ok_and(|folder| folder.try_lock().is_ok());
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address, is_locked)?;
            socket.bind(&address)?;
        }
        bound => bound.map_err(|error| in_words(error, path))?,
    }
    let file = SocketFile::of(path).ok_or(io::ErrorKind::NotFound)?;
    file.set_ours(true);
    // Nobody can connect before the socket listens.
    permit(path, options)?;
    socket.listen(backlog)?;
    Ok((socket.into(), file))
}

fn permit(path: &Path, options: &UnixOptions) -> io::Result<()> {
    if let Some(group) = options.group {
        lchown(path, None, Some(group)).map_err(|error| {
            let text = format!("the socket cannot be given to group {group}");
            io::Error::new(error.kind(), format!("{text}: {error}"))
        })?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(options.mode))
}

/// Removes the socket of a process that has ended.
fn remove_stale(path: &Path, address: &SockAddr, is_locked: bool) -> io::Result<()> {
    let refused = |kind, why: &str| Err(io::Error::new(kind, why));
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            let why = "a file is there which is no socket; it is left alone: name another path, or remove it";
            return refused(io::ErrorKind::AlreadyExists, why);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(in_words(error, path)),
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address).map_err(|error| error.kind()) {
        Err(io::ErrorKind::ConnectionRefused) if !is_locked => refused(
            io::ErrorKind::AddrInUse,
            "a socket is there that nobody listens on, but it cannot be replaced now: the folder is locked or not readable",
        ),
        Err(io::ErrorKind::ConnectionRefused) => {
            tracing::info!(path = %path.display(), "replacing the socket of a process that has ended");
            fs::remove_file(path)
        }
        Err(io::ErrorKind::NotFound) => Ok(()),
        Err(io::ErrorKind::PermissionDenied) => refused(
            io::ErrorKind::AddrInUse,
            "a socket is there, and this user may not see whether another process listens on it",
        ),
        // Also when it has too many waiting, or its socket is of another type.
        Ok(()) | Err(_) => refused(io::ErrorKind::AddrInUse, "another process listens there"),
    }
}

fn in_words(error: io::Error, path: &Path) -> io::Error {
    let folder = path.parent().unwrap_or(path).display();
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        return io::Error::new(kind, format!("the folder {folder} does not exist"));
    }
    if kind == io::ErrorKind::PermissionDenied {
        return io::Error::new(kind, format!("this user may not create files in {folder}"));
    }
    error
}
