//! Durable versioned tables, the journal, and watches, on SQLite.
//!
//! Owns one database file. Rooms and loops keep documents in it through [`Table`], each under a table name that is theirs
//! alone. Every change goes through [`Store::write`], whose closure also writes the line of the journal that tells
//! of the change, so the two are never apart.
//!
//! Invariant: when `write` has answered, the change is on the disk (write-ahead log, `synchronous=FULL`). Changes that
//! wait at the same time share one commit.

mod error;
mod journal;
mod schema;
mod table;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base::Clock;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::watch;

pub use error::{OpenError, StoreError};
pub use journal::{Entry, JournalQuery, Line};
pub use table::{Row, Table};
pub use writer::Tx;

use writer::{Outlives, Writer};

/// The database of one daemon. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Writer,
    /// Reads see the last commit and never wait for the writer.
    reader: Mutex<Connection>,
    journal_head: watch::Receiver<u64>,
}

/// A consistent view for reading.
pub struct View<'a> {
    connection: &'a Connection,
}

/// What can be read from: a [`View`], or a [`Tx`], which also sees its own changes.
pub trait Source {
    /// The connection behind it; for this crate only.
    #[doc(hidden)]
    fn connection(&self) -> &Connection;
}

impl Source for View<'_> {
    fn connection(&self) -> &Connection {
        self.connection
    }
}

impl Store {
    /// Opens the database, making it if there is none, and brings its tables up to date.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let mut connection = Connection::open(path).map_err(|source| OpenError::of(path, source))?;
        schema::prepare(&mut connection, path)?;
        let head = journal::head(&connection).map_err(|source| OpenError::of(path, source))?;
        let reader = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|source| OpenError::of(path, source))?;
        let (announce, journal_head) = watch::channel(head);
        let writer = Writer::start(connection, clock, announce)
            .map_err(|source| OpenError::NoThread { path: path.into(), source })?;
        Ok(Self { inner: Arc::new(Inner { writer, reader: Mutex::new(reader), journal_head }) })
    }

    /// Whether the database at this path could be opened, as far as that can be told without changing anything.
    pub fn check(path: &Path) -> Result<(), OpenError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .map_err(|source| OpenError::of(path, source))?;
        schema::whole(&connection, path)
    }

    /// Runs `change` in a transaction; answers once it is on the disk. When `change` fails, nothing of it stays.
    pub async fn write<R: Send + 'static>(
        &self,
        change: impl FnOnce(&Tx<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        self.inner.writer.submit(Outlives::Machine, change).await
    }

    /// Writes a line of the journal about something that was seen. It outlives the daemon at once and the machine a
    /// moment later, with the next [`Self::write`]: what was seen need not make anybody wait for the disk.
    pub async fn note(&self, entry: Entry) -> Result<u64, StoreError> {
        self.inner.writer.submit(Outlives::Daemon, move |tx| tx.journal(&entry)).await
    }

    /// The same for whoever cannot wait at all, also where nothing may be awaited. Lines come in the order in which
    /// they are told, unless so many changes wait that the line has to.
    pub fn tell(&self, entry: Entry) {
        self.inner.writer.tell(entry);
    }

    /// The same for several lines, in their order.
    pub async fn note_all(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let all = move |tx: &Tx<'_>| entries.iter().try_for_each(|entry| tx.journal(entry).map(drop));
        self.inner.writer.submit(Outlives::Daemon, all).await
    }

    /// Runs `look` on the state of the last commit. Meant for a few rows: it holds the one reader while it runs.
    pub fn read<R>(&self, look: impl FnOnce(&View<'_>) -> Result<R, StoreError>) -> Result<R, StoreError> {
        let reader = self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = reader.unchecked_transaction()?;
        look(&View { connection: &snapshot })
    }

    /// Lines of the journal, oldest first.
    pub fn journal(&self, query: &JournalQuery) -> Result<Vec<Line>, StoreError> {
        self.read(|view| journal::query(view.connection(), query))
    }

    /// The number of the journal's last line, and word of each later one.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.journal_head.clone()
    }
}

#[cfg(test)]
mod tests;
