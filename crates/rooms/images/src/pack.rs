//! Packing a folder as a layer: sorted, with the overlay's deletions as whiteouts, and the same for the same content.

mod writer;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, Timespec, Timestamps};
use tar::EntryType;

pub use writer::{Out, TarWriter};

use crate::apply::{LayerError, Refusal};
use crate::parents::{self, Attribute};
use crate::tape::title;
use crate::tree;

/// How a folder is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackOptions {
    /// Times later than this (in seconds since 1970) are set back to it, as `SOURCE_DATE_EPOCH` asks.
    pub latest_mtime: Option<i64>,
}

/// What is done with the folder itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way<'a> {
    /// Times that are set back are set back in the folder, too.
    Settle,
    /// It stays as it is.
    Keep,
    /// It stays as it is, and these paths in it stay out. It is what a container wrote, which may have made devices: a
    /// layer never holds one, so they stay out, too.
    OfContainer(&'a [PathBuf]),
}

/// Packs a folder, and names the devices that stayed out.
pub(crate) fn pack<W: Write>(
    dir: &Path,
    out: W,
    options: PackOptions,
    way: Way<'_>,
) -> Result<(W, Vec<String>), LayerError> {
    let root = tree::open_root(dir).map_err(|error| LayerError::disk("", error))?;
    let mut packer =
        Packer { tar: TarWriter::new(out), links: HashMap::new(), options, way, devices: Vec::new() };
    let stat = rustix::fs::fstat(&root).map_err(|error| LayerError::disk("", error.into()))?;
    // The root is worth an entry only where it is not what everybody makes of it.
    if (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) != (0o755, 0, 0) {
        packer
            .plain(b"./", EntryType::Directory, &stat, &root)
            .map_err(|error| LayerError::disk("./", error))?;
    }
    packer.folder(&root, &[])?;
    let Packer { tar, devices, .. } = packer;
    tar.finish().map(|out| (out, devices)).map_err(|error| LayerError::disk("", error))
}

/// Folders within folders; one more is refused, since each holds a descriptor and a part of the stack.
const MAX_DEPTH: usize = 1024;

struct Packer<'a, W> {
    tar: TarWriter<W>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    options: PackOptions,
    way: Way<'a>,
    /// Those that stayed out.
    devices: Vec<String>,
}

impl<W: Write> Packer<'_, W> {
    fn folder(&mut self, dir: &OwnedFd, path: &[u8]) -> Result<(), LayerError> {
        let at = |error: io::Error| LayerError::disk(&title(path), error);
        if path.iter().filter(|byte| **byte == b'/').count() > MAX_DEPTH {
            let entry = title(&path[..path.len().min(100)]);
            return Err(LayerError::Refused { entry, why: Refusal::TooLong });
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(dir).map_err(|error| at(error.into()))? {
            let entry = entry.map_err(|error| at(error.into()))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort();
        for name in names {
            let mut inside = path.to_vec();
            inside.extend_from_slice(&name);
            self.entry(dir, &name, inside)?;
        }
        if self.way == Way::Settle && self.options.latest_mtime.is_some() {
            let stat = rustix::fs::fstat(dir).map_err(|error| at(error.into()))?;
            self.settle(dir, b"", &stat).map_err(at)?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: &OwnedFd, name: &[u8], mut inside: Vec<u8>) -> Result<(), LayerError> {
        if let Way::OfContainer(without) = self.way
            && without.iter().any(|path| path.as_os_str().as_bytes() == inside)
        {
            return Ok(());
        }
        let called = title(&inside);
        let at = |error: io::Error| LayerError::disk(&called, error);
        let Some(stat) = tree::stat(dir.as_fd(), name).map_err(|error| at(error.into()))? else {
            return Ok(());
        };
        match tree::file_type(&stat) {
            FileType::Directory => {
                let flags = OFlags::DIRECTORY | OFlags::RDONLY;
                let inner = tree::open_beneath(dir.as_fd(), name, flags).map_err(|error| at(error.into()))?;
                inside.push(b'/');
                self.plain(&inside, EntryType::Directory, &stat, &inner).map_err(at)?;
                if is_opaque(&inner) {
                    self.mark(&[&inside[..], b".wh..wh..opq"].concat()).map_err(at)?;
                }
                self.folder(&inner, &inside)
            }
            FileType::RegularFile => self.file(dir, name, &inside, &stat).map_err(at),
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(dir, OsStr::from_bytes(name), Vec::new())
                    .map_err(|e| at(e.into()))?;
                let out = self.out(&inside, EntryType::Symlink, link.as_bytes(), &stat, &[]);
                self.tar.put(&out, &mut io::empty()).map_err(at)?;
                self.settle(dir, name, &stat).map_err(at)
            }
            FileType::Fifo => {
                let out = self.out(&inside, EntryType::Fifo, b"", &stat, &[]);
                self.tar.put(&out, &mut io::empty()).map_err(at)
            }
            FileType::CharacterDevice if tree::is_whiteout(&stat) => {
                let split = inside.len() - name.len();
                self.mark(&[&inside[..split], b".wh.", name].concat()).map_err(at)
            }
            FileType::CharacterDevice | FileType::BlockDevice if matches!(self.way, Way::OfContainer(_)) => {
                self.devices.push(called);
                Ok(())
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                Err(LayerError::Refused { entry: called, why: Refusal::Device })
            }
            // A socket means nothing without the process that made it.
            FileType::Socket | FileType::Unknown => Ok(()),
        }
    }

    fn file(&mut self, dir: &OwnedFd, name: &[u8], inside: &[u8], stat: &Stat) -> io::Result<()> {
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                let out = Out { size: 0, ..self.out(inside, EntryType::Link, first, stat, &[]) };
                return self.tar.put(&out, &mut io::empty());
            }
            self.links.insert(key, inside.to_vec());
        }
        let fd = tree::open_beneath(dir.as_fd(), name, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let xattrs = travelling(&fd)?;
        let out = self.out(inside, EntryType::Regular, b"", stat, &xattrs);
        let mut file = std::fs::File::from(fd);
        self.tar.put(&out, &mut file)?;
        self.settle(dir, name, stat)
    }

    fn plain(&mut self, inside: &[u8], kind: EntryType, stat: &Stat, fd: &OwnedFd) -> io::Result<()> {
        let xattrs = travelling(fd)?;
        let out = self.out(inside, kind, b"", stat, &xattrs);
        self.tar.put(&out, &mut io::empty())
    }

    /// An entry without content that says something about deletion.
    fn mark(&mut self, inside: &[u8]) -> io::Result<()> {
        let kind = EntryType::Regular;
        let out =
            Out { name: inside, kind, link: b"", size: 0, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: &[] };
        self.tar.put(&out, &mut io::empty())
    }

    fn out<'a>(
        &self,
        name: &'a [u8],
        kind: EntryType,
        link: &'a [u8],
        stat: &Stat,
        xattrs: &'a [Attribute],
    ) -> Out<'a> {
        let size = if kind == EntryType::Regular { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
        let mtime = self.options.latest_mtime.map_or(stat.st_mtime, |latest| stat.st_mtime.min(latest));
        let mode = stat.st_mode & 0o7777;
        Out { name, kind, link, size, mode, uid: stat.st_uid, gid: stat.st_gid, mtime, xattrs }
    }

    /// Sets a time back in the folder as it was set back in the tar; the empty name is the folder itself.
    fn settle(&self, dir: &OwnedFd, name: &[u8], stat: &Stat) -> io::Result<()> {
        let Some(latest) =
            self.options.latest_mtime.filter(|latest| self.way == Way::Settle && stat.st_mtime > *latest)
        else {
            return Ok(());
        };
        let time = Timespec { tv_sec: latest, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        if name.is_empty() {
            return Ok(rustix::fs::futimens(dir, &times)?);
        }
        Ok(rustix::fs::utimensat(dir, OsStr::from_bytes(name), &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

fn is_opaque(dir: &OwnedFd) -> bool {
    let mut value = [0; 1];
    rustix::fs::fgetxattr(dir, tree::OPAQUE, &mut value).is_ok_and(|_| value == *b"y")
}

/// The attributes that go into the tar. A folder or file that only points elsewhere cannot be packed.
fn travelling(fd: &OwnedFd) -> io::Result<Vec<Attribute>> {
    let all = parents::attributes(fd.as_fd())?;
    let points_elsewhere =
        |key: &[u8]| key == b"trusted.overlay.redirect" || key == b"trusted.overlay.metacopy";
    if all.iter().any(|(key, _)| points_elsewhere(key)) {
        let why = "the overlay was mounted with `redirect_dir` or `metacopy`; mount it with both off";
        return Err(io::Error::other(why));
    }
    Ok(all.into_iter().filter(|(key, _)| parents::belongs_to_image(key)).collect())
}
