//! Giving images out, as archives that `docker load`, podman and skopeo read.
//!
//! The newer layout: an OCI layout with docker's `manifest.json` beside its index. Layers are plain tars, and equal
//! images make equal archives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};

use base::{Kind, Problem};
use oci::{Compression, Descriptor, Digest, Index, Manifest, MediaType, Reference};
use serde::Serialize;

use crate::apply::LayerError;
use crate::compression;
use crate::disk::{DiskError, OnPath as _};
use crate::find::{FindError, resolve};
use crate::image::ImageId;
use crate::journal::Happening;
use crate::pack::{Out, TarWriter};
use crate::state::LayerRecord;
use crate::store::{Images, Inner};

/// Why no archive was written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// There is no such image.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A layer is gone or broken.
    #[error("layer `{layer}` of the image store is damaged")]
    Damaged {
        /// Its diff id.
        layer: Digest,
        /// What is wrong.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("could not write the archive")]
    Write(#[source] io::Error),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Problem for SaveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Find(find) => find.kind(),
            Self::Damaged { .. } => Kind::Internal,
            Self::Write(error) if error.kind() == io::ErrorKind::StorageFull => Kind::Exhausted,
            Self::Write(_) => Kind::Unavailable,
            Self::Disk(disk) => disk.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Find(find) => find.hint(),
            Self::Damaged { .. } => Some("load the image again: that mends it".into()),
            Self::Write(_) => Some("look at the disk that the archive goes to; it is not whole".into()),
            Self::Disk(disk) => disk.hint(),
        }
    }
}

/// One image in docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// An image to be saved, with everything about it known.
struct Chosen {
    config: Vec<u8>,
    layers: Vec<LayerRecord>,
    names: BTreeSet<Reference>,
}

impl Images {
    /// Writes the images of these names or ids, each once, with the names that were asked for.
    pub fn save<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        writer: impl Write,
    ) -> Result<(), SaveError> {
        self.save_without(names, &BTreeSet::new(), writer)
    }

    /// The same without these layers, by diff id: whoever loads the archive must have them.
    pub fn save_without<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        without: &BTreeSet<Digest>,
        writer: impl Write,
    ) -> Result<(), SaveError> {
        let inner = &*self.0;
        let mut hold = self.hold();
        let mut chosen: BTreeMap<ImageId, Chosen> = BTreeMap::new();
        for name in names {
            let mut state = inner.state();
            let (id, by_name) = resolve(&state, name)?;
            inner.image(&mut state, &id)?;
            let layers = state.record.images.get(&id).map(|record| record.layers.clone()).unwrap_or_default();
            hold.pin(&mut state, &id.0);
            for layer in &layers {
                hold.pin(&mut state, &layer.blob);
                hold.pin(&mut state, &layer.chain_id);
            }
            drop(state);
            let path = inner.blob_path(&id.0);
            let config = fs::read(&path).on("read", &path)?;
            chosen
                .entry(id)
                .or_insert(Chosen { config, layers, names: BTreeSet::new() })
                .names
                .extend(by_name);
        }
        inner.write_archive(&chosen, without, writer)?;
        chosen.keys().for_each(|id| self.tell(id, Happening::Saved));
        Ok(())
    }
}

impl Inner {
    fn write_archive(
        &self,
        chosen: &BTreeMap<ImageId, Chosen>,
        without: &BTreeSet<Digest>,
        writer: impl Write,
    ) -> Result<(), SaveError> {
        let mut tar = TarWriter::new(BufWriter::with_capacity(256 << 10, writer));
        let mut written: BTreeSet<Digest> = without.clone();
        let (mut saved, mut entries) = (Vec::new(), Vec::new());
        for (id, image) in chosen {
            let (manifest, text) = manifest(id, image);
            let manifest_digest = Digest::sha256(&text);
            saved.push(Saved {
                config: blob_name(&id.0),
                repo_tags: image.names.iter().map(Reference::familiar).collect(),
                layers: manifest.layers.iter().map(|layer| blob_name(&layer.digest)).collect(),
            });
            let descriptor =
                Descriptor::new(MediaType::OciManifest, manifest_digest.clone(), text.len() as u64);
            entries.extend(named(&descriptor, &image.names));
            for (digest, bytes) in [(&id.0, &image.config), (&manifest_digest, &text)] {
                if written.insert(digest.clone()) {
                    put_bytes(&mut tar, &blob_name(digest), bytes)?;
                }
            }
            for layer in &image.layers {
                if written.insert(layer.diff_id.clone()) {
                    self.put_layer(&mut tar, layer)?;
                }
            }
        }
        put_bytes(&mut tar, "index.json", &json(&Index::new(entries)))?;
        put_bytes(&mut tar, "manifest.json", &json(&saved))?;
        put_bytes(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        tar.finish().and_then(|mut out| out.flush()).map_err(SaveError::Write)
    }

    fn put_layer<W: Write>(&self, tar: &mut TarWriter<W>, layer: &LayerRecord) -> Result<(), SaveError> {
        let damaged = |source| SaveError::Damaged { layer: layer.diff_id.clone(), source };
        let file = File::open(self.blob_path(&layer.blob)).map_err(damaged)?;
        let (_, reader) = compression::unpacked(file, &self.limits).map_err(damaged)?;
        let mut reader = oci::Sha256Hasher::new(reader);
        tar.put(&Out::file(&blob_name(&layer.diff_id), layer.tar_size), &mut reader).map_err(|error| {
            match error.downcast::<LayerError>() {
                Ok(ours) => damaged(io::Error::other(ours)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => damaged(error),
                Err(error) => SaveError::Write(error),
            }
        })?;
        let (_, got, _) = reader.finish();
        if got == layer.diff_id {
            Ok(())
        } else {
            Err(damaged(io::Error::other(format!("its content is {got}"))))
        }
    }
}

fn manifest(id: &ImageId, image: &Chosen) -> (Manifest, Vec<u8>) {
    let plain = MediaType::OciLayer(Compression::None);
    let layers = image
        .layers
        .iter()
        .map(|layer| Descriptor::new(plain.clone(), layer.diff_id.clone(), layer.tar_size))
        .collect();
    let config = Descriptor::new(MediaType::OciConfig, id.0.clone(), image.config.len() as u64);
    let manifest = Manifest::new(config, layers);
    let text = json(&manifest);
    (manifest, text)
}

/// One entry a name, as docker and containerd note them; one without a note for an image without a name.
fn named(descriptor: &Descriptor, names: &BTreeSet<Reference>) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![descriptor.clone()];
    }
    let with = |name: &Reference| {
        let tag = name.tag().unwrap_or_default().to_owned();
        let notes = [
            ("io.containerd.image.name".to_owned(), name.to_string()),
            ("org.opencontainers.image.ref.name".to_owned(), tag),
        ];
        Descriptor { annotations: BTreeMap::from(notes), ..descriptor.clone() }
    };
    names.iter().map(with).collect()
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("documents of strings and numbers always serialise")
}

fn put_bytes<W: Write>(tar: &mut TarWriter<W>, name: &str, bytes: &[u8]) -> Result<(), SaveError> {
    tar.put(&Out::file(name, bytes.len() as u64), &mut &bytes[..]).map_err(SaveError::Write)
}
