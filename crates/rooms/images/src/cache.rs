//! The build cache: which image a build step led to.
//!
//! Losing it costs time only, so `cache.json` is not brought to the disk by force, and one that does not read is empty.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError, OnPath as _};
use crate::image::ImageId;
use crate::state::Record;
use crate::store::Images;

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

impl Images {
    /// The image that a build step with this key led to, if it is still here.
    pub fn cache_get(&self, key: &str) -> Option<ImageId> {
        let mut state = self.0.state();
        let image = state.cache.get(key)?;
        state.record.images.contains_key(&image).then_some(image)
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
