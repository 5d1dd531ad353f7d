//! The container's root: layers over each other, and places in it that no link can lead out of.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, move_mount};

use crate::failure::{Doing, Failure};
use crate::layers::Above;
use crate::order::Rootfs;

/// Opens for a name only: nothing of the file itself is touched.
const NAME: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Mounts the layers at `at` in this mount namespace and opens the result.
pub(super) fn mount(rootfs: &Rootfs, at: &Path) -> Result<OwnedFd, Failure> {
    let open = |dir: &PathBuf| {
        rustix::fs::open(dir, NAME | OFlags::DIRECTORY, Mode::empty())
            .doing(|| format!("open the layer `{}`", dir.display()))
    };
    // The kernel reads layers by name, and names have bounds: 256 bytes each in the new interface, a page for all
    // in the old one. A descriptor's name is short, has no `:` or `,`, and shows no path of the host inside.
    let lower = rootfs.lower.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let (upper, work) = (open(&rootfs.upper)?, open(&rootfs.work)?);
    if rootfs.volatile {
        // The kernel's mark that an earlier run was not flushed. Only a crash of the machine would have cost
        // something then, and who orders this does not mind.
        let _ = std::fs::remove_dir_all(rootfs.work.join("work/incompat"));
    }
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let lower: Vec<String> = lower.iter().map(name).collect();
    let above = Above { upper: &name(&upper), work: &name(&work), volatile: rootfs.volatile };
    match crate::layers::by_parts(&lower, Some(&above)) {
        Ok(overlay) => {
            attach(overlay.as_fd(), open(&at.to_path_buf())?.as_fd())
                .doing(|| "put the root in its place")?;
        }
        // Before Linux 6.7 layers could not be given one by one.
        Err(Errno::INVAL) => {
            let volatile = if rootfs.volatile { ",volatile" } else { "" };
            let options = format!(
                "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off{volatile}",
                lower.join(":"),
                name(&upper),
                name(&work)
            );
            let options =
                std::ffi::CString::new(options).map_err(|_| Failure::invalid("a layer's name has a null"))?;
            rustix::mount::mount("overlay", at, "overlay", MountFlags::empty(), options.as_c_str())
                .doing(|| format!("lay {} layers over each other", lower.len()))?;
        }
        Err(error) => {
            return Err(error).doing(|| format!("lay {} layers over each other", lower.len()));
        }
    }
    open(&at.to_path_buf())
}

/// Puts a mount that is in no tree yet onto an open place.
pub(super) fn attach(mount: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", onto, "", flags)
}

/// Opens a path as the container would see it: links lead nowhere outside.
pub(super) fn open_in(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    rustix::fs::openat2(root, relative, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
}

/// What should be at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Folder,
    File,
}

/// Opens a place to mount on; makes it and the folders above it if missing.
pub(super) fn place(root: BorrowedFd<'_>, path: &Path, want: Want) -> io::Result<OwnedFd> {
    match open_in(root, path, NAME) {
        Err(Errno::NOENT) => {}
        opened => return Ok(opened?),
    }
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part),
        Component::ParentDir | Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    let Some(last) = parts.next_back() else { return Ok(open_in(root, Path::new("/"), NAME)?) };
    let mut at = PathBuf::new();
    let mut above = open_in(root, Path::new("/"), NAME)?;
    for part in parts {
        at.push(part);
        above = folder(root, above.as_fd(), &at, Path::new(part))?;
    }
    at.push(last);
    if want == Want::Folder {
        return folder(root, above.as_fd(), &at, Path::new(last));
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat(&above, last, flags, Mode::from_raw_mode(0o644)) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(open_in(root, &at, NAME)?)
}

fn folder(root: BorrowedFd<'_>, above: BorrowedFd<'_>, at: &Path, name: &Path) -> io::Result<OwnedFd> {
    match open_in(root, at, NAME | OFlags::DIRECTORY) {
        Err(Errno::NOENT) => {}
        opened => return Ok(opened?),
    }
    match rustix::fs::mkdirat(above, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(open_in(root, at, NAME | OFlags::DIRECTORY)?)
}

/// Whether an open file is a folder.
pub(super) fn is_folder(fd: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let stat = rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Makes `at` the root of this mount namespace; what was the root is gone from sight.
pub(super) fn enter(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let doing = || "enter the container's root";
    rustix::process::fchdir(root).doing(doing)?;
    rustix::process::pivot_root(".", ".").doing(doing)?;
    rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH).doing(doing)?;
    rustix::process::chdir("/").doing(doing)
}

/// Opens a file of the host, for its name only.
pub(super) fn open_host(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(CWD, path, NAME, Mode::empty())
}
