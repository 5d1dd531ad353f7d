//! The context of a build: packed by whoever asks for the build, unpacked where it is done.
//!
//! The archive is the same for the same folder: names are sorted, owners are root, nothing else than names, kinds,
//! permissions, times and content goes in. Unpacking refuses whatever could reach outside the folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base::{Bytes, Kind, Problem};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::ignore::{Ignore, IgnoreError};
use crate::tape::{self, Item, TapeError};
use crate::tree::{Folder, Node, Tree, kind};
use crate::upper::{Attributes, MAX_DEPTH, create, included};
use crate::users::Owner;

/// The bounds of a context.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all its files.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
}

impl Default for Limits {
    /// 32 GiB in a million files.
    fn default() -> Self {
        Self { bytes: 32 << 30, entries: 1_000_000 }
    }
}

/// What went into the archive, or came out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packed {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// Sockets, pipes and devices that stayed behind.
    pub skipped: u64,
}

/// Why a context was not packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The context is no folder, or not there.
    #[error("the context `{}` cannot be opened", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("could not read `{}` of the context", path.display())]
    Read {
        /// Its path in the context.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ignore file makes no sense.
    #[error("`{}` cannot be used", path.display())]
    Ignore {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IgnoreError,
    },
    /// The archive cannot be written, or nobody takes it.
    #[error("could not write the context")]
    Write {
        /// Why.
        source: io::Error,
    },
    /// What arrived is no whole archive.
    #[error("the context is not a whole tar archive")]
    Archive {
        /// Why.
        source: io::Error,
    },
    /// An entry that could reach elsewhere, or that no context has.
    #[error("the entry `{name}` of the context is refused: {why}")]
    Refused {
        /// Its name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// A file cannot be written.
    #[error("could not unpack `{name}` of the context")]
    Unpack {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Too much.
    #[error("the context has more than {what}")]
    TooLarge {
        /// The bound.
        what: String,
    },
}

impl Problem for ContextError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Missing { .. } | Self::Ignore { .. } | Self::Archive { .. } | Self::Refused { .. } => {
                Kind::Invalid
            }
            Self::Read { .. } | Self::Write { .. } => Kind::Unavailable,
            Self::Unpack { source, .. } if source.kind() == io::ErrorKind::StorageFull => Kind::Exhausted,
            Self::Unpack { .. } => Kind::Internal,
            Self::TooLarge { .. } => Kind::Exhausted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooLarge { .. } => Some("list what the build does not need in `.dockerignore`".into()),
            Self::Missing { .. } => Some("the context is the folder that COPY takes files from".into()),
            Self::Ignore { source, .. } => source.hint(),
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Archive { .. }
            | Self::Refused { .. }
            | Self::Unpack { .. } => None,
        }
    }
}

/// Whether something that begins like this (512 bytes of it) is an archive, packed or not.
pub fn is_archive(head: &[u8]) -> bool {
    crate::archive::packing_of(head).is_some()
}

/// Writes the folder as a tar archive, without what `ignore` takes.
pub fn pack(dir: &Path, ignore: &Ignore, writer: impl Write, limits: Limits) -> Result<Packed, ContextError> {
    let missing = |source| ContextError::Missing { path: dir.to_owned(), source };
    let tree = Tree::open([dir]).map_err(missing)?;
    let root = tree.find(Path::new(""), false).map_err(missing)?.node;
    let mut packer = Packer { tar: tar::Builder::new(writer), ignore, limits, packed: Packed::default() };
    if let Some(Node::Folder(root, _)) = root {
        packer.folder(&root, Path::new(""))?;
    }
    let mut writer = packer.tar.into_inner().map_err(|source| ContextError::Write { source })?;
    writer.flush().map_err(|source| ContextError::Write { source })?;
    Ok(packer.packed)
}

/// The ignore file of a context: the Dockerfile's own, as in `web.Dockerfile.dockerignore`, else `.dockerignore`.
pub fn ignore_file(dir: &Path, dockerfile: Option<&Path>) -> Result<Ignore, ContextError> {
    let own = dockerfile.map(|path| {
        let mut name = dir.join(path).into_os_string();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in own.into_iter().chain([dir.join(".dockerignore")]) {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ignore::parse(&text).map_err(|source| ContextError::Ignore { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ContextError::Read { path, source }),
        }
    }
    Ok(Ignore::none())
}

struct Packer<'a, W: Write> {
    tar: tar::Builder<W>,
    ignore: &'a Ignore,
    limits: Limits,
    packed: Packed,
}

impl<W: Write> Packer<'_, W> {
    fn folder(&mut self, folder: &Folder, below: &Path) -> Result<(), ContextError> {
        let read = |path: &Path, source| ContextError::Read { path: path.to_owned(), source };
        if below.iter().count() > MAX_DEPTH {
            return Err(read(below, io::Error::other("it is more than 512 folders deep")));
        }
        for name in folder.names().map_err(|error| read(below, error))? {
            let path = below.join(&name);
            let Some(node) = folder.get(&name).map_err(|error| read(&path, error))? else { continue };
            if !included(&node, &path, Some(self.ignore)).map_err(|error| read(&path, error))? {
                continue;
            }
            self.node(&node, &path)?;
            if let Node::Folder(inner, _) = &node {
                self.folder(inner, &path)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, path: &Path) -> Result<(), ContextError> {
        let write = |source| ContextError::Write { source };
        let stat = node.stat();
        let mut header = tar::Header::new_gnu();
        header.set_mode(stat.st_mode & 0o7777);
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        self.packed.entries += 1;
        match (node, kind(stat)) {
            (Node::Folder(..), _) => {
                header.set_entry_type(tar::EntryType::Directory);
                self.tar.append_data(&mut header, path, io::empty()).map_err(write)?;
            }
            (Node::Link(target, _), _) => {
                header.set_entry_type(tar::EntryType::Symlink);
                self.tar.append_link(&mut header, path, target).map_err(write)?;
            }
            (Node::Other(..), FileType::RegularFile) => {
                let file =
                    node.open().map_err(|source| ContextError::Read { path: path.to_owned(), source })?;
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                self.packed.bytes += size;
                header.set_size(size);
                // A file that changes meanwhile must not shift what follows it.
                let whole = Exactly { file, left: size };
                self.tar.append_data(&mut header, path, whole).map_err(write)?;
            }
            (Node::Other(..), _) => {
                self.packed.entries -= 1;
                self.packed.skipped += 1;
            }
        }
        self.limits.check(&self.packed)
    }
}

impl Limits {
    fn check(&self, packed: &Packed) -> Result<(), ContextError> {
        if packed.bytes > self.bytes {
            return Err(ContextError::TooLarge { what: Bytes(self.bytes).to_string() });
        }
        if packed.entries > self.entries {
            return Err(ContextError::TooLarge { what: format!("{} files", self.entries) });
        }
        Ok(())
    }
}

/// So many bytes of a file, whatever becomes of it: zeros where it got shorter.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let got = match self.file.read(&mut buf[..most])? {
            0 => {
                buf[..most].fill(0);
                most
            }
            got => got,
        };
        self.left -= got as u64;
        Ok(got)
    }
}

/// Unpacks an archive into a folder. Files that are there already give way to those of the archive.
pub fn unpack(reader: impl Read, dir: &Path, limits: Limits) -> Result<Packed, ContextError> {
    let root = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| ContextError::Missing { path: dir.to_owned(), source: error.into() })?;
    let mut packed = Packed::default();
    // Folders get their times last, since each file in them changes these.
    let mut times: Vec<(PathBuf, i64)> = Vec::new();
    let read = tape::each(reader, |item, content| {
        let path = safe_path(item)?;
        packed.entries += 1;
        packed.bytes = packed.bytes.saturating_add(item.size);
        limits.check(&packed)?;
        unpack_one(&root, item, content, &path)?;
        if item.kind.is_dir() {
            times.push((path, item.mtime_secs));
        }
        Ok(())
    });
    read.map_err(|error| match error {
        TapeError::Broken(source) => ContextError::Archive { source },
        TapeError::Refused { name, why } => ContextError::Refused { name, why },
        TapeError::Taker(error) => error,
    })?;
    for (path, mtime_secs) in times.into_iter().rev() {
        let time = Timespec { tv_sec: mtime_secs, tv_nsec: 0 };
        let both = Timestamps { last_access: time, last_modification: time };
        if let Ok(folder) = enter(&root, &path) {
            // A time that cannot be set is no reason to lose the build: nothing depends on a folder's time.
            let _ = rustix::fs::futimens(&folder, &both);
        }
    }
    Ok(packed)
}

/// The entry's path if it stays below the context, whose root is where an absolute one begins.
fn safe_path(item: &Item) -> Result<PathBuf, ContextError> {
    let bytes = &item.path;
    let name = String::from_utf8_lossy(bytes).into_owned();
    let refuse = |why| Err(ContextError::Refused { name: name.clone(), why });
    if bytes.contains(&0) {
        return refuse("its name holds a zero byte");
    }
    let parts = bytes.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    let mut within: Vec<&OsStr> = Vec::new();
    for part in parts {
        if part != b".." {
            within.push(OsStr::from_bytes(part));
        } else if within.pop().is_none() {
            return refuse("its name climbs out of the context");
        }
    }
    let parts = within;
    if parts.len() > MAX_DEPTH {
        return refuse("it is more than 512 folders deep");
    }
    Ok(parts.into_iter().collect())
}

/// The folder at this path, made if need be. A link on the way is an error.
fn enter(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut here = rustix::fs::openat(root, c".", flags, Mode::empty())?;
    for name in path.iter() {
        here = match rustix::fs::openat(&here, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&here, name, Mode::from_raw_mode(0o755))?;
                rustix::fs::openat(&here, name, flags, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(here)
}

fn unpack_one(root: &OwnedFd, item: &Item, content: &mut dyn Read, path: &Path) -> Result<(), ContextError> {
    let name = path.to_string_lossy().into_owned();
    let refuse = |why| ContextError::Refused { name: name.clone(), why };
    let fail = |error: io::Error| ContextError::Unpack { name: name.clone(), source: error };
    let through = |error: Errno| match error {
        Errno::LOOP | Errno::NOTDIR => refuse("a part of its name is not a folder"),
        other => fail(other.into()),
    };
    // Whoever unpacks owns the files: root in the daemon, whoever asks for `--output` elsewhere.
    let owner = Owner { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
    let attributes = Attributes { owner, mode: item.mode, mtime_secs: item.mtime_secs };
    if item.kind.is_dir() {
        let folder = enter(root, path).map_err(through)?;
        return attributes.set(&folder).map_err(fail);
    }
    let (Some(last), Some(parent)) = (path.file_name(), path.parent()) else {
        return Err(refuse("it has no name"));
    };
    let folder = enter(root, parent).map_err(through)?;
    match rustix::fs::unlinkat(&folder, last, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::ISDIR) => return Err(refuse("a folder of that name came before it")),
        Err(error) => return Err(fail(error.into())),
    }
    match (item.kind, &item.link) {
        (tar::EntryType::Regular | tar::EntryType::Continuous, _) => {
            let mut file = create(&folder, last).map_err(fail)?;
            let copied = io::copy(content, &mut file).map_err(fail)?;
            if copied != item.size {
                let short = io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside a file");
                return Err(ContextError::Archive { source: short });
            }
            attributes.set(&file).map_err(fail)
        }
        (tar::EntryType::Symlink, Some(target)) => {
            rustix::fs::symlinkat(OsStr::from_bytes(target), &folder, last).map_err(|e| fail(e.into()))
        }
        (tar::EntryType::Link, Some(target)) => {
            let target = Path::new(OsStr::from_bytes(target));
            let inside = target.iter().all(|part| part != ".." && part != "/");
            let (Some(to), Some(parent)) = (target.file_name(), target.parent().filter(|_| inside)) else {
                return Err(refuse("it links out of the context"));
            };
            let from = enter(root, parent).map_err(through)?;
            rustix::fs::linkat(&from, to, &folder, last, AtFlags::empty()).map_err(|e| fail(e.into()))
        }
        (_, _) => Err(refuse("it is neither a file, a folder nor a link")),
    }
}

#[cfg(test)]
mod tests;
