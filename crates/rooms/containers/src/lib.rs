//! Containers: create, start, stop, exec, logs, volumes; a `Driver`.
//!
//! Owns the `containers/` and `volumes/` data folders. Puts `images` (what a container sees), `runtime` (the process
//! and its shim) and `network` (its addresses) together, watches each container until it ends, asks whether it is
//! well, and starts it again when its restart policy says so. Instances of apps are started again by the loop, which
//! knows more.
//!
//! Invariant: a folder under `containers/` has a record before anything else of its container exists, and is removed after
//! everything else is gone; so a crash at any moment leaves something that [`Containers::open`] finds and settles.

mod attach;
mod cell;
mod cgroup_root;
mod changes;
mod commit;
mod connect;
mod copy;
mod create;
mod driver;
mod events;
mod exec;
mod execs;
mod files;
mod health;
mod links;
mod listing;
mod order;
mod problem;
mod processes;
mod prune;
mod publish;
mod record;
mod remove;
mod rename;
mod root;
mod settle;
mod start;
mod stop;
mod update;
mod usage;
mod volume_events;
mod volumes;
mod watch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{AppName, Clock, ContainerId, Tasks};
use images::Images;
use network::Networks;
use plan::ports::Traffic;
use runtime::Shims;
use store::Store;
use tokio::sync::Notify;

pub use attach::{Ahead, Listener, Until};
pub use cell::{Health, HealthLog};
pub use changes::{Change, ChangeKind};
pub use commit::{Commit, MakeError};
pub use connect::ConnectError;
pub use copy::{CopyError, Extraction, FileStat, Packed, plain_words};
pub use create::Create;
pub use exec::ExecOrder;
pub use execs::{ExecState, ExecView, Started};
pub use health::image_check;
pub use listing::{Filter, View};
pub use problem::{ContainerError, RecordError, VolumeError};
pub use processes::{ProcessTable, TopError};
pub use prune::Pruned;
pub use record::{FileRecord, Owner, Record, Stage, State};
pub use remove::Removal;
pub use rename::RenameError;
pub use root::unpack::UnpackError;
pub use settle::OpenError;
pub use stop::By;
pub use update::Update;
pub use usage::{LinkFigures, Usage};
pub use volume_events::VolumeUse;
pub use volumes::{Said, Volume, VolumeOrder, Volumes};

use cell::Cell;

/// What the containers of a daemon are made with.
#[derive(Clone)]
pub struct Rooms {
    /// What they see.
    pub images: Images,
    /// What watches over them.
    pub shims: Shims,
    /// How they are connected.
    pub networks: Networks,
    /// Whoever listens on published ports.
    pub traffic: Arc<dyn Traffic>,
    /// Where the journal is.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The containers of one daemon. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Containers {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// Lines of the journal on their way.
    journal: tokio::sync::mpsc::Sender<store::Entry>,
    /// Programs that were ordered to run beside, by id.
    execs: Mutex<execs::Execs>,
    rooms: Rooms,
    /// Holds a folder for each container.
    folder: PathBuf,
    /// The cgroup under which ours are.
    cgroup_root: String,
    volumes: Volumes,
    table: Mutex<Index>,
    /// Wakes the loops of apps, by app.
    nudges: Mutex<HashMap<AppName, Arc<Notify>>>,
    tasks: Tasks,
    /// Held for reading while a container is made, so that the root's cgroup is not taken away meanwhile.
    launching: tokio::sync::RwLock<()>,
}

#[derive(Default)]
struct Index {
    cells: HashMap<ContainerId, Arc<Cell>>,
    names: HashMap<String, ContainerId>,
    /// Folders with a record that cannot be read: nothing of them may be taken for garbage.
    damaged: Vec<ContainerId>,
}

impl Containers {
    /// The volumes.
    pub fn volumes(&self) -> &Volumes {
        &self.inner.volumes
    }

    /// Finds a container by its name, its id, or the beginning of its id.
    pub fn find(&self, text: &str) -> Result<ContainerId, ContainerError> {
        let index = self.index();
        let name = text.strip_prefix('/').unwrap_or(text);
        if let Some(id) = index.names.get(name) {
            return Ok(id.clone());
        }
        let mut found = index.cells.keys().filter(|id| !text.is_empty() && id.as_str().starts_with(text));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id.clone()),
            (Some(_), Some(_)) => Err(ContainerError::Ambiguous(text.into())),
            (None, _) => Err(ContainerError::Missing(text.into())),
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, id: &ContainerId) -> Result<Arc<Cell>, ContainerError> {
        self.index().cells.get(id).cloned().ok_or_else(|| ContainerError::Missing(id.short().into()))
    }

    fn cells(&self) -> Vec<Arc<Cell>> {
        self.index().cells.values().cloned().collect()
    }

    fn clock(&self) -> &dyn Clock {
        &*self.inner.rooms.clock
    }

    /// The bell of an app's loop.
    fn bell(&self, app: &AppName) -> Arc<Notify> {
        let mut nudges = self.inner.nudges.lock().unwrap_or_else(PoisonError::into_inner);
        nudges.entry(app.clone()).or_default().clone()
    }

    /// Tells whoever waits that something of this container changed.
    fn announce(&self, cell: &Cell) {
        cell.announce();
        if let Some(owner) = cell.record().owner {
            self.bell(&owner.app).notify_one();
        }
    }
}
