//! A tar into a folder of a container. Nothing that an archive says leads out of that folder: not `..`, not a link in it
//! or before it, not another name for a file elsewhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;

use images::{Entry, EntryKind, Limits, Tape, TapeError};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Last, MAX_DEPTH, Node, Root, path_of};

/// How an archive is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Unpacking {
    /// A folder never takes the place of something else, nor something else that of a folder.
    pub(crate) keep_kinds: bool,
    /// Who owns what is new, in place of those whom the archive names.
    pub(crate) owner: Option<(u32, u32)>,
}

/// Why an archive was not unpacked whole. What came before stays.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A name leads out of the folder.
    #[error("invalid entry name {name:?}")]
    Escapes {
        /// The name.
        name: String,
    },
    /// Another name is asked for a file outside the folder.
    #[error("invalid hardlink target {target:?}")]
    LinkEscapes {
        /// The file's name.
        target: String,
    },
    /// Something else would take a folder's place.
    #[error("cannot overwrite directory {path:?} with non-directory {name:?}")]
    OverFolder {
        /// Where.
        path: String,
        /// The entry.
        name: String,
    },
    /// A folder would take something else's place.
    #[error("cannot overwrite non-directory {path:?} with directory {name:?}")]
    OverFile {
        /// Where.
        path: String,
        /// The entry.
        name: String,
    },
    /// What no file system has.
    #[error("unhandled tar header type {0}")]
    Kind(u8),
    /// Not an archive, or a damaged one.
    #[error("archive/tar: invalid tar header: {what} (behind {entry:?})")]
    Damaged {
        /// The last entry that was whole.
        entry: String,
        /// What is wrong.
        what: String,
    },
    /// The archive could not be read.
    #[error("the archive could not be read")]
    Read(#[source] io::Error),
    /// The file system refused.
    #[error("{doing} {path}")]
    Write {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Unpacks an archive into the folder at the end of `base`.
pub(crate) fn unpack(
    root: &Root,
    base: &[OsString],
    how: Unpacking,
    archive: impl Read,
) -> Result<(), UnpackError> {
    let limits = Limits::default();
    let mut tape = Tape::new(archive, &limits);
    let mut target = Target { root, base, how, at: None, folders: Vec::new(), buffer: vec![0; 128 << 10] };
    while let Some(entry) = tape.next_entry().map_err(damaged)? {
        target.put(&entry, &mut tape)?;
    }
    target.settle_times();
    Ok(())
}

fn damaged(error: TapeError) -> UnpackError {
    match error {
        TapeError::Io(error) => UnpackError::Read(error),
        TapeError::Damaged { entry, what } => UnpackError::Damaged { entry, what: what.to_owned() },
        TapeError::TooMany(most) => {
            UnpackError::Damaged { entry: String::new(), what: format!("it has more than {most} entries") }
        }
    }
}

struct Target<'a> {
    root: &'a Root,
    base: &'a [OsString],
    how: Unpacking,
    /// The folder of the entry before, which is mostly that of the next one too: its name in the archive, the way to it,
    /// and itself.
    at: Option<(Vec<u8>, Vec<OsString>, Node)>,
    /// Folders' times are set at the end, since what is put into them changes them.
    folders: Vec<(Vec<OsString>, Timestamps)>,
    buffer: Vec<u8>,
}

impl Target<'_> {
    fn put(&mut self, entry: &Entry, content: &mut Tape<impl Read>) -> Result<(), UnpackError> {
        let parts = cleaned(&entry.name).ok_or_else(|| UnpackError::Escapes { name: entry.title() })?;
        let Some((name, above)) = parts.split_last() else { return Ok(()) };
        let (way, folder) = self.enter(above)?;
        let name = OsStr::from_bytes(name);
        let mut place = way.clone();
        place.push(name.to_owned());
        let fail = |doing: &'static str| {
            let path = path_of(&place).display().to_string();
            move |source: io::Error| UnpackError::Write { doing, path, source }
        };
        let there = self.root.child(&folder, &way, name).map_err(fail("lstat"))?;
        if let Some(there) = &there {
            self.make_room(entry, there, &folder, &place)?;
        }
        let kept = there.is_some_and(|there| there.is_folder() && entry.kind == EntryKind::Dir);
        match entry.kind {
            EntryKind::File => {
                self.file(&folder, name, entry, content).map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => {
                        UnpackError::Damaged { entry: entry.title(), what: error.to_string() }
                    }
                    _ => fail("write")(error),
                })?
            }
            EntryKind::Dir => {
                if !kept {
                    let mode = Mode::from_raw_mode(0o700);
                    rustix::fs::mkdirat(folder.fd(), name, mode).map_err(|e| fail("mkdir")(e.into()))?;
                }
                self.finish(&folder, &way, entry, &place)?;
                self.folders.push((place, entry.times()));
            }
            EntryKind::Symlink => {
                rustix::fs::symlinkat(OsStr::from_bytes(&entry.link), folder.fd(), name)
                    .map_err(|error| fail("symlink")(error.into()))?;
                self.finish(&folder, &way, entry, &place)?;
            }
            EntryKind::HardLink => self.hard_link(&folder, name, entry, &place)?,
            EntryKind::Fifo | EntryKind::CharDevice | EntryKind::BlockDevice => {
                let kind = match entry.kind {
                    EntryKind::CharDevice => FileType::CharacterDevice,
                    EntryKind::BlockDevice => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let number = rustix::fs::makedev(entry.device.0, entry.device.1);
                let number = if kind == FileType::Fifo { 0 } else { number };
                rustix::fs::mknodat(folder.fd(), name, kind, Mode::from_raw_mode(0o600), number)
                    .map_err(|error| fail("mknod")(error.into()))?;
                self.finish(&folder, &way, entry, &place)?;
            }
            EntryKind::Other(kind) => return Err(UnpackError::Kind(kind)),
        }
        Ok(())
    }

    /// The folder of an entry; made, with those above it, if it is not there.
    fn enter(&mut self, above: &[&[u8]]) -> Result<(Vec<OsString>, Node), UnpackError> {
        let name = above.join(&b'/');
        if let Some((current, way, node)) = self.at.as_ref().filter(|(current, ..)| *current == name) {
            debug_assert_eq!(*current, name);
            return Ok((way.clone(), node.clone()));
        }
        let shown = || String::from_utf8_lossy(&name).into_owned();
        let fail = |source: io::Error| UnpackError::Write { doing: "mkdir", path: shown(), source };
        let found = self.root.find_in(self.base, &name, Last::Follow).map_err(fail)?;
        let node = match found.node {
            Some(node) => node,
            None => self.make_way(&found.way).map_err(fail)?,
        };
        if !node.is_folder() {
            return Err(fail(Errno::NOTDIR.into()));
        }
        self.at = Some((name, found.way.clone(), node.clone()));
        Ok((found.way, node))
    }

    fn make_way(&self, way: &[OsString]) -> io::Result<Node> {
        let mut here = self.root.top().clone();
        for (depth, name) in way.iter().enumerate() {
            let next = self.root.child(&here, &way[..depth], name)?;
            here = match next {
                Some(node) => node,
                None => {
                    rustix::fs::mkdirat(here.fd(), name.as_os_str(), Mode::from_raw_mode(0o755))?;
                    let made = self.root.child(&here, &way[..depth], name)?;
                    let made = made.ok_or_else(|| io::Error::from(Errno::NOENT))?;
                    let folder = made.open_folder()?;
                    let (uid, gid) = self.how.owner.unwrap_or((0, 0));
                    rustix::fs::fchown(&folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
                    rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755))?;
                    made
                }
            };
        }
        Ok(here)
    }

    /// An entry takes the place of what is there, but for a folder that stays a folder.
    fn make_room(
        &mut self,
        entry: &Entry,
        there: &Node,
        folder: &Node,
        place: &[OsString],
    ) -> Result<(), UnpackError> {
        let path = || path_of(place).display().to_string();
        let (is, becomes) = (there.is_folder(), entry.kind == EntryKind::Dir);
        match (is, becomes) {
            (true, true) => return Ok(()),
            (true, false) if self.how.keep_kinds => {
                return Err(UnpackError::OverFolder { path: path(), name: entry.title() });
            }
            (false, true) if self.how.keep_kinds => {
                return Err(UnpackError::OverFile { path: path(), name: entry.title() });
            }
            (true, false) | (false, _) => {}
        }
        let name = place.last().expect("an entry has a name");
        // The folder that was current may be in what goes.
        self.at = None;
        self.remove(folder, name, place).map_err(|source| UnpackError::Write {
            doing: "RemoveAll",
            path: path(),
            source,
        })
    }

    /// Removes a name with all that it holds. What is mounted there is not taken away.
    fn remove(&self, folder: &Node, name: &OsStr, place: &[OsString]) -> io::Result<()> {
        if place.len() > MAX_DEPTH {
            return Err(Errno::NAMETOOLONG.into());
        }
        let Some(node) = self.root.child(folder, &place[..place.len() - 1], name)? else { return Ok(()) };
        if self.root.is_mount(place, &node)? {
            return Err(Errno::BUSY.into());
        }
        if !node.is_folder() {
            return Ok(rustix::fs::unlinkat(folder.fd(), name, AtFlags::empty())?);
        }
        let mut inside = place.to_vec();
        for child in node.names()? {
            inside.push(child.clone());
            self.remove(&node, &child, &inside)?;
            inside.pop();
        }
        Ok(rustix::fs::unlinkat(folder.fd(), name, AtFlags::REMOVEDIR)?)
    }

    fn file(
        &mut self,
        folder: &Node,
        name: &OsStr,
        entry: &Entry,
        content: &mut Tape<impl Read>,
    ) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder.fd(), name, flags, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(file);
        entry.fill(&mut file, content, &mut self.buffer)?;
        let (uid, gid) = self.owner(entry);
        rustix::fs::fchown(&file, Some(uid), Some(gid))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode & 0o7777))?;
        for (key, value) in entry.xattrs.iter().filter(|(key, _)| !is_overlays(key)) {
            kept(rustix::fs::fsetxattr(&file, OsStr::from_bytes(key), value, XattrFlags::empty()))?;
        }
        Ok(rustix::fs::futimens(&file, &entry.times())?)
    }

    fn hard_link(
        &mut self,
        folder: &Node,
        name: &OsStr,
        entry: &Entry,
        place: &[OsString],
    ) -> Result<(), UnpackError> {
        let shown = || images_title(&entry.link);
        let target = cleaned(&entry.link).ok_or_else(|| UnpackError::LinkEscapes { target: shown() })?;
        let fail = |source: io::Error| UnpackError::Write {
            doing: "link",
            path: format!("{} to {}", path_of(place).display(), shown()),
            source,
        };
        let found =
            self.root.find_in(self.base, &target.join(&b'/'), Last::Stay).and_then(super::Found::there);
        let (node, _) = found.map_err(fail)?;
        rustix::fs::linkat(node.fd(), c"", folder.fd(), name, AtFlags::EMPTY_PATH)
            .map_err(|error| fail(error.into()))
    }

    /// Owner, mode, attributes and time of what was just made: of that very thing, whatever takes its place meanwhile.
    fn finish(
        &self,
        folder: &Node,
        way: &[OsString],
        entry: &Entry,
        place: &[OsString],
    ) -> Result<(), UnpackError> {
        let fail = |source: io::Error| UnpackError::Write {
            doing: "chmod",
            path: path_of(place).display().to_string(),
            source,
        };
        let name = place.last().expect("an entry has a name");
        let made = self.root.child(folder, way, name).map_err(fail)?;
        let made = made.ok_or_else(|| fail(Errno::NOENT.into()))?;
        self.dress(&made, entry).map_err(fail)
    }

    fn dress(&self, made: &Node, entry: &Entry) -> io::Result<()> {
        let (uid, gid) = self.owner(entry);
        let itself = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(made.fd(), c"", Some(uid), Some(gid), itself)?;
        if made.kind() != FileType::Symlink {
            let own = made.own_name();
            rustix::fs::chmod(&*own, Mode::from_raw_mode(entry.mode & 0o7777))?;
            for (key, value) in entry.xattrs.iter().filter(|(key, _)| !is_overlays(key)) {
                kept(rustix::fs::setxattr(&*own, OsStr::from_bytes(key), value, XattrFlags::empty()))?;
            }
        }
        match rustix::fs::utimensat(made.fd(), c"", &entry.times(), itself) {
            // Kernels before 5.8 set no times of what is opened by its name; a link's time is no great loss.
            Err(Errno::INVAL) => Ok(()),
            done => Ok(done?),
        }
    }

    fn owner(&self, entry: &Entry) -> (Uid, Gid) {
        let (uid, gid) = self.how.owner.unwrap_or((entry.uid, entry.gid));
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    /// A folder that was replaced meanwhile keeps what it has.
    fn settle_times(&self) {
        for (way, times) in self.folders.iter().rev() {
            let Ok(Some(node)) = self.root.descend(way) else { continue };
            if let (true, Ok(folder)) = (node.is_folder(), node.open_folder()) {
                let _ = rustix::fs::futimens(&folder, times);
            }
        }
    }
}

/// The parts of a name, with `.` and inner `..` undone; none when it leads out. A slash in front means the folder.
fn cleaned(name: &[u8]) -> Option<Vec<&[u8]>> {
    let absolute = name.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.pop().is_some() || absolute => {}
            b".." => return None,
            part if part.contains(&0) => return None,
            part => parts.push(part),
        }
    }
    Some(parts)
}

fn images_title(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(300).collect()
}

/// Marks of the overlay mean something to the kernel, and nothing to a program.
fn is_overlays(key: &[u8]) -> bool {
    key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.")
}

/// An attribute that this file system does not have is let go, as archivers do.
fn kept(set: Result<(), Errno>) -> io::Result<()> {
    match set {
        Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        set => Ok(set?),
    }
}
