//! The chunked coding: a strict decoder that never looks ahead of its input, and the writer of chunks.

use crate::head::{self, Field, Span};
use crate::limits::{CHUNK_LINE_BYTES, TRAILER_LINE_BYTES, TRAILERS};
use crate::refusal::Refusal;

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a line with a size.
    Size,
    /// So many bytes of a chunk are still to come.
    Data(u64),
    /// Before the CRLF behind a chunk.
    DataEnd,
    /// Among the trailer fields, so many of which were read.
    Trailers(usize),
    Done,
}

/// Takes a chunked body apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decoder(Place);

/// What the front of the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Too little to say.
    More,
    /// So many bytes of framing, which are done with.
    Framing(usize),
    /// So many bytes of content.
    Data(usize),
    /// A trailer field, whose line has so many bytes.
    Trailer(Field, usize),
    /// The body is over; nothing in front belongs to it.
    Done,
}

impl Decoder {
    /// At the start of a body.
    pub(crate) fn new() -> Self {
        Self(Place::Size)
    }

    pub(crate) fn done(&self) -> bool {
        self.0 == Place::Done
    }

    /// As it is when so many bytes of the present chunk were used, which may be fewer than a step told of.
    pub(crate) fn after_data(self, used: u64) -> Self {
        match self.0 {
            Place::Data(left) if left == used => Self(Place::DataEnd),
            Place::Data(left) => Self(Place::Data(left.saturating_sub(used))),
            Place::Size | Place::DataEnd | Place::Trailers(_) | Place::Done => self,
        }
    }

    /// Looks at the front of `buf`; the caller then takes away what the step says.
    pub(crate) fn step(&mut self, buf: &[u8]) -> Result<Step, Refusal> {
        match self.0 {
            Place::Size => self.size(buf),
            Place::Data(_) if buf.is_empty() => Ok(Step::More),
            Place::Data(left) => {
                let here = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
                let left = left - here as u64;
                self.0 = if left == 0 { Place::DataEnd } else { Place::Data(left) };
                Ok(Step::Data(here))
            }
            Place::DataEnd => match buf {
                [b'\r', b'\n', ..] => {
                    self.0 = Place::Size;
                    Ok(Step::Framing(2))
                }
                [] | [b'\r'] => Ok(Step::More),
                _ => Err(Refusal::CHUNK),
            },
            Place::Trailers(seen) => self.trailer(buf, seen),
            Place::Done => Ok(Step::Done),
        }
    }

    fn size(&mut self, buf: &[u8]) -> Result<Step, Refusal> {
        let window = &buf[..buf.len().min(CHUNK_LINE_BYTES)];
        let Some(end) = memchr::memchr(b'\n', window) else {
            let digits = window.iter().take_while(|c| c.is_ascii_hexdigit()).count();
            let odd = window.get(digits).is_some_and(|c| !matches!(c, b';' | b'\r')) || digits > 15;
            return if odd || window.len() == CHUNK_LINE_BYTES || (digits == 0 && !window.is_empty()) {
                Err(Refusal::CHUNK)
            } else {
                Ok(Step::More)
            };
        };
        let Some(line) = window[..end].strip_suffix(b"\r") else {
            return Err(Refusal::CHUNK);
        };
        let digits = line.iter().take_while(|c| c.is_ascii_hexdigit()).count();
        // 15 digits cannot overflow; no body is that long.
        if digits == 0 || digits > 15 || !are_extensions(&line[digits..]) {
            return Err(Refusal::CHUNK);
        }
        let size = line[..digits].iter().fold(0u64, |sum, c| {
            sum << 4 | u64::from(if c.is_ascii_digit() { c - b'0' } else { (c | 0x20) - b'a' + 10 })
        });
        self.0 = if size == 0 { Place::Trailers(0) } else { Place::Data(size) };
        Ok(Step::Framing(end + 1))
    }

    fn trailer(&mut self, buf: &[u8], seen: usize) -> Result<Step, Refusal> {
        let window = &buf[..buf.len().min(TRAILER_LINE_BYTES)];
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() == TRAILER_LINE_BYTES { Err(Refusal::TRAILER) } else { Ok(Step::More) };
        };
        if end == 0 || window[end - 1] != b'\r' {
            return Err(Refusal::TRAILER);
        }
        if end == 1 {
            self.0 = Place::Done;
            return Ok(Step::Framing(2));
        }
        if seen == TRAILERS {
            return Err(Refusal::TRAILER);
        }
        let field = head::field(window, Span::new(0, end - 1)).map_err(|_| Refusal::TRAILER)?;
        self.0 = Place::Trailers(seen + 1);
        Ok(Step::Trailer(field, end + 1))
    }
}

/// Nothing, or extensions by the letter: `;name`, `;name=value` or `;name="value"`, without control characters. Their
/// content is dropped; whoever reads them otherwise could see the end of the line in another place.
fn are_extensions(mut text: &[u8]) -> bool {
    if !head::is_value(text) {
        return false;
    }
    while let [b';', rest @ ..] = text {
        let named = after_token(after_blanks(rest));
        let Some(rest) = named.and_then(|rest| match after_blanks(rest) {
            [b'=', value @ ..] => after_value(after_blanks(value)),
            _ => Some(rest),
        }) else {
            return false;
        };
        // Blanks may stand before the next one, and not at the end.
        text = if after_blanks(rest).starts_with(b";") { after_blanks(rest) } else { rest };
    }
    text.is_empty()
}

fn after_blanks(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|c| matches!(c, b' ' | b'\t')).count()..]
}

/// What follows a token; nothing if there is none.
fn after_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|c| head::is_token(&[**c])).count();
    (length > 0).then(|| &text[length..])
}

/// What follows a token or a quoted string.
fn after_value(text: &[u8]) -> Option<&[u8]> {
    let [b'"', quoted @ ..] = text else { return after_token(text) };
    let mut at = 0;
    loop {
        at += match quoted.get(at)? {
            b'"' => return Some(&quoted[at + 1..]),
            b'\\' => 2,
            _ => 1,
        };
    }
}

/// Appends one chunk; an empty piece appends nothing, since an empty chunk would end the body.
pub(crate) fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    write_size(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line in front of a chunk.
pub(crate) fn write_size(out: &mut Vec<u8>, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4);
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(size >> (at * 4)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Fields that a server would have to know before the body: RFC 9110, section 6.5.1. Those that mean something to the
/// edge count among them.
static NEVER_LATE: [&[u8]; 21] = [
    b"age",
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-location",
    b"content-range",
    b"cookie",
    b"date",
    b"expires",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"range",
    b"set-cookie",
    b"trailer",
    b"vary",
    b"warning",
    b"www-authenticate",
    b"x-http-method-override",
];

/// Whether a trailer may go on: none that frames, routes, forwards, asks under a condition or tells who asks.
pub(crate) fn may_pass(field: &Field, line: &[u8]) -> bool {
    let name = field.name.of(line);
    let conditional = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"if-"));
    field.known == head::Known::Other
        && !conditional
        && !NEVER_LATE.iter().any(|banned| name.eq_ignore_ascii_case(banned))
}

#[cfg(test)]
mod tests;
