//! Archives that ADD unpacks: told by their first bytes, and written under the target, never beside it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Uid, XattrFlags};

use crate::error::StepFault;
use crate::tape::{self, Item, TapeError};
use crate::tree::Node;
use crate::upper::{Attributes, Upper};
use crate::users::Owner;

/// Bytes that one archive may unpack to.
const MAX_BYTES: u64 = 64 << 30;
/// Entries of one archive.
const MAX_ENTRIES: u64 = 2_000_000;

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Tar,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// The largest dictionary of an xz archive, which is held in memory: twice that of `xz -9e`.
const MAX_DICTIONARY: u64 = 128 << 20;

/// What the file is packed with, if it is a tar archive.
pub(crate) fn packing(file: &mut File) -> io::Result<Option<Packing>> {
    let mut head = [0u8; 512];
    let length = read_full(file, &mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let packing = match packing_of(&head[..length]) {
        None | Some(Packing::Tar) => return Ok(packing_of(&head[..length])),
        Some(packing) => packing,
    };
    let mut block = [0u8; 512];
    // A compressed file that is no archive is copied as it is.
    let inner = match reader(file, packing) {
        Ok(mut inner) => read_full(&mut inner, &mut block).is_ok_and(|length| is_tar(&block[..length])),
        // It is refused when it is unpacked, with the reason.
        Err(_) => packing == Packing::Xz,
    };
    file.seek(SeekFrom::Start(0))?;
    Ok(inner.then_some(packing))
}

/// What something that begins like this is packed with, or that it is a plain tar archive.
pub(crate) fn packing_of(head: &[u8]) -> Option<Packing> {
    match head {
        [b'B', b'Z', b'h', ..] => Some(Packing::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Packing::Xz),
        [0x1f, 0x8b, ..] => Some(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
        _ => head.get(..512).is_some_and(is_tar).then_some(Packing::Tar),
    }
}

/// Unpacks what is packed like this.
pub(crate) fn unpacked<'r>(
    mut buffered: impl io::BufRead + 'r,
    packing: Packing,
) -> io::Result<Box<dyn Read + 'r>> {
    Ok(match packing {
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
        Packing::Bzip2 => Box::new(bzip2_rs::DecoderReader::new(buffered)),
        Packing::Xz => {
            let dictionary = dictionary(buffered.fill_buf()?);
            if dictionary.is_none_or(|bytes| bytes > MAX_DICTIONARY) {
                let why =
                    "its xz dictionary is larger than 128 MiB, or it is packed in a way that xz rarely uses";
                return Err(io::Error::other(why));
            }
            Box::new(lzma_rust2::XzReader::new(buffered, true))
        }
        Packing::Zstd => Box::new(zstd::Decoder::with_buffer(buffered)?),
        Packing::Tar => Box::new(buffered),
    })
}

/// The size of the dictionary of an xz archive's first block, if its last filter is LZMA2.
fn dictionary(head: &[u8]) -> Option<u64> {
    // Twelve bytes of stream header, then the block's: its size, flags, perhaps two sizes, and its filters.
    let flags = *head.get(13)?;
    let mut at = 14;
    let mut number = || {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = *head.get(at)?;
            at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
            shift += 7;
        }
    };
    for flag in [0x40, 0x80] {
        if flags & flag != 0 {
            number()?;
        }
    }
    for _ in 0..flags & 3 {
        // A filter in front of the last, with its properties; those of the known ones are at most four bytes.
        number()?;
        for _ in 0..number()? {
            number()?;
        }
    }
    let (filter, properties) = (number()?, number()?);
    let bits = number()?;
    if filter != 0x21 || properties != 1 || bits > 40 {
        return None;
    }
    Some(if bits == 40 { u32::MAX.into() } else { (2 | (bits & 1)) << (bits / 2 + 11) })
}

fn reader(file: &File, packing: Packing) -> io::Result<Box<dyn Read + '_>> {
    unpacked(BufReader::with_capacity(64 << 10, file), packing)
}

fn read_full(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match from.read(&mut into[length..])? {
            0 => break,
            got => length += got,
        }
    }
    Ok(length)
}

/// Whether this is the first block of a tar archive: its checksum fits.
fn is_tar(block: &[u8]) -> bool {
    let Ok(block) = <&[u8; 512]>::try_from(block) else { return false };
    let header = tar::Header::from_byte_slice(block);
    let sum = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    block[0] != 0 && header.cksum().is_ok_and(|written| written == sum)
}

/// Unpacks an archive below `target`.
pub(crate) fn unpack(
    file: &File,
    packing: Packing,
    upper: &Upper,
    target: &Path,
    owner: Option<Owner>,
) -> Result<(), Reason> {
    let reader =
        reader(file, packing).map_err(|error| Reason::Refused(format!("it is not whole ({error})")))?;
    let (mut entries, mut bytes) = (0u64, 0u64);
    let unpacking = Unpacking { upper, target, owner };
    let read = tape::each(reader, |item, content| {
        entries += 1;
        bytes = bytes.saturating_add(item.size);
        if entries > MAX_ENTRIES || bytes > MAX_BYTES {
            return Err(Reason::Refused("it unpacks to more than 64 GiB or two million files".into()));
        }
        unpacking.one(item, content)
    });
    read.map_err(|error| match error {
        TapeError::Broken(error) => Reason::Refused(format!("it is not whole ({error})")),
        TapeError::Refused { name, why } => refused(&name, why),
        TapeError::Taker(reason) => reason,
    })
}

/// Why an archive is not unpacked.
pub(crate) enum Reason {
    Refused(String),
    Fault(StepFault),
}

impl<E: Into<StepFault>> From<E> for Reason {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

struct Unpacking<'a> {
    upper: &'a Upper,
    target: &'a Path,
    owner: Option<Owner>,
}

impl Unpacking<'_> {
    fn one(&self, item: &Item, content: &mut dyn Read) -> Result<(), Reason> {
        let name = String::from_utf8_lossy(&item.path).into_owned();
        let path = inside(&item.path).map_err(|why| refused(&name, why))?;
        let owner = self.owner.unwrap_or(Owner { uid: item.uid, gid: item.gid });
        let like = Attributes { owner, mode: item.mode, mtime_secs: item.mtime_secs };
        let place = self.target.join(&path);
        if item.kind.is_dir() {
            let (folder, _) = self.upper.folder(&place, Owner::default())?;
            return Ok(like.set(&folder).map_err(|error| put(&place, error))?);
        }
        if path.as_os_str().is_empty() {
            return Err(refused(&name, "it has no name"));
        }
        let parent = place.parent().unwrap_or(self.target);
        let (folder, real) = self.upper.folder(parent, Owner::default())?;
        let place = real.join(place.file_name().unwrap_or_default());
        match (item.kind, &item.link) {
            (tar::EntryType::Regular | tar::EntryType::Continuous, _) => {
                let mut content = content;
                self.upper.put_bytes(&mut content, &folder, &place, &like)?;
                set_attributes(&folder, &place, &item.attributes).map_err(|error| put(&place, error).into())
            }
            (tar::EntryType::Symlink, Some(to)) => {
                self.symlink(OsStr::from_bytes(to), &folder, &place, &like)
            }
            (tar::EntryType::Link, Some(to)) => {
                let to = inside(to).map_err(|why| refused(&name, why))?;
                self.hard_link(&self.target.join(to), &folder, &place).map_err(|fault| match fault {
                    Reason::Refused(why) => refused(&name, &why),
                    fault @ Reason::Fault(_) => fault,
                })
            }
            (_, _) => Err(refused(&name, "it is neither a file, a folder nor a link")),
        }
    }

    fn symlink(&self, to: &OsStr, folder: &OwnedFd, place: &Path, like: &Attributes) -> Result<(), Reason> {
        let name = place.file_name().unwrap_or_default();
        self.upper.refuse_whiteout(name, place)?;
        self.upper.clear(folder, name, place)?;
        let (uid, gid) = (Uid::from_raw(like.owner.uid), Gid::from_raw(like.owner.gid));
        rustix::fs::symlinkat(to, folder, name)
            .and_then(|()| rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|error| put(place, error.into()).into())
    }

    /// A second name of a file that came before; of one of a lower layer it is a copy.
    fn hard_link(&self, to: &Path, folder: &OwnedFd, place: &Path) -> Result<(), Reason> {
        let name = place.file_name().unwrap_or_default();
        self.upper.refuse_whiteout(name, place)?;
        let found = self.upper.tree.find(to, false).map_err(|error| put(place, error))?;
        let Some(node @ Node::Other(..)) = found.node else {
            return Err(Reason::Refused("it links to a file that is not there".into()));
        };
        self.upper.clear(folder, name, place)?;
        // Only a file of this very layer may get a second name: a layer below must never be written through one.
        let (above, _) = self.upper.folder(found.path.parent().unwrap_or(Path::new("")), Owner::default())?;
        let last = found.path.file_name().unwrap_or_default();
        match rustix::fs::linkat(&above, last, folder, name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::NOENT) => {
                Ok(self.upper.put(&node, folder, place, crate::upper::How::default())?)
            }
            Err(error) => Err(put(place, error.into()).into()),
        }
    }
}

fn refused(name: &str, why: &str) -> Reason {
    Reason::Refused(format!("the entry `{name}` is refused, because {why}"))
}

fn put(path: &Path, error: io::Error) -> StepFault {
    StepFault::Put(format!("could not write `/{}`", path.display()), Some(error))
}

/// The path of an entry below the target; a slash in front is no matter, as for docker.
fn inside(bytes: &[u8]) -> Result<PathBuf, &'static str> {
    if bytes.contains(&0) {
        return Err("its name holds a zero byte");
    }
    let path = Path::new(OsStr::from_bytes(bytes));
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err("its name climbs out of the target"),
        }
    }
    Ok(clean)
}

fn set_attributes(folder: &OwnedFd, place: &Path, attributes: &[(String, Vec<u8>)]) -> io::Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
    let name = place.file_name().unwrap_or_default();
    let file = rustix::fs::openat(folder, name, flags, rustix::fs::Mode::empty())?;
    for (name, value) in attributes {
        rustix::fs::fsetxattr(&file, name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}
