//! What a repository has: manifests, tags and blobs, in memory and in the database.
//!
//! Changes go one after the other: each looks at the state, is written to the database, and only then seen by readers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use base::{Clock, Timestamp};
use oci::{Digest, MediaType};
use serde::{Deserialize, Serialize};
use store::{Store, Table};
use tokio::sync::{Mutex, MutexGuard};

use super::files::Files;
use super::{OpenError, RegistryError};

const MANIFESTS: Table<ManifestRow> = Table::new("registry.manifest");
const TAGS: Table<TagRow> = Table::new("registry.tag");
const BLOBS: Table<BlobRow> = Table::new("registry.blob");

/// A manifest or index of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestRow {
    pub(super) media_type: MediaType,
    pub(super) size: u64,
    pub(super) pushed: Timestamp,
    /// Configuration and layers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) blobs: BTreeMap<Digest, u64>,
    /// The configuration among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<Digest>,
    /// What an index lists.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) manifests: BTreeSet<Digest>,
    /// What it says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
    /// Kept only where it refers to something: a list of referrers shows them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TagRow {
    pub(super) digest: Digest,
    pub(super) pushed: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct BlobRow {
    size: u64,
}

/// A blob of a repository.
#[derive(Debug)]
pub(super) struct BlobState {
    pub(super) size: u64,
    /// When somebody last asked for it or brought it, in nanoseconds since 1970.
    pub(super) touched: AtomicI64,
}

/// A repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) manifests: BTreeMap<Digest, ManifestRow>,
    pub(super) tags: BTreeMap<String, TagRow>,
    pub(super) blobs: HashMap<Digest, BlobState>,
}

pub(super) type Repositories = BTreeMap<String, Repository>;

/// A tag, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagView {
    /// Its name.
    pub tag: String,
    /// What it means.
    pub digest: Digest,
    /// When it was pushed.
    pub pushed: Timestamp,
    /// Bytes of its manifest and of the blobs that this lists.
    pub size: u64,
}

/// The index of an open folder.
pub(super) struct Index {
    store: Store,
    state: RwLock<Repositories>,
    changes: Mutex<()>,
    clock: Arc<dyn Clock>,
}

/// Leave to change the index and to place or remove blobs: nobody else does while it is held.
pub(super) struct Changing<'a> {
    index: &'a Index,
    _alone: MutexGuard<'a, ()>,
}

impl Index {
    pub(super) fn open(files: &Files, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let store = Store::open(&files.root().join("registry.db"), clock.clone())?;
        // Before this moment nobody was told that a blob is here and has not been heard of since.
        let now = clock.wall().0;
        let mut state = Repositories::new();
        store.read(|view| {
            for row in BLOBS.list(view)? {
                if let Some((name, digest)) = split(&row.key) {
                    let blob = BlobState { size: row.value.size, touched: AtomicI64::new(now) };
                    state.entry(name).or_default().blobs.insert(digest, blob);
                }
            }
            for row in MANIFESTS.list(view)? {
                if let Some((name, digest)) = split(&row.key) {
                    state.entry(name).or_default().manifests.insert(digest, row.value);
                }
            }
            for row in TAGS.list(view)? {
                if let Some((name, tag)) = row.key.split_once(' ') {
                    state.entry(name.to_owned()).or_default().tags.insert(tag.to_owned(), row.value);
                }
            }
            Ok(())
        })?;
        Ok(Self { store, state: RwLock::new(state), changes: Mutex::new(()), clock })
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Repositories> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> RwLockWriteGuard<'_, Repositories> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for leave to change it.
    pub(super) async fn changing(&self) -> Changing<'_> {
        Changing { index: self, _alone: self.changes.lock().await }
    }

    pub(super) fn repositories(&self) -> Vec<String> {
        let shown = |repository: &Repository| !repository.manifests.is_empty();
        self.read().iter().filter(|(_, one)| shown(one)).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn tag_views(&self, repository: &str) -> Option<Vec<TagView>> {
        let state = self.read();
        let repository = state.get(repository)?;
        let view = |(tag, row): (&String, &TagRow)| {
            let manifest = repository.manifests.get(&row.digest);
            let size = manifest.map_or(0, |manifest| manifest.size + manifest.blobs.values().sum::<u64>());
            TagView { tag: tag.clone(), digest: row.digest.clone(), pushed: row.pushed, size }
        };
        let mut views: Vec<TagView> = repository.tags.iter().map(view).collect();
        views.sort_by(|a, b| b.pushed.cmp(&a.pushed).then_with(|| a.tag.cmp(&b.tag)));
        Some(views)
    }

    /// How long a blob of a repository is. From now on it counts as touched.
    pub(super) fn blob(&self, repository: &str, digest: &Digest) -> Option<u64> {
        let state = self.read();
        let blob = state.get(repository)?.blobs.get(digest)?;
        blob.touched.store(self.clock.wall().0, Ordering::Relaxed);
        Some(blob.size)
    }

    /// What a tag or digest means in a repository, and its manifest.
    pub(super) fn manifest(&self, repository: &str, which: &str) -> Option<(Digest, ManifestRow)> {
        let state = self.read();
        let repository = state.get(repository)?;
        let digest = match which.parse::<Digest>() {
            Ok(digest) => digest,
            Err(_) => repository.tags.get(which)?.digest.clone(),
        };
        let row = repository.manifests.get(&digest)?.clone();
        Some((digest, row))
    }

    /// Takes tags away; false if there was none of them.
    pub(super) async fn remove_tags(
        &self,
        repository: &str,
        tags: Vec<String>,
    ) -> Result<bool, RegistryError> {
        self.changing().await.remove_tags(repository, tags).await
    }

    /// Takes manifests away with the tags that mean them; false if there was none of them.
    pub(super) async fn remove_manifests(
        &self,
        repository: &str,
        digests: Vec<Digest>,
    ) -> Result<bool, RegistryError> {
        self.changing().await.remove_manifests(repository, digests).await
    }
}

impl Changing<'_> {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Repositories> {
        self.index.read()
    }

    /// A repository has this blob from now on.
    pub(super) async fn link(
        &self,
        repository: &str,
        digest: &Digest,
        size: u64,
    ) -> Result<(), RegistryError> {
        if self.index.blob(repository, digest).is_some() {
            return Ok(());
        }
        let key = key(repository, &digest.to_string());
        self.index.store.write(move |tx| BLOBS.put(tx, &key, &BlobRow { size })).await?;
        let blob = BlobState { size, touched: AtomicI64::new(self.index.clock.wall().0) };
        self.index.state().entry(repository.to_owned()).or_default().blobs.insert(digest.clone(), blob);
        Ok(())
    }

    /// A repository has this manifest from now on, and a tag means it.
    pub(super) async fn put(
        &self,
        repository: &str,
        digest: &Digest,
        row: ManifestRow,
        tag: Option<&str>,
    ) -> Result<(), RegistryError> {
        let manifest_key = key(repository, &digest.to_string());
        let tag_row = TagRow { digest: digest.clone(), pushed: row.pushed };
        let tagged = tag.map(|tag| (key(repository, tag), tag_row.clone()));
        let written = row.clone();
        self.index
            .store
            .write(move |tx| {
                MANIFESTS.put(tx, &manifest_key, &written)?;
                tagged.iter().try_for_each(|(key, row)| TAGS.put(tx, key, row))
            })
            .await?;
        base::crash::point("registry: manifest named");
        let mut state = self.index.state();
        let repository = state.entry(repository.to_owned()).or_default();
        repository.manifests.insert(digest.clone(), row);
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), tag_row);
        }
        Ok(())
    }

    pub(super) async fn remove_tags(
        &self,
        repository: &str,
        tags: Vec<String>,
    ) -> Result<bool, RegistryError> {
        let known = |tag: &String| self.read().get(repository).is_some_and(|one| one.tags.contains_key(tag));
        let tags: Vec<String> = tags.into_iter().filter(known).collect();
        if tags.is_empty() {
            return Ok(false);
        }
        let keys: Vec<String> = tags.iter().map(|tag| key(repository, tag)).collect();
        self.index
            .store
            .write(move |tx| keys.iter().try_for_each(|key| TAGS.remove(tx, key).map(drop)))
            .await?;
        if let Some(repository) = self.index.state().get_mut(repository) {
            tags.iter().for_each(|tag| drop(repository.tags.remove(tag)));
        }
        Ok(true)
    }

    pub(super) async fn remove_manifests(
        &self,
        repository: &str,
        digests: Vec<Digest>,
    ) -> Result<bool, RegistryError> {
        let (digests, tags) = {
            let state = self.read();
            let Some(one) = state.get(repository) else { return Ok(false) };
            let digests: BTreeSet<Digest> =
                digests.into_iter().filter(|digest| one.manifests.contains_key(digest)).collect();
            let tags = one.tags.iter().filter(|(_, row)| digests.contains(&row.digest));
            let tags: Vec<String> = tags.map(|(tag, _)| tag.clone()).collect();
            (digests, tags)
        };
        if digests.is_empty() {
            return Ok(false);
        }
        let manifest_keys: Vec<String> =
            digests.iter().map(|digest| key(repository, &digest.to_string())).collect();
        let tag_keys: Vec<String> = tags.iter().map(|tag| key(repository, tag)).collect();
        self.index
            .store
            .write(move |tx| {
                tag_keys.iter().try_for_each(|key| TAGS.remove(tx, key).map(drop))?;
                manifest_keys.iter().try_for_each(|key| MANIFESTS.remove(tx, key).map(drop))
            })
            .await?;
        if let Some(repository) = self.index.state().get_mut(repository) {
            tags.iter().for_each(|tag| drop(repository.tags.remove(tag)));
            digests.iter().for_each(|digest| drop(repository.manifests.remove(digest)));
        }
        Ok(true)
    }

    /// A repository has these blobs no more. They are gone for readers first: nobody is told that one is here which
    /// is about to go.
    pub(super) async fn unlink(&self, repository: &str, digests: Vec<Digest>) -> Result<(), RegistryError> {
        if let Some(repository) = self.index.state().get_mut(repository) {
            repository.blobs.retain(|digest, _| !digests.contains(digest));
        }
        let keys: Vec<String> = digests.iter().map(|digest| key(repository, &digest.to_string())).collect();
        self.index
            .store
            .write(move |tx| keys.iter().try_for_each(|key| BLOBS.remove(tx, key).map(drop)))
            .await?;
        Ok(())
    }

    /// Takes out of memory and database those of a repository's blobs that are old and that no manifest lists.
    pub(super) async fn unlink_unused(
        &self,
        repository: &str,
        touched_before: Timestamp,
    ) -> Result<usize, RegistryError> {
        let going: BTreeSet<Digest> = {
            // While this is held nobody is told that a blob is here; after it, what goes is not.
            let mut state = self.index.state();
            let Some(one) = state.get_mut(repository) else { return Ok(0) };
            let listed: BTreeSet<&Digest> = one.manifests.values().flat_map(|row| row.blobs.keys()).collect();
            let unused = |(digest, blob): (&Digest, &BlobState)| {
                let old = blob.touched.load(Ordering::Relaxed) < touched_before.0;
                (old && !listed.contains(digest)).then(|| digest.clone())
            };
            let going: BTreeSet<Digest> = one.blobs.iter().filter_map(unused).collect();
            one.blobs.retain(|digest, _| !going.contains(digest));
            going
        };
        let keys: Vec<String> = going.iter().map(|digest| key(repository, &digest.to_string())).collect();
        if !keys.is_empty() {
            self.index
                .store
                .write(move |tx| keys.iter().try_for_each(|key| BLOBS.remove(tx, key).map(drop)))
                .await?;
        }
        Ok(going.len())
    }

    /// Lets repositories go that have nothing.
    pub(super) fn forget_empty(&self) {
        self.index
            .state()
            .retain(|_, one| !(one.manifests.is_empty() && one.tags.is_empty() && one.blobs.is_empty()));
    }
}

fn key(repository: &str, thing: &str) -> String {
    format!("{repository} {thing}")
}

fn split(key: &str) -> Option<(String, Digest)> {
    let (name, digest) = key.split_once(' ')?;
    Some((name.to_owned(), digest.parse().ok()?))
}
