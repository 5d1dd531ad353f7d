//! Which blobs somebody fetches: two pulls of one blob do not write one file.
//!
//! A pull waits for all its blobs in their order before it begins, so that two pulls never wait for each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use oci::Digest;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::disk::{DiskError, OnPath as _};
use crate::store::Inner;

/// Blobs that somebody fetches or waits for.
#[derive(Default)]
pub(crate) struct Fetching {
    turns: Mutex<BTreeMap<Digest, Arc<Turn<()>>>>,
}

/// Leave to fetch some blobs; nobody else does until it is dropped.
pub(crate) struct Leave<'a> {
    fetching: &'a Fetching,
    held: Vec<(Digest, OwnedMutexGuard<()>)>,
}

impl Fetching {
    /// Waits until nobody else fetches any of these.
    pub(crate) async fn wait(&self, blobs: impl IntoIterator<Item = Digest>) -> Leave<'_> {
        let sorted: std::collections::BTreeSet<Digest> = blobs.into_iter().collect();
        let mut leave = Leave { fetching: self, held: Vec::new() };
        for blob in sorted {
            let turn = self
                .turns
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(blob.clone())
                .or_default()
                .clone();
            leave.held.push((blob, turn.lock_owned().await));
        }
        leave
    }

    fn is_fetched(&self, hex: &str) -> bool {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.keys().any(|blob| blob.hex() == hex)
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut turns = self.fetching.turns.lock().unwrap_or_else(PoisonError::into_inner);
        for (blob, guard) in self.held.drain(..) {
            drop(guard);
            // Whoever waits holds the turn too.
            if turns.get(&blob).is_some_and(|turn| Arc::strong_count(turn) == 1) {
                turns.remove(&blob);
            }
        }
    }
}

impl Inner {
    /// Where a blob arrives.
    pub(crate) fn download_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("downloads").join(digest.hex())
    }

    /// Downloads that nobody went on with for too long, and the oldest of too many.
    pub(crate) fn stale_downloads(&self) -> Result<Vec<PathBuf>, DiskError> {
        let folder = self.dir.join("downloads");
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).on("read", &folder)? {
            let entry = entry.on("read", &folder)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|hex| self.fetching.is_fetched(hex)) {
                continue;
            }
            let about = entry.metadata().on("look at", &entry.path())?;
            let since = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            found.push((since.unwrap_or_default(), about.len(), entry.path()));
        }
        found.sort();
        let now = std::time::Duration::from_nanos(u64::try_from(self.clock.wall().0).unwrap_or(0));
        let mut total: u64 = found.iter().map(|(_, bytes, _)| bytes).sum();
        found.retain(|(since, bytes, _)| {
            let goes =
                now.saturating_sub(*since) > self.limits.download_age || total > self.limits.download_bytes;
            total -= if goes { *bytes } else { 0 };
            goes
        });
        Ok(found.into_iter().map(|(_, _, path)| path).collect())
    }

    /// A file for a blob to arrive in, with what arrived before.
    pub(crate) fn download_file(&self, digest: &Digest) -> Result<PathBuf, DiskError> {
        let path = self.download_path(digest);
        let opened = fs::OpenOptions::new().create(true).append(true).open(&path);
        opened.on("create", &path)?;
        Ok(path)
    }
}
