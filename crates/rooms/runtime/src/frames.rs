//! Frames: how bytes on a shim's socket are cut into messages.
//!
//! A frame is its length (four bytes, little endian, of what follows), one byte that says what it is, and a body.
//! Both ends bound what they accept: a frame longer than [`LIMIT`] is an error before any of it is kept.

use serde::Serialize;

/// The longest body that is accepted.
pub(crate) const LIMIT: usize = 1 << 20;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request as JSON, to the shim.
    Request,
    /// An answer as JSON, from the shim.
    Reply,
    /// Bytes for the process; none means that no more come.
    Stdin,
    /// Bytes of the process.
    Stdout,
    /// Bytes of the process.
    Stderr,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
            Self::Stdin => 3,
            Self::Stdout => 4,
            Self::Stderr => 5,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Request, Self::Reply, Self::Stdin, Self::Stdout, Self::Stderr]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }
}

/// Why bytes are not frames; nothing after them can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFrame {
    /// Longer than anybody may send.
    #[error("a frame of {0} bytes is longer than is allowed")]
    TooLong(usize),
    /// Of a kind that does not exist.
    #[error("a frame of kind {0} is unknown")]
    Unknown(u8),
    /// Not even a kind.
    #[error("a frame is empty")]
    Empty,
}

/// What was cut off: its kind, its body, and how many bytes it took.
pub(crate) type Cut<'a> = (Kind, &'a [u8], usize);

/// Cuts one frame off the front: its kind, its body, and how many bytes it took; none when more must come first.
pub(crate) fn cut(bytes: &[u8]) -> Result<Option<Cut<'_>>, BadFrame> {
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_le_bytes(*head) as usize;
    if len == 0 {
        return Err(BadFrame::Empty);
    }
    if len > LIMIT + 1 {
        return Err(BadFrame::TooLong(len));
    }
    let Some((&kind, body)) = rest.split_first() else { return Ok(None) };
    let kind = Kind::of(kind).ok_or(BadFrame::Unknown(kind))?;
    Ok(body.get(..len - 1).map(|body| (kind, body, 4 + len)))
}

/// Appends one frame.
pub(crate) fn push(out: &mut Vec<u8>, kind: Kind, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32 + 1).to_le_bytes());
    out.push(kind.byte());
    out.extend_from_slice(body);
}

/// Appends one frame with JSON in it.
pub(crate) fn push_json(out: &mut Vec<u8>, kind: Kind, message: &impl Serialize) {
    let body = serde_json::to_vec(message).expect("our messages have text keys only, so JSON can hold them");
    push(out, kind, &body);
}

#[cfg(test)]
mod tests;
