//! What is mounted over the container's root: the kernel's file systems, and what the order asks for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, open_tree,
};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::rootfs::{Want, attach, is_folder, open_in, place};
use crate::cgroup::Cgroup;
use crate::failure::{Doing, Failure};
use crate::order::{Mount, MountKind, Namespace, Order};
use crate::sys::{MountChange, change_mount};

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// Sources of bind mounts, opened while the host's tree is still in sight.
pub(super) struct Sources {
    ordered: Vec<Option<OwnedFd>>,
    /// The `/dev/shm` of the container whose IPC namespace is shared.
    shm: Option<OwnedFd>,
}

impl Sources {
    /// Takes hold of what the order binds, before the host's mounts are cut off from ours: a copy taken now can
    /// still share what is mounted later, if the order asks for it.
    pub(super) fn open(order: &Order, dir: &Path) -> Result<Self, Failure> {
        let open = |mount: &Mount| {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            match &mount.kind {
                MountKind::Tmpfs { .. } => Ok(None),
                MountKind::Bind { source, subpath, recursive, .. } => {
                    let doing = || format!("bind `{}` of the host", source.display());
                    let flags = if *recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags };
                    let Some(subpath) = subpath else {
                        return open_tree(CWD, source, flags).map(Some).doing(doing);
                    };
                    let base = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
                    part(&base.doing(doing)?, subpath, flags).map(Some).doing(doing)
                }
                MountKind::Layers { layers, subpath } => {
                    let doing = || format!("lay out the image at `{}`", mount.target);
                    let whole = crate::image_layers(layers, &dir.join("aside")).doing(doing)?;
                    let Some(subpath) = subpath else { return Ok(Some(whole)) };
                    part(&whole, subpath, flags).map(Some).doing(doing)
                }
            }
        };
        let ordered = order.mounts.iter().map(open).collect::<Result<_, _>>()?;
        let shm = match &order.namespaces.ipc {
            Namespace::Path(ipc) => shm_of(&ipc.with_file_name("mnt"))?,
            Namespace::Private | Namespace::Host => None,
        };
        Ok(Self { ordered, shm })
    }
}

/// A copy of the tree at a path below a folder.
fn part(base: &OwnedFd, subpath: &Path, flags: OpenTreeFlags) -> io::Result<OwnedFd> {
    let found = crate::open_beneath(base, subpath)?;
    Ok(open_tree(&found, "", flags | OpenTreeFlags::AT_EMPTY_PATH)?)
}

/// The shared memory in the mount namespace of another, if it has any. A tree can be copied only from within.
fn shm_of(mounts: &Path) -> Result<Option<OwnedFd>, Failure> {
    let doing = || format!("share `/dev/shm` of `{}`", mounts.display());
    let open = |path: &Path, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
    let own = open(Path::new("/proc/self/ns/mnt"), OFlags::RDONLY).doing(doing)?;
    let other = open(mounts, OFlags::RDONLY).doing(doing)?;
    let (root, here) = (open(Path::new("/"), OFlags::PATH), open(Path::new("."), OFlags::PATH));
    let (root, here) = (root.doing(doing)?, here.doing(doing)?);
    move_into_thread_name_spaces(other.as_fd(), ThreadNameSpaceType::MOUNT).doing(doing)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let found = open_tree(CWD, "/dev/shm", flags | OpenTreeFlags::AT_SYMLINK_NOFOLLOW);
    // Coming back leads to the root of the namespace, which need not be ours.
    move_into_thread_name_spaces(own.as_fd(), ThreadNameSpaceType::MOUNT).doing(doing)?;
    rustix::process::fchdir(&root).doing(doing)?;
    rustix::process::chroot(".").doing(doing)?;
    rustix::process::fchdir(&here).doing(doing)?;
    match found {
        Err(Errno::NOENT) => Ok(None),
        found => found.map(Some).doing(doing),
    }
}

/// Cuts this namespace's mounts off from the host's: what is mounted here stays here.
pub(super) fn detach() -> Result<(), Failure> {
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .doing(|| "leave the host's mounts")
}

/// A new file system of the kernel's, in no tree yet.
pub(super) fn new(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let system = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            fsconfig_set_flag(&system, *key)?;
        } else {
            fsconfig_set_string(&system, *key, *value)?;
        }
    }
    fsconfig_create(&system)?;
    fsmount(&system, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Mounts a new file system of the kernel's at a place in the container.
fn put(
    root: BorrowedFd<'_>,
    path: &str,
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<(), Failure> {
    let doing = || format!("mount {kind} at `{path}`");
    let onto = place(root, Path::new(path), Want::Folder).doing(doing)?;
    let mount = new(kind, options, attributes).doing(doing)?;
    attach(mount.as_fd(), onto.as_fd()).doing(doing)
}

/// Whether the order itself has a mount there.
fn taken(order: &Order, path: &str) -> bool {
    order.mounts.iter().any(|mount| mount.target.trim_end_matches('/') == path)
}

/// `/proc`, `/dev` and what is in them, `/sys`.
pub(super) fn usual(root: BorrowedFd<'_>, order: &Order, sources: &Sources) -> Result<(), Failure> {
    let sys = if order.process.capabilities.privileged { MountAttrFlags::empty() } else { RDONLY };
    let safe = NOSUID | NODEV | NOEXEC;
    if !taken(order, "/proc") {
        put(root, "/proc", "proc", &[], safe)?;
    }
    if !taken(order, "/dev") {
        put(root, "/dev", "tmpfs", &[("mode", "755"), ("size", "65536k")], NOSUID)?;
    }
    // Group 5 is `tty` everywhere; terminals of a container are its own.
    let pts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    put(root, "/dev/pts", "devpts", &pts, NOSUID | NOEXEC)?;
    if !taken(order, "/dev/shm") {
        let joined = matches!(order.namespaces.ipc, Namespace::Path(_));
        match (&sources.shm, order.shm_size) {
            (Some(shm), _) => {
                let doing = || "share `/dev/shm`".to_owned();
                let onto = place(root, Path::new("/dev/shm"), Want::Folder).doing(doing)?;
                attach(shm.as_fd(), onto.as_fd()).doing(doing)?;
            }
            (None, _) if order.namespaces.ipc == Namespace::Host => {
                bind(root, Path::new("/dev/shm"), "/dev/shm", MountChange::default())?;
            }
            (None, Some(size)) if !joined => {
                let size = size.0.to_string();
                put(root, "/dev/shm", "tmpfs", &[("mode", "1777"), ("size", &size)], safe)?;
            }
            (None, _) => {}
        }
    }
    if !taken(order, "/dev/mqueue") {
        put(root, "/dev/mqueue", "mqueue", &[], safe)?;
    }
    if !taken(order, "/sys") {
        put(root, "/sys", "sysfs", &[], safe | sys)?;
    }
    Ok(())
}

/// `/sys/fs/cgroup`, as the container's own view or the host's. To be called in the cgroup namespace.
pub(super) fn cgroups(root: BorrowedFd<'_>, order: &Order, cgroup: &Cgroup) -> Result<(), Failure> {
    const AT: &str = "/sys/fs/cgroup";
    if taken(order, AT) || taken(order, "/sys") {
        return Ok(());
    }
    let writable = order.process.capabilities.privileged || order.cgroups_writable;
    let readonly = if writable { MountAttrFlags::empty() } else { RDONLY };
    let attributes = NOSUID | NODEV | NOEXEC | readonly;
    if order.namespaces.cgroup == Namespace::Host {
        let set = attributes.bits().into();
        return bind(root, Path::new(AT), AT, MountChange { set, recursive: true, ..MountChange::default() });
    }
    let (first, second) = cgroup.views();
    let first: Vec<_> = first.collect();
    if first.is_empty() {
        return if second { put(root, AT, "cgroup2", &[("nsdelegate", "")], attributes) } else { Ok(()) };
    }
    put(root, AT, "tmpfs", &[("mode", "755")], NOSUID | NODEV | NOEXEC)?;
    for controllers in first {
        let name = controllers.join(",");
        let options: Vec<(&str, &str)> = controllers.iter().map(|c| (c.as_str(), "")).collect();
        put(root, &format!("{AT}/{name}"), "cgroup", &options, attributes)?;
        for one in controllers.iter().filter(|one| **one != name) {
            let link = open_in(root, Path::new(AT), OFlags::PATH)
                .and_then(|dir| rustix::fs::symlinkat(name.as_str(), dir, one.as_str()));
            link.doing(|| format!("link the cgroup controller `{one}`"))?;
        }
    }
    if second {
        put(root, &format!("{AT}/unified"), "cgroup2", &[], attributes)?;
    }
    let flags = MountChange { set: readonly.bits().into(), ..MountChange::default() };
    let top = open_in(root, Path::new(AT), OFlags::PATH).doing(|| "find the cgroups' folder")?;
    change_mount(top.as_fd(), flags).doing(|| "protect the cgroups' folder")
}

/// Binds a file of this mount namespace at a place in the container.
pub(super) fn bind(
    root: BorrowedFd<'_>,
    source: &Path,
    target: &str,
    change: MountChange,
) -> Result<(), Failure> {
    let doing = || format!("bind `{}` at `{target}`", source.display());
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let flags = if change.recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags };
    let tree = open_tree(CWD, source, flags).doing(doing)?;
    let change = MountChange { propagation: libc::MS_PRIVATE, ..change };
    change_mount(tree.as_fd(), change).doing(doing)?;
    let want = if is_folder(tree.as_fd()).doing(doing)? { Want::Folder } else { Want::File };
    let onto = place(root, Path::new(target), want).doing(doing)?;
    attach(tree.as_fd(), onto.as_fd()).doing(doing)
}

/// What the order asks for, in its order.
pub(super) fn ordered(root: BorrowedFd<'_>, order: &Order, sources: Sources) -> Result<(), Failure> {
    for (mount, source) in order.mounts.iter().zip(sources.ordered) {
        if !mount.target.starts_with('/') || mount.target.trim_end_matches('/').is_empty() {
            return Err(Failure::invalid(format!("`{}` is not an absolute path to mount at", mount.target)));
        }
        match (&mount.kind, source) {
            (MountKind::Bind { propagation, recursive, options, .. }, Some(tree)) => {
                let doing = || format!("mount at `{}`", mount.target);
                let mut set = attributes(options)?;
                if mount.read_only {
                    set |= RDONLY;
                }
                let propagation = propagation_of(propagation.as_deref().unwrap_or("rprivate"))?;
                let change = MountChange {
                    set: set.bits().into(),
                    propagation: propagation.0,
                    recursive: *recursive,
                    clear: 0,
                };
                // A propagation for the mount alone leaves those below it private.
                let change = if *recursive && !propagation.1 {
                    let private = MountChange { propagation: libc::MS_PRIVATE, ..change };
                    change_mount(tree.as_fd(), private).doing(doing)?;
                    MountChange { recursive: false, ..change }
                } else {
                    change
                };
                change_mount(tree.as_fd(), change).doing(doing)?;
                let want = if is_folder(tree.as_fd()).doing(doing)? { Want::Folder } else { Want::File };
                let onto = place(root, Path::new(&mount.target), want).doing(doing)?;
                attach(tree.as_fd(), onto.as_fd()).doing(doing)?;
            }
            (MountKind::Layers { .. }, Some(tree)) => {
                let doing = || format!("mount an image at `{}`", mount.target);
                let change = MountChange {
                    set: RDONLY.bits().into(),
                    propagation: libc::MS_PRIVATE,
                    recursive: false,
                    clear: 0,
                };
                change_mount(tree.as_fd(), change).doing(doing)?;
                let want = if is_folder(tree.as_fd()).doing(doing)? { Want::Folder } else { Want::File };
                let onto = place(root, Path::new(&mount.target), want).doing(doing)?;
                attach(tree.as_fd(), onto.as_fd()).doing(doing)?;
            }
            (MountKind::Bind { .. } | MountKind::Layers { .. }, None) => {}
            (MountKind::Tmpfs { size, mode, options }, _) => {
                let mode = format!("{:o}", mode.unwrap_or_else(|| mode_there(root, &mount.target)));
                let size = size.map(|size| size.0.to_string());
                tmpfs(root, mount, &mode, size.as_deref(), options)?;
            }
        }
    }
    Ok(())
}

/// The mode of the folder that is to be hidden, as the image has it; that of `/tmp` where there is none.
fn mode_there(root: BorrowedFd<'_>, target: &str) -> u32 {
    let there = open_in(root, Path::new(target), OFlags::PATH | OFlags::DIRECTORY);
    there.and_then(|folder| rustix::fs::fstat(&folder)).map_or(0o1777, |stat| stat.st_mode & 0o7777)
}

fn tmpfs(
    root: BorrowedFd<'_>,
    mount: &Mount,
    mode: &str,
    size: Option<&str>,
    options: &[String],
) -> Result<(), Failure> {
    let mut set = NOSUID | NODEV | NOEXEC;
    let mut keys = vec![("mode", mode)];
    keys.extend(size.map(|size| ("size", size)));
    for option in options.iter().flat_map(|text| text.split(',')) {
        match option.split_once('=') {
            Some((key, value))
                if ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "huge"].contains(&key) =>
            {
                keys.push((key, value));
            }
            None => match option {
                "" | "rw" | "async" | "defaults" | "atime" | "diratime" | "relatime" => {}
                "ro" => set |= RDONLY,
                "exec" => set.remove(NOEXEC),
                "suid" => set.remove(NOSUID),
                "dev" => set.remove(NODEV),
                other => set |= attribute(other)?,
            },
            Some(_) => return Err(bad_option(option)),
        }
    }
    if mount.read_only {
        set |= RDONLY;
    }
    put(root, &mount.target, "tmpfs", &keys, set)
}

fn bad_option(option: &str) -> Failure {
    Failure::invalid(format!("`{option}` is not a mount option")).hint("see tmpfs(5) and mount(8)")
}

fn attribute(option: &str) -> Result<MountAttrFlags, Failure> {
    Ok(match option {
        "nosuid" => NOSUID,
        "nodev" => NODEV,
        "noexec" => NOEXEC,
        "ro" => RDONLY,
        "noatime" => MountAttrFlags::MOUNT_ATTR_NOATIME,
        "nodiratime" => MountAttrFlags::MOUNT_ATTR_NODIRATIME,
        other => return Err(bad_option(other)),
    })
}

fn attributes(options: &[String]) -> Result<MountAttrFlags, Failure> {
    options.iter().try_fold(MountAttrFlags::empty(), |all, option| Ok(all | attribute(option)?))
}

/// The flag, and whether it is for the mounts below too.
fn propagation_of(word: &str) -> Result<(u64, bool), Failure> {
    let (word, recursive) = match word.strip_prefix('r') {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    let flag = match word {
        "private" => libc::MS_PRIVATE,
        "slave" => libc::MS_SLAVE,
        "shared" => libc::MS_SHARED,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => return Err(Failure::invalid(format!("`{word}` is not a kind of mount propagation"))),
    };
    Ok((flag, recursive))
}

/// Makes paths read-only or empty. To be called inside the new root.
pub(super) fn protect(readonly: &[String], masked: &[String]) -> Result<(), Failure> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    for path in readonly {
        let doing = || format!("make `{path}` read-only");
        let tree = match open_tree(CWD, path.as_str(), clone | OpenTreeFlags::AT_RECURSIVE) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            tree => tree.doing(doing)?,
        };
        let change = MountChange { set: RDONLY.bits().into(), recursive: true, ..MountChange::default() };
        change_mount(tree.as_fd(), change).doing(doing)?;
        let onto = super::rootfs::open_host(Path::new(path)).doing(doing)?;
        attach(tree.as_fd(), onto.as_fd()).doing(doing)?;
    }
    let mut empty: Option<String> = None;
    for path in masked {
        let doing = || format!("mask `{path}`");
        let onto = match super::rootfs::open_host(Path::new(path)) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            onto => onto.doing(doing)?,
        };
        if !is_folder(onto.as_fd()).doing(doing)? {
            let null = open_tree(CWD, "/dev/null", clone).doing(doing)?;
            attach(null.as_fd(), onto.as_fd()).doing(doing)?;
            continue;
        }
        // One empty file system covers all of them.
        let mount = match &empty {
            Some(first) => open_tree(CWD, first.as_str(), clone).doing(doing)?,
            None => new("tmpfs", &[("size", "0k")], NOSUID | NODEV | NOEXEC | RDONLY).doing(doing)?,
        };
        attach(mount.as_fd(), onto.as_fd()).doing(doing)?;
        empty.get_or_insert_with(|| path.clone());
    }
    Ok(())
}

/// Makes the root itself read-only; mounts on it keep what they have.
pub(super) fn seal_root() -> io::Result<()> {
    let root = super::rootfs::open_host(Path::new("/"))?;
    change_mount(root.as_fd(), MountChange { set: RDONLY.bits().into(), ..MountChange::default() })
}
