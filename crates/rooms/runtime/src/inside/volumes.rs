//! Filling empty volumes with what the image has at their place: contents, owners, modes, attributes.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fchown, fgetxattr, flistxattr, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, readlinkat,
    statat, symlinkat, utimensat,
};

use super::rootfs::open_in;
use crate::failure::{Doing, Failure};
use crate::order::CopyUp;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Fills each folder that is empty; one with something in it has been used before and is left alone.
pub(super) fn copy_up(root: BorrowedFd<'_>, all: &[CopyUp]) -> Result<(), Failure> {
    for one in all {
        let doing = || format!("fill the volume at `{}` from the image", one.path);
        let mut into = openat(CWD, &one.into, FOLDER, Mode::empty()).doing(doing)?;
        if let Some(subpath) = &one.subpath {
            let part = crate::open_beneath(&into, subpath).doing(doing)?;
            into = match openat(&part, ".", FOLDER, Mode::empty()) {
                // A file is not filled.
                Err(rustix::io::Errno::NOTDIR) => continue,
                into => into.doing(doing)?,
            };
        }
        if !is_empty(&into).doing(doing)? {
            continue;
        }
        match open_in(root, Path::new(&one.path), OFlags::RDONLY | OFlags::DIRECTORY) {
            // Nothing there to take over.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
            from => {
                let mut links = Links::default();
                folder(&from.doing(doing)?, &into, &mut links).doing(doing)?;
            }
        }
    }
    Ok(())
}

fn is_empty(dir: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(dir)? {
        if ![c".", c".."].contains(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Files with several names, by inode, and a descriptor of the first copy.
#[derive(Default)]
struct Links(Vec<(u64, OwnedFd)>);

fn folder(from: &OwnedFd, into: &OwnedFd, links: &mut Links) -> io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if ![c".", c".."].contains(&name) {
            one(from, into, name, links)?;
        }
    }
    let stat = rustix::fs::fstat(from)?;
    finish(from, into, &stat)
}

fn one(from: &OwnedFd, into: &OwnedFd, name: &CStr, links: &mut Links) -> io::Result<()> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    match kind {
        FileType::Directory => {
            mkdirat(into, name, Mode::from_raw_mode(0o700))?;
            let below = openat(from, name, FOLDER, Mode::empty())?;
            folder(&below, &openat(into, name, FOLDER, Mode::empty())?, links)
        }
        FileType::Symlink => {
            symlinkat(readlinkat(from, name, Vec::new())?.as_c_str(), into, name)?;
            own(into, name, &stat)
        }
        FileType::RegularFile => {
            if stat.st_nlink > 1
                && let Some((_, first)) = links.0.iter().find(|(inode, _)| *inode == stat.st_ino)
            {
                return Ok(linkat(first, "", into, name, AtFlags::EMPTY_PATH)?);
            }
            let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let read = openat(from, name, OFlags::RDONLY | flags, Mode::empty())?;
            let write = openat(
                into,
                name,
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | flags,
                Mode::from_raw_mode(0o600),
            )?;
            let (mut source, mut target) = (std::fs::File::from(read), std::fs::File::from(write));
            io::copy(&mut source, &mut target)?;
            let target = OwnedFd::from(target);
            finish(&OwnedFd::from(source), &target, &stat)?;
            if stat.st_nlink > 1 {
                links.0.push((stat.st_ino, target));
            }
            Ok(())
        }
        FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
            mknodat(into, name, kind, mode, stat.st_rdev)?;
            own(into, name, &stat)
        }
        // A socket without its listener is of no use.
        FileType::Socket | FileType::Unknown => Ok(()),
    }
}

fn times(stat: &Stat) -> Timestamps {
    let time = |secs: i64, nanos: u64| Timespec { tv_sec: secs, tv_nsec: nanos as _ };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Owner and times of what cannot be opened.
fn own(dir: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(utimensat(dir, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Owner, mode, attributes and times, in the order in which they do not undo each other.
fn finish(from: &OwnedFd, into: &OwnedFd, stat: &Stat) -> io::Result<()> {
    fchown(into, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(into, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    attributes(from.as_fd(), into.as_fd())?;
    Ok(futimens(into, &times(stat))?)
}

fn attributes(from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0u8; 4096];
    let len = match flistxattr(from, &mut names) {
        Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        len => len?,
    };
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // The layers' own book-keeping.
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let mut value = vec![0u8; 64 << 10];
        let len = fgetxattr(from, name, &mut value)?;
        match fsetxattr(into, name, &value[..len], XattrFlags::empty()) {
            // The volume's file system may not take this one.
            Err(rustix::io::Errno::NOTSUP) => {}
            done => done?,
        }
    }
    Ok(())
}
