//! Looking for damage: every blob is read, and every unpacked layer compared with what its blob unpacks to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use oci::{Digest, Verifier};

use crate::archive::Spooled;
use crate::compare;
use crate::disk::{DiskError, OnPath as _};
use crate::events;
use crate::state::LayerRecord;
use crate::store::{Images, Inner};

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
        let record = {
            let mut state = inner.state();
            let record = state.record.clone();
            for (id, image) in &record.images {
                hold.pin(&mut state, &id.0);
                image.layers.iter().for_each(|layer| {
                    hold.pin(&mut state, &layer.blob);
                    hold.pin(&mut state, &layer.chain_id);
                });
            }
            record
        };
        let mut blobs: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        let mut layers: BTreeMap<Digest, (LayerRecord, Vec<LayerRecord>, Vec<String>)> = BTreeMap::new();
        for (id, image) in &record.images {
            let title =
                record.names_of(id).first().map_or_else(|| id.short().to_owned(), oci::Reference::familiar);
            blobs.entry(id.0.clone()).or_default().push(title.clone());
            for (depth, layer) in image.layers.iter().enumerate() {
                blobs.entry(layer.blob.clone()).or_default().push(title.clone());
                let below = image.layers[..depth].to_vec();
                layers
                    .entry(layer.chain_id.clone())
                    .or_insert_with(|| (layer.clone(), below, Vec::new()))
                    .2
                    .push(title.clone());
            }
        }
        let mut found = Fsck { blobs: blobs.len(), layers: layers.len(), damage: Vec::new() };
        for (digest, images) in blobs {
            if let Some(what) = inner.blob_damage(&digest) {
                found.damage.push(Damage { digest, what, images });
            }
        }
        for (digest, (layer, below, images)) in layers {
            // A layer whose blob is damaged has nothing to be compared with, but must be there.
            let blob_is_sound = !found.damage.iter().any(|damage| damage.digest == layer.blob);
            if let Some(what) = inner.layer_damage(&layer, &below, blob_is_sound)? {
                found.damage.push(Damage { digest, what, images });
            }
        }
        let mut state = inner.state();
        for damage in &found.damage {
            events::damaged(&damage.what);
            state.suspect.insert(damage.digest.clone());
        }
        Ok(found)
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
