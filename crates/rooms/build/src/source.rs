//! The files that COPY and ADD mean: patterns to paths, and paths to a digest of all that counts.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base::path::clean;
use oci::{Digest, Sha256Hasher};
use rustix::fs::FileType;

use crate::error::StepFault;
use crate::glob::{Dialect, Glob};
use crate::tree::{Folder, Node, Tree, kind};
use crate::upper::{How, MAX_DEPTH, attributes, included};

/// Paths that one pattern may mean; more is refused.
const MAX_MATCHES: usize = 100_000;

/// The paths that a source means, relative to the tree; a pattern may mean none, a plain path must be there.
pub(crate) fn resolve(tree: &Tree, source: &str, place: &str) -> Result<Vec<PathBuf>, StepFault> {
    let path = clean(&format!("/{source}"));
    let path = path.trim_start_matches('/');
    let read =
        |error: io::Error| StepFault::Put(format!("could not read `{source}` in {place}"), Some(error));
    if !Glob::is_pattern(path) {
        let missing = || StepFault::NoSource { path: source.to_owned(), place: place.to_owned() };
        return match tree.find(Path::new(path), true) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(missing()),
            found => match found.map_err(read)?.node {
                Some(_) => Ok(vec![PathBuf::from(path)]),
                None => Err(missing()),
            },
        };
    }
    let mut found = vec![PathBuf::new()];
    for part in path.split('/') {
        let wrong = |_| StepFault::Value {
            value: source.to_owned(),
            what: "a pattern",
            allowed: "*, ? and [a-z]; `[` needs its `]`, and `\\` a character behind it",
        };
        let glob = Glob::new(part, Dialect::Go).map_err(wrong)?;
        let mut next = Vec::new();
        for path in found {
            let Some(Node::Folder(folder, _)) = look(tree, &path).map_err(read)? else { continue };
            let names = folder.names().map_err(read)?;
            let matching = names.iter().filter(|name| glob.matches(&name.to_string_lossy()));
            next.extend(matching.map(|name| path.join(name)));
            if next.len() > MAX_MATCHES {
                let allowed = "a pattern that means at most 100000 files";
                return Err(StepFault::Value { value: source.to_owned(), what: "a pattern here", allowed });
            }
        }
        found = next;
    }
    // A link to nowhere matches by name, but there is nothing to copy.
    found.retain(|path| look(tree, path).is_ok_and(|node| node.is_some()));
    Ok(found)
}

/// The paths that a source means with `--parents`, each cut behind the pivot `/./`: what is behind the cut is kept.
///
/// Behind the pivot, or everywhere where there is none, `**` stands for any folders.
pub(crate) fn resolve_parents(
    tree: &Tree,
    source: &str,
    place: &str,
) -> Result<Vec<(PathBuf, PathBuf)>, StepFault> {
    let (above, below) = source.split_once("/./").unwrap_or(("", source));
    let bases = if above.is_empty() { vec![PathBuf::new()] } else { resolve(tree, above, place)? };
    let pattern = clean(&format!("/{below}"));
    let pattern = pattern.trim_start_matches('/');
    let mut found = Vec::new();
    if !Glob::is_pattern(pattern) {
        for base in bases {
            let path = base.join(pattern);
            match look(tree, &path) {
                Ok(Some(_)) => found.push((base, PathBuf::from(pattern))),
                // With a pattern in front, one that has no such path is passed over.
                _ if Glob::is_pattern(above) => {}
                _ => {
                    return Err(StepFault::NoSource { path: source.to_owned(), place: place.to_owned() });
                }
            }
        }
        return Ok(found);
    }
    let glob = Glob::new(pattern, Dialect::Ignore).map_err(|_| StepFault::Value {
        value: source.to_owned(),
        what: "a pattern",
        allowed: "*, **, ? and [a-z]; `[` needs its `]`, and `\\` a character behind it",
    })?;
    let read =
        |error: io::Error| StepFault::Put(format!("could not read `{source}` in {place}"), Some(error));
    for base in bases {
        if let Some(Node::Folder(folder, _)) = look(tree, &base).map_err(read)? {
            walk(&folder, Path::new(""), &glob, &mut |path| found.push((base.clone(), path)))
                .map_err(read)?;
        }
        if found.len() > MAX_MATCHES {
            let allowed = "a pattern that means at most 100000 files";
            return Err(StepFault::Value { value: source.to_owned(), what: "a pattern here", allowed });
        }
    }
    Ok(found)
}

/// Finds what matches; what is below a match comes along with it.
fn walk(folder: &Folder, below: &Path, glob: &Glob, found: &mut dyn FnMut(PathBuf)) -> io::Result<()> {
    if below.iter().count() > MAX_DEPTH {
        return Err(io::Error::other("it is more than 512 folders deep"));
    }
    for name in folder.names()? {
        let path = below.join(&name);
        if glob.matches(&path.to_string_lossy()) {
            found(path);
        } else if let Some(Node::Folder(inner, _)) = folder.get(&name)? {
            walk(&inner, &path, glob, found)?;
        }
    }
    Ok(())
}

fn look(tree: &Tree, path: &Path) -> io::Result<Option<Node>> {
    match tree.find(path, true) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        found => Ok(found?.node),
    }
}

/// Hashes what a copy of the node would make: names, kinds, permissions, owners, content; not times.
pub(crate) fn digest(node: &Node, how: How<'_>) -> io::Result<Digest> {
    let mut hasher = Sha256Hasher::new(io::sink());
    hash(node, Path::new(""), how, &mut hasher)?;
    Ok(hasher.finish().1)
}

fn hash(node: &Node, path: &Path, how: How<'_>, to: &mut Sha256Hasher<io::Sink>) -> io::Result<()> {
    let stat = node.stat();
    let owner = how.owner.map_or((stat.st_uid, stat.st_gid), |owner| (owner.uid, owner.gid));
    let mode = how.mode_of(stat);
    let name = path.as_os_str().as_bytes();
    write!(to, "{} {:?} {mode:o} {} {}\n{}:", name.len(), kind(stat), owner.0, owner.1, name.len())?;
    to.write_all(name)?;
    match node {
        Node::Folder(folder, _) => hash_folder(folder, path, how, to),
        Node::Link(target, _) => {
            write!(to, "{}:", target.len())?;
            to.write_all(target.as_bytes())
        }
        Node::Other(..) if kind(stat) == FileType::RegularFile => {
            let mut file = node.open()?;
            for (name, value) in attributes(&file)? {
                write!(to, "{name}={}:", value.len())?;
                to.write_all(&value)?;
            }
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            write!(to, "{size}:")?;
            io::copy(&mut (&mut file).take(size), to)?;
            Ok(())
        }
        Node::Other(..) => Ok(()),
    }
}

fn hash_folder(
    folder: &Folder,
    path: &Path,
    how: How<'_>,
    to: &mut Sha256Hasher<io::Sink>,
) -> io::Result<()> {
    if path.iter().count() > MAX_DEPTH {
        return Err(io::Error::other("it is more than 512 folders deep"));
    }
    for name in folder.names()? {
        let inside = path.join(&name);
        let Some(node) = folder.get(&name)? else { continue };
        if included(&node, &inside, how.exclude)? {
            hash(&node, &inside, how, to)?;
        }
    }
    to.write_all(b"end of folder")
}
