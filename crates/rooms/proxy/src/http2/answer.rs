//! The head of an answer, packed from the text that the edge has written a moment ago.
//!
//! That text was made of what the strict parser had read, or by the edge itself, so it is not judged a second time: only
//! its lines are told apart, and what is about one connection is left out.

use super::hpack::{begin_field, end_field, push_status};
use crate::head::length;

/// What a head says to who sends it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: u16,
    /// How many bytes of text it has, with its empty line.
    pub(super) bytes: usize,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
}

impl Told {
    /// Whether another head follows.
    pub(super) fn interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// The text is no head; what was appended of it is to be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoHead;

/// Appends the packed head whose text stands in front of `text`, whole.
pub(super) fn pack(text: &[u8], out: &mut Vec<u8>) -> Result<Told, NoHead> {
    let status = match text.get(..12) {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', digits @ ..]) => length(digits),
        _ => return Err(NoHead),
    };
    let mut told =
        Told { status: status.map_err(|_| NoHead)? as u16, bytes: 0, length: None, chunked: false };
    // HTTP/2 has no 101: a tunnel opens as any answer begins.
    push_status(out, if told.status == 101 { 200 } else { told.status });
    let (_, mut at) = line(text, 0)?;
    loop {
        let (field, next) = line(text, at)?;
        at = next;
        if field.is_empty() {
            told.bytes = at;
            return Ok(told);
        }
        let colon = memchr::memchr(b':', field).ok_or(NoHead)?;
        let start = begin_field(out, &field[..colon]);
        let value = field[colon + 1..].trim_ascii();
        match &out[start + 2..] {
            b"transfer-encoding" => told.chunked = true,
            // The upgrade of HTTP/1.1 has ended here.
            b"sec-websocket-accept" if told.status == 101 => {}
            b"connection" | b"http2-settings" | b"keep-alive" | b"proxy-connection" | b"te" | b"upgrade"
            | b"x-sea-mirror" | b"x-sea-not-now" => {}
            b"content-length" => {
                told.length = Some(length(value).map_err(|_| NoHead)?);
                end_field(out, start, value);
                continue;
            }
            _ => {
                end_field(out, start, value);
                continue;
            }
        }
        out.truncate(start);
    }
}

/// The line that begins there without its end, and where the next one does.
fn line(text: &[u8], from: usize) -> Result<(&[u8], usize), NoHead> {
    let rest = text.get(from..).ok_or(NoHead)?;
    let end = memchr::memchr(b'\n', rest).ok_or(NoHead)?;
    let line = rest[..end].strip_suffix(b"\r").ok_or(NoHead)?;
    Ok((line, from + end + 1))
}

#[cfg(test)]
mod tests;
