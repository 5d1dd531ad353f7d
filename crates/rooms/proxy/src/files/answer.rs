//! What is answered to a request for a file: by its conditions and its range (RFC 9110, sections 13 and 14).

use base::Timestamp;
use resilience::http_date;

use super::Entry;
use crate::head::{Field, elements};
use crate::range::Part;

/// The fields of a request that decide about the answer.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    /// Lists of several fields are one.
    if_match: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
    if_modified_since: Option<Vec<u8>>,
    if_unmodified_since: Option<Vec<u8>>,
    if_range: Option<Vec<u8>>,
    range: Option<Vec<u8>>,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All of it: 200.
    Whole,
    /// From one byte to another, both included: 206.
    Part(u64, u64),
    /// The client has it: 304.
    Known,
    /// It is not the one that the client has: 412.
    Other,
    /// There are no such bytes: 416.
    Beyond,
}

impl From<Part> for Answer {
    fn from(part: Part) -> Self {
        match part {
            Part::Whole => Self::Whole,
            Part::Bytes(from, to) => Self::Part(from, to),
            Part::Beyond => Self::Beyond,
        }
    }
}

impl Answer {
    /// Its status.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Whole => 200,
            Self::Part(..) => 206,
            Self::Known => 304,
            Self::Other => 412,
            Self::Beyond => 416,
        }
    }
}

impl Conditions {
    /// Those of a request.
    pub(crate) fn of(fields: &[Field], buf: &[u8]) -> Self {
        let mut all = Self::default();
        for field in fields {
            let name = field.name.of(buf);
            let (place, list) = match name.len() {
                5 if name.eq_ignore_ascii_case(b"range") => (&mut all.range, false),
                8 if name.eq_ignore_ascii_case(b"if-match") => (&mut all.if_match, true),
                8 if name.eq_ignore_ascii_case(b"if-range") => (&mut all.if_range, false),
                13 if name.eq_ignore_ascii_case(b"if-none-match") => (&mut all.if_none_match, true),
                17 if name.eq_ignore_ascii_case(b"if-modified-since") => (&mut all.if_modified_since, false),
                19 if name.eq_ignore_ascii_case(b"if-unmodified-since") => {
                    (&mut all.if_unmodified_since, false)
                }
                _ => continue,
            };
            match place {
                None => *place = Some(field.value.of(buf).to_vec()),
                Some(before) => {
                    // Two of what may be there once make a value that nobody can read, and that is passed over.
                    before.extend_from_slice(if list { b", " } else { b"\0" });
                    before.extend_from_slice(field.value.of(buf));
                }
            }
        }
        all
    }

    /// What is answered to a request for this file; `whole` never asks for parts.
    pub(crate) fn decide(&self, entry: &Entry, get: bool, now: Timestamp) -> Answer {
        let date = |text: &Option<Vec<u8>>| http_date::parse(text.as_deref()?, now);
        let modified = Timestamp::from_secs(entry.modified);
        match &self.if_match {
            Some(list) if !is_listed(list, &entry.etag, false) => return Answer::Other,
            Some(_) => {}
            None if date(&self.if_unmodified_since).is_some_and(|since| modified > since) => {
                return Answer::Other;
            }
            None => {}
        }
        match &self.if_none_match {
            Some(list) if is_listed(list, &entry.etag, true) => return Answer::Known,
            Some(_) => {}
            None if date(&self.if_modified_since).is_some_and(|since| modified <= since) => {
                return Answer::Known;
            }
            None => {}
        }
        let Some(range) = self.range.as_ref().filter(|_| get) else { return Answer::Whole };
        let same = match self.if_range.as_deref() {
            None => true,
            Some(tag) if tag.first() == Some(&b'"') => tag == entry.etag.as_bytes(),
            // A weak tag is none that could prove bytes to be the same.
            Some(tag) => http_date::parse(tag, now) == Some(modified),
        };
        if same { Part::of(range, entry.size).into() } else { Answer::Whole }
    }
}

/// Whether a list of entity tags has this one; a weak one counts for what is only looked at.
fn is_listed(list: &[u8], etag: &str, weak: bool) -> bool {
    list.trim_ascii() == b"*"
        || elements(list).any(|tag| {
            let strong = tag.strip_prefix(b"W/").filter(|_| weak).unwrap_or(tag);
            strong == etag.as_bytes()
        })
}

#[cfg(test)]
mod tests;
