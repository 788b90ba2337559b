//! What opening the file and recognising its format both ask of SQLite: numbers, pragmas and the meaning of errors.
//!
//! In: the connection. Out: its answer, as it is or as an [`OpenError`].

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::error::OpenError;

/// Sorts what SQLite reports while opening.
pub(super) fn open_error(path: &Path, error: rusqlite::Error) -> OpenError {
    let path: PathBuf = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Corrupt {
            path,
            reason: error.to_string(),
        },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse {
            path,
            holder: "a program that reads the database".to_owned(),
        },
        Some(_) | None => OpenError::Database {
            path,
            source: Box::new(error),
        },
    }
}

/// The one number that a query brings.
pub(super) fn number(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.query_row(sql, [], |row| row.get(0))
}

/// Runs a pragma, whether or not it returns rows.
pub(super) fn pragma(connection: &Connection, text: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA {text}"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
