//! The frames of a stream that carries a terminal or three pipes: `run`, `exec` and `attach`.
//!
//! A frame is one byte for its kind, four for the length of its body (big endian), and the body.

use serde::{Deserialize, Serialize};

/// The bytes before a body.
pub const HEAD: usize = 5;
/// The longest body that is accepted.
pub const LIMIT: usize = 1 << 20;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameKind {
    /// Bytes for the program; none means that no more come.
    Stdin,
    /// Bytes of the program.
    Stdout,
    /// Bytes of the program.
    Stderr,
    /// The window's size as JSON: rows and columns.
    Resize,
    /// The program ended: [`crate::Exited`] as JSON. The last frame.
    Exited,
    /// It could not go on: a report as JSON. The last frame.
    Failed,
    /// A signal for the program: its number as JSON.
    Signal,
}

const KINDS: [FrameKind; 7] = [
    FrameKind::Stdin,
    FrameKind::Stdout,
    FrameKind::Stderr,
    FrameKind::Resize,
    FrameKind::Exited,
    FrameKind::Failed,
    FrameKind::Signal,
];

/// A frame in the bytes that hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it holds.
    pub kind: FrameKind,
    /// Its body.
    pub body: &'a [u8],
}

/// Why bytes are not frames; nothing after them can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Longer than anybody may send.
    #[error("a frame of {0} bytes is longer than is allowed")]
    TooLong(usize),
    /// Of a kind that does not exist.
    #[error("a frame of kind {0} is unknown")]
    Unknown(u8),
}

/// Appends a frame. A body longer than [`LIMIT`] becomes several.
pub fn encode(out: &mut Vec<u8>, kind: FrameKind, body: &[u8]) {
    let number = KINDS.iter().position(|known| *known == kind).expect("every kind is in the list") as u8;
    let mut push = |piece: &[u8]| {
        out.push(number);
        out.extend_from_slice(&(piece.len() as u32).to_be_bytes());
        out.extend_from_slice(piece);
    };
    if body.is_empty() {
        push(body);
    }
    body.chunks(LIMIT).for_each(push);
}

/// The first frame, if it is whole; it takes [`HEAD`] and its body's length.
pub fn decode(bytes: &[u8]) -> Result<Option<Frame<'_>>, BadFrame> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
    let kind = *KINDS.get(head[0] as usize).ok_or(BadFrame::Unknown(head[0]))?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > LIMIT {
        return Err(BadFrame::TooLong(length));
    }
    Ok(rest.get(..length).map(|body| Frame { kind, body }))
}

#[cfg(test)]
mod tests;
