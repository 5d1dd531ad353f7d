//! Images as callers see them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use base::Timestamp;
use oci::{Digest, ImageConfig, InvalidDigest, Reference};
use serde::{Deserialize, Serialize};

/// An image by the digest of its configuration, as docker counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub Digest);

impl ImageId {
    /// The first 12 digits, enough for people.
    pub fn short(&self) -> &str {
        self.0.short()
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for ImageId {
    type Err = InvalidDigest;
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        text.parse().map(Self)
    }
}

/// An image that is here, whole.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// What people call it; an image may have many names or none.
    pub names: Vec<Reference>,
    /// Whether only the build cache keeps it: a step on the way to some image.
    pub intermediate: bool,
    /// What it runs and how it came to be.
    pub config: Arc<ImageConfig>,
    /// Its layers' chain ids, the lowest first.
    pub chain: Vec<Digest>,
    /// Its unpacked layers, the topmost first, as an overlay takes them; never empty.
    pub lower: Vec<PathBuf>,
    /// The bytes of its files; layers that it shares with others count here too.
    pub size: u64,
    /// The bytes of the files of each layer, the lowest first.
    pub layer_sizes: Vec<u64>,
    /// When it was made, if it says so.
    pub created: Option<Timestamp>,
    /// When it got a name here last.
    pub tagged: Option<Timestamp>,
    /// The image that it was made from here; it may be gone.
    pub parent: Option<ImageId>,
    /// What it is called at registries, as in `docker.io/library/web@sha256:…`.
    pub digests: Vec<Reference>,
    /// When a registry last said that this is what a name means.
    pub pulled: Option<Timestamp>,
}

impl Image {
    /// Its shortest name, or else its short id.
    pub fn title(&self) -> String {
        self.names.first().map_or_else(|| self.id.short().to_owned(), Reference::familiar)
    }
}

/// What the folder holds, in bytes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// How many images.
    pub images: u64,
    /// Configurations and layers as they came.
    pub blobs: u64,
    /// How many unpacked layers.
    pub layer_count: u64,
    /// The files of unpacked layers.
    pub layers: u64,
    /// How many snapshots.
    pub snapshots: u64,
    /// How many steps the build cache remembers.
    pub cached_steps: u64,
}
