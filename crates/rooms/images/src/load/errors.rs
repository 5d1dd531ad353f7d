//! Why an archive was not taken in.

use base::{Bytes, Kind, Problem};
use oci::{Digest, InvalidReference};

use crate::apply::LayerError;
use crate::disk::DiskError;

/// Why an archive was not taken in; nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive itself is hostile or broken.
    #[error("could not read the archive of images")]
    Archive {
        /// Why, with the entry.
        source: LayerError,
    },
    /// A layer is hostile or broken.
    #[error("could not unpack layer `{layer}`")]
    Layer {
        /// Its diff id.
        layer: Digest,
        /// Why, with the entry.
        source: LayerError,
    },
    /// It is some other archive.
    #[error("the archive holds no image: there is neither a `manifest.json` nor an `index.json` with one")]
    NoImage,
    /// A file that its documents name is not there.
    #[error("entry `{entry}`, which {by} names, is not in the archive")]
    Missing {
        /// The file.
        entry: String,
        /// Who names it.
        by: String,
    },
    /// A file is not what its name says.
    #[error("entry `{entry}` is damaged: its content is {got}, not {want}")]
    WrongDigest {
        /// The file.
        entry: String,
        /// What its name says.
        want: Digest,
        /// What it is.
        got: Digest,
    },
    /// A layer is not the one that the image lists.
    #[error("layer `{want}` is damaged: its content is {got}")]
    WrongLayer {
        /// What the image lists.
        want: Digest,
        /// What it is.
        got: Digest,
    },
    /// A document is not one.
    #[error("entry `{entry}` is not the document that it should be")]
    NotADocument {
        /// The file.
        entry: String,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// A document is longer than any document.
    #[error("entry `{entry}` is longer than {}", Bytes(*.most))]
    LongDocument {
        /// The file.
        entry: String,
        /// The bound.
        most: u64,
    },
    /// The layers given are not those listed.
    #[error("an image has {layers} layers, and its configuration lists {listed}")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        listed: usize,
    },
    /// More than an overlay takes.
    #[error("an image has {layers} layers; an overlay takes {most}")]
    TooManyLayers {
        /// In the manifest.
        layers: usize,
        /// The bound.
        most: usize,
    },
    /// It is for other machines.
    #[error("the image is not for {ours}, only for {}", theirs.join(", "))]
    OtherMachine {
        /// This machine.
        ours: String,
        /// Those that it is for.
        theirs: Vec<String>,
    },
    /// A name of it is no name.
    #[error("the archive gives an image a name that is none")]
    Name(#[from] InvalidReference),
    /// The record is full.
    #[error("the store is full: it holds {most} images or names")]
    Full {
        /// The bound.
        most: usize,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Problem for LoadError {
    fn kind(&self) -> Kind {
        match self {
            Self::Archive { source } | Self::Layer { source, .. } => source.kind(),
            Self::Disk(disk) => disk.kind(),
            Self::Full { .. } => Kind::Exhausted,
            Self::OtherMachine { .. } => Kind::Unsupported,
            Self::NoImage
            | Self::Missing { .. }
            | Self::WrongDigest { .. }
            | Self::WrongLayer { .. }
            | Self::NotADocument { .. }
            | Self::LongDocument { .. }
            | Self::LayerCount { .. }
            | Self::TooManyLayers { .. }
            | Self::Name(_) => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Archive { source } | Self::Layer { source, .. } => return source.hint(),
            Self::Disk(disk) => return disk.hint(),
            Self::Name(name) => return name.hint(),
            Self::NoImage => "make the archive with `docker save` or `sea image save`, or tar an OCI layout",
            Self::Missing { .. } | Self::WrongDigest { .. } | Self::WrongLayer { .. } => {
                "copy or save the archive again; nothing of it was kept"
            }
            Self::OtherMachine { .. } => "build or pull the image for this machine",
            Self::Full { .. } => "remove images that nobody needs: `sea image prune`",
            Self::NotADocument { .. }
            | Self::LongDocument { .. }
            | Self::LayerCount { .. }
            | Self::TooManyLayers { .. } => return None,
        };
        Some(hint.into())
    }
}
