//! The few things that have to be read out of a certificate: its life, its names, its number and its issuer's key.
//!
//! A reader of DER that knows no more than that. What it cannot make sense of it calls unreadable.

use data_encoding::BASE64URL_NOPAD;
use plan::renewal::Life;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) life: Life,
    /// Hosts, in lower case.
    pub(crate) names: Vec<String>,
    /// Its public key, as bits.
    pub(crate) key: Vec<u8>,
    /// How it is called when one asks about its renewal (RFC 9773, section 4.1).
    pub(crate) id: Option<String>,
}

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const BYTES: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const TIME: u8 = 0x18;
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];

/// Bytes that are read from the front.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value, with its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<Self> {
        self.next().filter(|(is, _)| *is == tag).map(|(_, value)| Self(value))
    }
}

/// Reads a certificate.
pub(crate) fn read(der: &[u8]) -> Option<Facts> {
    let mut inner = Der(der).take(SEQUENCE)?.take(SEQUENCE)?;
    let mut ahead = inner;
    // A version, unless it is the first.
    if ahead.next()?.0 == 0xa0 {
        inner = ahead;
    }
    let serial = inner.take(INTEGER)?.0;
    inner.take(SEQUENCE)?; // the algorithm
    inner.take(SEQUENCE)?; // the issuer
    let mut validity = inner.take(SEQUENCE)?;
    let life = Life { from: time(validity.next()?)?, until: time(validity.next()?)? };
    inner.take(SEQUENCE)?; // the subject
    let mut key = inner.take(SEQUENCE)?;
    key.take(SEQUENCE)?;
    let key = key.take(BITS)?.0.get(1..)?.to_vec();
    let (mut names, mut authority) = (Vec::new(), None);
    while let Some((tag, value)) = inner.next() {
        if tag != 0xa3 {
            continue;
        }
        let mut extensions = Der(value).take(SEQUENCE)?;
        while let Some((SEQUENCE, extension)) = extensions.next() {
            let mut parts = Der(extension);
            let oid = parts.take(OID)?.0;
            let (mut tag, mut value) = parts.next()?;
            if tag == 0x01 {
                (tag, value) = parts.next()?;
            }
            if tag != BYTES {
                return None;
            }
            match oid {
                SUBJECT_ALT_NAME => names = hosts(value)?,
                AUTHORITY_KEY => authority = key_of_authority(value),
                _ => {}
            }
        }
    }
    let id =
        authority.map(|key| format!("{}.{}", BASE64URL_NOPAD.encode(key), BASE64URL_NOPAD.encode(serial)));
    Some(Facts { life, names, key, id })
}

fn hosts(value: &[u8]) -> Option<Vec<String>> {
    let mut list = Der(value).take(SEQUENCE)?;
    let mut names = Vec::new();
    while let Some((tag, name)) = list.next() {
        if tag == 0x82 {
            names.push(std::str::from_utf8(name).ok()?.to_ascii_lowercase());
        }
    }
    Some(names)
}

fn key_of_authority(value: &[u8]) -> Option<&[u8]> {
    Der(value).take(SEQUENCE)?.take(0x80).map(|key| key.0)
}

/// Seconds since 1970. Certificates have both forms of times, with years of two and of four digits.
fn time((tag, text): (u8, &[u8])) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: i16 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    if rest.len() != 10 || !rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let date = jiff::civil::DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    u64::try_from(zoned.timestamp().as_second()).ok()
}
