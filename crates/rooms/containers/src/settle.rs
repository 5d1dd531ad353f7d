//! After the daemon's start: finding the containers again, and settling what happened meanwhile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::{ContainerId, Kind, Problem, Report, Tasks};
use runtime::{Found, Phase, Seen, Shim};

use crate::cell::{Cell, Health};
use crate::record::{Record, Stage, State};
use crate::stop::KILL_PATIENCE;
use crate::volumes::Volumes;
use crate::{ContainerError, Containers, Index, Inner, RecordError, Rooms, events};

/// Why the containers of a root could not be found again.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folders could not be read or made.
    #[error("could not open `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Problem for OpenError {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }

    fn hint(&self) -> Option<String> {
        Some("see that the root folder's disk has room and may be written to".into())
    }
}

impl Containers {
    /// Opens the folders under this root. [`Self::settle`] must follow.
    pub fn open(root: &Path, cgroup_root: String, rooms: Rooms, tasks: Tasks) -> Result<Self, OpenError> {
        let folder = root.join("containers");
        fs::create_dir_all(&folder).map_err(|source| OpenError::Folder { path: folder.clone(), source })?;
        let home = root.join("volumes");
        let volumes = Volumes::open(home.clone(), rooms.clock.clone())
            .map_err(|source| OpenError::Folder { path: home, source })?
            .with_journal(rooms.store.clone());
        let (journal, lines) = tokio::sync::mpsc::channel(events::WAITING);
        tasks.spawn("journal", events::write(lines, rooms.store.clone()));
        let inner = Inner {
            journal,
            execs: Mutex::default(),
            rooms,
            folder,
            cgroup_root,
            volumes,
            table: Mutex::new(Index::default()),
            nudges: Mutex::default(),
            tasks,
            launching: tokio::sync::RwLock::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Finds every container again: those that run are watched, those that ended meanwhile are settled, and
    /// what a crash left half made is cleared away. Answers with those whose restart is due.
    pub async fn settle(&self) -> Result<(), OpenError> {
        let unreadable = |source| OpenError::Folder { path: self.inner.folder.clone(), source };
        let mut live = Vec::new();
        let mut ended = Vec::new();
        for entry in fs::read_dir(&self.inner.folder).map_err(unreadable)? {
            let folder = entry.map_err(unreadable)?.path();
            let Some(cell) = self.recognise(&folder).await else { continue };
            base::crash::point("settling: a container found");
            if self.find_again(&cell).await {
                live.push(cell);
            } else {
                ended.push(cell);
            }
        }
        base::crash::point("settling: all containers found");
        let ids: Vec<ContainerId> = live.iter().map(|cell| cell.id.clone()).collect();
        if let Err(problem) = self.inner.rooms.networks.settle(&ids).await {
            tracing::error!("could not settle the networks: {problem}");
        }
        base::crash::point("settling: networks settled");
        for cell in &live {
            self.take_up(cell).await;
        }
        for cell in ended {
            self.settle_ended(cell).await;
        }
        Ok(())
    }

    /// The container of a folder. A folder without a record is what a crash left, and is cleared away. Where a record is
    /// that cannot be read, nobody knows any more what runs there: it is ended, and its files stay for whoever can.
    async fn recognise(&self, folder: &Path) -> Option<Arc<Cell>> {
        let name = folder.file_name()?.to_str()?;
        let id = ContainerId::new(name).ok()?;
        match Record::read(folder) {
            Ok(record) if record.stage != Stage::Whole => {
                tracing::warn!(container.id = %id, "clearing away a container that was half made or half removed");
                if record.stage != (Stage::Going { volumes: false }) {
                    self.drop_own_volumes(&record);
                }
                self.clear_away(&record, folder);
                None
            }
            Ok(record) => {
                let cell = Arc::new(Cell::new(folder.to_owned(), record.clone()));
                let mut index = self.index();
                index.names.insert(record.name.to_string(), id.clone());
                index.cells.insert(id, cell.clone());
                Some(cell)
            }
            Err(RecordError::TooNew { path, version }) => {
                tracing::error!(
                    "`{}` is of version {version}, which this program does not know",
                    path.display()
                );
                self.index().damaged.push(id);
                None
            }
            Err(problem @ RecordError::Unreadable { .. }) if !is_missing(&problem) => {
                tracing::error!(container.id = %id, "a container is left as it is: {problem}");
                self.index().damaged.push(id);
                None
            }
            Err(problem) if !is_missing(&problem) => {
                tracing::error!(
                    container.id = %id,
                    "a container is ended because its record is damaged; its files stay in `{}`: {problem}",
                    folder.display()
                );
                self.end_unknown(folder).await;
                self.index().damaged.push(id);
                None
            }
            Err(problem) => {
                tracing::warn!(container.id = %id, "clearing away a container that was never finished: {problem}");
                if let Err(error) = self.inner.rooms.images.drop_snapshot(id.as_str()) {
                    tracing::warn!(container.id = %id, "could not remove its files: {error}");
                }
                base::crash::point("settling: snapshot of a stray dropped");
                if let Err(error) = fs::remove_dir_all(folder) {
                    tracing::warn!(container.id = %id, "could not remove its folder: {error}");
                }
                None
            }
        }
    }

    /// Ends what runs in a folder, whatever it is.
    async fn end_unknown(&self, folder: &Path) {
        match self.inner.rooms.shims.find(folder).await {
            Ok(Found::Running(shim)) => {
                let killed = shim.kill_all(9).await;
                if killed.is_err() || tokio::time::timeout(KILL_PATIENCE, shim.wait()).await.is_err() {
                    tracing::error!("what runs in `{}` does not end though it was killed", folder.display());
                }
            }
            Ok(Found::Exited(_)) => {}
            Ok(Found::Lost) => self.reap(folder).await,
            Err(problem) => {
                tracing::error!("could not look for what runs in `{}`: {problem}", folder.display());
            }
        }
        self.tidy_cgroups();
    }

    /// Looks for its shim. True when its process runs and is ours to watch.
    async fn find_again(&self, cell: &Arc<Cell>) -> bool {
        let record = cell.record();
        let found = match self.inner.rooms.shims.find(&cell.folder).await {
            Ok(found) => found,
            Err(problem) => {
                tracing::error!(container.id = %cell.id, "could not look for the shim of a container: {problem}");
                return false;
            }
        };
        match (found, &record.state) {
            (Found::Running(shim), State::Running { .. }) => {
                let mut live = cell.live();
                live.shim = Some(shim);
                live.mounted = true;
                live.run += 1;
                true
            }
            (Found::Running(shim), State::Created | State::Exited { .. }) => {
                // Laid out, but the daemon died before it let the process run.
                if let Err(problem) = shim.kill_all(9).await {
                    tracing::warn!(container.id = %cell.id, "could not end a shim that never started: {problem}");
                }
                self.end_of(cell, &shim).await;
                false
            }
            (Found::Exited(exit), State::Running { started, ready, .. }) => {
                let state = State::Exited {
                    code: exit.code,
                    oom: exit.oom,
                    asked: false,
                    sick: false,
                    started: *started,
                    ready: *ready,
                    finished: exit.finished_at,
                    error: exit.failure.clone(),
                };
                cell.note(|live| live.record.state = state);
                events::ended(self, &cell.record(), &exit);
                false
            }
            (Found::Lost, State::Running { started, ready, .. }) => {
                let state = State::Exited {
                    code: 137,
                    oom: false,
                    asked: false,
                    sick: false,
                    started: *started,
                    ready: *ready,
                    finished: self.clock().wall(),
                    error: Some("its shim was gone without a word".into()),
                };
                self.reap(&cell.folder).await;
                cell.note(|live| live.record.state = state);
                events::lost(self, &record);
                false
            }
            (Found::Lost, State::Created | State::Exited { .. }) => {
                self.reap(&cell.folder).await;
                false
            }
            (Found::Exited(_), State::Created | State::Exited { .. }) => false,
        }
    }

    /// Ends what a lost shim left.
    pub(crate) async fn reap(&self, folder: &Path) {
        // Without an order nothing was ever made.
        let Ok(text) = fs::read(folder.join("order.json")) else { return };
        let Ok(order) = serde_json::from_slice(&text) else { return };
        if let Err(problem) = self.inner.rooms.shims.reap_lost(folder, &order).await {
            tracing::warn!("could not clear up after the lost shim of `{}`: {problem}", folder.display());
        }
    }

    /// Watches one that ran on while we were away.
    async fn take_up(&self, cell: &Arc<Cell>) {
        let (shim, run) = {
            let live = cell.live();
            (live.shim.clone(), live.run)
        };
        let Some(shim) = shim else { return };
        if !self.is_let_go(cell, &shim).await {
            return;
        }
        let attachments = self.inner.rooms.networks.attachments(&cell.id).await;
        let addresses = attachments.iter().flat_map(|on| {
            [on.ipv4.map(std::net::IpAddr::V4), on.ipv6.map(std::net::IpAddr::V6)].into_iter().flatten()
        });
        cell.live().addresses = addresses.collect();
        self.finish_changes(cell, &attachments).await;
        self.resume_health(cell);
        self.watch(cell, shim, run);
        if let Err(problem) = self.publish(cell).await {
            tracing::error!(container.id = %cell.id, "could not publish the ports of a container again: {problem}");
        }
        base::crash::point("settling: a container taken up");
        self.announce(cell);
    }

    /// Does what a change of its name or bounds has left to do when the daemon died.
    async fn finish_changes(&self, cell: &Arc<Cell>, attachments: &[network::Attachment]) {
        let record = cell.record();
        let names = crate::start::own_names(&record, crate::order::hostname(&record).as_deref());
        if attachments.iter().any(|on| on.names != names)
            && let Err(problem) = self.inner.rooms.networks.rename(&cell.id, names).await
        {
            tracing::warn!(container.id = %cell.id, "could not change a container's name on its networks: {problem}");
        }
        if record.bounds_due
            && let Err(problem) = self.bound(cell, &crate::update::anything()).await
        {
            tracing::warn!(container.id = %cell.id, "could not change a container's bounds: {problem}");
        }
    }

    /// Whether its process runs. One that was to run, and whose daemon died before it told the shim, is let go now.
    async fn is_let_go(&self, cell: &Cell, shim: &Shim) -> bool {
        match shim.state().await {
            Ok(Seen { phase: Phase::Created, .. }) => {}
            Ok(Seen { paused: frozen, .. }) => {
                let frozen = frozen && !self.let_move(cell, shim).await;
                // The daemon may have died before it wrote down what it had done.
                if matches!(cell.record().state, State::Running { paused, .. } if paused != frozen) {
                    cell.note(|live| {
                        if let State::Running { paused, .. } = &mut live.record.state {
                            *paused = frozen;
                        }
                    });
                }
                return true;
            }
            // Whoever watches it hears of its end.
            Err(_) => return true,
        }
        let Err(failure) = shim.start().await else { return true };
        let name = cell.record().name;
        let (code, source) = (failure.code(), Report::of(&failure));
        self.never_ran(cell, shim, code, &ContainerError::NotStarted { name, code, source }).await;
        false
    }

    /// Lets go on what was frozen while an image was made of it, of which nobody knows any more.
    async fn let_move(&self, cell: &Cell, shim: &Shim) -> bool {
        if !cell.record().held_still {
            return false;
        }
        let thawed = shim.resume().await;
        if let Err(problem) = &thawed {
            tracing::warn!(container.id = %cell.id, "could not let a container go on: {problem}");
        }
        cell.note(|live| live.record.held_still = false);
        thawed.is_ok()
    }

    /// What was well stays so until a check says otherwise: nobody is taken out of service by our absence.
    fn resume_health(&self, cell: &Cell) {
        let askers = self.askers(&cell.record());
        let mut live = cell.live();
        let was_ready = matches!(live.record.state, State::Running { ready: Some(_), .. });
        live.health = Health::of(askers, was_ready.then_some(true));
    }

    async fn settle_ended(&self, cell: Arc<Cell>) {
        self.disconnect(&cell).await;
        base::crash::point("settling: an ended container let go");
        let record = cell.record();
        if record.owner.is_some() {
            return;
        }
        if record.auto_remove {
            self.remove_ended(&cell).await;
        } else {
            let containers = self.clone();
            self.inner.tasks.spawn(format!("restart {}", cell.id.short()), async move {
                let run = cell.live().run;
                containers.start_again(&cell, run).await;
            });
        }
    }
}

/// Whether there is no record, as opposed to one that cannot be read.
fn is_missing(problem: &RecordError) -> bool {
    matches!(problem, RecordError::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
