//! The side of the socket that asks: [`copy`] and [`look`].

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{fs::OpenOptionsExt as _, net::UnixStream},
    path::Path,
};

use tidewire_engine::embedded::{
    Summary, copy_unused, database_file, finish_copy, look_into_unused,
};

use super::{CHECK, ERROR_PREFIX, HELD, INTACT, LOOK, Look, SNAPSHOT, SOCKET_FILE, StoreError};

/// Copies the store in `dir` to the file `target`, which must not exist, also while a server runs on it: the copy has
/// everything that was accepted before this was called. Checks the copy. Blocking.
///
/// # Errors
/// [`StoreError`]; then there is no file `target`.
pub fn copy(dir: &Path, target: &Path) -> Result<Look, StoreError> {
    // Reserved, so that nobody's file is written over.
    let reserved = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target);
    let file = match reserved {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let path = target.to_owned();
            return Err(StoreError::Exists { path });
        }
        Err(source) => return Err(failed(target, source)),
    };
    let copied = match server(dir)? {
        Some(server) => live(dir, server, &file, target).map(|summary| told(summary, true)),
        None => unused(dir, target).map(|summary| told(summary, false)),
    };
    if copied.is_err() {
        // What is in it is no copy.
        fs::remove_file(target).ok();
    }
    copied
}

/// Looks into the store in `dir`; a server that runs on it is asked. Blocking.
///
/// # Errors
/// [`StoreError`].
pub fn look(dir: &Path) -> Result<Look, StoreError> {
    let Some(mut server) = server(dir)? else {
        return Ok(told(look_into_unused(dir)?, false));
    };
    let answer = ask(dir, &mut server, LOOK)?;
    let figures: Vec<u64> = answer.split(' ').flat_map(str::parse).collect();
    let [messages, bytes, users] = figures[..] else {
        return Err(refused(dir, &answer));
    };
    let file_bytes = fs::metadata(database_file(dir)).map_or(0, |file| file.len());
    Ok(Look {
        is_in_use: true,
        messages,
        bytes,
        users,
        file_bytes,
    })
}

fn live(
    dir: &Path,
    mut server: UnixStream,
    mut target: &File,
    path: &Path,
) -> Result<Summary, StoreError> {
    let answer = ask(dir, &mut server, SNAPSHOT)?;
    if answer != HELD {
        return Err(refused(dir, &answer));
    }
    let source = database_file(dir);
    let mut database = File::open(&source).map_err(|error| failed(&source, error))?;
    io::copy(&mut database, &mut target)
        .and_then(|_bytes| target.sync_all())
        .map_err(|error| failed(path, error))?;
    match ask(dir, &mut server, CHECK) {
        Ok(answer) if answer == INTACT => {}
        Ok(_) | Err(_) => return Err(StoreError::TooSlow),
    }
    drop(server);
    Ok(finish_copy(path)?)
}

fn unused(dir: &Path, target: &Path) -> Result<Summary, StoreError> {
    // SQLite makes the file itself, and wants none or an empty one.
    Ok(copy_unused(dir, target)?)
}

/// The server on this store; `None` when there is none.
fn server(dir: &Path) -> Result<Option<UnixStream>, StoreError> {
    let path = dir.join(SOCKET_FILE);
    match UnixStream::connect(&path) {
        Ok(server) => Ok(Some(server)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(failed(&path, error)),
    }
}

fn ask(dir: &Path, server: &mut UnixStream, request: &str) -> Result<String, StoreError> {
    let path = dir.join(SOCKET_FILE);
    let told = |error| failed(&path, error);
    writeln!(server, "{request}").map_err(told)?;
    let mut answer = String::new();
    // Nothing follows an answer before the next request.
    BufReader::new(&*server)
        .read_line(&mut answer)
        .map_err(told)?;
    let answer = answer.trim_end();
    match answer.strip_prefix(ERROR_PREFIX) {
        Some(reason) => Err(refused(dir, reason)),
        None => Ok(answer.to_owned()),
    }
}

fn told(summary: Summary, is_in_use: bool) -> Look {
    Look {
        is_in_use,
        messages: summary.messages,
        bytes: summary.bytes,
        users: summary.users,
        file_bytes: summary.file_bytes,
    }
}

fn refused(dir: &Path, reason: &str) -> StoreError {
    StoreError::Refused {
        path: dir.to_owned(),
        reason: reason.to_owned(),
    }
}

fn failed(path: &Path, source: io::Error) -> StoreError {
    StoreError::File {
        path: path.to_owned(),
        source,
    }
}
