//! The collection of garbage: what no name, container, build or caller needs goes; nothing else does.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

use oci::{Digest, Reference};

use crate::disk::{self, DiskError, OnPath as _};
use crate::events;
use crate::image::{ImageId, Usage};
use crate::journal::Happening;
use crate::store::{Images, Inner, State};

/// What must stay beside what has a name or a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Images, such as those of releases that a rollback needs.
    pub images: BTreeSet<ImageId>,
    /// The keys of snapshots that containers have; `None` when the caller does not know them, and all stay.
    ///
    /// Of those not listed only the ones that an earlier process made go: one made by this process is never a stray.
    pub snapshots: Option<BTreeSet<String>>,
}

/// Which images nobody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// Those without a name.
    Dangling,
    /// Those without a container, and the build cache.
    All,
}

/// What was collected, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// Bytes on the disk.
    pub freed: u64,
    /// Images.
    pub images: Vec<ImageId>,
    /// Snapshots that belong to no container.
    pub snapshots: Vec<String>,
    /// Unpacked layers, by chain id.
    pub layers: Vec<Digest>,
    /// Configurations and layers as they came.
    pub blobs: Vec<Digest>,
    /// Steps of the build cache.
    pub cached_steps: usize,
}

impl Images {
    /// Takes what nobody needs: images without a name that no container, build, cached step or `keep` holds, their
    /// layers, and what crashes left. With `dry_run` it only says so.
    pub fn collect(&self, keep: &Keep, dry_run: bool) -> Result<Collected, DiskError> {
        self.prune(Prune::Dangling, keep, dry_run)
    }

    /// The same, choosing the images; [`Prune::All`] takes named ones and the build cache, too.
    pub fn prune(&self, what: Prune, keep: &Keep, dry_run: bool) -> Result<Collected, DiskError> {
        let inner = &*self.0;
        let mut state = inner.state();
        let snapshots = strays(&state, keep);
        let images = unneeded(&state, what, keep, &snapshots);
        let cached_steps = if what == Prune::All { state.cache.len() } else { 0 };
        let garbage = inner.garbage(&state, &images)?;
        let mut collected = Collected {
            freed: 0,
            images: images.iter().cloned().collect(),
            layers: garbage.layers.iter().map(|(digest, _)| digest.clone()).collect(),
            blobs: garbage.blobs.iter().map(|(digest, _)| digest.clone()).collect(),
            snapshots,
            cached_steps,
        };
        let mut going: Vec<PathBuf> =
            collected.snapshots.iter().map(|key| inner.snapshot_path(key)).collect();
        going.extend(garbage.paths());
        if dry_run {
            drop(state);
            collected.freed = going.iter().map(|path| disk::tree_size(path)).sum::<Result<u64, _>>()?;
            return Ok(collected);
        }
        let mut told: Vec<(ImageId, Vec<String>, BTreeMap<String, String>)> = Vec::new();
        for id in &images {
            let names = state.record.names_of(id).iter().map(Reference::familiar).collect();
            let labels = self.labels(&mut state, id);
            told.push((id.clone(), names, labels));
        }
        // Names first: a record that names what is gone would be damage; content that nobody names is only waste.
        inner.change::<_, DiskError>(&mut state, |record| {
            record.images.retain(|id, _| !images.contains(id));
            record.names.retain(|_, id| !images.contains(id));
            Ok(())
        })?;
        if what == Prune::All {
            state.cache.clear();
            state.cache.write(&inner.dir.join("cache.json"), &inner.incoming())?;
        }
        collected.snapshots.iter().for_each(|key| drop(state.snapshots.remove(key)));
        base::crash::point("image: names gone");
        let trash = inner.move_out(going)?;
        drop(state);
        base::crash::point("image: content moved out");
        for (id, names, labels) in &told {
            for name in names {
                self.tell_with(id, Happening::Untagged { name: name.clone() }, labels);
            }
            self.tell_with(id, Happening::Removed, labels);
        }
        collected.freed = trash.empty();
        if collected.freed > 0 {
            events::collected(
                collected.images.len() + collected.layers.len() + collected.blobs.len(),
                collected.freed,
            );
        }
        Ok(collected)
    }

    /// What the folder holds.
    pub fn usage(&self) -> Usage {
        let state = self.0.state();
        let layers: HashMap<&Digest, u64> = state
            .record
            .images
            .values()
            .flat_map(|image| &image.layers)
            .map(|one| (&one.chain_id, one.size))
            .collect();
        let blobs: HashMap<&Digest, u64> = state
            .record
            .images
            .values()
            .flat_map(|image| &image.layers)
            .map(|one| (&one.blob, one.blob_size))
            .collect();
        Usage {
            images: state.record.images.len() as u64,
            blobs: blobs.values().sum(),
            layer_count: layers.len() as u64,
            layers: layers.values().sum(),
            snapshots: state.snapshots.len() as u64,
            cached_steps: state.cache.len() as u64,
        }
    }
}

/// Snapshots of an earlier process that no container has.
fn strays(state: &State, keep: &Keep) -> Vec<String> {
    let Some(kept) = &keep.snapshots else { return Vec::new() };
    state
        .snapshots
        .iter()
        .filter(|(key, one)| !one.fresh && !kept.contains(*key))
        .map(|(key, _)| key.clone())
        .collect()
}

fn unneeded(state: &State, what: Prune, keep: &Keep, strays: &[String]) -> BTreeSet<ImageId> {
    let named: HashSet<&ImageId> = state.record.names.values().collect();
    let in_use: HashSet<&ImageId> =
        state.snapshots.iter().filter(|(key, _)| !strays.contains(key)).map(|(_, one)| &one.image).collect();
    let wanted = |id: &ImageId| match what {
        Prune::Dangling => named.contains(id) || state.cache.holds(id),
        Prune::All => false,
    };
    let needed = |id: &ImageId| {
        keep.images.contains(id) || in_use.contains(id) || state.is_pinned(&id.0) || wanted(id)
    };
    state.record.images.keys().filter(|id| !needed(id)).cloned().collect()
}

/// Content that no image needs.
struct Garbage {
    layers: Vec<(Digest, PathBuf)>,
    blobs: Vec<(Digest, PathBuf)>,
    /// What is no content at all.
    other: Vec<PathBuf>,
}

impl Garbage {
    fn paths(self) -> impl Iterator<Item = PathBuf> {
        self.layers.into_iter().chain(self.blobs).map(|(_, path)| path).chain(self.other)
    }
}

/// What was moved out of its place and waits to be removed.
pub(crate) struct Trash(Vec<PathBuf>);

impl Trash {
    /// Removes it and answers the bytes freed. What cannot be removed now goes when the folder is opened next.
    pub(crate) fn empty(self) -> u64 {
        let mut freed = 0;
        for path in self.0 {
            let size = disk::tree_size(&path).unwrap_or(0);
            match disk::remove(&path) {
                Ok(()) => freed += size,
                Err(error) => events::left_behind(&path, &error),
            }
        }
        freed
    }
}

impl Inner {
    /// Moves out content that no image needs.
    pub(crate) fn sweep(&self, state: &State) -> Result<Trash, DiskError> {
        let garbage = self.garbage(state, &BTreeSet::new())?;
        self.move_out(garbage.paths())
    }

    fn move_out(&self, paths: impl IntoIterator<Item = PathBuf>) -> Result<Trash, DiskError> {
        let mut trash = Vec::new();
        for path in paths {
            self.faults.point("image: content about to go").on("remove", &path)?;
            trash.extend(self.discard(&path)?);
        }
        Ok(Trash(trash))
    }

    /// What would be garbage if these images were gone.
    fn garbage(&self, state: &State, gone: &BTreeSet<ImageId>) -> Result<Garbage, DiskError> {
        let mut needed: HashSet<&Digest> = HashSet::new();
        for (id, image) in state.record.images.iter().filter(|(id, _)| !gone.contains(*id)) {
            needed.insert(&id.0);
            needed.extend(image.manifest.as_ref());
            for layer in &image.layers {
                needed.insert(&layer.chain_id);
                needed.insert(&layer.blob);
            }
        }
        let spare = |digest: &Digest| !needed.contains(digest) && !state.is_pinned(digest);
        let mut garbage = Garbage { layers: Vec::new(), blobs: Vec::new(), other: Vec::new() };
        for (folder, is_layer) in [("layers", true), ("blobs/sha256", false)] {
            let folder = self.dir.join(folder);
            for entry in fs::read_dir(&folder).on("read", &folder)? {
                let path = entry.on("read", &folder)?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                match Digest::from_sha256_hex(name) {
                    Ok(digest) if spare(&digest) && is_layer => garbage.layers.push((digest, path)),
                    Ok(digest) if spare(&digest) => garbage.blobs.push((digest, path)),
                    Ok(_) => {}
                    Err(_) => garbage.other.push(path),
                }
            }
        }
        garbage.other.extend(self.stale_downloads()?);
        garbage.layers.sort();
        garbage.blobs.sort();
        Ok(garbage)
    }
}

#[cfg(test)]
mod tests;
