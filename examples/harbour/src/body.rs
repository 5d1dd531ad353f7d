//! Bodies on the wire: of a given length, in chunks, or up to the end of the stream.

use std::io::{self, BufRead, Read};

use crate::http::{header, invalid, line};

/// Larger bodies are refused.
const BODY_LIMIT: u64 = 1 << 20;

/// What to make of a message that says nothing of its length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silent {
    /// A request: it has no body.
    Empty,
    /// An answer: its body ends with the stream.
    ToTheEnd,
}

/// Reads the body that these headers announce.
pub(crate) fn read_body(
    from: &mut impl BufRead,
    headers: &[(String, String)],
    silent: Silent,
) -> io::Result<Vec<u8>> {
    let lengths = headers.iter().filter(|(name, _)| name == "content-length").count();
    let length = header(headers, "content-length");
    match (header(headers, "transfer-encoding"), length) {
        (Some(_), Some(_)) => Err(invalid("a body has both a length and an encoding")),
        (Some(encoding), None) if encoding.eq_ignore_ascii_case("chunked") => chunked(from),
        (Some(_), None) => Err(invalid("the transfer encoding is not `chunked`")),
        (None, Some(_)) if lengths > 1 => Err(invalid("a body has two lengths")),
        (None, Some(text)) => exactly(from, size(text, 10)?),
        (None, None) if silent == Silent::Empty => Ok(Vec::new()),
        (None, None) => {
            let mut body = Vec::new();
            from.take(BODY_LIMIT).read_to_end(&mut body)?;
            Ok(body)
        }
    }
}

fn chunked(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut left = 1_024;
        let text = line(from, &mut left)?.ok_or_else(|| invalid("a chunk breaks off"))?;
        let length = size(text.split(';').next().unwrap_or_default().trim(), 16)?;
        if length == 0 {
            break;
        }
        if body.len() as u64 + length > BODY_LIMIT {
            return Err(too_large());
        }
        body.extend(exactly(from, length)?);
        if line(from, &mut 2)?.as_deref() != Some("") {
            return Err(invalid("a chunk does not end where it says"));
        }
    }
    // What follows the last chunk are headers that nobody here reads.
    let mut left = 4_096;
    while line(from, &mut left)?.is_some_and(|trailer| !trailer.is_empty()) {}
    Ok(body)
}

fn exactly(from: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    if length > BODY_LIMIT {
        return Err(too_large());
    }
    let mut body = vec![0; usize::try_from(length).map_err(|_| too_large())?];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn size(text: &str, radix: u32) -> io::Result<u64> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    u64::from_str_radix(text, radix).ok().filter(|_| digits).ok_or_else(|| invalid("a length is no number"))
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "the body is larger than 1 MiB")
}

#[cfg(test)]
mod tests;
