//! Looking for damage: every blob is read, and every unpacked layer compared with what its blob unpacks to.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;

use oci::{Digest, Reference, Verifier};

use crate::archive::Spooled;
use crate::compare;
use crate::disk::{DiskError, OnPath as _};
use crate::events;
use crate::state::LayerRecord;
use crate::store::{Hold, Images, Inner, Place};

/// One damaged thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its digest: a blob's, or a layer's chain id.
    pub digest: Digest,
    /// What it is and what is wrong with it, for people.
    pub what: String,
    /// The images that need it, by name or short id.
    pub images: Vec<String>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fsck {
    /// How many blobs were read.
    pub blobs: usize,
    /// How many unpacked layers were compared.
    pub layers: usize,
    /// The damage. A load that brings the same content again mends it.
    pub damage: Vec<Damage>,
}

impl Images {
    /// Reads everything, and names what is missing or not what it should be.
    ///
    /// Takes as long as reading and unpacking all images. Nothing is changed, but a load will replace what was found
    /// damaged.
    pub fn fsck(&self) -> Result<Fsck, DiskError> {
        let inner = &*self.0;
        let mut hold = self.hold();
        let inventory = Inventory::of(inner, &mut hold);
        let mut found =
            Fsck { blobs: inventory.blobs.len(), layers: inventory.layers.len(), damage: Vec::new() };
        let mut suspect: HashSet<(Place, Digest)> = HashSet::new();
        for (digest, images) in inventory.blobs {
            if let Some(what) = inner.blob_damage(&digest) {
                suspect.insert((Place::Blob, digest.clone()));
                found.damage.push(Damage { digest, what, images });
            }
        }
        for (digest, Shared { layer, below, images }) in inventory.layers {
            // A layer whose blob is damaged has nothing to be compared with, but must be there.
            let blob_is_sound = !suspect.contains(&(Place::Blob, layer.blob.clone()));
            if let Some(what) = inner.layer_damage(&layer, &below, blob_is_sound)? {
                suspect.insert((Place::Layer, digest.clone()));
                found.damage.push(Damage { digest, what, images });
            }
        }
        found.damage.iter().for_each(|damage| events::damaged(&damage.what));
        inner.state().suspect.extend(suspect);
        Ok(found)
    }
}

/// Everything that the record names, each once, with the images that need it.
struct Inventory {
    blobs: BTreeMap<Digest, Vec<String>>,
    layers: BTreeMap<Digest, Shared>,
}

/// A layer and those below it.
struct Shared {
    layer: LayerRecord,
    below: Vec<LayerRecord>,
    images: Vec<String>,
}

impl Inventory {
    /// What is listed is held, so that it cannot be collected while it is looked at.
    fn of(inner: &Inner, hold: &mut Hold) -> Self {
        let mut state = inner.state();
        let record = state.record.clone();
        let mut inventory = Self { blobs: BTreeMap::new(), layers: BTreeMap::new() };
        for (id, image) in &record.images {
            let title =
                record.names_of(id).first().map_or_else(|| id.short().to_owned(), Reference::familiar);
            hold.pin(&mut state, &id.0);
            inventory.blobs.entry(id.0.clone()).or_default().push(title.clone());
            if let Some(manifest) = &image.manifest {
                hold.pin(&mut state, manifest);
                inventory.blobs.entry(manifest.clone()).or_default().push(title.clone());
            }
            for (depth, layer) in image.layers.iter().enumerate() {
                hold.pin(&mut state, &layer.blob);
                hold.pin(&mut state, &layer.chain_id);
                inventory.blobs.entry(layer.blob.clone()).or_default().push(title.clone());
                let fresh = || {
                    let below = image.layers[..depth].to_vec();
                    Shared { layer: layer.clone(), below, images: Vec::new() }
                };
                inventory
                    .layers
                    .entry(layer.chain_id.clone())
                    .or_insert_with(fresh)
                    .images
                    .push(title.clone());
            }
        }
        inventory
    }
}

impl Inner {
    fn blob_damage(&self, digest: &Digest) -> Option<String> {
        let file = match File::open(self.blob_path(digest)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some(format!("blob {digest} is missing"));
            }
            Err(error) => return Some(format!("blob {digest} cannot be read: {error}")),
        };
        let mut verifier = Verifier::new(file, digest.clone());
        if let Err(error) = io::copy(&mut verifier, &mut io::sink()) {
            return Some(format!("blob {digest} cannot be read: {error}"));
        }
        verifier.finish().err().map(|mismatch| format!("blob {digest} is damaged: {mismatch}"))
    }

    fn layer_damage(
        &self,
        layer: &LayerRecord,
        below: &[LayerRecord],
        blob_is_sound: bool,
    ) -> Result<Option<String>, DiskError> {
        let diff = self.diff_path(&layer.chain_id);
        if !diff.is_dir() {
            return Ok(Some(format!("layer {} is missing", layer.chain_id)));
        }
        if !blob_is_sound {
            return Ok(None);
        }
        let work = self.work()?;
        let lower: Vec<_> = below.iter().rev().map(|layer| self.diff_path(&layer.chain_id)).collect();
        let blob =
            Spooled { path: self.blob_path(&layer.blob), digest: layer.blob.clone(), size: layer.blob_size };
        let fresh =
            match self.unpack(&blob, layer.chain_id.clone(), layer.diff_id.clone(), &lower, &work.path) {
                Ok(fresh) => fresh,
                Err(error) => {
                    return Ok(Some(format!("layer {} cannot be unpacked: {error}", layer.chain_id)));
                }
            };
        let Some(folder) = fresh.folder else { return Ok(None) };
        let difference = compare::first_difference(&folder.join("diff"), &diff).on("read", &diff)?;
        Ok(difference.map(|entry| format!("layer {} is damaged at `{entry}`", layer.chain_id)))
    }
}

#[cfg(test)]
mod tests;
