//! Tar streams made by hand, so that they can be wrong in every way that a hostile one can.

/// An entry as it will stand in the stream; nothing about it is checked.
#[derive(Debug, Clone)]
pub struct Entry {
    name: Vec<u8>,
    kind: u8,
    link: Vec<u8>,
    content: Vec<u8>,
    size: Option<u64>,
    mode: u32,
    owner: (u32, u32),
    mtime: u64,
    records: Vec<(String, Vec<u8>)>,
    device: (u32, u32),
}

impl Entry {
    /// An entry of any kind, by its letter in the format.
    pub fn new(name: &str, kind: u8) -> Self {
        Self {
            name: name.into(),
            kind,
            link: Vec::new(),
            content: Vec::new(),
            size: None,
            mode: 0o644,
            owner: (0, 0),
            mtime: 1_700_000_000,
            records: Vec::new(),
            device: (0, 0),
        }
    }

    /// A file.
    pub fn file(name: &str, content: impl AsRef<[u8]>) -> Self {
        Self { content: content.as_ref().to_vec(), ..Self::new(name, b'0') }
    }

    /// A folder.
    pub fn dir(name: &str) -> Self {
        Self { mode: 0o755, ..Self::new(name, b'5') }
    }

    /// A symbolic link.
    pub fn symlink(name: &str, target: &str) -> Self {
        Self { link: target.into(), mode: 0o777, ..Self::new(name, b'2') }
    }

    /// A hard link.
    pub fn hard_link(name: &str, target: &str) -> Self {
        Self { link: target.into(), ..Self::new(name, b'1') }
    }

    /// The same with this mode.
    #[must_use]
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// The same with this owner and group.
    #[must_use]
    pub fn owner(self, uid: u32, gid: u32) -> Self {
        Self { owner: (uid, gid), ..self }
    }

    /// The same with this time, in seconds since 1970.
    #[must_use]
    pub fn mtime(self, mtime: u64) -> Self {
        Self { mtime, ..self }
    }

    /// The same with these device numbers.
    #[must_use]
    pub fn device(self, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..self }
    }

    /// The same, saying that it has this size.
    #[must_use]
    pub fn claims_size(self, size: u64) -> Self {
        Self { size: Some(size), ..self }
    }

    /// The same with a PAX record in front of it.
    #[must_use]
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.records.push((key.into(), value.as_ref().to_vec()));
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        if !self.records.is_empty() {
            let records: Vec<u8> = self.records.iter().flat_map(|(key, value)| record(key, value)).collect();
            Self { content: records, ..Self::new("PaxHeaders/x", b'x') }.write(out);
        }
        for (kind, long) in [(b'L', &self.name), (b'K', &self.link)] {
            if long.len() > 100 {
                let content = [long, &b"\0"[..]].concat();
                Self { content, ..Self::new("././@LongLink", kind) }.write(out);
            }
        }
        out.extend_from_slice(&self.header());
        out.extend_from_slice(&self.content);
        out.resize(out.len().next_multiple_of(512), 0);
    }

    fn header(&self) -> [u8; 512] {
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.owner.0).as_bytes());
        put(116, format!("{:07o}", self.owner.1).as_bytes());
        put(124, format!("{:011o}", self.size.unwrap_or(self.content.len() as u64)).as_bytes());
        put(136, format!("{:011o}", self.mtime).as_bytes());
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", self.device.0).as_bytes());
        put(337, format!("{:07o}", self.device.1).as_bytes());
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header
    }
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (1..=6).map(|digits| rest + digits).find(|len| rest + len.to_string().len() == *len);
    let mut record = format!("{} {key}=", len.expect("a record of a test is short")).into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

/// The entries as a tar stream with its end mark.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    entries.iter().for_each(|entry| entry.write(&mut out));
    out.resize(out.len() + 1024, 0);
    out
}
