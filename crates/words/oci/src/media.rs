//! Media types: OCI's own and those of docker's schema 2.

use serde::{Deserialize, Serialize};

/// What a blob is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum MediaType {
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.config.v1+json`
    OciConfig,
    /// `application/vnd.oci.image.layer.v1.tar` and its compressed forms
    OciLayer(Compression),
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerIndex,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.container.image.v1+json`
    DockerConfig,
    /// `application/vnd.docker.image.rootfs.diff.tar` and its compressed forms
    DockerLayer(Compression),
    /// Anything else.
    Other(String),
}

/// How a layer's tar is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

const TABLE: &[(MediaType, &str)] = &[
    (MediaType::OciIndex, "application/vnd.oci.image.index.v1+json"),
    (MediaType::OciManifest, "application/vnd.oci.image.manifest.v1+json"),
    (MediaType::OciConfig, "application/vnd.oci.image.config.v1+json"),
    (MediaType::OciLayer(Compression::None), "application/vnd.oci.image.layer.v1.tar"),
    (MediaType::OciLayer(Compression::Gzip), "application/vnd.oci.image.layer.v1.tar+gzip"),
    (MediaType::OciLayer(Compression::Zstd), "application/vnd.oci.image.layer.v1.tar+zstd"),
    (MediaType::DockerIndex, "application/vnd.docker.distribution.manifest.list.v2+json"),
    (MediaType::DockerManifest, "application/vnd.docker.distribution.manifest.v2+json"),
    (MediaType::DockerConfig, "application/vnd.docker.container.image.v1+json"),
    (MediaType::DockerLayer(Compression::None), "application/vnd.docker.image.rootfs.diff.tar"),
    (MediaType::DockerLayer(Compression::Gzip), "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    (MediaType::DockerLayer(Compression::Zstd), "application/vnd.docker.image.rootfs.diff.tar.zstd"),
];

impl MediaType {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(text) => text,
            known => TABLE.iter().find(|(media, _)| media == known).map_or("", |(_, text)| text),
        }
    }

    /// Whether it lists manifests.
    pub fn is_index(&self) -> bool {
        matches!(self, Self::OciIndex | Self::DockerIndex)
    }

    /// Whether it is one image's manifest.
    pub fn is_manifest(&self) -> bool {
        matches!(self, Self::OciManifest | Self::DockerManifest)
    }
}

impl From<String> for MediaType {
    fn from(text: String) -> Self {
        TABLE.iter().find(|(_, known)| *known == text).map_or(Self::Other(text), |(media, _)| media.clone())
    }
}

impl From<MediaType> for String {
    fn from(media: MediaType) -> Self {
        media.as_str().to_owned()
    }
}
