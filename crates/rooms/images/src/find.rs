//! Looking images up, naming them, and forgetting them.

use std::fs;
use std::sync::Arc;

use base::{Kind, Problem, Timestamp};
use oci::{Digest, History, ImageConfig, InvalidReference, Reference};

use crate::disk::DiskError;
use crate::events;
use crate::image::{Image, ImageId};
use crate::journal::Happening;
use crate::store::{Images, Inner, State};

/// Why an image was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none of this name or id.
    #[error("no image `{name}` is here")]
    NoImage {
        /// What was asked for.
        name: String,
    },
    /// The digits fit several.
    #[error("`{name}` fits {} images", fitting.len())]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Those that it fits.
        fitting: Vec<ImageId>,
    },
    /// Its configuration is gone or broken.
    #[error("the configuration of image `{id}` is damaged")]
    Damaged {
        /// The image.
        id: ImageId,
    },
}

impl Problem for FindError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoImage { .. } => Kind::NotFound,
            Self::Ambiguous { .. } => Kind::Invalid,
            Self::Damaged { .. } => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoImage { .. } => {
                "load it with `sea image load`, or see `sea image ls` for what is here".into()
            }
            Self::Ambiguous { .. } => "write more digits of the id".into(),
            Self::Damaged { .. } => "load the image again: that mends it".into(),
        })
    }
}

/// Why an image got no name.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// There is no such image.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A name with a digest says what it means already.
    #[error("`{0}` has a digest, and cannot be given to an image")]
    Digest(Reference),
    /// The record is full.
    #[error("the store is full: it holds {most} names")]
    Full {
        /// The bound.
        most: usize,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Problem for TagError {
    fn kind(&self) -> Kind {
        match self {
            Self::Find(find) => find.kind(),
            Self::Digest(_) => Kind::Invalid,
            Self::Full { .. } => Kind::Exhausted,
            Self::Disk(disk) => disk.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Find(find) => find.hint(),
            Self::Digest(_) => Some("use a tag, as in `web:v8`".into()),
            Self::Full { .. } => Some("remove names that nobody needs: `sea image rm`".into()),
            Self::Disk(disk) => disk.hint(),
        }
    }
}

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is no such image.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A container or a build needs it.
    #[error("image `{image}` is needed by {by}")]
    InUse {
        /// The image.
        image: String,
        /// Who needs it.
        by: String,
    },
    /// It was asked for by id and has several names.
    #[error("image `{image}` has {names} names")]
    ManyNames {
        /// The image.
        image: String,
        /// How many.
        names: usize,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Problem for RemoveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Find(find) => find.kind(),
            Self::InUse { .. } | Self::ManyNames { .. } => Kind::Conflict,
            Self::Disk(disk) => disk.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Find(find) => find.hint(),
            Self::InUse { .. } => {
                Some("remove the container first, or use `--force` to take the name away only".into())
            }
            Self::ManyNames { .. } => {
                Some("remove it by name, or use `--force` to take all names away".into())
            }
            Self::Disk(disk) => disk.hint(),
        }
    }
}

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(Reference),
    /// An image is gone.
    Deleted(ImageId),
}

impl Images {
    /// The image of this name, id or beginning of an id.
    pub fn find(&self, name: &str) -> Result<Image, FindError> {
        let mut state = self.0.state();
        let (id, _) = resolve(&state, name)?;
        self.0.image(&mut state, &id)
    }

    /// Which of an image's layers, given by diff ids from the lowest up, are here: so many of the lowest.
    pub fn layers_here(&self, diff_ids: &[Digest]) -> usize {
        let mut hold = self.hold();
        let chain = oci::chain_ids(diff_ids);
        chain.iter().take_while(|chain_id| self.0.known_layer(chain_id, &mut hold).is_some()).count()
    }

    /// All images, the newest first. One whose configuration is damaged is left out here; [`Images::fsck`] names it.
    pub fn list(&self) -> Vec<Image> {
        let mut state = self.0.state();
        let ids: Vec<ImageId> = state.record.images.keys().cloned().collect();
        let mut images: Vec<Image> = ids.iter().filter_map(|id| self.0.image(&mut state, id).ok()).collect();
        images.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        images
    }

    /// How an image came to be: its steps, the oldest first, each with the bytes of its layer.
    pub fn history(&self, name: &str) -> Result<Vec<(History, u64)>, FindError> {
        let image = self.find(name)?;
        let state = self.0.state();
        let sizes =
            state.record.images.get(&image.id).map(|record| record.layers.iter().map(|layer| layer.size));
        let mut sizes = sizes.into_iter().flatten();
        let mut steps: Vec<(History, u64)> = Vec::new();
        for step in &image.config.history {
            let size = if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) };
            steps.push((step.clone(), size));
        }
        // Layers that the history does not tell of.
        steps.extend(sizes.map(|size| (History::default(), size)));
        Ok(steps)
    }

    /// Gives an image one more name; a name that another image had moves over.
    pub fn tag(&self, image: &str, name: &Reference) -> Result<(), TagError> {
        if name.digest().is_some() {
            return Err(TagError::Digest(name.clone()));
        }
        let mut state = self.0.state();
        let (id, _) = resolve(&state, image)?;
        let most = self.0.limits.images;
        let now = self.0.clock.wall();
        self.0.change(&mut state, |record| {
            record.names.insert(name.clone(), id.clone());
            if let Some(image) = record.images.get_mut(&id) {
                image.tagged = Some(now);
            }
            if record.names.len() > most { Err(TagError::Full { most }) } else { Ok(()) }
        })?;
        drop(state);
        self.tell(&id, Happening::Tagged { name: name.familiar() });
        Ok(())
    }

    /// Takes a name away and leaves the image, even without any; false when nothing bears that name.
    pub fn untag(&self, name: &Reference) -> Result<bool, DiskError> {
        let mut state = self.0.state();
        let Some(id) = state.record.names.get(name).cloned() else { return Ok(false) };
        self.0.change::<_, DiskError>(&mut state, |record| {
            record.names.remove(name);
            Ok(())
        })?;
        drop(state);
        self.tell(&id, Happening::Untagged { name: name.familiar() });
        Ok(true)
    }

    /// Takes a name away, and the image with its last name; by id, the image with its only name.
    ///
    /// An image that a container or a build needs is never deleted; with `force` it loses its names, and goes when
    /// nobody needs it any more.
    pub fn remove(&self, name: &str, force: bool) -> Result<Vec<Removed>, RemoveError> {
        let inner = &*self.0;
        let mut state = inner.state();
        let (id, by_name) = resolve(&state, name)?;
        let all = state.record.names_of(&id);
        let going: Vec<Reference> = match &by_name {
            Some(name) => vec![name.clone()],
            None if all.len() > 1 && !force => {
                return Err(RemoveError::ManyNames { image: id.short().to_owned(), names: all.len() });
            }
            None => all.clone(),
        };
        let last = going.len() == all.len();
        let needed = state.needed_by(&id);
        if let (true, Some(by), false) = (last, &needed, force) {
            return Err(RemoveError::InUse { image: name.to_owned(), by: by.clone() });
        }
        let delete = last && needed.is_none();
        let labels = self.labels(&mut state, &id);
        inner.change::<_, DiskError>(&mut state, |record| {
            going.iter().for_each(|name| drop(record.names.remove(name)));
            if delete {
                record.images.remove(&id);
            }
            Ok(())
        })?;
        for name in &going {
            self.tell_with(&id, Happening::Untagged { name: name.familiar() }, &labels);
        }
        let mut removed: Vec<Removed> = going.into_iter().map(Removed::Untagged).collect();
        if delete {
            self.tell_with(&id, Happening::Removed, &labels);
            state.cache.forget_image(&id);
            events::removed(&id);
            removed.push(Removed::Deleted(id));
            let trash = inner.sweep(&state)?;
            drop(state);
            trash.empty();
        }
        Ok(removed)
    }
}

/// The image that a text means, and the name if it was one.
pub(crate) fn resolve(state: &State, text: &str) -> Result<(ImageId, Option<Reference>), FindError> {
    let none = || FindError::NoImage { name: text.chars().take(300).collect() };
    if let Ok(id) = text.parse::<ImageId>() {
        return if state.record.images.contains_key(&id) { Ok((id, None)) } else { Err(none()) };
    }
    let reference: Result<Reference, InvalidReference> = text.parse();
    if let Ok(reference) = &reference {
        if let Some(id) = state.record.names.get(reference) {
            return Ok((id.clone(), Some(reference.clone())));
        }
        if let Some(id) = reference.digest().map(|digest| ImageId(digest.clone()))
            && state.record.images.contains_key(&id)
        {
            return Ok((id, None));
        }
        if let Some(id) = by_digest(state, reference) {
            return Ok((id, None));
        }
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    {
        return Err(none());
    }
    let fitting: Vec<ImageId> =
        state.record.images.keys().filter(|id| id.0.hex().starts_with(digits)).cloned().collect();
    match <[ImageId; 1]>::try_from(fitting) {
        Ok([id]) => Ok((id, None)),
        Err(fitting) if fitting.is_empty() => Err(none()),
        Err(fitting) => Err(FindError::Ambiguous { name: text.to_owned(), fitting }),
    }
}

/// The image that a registry calls so; a tag beside the digest does not matter.
fn by_digest(state: &State, reference: &Reference) -> Option<ImageId> {
    let digest = reference.digest()?;
    let called = |own: &Reference| own.digest() == Some(digest) && own.repository() == reference.repository();
    state.record.images.iter().find(|(_, image)| image.digests.iter().any(called)).map(|(id, _)| id.clone())
}

impl Inner {
    pub(crate) fn image(&self, state: &mut State, id: &ImageId) -> Result<Image, FindError> {
        let config = self.config(state, id)?;
        let Some(record) = state.record.images.get(id) else {
            return Err(FindError::NoImage { name: id.to_string() });
        };
        let chain: Vec<Digest> = record.layers.iter().map(|layer| layer.chain_id.clone()).collect();
        let topmost_first: Vec<Digest> = chain.iter().rev().cloned().collect();
        let names = state.record.names_of(id);
        Ok(Image {
            id: id.clone(),
            intermediate: names.is_empty() && state.cache.holds(id),
            names,
            created: config.created.as_deref().and_then(Timestamp::from_rfc3339),
            config,
            lower: self.lower(&topmost_first),
            chain,
            size: record.layers.iter().map(|layer| layer.size).sum(),
            layer_sizes: record.layers.iter().map(|layer| layer.size).collect(),
            tagged: record.tagged,
            parent: record.parent.clone(),
            digests: record.digests.iter().cloned().collect(),
            pulled: record.pulled,
        })
    }

    fn config(&self, state: &mut State, id: &ImageId) -> Result<Arc<ImageConfig>, FindError> {
        if let Some(config) = state.configs.get(id) {
            return Ok(config.clone());
        }
        if !state.record.images.contains_key(id) {
            return Err(FindError::NoImage { name: id.to_string() });
        }
        let damaged = || {
            events::damaged(&format!("the configuration of image {id}"));
            FindError::Damaged { id: id.clone() }
        };
        let bytes = fs::read(self.blob_path(&id.0)).map_err(|_| damaged())?;
        if Digest::sha256(&bytes) != id.0 {
            return Err(damaged());
        }
        let config: Arc<ImageConfig> = Arc::new(serde_json::from_slice(&bytes).map_err(|_| damaged())?);
        state.configs.insert(id.clone(), config.clone());
        Ok(config)
    }
}

impl State {
    /// Who needs an image beside its names.
    pub(crate) fn needed_by(&self, id: &ImageId) -> Option<String> {
        let snapshot = self.snapshots.iter().find(|(_, snapshot)| snapshot.image == *id);
        match snapshot {
            Some((key, _)) => Some(format!("container `{}`", key.chars().take(12).collect::<String>())),
            None if self.is_pinned(&id.0) => Some("a build or load under way".into()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests;
