//! Manifests and indexes: the documents that tie an image's parts together by digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Extra, MediaType, Platform};

/// A blob by media type, digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: MediaType,
    /// Its content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// For which machine, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Notes, such as `org.opencontainers.image.ref.name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What we do not know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Descriptor {
    /// A descriptor without platform and notes.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self { media_type, digest, size, platform: None, annotations: BTreeMap::new(), extra: Extra::new() }
    }
}

/// One image: its configuration and its layers, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The configuration blob.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What we do not know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Manifest {
    /// An OCI manifest of these parts.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OciManifest),
            config,
            layers,
            annotations: BTreeMap::new(),
            extra: Extra::new(),
        }
    }
}

/// Several manifests, for several machines or under several names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The manifests, or further indexes.
    pub manifests: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What we do not know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Index {
    /// An OCI index of these manifests.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OciIndex),
            manifests,
            annotations: BTreeMap::new(),
            extra: Extra::new(),
        }
    }

    /// The manifest that runs best on `platform`: a fitting one before one that names no platform.
    ///
    /// Attestations, whose platform is `unknown/unknown`, never fit.
    pub fn choose(&self, platform: &Platform) -> Option<&Descriptor> {
        let rank = |entry: &&Descriptor| match &entry.platform {
            Some(theirs) => platform.fit(theirs),
            None => Some(u8::MAX),
        };
        self.manifests.iter().filter(|entry| rank(entry).is_some()).min_by_key(rank)
    }
}

/// A document that stands for an image: a manifest, or an index of several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Document {
    /// Several.
    Index(Index),
    /// One.
    Manifest(Box<Manifest>),
}

#[cfg(test)]
mod tests;
