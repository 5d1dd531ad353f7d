//! Lines of heads in their usual form, read in one pass.
//!
//! Nearly all lines are of it. Whatever is not in the least in order is left to the exact reading of [`super`], which
//! knows what is wrong, so that there is one judge and this only finds those that need none. Bytes are looked at eight
//! at a time, in a register.

use super::{Field, Span, TOKEN, known_plain};
use crate::limits::METHOD_BYTES;

/// Longer values are looked at faster by wider registers, which are worth their setting up then.
const VALUE_BYTES: usize = 128;
/// Longer heads are likewise.
const HEAD_BYTES: usize = 512;

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The highest bit of each byte that is below `least`, which is at most 0x80; behind the first one that is there may be
/// more.
fn below(eight: u64, least: u8) -> u64 {
    eight.wrapping_sub(ONES * u64::from(least)) & !eight & HIGH
}

/// The same of each that is this byte.
fn equal(eight: u64, byte: u8) -> u64 {
    below(eight ^ (ONES * u64::from(byte)), 1)
}

/// The highest bit of each byte that is no letter, digit or dash, exactly.
fn unusual_in_names(eight: u64) -> u64 {
    let least = |eight: u64, byte: u8| (eight & !HIGH) + ONES * u64::from(0x80 - byte);
    let between = |eight, first, last| least(eight, first) & !least(eight, last + 1);
    let letters = between(eight | (ONES * 0x20), b'a', b'z');
    let digits_and_dash = between(eight, b'0', b'9') | between(eight, b'-', b'-');
    (!(letters | digits_and_dash) | eight) & HIGH
}

/// Where the text from `at` on ends, with CRLF, that has no control characters but tabs.
#[inline]
fn text_end(buf: &[u8], at: usize) -> Option<usize> {
    let near = &buf[..buf.len().min(at + VALUE_BYTES)];
    let control = |byte: u8| byte < 0x20 || byte == 0x7f;
    let mut end = at;
    loop {
        end = find(near, end, |eight| below(eight, 0x20) | equal(eight, 0x7f), control)?;
        if near[end] != b'\t' {
            break;
        }
        end += 1;
    }
    (buf.get(end..end + 2)? == b"\r\n").then_some(end)
}

/// The first place from `at` whose byte is `wanted`. `marked` gives the same of eight bytes, by the highest bits.
fn find(
    buf: &[u8],
    mut at: usize,
    marked: impl Fn(u64) -> u64,
    wanted: impl Fn(u8) -> bool,
) -> Option<usize> {
    while let Some(eight) = buf.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = marked(u64::from_le_bytes(*eight));
        if marks != 0 {
            return Some(at + (marks.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    Some(at + buf.get(at..)?.iter().position(|byte| wanted(*byte))?)
}

/// The first line end from `at` that is wanted.
pub(super) fn find_among_line_ends(
    buf: &[u8],
    mut at: usize,
    wanted: impl Fn(usize) -> bool,
) -> Option<usize> {
    let left = buf.get(at..)?;
    if left.len() > HEAD_BYTES {
        return memchr::memchr_iter(b'\n', left).map(|found| at + found).find(|found| wanted(*found));
    }
    while let Some(eight) = buf.get(at..).and_then(<[u8]>::first_chunk) {
        let differ = u64::from_le_bytes(*eight) ^ (ONES * u64::from(b'\n'));
        // Exactly the bytes that are one, as several may be of use.
        let mut marks = !(((differ & !HIGH) + !HIGH) | differ) & HIGH;
        while marks != 0 {
            let found = at + (marks.trailing_zeros() / 8) as usize;
            if wanted(found) {
                return Some(found);
            }
            marks &= marks - 1;
        }
        at += 8;
    }
    (at..buf.len()).find(|found| buf[*found] == b'\n' && wanted(*found))
}

/// The field line at `at`, and where the next one begins.
pub(super) fn field(buf: &[u8], at: usize) -> Option<(Field, usize)> {
    let colon = find(buf, at, unusual_in_names, |byte| !byte.is_ascii_alphanumeric() && byte != b'-')?;
    if colon == at || buf[colon] != b':' {
        return None;
    }
    let known = known_plain(&buf[at..colon]);
    let mut from = colon + 1;
    while is_blank(*buf.get(from)?) {
        from += 1;
    }
    let mut end = text_end(buf, from)?;
    let next = end + 2;
    while end > from && is_blank(buf[end - 1]) {
        end -= 1;
    }
    Some((Field { name: Span::new(at, colon), value: Span::new(from, end), known }, next))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The request line of HTTP/1.1 at `at`: method, target, and where the next line begins.
pub(super) fn request_line(buf: &[u8], at: usize) -> Option<(Span, Span, usize)> {
    let space = at + buf.get(at..)?.iter().take_while(|byte| TOKEN[usize::from(**byte)]).count();
    if space == at || space - at > METHOD_BYTES || *buf.get(space)? != b' ' {
        return None;
    }
    let outside = |byte: u8| !(0x21..0x7f).contains(&byte) || byte == b'#';
    let marked = |eight: u64| below(eight, 0x21) | (eight & HIGH) | equal(eight, 0x7f) | equal(eight, b'#');
    let end = find(buf, space + 1, marked, outside)?;
    let rest = b" HTTP/1.1\r\n";
    if end == space + 1 || buf.get(end..end + rest.len())? != rest {
        return None;
    }
    Some((Span::new(at, space), Span::new(space + 1, end), end + rest.len()))
}

/// The status line of HTTP/1.1 that the head begins with: status, reason, and where the next line begins.
pub(super) fn status_line(buf: &[u8]) -> Option<(u16, Span, usize)> {
    let digits = buf.strip_prefix(b"HTTP/1.1 ")?;
    let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] = digits else { return None };
    let status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    let end = text_end(buf, 13)?;
    Some((status, Span::new(13, end), end + 2))
}

/// The length of the path of a target, when it has nothing that servers could read in two ways.
pub(super) fn path(target: &[u8]) -> Option<usize> {
    let special = |byte: u8| matches!(byte, b'?' | b'%' | b'\\' | b'.');
    let marked = |eight| equal(eight, b'?') | equal(eight, b'%') | equal(eight, b'\\') | equal(eight, b'.');
    let mut at = 0;
    loop {
        let Some(found) = find(target, at, marked, special) else { return Some(target.len()) };
        match target[found] {
            b'?' => return Some(found),
            // Only at the begin of a segment.
            b'.' if found > 0 && target[found - 1] != b'/' => at = found + 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests;
