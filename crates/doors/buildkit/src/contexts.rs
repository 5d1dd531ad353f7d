//! The last context of every folder that is built: so that the next build sends only what changed.
//!
//! Owns a folder:
//!
//! ```text
//! DIR/
//!   incoming/<id>/             a tree under way; removed at the next start
//!   trees/<key>-<made>-<bytes>/ a whole tree: the key's digest, nanoseconds since 1970, bytes of its files
//! ```
//!
//! A tree is never written to once it is whole, and files of several trees are one file on the disk where they are the
//! same. A tree goes when a newer one has its key, or when all together are larger than the bound; never while a build
//! reads it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Clock, Timestamp};
use oci::Digest;

/// The most bytes that are kept for later builds.
const KEPT_BYTES: u64 = 8 << 30;

/// The most trees that are kept, whatever their size.
const TREES: usize = 1024;

/// The trees that are kept.
pub(crate) struct Contexts {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    bound: u64,
    kept: Mutex<BTreeMap<String, Arc<Tree>>>,
    counter: AtomicU64,
    /// When the last tree was made: no two at once, as the time is a part of the name.
    last: AtomicI64,
}

/// A whole tree. Its folder goes with the last handle, once it is forgotten.
pub(crate) struct Tree {
    path: PathBuf,
    bytes: u64,
    made: Timestamp,
    forgotten: AtomicBool,
}

/// A tree under way; its folder goes with it unless it is kept.
pub(crate) struct Incoming {
    path: PathBuf,
    key: String,
    earlier: Option<Arc<Tree>>,
    kept: bool,
}

/// A tree as the cache's owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// Its id.
    pub id: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it was made, by the last build that used it.
    pub made: Timestamp,
    /// A build reads it.
    pub busy: bool,
}

impl Contexts {
    /// Opens the folder and removes what is left of trees that did not arrive.
    pub(crate) fn open(dir: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::open_bounded(dir, clock, KEPT_BYTES)
    }

    fn open_bounded(dir: &Path, clock: Arc<dyn Clock>, bound: u64) -> io::Result<Self> {
        let incoming = dir.join("incoming");
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&incoming)?;
        fs::create_dir_all(dir.join("trees"))?;
        let contexts = Self {
            dir: dir.to_owned(),
            clock,
            bound,
            kept: Mutex::default(),
            counter: AtomicU64::new(0),
            last: AtomicI64::new(0),
        };
        for entry in fs::read_dir(dir.join("trees"))? {
            let path = entry?.path();
            match path.file_name().and_then(|name| name.to_str()).and_then(parse) {
                Some((key, made, bytes)) => contexts.take(key, Tree::new(path, bytes, made)),
                None => drop(fs::remove_dir_all(&path)),
            }
        }
        Ok(contexts)
    }

    /// The most bytes that are kept.
    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// Begins a tree with this key.
    pub(crate) fn begin(&self, key: &str) -> io::Result<Incoming> {
        let key = Digest::sha256(key.as_bytes()).hex()[..32].to_owned();
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join("incoming").join(number.to_string());
        fs::create_dir(&path)?;
        let earlier = self.lock().get(&key).cloned();
        Ok(Incoming { path, key, earlier, kept: false })
    }

    /// The tree is whole: the next one of its key begins with it.
    pub(crate) fn keep(&self, mut incoming: Incoming, bytes: u64) -> io::Result<Arc<Tree>> {
        let now = self.clock.wall().0;
        let next = |last: i64| Some(now.max(last + 1));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(now);
        let made = Timestamp(now.max(last + 1));
        let path = self.dir.join("trees").join(format!("{}-{}-{bytes}", incoming.key, made.0));
        fs::rename(&incoming.path, &path)?;
        incoming.kept = true;
        let tree = Arc::new(Tree::new(path, bytes, made));
        let key = std::mem::take(&mut incoming.key);
        drop(incoming);
        let replaced = self.lock().insert(key, tree.clone());
        forget(replaced);
        self.shrink(self.bound);
        Ok(tree)
    }

    /// The tree is whole, and no later build will ask for the same: it goes with its last reader.
    pub(crate) fn keep_once(&self, incoming: Incoming, bytes: u64) -> io::Result<Arc<Tree>> {
        let key = incoming.key.clone();
        let tree = self.keep(incoming, bytes)?;
        let kept = self.lock().remove(&key);
        forget(kept);
        Ok(tree)
    }

    /// What is kept.
    pub(crate) fn usage(&self) -> Vec<Cached> {
        self.lock().values().map(Cached::of).collect()
    }

    /// Forgets what no build reads and no build has made since then, and says what it was.
    pub(crate) fn prune(&self, unused_since: Timestamp) -> Vec<Cached> {
        let mut gone = Vec::new();
        let trees: Vec<_> = {
            let mut kept = self.lock();
            let keys: Vec<_> = kept
                .iter()
                .map(|(key, tree)| (key.clone(), Cached::of(tree)))
                .filter(|(_, usage)| !usage.busy && usage.made <= unused_since)
                .collect();
            keys.into_iter()
                .filter_map(|(key, usage)| {
                    gone.push(usage);
                    kept.remove(&key)
                })
                .collect()
        };
        forget(trees);
        gone
    }

    /// Forgets the trees that were used longest ago until the rest fits.
    fn shrink(&self, bound: u64) {
        let mut trees = Vec::new();
        {
            let mut kept = self.lock();
            let mut sum: u64 = kept.values().map(|tree| tree.bytes).sum();
            while (sum > bound || kept.len() > TREES) && kept.len() > 1 {
                let oldest = kept.iter().min_by_key(|(_, tree)| tree.made);
                let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
                if let Some(tree) = kept.remove(&key) {
                    sum = sum.saturating_sub(tree.bytes);
                    trees.push(tree);
                }
            }
        }
        forget(trees);
    }

    /// Takes in a tree that was found on the disk; the newest of a key stays.
    fn take(&self, key: String, tree: Tree) {
        let mut kept = self.lock();
        let tree = Arc::new(tree);
        let older = match kept.get(&key) {
            Some(there) if there.made >= tree.made => Some(tree),
            Some(_) | None => kept.insert(key, tree),
        };
        drop(kept);
        forget(older);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Tree>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Their folders go when nobody reads them any more.
fn forget(trees: impl IntoIterator<Item = Arc<Tree>>) {
    for tree in trees {
        tree.forgotten.store(true, Ordering::Release);
    }
}

/// `<key>-<made>-<bytes>`.
fn parse(name: &str) -> Option<(String, Timestamp, u64)> {
    let (rest, bytes) = name.rsplit_once('-')?;
    let (key, made) = rest.rsplit_once('-')?;
    Some((key.to_owned(), Timestamp(made.parse().ok()?), bytes.parse().ok()?))
}

impl Tree {
    fn new(path: PathBuf, bytes: u64, made: Timestamp) -> Self {
        Self { path, bytes, made, forgotten: AtomicBool::new(false) }
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if !self.forgotten.load(Ordering::Acquire) {
            return;
        }
        // Out of the way at once; what is left of it at the next start is removed then.
        let name = self.path.file_name().unwrap_or_default();
        let away = self.path.with_file_name("..").join("incoming").join(name);
        match fs::rename(&self.path, &away) {
            Ok(()) => drop(std::thread::spawn(move || remove(&away))),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "an old context could not be moved away");
            }
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "an old context could not be removed");
    }
}

impl Incoming {
    /// Where to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The tree that files may be shared with.
    pub(crate) fn earlier(&self) -> Option<PathBuf> {
        self.earlier.as_ref().map(|tree| tree.path.clone())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

impl Cached {
    fn of(tree: &Arc<Tree>) -> Self {
        Self {
            id: tree.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes: tree.bytes,
            made: tree.made,
            // The table's own handle is one.
            busy: Arc::strong_count(tree) > 1,
        }
    }
}

#[cfg(test)]
mod tests;
