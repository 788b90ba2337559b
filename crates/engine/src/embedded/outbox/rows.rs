//! The tables of the outbox, and every statement that is run on them.

use std::collections::VecDeque;

use bytes::Bytes;
use crc32fast::Hasher;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{DeadTotals, ROW_BYTES, Target};
use crate::{
    DeadLetter, EventKind, NewEvent, OnFull, SessionChange, StoredEvent, TargetName, UserKey,
};

/// Tells what the file holds.
pub(super) struct Loaded {
    pub(super) next: u64,
    pub(super) key_floor: u64,
    pub(super) keys: u64,
    pub(super) targets: Vec<Target>,
    pub(super) sizes: VecDeque<u32>,
    pub(super) dead: DeadTotals,
}

/// Makes the tables that are not there yet, and reads them.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Loaded> {
    connection.execute_batch(SCHEMA)?;
    let sql = "SELECT next, key_floor FROM outbox_state WHERE id = 1";
    let read = |row: &Row<'_>| Ok((unsigned(row, 0)?, unsigned(row, 1)?));
    let state = connection.query_row(sql, [], read).optional()?;
    let (mut next, key_floor) = state.unwrap_or((1, 0));
    let mut targets = Vec::new();
    let mut statement = connection.prepare("SELECT name, cursor FROM outbox_target")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let name: String = row.get(0)?;
        let cursor = unsigned(row, 1)?;
        next = next.max(cursor + 1);
        targets.push(Target {
            name: TargetName::from(name),
            cursor,
            on_full: OnFull::DropOldest,
            dropped: 0,
            is_dirty: false,
        });
    }
    let mut sizes = VecDeque::new();
    let mut statement = connection.prepare(
        "SELECT seq, length(body) + length(CAST(key AS BLOB)) FROM outbox_event ORDER BY seq",
    )?;
    let mut found = statement.query([])?;
    let mut expected = None;
    while let Some(row) = found.next()? {
        let sequence = unsigned(row, 0)?;
        // Numbers are without gaps; should rows be missing, those have no size.
        let first = *expected.get_or_insert(sequence);
        for _ in first..sequence {
            sizes.push_back(0);
        }
        let bytes = unsigned(row, 1)? + ROW_BYTES as u64;
        sizes.push_back(u32::try_from(bytes).unwrap_or(u32::MAX));
        expected = Some(sequence + 1);
    }
    if let Some(expected) = expected {
        for _ in expected..next {
            sizes.push_back(0);
        }
        next = next.max(expected);
    }
    let count = |sql| connection.query_row(sql, [], |row| unsigned(row, 0));
    Ok(Loaded {
        next,
        key_floor,
        keys: count("SELECT count(*) FROM outbox_key")?,
        targets,
        sizes,
        dead: DeadTotals {
            letters: count("SELECT count(*) FROM outbox_dead")?,
            bytes: count("SELECT coalesce(sum(length(body)), 0) FROM outbox_dead")?,
        },
    })
}

/// The last number of a key.
pub(super) fn key(connection: &Connection, key: &str) -> rusqlite::Result<Option<u64>> {
    let mut statement = connection.prepare_cached("SELECT last FROM outbox_key WHERE key = ?1")?;
    statement
        .query_row([key], |row| unsigned(row, 0))
        .optional()
}

pub(super) fn put_key(
    connection: &Connection,
    key: &str,
    last: u64,
    touched: u64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO outbox_key (key, last, touched) VALUES (?1, ?2, ?3)
               ON CONFLICT (key) DO UPDATE SET last = excluded.last, touched = excluded.touched";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![key, last.cast_signed(), touched.cast_signed()])?;
    Ok(())
}

/// Of some keys behind `hand` the one that is silent longest, its last number, and where to go on.
pub(super) fn silent_key(
    connection: &Connection,
    hand: &str,
) -> rusqlite::Result<Option<(String, u64, String)>> {
    let sql = "SELECT key, last, touched FROM outbox_key WHERE key > ?1 ORDER BY key LIMIT 16";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([hand])?;
    let mut silent: Option<(String, u64, u64)> = None;
    let mut behind = String::new();
    while let Some(row) = found.next()? {
        let (key, last, touched): (String, u64, u64) =
            (row.get(0)?, unsigned(row, 1)?, unsigned(row, 2)?);
        behind.clone_from(&key);
        if silent
            .as_ref()
            .is_none_or(|(_, _, oldest)| touched < *oldest)
        {
            silent = Some((key, last, touched));
        }
    }
    Ok(silent.map(|(key, last, _)| (key, last, behind)))
}

pub(super) fn forget_key(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM outbox_key WHERE key = ?1")?
        .execute([key])?;
    Ok(())
}

pub(super) fn insert(
    connection: &Connection,
    sequence: u64,
    key_sequence: u64,
    event: &NewEvent,
) -> rusqlite::Result<()> {
    let code = event.kind.code();
    let crc = checksum(
        sequence,
        key_sequence,
        code,
        event.time_ms,
        &event.key,
        &event.body,
    );
    let sql = "INSERT INTO outbox_event (seq, crc, key, key_seq, kind, time, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute(params![
        sequence.cast_signed(),
        crc,
        &*event.key,
        key_sequence.cast_signed(),
        code,
        event.time_ms.cast_signed(),
        &*event.body
    ])?;
    match event.session {
        None => Ok(()),
        Some(SessionChange::Began(session)) => {
            let sql =
                "INSERT OR REPLACE INTO outbox_session (session, key, body) VALUES (?1, ?2, ?3)";
            connection.prepare_cached(sql)?.execute(params![
                session.cast_signed(),
                &*event.key,
                &*event.body
            ])?;
            Ok(())
        }
        Some(SessionChange::Ended(session)) => {
            let sql = "DELETE FROM outbox_session WHERE session = ?1";
            connection
                .prepare_cached(sql)?
                .execute([session.cast_signed()])?;
            Ok(())
        }
    }
}

/// Sessions that the process before has left open, as events; they are not open any more.
pub(super) fn take_sessions(
    connection: &Connection,
    now_ms: u64,
) -> rusqlite::Result<Vec<NewEvent>> {
    let mut statement =
        connection.prepare("SELECT key, body FROM outbox_session ORDER BY session")?;
    let read = |row: &Row<'_>| {
        let (key, body): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        Ok(NewEvent {
            kind: EventKind::Lost,
            key: UserKey::from(key),
            time_ms: now_ms,
            body: Bytes::from(body),
            session: None,
        })
    };
    let lost = statement
        .query_map([], read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    connection.execute("DELETE FROM outbox_session", [])?;
    Ok(lost)
}

pub(super) fn delete_below(connection: &Connection, below: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM outbox_event WHERE seq < ?1")?
        .execute([below.cast_signed()])?;
    Ok(())
}

pub(super) fn put_targets(connection: &Connection, targets: &[Target]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM outbox_target")?
        .execute([])?;
    let sql = "INSERT INTO outbox_target (name, cursor) VALUES (?1, ?2)";
    let mut statement = connection.prepare_cached(sql)?;
    for target in targets {
        statement.execute(params![&*target.name, target.cursor.cast_signed()])?;
    }
    Ok(())
}

pub(super) fn put_state(
    connection: &Connection,
    next: u64,
    key_floor: u64,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO outbox_state (id, next, key_floor) VALUES (1, ?1, ?2)";
    connection
        .prepare_cached(sql)?
        .execute([next.cast_signed(), key_floor.cast_signed()])?;
    Ok(())
}

/// Gives the events behind `after` in order, `None` for a damaged one, until `each` returns false.
pub(super) fn for_each_behind(
    connection: &Connection,
    after: u64,
    each: &mut dyn FnMut(u64, Option<StoredEvent>) -> bool,
) -> rusqlite::Result<()> {
    let sql = "SELECT seq, key, key_seq, kind, time, body, crc FROM outbox_event WHERE seq > ?1
               ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([after.cast_signed()])?;
    while let Some(row) = found.next()? {
        let sequence = unsigned(row, 0)?;
        if !each(sequence, event(row, 0)?) {
            break;
        }
    }
    Ok(())
}

/// An event in seven columns from `at` on; `None` if it is not what was written.
fn event(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<StoredEvent>> {
    let (Ok(key), Ok(body)) = (
        row.get_ref(at + 1)?.as_str().map(UserKey::from),
        row.get_ref(at + 5)?.as_blob(),
    ) else {
        return Ok(None);
    };
    let sequence = unsigned(row, at)?;
    let key_sequence = unsigned(row, at + 2)?;
    let code: u8 = row.get(at + 3)?;
    let time_ms = unsigned(row, at + 4)?;
    let crc: i64 = row.get(at + 6)?;
    let is_sound = crc == i64::from(checksum(sequence, key_sequence, code, time_ms, &key, body));
    Ok(EventKind::from_code(code)
        .filter(|_| is_sound)
        .map(|kind| StoredEvent {
            sequence,
            key,
            key_sequence,
            kind,
            time_ms,
            body: Bytes::copy_from_slice(body),
        }))
}

pub(super) fn bury(connection: &Connection, letter: &DeadLetter) -> rusqlite::Result<()> {
    let event = &letter.event;
    let code = event.kind.code();
    let crc = checksum(
        event.sequence,
        event.key_sequence,
        code,
        event.time_ms,
        &event.key,
        &event.body,
    );
    let sql = "INSERT INTO outbox_dead
               (seq, key, key_seq, kind, time, body, crc, target, epoch, reason, attempts, died)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    connection.prepare_cached(sql)?.execute(params![
        event.sequence.cast_signed(),
        &*event.key,
        event.key_sequence.cast_signed(),
        code,
        event.time_ms.cast_signed(),
        &*event.body,
        crc,
        &*letter.target,
        letter.epoch.cast_signed(),
        letter.reason,
        letter.attempts,
        letter.died_ms.cast_signed()
    ])?;
    Ok(())
}

pub(in crate::embedded) fn dead_letters(
    connection: &Connection,
    after: u64,
    count: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let sql =
        "SELECT id, seq, key, key_seq, kind, time, body, crc, target, epoch, reason, attempts, died
               FROM outbox_dead WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut found = statement.query([after.cast_signed(), count])?;
    let mut letters = Vec::new();
    while let Some(row) = found.next()? {
        let Some(event) = event(row, 1)? else {
            continue;
        };
        let target: String = row.get(8)?;
        letters.push(DeadLetter {
            id: unsigned(row, 0)?,
            target: TargetName::from(target),
            epoch: unsigned(row, 9)?,
            event,
            reason: row.get(10)?,
            attempts: row.get(11)?,
            died_ms: unsigned(row, 12)?,
        });
    }
    Ok(letters)
}

/// Returns how much is gone.
pub(super) fn remove_dead(connection: &Connection, ids: &[u64]) -> rusqlite::Result<DeadTotals> {
    let mut gone = DeadTotals::default();
    let sql = "DELETE FROM outbox_dead WHERE id = ?1 RETURNING length(body)";
    let mut statement = connection.prepare_cached(sql)?;
    for id in ids {
        let found = statement.query_row([id.cast_signed()], |row| unsigned(row, 0));
        if let Some(bytes) = found.optional()? {
            gone.letters += 1;
            gone.bytes += bytes;
        }
    }
    Ok(gone)
}

/// Returns how much is gone.
pub(super) fn drop_oldest_dead(connection: &Connection) -> rusqlite::Result<DeadTotals> {
    let sql = "SELECT id FROM outbox_dead ORDER BY id LIMIT 1";
    let oldest = connection
        .prepare_cached(sql)?
        .query_row([], |row| unsigned(row, 0))
        .optional()?;
    remove_dead(connection, oldest.as_slice())
}

fn unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

fn checksum(
    sequence: u64,
    key_sequence: u64,
    code: u8,
    time_ms: u64,
    key: &str,
    body: &[u8],
) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&key_sequence.to_le_bytes());
    hasher.update(&[code]);
    hasher.update(&time_ms.to_le_bytes());
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key.as_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// An older program can live with tables that it does not know.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS outbox_event (
        seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, key TEXT NOT NULL, key_seq INTEGER NOT NULL,
        kind INTEGER NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS outbox_key (
        key TEXT PRIMARY KEY, last INTEGER NOT NULL, touched INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS outbox_target (
        name TEXT PRIMARY KEY, cursor INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS outbox_session (
        session INTEGER PRIMARY KEY, key TEXT NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS outbox_dead (
        id INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, key TEXT NOT NULL,
        key_seq INTEGER NOT NULL, kind INTEGER NOT NULL, time INTEGER NOT NULL, body BLOB NOT NULL,
        crc INTEGER NOT NULL, target TEXT NOT NULL, epoch INTEGER NOT NULL, reason TEXT NOT NULL,
        attempts INTEGER NOT NULL, died INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS outbox_state (
        id INTEGER PRIMARY KEY CHECK (id = 1), next INTEGER NOT NULL, key_floor INTEGER NOT NULL
    ) STRICT;";
