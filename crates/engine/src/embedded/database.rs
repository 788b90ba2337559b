//! The SQLite file: how it is opened and every statement that is run on it.
//!
//! One connection, used by one thread. The store's thread checkpoints by itself instead of
//! leaving it to SQLite: an automatic checkpoint runs inside a commit, where callers wait, and
//! swallows its errors, where a failed fsync must stop the store.

use std::path::{Path, PathBuf};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, config::DbConfig, ffi, params,
    types::ValueRef,
};

use super::{
    config::Config,
    error::OpenError,
    files, format,
    meta::Meta,
    recipients::Recipients,
    row::{MessageRow, To, UserRow},
    sql::{number, open_error, pragma},
};

/// What went wrong, by what is to be done.
#[derive(Debug)]
pub(super) enum Fault {
    /// No room: roll back, refuse what needs room, try again later.
    DiskFull,
    /// Anything else: what is on disk is unknown, nothing may be committed any more.
    Fatal(rusqlite::Error),
}

/// Tells a fault that passes from one that does not. After a write that failed for want of room
/// nothing is unknown: the log is valid up to the last commit. After any other, and after every
/// fsync that failed, whatever the reason, it is.
fn sort(error: rusqlite::Error, has_no_room: impl FnOnce() -> bool) -> Fault {
    let is_write = error
        .sqlite_error()
        .is_some_and(|error| WRITES.contains(&error.extended_code));
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Fault::DiskFull,
        // SQLite does not say which error a write has met.
        Some(_) if is_write && has_no_room() => Fault::DiskFull,
        Some(_) | None => Fault::Fatal(error),
    }
}

/// What table `user` holds of a user.
#[derive(Clone, Copy, Debug)]
pub(super) enum KnownUser {
    Row { last_offset: u64 },
    Absent,
    Damaged,
}

#[derive(Debug)]
pub(super) struct Database {
    dir: PathBuf,
    connection: Connection,
    pages_max: u64,
}

impl Database {
    /// Opens the file, creating the tables in an empty one.
    pub(super) fn open(path: &Path, config: &Config) -> Result<Self, OpenError> {
        let failed = |error| open_error(path, error);
        // The store has one thread: SQLite needs no locks of its own.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        let mut database = Self {
            dir: config.dir.clone(),
            connection,
            pages_max: PAGES_MAX,
        };
        database.prepare(config).map_err(failed)?;
        format::check(&database.connection, path)?;
        database.check_pages(path)?;
        Ok(database)
    }

    fn prepare(&mut self, config: &Config) -> rusqlite::Result<()> {
        let connection = &self.connection;
        // Closing must not write: after a failure nothing may reach the disk any more.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_prepared_statement_cache_capacity(32);
        // Exclusive before the first access keeps the WAL index in memory: no shared memory
        // file, and no lock calls per transaction.
        pragma(connection, "locking_mode = EXCLUSIVE")?;
        pragma(connection, "cell_size_check = ON")?;
        pragma(connection, "temp_store = MEMORY")?;
        // Every commit is on disk when it returns; on macOS plain fsync does not do that.
        pragma(connection, "synchronous = FULL")?;
        pragma(connection, "fullfsync = ON")?;
        pragma(connection, "checkpoint_fullfsync = ON")?;
        pragma(connection, "wal_autocheckpoint = 0")?;
        pragma(
            connection,
            &format!("journal_size_limit = {WAL_BYTES_KEPT}"),
        )?;
        // Negative means KiB.
        pragma(connection, &format!("cache_size = -{CACHE_KIB}"))?;
        let limits = [config.file_bytes_max, process_limit()];
        if let Some(bytes) = limits.into_iter().flatten().min() {
            let page_size = number(connection, "PRAGMA page_size")?;
            self.pages_max = bytes / page_size.cast_unsigned();
        }
        self.allow_growth(true)
    }

    /// Has SQLite look at every page: a tree that is broken must not be written to.
    fn check_pages(&self, path: &Path) -> Result<(), OpenError> {
        let found: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| open_error(path, error))?;
        if found == "ok" {
            return Ok(());
        }
        Err(OpenError::Corrupt {
            path: path.to_owned(),
            reason: found.replace('\n', " "),
        })
    }

    /// Runs `write` in a transaction that is on disk when this returns `Ok`, and not there at
    /// all when it returns [`Fault::DiskFull`].
    pub(super) fn transact(
        &self,
        write: impl FnOnce(&Self) -> rusqlite::Result<()>,
    ) -> Result<(), Fault> {
        self.execute("BEGIN IMMEDIATE", [])
            .map_err(|error| self.fault(error))?;
        let Err(error) = write(self).and_then(|()| self.execute("COMMIT", [])) else {
            return Ok(());
        };
        let fault = self.fault(error);
        // A full disk may have rolled back already.
        if matches!(fault, Fault::DiskFull) && !self.connection.is_autocommit() {
            self.execute("ROLLBACK", []).map_err(Fault::Fatal)?;
        }
        Err(fault)
    }

    pub(super) fn insert(&self, row: &MessageRow<'_>) -> rusqlite::Result<()> {
        let (seq, crc, expiry) = (row.seq, row.crc(), row.expiry_ms.cast_signed());
        match row.to {
            To::One { user, offset } => self.execute(
                "INSERT INTO message (seq, crc, user, offset, expiry, payload, sender)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    seq,
                    crc,
                    user,
                    offset.cast_signed(),
                    expiry,
                    row.body,
                    row.sender
                ],
            ),
            To::Several(recipients) => self.execute(
                "INSERT INTO message (seq, crc, user, offset, expiry, payload, sender, recipients)
                 VALUES (?1, ?2, '', 0, ?3, ?4, ?5, ?6)",
                params![seq, crc, expiry, row.body, row.sender, recipients.bytes()],
            ),
        }
    }

    /// Gives a shared row another list of recipients; one that is damaged or missing is left alone.
    pub(super) fn replace_recipients(
        &self,
        seq: i64,
        keeps: impl Fn(&str, u64) -> bool,
    ) -> rusqlite::Result<()> {
        let replaced = self.message(seq, |row| {
            let row = row?;
            let To::Several(recipients) = row.to else {
                return None;
            };
            let mut list = Vec::new();
            for (user, offset) in recipients
                .iter()
                .filter(|(user, offset)| keeps(user, *offset))
            {
                Recipients::push(&mut list, user, offset);
            }
            let to = To::Several(Recipients::pushed(&list)?);
            let crc = MessageRow { to, ..row }.crc();
            Some((crc, list))
        })?;
        let Some((crc, list)) = replaced else {
            return Ok(());
        };
        self.execute(
            "UPDATE message SET crc = ?2, recipients = ?3 WHERE seq = ?1",
            params![seq, crc, list],
        )
    }

    /// Gives a row another place and another sender; a shared row has a list of recipients.
    pub(super) fn replace_place(
        &self,
        seq: i64,
        crc: u32,
        (user, offset): (&str, u64),
        recipients: Option<&[u8]>,
        sender: Option<&str>,
    ) -> rusqlite::Result<()> {
        self.execute(
            "UPDATE message SET crc = ?2, user = ?3, offset = ?4, recipients = ?5, sender = ?6
             WHERE seq = ?1",
            params![seq, crc, user, offset.cast_signed(), recipients, sender],
        )
    }

    pub(super) fn delete(&self, seq: i64) -> rusqlite::Result<()> {
        self.execute("DELETE FROM message WHERE seq = ?1", [seq])
    }

    pub(super) fn put_user(&self, row: &UserRow<'_>) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO user (key, last_offset, gone_up_to, crc) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE SET last_offset = excluded.last_offset,
             gone_up_to = excluded.gone_up_to, crc = excluded.crc",
            params![
                row.key,
                row.last_offset.cast_signed(),
                row.gone_up_to.cast_signed(),
                row.crc()
            ],
        )
    }

    pub(super) fn delete_user(&self, key: &str) -> rusqlite::Result<()> {
        self.execute("DELETE FROM user WHERE key = ?1", [key])
    }

    /// At most `count` sound user rows behind `after`, in the order of their keys: key and last
    /// offset.
    pub(super) fn users_behind(
        &self,
        after: &str,
        count: usize,
    ) -> rusqlite::Result<Vec<(String, u64)>> {
        let sql = "SELECT key, last_offset, gone_up_to, crc FROM user WHERE key > ?1
                   ORDER BY key LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![after, i64::try_from(count).unwrap_or(i64::MAX)])?;
        let mut users = Vec::new();
        while let Some(row) = rows.next()? {
            if let Some(row) = UserRow::check(row)? {
                users.push((row.key.to_owned(), row.last_offset));
            }
        }
        Ok(users)
    }

    /// Moves a damaged row out of the way, as it is.
    pub(super) fn quarantine_message(&self, seq: i64, now_ms: u64) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO quarantine
             (found_ms, source, seq, crc, user, offset, expiry, payload, sender, recipients)
             SELECT ?2, 'message', seq, crc, user, offset, expiry, payload, sender, recipients
             FROM message WHERE seq = ?1",
            params![seq, now_ms.cast_signed()],
        )?;
        self.delete(seq)
    }

    /// The same for a row of table `user`, whose key may no longer be text.
    pub(super) fn quarantine_user(&self, key: &[u8], now_ms: u64) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO quarantine (found_ms, source, crc, user, offset, expiry)
             SELECT ?2, 'user', crc, key, last_offset, gone_up_to
             FROM user WHERE key = CAST(?1 AS TEXT)",
            params![key, now_ms.cast_signed()],
        )?;
        self.execute("DELETE FROM user WHERE key = CAST(?1 AS TEXT)", [key])
    }

    pub(super) fn put_meta(&self, meta: &Meta) -> rusqlite::Result<()> {
        format::put_meta(&self.connection, meta)
    }

    /// `None` if the row is damaged or missing.
    pub(super) fn meta(&self) -> rusqlite::Result<Option<Meta>> {
        format::meta(&self.connection)
    }

    /// Reads one message: `read` gets `None` if the row is damaged or missing.
    pub(super) fn message<T>(
        &self,
        seq: i64,
        read: impl FnOnce(Option<MessageRow<'_>>) -> T,
    ) -> rusqlite::Result<T> {
        let sql = "SELECT seq, crc, user, offset, expiry, payload, sender, recipients
                   FROM message WHERE seq = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([seq])?;
        match rows.next()? {
            Some(row) => Ok(read(MessageRow::check(row)?)),
            None => Ok(read(None)),
        }
    }

    /// What the file says about a user of whom nothing is in memory.
    pub(super) fn user(&self, key: &str) -> rusqlite::Result<KnownUser> {
        let sql = "SELECT key, last_offset, gone_up_to, crc FROM user WHERE key = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let read = |row: &rusqlite::Row<'_>| {
            let row = UserRow::check(row)?.map(|row| row.last_offset);
            Ok(
                row.map_or(KnownUser::Damaged, |last_offset| KnownUser::Row {
                    last_offset,
                }),
            )
        };
        let found = statement.query_row([key], read).optional()?;
        Ok(found.unwrap_or(KnownUser::Absent))
    }

    /// Calls `each` for every message in the order of storing; `Err(seq)` stands for a damaged
    /// row.
    pub(super) fn for_each_message(
        &self,
        mut each: impl FnMut(Result<MessageRow<'_>, i64>),
    ) -> rusqlite::Result<()> {
        let sql = "SELECT seq, crc, user, offset, expiry, payload, sender, recipients
                   FROM message ORDER BY seq";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            each(MessageRow::check(row)?.ok_or(seq));
        }
        Ok(())
    }

    /// Calls `each` for every user row; `Err(key)` stands for a damaged row.
    pub(super) fn for_each_user(
        &self,
        mut each: impl FnMut(Result<UserRow<'_>, &[u8]>),
    ) -> rusqlite::Result<()> {
        let sql = "SELECT key, last_offset, gone_up_to, crc FROM user";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            match UserRow::check(row)? {
                Some(user) => each(Ok(user)),
                None => each(Err(raw_bytes(row.get_ref(0)?))),
            }
        }
        Ok(())
    }

    /// Moves the write-ahead log into the database; `truncate` also empties its file.
    pub(super) fn checkpoint(&self, truncate: bool) -> Result<(), Fault> {
        let mode = if truncate { "TRUNCATE" } else { "PASSIVE" };
        pragma(&self.connection, &format!("wal_checkpoint({mode})"))
            .map_err(|error| self.fault(error))
    }

    /// Copies all that is in the database, the log included, into a file that is empty or not there.
    pub(super) fn copy_to(&self, target: &Path) -> rusqlite::Result<()> {
        let path = target.to_str();
        let path = path.ok_or_else(|| rusqlite::Error::InvalidPath(target.to_owned()))?;
        self.execute("VACUUM INTO ?1", params![path])
    }

    /// Sets whether the file may grow, up to its configured size, or has to do with the pages
    /// it has.
    pub(super) fn allow_growth(&self, allowed: bool) -> rusqlite::Result<()> {
        // SQLite raises a limit below the present size to that size.
        let pages = if allowed { self.pages_max } else { 1 };
        pragma(&self.connection, &format!("max_page_count = {pages}"))
    }

    #[cfg(test)]
    pub(super) fn run(&self, sql: &str) {
        self.connection
            .execute_batch(sql)
            .expect("the statement is right");
    }

    /// Sorts what SQLite reports while writing.
    pub(super) fn fault(&self, error: rusqlite::Error) -> Fault {
        sort(error, || files::has_no_room(&self.dir))
    }

    /// For the tables that stand beside those of the mailboxes.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }
}

/// The size a file of this process may have, if it is limited (`ulimit -f`). The database must stay below
/// it by itself: what the log holds beyond could never be moved into the file.
fn process_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        let (soft, _hard) = rlimit::getrlimit(rlimit::Resource::FSIZE).ok()?;
        (soft != rlimit::INFINITY).then_some(soft)
    }
    #[cfg(not(unix))]
    None
}

/// The bytes of a key, whatever damage has made of its type.
fn raw_bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    }
}

/// What a write can fail with, other than for a full disk.
const WRITES: [i32; 2] = [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_TRUNCATE];
/// The log's file is cut back to this after a spike.
const WAL_BYTES_KEPT: u64 = 64 << 20;
/// SQLite's own limit.
const PAGES_MAX: u64 = 4_294_967_294;
/// Page cache of the connection.
const CACHE_KIB: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_is_a_full_disk_only_without_room_and_a_failed_sync_never() {
        let is_full = |code, has_no_room| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            matches!(sort(error, || has_no_room), Fault::DiskFull)
        };
        for code in [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_TRUNCATE] {
            assert!(is_full(code, true) && !is_full(code, false), "{code}");
        }
        assert!(is_full(ffi::SQLITE_FULL, false));
        let fatal = [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_DIR_FSYNC,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_READONLY,
        ];
        for code in fatal {
            assert!(!is_full(code, true), "{code}");
        }
    }
}
