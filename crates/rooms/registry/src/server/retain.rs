//! Retention: which tags are kept, by how many and how old they are.

use std::collections::BTreeSet;
use std::time::Duration;

use oci::Digest;

use super::index::Repository;
use super::{Registry, RegistryError};

/// How much of a repository is kept. A tag goes when every bound that is set says so: with both, those beyond the
/// newest so many that are also older than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// So many of the newest tags stay.
    pub newest: Option<usize>,
    /// Tags stay that were pushed within this time.
    pub within: Option<Duration>,
}

/// What stays whatever its age: by the digest of a manifest, of an index, or of a configuration, which is an image's id.
#[derive(Debug, Clone, Default)]
pub struct Protected {
    /// What runs, and what a release keeps.
    pub digests: BTreeSet<Digest>,
}

/// What went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retained {
    /// Tags that went, as `repository:tag`.
    pub tags: Vec<String>,
    /// Manifests that had no other tag.
    pub manifests: usize,
}

impl Registry {
    /// Takes the tags away that this retention does not keep, and manifests that nothing else names then. Their blobs
    /// go with the next collection.
    pub async fn retain(&self, keep: Retention, protected: &Protected) -> Result<Retained, RegistryError> {
        let mut retained = Retained::default();
        if keep == Retention::default() {
            return Ok(retained);
        }
        let names: Vec<String> = self.0.index.read().keys().cloned().collect();
        for name in names {
            let changing = self.0.index.changing().await;
            let (tags, manifests) = {
                let state = changing.read();
                let Some(one) = state.get(&name) else { continue };
                let tags = surplus(one, keep, protected, self.now());
                let manifests = orphans(one, &tags, protected);
                (tags, manifests)
            };
            retained.tags.extend(tags.iter().map(|tag| format!("{name}:{tag}")));
            retained.manifests += manifests.len();
            changing.remove_tags(&name, tags.into_iter().collect()).await?;
            changing.remove_manifests(&name, manifests.into_iter().collect()).await?;
        }
        Ok(retained)
    }
}

/// Tags that are not kept.
fn surplus(
    one: &Repository,
    keep: Retention,
    protected: &Protected,
    now: base::Timestamp,
) -> BTreeSet<String> {
    let mut by_age: Vec<_> = one.tags.iter().collect();
    by_age.sort_by(|(a_tag, a), (b_tag, b)| b.pushed.cmp(&a.pushed).then_with(|| b_tag.cmp(a_tag)));
    let goes = |(place, (tag, row)): (usize, (&String, &super::index::TagRow))| {
        let many = keep.newest.is_none_or(|newest| place >= newest);
        let old = keep.within.is_none_or(|within| now.since(row.pushed) > within);
        (many && old && !is_protected(one, &row.digest, protected)).then(|| tag.clone())
    };
    by_age.into_iter().enumerate().filter_map(goes).collect()
}

/// Whether a manifest, what it lists, its configuration, or what it speaks about is protected.
fn is_protected(one: &Repository, digest: &Digest, protected: &Protected) -> bool {
    if protected.digests.contains(digest) {
        return true;
    }
    let Some(row) = one.manifests.get(digest) else { return false };
    row.config.as_ref().is_some_and(|config| protected.digests.contains(config))
        || row.subject.as_ref().is_some_and(|subject| protected.digests.contains(subject))
        || row.manifests.iter().any(|inner| is_protected(one, inner, protected))
}

/// Manifests that were reached by these tags and are reached by nothing once they are gone: not by another tag, not by
/// an index or as what speaks about a manifest that stays.
fn orphans(one: &Repository, going: &BTreeSet<String>, protected: &Protected) -> BTreeSet<Digest> {
    let reached = |stays: bool| {
        let tags = one.tags.iter().filter(|(tag, _)| going.contains(*tag) != stays);
        let mut reached: BTreeSet<Digest> = tags.map(|(_, row)| row.digest.clone()).collect();
        let guarded = one.manifests.keys().filter(|digest| stays && is_protected(one, digest, protected));
        reached.extend(guarded.cloned());
        loop {
            let inner = reached
                .iter()
                .filter_map(|digest| one.manifests.get(digest))
                .flat_map(|row| row.manifests.iter());
            let speakers = one
                .manifests
                .iter()
                .filter(|(_, row)| row.subject.as_ref().is_some_and(|subject| reached.contains(subject)));
            let more: Vec<Digest> = inner
                .chain(speakers.map(|(digest, _)| digest))
                .filter(|digest| !reached.contains(*digest))
                .cloned()
                .collect();
            if more.is_empty() {
                return reached;
            }
            reached.extend(more);
        }
    };
    let stays = reached(true);
    reached(false).into_iter().filter(|digest| !stays.contains(digest)).collect()
}
