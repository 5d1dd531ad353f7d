//! PAX extended headers: `length key=value` records that overrule the header behind them.

use super::sparse::{self, Extent};

/// What extended headers said of the next entry.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Sparse,
}

/// What GNU tar says of a file with holes in PAX form.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// Version 1.0: the map stands in front of the content.
    pub(super) is_1_0: bool,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Versions 0.0 and 0.1: the map stands here.
    pub(super) map: Option<Vec<Extent>>,
}

const DAMAGED: &str = "the extended header behind it is damaged";

impl Extended {
    /// Reads the records of one extended header.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Result<(), &'static str> {
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').ok_or(DAMAGED)?;
            let len = decimal(&records[..space]).and_then(|len| usize::try_from(len).ok()).ok_or(DAMAGED)?;
            if len <= space + 1 || len > records.len() || records[len - 1] != b'\n' {
                return Err(DAMAGED);
            }
            let record = &records[space + 1..len - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(DAMAGED)?;
            self.set(&record[..equals], &record[equals + 1..])?;
            records = &records[len..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let number = || decimal(value).ok_or(DAMAGED);
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"uid" => self.uid = Some(number()?),
            b"gid" => self.gid = Some(number()?),
            b"mtime" => self.mtime = Some(moment(value).ok_or(DAMAGED)?),
            b"GNU.sparse.major" => self.sparse.is_1_0 = value == b"1",
            b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse.real_size = Some(number()?),
            b"GNU.sparse.offset" => {
                let offset = number()?;
                self.sparse.map.get_or_insert_default().push(Extent { offset, len: 0 });
            }
            b"GNU.sparse.numbytes" => {
                let last = self.sparse.map.as_mut().and_then(|map| map.last_mut()).ok_or(DAMAGED)?;
                last.len = number()?;
            }
            b"GNU.sparse.map" => self.sparse.map = Some(sparse::parse_list(value).ok_or(DAMAGED)?),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// Digits as a number.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Seconds with an optional sign and fraction.
fn moment(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (secs, fraction) = text.split_once('.').unwrap_or((text, ""));
    let secs: i64 = secs.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}")[..9].parse().ok()?;
    match (text.starts_with('-'), nanos) {
        // -1.25 is three quarters after -2.
        (true, 1..) => Some((secs.checked_sub(1)?, 1_000_000_000 - nanos)),
        _ => Some((secs, nanos)),
    }
}
