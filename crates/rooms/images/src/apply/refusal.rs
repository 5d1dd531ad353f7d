//! Why a layer was not applied, and which entry was to blame.

use std::io;

use base::{Bytes, Kind, Problem};

use crate::tape::TapeError;

/// Why a layer was not applied.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// An entry is hostile or broken.
    #[error("entry `{entry}` {why}")]
    Refused {
        /// Its name in the archive.
        entry: String,
        /// What is wrong with it.
        why: Refusal,
    },
    /// The tar is broken.
    #[error("the archive is damaged at entry `{entry}`: {what}")]
    Damaged {
        /// The last entry that was whole, or the one that is not.
        entry: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Too many entries.
    #[error("the archive has more than {most} entries")]
    TooMany {
        /// The bound.
        most: u64,
    },
    /// It unpacks to more than its packed size allows.
    #[error("it unpacks to more than {most}, far more than its packed size: a decompression bomb")]
    Bomb {
        /// The bound.
        most: Bytes,
    },
    /// The archive could not be read.
    #[error("could not read the archive")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// The disk failed.
    #[error("could not put entry `{entry}` in place")]
    Disk {
        /// Its name in the archive.
        entry: String,
        /// Why.
        source: io::Error,
    },
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its name begins with a slash.
    #[error("has an absolute name")]
    Absolute,
    /// Its name has `..`.
    #[error("climbs out of the image")]
    Climbs,
    /// It has no name, or one that no file can have.
    #[error("has no usable name")]
    NoName,
    /// Its name or a part of it is too long.
    #[error("has a name that is too long")]
    TooLong,
    /// A folder on its way is a symbolic link.
    #[error("goes through a symbolic link")]
    ThroughLink,
    /// A folder on its way is a file.
    #[error("lies below something that is not a folder")]
    ThroughFile,
    /// It is a character or block device.
    #[error("is a device node")]
    Device,
    /// A symbolic link without a target.
    #[error("is a link to nothing")]
    LinkToNothing,
    /// A hard link to what climbs out.
    #[error("links to `{0}`, which climbs out of the image")]
    LinkOutside(String),
    /// A hard link to what is not there.
    #[error("links to `{0}`, which is not in the image")]
    LinkToMissing(String),
    /// A deletion of nothing.
    #[error("deletes a name that no file can have")]
    BadWhiteout,
    /// An attribute that belongs to the overlay.
    #[error("sets an attribute that belongs to the overlay file system")]
    OverlayAttribute,
    /// A kind that we do not know.
    #[error("is of the unknown kind {}", .0.escape_ascii())]
    UnknownKind(u8),
    /// The files before it and itself are more than the bound.
    #[error("makes the layer larger than {}", Bytes(*.0))]
    TooLarge(u64),
}

impl LayerError {
    pub(crate) fn from_tape(error: TapeError) -> Self {
        match error {
            TapeError::Damaged { entry, what } => Self::Damaged { entry, what },
            TapeError::TooMany(most) => Self::TooMany { most },
            TapeError::Io(source) => Self::from_read(source),
        }
    }

    /// An error of the stream: one of ours that travelled as an [`io::Error`], or a real one.
    pub(crate) fn from_read(source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(ours) => ours,
            Err(source) => Self::Read { source },
        }
    }

    pub(crate) fn disk(entry: &str, source: io::Error) -> Self {
        // The stream's errors pass through the writer's hands.
        match source.downcast::<Self>() {
            Ok(ours) => ours,
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Damaged { entry: entry.to_owned(), what: "the archive ends within it" }
            }
            Err(source) => Self::Disk { entry: entry.to_owned(), source },
        }
    }
}

impl Problem for LayerError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused { .. } | Self::Damaged { .. } | Self::TooMany { .. } | Self::Bomb { .. } => {
                Kind::Invalid
            }
            Self::Read { .. } => Kind::Unavailable,
            Self::Disk { source, .. } => disk_kind(source),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Refused { .. } => "do not trust this image; nothing of it was kept",
            Self::Bomb { .. } | Self::TooMany { .. } => {
                "if the image is meant to be so, raise the store's limits; nothing of it was kept"
            }
            Self::Damaged { .. } | Self::Read { .. } => "copy or save the archive again",
            Self::Disk { source, .. } if disk_kind(source) == Kind::Exhausted => {
                "the disk is full: free some space, for example with `sea image prune`, and try again; nothing is lost"
            }
            Self::Disk { .. } => return None,
        };
        Some(hint.into())
    }
}

fn disk_kind(source: &io::Error) -> Kind {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
        io::ErrorKind::ReadOnlyFilesystem => Kind::Unavailable,
        io::ErrorKind::PermissionDenied => Kind::Denied,
        _ => Kind::Internal,
    }
}
