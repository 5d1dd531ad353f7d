//! Applying a layer: the entries of its tar become files in a folder that an overlay can use.
//!
//! The few device nodes that every distribution's root has under `dev/` are passed over: a container gets its own
//! `/dev`, and a layer never holds a device.
//!
//! What is refused, with the entry's name: absolute names and `..`, a way through a symbolic link or a file, other
//! device nodes (a deletion is a `.wh.` name, never a device), links to what the image does not have, attributes that
//! belong to the overlay, kinds of entries that a file system does not have, and more than the written bounds.

mod refusal;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

pub use refusal::{LayerError, Refusal};

use crate::limits::Limits;
use crate::parents::{self, Parents};
use crate::tape::{Entry, EntryKind, Tape, TapeError};
use crate::tree;

/// What a layer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Bytes of its files.
    pub(crate) size: u64,
}

/// Applies a tar stream to an empty folder, above `lower` (the topmost layer first).
pub(crate) fn apply(
    reader: impl Read,
    diff: &Path,
    lower: &[PathBuf],
    limits: &Limits,
) -> Result<Applied, LayerError> {
    let root = tree::open_root(diff).map_err(|error| LayerError::disk("", error))?;
    let mut target = Target {
        root,
        parents: Parents::open(lower),
        folders: HashMap::new(),
        at: None,
        dirs: Vec::new(),
        size: 0,
        limits,
        buffer: vec![0; 128 << 10],
    };
    target.start().map_err(|why| why.named(String::new()))?;
    let mut tape = Tape::new(reader, limits);
    while let Some(entry) = tape.next_entry().map_err(LayerError::from_tape)? {
        let title = entry.title();
        target.put(&entry, &mut tape).map_err(|why| why.named(title))?;
    }
    tape.drain().map_err(|error| LayerError::from_tape(TapeError::Io(error)))?;
    target.finish_dirs()?;
    Ok(Applied { size: target.size })
}

/// The folder being filled.
struct Target<'a> {
    root: OwnedFd,
    parents: Parents,
    /// Folders of entries before, which are mostly those of the next ones too.
    folders: HashMap<Vec<u8>, Rc<Folder>>,
    /// That of the last entry.
    at: Option<(Vec<u8>, Rc<Folder>)>,
    /// Folders' times are set at the end, since what is put into them changes them.
    dirs: Vec<(Vec<u8>, Timespec)>,
    size: u64,
    limits: &'a Limits,
    buffer: Vec<u8>,
}

/// So many are held open.
const MOST_FOLDERS: usize = 256;

/// A folder that is held open.
struct Folder {
    fd: OwnedFd,
    /// What is made in it belongs to who makes it, and has the mode that is asked for.
    plain: bool,
}

impl Folder {
    fn of(fd: OwnedFd) -> io::Result<Self> {
        let group = rustix::fs::fstat(&fd)?.st_mode & 0o2000 != 0;
        let ruled = rustix::fs::fgetxattr(&fd, c"system.posix_acl_default", &mut [0u8; 0]).is_ok();
        Ok(Self { fd, plain: !group && !ruled })
    }
}

/// The permissions that this process takes from what it makes.
fn taken_permissions() -> u32 {
    static TAKEN: OnceLock<u32> = OnceLock::new();
    *TAKEN.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        // Where nobody says, each file's mode is set by itself.
        line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o777)
    })
}

/// Why an entry was not put, before it is named.
enum Stop {
    Refused(Refusal),
    Io(io::Error),
}

impl Stop {
    fn named(self, entry: String) -> LayerError {
        match self {
            Self::Refused(why) => LayerError::Refused { entry, why },
            Self::Io(error) => LayerError::disk(&entry, error),
        }
    }
}

impl From<Refusal> for Stop {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl Target<'_> {
    /// The root looks as it does below, whatever this process' umask makes of a new folder.
    fn start(&mut self) -> Result<(), Stop> {
        rustix::fs::fchmod(&self.root, Mode::from_raw_mode(0o755))?;
        let time = self.parents.inherit(&[], self.root.as_fd())?;
        self.dirs.extend(time.map(|time| (Vec::new(), time)));
        Ok(())
    }

    fn put(&mut self, entry: &Entry, content: &mut Tape<impl Read>) -> Result<(), Stop> {
        let parts = components(&entry.name)?;
        let Some((name, parent)) = parts.split_last() else {
            return if entry.kind == EntryKind::Dir {
                self.set_root(entry)
            } else {
                Err(Refusal::NoName.into())
            };
        };
        if entry.xattrs.iter().any(|(key, _)| is_overlay_attribute(key)) {
            return Err(Refusal::OverlayAttribute.into());
        }
        let parent_path = parent.join(&b'/');
        self.enter(parent, &parent_path)?;
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            return self.whiteout(hidden);
        }
        match entry.kind {
            EntryKind::File => self.file(entry, name, content),
            EntryKind::Dir => self.dir(entry, name, &parts.join(&b'/')),
            EntryKind::Symlink => self.symlink(entry, name),
            EntryKind::HardLink => self.hard_link(entry, name),
            EntryKind::Fifo => self.fifo(entry, name),
            EntryKind::CharDevice if is_everyday_device(&parts.join(&b'/'), entry.device) => Ok(()),
            EntryKind::CharDevice | EntryKind::BlockDevice => Err(Refusal::Device.into()),
            EntryKind::Other(kind) => Err(Refusal::UnknownKind(kind).into()),
        }
    }

    /// Makes the entry's folder the current one, creating what is missing on the way.
    fn enter(&mut self, parts: &[&[u8]], path: &[u8]) -> Result<(), Stop> {
        if self.at.as_ref().is_some_and(|(current, _)| current == path) {
            return Ok(());
        }
        if let Some(known) = self.folders.get(path) {
            self.at = Some((path.to_vec(), known.clone()));
            return Ok(());
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let dir = match tree::open_beneath(self.root.as_fd(), path, flags) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.make_way(parts)?,
            Err(Errno::LOOP) => return Err(Refusal::ThroughLink.into()),
            Err(Errno::XDEV) => return Err(Refusal::Climbs.into()),
            Err(Errno::NAMETOOLONG) => return Err(Refusal::TooLong.into()),
            dir => dir?,
        };
        let folder = Rc::new(Folder::of(dir)?);
        if self.folders.len() >= MOST_FOLDERS {
            self.folders.clear();
        }
        self.folders.insert(path.to_vec(), folder.clone());
        self.at = Some((path.to_vec(), folder));
        Ok(())
    }

    /// Creates the folders of an entry that the layer does not list; they look as they do in the layers below.
    fn make_way(&mut self, parts: &[&[u8]]) -> Result<OwnedFd, Stop> {
        let mut dir = tree::open_beneath(self.root.as_fd(), b"", OFlags::DIRECTORY | OFlags::RDONLY)?;
        for (depth, part) in parts.iter().enumerate() {
            let found = tree::stat(dir.as_fd(), part)?;
            let deleted = found.as_ref().is_some_and(tree::is_whiteout);
            if deleted {
                tree::remove(dir.as_fd(), part)?;
            }
            let missing = deleted || found.is_none();
            match found.as_ref().map(tree::file_type) {
                _ if missing => {
                    rustix::fs::mkdirat(&dir, OsStr::from_bytes(part), Mode::from_raw_mode(0o755))?;
                }
                Some(FileType::Directory) => {}
                Some(FileType::Symlink) => return Err(Refusal::ThroughLink.into()),
                Some(_) | None => return Err(Refusal::ThroughFile.into()),
            }
            dir = tree::open_beneath(dir.as_fd(), part, OFlags::DIRECTORY | OFlags::RDONLY)?;
            if missing {
                rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755))?;
            }
            if deleted {
                tree::make_opaque(dir.as_fd())?;
            } else if missing {
                let time = self.parents.inherit(&parts[..=depth], dir.as_fd())?;
                self.dirs.extend(time.map(|time| (parts[..=depth].join(&b'/'), time)));
            }
        }
        Ok(dir)
    }

    fn current(&self) -> BorrowedFd<'_> {
        self.at.as_ref().map_or(self.root.as_fd(), |(_, folder)| folder.fd.as_fd())
    }

    /// Makes room for an entry: a later one of the same name replaces an earlier one.
    ///
    /// What is cleared lies in the current folder, so the current folder itself never goes.
    fn clear(&mut self, name: &[u8]) -> Result<(), Stop> {
        if tree::stat(self.current(), name)?.is_some() {
            // It may be a folder, or have some below it.
            self.folders.clear();
            tree::remove(self.current(), name)?;
        }
        Ok(())
    }

    fn whiteout(&mut self, hidden: &[u8]) -> Result<(), Stop> {
        if hidden == b".wh..opq" {
            return Ok(tree::make_opaque(self.current())?);
        }
        // Other names of this form were aufs' own notes.
        if hidden.starts_with(b".wh.") {
            return Ok(());
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(Refusal::BadWhiteout.into());
        }
        // A deletion concerns the layers below: what this layer itself put there stays, and hides them.
        match tree::stat(self.current(), hidden)? {
            None => Ok(tree::make_whiteout(self.current(), hidden)?),
            Some(there) if tree::file_type(&there) == FileType::Directory => {
                let dir = tree::open_beneath(self.current(), hidden, OFlags::DIRECTORY | OFlags::RDONLY)?;
                Ok(tree::make_opaque(dir.as_fd())?)
            }
            Some(_) => Ok(()),
        }
    }

    fn file(&mut self, entry: &Entry, name: &[u8], content: &mut Tape<impl Read>) -> Result<(), Stop> {
        self.count(entry.size)?;
        // Most files are of root and of an everyday mode, and are so as soon as they are made.
        let plain = self.at.as_ref().is_some_and(|(_, folder)| folder.plain)
            && (entry.uid, entry.gid) == (0, 0)
            && entry.xattrs.is_empty()
            && entry.mode & (0o7000 | taken_permissions()) == 0
            && rustix::process::geteuid().is_root();
        let mode = if plain { entry.mode } else { 0o600 };
        let mut file = match tree::create_file(self.current(), name, mode) {
            Err(Errno::EXIST) => {
                self.clear(name)?;
                tree::create_file(self.current(), name, mode)?
            }
            Err(Errno::NAMETOOLONG) => return Err(Refusal::TooLong.into()),
            file => file?,
        };
        entry.fill(&mut file, content, &mut self.buffer)?;
        if !plain {
            set_meta(file.as_fd(), entry)?;
        }
        Ok(rustix::fs::futimens(&file, &entry.times())?)
    }

    fn dir(&mut self, entry: &Entry, name: &[u8], path: &[u8]) -> Result<(), Stop> {
        let found = tree::stat(self.current(), name)?;
        let is_dir = found.as_ref().is_some_and(|stat| tree::file_type(stat) == FileType::Directory);
        if !is_dir {
            self.clear(name)?;
            rustix::fs::mkdirat(self.current(), OsStr::from_bytes(name), Mode::from_raw_mode(0o700))?;
        }
        let dir = tree::open_beneath(self.current(), name, OFlags::DIRECTORY | OFlags::RDONLY)?;
        if found.as_ref().is_some_and(tree::is_whiteout) {
            tree::make_opaque(dir.as_fd())?;
        }
        set_meta(dir.as_fd(), entry)?;
        // What holds of it may be another now.
        self.folders.remove(path);
        self.dirs.push((path.to_vec(), entry.times().last_modification));
        Ok(())
    }

    fn set_root(&mut self, entry: &Entry) -> Result<(), Stop> {
        self.folders.clear();
        set_meta(self.root.as_fd(), entry)?;
        self.dirs.push((Vec::new(), entry.times().last_modification));
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry, name: &[u8]) -> Result<(), Stop> {
        if entry.link.is_empty() || entry.link.contains(&0) {
            return Err(Refusal::LinkToNothing.into());
        }
        self.clear(name)?;
        // The target is text: it is resolved inside the container, and never by us.
        rustix::fs::symlinkat(OsStr::from_bytes(&entry.link), self.current(), OsStr::from_bytes(name))?;
        self.set_meta_at(entry, name, false)
    }

    fn fifo(&mut self, entry: &Entry, name: &[u8]) -> Result<(), Stop> {
        self.clear(name)?;
        rustix::fs::mknodat(
            self.current(),
            OsStr::from_bytes(name),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )?;
        self.set_meta_at(entry, name, true)
    }

    fn hard_link(&mut self, entry: &Entry, name: &[u8]) -> Result<(), Stop> {
        // A leading slash in a *target* means the image's root to every archiver that writes one.
        let target = entry.link.strip_prefix(b"/").unwrap_or(&entry.link);
        let parts = components(target).map_err(|_| Refusal::LinkOutside(crate::tape::title(&entry.link)))?;
        let missing = || Refusal::LinkToMissing(crate::tape::title(&entry.link));
        let Some((target_name, target_parent)) = parts.split_last() else { return Err(missing().into()) };
        let parent_path = target_parent.join(&b'/');
        let flags = OFlags::DIRECTORY | OFlags::PATH;
        let own = match tree::open_beneath(self.root.as_fd(), &parent_path, flags) {
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(Errno::LOOP) => return Err(Refusal::ThroughLink.into()),
            dir => Some(dir?),
        };
        let stat = own.as_ref().map(|dir| tree::stat(dir.as_fd(), target_name)).transpose()?.flatten();
        match stat {
            Some(stat) if tree::is_whiteout(&stat) || tree::file_type(&stat) == FileType::Directory => {
                Err(missing().into())
            }
            Some(stat) => {
                let same = tree::stat(self.current(), name)?.is_some_and(|there| there.st_ino == stat.st_ino);
                if same {
                    return Ok(());
                }
                self.clear(name)?;
                let dir = own.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
                let (from, to) = (OsStr::from_bytes(target_name), OsStr::from_bytes(name));
                Ok(rustix::fs::linkat(dir, from, self.current(), to, AtFlags::empty())?)
            }
            None => {
                // The layer below has it: it comes up, as it would when a container linked it.
                let Some(found) = self.parents.find_file(&parts)? else { return Err(missing().into()) };
                self.count(found.len()?)?;
                self.clear(name)?;
                let dir = self.make_way(target_parent)?;
                let mut file = tree::create_file(dir.as_fd(), target_name, 0o600)?;
                found.copy_to(&mut file)?;
                let (from, to) = (OsStr::from_bytes(target_name), OsStr::from_bytes(name));
                Ok(rustix::fs::linkat(&dir, from, self.current(), to, AtFlags::empty())?)
            }
        }
    }

    /// Metadata of what cannot be opened without effect: links and pipes.
    fn set_meta_at(&self, entry: &Entry, name: &[u8], with_mode: bool) -> Result<(), Stop> {
        let (dir, name) = (self.current(), OsStr::from_bytes(name));
        let (uid, gid) = owner(entry);
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if with_mode {
            rustix::fs::chmodat(dir, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
        }
        Ok(rustix::fs::utimensat(dir, name, &entry.times(), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn count(&mut self, size: u64) -> Result<(), Stop> {
        self.size = self.size.saturating_add(size);
        if self.size > self.limits.layer_bytes {
            return Err(Refusal::TooLarge(self.limits.layer_bytes).into());
        }
        Ok(())
    }

    fn finish_dirs(&self) -> Result<(), LayerError> {
        // The last word on a folder counts, and a folder that was replaced meanwhile has none.
        for (path, mtime) in &self.dirs {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY;
            let Ok(dir) = tree::open_beneath(self.root.as_fd(), path, flags) else { continue };
            let times = Timestamps { last_access: *mtime, last_modification: *mtime };
            rustix::fs::futimens(&dir, &times)
                .map_err(|error| LayerError::disk(&crate::tape::title(path), error.into()))?;
        }
        Ok(())
    }
}

/// The parts of an entry's name; none for the root itself.
fn components(name: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    if name.starts_with(b"/") {
        return Err(Refusal::Absolute);
    }
    if name.contains(&0) {
        return Err(Refusal::NoName);
    }
    if name.len() >= 4096 {
        return Err(Refusal::TooLong);
    }
    let parts: Vec<&[u8]> =
        name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.iter().any(|part| *part == b"..") { Err(Refusal::Climbs) } else { Ok(parts) }
}

/// Whether this is exactly one of the harmless devices in its usual place.
fn is_everyday_device(path: &[u8], device: (u32, u32)) -> bool {
    let usual = match path {
        b"dev/null" => (1, 3),
        b"dev/zero" => (1, 5),
        b"dev/full" => (1, 7),
        b"dev/random" => (1, 8),
        b"dev/urandom" => (1, 9),
        b"dev/tty" => (5, 0),
        b"dev/console" => (5, 1),
        b"dev/ptmx" => (5, 2),
        _ => return false,
    };
    device == usual
}

fn is_overlay_attribute(key: &[u8]) -> bool {
    key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.")
}

fn owner(entry: &Entry) -> (Uid, Gid) {
    (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid))
}

/// Owner, then mode (a change of owner clears setuid), then attributes (it clears capabilities too).
fn set_meta(fd: BorrowedFd<'_>, entry: &Entry) -> Result<(), Stop> {
    let (uid, gid) = owner(entry);
    rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode))?;
    for (key, value) in entry.xattrs.iter().filter(|(key, _)| parents::belongs_to_image(key)) {
        match rustix::fs::fsetxattr(fd, OsStr::from_bytes(key), value, XattrFlags::empty()) {
            // A file system without such attributes loses them, as docker does there.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Copies all there is, in large pieces.
#[cfg(test)]
mod tests;
