//! Reading tar archives entry by entry, with bounds on everything that is held in memory.
//!
//! The library hands out raw entries; long names and extended headers are read here, up to a bound, so that no
//! archive can make us hold more than a few of them.

use std::cell::Cell;
use std::io::{self, Read};

use tar::EntryType;

/// Bytes of one entry's long name or extended headers.
const MAX_HEADER: u64 = 1 << 20;
/// What archives are made of.
const BLOCK: u64 = 512;

/// An entry without its content.
pub(crate) struct Item {
    /// Its name as it stands in the archive.
    pub path: Vec<u8>,
    /// What it links to.
    pub link: Option<Vec<u8>>,
    pub kind: EntryType,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime_secs: i64,
    pub size: u64,
    /// Extended attributes.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// Why reading ended early.
#[derive(Debug)]
pub(crate) enum TapeError<E> {
    /// The archive is broken or ends too soon.
    Broken(io::Error),
    /// An entry that is never taken.
    Refused { name: String, why: &'static str },
    /// Whoever takes the entries did not take this one.
    Taker(E),
}

/// What stands in front of an entry and speaks of it.
#[derive(Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    attributes: Vec<(String, Vec<u8>)>,
    size: Option<u64>,
    mtime_secs: Option<i64>,
    uid: Option<u32>,
    gid: Option<u32>,
}

/// Hands every entry with its content to `take`.
pub(crate) fn each<E>(
    reader: impl Read,
    mut take: impl FnMut(&Item, &mut dyn Read) -> Result<(), E>,
) -> Result<(), TapeError<E>> {
    let arrived = Cell::new(0);
    let mut archive = tar::Archive::new(Counted { reader, arrived: &arrived });
    let mut ahead = Ahead::default();
    // Where the content of the last entry ends.
    let mut end = u64::MAX;
    for entry in archive.entries().map_err(TapeError::Broken)?.raw(true) {
        let mut entry = match entry {
            // Some writers leave out the zeros after the last entry, and what fills up its last block.
            Err(_)
                if end < u64::MAX && arrived.get() >= end && arrived.get() < end.next_multiple_of(BLOCK) =>
            {
                return Ok(());
            }
            entry => entry.map_err(TapeError::Broken)?,
        };
        let header = entry.header().clone();
        let kind = header.entry_type();
        let size = header.entry_size().map_err(TapeError::Broken)?;
        end = entry.raw_file_position().saturating_add(size);
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let refuse = |why| Err(TapeError::Refused { name: name.clone(), why });
        if kind.is_gnu_longname() || kind.is_gnu_longlink() || is_extended(kind) {
            if size > MAX_HEADER {
                return refuse("its headers are longer than 1 MiB");
            }
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(TapeError::Broken)?;
            match kind {
                EntryType::GNULongName => ahead.path = Some(until_zero(text)),
                EntryType::GNULongLink => ahead.link = Some(until_zero(text)),
                EntryType::XHeader if !ahead.read(&text) => {
                    return refuse("its extended headers make no sense");
                }
                // Headers for all entries hold nothing that we use.
                _ => {}
            }
            continue;
        }
        let said = std::mem::take(&mut ahead);
        if kind == EntryType::GNUSparse || said.size.is_some_and(|other| other != size) {
            return refuse("it is a sparse file, or larger than 8 GiB; write it another way");
        }
        let item = item(&header, &entry, said, size);
        take(&item, &mut entry).map_err(TapeError::Taker)?;
    }
    Ok(())
}

/// Counts what has arrived.
struct Counted<'a, R> {
    reader: R,
    arrived: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.arrived.set(self.arrived.get() + read as u64);
        Ok(read)
    }
}

fn item<R: Read>(header: &tar::Header, entry: &tar::Entry<'_, R>, said: Ahead, size: u64) -> Item {
    let number = |read: io::Result<u64>| read.ok().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    let mtime_secs = header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
    Item {
        path: said.path.unwrap_or_else(|| header.path_bytes().into_owned()),
        link: said.link.or_else(|| entry.header().link_name_bytes().map(std::borrow::Cow::into_owned)),
        kind: header.entry_type(),
        mode: header.mode().unwrap_or(0o644) & 0o7777,
        uid: said.uid.unwrap_or_else(|| number(header.uid())),
        gid: said.gid.unwrap_or_else(|| number(header.gid())),
        mtime_secs: said.mtime_secs.unwrap_or(mtime_secs),
        size,
        attributes: said.attributes,
    }
}

fn is_extended(kind: EntryType) -> bool {
    kind.is_pax_global_extensions() || kind.is_pax_local_extensions()
}

fn until_zero(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}

impl Ahead {
    /// Reads `length key=value\n` records; false if they are none.
    fn read(&mut self, mut text: &[u8]) -> bool {
        while !text.is_empty() {
            let Some((record, rest)) = record(text) else { return false };
            text = rest;
            let Some(equals) = record.iter().position(|byte| *byte == b'=') else { return false };
            let (key, value) = (String::from_utf8_lossy(&record[..equals]), &record[equals + 1..]);
            let number = || {
                std::str::from_utf8(value).ok().and_then(|text| text.split('.').next()?.parse::<i64>().ok())
            };
            let id = || number().and_then(|number| u32::try_from(number).ok());
            match &*key {
                "path" => self.path = Some(value.to_vec()),
                "linkpath" => self.link = Some(value.to_vec()),
                "size" => self.size = number().and_then(|number| u64::try_from(number).ok()),
                "mtime" => self.mtime_secs = number(),
                "uid" => self.uid = id(),
                "gid" => self.gid = id(),
                other => {
                    // Other attributes belong to the machine that wrote the archive.
                    let name = other.strip_prefix("SCHILY.xattr.");
                    if let Some(name) =
                        name.filter(|name| *name == "security.capability" || name.starts_with("user."))
                    {
                        self.attributes.push((name.to_owned(), value.to_vec()));
                    }
                }
            }
        }
        true
    }
}

/// The first record without its length and its end, and what follows it.
fn record(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = text.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&text[..blank]).ok()?.parse().ok()?;
    let record = text.get(blank + 1..length)?.strip_suffix(b"\n")?;
    Some((record, &text[length..]))
}

#[cfg(test)]
mod tests;
