//! The files of an image, layer upon layer, in the order in which they travel.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use build::tree::{Folder, Node, Tree};
use rustix::fs::Stat;

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
