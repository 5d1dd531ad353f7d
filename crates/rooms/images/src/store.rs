//! The open folder: its lock, its state in memory, and how both change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Clock, Kind, Problem, SystemClock};
use oci::{Digest, ImageConfig};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::cache::Cache;
use crate::disk::{self, DiskError, OnPath as _};
use crate::events;
use crate::fault::Faults;
use crate::image::ImageId;
use crate::limits::Limits;
use crate::pull::Fetching;
use crate::state::{LayerRecord, Record, Unreadable};

/// The image store: a handle to the open folder, cheap to clone.
#[derive(Clone)]
pub struct Images(pub(crate) Arc<Inner>);

/// How a folder is opened.
#[derive(Clone)]
pub struct Options {
    /// The bounds to keep.
    pub limits: Limits,
    /// Tells when an image came.
    pub clock: Arc<dyn Clock>,
    /// Where it is written what happens to images; nowhere when none.
    pub journal: Option<store::Store>,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: Limits::default(), clock: SystemClock::shared(), journal: None }
    }
}

/// Why the folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the image store `{}` is open in another process", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// `images.json` is no record.
    #[error("the record of images `{}` is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// `images.json` is of a newer program.
    #[error("the record of images `{}` has version {version}; this program reads up to {}", path.display(), crate::state::VERSION)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Problem for OpenError {
    fn kind(&self) -> Kind {
        match self {
            Self::InUse { .. } => Kind::Conflict,
            Self::Damaged { .. } => Kind::Internal,
            Self::Newer { .. } => Kind::Unsupported,
            Self::Disk(disk) => disk.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => Some("stop the other daemon, or give this one another `--root`".into()),
            Self::Damaged { path, .. } => Some(format!(
                "nothing was changed: put a good copy of `{0}` back, or move it away to begin with no images and load them again",
                path.display()
            )),
            Self::Newer { .. } => Some("start the newer program again".into()),
            Self::Disk(disk) => disk.hint(),
        }
    }
}

pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: Option<store::Store>,
    pub(crate) faults: Faults,
    state: Mutex<State>,
    /// Counts names under `incoming/` and `unpacking/`.
    next: AtomicU64,
    /// Blobs that somebody fetches.
    pub(crate) fetching: Fetching,
    /// Held while the folder is open.
    _lock: File,
}

/// What is known of the folder; all of it changes under one lock.
pub(crate) struct State {
    pub(crate) record: Record,
    pub(crate) cache: Cache,
    /// Blobs and layers that something under way needs, and by how many.
    pins: HashMap<Digest, u32>,
    /// Configurations read so far; no more than there are images.
    pub(crate) configs: HashMap<ImageId, Arc<ImageConfig>>,
    /// Which image each snapshot needs.
    pub(crate) snapshots: BTreeMap<String, SnapshotState>,
    /// Content that `fsck` found damaged; a load replaces it.
    pub(crate) suspect: HashSet<(Place, Digest)>,
}

/// Where content has its final name; a lowest layer and its blob may have the same digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Blob,
    Layer,
}

pub(crate) struct SnapshotState {
    pub(crate) image: ImageId,
    /// Made by this process, so that somebody here answers for it.
    pub(crate) fresh: bool,
}

impl State {
    /// A layer of any image here.
    pub(crate) fn layer(&self, chain_id: &Digest) -> Option<&LayerRecord> {
        self.record.images.values().flat_map(|image| &image.layers).find(|layer| layer.chain_id == *chain_id)
    }

    pub(crate) fn is_pinned(&self, digest: &Digest) -> bool {
        self.pins.contains_key(digest)
    }
}

impl Images {
    /// Opens the folder, making it if it is not there, and clears what a crash left.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(dir, Options::default())
    }

    /// The same with other bounds or another clock.
    pub fn open_with(dir: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let dir = dir.as_ref().to_owned();
        for name in ["blobs/sha256", "layers", "snapshots", "incoming", "unpacking", "downloads", "empty"] {
            disk::make_dir(&dir.join(name))?;
        }
        disk::spread(&dir.join("unpacking"));
        // Layers hold programs that run as somebody else: nobody on the host may reach them.
        let owner_only = Mode::from_raw_mode(0o700);
        rustix::fs::chmod(&dir, owner_only).on("change the mode of", &dir)?;
        let lock_path = dir.join("lock");
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC;
        let lock =
            rustix::fs::open(&lock_path, flags, Mode::from_raw_mode(0o600)).on("create", &lock_path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse { dir }),
            locked => locked.on("lock", &lock_path)?,
        }
        let path = dir.join("images.json");
        let record = Record::read(&path).map_err(|why| match why {
            Unreadable::Disk(disk) => OpenError::Disk(disk),
            Unreadable::Damaged(source) => OpenError::Damaged { path: path.clone(), source },
            Unreadable::Newer(version) => OpenError::Newer { path: path.clone(), version },
        })?;
        let state = State {
            cache: Cache::read(&dir.join("cache.json"), &record),
            record,
            pins: HashMap::new(),
            configs: HashMap::new(),
            snapshots: crate::snapshot::read_all(&dir.join("snapshots"))?,
            suspect: HashSet::new(),
        };
        let inner = Inner {
            dir,
            limits: options.limits,
            clock: options.clock,
            journal: options.journal,
            faults: Faults::default(),
            state: Mutex::new(state),
            next: AtomicU64::new(0),
            fetching: Fetching::default(),
            _lock: lock.into(),
        };
        inner.clear_strays()?;
        // A disk that takes nothing is told now, not in the middle of a deploy.
        drop(inner.work()?);
        Ok(Self(Arc::new(inner)))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }
}

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves a state that is as good as before: changes are swapped in whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// The folder that holds a layer's `diff`.
    pub(crate) fn layer_path(&self, chain_id: &Digest) -> PathBuf {
        self.dir.join("layers").join(chain_id.hex())
    }

    pub(crate) fn diff_path(&self, chain_id: &Digest) -> PathBuf {
        self.layer_path(chain_id).join("diff")
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        self.dir.join("incoming")
    }

    /// A new name under `incoming/`.
    pub(crate) fn fresh_path(&self) -> PathBuf {
        self.incoming().join(self.fresh_name())
    }

    fn fresh_name(&self) -> String {
        format!("w{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A folder under `unpacking/` that goes when the work ends, however it ends.
    pub(crate) fn work(&self) -> Result<Work<'_>, DiskError> {
        let path = self.dir.join("unpacking").join(self.fresh_name());
        fs::create_dir(&path).on("create", &path)?;
        Ok(Work { path, inner: self })
    }

    /// Changes the record: on disk first, then in memory. When the disk fails nothing has changed.
    pub(crate) fn change<T, E: From<DiskError>>(
        &self,
        state: &mut State,
        change: impl FnOnce(&mut Record) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut record = state.record.clone();
        let answer = change(&mut record)?;
        if record != state.record {
            record.write(&self.dir.join("images.json"), &self.incoming(), &self.faults)?;
            state.configs.retain(|id, _| record.images.contains_key(id));
            state.record = record;
        }
        Ok(answer)
    }

    /// Moves something out of its place at once; removing it may take its time, outside the lock.
    pub(crate) fn discard(&self, path: &Path) -> Result<Option<PathBuf>, DiskError> {
        let trash = self.fresh_path();
        match fs::rename(path, &trash) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            renamed => renamed.on("remove", path).map(|()| Some(trash)),
        }
    }

    fn clear_strays(&self) -> Result<(), DiskError> {
        for folder in [self.incoming(), self.dir.join("unpacking")] {
            for entry in fs::read_dir(&folder).on("read", &folder)? {
                disk::remove(&entry.on("read", &folder)?.path())?;
            }
        }
        Ok(())
    }
}

/// A folder for work under way.
pub(crate) struct Work<'a> {
    pub(crate) path: PathBuf,
    inner: &'a Inner,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if self.inner.faults.crashed() {
            return;
        }
        if let Err(error) = disk::remove(&self.path) {
            events::left_behind(&self.path, &error);
        }
    }
}

/// Keeps blobs, layers and images from being collected until it is dropped.
///
/// A build opens one with [`Images::hold`], so that what it made so far stays while it goes on.
pub struct Hold {
    inner: Arc<Inner>,
    pinned: Vec<Digest>,
}

impl Images {
    /// A hold on nothing yet.
    pub fn hold(&self) -> Hold {
        Hold { inner: self.0.clone(), pinned: Vec::new() }
    }
}

impl Hold {
    /// Holds this image too; false if it is not here.
    pub fn keep(&mut self, image: &ImageId) -> bool {
        let inner = self.inner.clone();
        let mut state = inner.state();
        let here = state.record.images.contains_key(image);
        if here {
            self.pin(&mut state, &image.0);
        }
        here
    }

    pub(crate) fn pin(&mut self, state: &mut State, digest: &Digest) {
        *state.pins.entry(digest.clone()).or_insert(0) += 1;
        self.pinned.push(digest.clone());
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        for digest in &self.pinned {
            if let Some(count) = state.pins.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    state.pins.remove(digest);
                }
            }
        }
    }
}
