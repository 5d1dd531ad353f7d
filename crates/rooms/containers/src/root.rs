//! A container's files as it sees them: ways through them that no link leads out of.
//!
//! Names are looked up one by one under descriptors, and links are followed here, from the container's own root; the
//! kernel follows none. What a container does to its files meanwhile changes what is found and never where it lies.
//! Of a container that runs, the kernel shows the mounts; of one at rest, the mounts are laid over its layers here.

mod open;
pub(crate) mod pack;
pub(crate) mod unpack;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use open::off_thread;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, StatxFlags};
use rustix::io::Errno;

/// Links followed in one path; more is a loop.
const MAX_LINKS: u32 = 40;
/// Names in one path.
const MAX_NAMES: usize = 4096;

/// Folders within folders, below which nobody goes.
const MAX_DEPTH: usize = 512;

/// A container's files.
pub(crate) struct Root {
    top: Node,
    mounts: Vec<Place>,
    /// The root itself may not be written to.
    sealed: bool,
    /// A container runs in it.
    lives: bool,
}

/// What is mounted where in a container at rest.
struct Place {
    way: Vec<OsString>,
    node: Node,
}

/// A file, folder or link, opened for its name alone.
#[derive(Clone)]
pub(crate) struct Node {
    fd: Arc<OwnedFd>,
    pub(crate) stat: Stat,
}

/// Where a path leads: the way there without links, and what is there, if anything.
pub(crate) struct Found {
    pub(crate) way: Vec<OsString>,
    pub(crate) node: Option<Node>,
}

impl Found {
    /// What is there; an error where nothing is.
    pub(crate) fn there(self) -> io::Result<(Node, Vec<OsString>)> {
        match self.node {
            Some(node) => Ok((node, self.way)),
            None => Err(Errno::NOENT.into()),
        }
    }
}

impl Node {
    pub(crate) fn of(fd: OwnedFd) -> io::Result<Self> {
        let stat = rustix::fs::statat(&fd, c"", AtFlags::EMPTY_PATH)?;
        Ok(Self { fd: Arc::new(fd), stat })
    }

    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.kind() == FileType::Directory
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// A name by which the kernel finds this very file, whatever is at its path by now.
    pub(crate) fn own_name(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd())
    }

    /// Opens a regular file to read. It is known to be one, so that opening it does nothing else.
    pub(crate) fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(rustix::fs::open(self.own_name(), flags, Mode::empty())?.into())
    }

    /// Opens a folder to list it or to change its times.
    pub(crate) fn open_folder(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        Ok(rustix::fs::openat(&*self.fd, c".", flags, Mode::empty())?)
    }

    /// The names in a folder, in order.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let folder = self.open_folder()?;
        let mut names = Vec::new();
        for entry in Dir::new(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Where a link points.
    pub(crate) fn target(&self) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&*self.fd, c"", Vec::new())?.into_bytes())
    }

    /// Whether something is mounted here: it must not be taken for what lies below it.
    pub(crate) fn is_mount(&self) -> io::Result<bool> {
        let told = rustix::fs::statx(&*self.fd, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
        Ok(told.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT))
    }
}

/// How a path is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// Its last name may be a link, and is followed.
    Follow,
    /// It is taken as it is.
    Stay,
}

impl Root {
    pub(crate) fn top(&self) -> &Node {
        &self.top
    }

    /// What a path leads to from the root.
    pub(crate) fn find(&self, path: &[u8], last: Last) -> io::Result<Found> {
        self.find_in(&[], path, last)
    }

    /// What a path leads to from a folder, out of which neither `..` nor a link leads. `base` has no links.
    pub(crate) fn find_in(&self, base: &[OsString], path: &[u8], last: Last) -> io::Result<Found> {
        let mut links = 0;
        let mut names = reversed(path);
        let mut way = base.to_vec();
        let mut here = self.descend(&way)?;
        // As the kernel has it: what ends in a slash is a folder, or a link to one.
        let folder = path.ends_with(b"/") || path.ends_with(b"/.");
        while let Some(name) = names.pop() {
            if name == ".." {
                if here.as_ref().is_some_and(|node| !node.is_folder()) {
                    return Err(Errno::NOTDIR.into());
                }
                if way.len() > base.len() {
                    way.pop();
                    here = self.descend(&way)?;
                }
                continue;
            }
            let Some(above) = &here else {
                way.push(name);
                continue;
            };
            if !above.is_folder() {
                return Err(Errno::NOTDIR.into());
            }
            let node = self.child(above, &way, &name)?;
            let follow = !names.is_empty() || folder || last == Last::Follow;
            match node {
                Some(link) if link.kind() == FileType::Symlink && follow => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = link.target()?;
                    if target.starts_with(b"/") {
                        way = base.to_vec();
                        here = self.descend(&way)?;
                    }
                    names.extend(reversed(&target));
                    if names.len() > MAX_NAMES {
                        return Err(Errno::NAMETOOLONG.into());
                    }
                }
                node => {
                    way.push(name);
                    here = node;
                }
            }
        }
        if folder && here.as_ref().is_some_and(|node| !node.is_folder()) {
            return Err(Errno::NOTDIR.into());
        }
        Ok(Found { way, node: here })
    }

    /// What a name in a folder is, as a link if it is one. `way` leads to the folder.
    pub(crate) fn child(&self, folder: &Node, way: &[OsString], name: &OsStr) -> io::Result<Option<Node>> {
        let place = self.mounts.iter().rev().find(|place| match place.way.split_last() {
            Some((last, above)) => last == name && above == way,
            None => false,
        });
        if let Some(place) = place {
            return Ok(Some(place.node.clone()));
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(folder.fd(), name, flags, Mode::empty()) {
            Ok(fd) => Node::of(fd).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether something is mounted at the end of this way.
    pub(crate) fn is_mount(&self, way: &[OsString], node: &Node) -> io::Result<bool> {
        Ok(way.is_empty() || self.mounts.iter().any(|place| place.way == way) || node.is_mount()?)
    }

    /// The file or folder at the end of a way without links.
    fn descend(&self, way: &[OsString]) -> io::Result<Option<Node>> {
        let mut here = self.top.clone();
        for (depth, name) in way.iter().enumerate() {
            if !here.is_folder() {
                return Ok(None);
            }
            match self.child(&here, &way[..depth], name)? {
                Some(node) => here = node,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }
}

/// The names of a path, the last one first.
fn reversed(path: &[u8]) -> Vec<OsString> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.rev().map(|name| OsStr::from_bytes(name).to_owned()).collect()
}

/// A way as an absolute path.
pub(crate) fn path_of(way: &[OsString]) -> PathBuf {
    std::iter::once(OsStr::new("/")).chain(way.iter().map(OsString::as_os_str)).collect()
}

#[cfg(test)]
mod tests;
