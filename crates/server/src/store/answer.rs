//! The server's side of the socket: [`StoreSocket`].
//!
//! In: lines of whoever may use the data directory. Out: snapshots of the store, and figures. Bounds: so many askers
//! at a time, so long a line, so long a snapshot; who is beyond them is cut.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tidewire_engine::{
    Mailbox as _,
    embedded::{Snapshot, SqliteMailbox},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, oneshot},
    task::AbortHandle,
    time::timeout,
};

use super::{CHECK, ERROR_PREFIX, HELD, INTACT, LOOK, SNAPSHOT, SOCKET_FILE};

/// Answers about the store until dropped.
#[derive(Debug)]
pub(crate) struct StoreSocket {
    path: PathBuf,
    task: AbortHandle,
}

impl StoreSocket {
    /// Begins to listen in the data directory. Without such a socket, for example on a file system that has none, the
    /// server runs all the same.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn open(dir: &Path, mailbox: &Arc<SqliteMailbox>) -> Option<Self> {
        let path = dir.join(SOCKET_FILE);
        match bind(dir, &path) {
            Ok(listener) => {
                let task = tokio::spawn(answer_all(listener, Arc::clone(mailbox)));
                let task = task.abort_handle();
                Some(Self { path, task })
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no copies while the server runs: there is no socket to ask it by");
                None
            }
        }
    }
}

impl Drop for StoreSocket {
    fn drop(&mut self) {
        self.task.abort();
        fs::remove_file(&self.path).ok();
    }
}

/// In two steps, so that nobody else can connect before the mode is right. One that is there is of a process that was
/// killed: the directory is ours.
fn bind(dir: &Path, path: &Path) -> io::Result<UnixListener> {
    let new = dir.join("control.new");
    fs::remove_file(&new).ok();
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

async fn answer_all(listener: UnixListener, mailbox: Arc<SqliteMailbox>) {
    let places = Arc::new(Semaphore::new(ASKERS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, _address)) => {
                let mailbox = Arc::clone(&mailbox);
                drop(tokio::spawn(async move {
                    // Who asks too long, or has gone, needs no word.
                    drop(timeout(ASKER_TIMEOUT, answer(socket, &mailbox)).await);
                    drop(place);
                }));
            }
            Err(error) => {
                tracing::warn!(%error, "the store's socket does not accept");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(mut socket: UnixStream, mailbox: &SqliteMailbox) -> io::Result<()> {
    let (reader, mut writer) = socket.split();
    let mut reader = BufReader::new(reader);
    let mut snapshot: Option<Snapshot> = None;
    loop {
        let mut line = String::new();
        (&mut reader).take(LINE_MAX).read_line(&mut line).await?;
        let answer = match line.trim_end() {
            "" => return Ok(()),
            SNAPSHOT => match take(mailbox).await {
                Ok(taken) => {
                    tracing::info!("the store is being copied");
                    snapshot = Some(taken);
                    HELD.to_owned()
                }
                Err(reason) => format!("{ERROR_PREFIX}{reason}"),
            },
            CHECK if snapshot.as_ref().is_some_and(Snapshot::is_intact) => INTACT.to_owned(),
            CHECK => format!("{ERROR_PREFIX}the file has changed meanwhile"),
            LOOK => {
                let stats = mailbox.stats();
                format!(
                    "{} {} {}",
                    stats.pending_messages, stats.pending_bytes, stats.pending_users
                )
            }
            _ => format!("{ERROR_PREFIX}unknown request"),
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

async fn take(mailbox: &SqliteMailbox) -> Result<Snapshot, String> {
    let (done, taken) = oneshot::channel();
    mailbox
        .snapshot(Box::new(move |snapshot| {
            // Who has gone holds nothing.
            drop(done.send(snapshot));
        }))
        .map_err(|error| error.to_string())?;
    match taken.await {
        Ok(snapshot) => snapshot.map_err(|error| error.to_string()),
        Err(_gone) => Err("the store is being closed".to_owned()),
    }
}

/// Who copies is one, who looks is another.
const ASKERS_MAX: usize = 8;
/// Longest request.
const LINE_MAX: u64 = 64;
/// Longest copy: the log's bound usually ends one before.
const ASKER_TIMEOUT: Duration = Duration::from_hours(1);
