//! Taking files up, and letting go of those that nothing names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base::{Bytes, Kind, Problem, Timestamp};
use data_encoding::HEXLOWER;
use spec::{FileTree, TreeFlaw};

use super::FOLDER;

const INCOMING: &str = "incoming";
/// What is younger may belong to a release that is just being asked for.
const YOUNG: Duration = Duration::from_secs(3600);

/// Why files could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// They cannot be served.
    #[error("this folder cannot be served by the edge")]
    Flaw {
        /// Why not.
        source: TreeFlaw,
    },
    /// It is not what it was said to be.
    #[error("a file arrived damaged: its SHA-256 is not `{want}`")]
    Damaged {
        /// What was said.
        want: String,
    },
    /// No digest.
    #[error("`{name}` is no SHA-256")]
    Name {
        /// What it is.
        name: String,
    },
    /// It is too long.
    #[error("a file has more than {most}", most = FileTree::FILE_BYTES)]
    Long,
    /// The disk.
    #[error("could not keep a file in `{}`", folder.display())]
    Disk {
        /// Where.
        folder: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl Problem for FilesError {
    fn kind(&self) -> Kind {
        match self {
            Self::Flaw { .. } | Self::Damaged { .. } | Self::Name { .. } | Self::Long => Kind::Invalid,
            Self::Disk { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Flaw { .. } => {
                Some("serve a folder with fewer or smaller files, or let the service do it".into())
            }
            Self::Damaged { .. } => Some("try again: the file may have changed meanwhile".into()),
            Self::Name { .. } | Self::Long | Self::Disk { .. } => None,
        }
    }
}

/// The files that the edge serves.
#[derive(Debug, Clone)]
pub struct FileStore {
    folder: PathBuf,
    /// Held by who names files and by who removes what nothing names: one must not come between the other's look and its
    /// deed.
    naming: Arc<Mutex<()>>,
}

/// What was removed because nothing names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// The folders, by their digests.
    pub folders: Vec<String>,
    /// How many files of folders that nobody else has.
    pub files: usize,
    /// How much room that made.
    pub freed: Bytes,
}

/// The name of a list.
pub(super) fn tree_name(tree: &str) -> String {
    format!("{tree}.tree")
}

impl FileStore {
    /// Those under this root.
    pub(crate) fn under(root: &Path) -> Self {
        Self::at(&root.join("edge"))
    }

    /// Those in the folder of an edge.
    pub(crate) fn at(edge: &Path) -> Self {
        Self { folder: edge.join(FOLDER), naming: Arc::default() }
    }

    fn disk(&self, source: io::Error) -> FilesError {
        FilesError::Disk { folder: self.folder.clone(), source }
    }

    /// What a folder with these files is called, and the digests of those that are not here yet. When none is missing, the
    /// list is kept.
    pub fn register(&self, list: &FileTree) -> Result<(String, Vec<String>), FilesError> {
        if let Some(source) = list.flaw() {
            return Err(FilesError::Flaw { source });
        }
        let tree = digest_of(list);
        let _naming = self.naming();
        let digests: BTreeSet<&String> = list.files.values().map(|file| &file.sha256).collect();
        let is_missing = |digest: &&&String| !self.folder.join(digest).is_file();
        let missing: Vec<String> =
            digests.iter().filter(is_missing).map(|digest| (*digest).clone()).collect();
        if missing.is_empty() {
            let bytes = serde_json::to_vec(list).map_err(|error| self.disk(error.into()))?;
            self.keep(&tree_name(&tree), &bytes[..], None).map_err(|error| self.disk(error))?;
            // With it all names before it are on the disk: a release may name it from now on.
            File::open(&self.folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|error| self.disk(error))?;
        }
        Ok((tree, missing))
    }

    /// It guards no data, so a panic leaves nothing half done.
    fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up a file with this digest.
    pub fn receive(&self, digest: &str, from: impl Read) -> Result<(), FilesError> {
        if !spec::is_digest(digest) {
            return Err(FilesError::Name { name: digest.to_owned() });
        }
        match self.keep(digest, from.take(FileTree::FILE_BYTES.0 + 1), Some(digest)) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(FilesError::Damaged { want: digest.to_owned() })
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(FilesError::Long),
            kept => kept.map_err(|error| self.disk(error)),
        }
    }

    /// Whether a folder is here.
    pub fn holds(&self, tree: &str) -> bool {
        spec::is_digest(tree) && self.folder.join(tree_name(tree)).is_file()
    }

    /// Writes a file under `incoming/`, and gives it its name when it is whole.
    fn keep(&self, name: &str, mut from: impl Read, digest: Option<&str>) -> io::Result<()> {
        let incoming = self.folder.join(INCOMING);
        fs::create_dir_all(&incoming)?;
        let place = place_in(&incoming, name)?;
        let written = (|| {
            let mut file = File::options().write(true).create_new(true).open(&place)?;
            let mut sum = Context::new(&SHA256);
            let mut piece = vec![0; 64 * 1024];
            let mut length = 0u64;
            loop {
                let count = from.read(&mut piece)?;
                if count == 0 {
                    break;
                }
                length += count as u64;
                sum.update(&piece[..count]);
                file.write_all(&piece[..count])?;
            }
            if digest.is_some() && length > FileTree::FILE_BYTES.0 {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            if digest.is_some_and(|digest| HEXLOWER.encode(sum.finish().as_ref()) != digest) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            file.sync_all()?;
            base::crash::point("edge's files: a file written");
            fs::rename(&place, self.folder.join(name))
        })();
        if written.is_err() {
            // It would be swept away later.
            let _ = fs::remove_file(&place);
        }
        written
    }

    /// Removes what neither these folders name nor is young.
    pub fn sweep(&self, kept: &BTreeSet<String>, now: Timestamp) -> io::Result<Swept> {
        let _naming = self.naming();
        let mut swept = Swept::default();
        let there = entries(&self.folder)?;
        let is_young = |since: &Timestamp| now.since(*since) < YOUNG;
        let mut named: BTreeSet<String> = BTreeSet::new();
        for (name, since) in &there {
            let Some(tree) = name.strip_suffix(".tree") else { continue };
            if kept.contains(tree) || is_young(since) {
                let list: FileTree = serde_json::from_slice(&fs::read(self.folder.join(name))?)?;
                named.insert(name.clone());
                named.extend(list.files.into_values().map(|file| file.sha256));
            }
        }
        for (name, since) in &there {
            if name != INCOMING && !named.contains(name) && !is_young(since) {
                swept.freed.0 += remove(&self.folder.join(name))?;
                match name.strip_suffix(".tree") {
                    Some(tree) => swept.folders.push(tree.to_owned()),
                    None => swept.files += 1,
                }
            }
        }
        // What a daemon that died had begun.
        let incoming = self.folder.join(INCOMING);
        for (name, _) in entries(&incoming)?.into_iter().filter(|(_, since)| !is_young(since)) {
            swept.freed.0 += remove(&incoming.join(name))?;
        }
        Ok(swept)
    }
}

/// Removes a file; gives the room that it took.
fn remove(file: &Path) -> io::Result<u64> {
    let bytes = fs::symlink_metadata(file)?.len();
    fs::remove_file(file).map(|()| bytes)
}

/// What is in a folder, and since when; nothing if it is not there.
fn entries(folder: &Path) -> io::Result<BTreeMap<String, Timestamp>> {
    let mut there = BTreeMap::new();
    let Ok(all) = fs::read_dir(folder) else { return Ok(there) };
    for entry in all {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        there.insert(name, Timestamp::from_secs(entry.metadata()?.ctime()));
    }
    Ok(there)
}

/// A place of its own for what is being written.
fn place_in(folder: &Path, name: &str) -> io::Result<PathBuf> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let place = folder.join(format!("{name}.{number}"));
    match fs::remove_file(&place) {
        // A daemon before this one may have left it.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(place),
    }
}

/// What a folder is called: by its files' names and bytes, and not by when they were written.
fn digest_of(list: &FileTree) -> String {
    let mut sum = Context::new(&SHA256);
    for (path, file) in &list.files {
        sum.update(path.as_bytes());
        sum.update(b"\0");
        sum.update(file.sha256.as_bytes());
        sum.update(b"\n");
    }
    HEXLOWER.encode(sum.finish().as_ref())
}

#[cfg(test)]
mod tests;
