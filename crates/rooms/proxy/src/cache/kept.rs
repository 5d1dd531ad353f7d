//! An answer that is kept, or shared by those who waited for it: its head without what one connection says, its body whole.

use std::time::Duration;

use base::{Instant, Timestamp};
use bytes::Bytes;
use resilience::freshness::{Answer, Entry, Vary};
use resilience::http_date;

use super::{Outlet, Wanted, variant};
use crate::chunk::{Decoder, Step};
use crate::head::response::ResponseHead;
use crate::head::{Field, Known};
use crate::refusal::push_number;

/// An answer for more than one request.
pub(crate) struct Kept {
    pub(super) status: u16,
    /// The first line of its head.
    line: Vec<u8>,
    /// Its fields, but for those of framing and age.
    pub(super) lines: Vec<u8>,
    pub(super) body: Bytes,
    /// What it was chosen by, and the key under which requests find it.
    pub(super) vary: Vary,
    pub(super) key: Vec<u8>,
    /// What is known of its freshness, as it came; none where it is only shared.
    pub(super) entry: Option<Entry>,
}

/// The head of an answer that may be for more than one, until its body is whole.
pub(super) struct Draft {
    status: u16,
    line: Vec<u8>,
    lines: Vec<u8>,
    chunked: bool,
    vary: Vary,
    key: Vec<u8>,
    pub(super) entry: Option<Entry>,
}

/// What of a head says whether and for how long an answer may be kept, with several lines of a field in one.
pub(super) struct Says {
    cache_control: Option<Vec<u8>>,
    vary: Option<Vec<u8>>,
    age: Option<Vec<u8>>,
    expires: Option<Vec<u8>>,
    date: Option<Vec<u8>>,
    etag: Option<Vec<u8>>,
    last_modified: Option<Vec<u8>>,
    sets_cookie: bool,
}

impl Says {
    pub(super) fn of(fields: &[Field], buf: &[u8]) -> Self {
        let value = |name: &str| joined(fields, buf, name);
        Self {
            cache_control: value("cache-control"),
            vary: value("vary"),
            age: value("age"),
            expires: value("expires"),
            date: value("date"),
            etag: value("etag"),
            last_modified: value("last-modified"),
            sets_cookie: value("set-cookie").is_some(),
        }
    }

    pub(super) fn answer(&self, status: u16) -> Answer<'_> {
        Answer {
            status,
            cache_control: self.cache_control.as_deref(),
            expires: self.expires.as_deref(),
            date: self.date.as_deref(),
            age: self.age.as_deref(),
            vary: self.vary.as_deref(),
            etag: self.etag.as_deref(),
            last_modified: self.last_modified.as_deref(),
            sets_cookie: self.sets_cookie,
        }
    }

    pub(super) fn vary(&self) -> Vary {
        // One that cannot be matched is not kept, so nobody asks for it.
        self.vary.as_deref().and_then(|value| Vary::parse(value).ok()).unwrap_or_default()
    }
}

/// The values of the lines of a field, joined by commas; none where there is none.
pub(super) fn joined(fields: &[Field], buf: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut value: Option<Vec<u8>> = None;
    for field in fields.iter().filter(|field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes())) {
        match &mut value {
            None => value = Some(field.value.of(buf).to_vec()),
            Some(value) => {
                value.extend_from_slice(b", ");
                value.extend_from_slice(field.value.of(buf));
            }
        }
    }
    value
}

/// The lines of a head that go on to everybody.
fn lasting(fields: &[Field], buf: &[u8], keeps_age: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    for field in fields {
        let framing = matches!(
            field.known,
            Known::Connection
                | Known::ContentLength
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade
        );
        let name = field.name.of(buf);
        let is = |want: &str| name.eq_ignore_ascii_case(want.as_bytes());
        // Trailers are not kept, and an age is told anew each time.
        if framing || is("trailer") || (is("age") && !keeps_age) {
            continue;
        }
        crate::forward::push_field(&mut lines, buf, field);
    }
    lines
}

impl Draft {
    /// Of an answer with this head, which is found by `key`; `entry` where it is kept.
    pub(super) fn of(
        (head, fields, buf): (&ResponseHead, &[Field], &[u8]),
        (vary, key): (Vary, Vec<u8>),
        entry: Option<Entry>,
    ) -> Self {
        let end = memchr::memchr(b'\n', buf).map_or(buf.len(), |at| at + 1);
        Self {
            status: head.status,
            line: buf[..end].to_vec(),
            lines: lasting(fields, buf, entry.is_none()),
            chunked: head.framing.chunked,
            vary,
            key,
            entry,
        }
    }

    /// Gives it a date if it has none: that of its coming (RFC 9110, section 6.6.1).
    pub(super) fn date(&mut self, came: Timestamp) {
        let is_date = |line: &[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"date:"));
        if !self.lines.split_inclusive(|c| *c == b'\n').any(is_date) {
            self.lines.extend_from_slice(format!("date: {}\r\n", http_date::write(came)).as_bytes());
        }
    }

    /// With its whole body as it came over the wire; none where that is not whole.
    pub(super) fn with(self, wire: &[u8]) -> Option<Kept> {
        let body = if self.chunked { unchunked(wire)? } else { Bytes::copy_from_slice(wire) };
        let Self { status, line, lines, chunked: _, vary, key, entry } = self;
        Some(Kept { status, line, lines, body, vary, key, entry })
    }
}

/// The content of chunks, without trailers.
fn unchunked(mut wire: &[u8]) -> Option<Bytes> {
    let (mut decoder, mut body) = (Decoder::new(), Vec::new());
    while !decoder.done() {
        let used = match decoder.step(wire).ok()? {
            Step::More => return None,
            Step::Done => break,
            Step::Framing(count) | Step::Trailer(_, count) => count,
            Step::Data(count) => {
                body.extend_from_slice(&wire[..count]);
                count
            }
        };
        wire = &wire[used..];
    }
    Some(body.into())
}

impl Kept {
    /// How old it is, if that is known.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.entry.as_ref().map(|entry| entry.age(now))
    }

    /// How many more seconds it is fresh; below zero it is stale for so long. None where it is not kept.
    pub(crate) fn ttl(&self, now: Instant) -> Option<i64> {
        let entry = self.entry.as_ref()?;
        let (lifetime, age) = (entry.lifetime().as_secs() as i64, entry.age(now).as_secs() as i64);
        Some(lifetime - age)
    }

    /// Whether it is for a request with these fields.
    pub(crate) fn fits(&self, wanted: &Wanted, request: (&[Field], &[u8])) -> bool {
        let Some(target) = self.key.get(..wanted.target.len()) else { return false };
        if target != wanted.target {
            return false;
        }
        if self.vary.is_none() {
            return self.key.len() == target.len();
        }
        let number = self.key.get(target.len()..target.len() + 8).and_then(|bytes| bytes.try_into().ok());
        let key = number.and_then(|number| variant(target, &self.vary, u64::from_be_bytes(number), request));
        key.is_some_and(|key| key == self.key)
    }

    /// What an exchange reads of it for this request.
    pub(crate) fn outlet(&self, wanted: &Wanted, now: Instant) -> Outlet {
        if wanted.holds(self) {
            return Outlet::there(self.held_head(now), Bytes::new());
        }
        if let Some(part) = self.part(wanted, now) {
            return part;
        }
        let body = if wanted.head_only { Bytes::new() } else { self.body.clone() };
        Outlet::there(self.head(now), body)
    }

    /// The head that a client gets.
    pub(super) fn head(&self, now: Instant) -> Vec<u8> {
        let mut head = Vec::with_capacity(self.line.len() + self.lines.len() + 64);
        head.extend_from_slice(&self.line);
        head.extend_from_slice(&self.lines);
        self.push_age(&mut head, now);
        if !matches!(self.status, 204 | 304) {
            head.extend_from_slice(b"content-length: ");
            push_number(&mut head, self.body.len() as u64);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// The head for a client that holds this very answer already (RFC 9110, section 15.4.5).
    pub(super) fn held_head(&self, now: Instant) -> Vec<u8> {
        let mut head = b"HTTP/1.1 304 Not Modified\r\n".to_vec();
        for line in self.lines.split_inclusive(|c| *c == b'\n') {
            let is = |name: &[u8]| line.get(..name.len()).is_some_and(|have| have.eq_ignore_ascii_case(name));
            if !is(b"content-") || is(b"content-location:") {
                head.extend_from_slice(line);
            }
        }
        self.push_age(&mut head, now);
        head.extend_from_slice(b"\r\n");
        head
    }

    pub(super) fn push_age(&self, head: &mut Vec<u8>, now: Instant) {
        if let Some(age) = self.age(now) {
            head.extend_from_slice(b"age: ");
            push_number(head, age.as_secs());
            head.extend_from_slice(b"\r\n");
        }
    }

    /// The same answer with the fields of one of 304, which says that it is still good (RFC 9111, section 3.2).
    pub(super) fn renewed(&self, (fields, buf): (&[Field], &[u8]), entry: Option<Entry>) -> Self {
        let of_body = |name: &[u8]| {
            [&b"content-encoding"[..], b"content-type", b"content-range", b"content-length"]
                .iter()
                .any(|want| name.eq_ignore_ascii_case(want))
        };
        let told: Vec<Field> = fields.iter().filter(|field| !of_body(field.name.of(buf))).copied().collect();
        let fresh = lasting(&told, buf, entry.is_none());
        let is_told = |line: &[u8]| {
            let name = &line[..memchr::memchr(b':', line).unwrap_or(line.len())];
            told.iter().any(|field| field.name.of(buf).eq_ignore_ascii_case(name))
        };
        let mut lines = Vec::with_capacity(self.lines.len() + fresh.len());
        for line in self.lines.split_inclusive(|c| *c == b'\n').filter(|line| !is_told(line)) {
            lines.extend_from_slice(line);
        }
        lines.extend_from_slice(&fresh);
        Self {
            status: self.status,
            line: self.line.clone(),
            lines,
            body: self.body.clone(),
            vary: self.vary.clone(),
            key: self.key.clone(),
            entry,
        }
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> u64 {
        (self.line.len() + self.lines.len() + self.body.len() + self.key.len() + 256) as u64
    }
}
