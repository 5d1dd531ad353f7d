//! Writing tar: ustar headers, with PAX records only where a field does not fit. Equal input gives equal bytes.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

const BLOCK: u64 = 512;
/// What eight, twelve minus one, octal digits hold.
const MAX_ID: u64 = 0o777_7777;
const MAX_NUMBER: u64 = 0o777_7777_7777;

/// An entry to write.
pub struct Out<'a> {
    /// Its name; a folder's ends with a slash.
    pub name: &'a [u8],
    /// What it is.
    pub kind: EntryType,
    /// The target of a link.
    pub link: &'a [u8],
    /// Bytes of content that follow.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When it was changed, in seconds since 1970.
    pub mtime: i64,
    /// Extended attributes.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

impl<'a> Out<'a> {
    /// A plain file of root's with this content length.
    pub fn file(name: &'a str, size: u64) -> Self {
        let kind = EntryType::Regular;
        Self {
            name: name.as_bytes(),
            kind,
            link: b"",
            size,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: &[],
        }
    }
}

/// A tar being written.
pub struct TarWriter<W> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// One that begins here.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry and exactly its size of content.
    pub fn put(&mut self, entry: &Out<'_>, content: &mut dyn Read) -> io::Result<()> {
        self.put_numbered(entry, None, content)
    }

    /// Writes a device, which has a major and a minor number in place of content.
    pub fn put_device(&mut self, entry: &Out<'_>, numbers: (u32, u32)) -> io::Result<()> {
        self.put_numbered(entry, Some(numbers), &mut io::empty())
    }

    fn put_numbered(
        &mut self,
        entry: &Out<'_>,
        device: Option<(u32, u32)>,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let records = records(entry);
        if !records.is_empty() {
            let header = Out {
                name: b"PaxHeaders/x",
                kind: EntryType::XHeader,
                link: b"",
                size: records.len() as u64,
                xattrs: &[],
                mtime: 0,
                ..*entry
            };
            self.header(&header, None)?;
            self.content(&mut &records[..], records.len() as u64)?;
        }
        self.header(entry, device)?;
        self.content(content, entry.size)
    }

    /// Writes the end mark.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        Ok(self.out)
    }

    fn header(&mut self, entry: &Out<'_>, device: Option<(u32, u32)>) -> io::Result<()> {
        let mut header = Header::new_ustar();
        let old = header.as_old_mut();
        let cut = |text: &'_ [u8], most: usize| text.len().min(most);
        old.name[..cut(entry.name, 100)].copy_from_slice(&entry.name[..cut(entry.name, 100)]);
        old.linkname[..cut(entry.link, 100)].copy_from_slice(&entry.link[..cut(entry.link, 100)]);
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(u64::from(entry.uid).min(MAX_ID));
        header.set_gid(u64::from(entry.gid).min(MAX_ID));
        header.set_size(entry.size.min(MAX_NUMBER));
        header.set_mtime(u64::try_from(entry.mtime).unwrap_or(0).min(MAX_NUMBER));
        if let Some((major, minor)) = device {
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn content(&mut self, content: &mut dyn Read, size: u64) -> io::Result<()> {
        let copied = io::copy(&mut content.take(size), &mut self.out)?;
        if copied < size {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was read",
            ));
        }
        let padding = (BLOCK - size % BLOCK) % BLOCK;
        self.out.write_all(&[0; BLOCK as usize][..usize::try_from(padding).unwrap_or(0)])
    }
}

/// The PAX records that an entry needs.
fn records(entry: &Out<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        // The length counts its own digits.
        let rest = key.len() + value.len() + 3;
        let mut len = rest + 1;
        while rest + len.to_string().len() != len {
            len = rest + len.to_string().len();
        }
        records.extend_from_slice(format!("{len} ").as_bytes());
        records.extend_from_slice(key);
        records.push(b'=');
        records.extend_from_slice(value);
        records.push(b'\n');
    };
    if entry.name.len() > 100 {
        add(b"path", entry.name);
    }
    if entry.link.len() > 100 {
        add(b"linkpath", entry.link);
    }
    if entry.size > MAX_NUMBER {
        add(b"size", entry.size.to_string().as_bytes());
    }
    if u64::from(entry.uid) > MAX_ID {
        add(b"uid", entry.uid.to_string().as_bytes());
    }
    if u64::from(entry.gid) > MAX_ID {
        add(b"gid", entry.gid.to_string().as_bytes());
    }
    if entry.mtime < 0 || entry.mtime.cast_unsigned() > MAX_NUMBER {
        add(b"mtime", entry.mtime.to_string().as_bytes());
    }
    for (key, value) in entry.xattrs {
        add(&[b"SCHILY.xattr.", &key[..]].concat(), value);
    }
    records
}
