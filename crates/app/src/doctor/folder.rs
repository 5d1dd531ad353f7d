//! The root folder: whether it can be written to, has room, can hold what containers see, and is free.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use base::{Bytes, Report};
use rustix::fs::{Mode, OFlags, StatVfs};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};
use talk::Check;

use super::{bad, good, trial_name, weak};

const ROOM_WANTED: u64 = 5 << 30;
const ROOM_NEEDED: u64 = 256 << 20;
const INODES_WANTED: u64 = 100_000;
const INODES_NEEDED: u64 = 2_000;
/// File systems of the net, by their numbers in statfs(2): the database's locks do not hold there.
const REMOTE: &[(u64, &str)] =
    &[(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB"), (0x0102_1997, "9P")];

pub(super) fn checks(root: &Path) -> Vec<Check> {
    let mut checks = vec![daemon(root)];
    let place = nearest(root);
    let trial = place.join(trial_name());
    match fs::create_dir(&trial) {
        Ok(()) => {
            checks.push(good("root: writable", written(root, &place)));
            checks.push(overlay(&trial));
            // The kernel leaves folders of its own in an overlay's work folder.
            if let Err(error) = fs::remove_dir_all(&trial) {
                let found = format!("`{}` could not be removed: {error}", trial.display());
                checks.push(weak("root: clean", found, "remove it by hand"));
            }
        }
        Err(error) => {
            let mend = match error.kind() {
                io::ErrorKind::ReadOnlyFilesystem => {
                    "mount it writable, or give another folder with `--root`"
                }
                io::ErrorKind::StorageFull => "make room, or give another folder with `--root`",
                _ => "run as root, or give a folder that may be written to with `--root`",
            };
            checks.push(bad("root: writable", format!("`{}`: {error}", place.display()), mend));
        }
    }
    match rustix::fs::statvfs(&place) {
        Ok(stat) => checks.extend(room(&stat)),
        Err(error) => {
            checks.push(bad("root: room", format!("`{}`: {error}", place.display()), "see what it is"))
        }
    }
    checks.push(kind(&place));
    checks.extend(database(root));
    checks
}

/// The database, if there is one: a daemon does not start with one that is damaged.
fn database(root: &Path) -> Option<Check> {
    let path = root.join("sea.db");
    if !path.exists() {
        return None;
    }
    let name = "root: database";
    Some(match store::Store::check(&path) {
        Ok(()) => good(name, format!("`{}` is whole", path.display())),
        Err(problem) => {
            let report = Report::of(&problem);
            let mend = "put a backup of it in its place; the apps run on meanwhile";
            bad(name, report.to_string(), report.hint.as_deref().unwrap_or(mend))
        }
    })
}

/// The folder itself, or the nearest above it that is there.
fn nearest(root: &Path) -> PathBuf {
    let there = root.ancestors().find(|folder| folder.is_dir());
    there.map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

fn written(root: &Path, place: &Path) -> String {
    match root == place {
        true => format!("`{}`", root.display()),
        false => format!("`{}`, which will be made in `{}`", root.display(), place.display()),
    }
}

/// Whether somebody serves this root already. A daemon that answers is as it should be.
fn daemon(root: &Path) -> Check {
    let name = "root: daemon";
    match connect(root) {
        Ok(_) => good(name, format!("one answers for `{}`", root.display())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            good(name, "none answers; the socket of an earlier one is there and will be replaced")
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            good(name, "none runs here; `sea up` starts one")
        }
        Err(error) => {
            weak(name, format!("`{}/sea.sock`: {error}", root.display()), "run as the root folder's owner")
        }
    }
}

/// Through the folder's descriptor: paths of sockets are short, those of folders are not.
fn connect(root: &Path) -> io::Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty())?;
    UnixStream::connect(format!("/proc/self/fd/{}/sea.sock", folder.as_raw_fd()))
}

/// Mounts an overlay of this folder nowhere, writes to it, and looks whether the writing arrived.
fn overlay(folder: &Path) -> Check {
    let name = "root: overlays";
    match try_overlay(folder) {
        Ok(()) => good(name, "a trial mount was written to"),
        Err(error) => bad(
            name,
            format!("no overlay can be mounted there: {error}"),
            "load `overlay` (`modprobe overlay`), and put the root on ext4, xfs or btrfs: an overlay cannot lie on another",
        ),
    }
}

fn try_overlay(folder: &Path) -> io::Result<()> {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|part| folder.join(part));
    for part in [&lower, &upper, &work] {
        fs::create_dir(part)?;
    }
    let system = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, part) in [("lowerdir", &lower), ("upperdir", &upper), ("workdir", &work)] {
        fsconfig_set_string(&system, key, part)?;
    }
    fsconfig_create(&system)?;
    let mount = fsmount(&system, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&mount, "written", flags, Mode::RUSR)?;
    rustix::io::write(&file, b"so")?;
    match fs::read(upper.join("written"))? == b"so" {
        true => Ok(()),
        false => Err(io::Error::other("what was written did not arrive")),
    }
}

fn room(stat: &StatVfs) -> [Check; 2] {
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    [space(free), inodes((stat.f_files > 0).then_some(stat.f_favail))]
}

/// What is said of so many free bytes.
pub(super) fn space(free: u64) -> Check {
    let (name, found) = ("root: room", format!("{} free", Bytes(free)));
    let mend = "make room: `sea prune` removes what nobody needs";
    match free {
        free if free < ROOM_NEEDED => bad(name, found, mend),
        free if free < ROOM_WANTED => weak(name, found, mend),
        _ => good(name, found),
    }
}

/// What is said of so many free inodes; none where the file system has no bound of them.
pub(super) fn inodes(free: Option<u64>) -> Check {
    let name = "root: inodes";
    let Some(free) = free else { return good(name, "made as they are needed") };
    let found = format!("{free} free");
    let mend = "remove small files: images unpack into many of them";
    match free {
        free if free < INODES_NEEDED => bad(name, found, mend),
        free if free < INODES_WANTED => weak(name, found, mend),
        _ => good(name, found),
    }
}

/// Whether the folder is on this machine.
fn kind(place: &Path) -> Check {
    let name = "root: file system";
    let number = rustix::fs::statfs(place).map_or(0, |stat| u64::try_from(stat.f_type).unwrap_or(0));
    match REMOTE.iter().find(|(remote, _)| *remote == number & 0xffff_ffff) {
        Some((_, remote)) => bad(name, *remote, "put the root on a disk of this machine: `--root DIR`"),
        None => good(name, "on this machine"),
    }
}
