//! All files of an image as one archive, as `--output type=tar` and `type=local` ask for.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base::{Kind, Problem};
use images::Image;
use rustix::fs::{FileType, major, minor};

use crate::tree::{Folder, Node, Tree, kind};
use crate::upper::{MAX_DEPTH, attributes};

/// Why an image's files were not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file of the image cannot be read.
    #[error("could not read `/{}` of the image", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody takes the archive.
    #[error("could not write `/{}` to the archive", path.display())]
    Write {
        /// What was being written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Problem for ExportError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } => Kind::Internal,
            Self::Write { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        None
    }
}

/// Writes all files of the image as a tar archive. Names are sorted, so the same files give the same bytes.
pub fn export_files(image: &Image, out: &mut dyn Write) -> Result<(), ExportError> {
    let read = |path: &Path, source| ExportError::Read { path: path.to_owned(), source };
    let tree = Tree::open(&image.lower).map_err(|error| read(Path::new(""), error))?;
    let root = tree.find(Path::new(""), false).map_err(|error| read(Path::new(""), error))?.node;
    let mut export = Export { tar: tar::Builder::new(out), links: HashMap::new() };
    if let Some(Node::Folder(root, _)) = root {
        export.folder(&root, Path::new(""))?;
    }
    let done = export.tar.into_inner().and_then(|out| out.flush());
    done.map_err(|source| ExportError::Write { path: PathBuf::new(), source })
}

struct Export<W: Write> {
    tar: tar::Builder<W>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Export<W> {
    fn folder(&mut self, folder: &Folder, below: &Path) -> Result<(), ExportError> {
        let read = |path: &Path, source| ExportError::Read { path: path.to_owned(), source };
        if below.iter().count() > MAX_DEPTH {
            return Err(read(below, io::Error::other("it is more than 512 folders deep")));
        }
        for name in folder.names().map_err(|error| read(below, error))? {
            let path = below.join(&name);
            let Some(node) = folder.get(&name).map_err(|error| read(&path, error))? else { continue };
            self.node(&node, &path)?;
            if let Node::Folder(inner, _) = &node {
                self.folder(inner, &path)?;
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, path: &Path) -> Result<(), ExportError> {
        let read = |source| ExportError::Read { path: path.to_owned(), source };
        let write = |source| ExportError::Write { path: path.to_owned(), source };
        let stat = node.stat();
        let mut header = tar::Header::new_gnu();
        header.set_mode(stat.st_mode & 0o7777);
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        header.set_uid(stat.st_uid.into());
        header.set_gid(stat.st_gid.into());
        header.set_size(0);
        let plain = |header: &mut tar::Header, kind| header.set_entry_type(kind);
        match (node, kind(stat)) {
            (Node::Folder(..), _) => {
                plain(&mut header, tar::EntryType::Directory);
                self.tar.append_data(&mut header, path, io::empty()).map_err(write)
            }
            (Node::Link(target, _), _) => {
                plain(&mut header, tar::EntryType::Symlink);
                self.tar.append_link(&mut header, path, target).map_err(write)
            }
            (Node::Other(..), FileType::RegularFile) => {
                let key = (stat.st_dev, stat.st_ino);
                if stat.st_nlink > 1 {
                    if let Some(first) = self.links.get(&key) {
                        plain(&mut header, tar::EntryType::Link);
                        return self.tar.append_link(&mut header, path, first).map_err(write);
                    }
                    self.links.insert(key, path.to_owned());
                }
                let file = node.open().map_err(read)?;
                let kept = attributes(&file).map_err(read)?;
                if !kept.is_empty() {
                    let named: Vec<(String, Vec<u8>)> = kept
                        .into_iter()
                        .map(|(name, value)| (format!("SCHILY.xattr.{name}"), value))
                        .collect();
                    let records = named.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
                    self.tar.append_pax_extensions(records).map_err(write)?;
                }
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                header.set_size(size);
                self.tar.append_data(&mut header, path, file.take(size)).map_err(write)
            }
            (Node::Other(..), kind) => {
                let entry = match kind {
                    FileType::Fifo => tar::EntryType::Fifo,
                    FileType::CharacterDevice => tar::EntryType::Char,
                    FileType::BlockDevice => tar::EntryType::Block,
                    // A socket means nothing without the process that made it.
                    _ => return Ok(()),
                };
                plain(&mut header, entry);
                let _ = header.set_device_major(major(stat.st_rdev));
                let _ = header.set_device_minor(minor(stat.st_rdev));
                debug_assert!(!path.as_os_str().as_bytes().is_empty(), "the root is a folder");
                self.tar.append_data(&mut header, path, io::empty()).map_err(write)
            }
        }
    }
}
