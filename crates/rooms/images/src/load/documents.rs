//! What an archive's documents say: which images it holds, of which files, under which names.

use std::collections::BTreeMap;

use oci::{Descriptor, Document, ImageConfig, Index, Manifest, Platform, Reference};
use serde::Deserialize;

use super::LoadError;
use crate::archive::{Archive, Spooled};
use crate::limits::Limits;

/// An image of the archive.
pub(super) struct Found {
    pub(super) config: ImageConfig,
    /// Its configuration to the byte: its digest is the image's id.
    pub(super) config_bytes: Vec<u8>,
    /// The lowest first; none where the archive does not have it, which is well if the store does.
    pub(super) layers: Vec<Layer>,
    pub(super) names: Vec<Reference>,
}

/// A layer of an image of the archive.
pub(super) struct Layer {
    /// What the archive calls it.
    pub(super) name: String,
    pub(super) file: Option<Spooled>,
}

/// One image in `manifest.json`, as `docker save` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

const DOCKER: &str = "manifest.json";
const OCI: &str = "index.json";
/// Indexes within indexes go no deeper.
const MAX_DEPTH: usize = 4;

/// The images of an archive. Where both layouts are present docker's is read: it has the names.
pub(super) fn images(archive: &Archive, limits: &Limits) -> Result<Vec<Found>, LoadError> {
    let found = if archive.has(DOCKER) {
        let saved: Vec<Saved> = archive.json(DOCKER, archive.wanted(DOCKER, "an archive")?)?;
        saved.into_iter().map(|image| from_docker(archive, image)).collect::<Result<Vec<_>, _>>()?
    } else if archive.has(OCI) {
        let index: Index = archive.json(OCI, archive.wanted(OCI, "an archive")?)?;
        from_oci(archive, &index)?
    } else {
        Vec::new()
    };
    if found.is_empty() {
        return Err(LoadError::NoImage);
    }
    for image in &found {
        let (layers, listed) = (image.layers.len(), image.config.rootfs.diff_ids.len());
        if layers != listed {
            return Err(LoadError::LayerCount { layers, listed });
        }
        if layers > limits.layers {
            return Err(LoadError::TooManyLayers { layers, most: limits.layers });
        }
    }
    Ok(found)
}

fn from_docker(archive: &Archive, saved: Saved) -> Result<Found, LoadError> {
    let file = archive.wanted(&saved.config, DOCKER)?;
    let config_bytes = archive.bytes(&saved.config, file)?;
    let config = parse_config(&saved.config, &config_bytes)?;
    let layers = saved.layers.unwrap_or_default();
    let layers = layers.into_iter().map(|name| layer(archive, name)).collect::<Result<_, _>>()?;
    let names = saved.repo_tags.unwrap_or_default();
    let names = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    Ok(Found { config, config_bytes, layers, names })
}

fn layer(archive: &Archive, name: String) -> Result<Layer, LoadError> {
    let file = if archive.has(&name) { Some(archive.wanted(&name, DOCKER)?.clone()) } else { None };
    Ok(Layer { name, file })
}

/// Descriptors of one name are one image for several machines; those without a name are together, too.
fn from_oci(archive: &Archive, index: &Index) -> Result<Vec<Found>, LoadError> {
    let mut groups: BTreeMap<Option<Reference>, Vec<Descriptor>> = BTreeMap::new();
    for entry in &index.manifests {
        groups.entry(name_of(entry)?).or_default().push(entry.clone());
    }
    let mut found = Vec::new();
    for (name, entries) in groups {
        let manifest = choose(archive, &Index::new(entries), 0)?;
        let by = manifest.config.digest.to_string();
        let file = archive.blob(&manifest.config.digest, "a manifest")?;
        let config_bytes = archive.bytes(&by, file)?;
        let config = parse_config(&by, &config_bytes)?;
        let layers = manifest.layers.iter().map(|one| {
            let name = format!("blobs/{}/{}", one.digest.algorithm().as_str(), one.digest.hex());
            if archive.has(&name) {
                archive.blob(&one.digest, "a manifest").map(|file| Layer { name, file: Some(file.clone()) })
            } else {
                Ok(Layer { name, file: None })
            }
        });
        found.push(Found {
            layers: layers.collect::<Result<_, _>>()?,
            config,
            config_bytes,
            names: name.into_iter().collect(),
        });
    }
    Ok(found)
}

/// The manifest for this machine.
fn choose(archive: &Archive, index: &Index, depth: usize) -> Result<Manifest, LoadError> {
    let ours = Platform::ours();
    let no_match = || LoadError::OtherMachine {
        ours: ours.to_string(),
        theirs: index
            .manifests
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            .map(ToString::to_string)
            .collect(),
    };
    let chosen = index.choose(&ours).ok_or_else(no_match)?;
    let by = if depth == 0 { OCI } else { "an index" };
    let file = archive.blob(&chosen.digest, by)?;
    match archive.json(&chosen.digest.to_string(), file)? {
        Document::Manifest(manifest) => Ok(*manifest),
        Document::Index(inner) if depth < MAX_DEPTH => choose(archive, &inner, depth + 1),
        Document::Index(_) => Err(LoadError::NoImage),
    }
}

/// The full name that containerd notes, or OCI's own note if it is more than a bare tag.
fn name_of(entry: &Descriptor) -> Result<Option<Reference>, LoadError> {
    let note = |key: &str| entry.annotations.get(key).map(String::as_str);
    let reference = note("org.opencontainers.image.ref.name").filter(|name| name.contains([':', '/']));
    Ok(note("io.containerd.image.name").or(reference).map(str::parse).transpose()?)
}

fn parse_config(name: &str, bytes: &[u8]) -> Result<ImageConfig, LoadError> {
    serde_json::from_slice(bytes).map_err(|source| LoadError::NotADocument { entry: name.to_owned(), source })
}
