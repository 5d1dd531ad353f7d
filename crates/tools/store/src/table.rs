//! Documents by key, of one type a table.

use std::marker::PhantomData;

use rusqlite::{OptionalExtension, Row as SqlRow, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Source, StoreError, Tx};

/// A table of documents. Its name belongs to one room or loop.
pub struct Table<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

/// A document with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    /// Its key.
    pub key: String,
    /// How often it was written, from 1 up.
    pub version: u64,
    /// The document.
    pub value: T,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Table<T> {}

impl<T: Serialize + DeserializeOwned> Table<T> {
    /// The table of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }

    /// The document under this key.
    pub fn get(&self, from: &impl Source, key: &str) -> Result<Option<T>, StoreError> {
        let found: Option<String> = from
            .connection()
            .prepare_cached("SELECT body FROM document WHERE kind = ?1 AND key = ?2")?
            .query_row(params![self.name, key], |row| row.get(0))
            .optional()?;
        found.map(|body| self.read(key, &body)).transpose()
    }

    /// Every document, by key.
    pub fn list(&self, from: &impl Source) -> Result<Vec<Row<T>>, StoreError> {
        self.list_under(from, "")
    }

    /// Every document whose key begins with `prefix`, by key.
    pub fn list_under(&self, from: &impl Source, prefix: &str) -> Result<Vec<Row<T>>, StoreError> {
        let text = |row: &SqlRow<'_>| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?, row.get::<_, String>(2)?))
        };
        let mut statement = from.connection().prepare_cached(
            "SELECT key, version, body FROM document
             WHERE kind = ?1 AND key >= ?2 AND substr(key, 1, length(?2)) = ?2 ORDER BY key",
        )?;
        let rows = statement.query_map(params![self.name, prefix], text)?;
        rows.map(|row| {
            let (key, version, body) = row?;
            let value = self.read(&key, &body)?;
            Ok(Row { key, version, value })
        })
        .collect()
    }

    /// Writes the document under this key, over what was there.
    pub fn put(&self, tx: &Tx<'_>, key: &str, value: &T) -> Result<(), StoreError> {
        let body = serde_json::to_string(value)
            .map_err(|source| StoreError::Unwritable { table: self.name, source })?;
        tx.connection()
            .prepare_cached(
                "INSERT INTO document (kind, key, version, body) VALUES (?1, ?2, 1, ?3)
                 ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, version = version + 1",
            )?
            .execute(params![self.name, key, body])?;
        Ok(())
    }

    /// Takes the document away; tells whether there was one.
    pub fn remove(&self, tx: &Tx<'_>, key: &str) -> Result<bool, StoreError> {
        let removed = tx
            .connection()
            .prepare_cached("DELETE FROM document WHERE kind = ?1 AND key = ?2")?
            .execute(params![self.name, key])?;
        Ok(removed > 0)
    }

    fn read(&self, key: &str, body: &str) -> Result<T, StoreError> {
        serde_json::from_str(body).map_err(|source| StoreError::Unreadable {
            table: self.name,
            key: key.to_owned(),
            source,
        })
    }
}
