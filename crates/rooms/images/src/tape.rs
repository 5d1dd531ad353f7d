//! A tar stream as entries, in bounded memory: ustar, GNU long names and sparse files, PAX.
//!
//! Field parsing is the `tar` crate's. The walk is ours, because that crate reads long names and PAX records of any
//! length into memory, and does not know the sparse files of PAX.

mod number;
mod pax;
mod sparse;

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};

use rustix::fs::{Timespec, Timestamps};
use tar::Header;

pub use sparse::Extent;

use crate::limits::Limits;

const BLOCK: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// Another name of a file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A folder.
    Dir,
    /// A pipe.
    Fifo,
    /// What no file system has, by the letter that stands for it.
    Other(u8),
}

/// One entry; its content is read from the [`Tape`] next.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name, as the archive has it.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// The target of a link.
    pub link: Vec<u8>,
    /// Bytes of the file, holes included.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When it was changed, in seconds since 1970.
    pub mtime_secs: i64,
    /// And so many nanoseconds.
    pub mtime_nanos: u32,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the stored bytes belong, if the file has holes.
    pub extents: Option<Vec<Extent>>,
}

impl Entry {
    /// The name for people.
    pub fn title(&self) -> String {
        title(&self.name)
    }

    /// Writes its content into a new file, with the holes that it has.
    pub fn fill(&self, file: &mut File, content: &mut impl Read, buffer: &mut [u8]) -> io::Result<()> {
        let Some(extents) = &self.extents else { return copy(content, file, buffer) };
        for extent in extents {
            file.seek(SeekFrom::Start(extent.offset))?;
            copy(&mut content.take(extent.len), file, buffer)?;
        }
        file.set_len(self.size)
    }

    /// When its file was changed, as files are told.
    pub fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.mtime_secs, tv_nsec: self.mtime_nanos.into() };
        Timestamps { last_access: time, last_modification: time }
    }
}

fn copy(from: &mut impl Read, to: &mut File, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A name for people, not longer than a line or two.
pub(crate) fn title(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(300).flat_map(char::escape_default).collect()
}

/// Why a stream is not a tar that we read.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is damaged.
    #[error("{what}")]
    Damaged {
        /// The last entry that was whole, or the one that is not.
        entry: String,
        /// What is wrong.
        what: &'static str,
    },
    /// It is larger than its bounds.
    #[error("it has more than {0} entries")]
    TooMany(u64),
}

/// Reads a tar stream.
pub struct Tape<R> {
    inner: R,
    /// Stored bytes of this entry that were not read yet, and the padding behind them.
    left: u64,
    padding: u64,
    seen: u64,
    max_entries: u64,
    max_header: u64,
    last: String,
}

impl<R: Read> Tape<R> {
    /// A stream that begins here.
    pub fn new(inner: R, limits: &Limits) -> Self {
        Self {
            inner,
            left: 0,
            padding: 0,
            seen: 0,
            max_entries: limits.entries,
            max_header: limits.header_bytes,
            last: String::new(),
        }
    }

    /// The next entry; none at the end of the archive. Skips what was not read of the one before.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TapeError> {
        let mut extended = pax::Extended::default();
        loop {
            self.skip(self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else { return Ok(None) };
            self.seen += 1;
            if self.seen > self.max_entries {
                return Err(TapeError::TooMany(self.max_entries));
            }
            let stored = header.entry_size().map_err(|_| self.damaged("its size is not a number"))?;
            match header.entry_type().as_byte() {
                b'L' => extended.name = Some(self.long_name(stored)?),
                b'K' => extended.link = Some(self.long_name(stored)?),
                b'x' => {
                    let records = self.extension(stored)?;
                    extended.read(&records).map_err(|what| self.damaged(what))?;
                }
                // Defaults for a whole archive: nothing that an image needs is ever there.
                b'g' => drop(self.extension(stored)?),
                _ => return self.finish(&header, stored, extended).map(Some),
            }
        }
    }

    /// Reads the whole rest of the stream, so that a hash around it covers every byte.
    pub fn drain(&mut self) -> io::Result<()> {
        io::copy(&mut self.inner, &mut io::sink()).map(drop)
    }

    fn finish(&mut self, header: &Header, stored: u64, extended: pax::Extended) -> Result<Entry, TapeError> {
        let name = extended.name.unwrap_or_else(|| header.path_bytes().into_owned());
        self.last = title(&name);
        let stored = extended.size.unwrap_or(stored);
        let number = |value: Option<u64>, field: io::Result<u64>, what| match value {
            Some(value) => Ok(value),
            None => field.map_err(|_| self.damaged(what)),
        };
        let id = |value: u64| u32::try_from(value).map_err(|_| self.damaged("its owner is out of range"));
        let uid = id(number(extended.uid, header.uid(), "its owner is not a number")?)?;
        let gid = id(number(extended.gid, header.gid(), "its group is not a number")?)?;
        let mode = header.mode().map_err(|_| self.damaged("its mode is not a number"))?;
        let (mtime_secs, mtime_nanos) = match extended.mtime {
            Some(mtime) => mtime,
            // Old archivers leave the field empty, and base-256 may be negative.
            None => (number::signed(&header.as_old().mtime).unwrap_or(0), 0),
        };
        let mut entry = Entry {
            kind: kind(header, &name),
            link: extended
                .link
                .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
                .unwrap_or_default(),
            name,
            size: stored,
            mode: mode & 0o7777,
            device: device(header),
            uid,
            gid,
            mtime_secs,
            mtime_nanos,
            xattrs: extended.xattrs,
            extents: None,
        };
        let has_content = matches!(entry.kind, EntryKind::File | EntryKind::Other(_));
        // Links and folders may carry a size that means nothing; no bytes follow them.
        self.left = if has_content { stored } else { 0 };
        self.padding = padding(self.left);
        if !has_content {
            entry.size = 0;
        }
        self.read_holes(header, &mut entry, extended.sparse)?;
        Ok(entry)
    }

    /// Finds out where the stored bytes of a file with holes belong.
    fn read_holes(&mut self, header: &Header, entry: &mut Entry, pax: pax::Sparse) -> Result<(), TapeError> {
        let extents = if header.entry_type().is_gnu_sparse() {
            let (extents, size) = self.old_gnu_map(header)?;
            entry.size = size;
            extents
        } else if pax.is_1_0 {
            let extents = self.pax_map()?;
            entry.size = pax.real_size.ok_or_else(|| self.damaged("a sparse file without its real size"))?;
            extents
        } else if let Some(extents) = pax.map {
            entry.size = pax.real_size.ok_or_else(|| self.damaged("a sparse file without its real size"))?;
            extents
        } else {
            return Ok(());
        };
        if let Some(name) = pax.name {
            entry.name = name;
        }
        let extents: Vec<Extent> = extents.into_iter().filter(|extent| extent.len > 0).collect();
        if !sparse::fits(&extents, self.left, entry.size) {
            return Err(self.damaged("its map of holes contradicts its size"));
        }
        entry.extents = Some(extents);
        Ok(())
    }

    fn header(&mut self) -> Result<Option<Header>, TapeError> {
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            return Ok(None);
        }
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte)).sum();
        match header.cksum() {
            Ok(stored) if stored == sum + 8 * u32::from(b' ') => Ok(Some(header)),
            _ => Err(self.damaged("the header behind it has a wrong checksum")),
        }
    }

    /// One block; false where the stream ends before it.
    fn block(&mut self, into: &mut [u8; BLOCK]) -> Result<bool, TapeError> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut into[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(self.damaged("the archive ends within the header behind it")),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), TapeError> {
        let skipped = io::copy(&mut (&mut self.inner).take(bytes), &mut io::sink())?;
        if skipped < bytes { Err(self.damaged("the archive ends within it")) } else { Ok(()) }
    }

    /// The content of an extended header, whole.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TapeError> {
        if size > self.max_header {
            return Err(self.damaged("the extended header behind it is too long"));
        }
        let mut content = Vec::new();
        (&mut self.inner).take(size).read_to_end(&mut content)?;
        if (content.len() as u64) < size {
            return Err(self.damaged("the archive ends within the header behind it"));
        }
        self.skip(padding(size))?;
        Ok(content)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, TapeError> {
        let mut name = self.extension(size)?;
        if let Some(end) = name.iter().position(|byte| *byte == 0) {
            name.truncate(end);
        }
        Ok(name)
    }

    fn damaged(&self, what: &'static str) -> TapeError {
        TapeError::Damaged { entry: self.last.clone(), what }
    }
}

impl<R: Read> Read for Tape<R> {
    /// Reads the stored bytes of the current entry.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buf.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.inner.read(&mut buf[..most])?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within it"));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

/// A device's numbers; a field that is none reads as a number that no everyday device has.
fn device(header: &Header) -> (u32, u32) {
    let number = |field: io::Result<Option<u32>>| field.ok().flatten().unwrap_or(u32::MAX);
    (number(header.device_major()), number(header.device_minor()))
}

fn kind(header: &Header, name: &[u8]) -> EntryKind {
    match header.entry_type().as_byte() {
        // Before ustar a folder was a file whose name ends so.
        b'0' | 0 if name.ends_with(b"/") => EntryKind::Dir,
        b'0' | 0 | b'7' | b'S' => EntryKind::File,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::CharDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Dir,
        b'6' => EntryKind::Fifo,
        other => EntryKind::Other(other),
    }
}

#[cfg(test)]
mod tests;
