//! A file system of layers, read in place: what an overlay of these folders would show, without mounting one.
//!
//! Paths are resolved here, name by name, under descriptors of the layers, never following a link by the kernel:
//! a link's target is taken from the root of the tree. So nothing in a layer can lead outside it, and there is no
//! mount that a crash could leave behind. Layers hide each other as in overlayfs: a device 0/0 is a whiteout, and
//! a folder marked opaque hides what is below it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Links followed in one path; more is a loop.
const MAX_LINKS: u32 = 40;
/// Names in one path.
const MAX_NAMES: usize = 4096;
/// The longest file that is read whole, in bytes: lists of users and groups.
const MAX_WHOLE: u64 = 8 << 20;

/// A tree of layers.
pub struct Tree {
    root: Folder,
}

/// A folder: the same name in one or more layers, the topmost first.
#[derive(Clone)]
pub struct Folder(Vec<std::sync::Arc<OwnedFd>>);

/// What a name stands for.
pub enum Node {
    /// A folder, with the status of its topmost part.
    Folder(Folder, Stat),
    /// A link and where it points.
    Link(OsString, Stat),
    /// A file or something special, openable by its name in this part of its folder.
    Other(std::sync::Arc<OwnedFd>, OsString, Stat),
}

impl Node {
    /// Its status.
    pub fn stat(&self) -> &Stat {
        match self {
            Self::Folder(_, stat) | Self::Link(_, stat) | Self::Other(_, _, stat) => stat,
        }
    }

    /// Opens a regular file for reading.
    pub fn open(&self) -> io::Result<File> {
        match self {
            Self::Other(folder, name, _) => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                Ok(File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?))
            }
            Self::Folder(folder, _) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                Ok(File::from(rustix::fs::openat(folder.top(), c".", flags, Mode::empty())?))
            }
            Self::Link(..) => Err(Errno::LOOP.into()),
        }
    }
}

/// Where a path led: the folder that holds its last name, and what is there.
pub struct Found {
    /// The path without links, below the root, without a slash in front.
    pub path: PathBuf,
    /// What is there, if anything.
    pub node: Option<Node>,
}

impl Tree {
    /// The tree of these folders, the topmost first.
    pub fn open<P: AsRef<Path>>(layers: impl IntoIterator<Item = P>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path: P| rustix::fs::openat(CWD, path.as_ref(), flags, Mode::empty()).map(Into::into);
        let root = layers.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { root: Folder(root) })
    }

    /// What the path leads to; links are followed, the last one too if `follow` is set.
    /// A missing name gives the place where it would be, provided that all folders above it are folders or missing.
    pub fn find(&self, path: &Path, follow: bool) -> io::Result<Found> {
        let mut links = 0;
        let mut names: Vec<OsString> = reversed(path)?;
        // The way from the root to here, without links. Only the last folder is held open: one of many layers is
        // many descriptors.
        let mut way: Vec<OsString> = Vec::new();
        let mut here = Some(self.root.clone());
        while let Some(name) = names.pop() {
            if name == ".." {
                way.pop();
                here = self.descend(&way)?;
                continue;
            }
            let node = here.as_ref().map(|folder| folder.get(&name)).transpose()?.flatten();
            let last = names.is_empty();
            match node {
                Some(Node::Link(target, _)) if !last || follow => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = PathBuf::from(target);
                    if target.is_absolute() {
                        way.clear();
                        here = Some(self.root.clone());
                    }
                    names.extend(reversed(&target)?);
                    if names.len() > MAX_NAMES {
                        return Err(Errno::NAMETOOLONG.into());
                    }
                }
                Some(Node::Folder(folder, _)) => {
                    way.push(name);
                    here = Some(folder);
                }
                None => {
                    way.push(name);
                    here = None;
                }
                Some(node @ (Node::Link(..) | Node::Other(..))) => {
                    if !last {
                        return Err(Errno::NOTDIR.into());
                    }
                    way.push(name);
                    return Ok(Found { path: way.iter().collect(), node: Some(node) });
                }
            }
        }
        let node = match here {
            Some(folder) => {
                let stat = rustix::fs::fstat(folder.top())?;
                Some(Node::Folder(folder, stat))
            }
            None => None,
        };
        Ok(Found { path: way.iter().collect(), node })
    }

    /// The folder at the end of a way without links, if it is there.
    fn descend(&self, way: &[OsString]) -> io::Result<Option<Folder>> {
        let mut here = self.root.clone();
        for name in way {
            match here.get(name)? {
                Some(Node::Folder(folder, _)) => here = folder,
                Some(Node::Link(..) | Node::Other(..)) | None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// The text of a short file; nothing if there is none.
    pub fn read(&self, path: &str) -> io::Result<Option<String>> {
        let found = match self.find(Path::new(path), true) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            found => found?,
        };
        let Some(node) = found.node.filter(|node| kind(node.stat()) == FileType::RegularFile) else {
            return Ok(None);
        };
        let mut text = Vec::new();
        node.open()?.take(MAX_WHOLE).read_to_end(&mut text)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

impl Folder {
    /// Its topmost part.
    pub fn top(&self) -> &OwnedFd {
        self.0.first().expect("a folder has at least one layer")
    }

    /// What the name stands for in this folder.
    pub fn get(&self, name: &std::ffi::OsStr) -> io::Result<Option<Node>> {
        let mut parts = Vec::new();
        let mut top: Option<Stat> = None;
        for layer in &self.0 {
            let stat = match rustix::fs::statat(layer, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            match kind(&stat) {
                FileType::CharacterDevice if stat.st_rdev == 0 => break,
                FileType::Directory => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let folder = rustix::fs::openat(layer, name, flags, Mode::empty())?;
                    let opaque = is_opaque(&folder);
                    parts.push(folder.into());
                    top.get_or_insert(stat);
                    if opaque {
                        break;
                    }
                }
                // A folder above hides anything else below it, and what is below that.
                _ if top.is_some() => break,
                FileType::Symlink => {
                    let target = rustix::fs::readlinkat(layer, name, Vec::new())?;
                    return Ok(Some(Node::Link(OsString::from_vec(target.into_bytes()), stat)));
                }
                _ => return Ok(Some(Node::Other(layer.clone(), name.to_owned(), stat))),
            }
        }
        Ok(top.map(|stat| Node::Folder(Self(parts), stat)))
    }

    /// The names in this folder, sorted.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut seen = BTreeSet::new();
        for layer in &self.0 {
            for entry in Dir::read_from(layer)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    seen.insert(OsString::from_vec(name));
                }
            }
        }
        if self.0.len() == 1 {
            return Ok(seen.into_iter().collect());
        }
        // A name may be there as a whiteout alone.
        let mut names = Vec::with_capacity(seen.len());
        for name in seen {
            if self.get(&name)?.is_some() {
                names.push(name);
            }
        }
        Ok(names)
    }
}

/// The kind of file.
pub fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The names of a path from the last to the first, without `.`; a trailing slash adds nothing.
fn reversed(path: &Path) -> io::Result<Vec<OsString>> {
    let parts = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    let names: Vec<OsString> = parts
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsString::from_vec(part.to_vec()))
        .rev()
        .collect();
    if names.len() > MAX_NAMES { Err(Errno::NAMETOOLONG.into()) } else { Ok(names) }
}

fn is_opaque(folder: &OwnedFd) -> bool {
    let mut value = [0u8; 4];
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
        rustix::fs::fgetxattr(folder, *name, &mut value).is_ok_and(|length| value[..length] == *b"y")
    })
}

#[cfg(test)]
mod tests;
