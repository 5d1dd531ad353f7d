//! Why an image was not fetched.

use base::{Kind, Problem};
use oci::Reference;
use registry::{BlobError, ImageError};

use crate::disk::DiskError;
use crate::load::LoadError;

/// Why an image was not fetched; what arrived whole of it is kept for the next time.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Its manifest was not had.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A part of it was not had.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Its configuration is none.
    #[error("the configuration of `{image}` cannot be understood")]
    Config {
        /// Which.
        image: Reference,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// It is hostile or broken, or the store is full.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The work on it ended without a reason of its own.
    #[error("the pull broke off")]
    BrokeOff(#[source] tokio::task::JoinError),
}

impl Problem for PullError {
    fn kind(&self) -> Kind {
        match self {
            Self::Image(image) => image.kind(),
            Self::Blob(blob) => blob.kind(),
            Self::Config { .. } => Kind::Invalid,
            Self::Load(load) => load.kind(),
            Self::Disk(disk) => disk.kind(),
            Self::BrokeOff(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Image(image) => image.hint(),
            Self::Blob(blob) => blob.hint(),
            Self::Load(LoadError::WrongLayer { .. }) => {
                Some("the image is broken at the registry: build it and push it there again".into())
            }
            Self::Load(load) => load.hint(),
            Self::Disk(disk) => disk.hint(),
            Self::Config { .. } | Self::BrokeOff(_) => None,
        }
    }
}
