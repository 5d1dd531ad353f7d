//! A folder in memory, for what must not reach the disk, and for what would only make it slow.
//!
//! Its name is made of the builder's folder, so that the next builder over that folder finds what a killed one left.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oci::Digest;

/// Where memory is mounted on most machines.
const MOUNTED: &[&str] = &["/dev/shm", "/run"];
/// What statfs(2) says of a tmpfs.
const TMPFS: i64 = 0x0102_1994;
/// So much must be free for files that need not be in memory.
const SPARE: u64 = 256 << 20;

/// The folder in memory of the builder over this folder; what was left there is removed, and it is made when somebody
/// needs it. None where no memory is mounted.
pub(crate) fn place(builder: &Path) -> io::Result<Option<PathBuf>> {
    let whole = fs::canonicalize(builder)?;
    let hash = Digest::sha256(whole.as_os_str().as_encoded_bytes());
    let in_memory = |parent: &&&str| rustix::fs::statfs(**parent).is_ok_and(|found| found.f_type == TMPFS);
    let Some(parent) = MOUNTED.iter().find(in_memory) else { return Ok(None) };
    let path = Path::new(parent).join(format!("sea-build-{}", &hash.hex()[..16]));
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(Some(path)),
    }
}

/// A new folder in it, for root alone.
pub(crate) fn folder(place: &Path, name: &str) -> io::Result<PathBuf> {
    let private = |path: &Path| {
        fs::create_dir(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    };
    let path = place.join(name);
    // Another build may remove the place between the two, when it was the last in it.
    for _ in 0..3 {
        match private(place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        match private(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            made => return made.map(|()| path),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Removes a folder of it, and the place itself with the last.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    fs::remove_dir_all(folder)?;
    if let Some(place) = folder.parent() {
        // It stays while another build has a folder in it.
        let _ = fs::remove_dir(place);
    }
    Ok(())
}

/// Whether there is much more room in it than anything that is put there needs.
pub(crate) fn has_room(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) >= SPARE)
}
