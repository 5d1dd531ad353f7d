//! The files of an image, layer upon layer, in the order in which they travel.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use build::tree::{Folder, Node, Tree, kind};
use rustix::fs::{FileType, Stat};
use tar::{EntryType, Header};

use crate::grpc::Status;

/// Opens the layers, the topmost first.
pub(crate) fn open(layers: &[PathBuf]) -> Result<Tree, Status> {
    Tree::open(layers).map_err(|error| Status::failed(format!("the image's files cannot be read: {error}")))
}

/// A walk through a tree: folders before what they hold, names in order.
pub(crate) struct Walk {
    /// The folders that are open, with the names in them that are still to come, the next one last.
    open: Vec<(PathBuf, Folder, Vec<OsString>)>,
}

impl Walk {
    pub(crate) fn new(tree: &Tree) -> io::Result<Self> {
        let mut walk = Self { open: Vec::new() };
        if let Some(Node::Folder(root, _)) = tree.find(Path::new(""), false)?.node {
            walk.enter(PathBuf::new(), root)?;
        }
        Ok(walk)
    }

    fn enter(&mut self, path: PathBuf, folder: Folder) -> io::Result<()> {
        let mut names = folder.names()?;
        names.reverse();
        self.open.push((path, folder, names));
        Ok(())
    }

    /// What comes next, with its path below the root.
    pub(crate) fn next(&mut self) -> io::Result<Option<(PathBuf, Node)>> {
        while let Some((path, folder, names)) = self.open.last_mut() {
            let Some(name) = names.pop() else {
                self.open.pop();
                continue;
            };
            let path = path.join(&name);
            let Some(node) = folder.get(&name)? else { continue };
            if let Node::Folder(inner, _) = &node {
                let inner = inner.clone();
                self.enter(path.clone(), inner)?;
            }
            return Ok(Some((path, node)));
        }
        Ok(None)
    }
}

/// Writes the tree as a tar archive.
pub(crate) fn archive(tree: &Tree, writer: &mut impl Write) -> Result<(), Status> {
    let fail = |error: io::Error| Status::failed(format!("the archive cannot be sent: {error}"));
    let mut tar = tar::Builder::new(writer);
    let mut walk = Walk::new(tree).map_err(fail)?;
    let mut seen = Links::default();
    while let Some((path, node)) = walk.next().map_err(fail)? {
        entry(&mut tar, &mut seen, &path, &node).map_err(fail)?;
    }
    tar.finish().map_err(fail)
}

fn entry(tar: &mut tar::Builder<impl Write>, seen: &mut Links, path: &Path, node: &Node) -> io::Result<()> {
    let stat = node.stat();
    let mut header = Header::new_gnu();
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    let special = match kind(stat) {
        FileType::Directory => EntryType::Directory,
        FileType::CharacterDevice => EntryType::Char,
        FileType::BlockDevice => EntryType::Block,
        FileType::Fifo => EntryType::Fifo,
        FileType::Symlink => {
            header.set_entry_type(EntryType::Symlink);
            let Node::Link(target, _) = node else { return Ok(()) };
            return tar.append_link(&mut header, path, target);
        }
        FileType::RegularFile => {
            if let Some(first) = seen.earlier(stat, path) {
                header.set_entry_type(EntryType::Link);
                return tar.append_link(&mut header, path, first);
            }
            header.set_entry_type(EntryType::Regular);
            header.set_size(u64::try_from(stat.st_size).unwrap_or(0));
            return tar.append_data(&mut header, path, node.open()?);
        }
        // Sockets mean nothing elsewhere.
        FileType::Socket | FileType::Unknown => return Ok(()),
    };
    header.set_entry_type(special);
    if matches!(special, EntryType::Char | EntryType::Block) {
        header.set_device_major(rustix::fs::major(stat.st_rdev))?;
        header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
    }
    tar.append_data(&mut header, path, io::empty())
}

/// Files with several names.
#[derive(Debug, Default)]
pub(crate) struct Links(std::collections::HashMap<(u64, u64), PathBuf>);

impl Links {
    /// The first path of the same file, if this is not it.
    pub(crate) fn earlier(&mut self, stat: &Stat, path: &Path) -> Option<PathBuf> {
        if stat.st_nlink < 2 {
            return None;
        }
        match self.0.entry((stat.st_dev, stat.st_ino)) {
            std::collections::hash_map::Entry::Occupied(first) => Some(first.get().clone()),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(path.to_owned());
                None
            }
        }
    }
}
