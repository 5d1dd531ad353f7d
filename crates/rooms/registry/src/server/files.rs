//! The registry's files: blobs by digest, uploads under way, and how one becomes the other.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oci::Digest;
use rustix::fs::{FlockOperation, flock};

use super::{OpenError, RegistryError};

/// The open folder.
pub(super) struct Files {
    root: PathBuf,
    next: AtomicU64,
    /// Held while the folder is open.
    _lock: File,
}

/// Says what was being done on what when a call failed.
pub(super) trait OnPath<T> {
    fn on(self, doing: &'static str, path: &Path) -> Result<T, RegistryError>;
}

impl<T, E: Into<io::Error>> OnPath<T> for Result<T, E> {
    fn on(self, doing: &'static str, path: &Path) -> Result<T, RegistryError> {
        let path = path.display().to_string();
        self.map_err(|error| RegistryError::Disk { doing, path, source: error.into() })
    }
}

impl Files {
    pub(super) fn open(root: &Path) -> Result<Self, OpenError> {
        use std::os::unix::fs::PermissionsExt as _;
        for name in ["blobs", "uploads", "incoming"] {
            let path = root.join(name);
            fs::create_dir_all(&path).on("create", &path)?;
        }
        // It holds what not everybody may read, and the key of its tokens.
        fs::set_permissions(root, fs::Permissions::from_mode(0o700)).on("change the mode of", root)?;
        let path = root.join("lock");
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).on("create", &path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse(root.display().to_string())),
            locked => locked.on("lock", &path)?,
        }
        let files = Self { root: root.to_owned(), next: AtomicU64::new(0), _lock: lock };
        files.clear_incoming()?;
        Ok(files)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Downloads that were under way stay, to be gone on with; everything else there is a stray.
    fn clear_incoming(&self) -> Result<(), RegistryError> {
        let incoming = self.root.join("incoming");
        for entry in fs::read_dir(&incoming).on("read", &incoming)? {
            let path = entry.on("read", &incoming)?.path();
            if path.extension().is_none_or(|extension| extension != "part") {
                remove(&path)?;
            }
        }
        Ok(())
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.algorithm().as_str()).join(&digest.hex()[..2]).join(digest.hex())
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Where a mirrored blob grows.
    pub(super) fn download(&self, digest: &Digest) -> PathBuf {
        self.root.join("incoming").join(format!("{}-{}.part", digest.algorithm().as_str(), digest.hex()))
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    /// A new name under `incoming/`.
    pub(super) fn fresh(&self) -> PathBuf {
        self.incoming().join(format!("w{}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// Whether a blob is here, and how long it is.
    pub(super) fn length(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.blob(digest)).ok().filter(fs::Metadata::is_file).map(|about| about.len())
    }

    /// Writes a small blob, ready to be placed.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<PathBuf, RegistryError> {
        let path = self.fresh();
        let mut file = File::create(&path).on("create", &path)?;
        io::Write::write_all(&mut file, bytes).on("write", &path)?;
        file.sync_data().on("sync", &path)?;
        Ok(path)
    }

    /// Gives a file, which is on the disk, its final name. The caller holds the lock of changes, so that no collection
    /// sees it between this and the row that names it.
    pub(super) fn place(&self, from: &Path, digest: &Digest) -> Result<(), RegistryError> {
        let to = self.blob(digest);
        if to.is_file() {
            return remove(from);
        }
        base::crash::point("registry: blob about to be placed");
        let folder = to.parent().unwrap_or(&self.root);
        if !folder.is_dir() {
            fs::create_dir_all(folder).on("create", folder)?;
            sync(&self.blobs().join(digest.algorithm().as_str()))?;
            sync(&self.blobs())?;
        }
        fs::rename(from, &to).on("rename", from)?;
        base::crash::point("registry: blob placed");
        sync(folder)
    }

    /// Every blob that is here.
    pub(super) fn list(&self) -> Result<Vec<Digest>, RegistryError> {
        let mut found = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            for folder in entries(&self.blobs().join(algorithm))? {
                for path in entries(&folder)? {
                    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                    found.extend(format!("{algorithm}:{name}").parse::<Digest>());
                }
            }
        }
        Ok(found)
    }
}

/// What a folder holds; one that is not there holds nothing.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries
            .on("read", folder)?
            .map(|entry| entry.map(|entry| entry.path()).on("read", folder))
            .collect(),
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), RegistryError> {
    File::open(folder).and_then(|folder| folder.sync_all()).on("sync", folder)
}

/// Removes a file or folder; what is not there is removed already.
pub(super) fn remove(path: &Path) -> Result<(), RegistryError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.on("remove", path),
    }
}
