//! What a container sees besides its image.

use base::Bytes;
use serde::{Deserialize, Serialize};

/// One mount into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The absolute path inside.
    pub target: String,
    /// What is mounted there.
    pub kind: MountKind,
    /// May not be written to.
    #[serde(default)]
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MountKind {
    /// A folder or file of the host.
    Bind {
        /// Its absolute path on the host.
        source: String,
        /// Make a folder there if nothing is there (compose's short form does).
        create: bool,
        /// `rprivate` unless the file says otherwise.
        propagation: Option<String>,
        /// Mounts below the source come along.
        recursive: bool,
    },
    /// A named volume.
    Volume {
        /// Its key in [`crate::App::volumes`].
        key: String,
        /// Do not fill an empty volume with what the image has there.
        nocopy: bool,
        /// Only this folder of the volume.
        subpath: Option<String>,
    },
    /// A volume of the instance alone, kept across its replacement in place, removed with it.
    Anonymous,
    /// The files of an image, to read.
    Image {
        /// Its name; of a container that is made, its id.
        image: String,
        /// Only this folder or file of the image.
        subpath: Option<String>,
    },
    /// Memory.
    Tmpfs(Tmpfs),
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tmpfs {
    /// The bound; half the memory unless given.
    pub size: Option<Bytes>,
    /// Permission bits of its root; unless given, those of the folder in the image, else 01777.
    pub mode: Option<u32>,
    /// More mount options as docker's `--tmpfs` takes them (`noexec`, `uid=…`).
    #[serde(default)]
    pub options: Vec<String>,
}

/// A secret or config as a file in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMount {
    /// Its key in [`crate::App::secrets`] or [`crate::App::configs`].
    pub source: String,
    /// The absolute path inside.
    pub target: String,
    /// The file's owner.
    pub uid: u32,
    /// The file's group.
    pub gid: u32,
    /// Permission bits; 0444 unless the file says otherwise.
    pub mode: u32,
}
