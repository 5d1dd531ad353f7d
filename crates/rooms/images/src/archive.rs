//! An archive of images, spooled: its files on the disk under neutral names, each with its digest.
//!
//! The documents that say what a file is may come last in an archive, so everything is written down first, in one
//! pass and in bounded memory. Names of the archive are only ever keys here, never paths.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest, Mismatch, Sha256Hasher, Verifier};
use serde::de::DeserializeOwned;

use crate::apply::{LayerError, Refusal};
use crate::compression;
use crate::disk::OnPath as _;
use crate::limits::Limits;
use crate::load::{LoadError, Progress};
use crate::tape::{EntryKind, Tape};

/// A file of the archive.
#[derive(Debug, Clone)]
pub(crate) struct Spooled {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// The files of an archive by name.
pub(crate) struct Archive {
    files: HashMap<String, Spooled>,
    /// Old `docker save` writes a layer that it has written already as a link to it.
    links: HashMap<String, String>,
    json_bytes: u64,
}

impl Archive {
    /// Writes the archive's files into `work`.
    pub(crate) fn spool(
        reader: impl Read,
        work: &Path,
        limits: &Limits,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, LoadError> {
        let unreadable = |error| LoadError::Archive { source: error };
        let (_, reader) =
            compression::unpacked(reader, limits).map_err(|e| unreadable(LayerError::from_read(e)))?;
        let mut tape = Tape::new(reader, limits);
        let mut archive =
            Self { files: HashMap::new(), links: HashMap::new(), json_bytes: limits.json_bytes };
        let (mut total, mut number) = (0, 0);
        while let Some(entry) = tape.next_entry().map_err(|e| unreadable(LayerError::from_tape(e)))? {
            let refused = |why| unreadable(LayerError::Refused { entry: entry.title(), why });
            let name = plain_name(&entry.name).map_err(refused)?;
            match entry.kind {
                EntryKind::Dir => {}
                EntryKind::File if entry.extents.is_none() => {
                    let path = work.join(format!("f{number}"));
                    number += 1;
                    let spooled = spool_one(&mut tape, path)
                        .map_err(|e| unreadable(LayerError::disk(&entry.title(), e)))?;
                    total += spooled.size;
                    progress(Progress::Read { bytes: total });
                    if let Some(older) = archive.files.insert(name, spooled) {
                        fs::remove_file(&older.path).on("remove", &older.path)?;
                    }
                }
                EntryKind::Symlink | EntryKind::HardLink => {
                    let target = resolve(&name, &entry.link, entry.kind).map_err(refused)?;
                    archive.links.insert(name, target);
                }
                EntryKind::CharDevice | EntryKind::BlockDevice => return Err(refused(Refusal::Device)),
                EntryKind::File => return Err(refused(Refusal::UnknownKind(b'S'))),
                EntryKind::Fifo => return Err(refused(Refusal::UnknownKind(b'6'))),
                EntryKind::Other(kind) => return Err(refused(Refusal::UnknownKind(kind))),
            }
        }
        tape.drain().map_err(|e| unreadable(LayerError::from_read(e)))?;
        Ok(archive)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A file by name, through at most one link.
    pub(crate) fn get(&self, name: &str) -> Option<&Spooled> {
        let name = name.strip_prefix("./").unwrap_or(name);
        self.files.get(name).or_else(|| self.files.get(self.links.get(name)?))
    }

    /// A file that another one names. If its name is a digest, that must be its content's.
    pub(crate) fn wanted(&self, name: &str, by: &str) -> Result<&Spooled, LoadError> {
        let missing = || LoadError::Missing { entry: name.to_owned(), by: by.to_owned() };
        let spooled = self.get(name).ok_or_else(missing)?;
        let stem = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".json");
        match Digest::from_sha256_hex(stem) {
            Ok(want) if want != spooled.digest => {
                Err(LoadError::WrongDigest { entry: name.to_owned(), want, got: spooled.digest.clone() })
            }
            _ => Ok(spooled),
        }
    }

    /// A blob of an OCI layout.
    pub(crate) fn blob(&self, digest: &Digest, by: &str) -> Result<&Spooled, LoadError> {
        let name = format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
        let spooled = self.wanted(&name, by)?;
        if digest.algorithm() == Algorithm::Sha512 {
            let file = File::open(&spooled.path).on("open", &spooled.path)?;
            let mut verifier = Verifier::new(file, digest.clone());
            io::copy(&mut verifier, &mut io::sink()).on("read", &spooled.path)?;
            verifier.finish().map_err(|Mismatch { want, got }| LoadError::WrongDigest {
                entry: name,
                want,
                got,
            })?;
        }
        Ok(spooled)
    }

    /// A document's bytes.
    pub(crate) fn bytes(&self, name: &str, file: &Spooled) -> Result<Vec<u8>, LoadError> {
        if file.size > self.json_bytes {
            return Err(LoadError::LongDocument { entry: name.to_owned(), most: self.json_bytes });
        }
        Ok(fs::read(&file.path).on("read", &file.path)?)
    }

    /// A document.
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str, file: &Spooled) -> Result<T, LoadError> {
        let bytes = self.bytes(name, file)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| LoadError::NotADocument { entry: name.to_owned(), source })
    }
}

fn spool_one(tape: &mut impl Read, path: PathBuf) -> io::Result<Spooled> {
    let mut hasher = Sha256Hasher::new(tape);
    let mut file = File::create(&path)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = hasher.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        io::Write::write_all(&mut file, &buffer[..n])?;
    }
    let (_, digest, size) = hasher.finish();
    Ok(Spooled { path, digest, size })
}

/// An entry's name as a key: relative, without `.` and `..`.
fn plain_name(name: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(name).map_err(|_| Refusal::NoName)?;
    if text.starts_with('/') {
        return Err(Refusal::Absolute);
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") { Err(Refusal::Climbs) } else { Ok(parts.join("/")) }
}

/// What a link in the archive names: relative to its folder, or for a hard link to the archive.
fn resolve(name: &str, link: &[u8], kind: EntryKind) -> Result<String, Refusal> {
    let link = std::str::from_utf8(link).map_err(|_| Refusal::NoName)?;
    let outside = || Refusal::LinkOutside(link.chars().take(300).collect());
    if link.starts_with('/') {
        return Err(outside());
    }
    let mut parts: Vec<&str> = match (kind, name.rsplit_once('/')) {
        (EntryKind::Symlink, Some((folder, _))) => folder.split('/').collect(),
        _ => Vec::new(),
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or_else(outside)?),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}
