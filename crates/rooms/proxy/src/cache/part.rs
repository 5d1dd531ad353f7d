//! A part of what is kept, for a client that asks for one (RFC 9110, section 14; RFC 9111, section 3.4).

use base::{Clock, Instant, SystemClock, Timestamp};
use resilience::http_date;

use super::{Kept, Outlet, Wanted};
use crate::range::Part;
use crate::refusal::push_number;

/// A date proves bytes to be the same only if they did not change within the second in which it was given.
const DOUBT_SECS: i64 = 1;

impl Wanted {
    /// Which part of an answer it is to have; all of it where what the client has is of another one.
    pub(super) fn part(&self, kept: &Kept, wall: Timestamp) -> Part {
        let Some(range) = self.range.as_deref().filter(|_| kept.status == 200) else { return Part::Whole };
        match self.if_range.as_deref() {
            Some(same) if !kept.is_surely(same.trim_ascii(), wall) => Part::Whole,
            Some(_) | None => Part::of(range, kept.body.len() as u64),
        }
    }
}

impl Kept {
    /// Whether its bytes are those that this tag or date is of, by all that it says itself.
    fn is_surely(&self, validator: &[u8], wall: Timestamp) -> bool {
        if validator.first() == Some(&b'"') {
            return self.line_of(b"etag") == Some(validator);
        }
        let date = |name: &[u8]| http_date::parse(self.line_of(name)?, wall);
        let (Some(modified), Some(given)) = (date(b"last-modified"), date(b"date")) else { return false };
        http_date::parse(validator, wall) == Some(modified) && given.secs() >= modified.secs() + DOUBT_SECS
    }

    /// The value of the first line of this name.
    fn line_of(&self, name: &[u8]) -> Option<&[u8]> {
        self.lines.split(|c| *c == b'\n').find_map(|line| {
            let (have, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
            have.eq_ignore_ascii_case(name).then(|| value[1..].trim_ascii())
        })
    }

    /// A part of it, or that there is no such part; nothing where all of it is to be given.
    pub(super) fn part(&self, wanted: &Wanted, now: Instant) -> Option<Outlet> {
        let (head, body) = match wanted.part(self, SystemClock.wall()) {
            Part::Whole => return None,
            Part::Bytes(from, to) => {
                (self.part_head((from, to), now), self.body.slice(from as usize..=to as usize))
            }
            Part::Beyond => (self.beyond_head(), bytes::Bytes::new()),
        };
        Some(Outlet::there(head, body))
    }

    fn part_head(&self, (from, to): (u64, u64), now: Instant) -> Vec<u8> {
        let mut head = Vec::with_capacity(self.lines.len() + 128);
        head.extend_from_slice(b"HTTP/1.1 206 Partial Content\r\n");
        head.extend_from_slice(&self.lines);
        self.push_age(&mut head, now);
        head.extend_from_slice(b"content-range: bytes ");
        push_number(&mut head, from);
        head.push(b'-');
        push_number(&mut head, to);
        head.push(b'/');
        push_number(&mut head, self.body.len() as u64);
        head.extend_from_slice(b"\r\ncontent-length: ");
        push_number(&mut head, to - from + 1);
        head.extend_from_slice(b"\r\n\r\n");
        head
    }

    /// The answer that says how long it is. What is said of the content is not said of none.
    fn beyond_head(&self) -> Vec<u8> {
        let mut head = b"HTTP/1.1 416 Range Not Satisfiable\r\n".to_vec();
        for name in [&b"date"[..], b"vary"] {
            if let Some(value) = self.line_of(name) {
                head.extend_from_slice(name);
                head.extend_from_slice(b": ");
                head.extend_from_slice(value);
                head.extend_from_slice(b"\r\n");
            }
        }
        head.extend_from_slice(b"content-range: bytes */");
        push_number(&mut head, self.body.len() as u64);
        head.extend_from_slice(b"\r\ncontent-length: 0\r\n\r\n");
        head
    }
}
