//! A registry: the distribution specification over a folder.
//!
//! [`Registry`] is the open folder, cheap to clone; [`Registry::router`] answers for it on any listener.
//!
//! What a tag means and which repository has what is kept in memory and in `registry.db`; every change is on the disk
//! before it is answered. One lock puts changes in an order; readers never wait for the disk.

mod answer;
mod blobs;
mod collect;
mod files;
mod guard;
mod index;
mod lists;
mod manifests;
mod mirror;
mod retain;
mod route;
mod serve;
mod uploads;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use base::{Clock, Kind, Problem, SystemClock, Timestamp};

pub use collect::Collected;
pub use guard::{Access, GuardError};
pub use index::TagView;
pub use mirror::Mirror;
pub use retain::{Protected, Retained, Retention};
pub use serve::{ServeError, Serving, Tls, serve};

use files::Files;
use guard::Guard;
use index::Index;
use mirror::Flights;
use uploads::Uploads;

/// How a registry behaves.
#[derive(Clone)]
pub struct Options {
    /// Who may do what.
    pub access: Access,
    /// Whether manifests, tags and blobs may be deleted.
    pub deletes: bool,
    /// Whose images it hands on, if it is a mirror. A mirror takes no pushes.
    pub mirror: Option<Mirror>,
    /// What was touched within this time is never collected: somebody may be about to name it.
    pub grace: Duration,
    /// An upload that nobody goes on with for so long is given up.
    pub upload_idle: Duration,
    /// The longest blob that is taken.
    pub blob_bytes: u64,
    /// Tells when something came.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            access: Access::default(),
            deletes: true,
            mirror: None,
            grace: Duration::from_secs(3600),
            upload_idle: Duration::from_secs(24 * 3600),
            blob_bytes: 64 << 30,
            clock: SystemClock::shared(),
        }
    }
}

/// A registry over its open folder.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    files: Files,
    index: Index,
    uploads: Uploads,
    flights: Flights,
    guard: Guard,
    options: Options,
}

/// Why the folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the registry in `{0}` is open in another process")]
    InUse(String),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] RegistryError),
    /// Its database cannot be read.
    #[error(transparent)]
    Database(#[from] store::OpenError),
    /// Its rows cannot be read.
    #[error(transparent)]
    Rows(#[from] store::StoreError),
    /// Its file of passwords cannot be used.
    #[error(transparent)]
    Guard(#[from] GuardError),
}

impl Problem for OpenError {
    fn kind(&self) -> Kind {
        match self {
            Self::InUse(_) => Kind::Conflict,
            Self::Disk(disk) => disk.kind(),
            Self::Database(open) => open.kind(),
            Self::Rows(rows) => rows.kind(),
            Self::Guard(guard) => guard.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::InUse(_) => Some("stop the other one, or give this one another folder".into()),
            Self::Disk(disk) => disk.hint(),
            Self::Database(open) => open.hint(),
            Self::Rows(rows) => rows.hint(),
            Self::Guard(guard) => guard.hint(),
        }
    }
}

/// Why a change or a collection did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The disk failed.
    #[error("could not {doing} `{path}`")]
    Disk {
        /// As in `write`.
        doing: &'static str,
        /// On what.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] store::StoreError),
    /// There is no such repository, tag or manifest.
    #[error("the registry has no `{0}`")]
    Missing(String),
}

impl Problem for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            Self::Disk { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                std::io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Internal,
            },
            Self::Database(database) => database.kind(),
            Self::Missing(_) => Kind::NotFound,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Disk { .. } if self.kind() == Kind::Exhausted => Some(
                "the disk is full: remove tags that nobody needs, then collect with `sea registry gc`".into(),
            ),
            Self::Disk { .. } => None,
            Self::Database(database) => database.hint(),
            Self::Missing(_) => Some("`sea registry tags` lists what it has".into()),
        }
    }
}

impl Registry {
    /// Opens the folder, making it if it is not there, and clears what a crash left.
    pub fn open(root: &Path, options: Options) -> Result<Self, OpenError> {
        let files = Files::open(root)?;
        let guard = Guard::open(&options.access, files.root(), options.clock.clone())?;
        let index = Index::open(&files, options.clock.clone())?;
        let uploads = Uploads::default();
        Ok(Self(Arc::new(Inner { files, index, uploads, flights: Flights::default(), guard, options })))
    }

    /// All that it answers.
    pub fn router(&self) -> Router {
        route::router(self.clone())
    }

    /// The names of its repositories, in order.
    pub fn repositories(&self) -> Vec<String> {
        self.0.index.repositories()
    }

    /// The tags of a repository, the latest first; none if there is no such repository.
    pub fn tags(&self, repository: &str) -> Option<Vec<TagView>> {
        self.0.index.tag_views(repository)
    }

    /// Takes a tag, or a manifest by digest, away.
    pub async fn remove(&self, repository: &str, which: &str) -> Result<(), RegistryError> {
        let missing = || RegistryError::Missing(format!("{repository}:{which}"));
        let gone = match which.parse::<oci::Digest>() {
            Ok(digest) => self.0.index.remove_manifests(repository, vec![digest]).await?,
            Err(_) => self.0.index.remove_tags(repository, vec![which.to_owned()]).await?,
        };
        if gone { Ok(()) } else { Err(missing()) }
    }

    fn now(&self) -> Timestamp {
        self.0.options.clock.wall()
    }
}

#[cfg(test)]
mod tests;
