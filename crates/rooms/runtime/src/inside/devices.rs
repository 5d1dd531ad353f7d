//! The container's `/dev`: the usual nodes and links, and devices of the host.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, makedev};
use rustix::io::Errno;

use super::rootfs::{Want, open_in, place};
use crate::cgroup::each_device;
use crate::failure::{Doing, Failure};
use crate::order::{Device, Order};
use crate::sys::MountChange;

/// Name, major, minor.
const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Link and where it leads.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Fills `/dev`. To be called with no umask, while the host's devices are in sight.
pub(super) fn fill(root: BorrowedFd<'_>, order: &Order) -> Result<(), Failure> {
    if order.mounts.iter().any(|mount| mount.target.trim_end_matches('/') == "/dev") {
        return Ok(());
    }
    let dev = open_in(root, Path::new("/dev"), OFlags::PATH).doing(|| "find `/dev`")?;
    for (name, major, minor) in NODES {
        node(
            root,
            &format!("/dev/{name}"),
            Path::new(&format!("/dev/{name}")),
            false,
            (major, minor, 0o666),
        )?;
    }
    for (name, to) in LINKS {
        rustix::fs::symlinkat(to, &dev, name).doing(|| format!("link `/dev/{name}`"))?;
    }
    if Path::new("/proc/kcore").exists() {
        rustix::fs::symlinkat("/proc/kcore", &dev, "core").doing(|| "link `/dev/core`")?;
    }
    let all: Vec<Device> = if order.process.capabilities.privileged { hosts() } else { Vec::new() };
    for device in all.iter().chain(&order.devices) {
        for (source, target) in each_device(device)? {
            host(root, &source, &target)?;
        }
    }
    Ok(())
}

/// Every device of the host, for a privileged container; terminals are its own.
fn hosts() -> Vec<Device> {
    let own = ["pts", "shm", "fd", "mqueue", "console", "ptmx", "core", "stdin", "stdout", "stderr"];
    let Ok(entries) = std::fs::read_dir("/dev") else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| !own.iter().any(|own| entry.file_name() == *own))
        .filter(|entry| !NODES.iter().any(|(name, ..)| entry.file_name() == *name))
        .filter(|entry| {
            use std::os::unix::fs::FileTypeExt;
            entry.file_type().is_ok_and(|t| t.is_char_device() || t.is_block_device() || t.is_dir())
        })
        .map(|entry| Device {
            target: entry.path().to_string_lossy().into_owned(),
            source: entry.path(),
            permissions: "rwm".into(),
        })
        .collect()
}

/// One device of the host, with its owner and mode.
fn host(root: BorrowedFd<'_>, source: &Path, target: &str) -> Result<(), Failure> {
    use std::os::unix::fs::FileTypeExt;
    let doing = || format!("bring device `{}` in", source.display());
    let meta = source.metadata().doing(doing)?;
    let number = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()), meta.mode() & 0o7777);
    node(root, target, source, meta.file_type().is_block_device(), number)?;
    let made = open_in(root, Path::new(target), OFlags::PATH).doing(doing)?;
    let owner = (rustix::fs::Uid::from_raw(meta.uid()), rustix::fs::Gid::from_raw(meta.gid()));
    rustix::fs::chownat(made.as_fd(), "", Some(owner.0), Some(owner.1), rustix::fs::AtFlags::EMPTY_PATH)
        .doing(doing)
}

/// Makes a node; where that is not allowed, binds the host's.
fn node(
    root: BorrowedFd<'_>,
    target: &str,
    source: &Path,
    block: bool,
    (major, minor, mode): (u32, u32, u32),
) -> Result<(), Failure> {
    let doing = || format!("make the device `{target}`");
    let target_path = Path::new(target);
    let (Some(above), Some(name)) = (target_path.parent(), target_path.file_name()) else {
        return Err(Failure::invalid(format!("`{target}` is not a place for a device")));
    };
    let dir = place(root, above, Want::Folder).doing(doing)?;
    let kind = if block { FileType::BlockDevice } else { FileType::CharacterDevice };
    match rustix::fs::mknodat(&dir, name, kind, Mode::from_raw_mode(mode), makedev(major, minor)) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => super::mounts::bind(root, source, target, MountChange::default()),
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(&dir, name, rustix::fs::AtFlags::empty()).doing(doing)?;
            rustix::fs::mknodat(&dir, name, kind, Mode::from_raw_mode(mode), makedev(major, minor))
                .doing(doing)
        }
        Err(error) => Err(error).doing(doing),
    }
}
