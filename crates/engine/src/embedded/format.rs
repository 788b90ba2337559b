//! The tables of the file and how a file is recognised as ours.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params_from_iter, types::ValueRef};

use super::{error::OpenError, meta::Meta, sql};

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
    if (FORMAT_1..FORMAT).contains(&format) {
        sql::pragma(connection, "journal_mode = WAL").map_err(failed)?;
        return migrate(connection, format).map_err(failed);
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
        transaction.execute_batch(META)?;
        put_meta(
            &transaction,
            &Meta {
                epoch,
                ..Meta::default()
            },
        )?;
        sql::pragma(&transaction, &format!("application_id = {APPLICATION_ID}"))?;
        sql::pragma(&transaction, &format!("user_version = {FORMAT}"))?;
        transaction.commit()
    };
    create().map_err(|error| sql::open_error(path, error))
}

/// Brings the tables of an earlier format up to date, in one transaction. Rows stay as they are.
fn migrate(connection: &Connection, format: i64) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    if format == FORMAT_1 {
        migrate_from_1(&transaction)?;
    }
    // Until then each recipient had a row with the body.
    transaction.execute_batch(
        "ALTER TABLE message ADD COLUMN recipients BLOB;
         ALTER TABLE quarantine ADD COLUMN recipients;",
    )?;
    sql::pragma(&transaction, &format!("user_version = {FORMAT}"))?;
    transaction.commit()
}

/// From the format without a checksum of `meta`, in which every user ever seen kept a row. Those
/// rows are good for as long as they are there; the store removes them bit by bit.
fn migrate_from_1(transaction: &Connection) -> rusqlite::Result<()> {
    let read = |row: &rusqlite::Row<'_>| {
        let (epoch, clock_ms): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(Meta {
            epoch: epoch.cast_unsigned(),
            clock_ms: clock_ms.cast_unsigned(),
            wall_ms: clock_ms.cast_unsigned(),
            ..Meta::default()
        })
    };
    let meta = transaction.query_row("SELECT epoch, clock_ms FROM meta", [], read)?;
    transaction.execute_batch("DROP TABLE meta")?;
    transaction.execute_batch(META)?;
    put_meta(transaction, &meta)?;
    // Who answers for a message was not kept either: the messages there count for nobody.
    transaction.execute_batch(
        "ALTER TABLE message ADD COLUMN sender TEXT;
         ALTER TABLE quarantine ADD COLUMN sender;",
    )
}

pub(super) fn put_meta(connection: &Connection, meta: &Meta) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let columns = params_from_iter(meta.columns());
    connection.prepare_cached(sql)?.execute(columns)?;
    Ok(())
}

/// `None` if the row is damaged or missing.
pub(super) fn meta(connection: &Connection) -> rusqlite::Result<Option<Meta>> {
    let sql = "SELECT epoch, clock_ms, wall_ms, offset_floor, commits, jump_seq, jump_ms,
               jump_confirm_ms, crc FROM meta WHERE id = 1";
    let read = |row: &rusqlite::Row<'_>| {
        let mut columns = [0; 9];
        for (at, column) in columns.iter_mut().enumerate() {
            // Damage may have changed the types as well.
            let ValueRef::Integer(value) = row.get_ref(at)? else {
                return Ok(None);
            };
            *column = value;
        }
        Ok(Meta::check(&columns))
    };
    let found = connection.query_row(sql, [], read).optional()?;
    Ok(found.flatten())
}

/// An epoch is below 2^53, so that it survives a trip through JSON numbers, and never 0.
pub(super) fn draw_epoch() -> Result<u64, getrandom::Error> {
    Ok((getrandom::u64()? >> 11).max(1))
}

/// Marks the file as ours; `TwMB` in ASCII.
const APPLICATION_ID: i64 = 0x5477_4d42;
/// Version of the tables; raised by every change an older program cannot live with.
const FORMAT: i64 = 3;
/// The first one.
const FORMAT_1: i64 = 1;

const SCHEMA: &str = "
    -- A message to several users is one row without a user and with a list of recipients.
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, user TEXT NOT NULL,
        offset INTEGER NOT NULL, expiry INTEGER NOT NULL, payload BLOB NOT NULL,
        sender TEXT, recipients BLOB
    ) STRICT;
    CREATE TABLE user (
        key TEXT PRIMARY KEY, last_offset INTEGER NOT NULL, gone_up_to INTEGER NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Takes rows as they are, so it has no types.
    CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY, found_ms, source, seq, crc, user, offset, expiry, payload, sender,
        recipients
    );";

/// One row; see [`Meta`].
const META: &str = "
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, clock_ms INTEGER NOT NULL,
        wall_ms INTEGER NOT NULL, offset_floor INTEGER NOT NULL, commits INTEGER NOT NULL,
        jump_seq INTEGER NOT NULL, jump_ms INTEGER NOT NULL, jump_confirm_ms INTEGER NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT;";
