//! The tables of HPACK: one that everybody knows (RFC 7541, appendix A), and one that a client fills.

use std::collections::VecDeque;

use super::field::{Kind, Line};

/// What an entry counts beyond its bytes.
const ENTRY_BYTES: usize = 32;
/// The largest table, which is the one that clients begin with.
pub(super) const TABLE_BYTES: usize = 4096;

/// The fields that everybody knows, from number 1.
pub(super) static KNOWN: [(&[u8], &[u8]); 61] = FIELDS;
const FIELDS: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

static KINDS: [Kind; 61] = {
    let mut kinds = [Kind::Plain; 61];
    let mut at = 0;
    while at < kinds.len() {
        kinds[at] = Kind::of(FIELDS[at].0);
        at += 1;
    }
    kinds
};

/// The table that a client fills. Its bytes stand one behind the other, the oldest first.
pub(super) struct Table {
    bytes: Vec<u8>,
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

struct Entry {
    at: u32,
    name: u16,
    value: u16,
    kind: Kind,
    sound: bool,
}

impl Entry {
    fn size(&self) -> usize {
        usize::from(self.name) + usize::from(self.value) + ENTRY_BYTES
    }
}

impl Table {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), size: 0, most: TABLE_BYTES }
    }

    /// The field of this number in both tables; there is none of number 0.
    pub(super) fn get(&self, number: usize) -> Option<Line<'_>> {
        let place = number.checked_sub(1)?;
        if let Some((name, value)) = KNOWN.get(place) {
            return Some(Line { name, value, kind: KINDS[place], sound: true });
        }
        let entry = self.entries.get(place - KNOWN.len())?;
        let text = &self.bytes[entry.at as usize..][..entry.size() - ENTRY_BYTES];
        let (name, value) = text.split_at(usize::from(entry.name));
        Some(Line { name, value, kind: entry.kind, sound: entry.sound })
    }

    /// Sets how large it may be.
    pub(super) fn bound(&mut self, most: usize) {
        self.most = most;
        self.shrink(most);
    }

    /// Puts a field in front; one that is too large empties the table.
    pub(super) fn insert(&mut self, line: &Line<'_>) {
        let length = line.name.len() + line.value.len();
        let size = length + ENTRY_BYTES;
        self.shrink(self.most.saturating_sub(size));
        if size > self.most {
            return;
        }
        if self.bytes.len() + length > 2 * TABLE_BYTES {
            self.compact();
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(line.name);
        self.bytes.extend_from_slice(line.value);
        self.size += size;
        // An entry is no larger than the table, so all of these fit.
        let (name, value) = (line.name.len() as u16, line.value.len() as u16);
        self.entries.push_front(Entry { at, name, value, kind: line.kind, sound: line.sound });
    }

    fn shrink(&mut self, most: usize) {
        while self.size > most {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.size -= oldest.size();
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        }
    }

    /// Takes away the bytes of entries that are gone.
    fn compact(&mut self) {
        let gone = self.entries.back().map_or(self.bytes.len(), |oldest| oldest.at as usize);
        self.bytes.drain(..gone);
        for entry in &mut self.entries {
            entry.at -= gone as u32;
        }
    }
}
