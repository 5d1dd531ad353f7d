//! A container's files as a tar: names and links as they are, in the order of their names, in bounded memory.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;

use images::{EntryType, Out, TarWriter};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::{MAX_DEPTH, Node, Root};

/// The kernel's own bound for the list of names and for one value.
const ATTRIBUTE_BYTES: usize = 64 << 10;

/// What is packed, and under which names.
pub(crate) struct Packing {
    pub(crate) node: Node,
    /// Where it is.
    pub(crate) way: Vec<OsString>,
    /// Its name in the archive; that of a folder has no slash behind it.
    pub(crate) name: Vec<u8>,
    /// Whether a folder has an entry of its own, before what it holds.
    pub(crate) itself: bool,
}

/// Packs a file, or a folder with all it holds.
pub(crate) fn pack(root: &Root, what: Packing, out: impl Write) -> io::Result<()> {
    let mut packer = Packer { root, tar: TarWriter::new(out), links: HashMap::new() };
    let Packing { node, mut way, name, itself } = what;
    if !node.is_folder() {
        packer.entry(&node, &name)?;
    } else {
        if itself {
            packer.folder_itself(&node, &[&name[..], b"/"].concat())?;
        }
        // What a folder holds is named below it; below the root and below nothing likewise.
        let inside = if itself { [&name[..], b"/"].concat() } else { name };
        packer.folder(&node, &mut way, &inside, 0)?;
    }
    packer.tar.finish()?.flush()
}

struct Packer<'a, W> {
    root: &'a Root,
    tar: TarWriter<W>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<'_, W> {
    fn folder(
        &mut self,
        node: &Node,
        way: &mut Vec<OsString>,
        inside: &[u8],
        depth: usize,
    ) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(io::Error::other("there are too many folders within folders"));
        }
        let names = match node.names() {
            // It went while we looked.
            Err(error) if gone(&error) => return Ok(()),
            names => names?,
        };
        for name in names {
            let child = match self.root.child(node, way, &name) {
                Err(error) if gone(&error) => continue,
                child => child?,
            };
            let Some(child) = child else { continue };
            let mut path = [inside, name.as_bytes()].concat();
            if !child.is_folder() {
                self.entry(&child, &path)?;
                continue;
            }
            path.push(b'/');
            self.folder_itself(&child, &path)?;
            way.push(name);
            self.folder(&child, way, &path, depth + 1)?;
            way.pop();
        }
        Ok(())
    }

    fn folder_itself(&mut self, node: &Node, path: &[u8]) -> io::Result<()> {
        let xattrs = attributes(node);
        let out = self.out(node, path, EntryType::Directory, b"", &xattrs);
        self.tar.put(&out, &mut io::empty())
    }

    fn entry(&mut self, node: &Node, path: &[u8]) -> io::Result<()> {
        let kind = node.kind();
        if kind != FileType::Symlink && node.stat.st_nlink > 1 {
            let key = (node.stat.st_dev, node.stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                let out = self.out(node, path, EntryType::Link, first, &[]);
                return self.tar.put(&out, &mut io::empty());
            }
            self.links.insert(key, path.to_vec());
        }
        match kind {
            FileType::RegularFile => {
                let mut file = match node.open() {
                    Err(error) if gone(&error) => return Ok(()),
                    file => Filled(file?),
                };
                let xattrs = attributes(node);
                let size = u64::try_from(node.stat.st_size).unwrap_or(0);
                let out = Out { size, ..self.out(node, path, EntryType::Regular, b"", &xattrs) };
                self.tar.put(&out, &mut file)
            }
            FileType::Symlink => {
                let target = node.target()?;
                let out = self.out(node, path, EntryType::Symlink, &target, &[]);
                self.tar.put(&out, &mut io::empty())
            }
            FileType::Fifo => {
                self.tar.put(&self.out(node, path, EntryType::Fifo, b"", &[]), &mut io::empty())
            }
            FileType::CharacterDevice => self.device(node, path, EntryType::Char),
            FileType::BlockDevice => self.device(node, path, EntryType::Block),
            // A socket means nothing without the process that made it; folders are not ours to write.
            FileType::Socket | FileType::Directory | FileType::Unknown => Ok(()),
        }
    }

    fn device(&mut self, node: &Node, path: &[u8], kind: EntryType) -> io::Result<()> {
        let number = node.stat.st_rdev;
        let numbers = (rustix::fs::major(number), rustix::fs::minor(number));
        self.tar.put_device(&self.out(node, path, kind, b"", &[]), numbers)
    }

    fn out<'a>(
        &self,
        node: &Node,
        name: &'a [u8],
        kind: EntryType,
        link: &'a [u8],
        xattrs: &'a [(Vec<u8>, Vec<u8>)],
    ) -> Out<'a> {
        let stat = &node.stat;
        let mode = stat.st_mode & 0o7777;
        let (uid, gid, mtime) = (stat.st_uid, stat.st_gid, stat.st_mtime);
        Out { name, kind, link, size: 0, mode, uid, gid, mtime, xattrs }
    }
}

/// A file that somebody may shorten while it is read: what is missing reads as zeros, so that the archive stays whole.
struct Filled(std::fs::File);

impl Read for Filled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Ok(0) => {
                buffer.fill(0);
                Ok(buffer.len())
            }
            read => read,
        }
    }
}

fn gone(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOENT | Errno::STALE | Errno::NODEV | Errno::NXIO | Errno::SRCH))
}

/// The attributes that belong to a file and not to the machine: capabilities and users' own. One that goes while we look,
/// or that this file system does not have, is none.
fn attributes(node: &Node) -> Vec<(Vec<u8>, Vec<u8>)> {
    let name = node.own_name();
    let mut names = vec![0u8; ATTRIBUTE_BYTES];
    let Ok(length) = rustix::fs::listxattr(&*name, &mut names) else { return Vec::new() };
    let mut found = Vec::new();
    for key in names[..length].split(|byte| *byte == 0).filter(|key| travels(key)) {
        let mut value = vec![0u8; ATTRIBUTE_BYTES];
        if let Ok(length) = rustix::fs::getxattr(&*name, OsStr::from_bytes(key), &mut value) {
            value.truncate(length);
            found.push((key.to_vec(), value));
        }
    }
    found.sort();
    found
}

fn travels(key: &[u8]) -> bool {
    key == b"security.capability" || (key.starts_with(b"user.") && !key.starts_with(b"user.overlay."))
}
