//! The tables of the file and how a file is recognised as ours.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{error::OpenError, sql};

/// Refuses files of others and formats of later versions before anything is written.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |error| sql::open_error(path, error);
    let number = |sql| sql::number(connection, sql).map_err(failed);
    let application_id = number("PRAGMA application_id")?;
    let format = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if application_id == 0 && format == 0 && tables == 0 {
        sql::pragma(connection, "journal_mode = WAL").map_err(failed)?;
        return create(connection, path);
    }
    if application_id != APPLICATION_ID {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
        });
    }
    if format == 1 {
        sql::pragma(connection, "journal_mode = WAL").map_err(failed)?;
        return add_senders(connection).map_err(failed);
    }
    if format != FORMAT {
        let path = path.to_owned();
        return Err(OpenError::UnknownFormat {
            path,
            found: format,
            known: FORMAT,
        });
    }
    sql::pragma(connection, "journal_mode = WAL").map_err(failed)
}

fn create(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let epoch = draw_epoch().map_err(|source| OpenError::Random {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let create = || {
        // All in one transaction: a crash leaves an empty file, not half a store.
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(SCHEMA)?;
        let meta = params![epoch.cast_signed()];
        transaction.execute("INSERT INTO meta VALUES (1, ?1, 0)", meta)?;
        sql::pragma(&transaction, &format!("application_id = {APPLICATION_ID}"))?;
        sql::pragma(&transaction, &format!("user_version = {FORMAT}"))?;
        transaction.commit()
    };
    create().map_err(|error| sql::open_error(path, error))
}

/// From format 1, which did not keep who answers for a message: its messages count for nobody.
fn add_senders(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(
        "ALTER TABLE message ADD COLUMN sender TEXT;
         ALTER TABLE quarantine ADD COLUMN sender;",
    )?;
    sql::pragma(&transaction, &format!("user_version = {FORMAT}"))?;
    transaction.commit()
}

/// An epoch is below 2^53, so that it survives a trip through JSON numbers, and never 0.
pub(super) fn draw_epoch() -> Result<u64, getrandom::Error> {
    Ok((getrandom::u64()? >> 11).max(1))
}

/// Marks the file as ours; `TwMB` in ASCII.
const APPLICATION_ID: i64 = 0x5477_4d42;
/// Version of the tables; raised by every change an older program cannot live with.
const FORMAT: i64 = 2;

const SCHEMA: &str = "
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, user TEXT NOT NULL,
        offset INTEGER NOT NULL, expiry INTEGER NOT NULL, payload BLOB NOT NULL,
        sender TEXT
    ) STRICT;
    CREATE TABLE user (
        key TEXT PRIMARY KEY, last_offset INTEGER NOT NULL, gone_up_to INTEGER NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, clock_ms INTEGER NOT NULL
    ) STRICT;
    -- Takes rows as they are, so it has no types.
    CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY, found_ms, source, seq, crc, user, offset, expiry, payload, sender
    );";
