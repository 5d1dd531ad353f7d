//! The build cache: which image a build step led to.
//!
//! Losing it costs time only, so `cache.json` is not brought to the disk by force, and one that does not read is empty.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError, OnPath as _};
use crate::image::ImageId;
use crate::state::Record;
use crate::store::{Images, State};

/// What `cache.json` holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cache {
    version: u32,
    /// Counts uses; the step with the lowest goes first.
    clock: u64,
    steps: BTreeMap<String, Step>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Step {
    image: ImageId,
    used: u64,
}

const VERSION: u32 = 1;

impl Cache {
    /// Reads the cache, without steps whose image is gone.
    pub(crate) fn read(path: &Path, record: &Record) -> Self {
        let read = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let mut cache = read.filter(|cache| cache.version == VERSION).unwrap_or_default();
        cache.version = VERSION;
        cache.steps.retain(|_, step| record.images.contains_key(&step.image));
        cache
    }

    pub(crate) fn write(&self, path: &Path, incoming: &Path) -> Result<(), DiskError> {
        let fresh = incoming.join("cache.json");
        let text = serde_json::to_vec(self).map_err(std::io::Error::other).on("write", &fresh)?;
        fs::write(&fresh, text).on("write", &fresh)?;
        base::crash::point("image: cache beside");
        disk::rename(&fresh, path)
    }

    pub(crate) fn holds(&self, image: &ImageId) -> bool {
        self.steps.values().any(|step| step.image == *image)
    }

    /// The image of the step that was used longest ago.
    fn oldest(&self) -> Option<ImageId> {
        self.steps.values().min_by_key(|step| step.used).map(|step| step.image.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    pub(crate) fn forget_image(&mut self, image: &ImageId) {
        self.steps.retain(|_, step| step.image != *image);
    }

    pub(crate) fn clear(&mut self) {
        self.steps.clear();
    }

    fn get(&mut self, key: &str) -> Option<ImageId> {
        self.clock += 1;
        let step = self.steps.get_mut(key)?;
        step.used = self.clock;
        Some(step.image.clone())
    }

    /// Remembers a step, at the price of those used longest ago.
    fn put(&mut self, key: &str, image: ImageId, most: usize) {
        self.clock += 1;
        self.steps.insert(key.to_owned(), Step { image, used: self.clock });
        while self.steps.len() > most {
            let oldest = self.steps.iter().min_by_key(|(_, step)| step.used).map(|(key, _)| key.clone());
            oldest.iter().for_each(|key| drop(self.steps.remove(key)));
        }
    }
}

/// The bytes of layers that only images without a name have, which steps keep.
fn kept_for_steps(state: &State) -> u64 {
    let named: HashSet<&ImageId> = state.record.names.values().collect();
    let (kept, others): (Vec<_>, Vec<_>) =
        state.record.images.iter().partition(|(id, _)| state.cache.holds(id) && !named.contains(id));
    let needed: HashSet<&Digest> =
        others.iter().flat_map(|(_, image)| &image.layers).map(|layer| &layer.chain_id).collect();
    let kept: BTreeMap<&Digest, u64> = kept
        .iter()
        .flat_map(|(_, image)| &image.layers)
        .filter(|layer| !needed.contains(&layer.chain_id))
        .map(|layer| (&layer.chain_id, layer.size))
        .collect();
    kept.values().sum()
}

impl Images {
    /// The image that a build step with this key led to, if it is still here.
    pub fn cache_get(&self, key: &str) -> Option<ImageId> {
        let mut state = self.0.state();
        let image = state.cache.get(key)?;
        state.record.images.contains_key(&image).then_some(image)
    }

    /// Forgets the build's steps, those used longest ago first, until no more than so many bytes of layers are kept for
    /// them; answers with the images that went with them, and their bytes.
    pub fn forget_steps(&self, reserved: u64) -> Result<(Vec<ImageId>, u64), DiskError> {
        let mut going = Vec::new();
        let mut freed = 0;
        loop {
            let mut state = self.0.state();
            let size = kept_for_steps(&state);
            let Some(image) = state.cache.oldest().filter(|_| reserved == 0 || size > reserved) else {
                break;
            };
            state.cache.forget_image(&image);
            state.cache.write(&self.0.dir.join("cache.json"), &self.0.incoming())?;
            let unnamed = state.record.names_of(&image).is_empty();
            let free =
                unnamed && state.needed_by(&image).is_none() && state.record.images.contains_key(&image);
            if !free {
                continue;
            }
            self.0.change::<_, DiskError>(&mut state, |record| {
                record.images.remove(&image);
                Ok(())
            })?;
            let trash = self.0.sweep(&state)?;
            drop(state);
            freed += trash.empty();
            going.push(image);
        }
        Ok((going, freed))
    }

    /// Remembers which image a build step led to. The image stays until the step is forgotten or pruned.
    pub fn cache_put(&self, key: &str, image: &ImageId) -> Result<(), DiskError> {
        let mut state = self.0.state();
        if state.record.images.contains_key(image) {
            state.cache.put(key, image.clone(), self.0.limits.cached_steps);
            state.cache.write(&self.0.dir.join("cache.json"), &self.0.incoming())?;
        }
        Ok(())
    }

    /// Remembers several steps that led to one image, with one write.
    pub fn cache_put_all(
        &self,
        keys: impl IntoIterator<Item = String>,
        image: &ImageId,
    ) -> Result<(), DiskError> {
        let mut state = self.0.state();
        let mut fresh = false;
        if state.record.images.contains_key(image) {
            for key in keys {
                let known = state.cache.get(&key);
                if known.as_ref() != Some(image) {
                    state.cache.put(&key, image.clone(), self.0.limits.cached_steps);
                    fresh = true;
                }
            }
        }
        if fresh {
            state.cache.write(&self.0.dir.join("cache.json"), &self.0.incoming())?;
        }
        Ok(())
    }
}
