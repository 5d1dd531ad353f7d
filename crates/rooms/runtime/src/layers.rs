//! Layers over each other in nobody's tree: what a container at rest holds, for as long as a descriptor is open.
//!
//! A mount that was never put anywhere goes with its last descriptor, so a crash leaves none behind. Before Linux 6.7 the
//! kernel takes many layers only for a mount with a place; there it is taken off its place at once.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::order::Rootfs;

const FOLDER: OFlags = OFlags::PATH.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// The writable part of an overlay, by names that have no `:` or `,`.
pub(crate) struct Above<'a> {
    pub(crate) upper: &'a str,
    pub(crate) work: &'a str,
    pub(crate) volatile: bool,
}

/// The writable layer and the image's as one folder to read from; whoever runs with these layers meanwhile is not
/// disturbed. `aside` is a folder of the caller's that nothing else is mounted on.
pub fn seen_layers(rootfs: &Rootfs, aside: &Path) -> io::Result<OwnedFd> {
    let layers =
        std::iter::once(&rootfs.upper).chain(&rootfs.lower).map(open).collect::<io::Result<Vec<_>>>()?;
    seen(&layers, aside)
}

/// The layers of an image, the topmost first, as one folder to read from; `aside` as above.
pub fn image_layers(layers: &[PathBuf], aside: &Path) -> io::Result<OwnedFd> {
    if let [one] = layers {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        return Ok(rustix::mount::open_tree(rustix::fs::CWD, one, flags)?);
    }
    let layers = layers.iter().map(open).collect::<io::Result<Vec<_>>>()?;
    seen(&layers, aside)
}

fn seen(layers: &[OwnedFd], aside: &Path) -> io::Result<OwnedFd> {
    let names: Vec<String> = layers.iter().map(name).collect();
    match by_parts(&names, None) {
        Err(Errno::INVAL) => by_place(&format!("lowerdir={}", names.join(":")), MountFlags::RDONLY, aside),
        mounted => Ok(mounted?),
    }
}

/// The same to write to. Nobody else may have these layers mounted.
pub fn writable_layers(rootfs: &Rootfs, aside: &Path) -> io::Result<OwnedFd> {
    let lower = rootfs.lower.iter().map(open).collect::<io::Result<Vec<_>>>()?;
    let (upper, work) = (open(&rootfs.upper)?, open(&rootfs.work)?);
    if rootfs.volatile {
        let _ = std::fs::remove_dir_all(rootfs.work.join("work/incompat"));
    }
    let names: Vec<String> = lower.iter().map(name).collect();
    let (upper, work) = (name(&upper), name(&work));
    match by_parts(&names, Some(&Above { upper: &upper, work: &work, volatile: rootfs.volatile })) {
        Err(Errno::INVAL) => {
            let options = format!(
                "lowerdir={},upperdir={upper},workdir={work},redirect_dir=off,metacopy=off,index=off",
                names.join(":")
            );
            by_place(&options, MountFlags::empty(), aside)
        }
        mounted => Ok(mounted?),
    }
}

/// An overlay whose layers are given one by one, the topmost first.
pub(crate) fn by_parts(lower: &[String], above: Option<&Above<'_>>) -> rustix::io::Result<OwnedFd> {
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        fsconfig_set_string(&overlay, "lowerdir+", layer.as_str())?;
    }
    if let Some(above) = above {
        fsconfig_set_string(&overlay, "upperdir", above.upper)?;
        fsconfig_set_string(&overlay, "workdir", above.work)?;
    }
    // What is written may become a layer of an image, which must mean the same without these marks.
    for mark in ["redirect_dir", "metacopy", "index"] {
        fsconfig_set_string(&overlay, mark, "off")?;
    }
    if above.is_some_and(|above| above.volatile) {
        fsconfig_set_flag(&overlay, "volatile")?;
    }
    fsconfig_create(&overlay)?;
    let attributes =
        if above.is_some() { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn by_place(options: &str, flags: MountFlags, aside: &Path) -> io::Result<OwnedFd> {
    std::fs::create_dir_all(aside)?;
    // What a crash left there is of no use any more.
    let _ = rustix::mount::unmount(aside, UnmountFlags::DETACH);
    let options = std::ffi::CString::new(options)?;
    rustix::mount::mount("overlay", aside, "overlay", flags, options.as_c_str())?;
    let opened = rustix::fs::open(aside, FOLDER, Mode::empty());
    rustix::mount::unmount(aside, UnmountFlags::DETACH)?;
    Ok(opened?)
}

fn open(path: &PathBuf) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, FOLDER, Mode::empty())?)
}

fn name(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
