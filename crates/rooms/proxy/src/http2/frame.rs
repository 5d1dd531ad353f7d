//! Frames: what stands in front of each, and those that say one thing.

/// Why a stream or a connection ends: RFC 9113, section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason(pub(super) u32);

impl Reason {
    pub(super) const NO_ERROR: Self = Self(0);
    pub(super) const PROTOCOL_ERROR: Self = Self(1);
    pub(super) const INTERNAL_ERROR: Self = Self(2);
    pub(super) const FLOW_CONTROL_ERROR: Self = Self(3);
    pub(super) const STREAM_CLOSED: Self = Self(5);
    pub(super) const FRAME_SIZE_ERROR: Self = Self(6);
    pub(super) const REFUSED_STREAM: Self = Self(7);
    pub(super) const COMPRESSION_ERROR: Self = Self(9);
    pub(super) const ENHANCE_YOUR_CALM: Self = Self(11);
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

/// The bytes in front of what a frame says.
pub(super) const HEAD_BYTES: usize = 9;
/// The longest content of a frame, on both ways: what everybody has to take, and we ask for no more.
pub(super) const FRAME_BYTES: usize = 16_384;
/// The largest window.
pub(super) const WINDOW_MOST: i64 = (1 << 31) - 1;
/// A window that nobody has changed.
pub(super) const WINDOW: i64 = 65_535;

/// A frame as it stands in the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame in front, or nothing while it is not whole.
    pub(super) fn read(buf: &'a [u8]) -> Result<Option<Self>, Reason> {
        let Some((head, rest)) = buf.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if length > FRAME_BYTES {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        Ok(rest.get(..length).map(|payload| Self { kind, flags, stream, payload }))
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What it says, without padding.
    pub(super) fn content(&self) -> Result<&'a [u8], Reason> {
        if !self.has(PADDED) {
            return Ok(self.payload);
        }
        let (length, content) = self.payload.split_first().ok_or(Reason::FRAME_SIZE_ERROR)?;
        let end = content.len().checked_sub(usize::from(*length)).ok_or(Reason::PROTOCOL_ERROR)?;
        Ok(&content[..end])
    }

    /// Its content where that is so many bytes and nothing else.
    pub(super) fn exactly<const N: usize>(&self) -> Result<[u8; N], Reason> {
        self.payload.try_into().map_err(|_| Reason::FRAME_SIZE_ERROR)
    }
}

/// Appends the head of a frame.
pub(super) fn push_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&head(length, kind, flags, stream));
}

/// Ends a block of fields that stands behind `start` and room for a head there.
pub(super) fn seal(out: &mut Vec<u8>, start: usize, flags: u8, stream: u32) {
    let length = out.len() - start - HEAD_BYTES;
    if length <= FRAME_BYTES {
        out[start..start + HEAD_BYTES].copy_from_slice(&head(length, HEADERS, flags | END_HEADERS, stream));
        return;
    }
    let block = out.split_off(start + HEAD_BYTES);
    out.truncate(start);
    let last = block.len().div_ceil(FRAME_BYTES) - 1;
    for (place, piece) in block.chunks(FRAME_BYTES).enumerate() {
        let kind = if place == 0 { HEADERS } else { CONTINUATION };
        let first = if place == 0 { flags } else { 0 };
        let end = if place == last { END_HEADERS } else { 0 };
        push_head(out, piece.len(), kind, first | end, stream);
        out.extend_from_slice(piece);
    }
}

pub(super) fn push_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    push_head(out, 4, RST_STREAM, 0, stream);
    out.extend_from_slice(&reason.0.to_be_bytes());
}

pub(super) fn push_window(out: &mut Vec<u8>, stream: u32, more: u32) {
    push_head(out, 4, WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&more.to_be_bytes());
}

pub(super) fn push_goodbye(out: &mut Vec<u8>, last: u32, reason: Reason) {
    push_head(out, 8, GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&reason.0.to_be_bytes());
}

pub(super) fn push_ping(out: &mut Vec<u8>, flags: u8, content: [u8; 8]) {
    push_head(out, content.len(), PING, flags, 0);
    out.extend_from_slice(&content);
}

pub(super) fn push_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    push_head(out, settings.len() * 6, SETTINGS, 0, 0);
    for (name, value) in settings {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

fn head(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEAD_BYTES] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}
