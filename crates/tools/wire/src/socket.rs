//! Unix sockets by paths of any length.
//!
//! A socket's address holds 107 bytes of path. We reach longer ones through `/proc/self/fd`, by an open folder.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};

/// Connects to the socket at this path.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let (_folder, short) = shorten(path)?;
    UnixStream::connect(short).await
}

/// Listens at this path, for its owner only. A socket that nobody listens on any more is replaced.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let (_folder, short) = shorten(path)?;
    match std::os::unix::net::UnixStream::connect(&short) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(&short)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) if fs::symlink_metadata(&short)?.file_type().is_socket() => fs::remove_file(&short)?,
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&short)?;
    fs::set_permissions(&short, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The path through an open folder, which must stay open while the path is used.
fn shorten(path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let (folder, name) = path
        .parent()
        .zip(path.file_name())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a path of a socket"))?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((folder, short))
}
