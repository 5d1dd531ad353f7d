//! Why the database could not be opened, or could not take a change.

use std::io;
use std::path::{Path, PathBuf};

use base::{Kind, Problem};
use rusqlite::ErrorCode;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its pages or its tables contradict each other.
    #[error("the database `{}` is damaged: {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What a check of it said.
        found: String,
    },
    /// A later version of this program wrote it.
    #[error("the database `{}` is of version {version}, and this program knows up to {known}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The file's version.
        version: u32,
        /// Ours.
        known: u32,
    },
    /// The system refused.
    #[error("could not open the database `{}`", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The writer's thread could not start.
    #[error("could not start the writer of the database `{}`", path.display())]
    NoThread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn of(path: &Path, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path: path.into(), found: source.to_string() }
            }
            _ => Self::Failed { path: path.into(), source },
        }
    }
}

impl Problem for OpenError {
    fn kind(&self) -> Kind {
        match self {
            Self::Damaged { .. } => Kind::Internal,
            Self::TooNew { .. } => Kind::Unsupported,
            Self::Failed { .. } | Self::NoThread { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { path, .. } => Some(format!(
                "nothing was changed; keep a copy of `{0}`, then restore it from a backup, or move it away to begin anew \
                 (containers that run go on running)",
                path.display()
            )),
            Self::TooNew { .. } => Some("start the newer version of sea that wrote it".into()),
            Self::Failed { path, .. } => Some(format!(
                "see that the folder `{}` exists, is not read-only and has room",
                path.parent().unwrap_or(path).display()
            )),
            Self::NoThread { .. } => Some("the machine is short of memory or of processes".into()),
        }
    }
}

/// Why a change or a question to the database failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room is left.
    #[error("the disk of the database is full")]
    Full,
    /// It may not be written to.
    #[error("the database is read-only")]
    ReadOnly,
    /// A record is not of the form that its table has.
    #[error("the record `{key}` of table `{table}` cannot be read")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The record's key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A record could not be turned into text.
    #[error("a record of table `{table}` cannot be written down")]
    Unwritable {
        /// The table.
        table: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The database failed in another way.
    #[error("the database failed")]
    Failed(#[source] rusqlite::Error),
    /// The change shared a commit that failed.
    #[error("the change was not saved: {0}")]
    NotCommitted(String),
    /// The store is closing.
    #[error("the database is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            _ => Self::Failed(source),
        }
    }
}

impl Problem for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::Full => Kind::Exhausted,
            Self::ReadOnly | Self::NotCommitted(_) | Self::Closed => Kind::Unavailable,
            Self::Unreadable { .. } | Self::Unwritable { .. } | Self::Failed(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Full => {
                Some("make room on the disk of the daemon's root folder, for example with `sea prune`".into())
            }
            Self::ReadOnly => Some("mount the disk of the daemon's root folder for writing".into()),
            Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Failed(_)
            | Self::NotCommitted(_)
            | Self::Closed => None,
        }
    }
}
