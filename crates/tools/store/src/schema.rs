//! The database's own form, and the steps from each version of it to the next.

use std::path::Path;

use rusqlite::Connection;

use crate::OpenError;

/// Step `n` brings a database of version `n` to version `n + 1`. Only ever add to the end.
const STEPS: &[&str] = &["
    CREATE TABLE document (
        kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    CREATE TABLE journal (
        number INTEGER PRIMARY KEY, at INTEGER NOT NULL, app TEXT, subject TEXT NOT NULL, event TEXT NOT NULL,
        message TEXT NOT NULL, detail TEXT
    );
    CREATE INDEX journal_by_app ON journal (app, number);
"];

/// The most lines that the journal keeps; the oldest go first.
pub(crate) const JOURNAL_LINES: u64 = 200_000;

/// Checks the file, sets how it is written, and brings it up to date.
pub(crate) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::of(path, source);
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;
             PRAGMA journal_size_limit=8388608;",
        )
        .map_err(failed)?;
    whole(connection, path)?;
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let known = u32::try_from(STEPS.len()).expect("there are few steps");
    if version > known {
        return Err(OpenError::TooNew { path: path.into(), version, known });
    }
    for (step, next) in STEPS.iter().skip(version as usize).zip(version + 1..) {
        let change = connection.transaction().map_err(failed)?;
        change.execute_batch(step).map_err(failed)?;
        change.pragma_update(None, "user_version", next).map_err(failed)?;
        change.commit().map_err(failed)?;
    }
    Ok(())
}

/// Whether its pages make sense.
pub(crate) fn whole(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found: Result<String, _> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match found.map_err(|source| OpenError::of(path, source))? {
        found if found == "ok" => Ok(()),
        found => Err(OpenError::Damaged { path: path.into(), found }),
    }
}
