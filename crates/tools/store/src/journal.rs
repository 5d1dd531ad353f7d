//! The journal: one line for every change of what is wanted and for every event that was seen.

use base::{AppName, Timestamp};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StoreError;

/// What happened, to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The app that it belongs to, if any.
    pub app: Option<AppName>,
    /// What it happened to, as in `service web` or `container 3fa2…`.
    pub subject: String,
    /// What happened, as a past-tense noun: `ReleaseCreated`.
    pub event: &'static str,
    /// The same for people; reads alone.
    pub message: String,
    /// For programs.
    pub detail: Value,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// From 1 up, without gaps but at the old end.
    pub number: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The app that it belongs to, if any.
    pub app: Option<AppName>,
    /// What it happened to.
    pub subject: String,
    /// What happened.
    pub event: String,
    /// The same for people.
    pub message: String,
    /// For programs.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// Which lines to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalQuery {
    /// Only this app's.
    pub app: Option<AppName>,
    /// Only lines after this number.
    pub after: u64,
    /// Only lines from this moment on.
    pub since: Option<Timestamp>,
    /// The first so many; when `last`, the last so many.
    pub limit: u32,
    /// Whether the limit keeps the newest.
    pub last: bool,
}

pub(crate) fn head(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT coalesce(max(number), 0) FROM journal", [], |row| row.get(0))
}

pub(crate) fn append(connection: &Connection, at: Timestamp, entry: &Entry) -> Result<u64, StoreError> {
    let detail = if entry.detail.is_null() { None } else { Some(entry.detail.to_string()) };
    connection
        .prepare_cached(
            "INSERT INTO journal (at, app, subject, event, message, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            at.0,
            entry.app.as_ref().map(AppName::as_str),
            entry.subject,
            entry.event,
            entry.message,
            detail
        ])?;
    Ok(u64::try_from(connection.last_insert_rowid()).unwrap_or_default())
}

/// Takes the oldest lines away when there are more than `keep`.
pub(crate) fn trim(connection: &Connection, keep: u64) -> rusqlite::Result<()> {
    connection
        .execute("DELETE FROM journal WHERE number <= (SELECT max(number) FROM journal) - ?1", [keep])
        .map(|_| ())
}

pub(crate) fn query(connection: &Connection, query: &JournalQuery) -> Result<Vec<Line>, StoreError> {
    let order = if query.last { "DESC" } else { "ASC" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT number, at, app, subject, event, message, detail FROM journal
         WHERE number > ?1 AND (?2 IS NULL OR app = ?2) AND at >= ?3 ORDER BY number {order} LIMIT ?4"
    ))?;
    let app = query.app.as_ref().map(AppName::as_str);
    let since = query.since.map_or(i64::MIN, |since| since.0);
    let rows = statement.query_map(params![query.after, app, since, query.limit], |row| {
        Ok(Line {
            number: row.get(0)?,
            at: Timestamp(row.get(1)?),
            app: row.get::<_, Option<String>>(2)?.and_then(|name| AppName::new(name).ok()),
            subject: row.get(3)?,
            event: row.get(4)?,
            message: row.get(5)?,
            detail: row
                .get::<_, Option<String>>(6)?
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or(Value::Null),
        })
    })?;
    let mut lines = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    if query.last {
        lines.reverse();
    }
    Ok(lines)
}
