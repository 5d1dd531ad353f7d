//! Why an image was not sent.

use std::io;

use base::{Kind, Problem};
use oci::Reference;

use crate::disk::DiskError;
use crate::find::FindError;

/// Why an image was not sent. What the registry has of it by then it keeps, and the next push goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is no such image.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It has no name that could be pushed.
    #[error("`{0}` names an image by digest, and a push needs a tag")]
    NoTag(Reference),
    /// The registry did not take it.
    #[error(transparent)]
    Registry(#[from] registry::PushError),
    /// Its manifest cannot be written down.
    #[error("the manifest cannot be written down")]
    Document(#[source] io::Error),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The work on it ended without a reason of its own.
    #[error("the push broke off")]
    BrokeOff(#[source] tokio::task::JoinError),
}

impl Problem for PushError {
    fn kind(&self) -> Kind {
        match self {
            Self::Find(find) => find.kind(),
            Self::NoTag(_) => Kind::Invalid,
            Self::Registry(registry) => registry.kind(),
            Self::Disk(disk) => disk.kind(),
            Self::Document(_) | Self::BrokeOff(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Find(find) => find.hint(),
            Self::NoTag(_) => {
                Some("give it a name first: `sea image tag IMAGE REGISTRY/REPOSITORY:TAG`".into())
            }
            Self::Registry(registry) => registry.hint(),
            Self::Disk(disk) => disk.hint(),
            Self::Document(_) | Self::BrokeOff(_) => None,
        }
    }
}
