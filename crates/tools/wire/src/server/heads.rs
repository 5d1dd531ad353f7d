//! Where the requests of a connection begin, and their targets in the form that the server takes.
//!
//! Pure. The framing of HTTP/1.1 is followed as long as it is plain; at anything that could be read in two ways, and
//! once a connection may leave HTTP, it is not followed any more and every byte passes as it came.

/// The longest piece of a header line that is looked at; the headers that matter are short.
const HEADER_BYTES: usize = 256;

/// Follows the bytes of one connection.
#[derive(Debug, Default)]
pub(super) struct Heads {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// A request begins.
    #[default]
    Line,
    /// Among the headers, in the middle of this one.
    Header { line: Vec<u8>, framing: Framing },
    /// In a body that goes on for so long.
    Body(u64),
    /// In a body of chunks.
    Chunks(Chunk),
    /// Not followed any more.
    Blind,
}

/// How long the body is, as far as the headers have said.
#[derive(Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
}

#[derive(Debug, Clone, Copy)]
enum Chunk {
    /// In the line that says how long it is.
    Size {
        size: u64,
        digits: bool,
    },
    /// Behind the number in that line.
    Extension(u64),
    Data(u64),
    /// The line break behind the data.
    Break,
    /// The lines behind the last one; whether this one holds something.
    Trailer {
        empty: bool,
    },
}

impl Heads {
    /// How many of these bytes, the next of the connection, can pass as they are. What comes behind begins with a request
    /// line that is not whole, or that [`Heads::begin`] has to look at.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match &mut self.state {
                State::Blind => rest.len(),
                State::Line if matches!(rest[0], b'\r' | b'\n') => 1,
                State::Line => match line_of(rest) {
                    Some(line) if odd(line).is_none() => {
                        self.state = State::Header { line: Vec::new(), framing: Framing::default() };
                        line.len()
                    }
                    Some(_) | None => return at,
                },
                State::Header { line, .. } => {
                    let piece = line_of(rest).unwrap_or(rest);
                    let room = HEADER_BYTES.saturating_sub(line.len());
                    line.extend_from_slice(&piece[..piece.len().min(room)]);
                    if piece.ends_with(b"\n") {
                        self.header();
                    }
                    piece.len()
                }
                State::Body(left) => {
                    let passed = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= passed as u64;
                    if *left == 0 {
                        self.state = State::Line;
                    }
                    passed
                }
                State::Chunks(chunk) => {
                    let (passed, next) = chunk.pass(rest);
                    self.state = next;
                    passed
                }
            };
        }
        at
    }

    /// Takes a whole request line, and gives it as it is to pass.
    pub(super) fn begin(&mut self, line: &[u8]) -> Vec<u8> {
        self.state = State::Header { line: Vec::new(), framing: Framing::default() };
        let Some((from, to)) = odd(line) else { return line.to_vec() };
        let mut out = line[..from].to_vec();
        for &byte in &line[from..to] {
            match is_odd(byte) {
                true => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
                false => out.push(byte),
            }
        }
        out.extend_from_slice(&line[to..]);
        out
    }

    /// From here on every byte passes.
    pub(super) fn give_up(&mut self) {
        self.state = State::Blind;
    }

    /// A header line is whole.
    fn header(&mut self) {
        let State::Header { line, framing } = &mut self.state else { return };
        let text = line.trim_ascii_end();
        if text.is_empty() {
            self.state = match (framing.chunked, framing.length) {
                (true, None) => State::Chunks(Chunk::Size { size: 0, digits: false }),
                (false, None | Some(0)) => State::Line,
                (false, Some(length)) => State::Body(length),
                (true, Some(_)) => State::Blind,
            };
            return;
        }
        let plain = framing.take(text);
        line.clear();
        if !plain {
            self.state = State::Blind;
        }
    }
}

impl Framing {
    /// Takes what a header says; false where it cannot be followed.
    fn take(&mut self, header: &[u8]) -> bool {
        let Some(colon) = header.iter().position(|byte| *byte == b':') else { return false };
        let (name, value) = (&header[..colon], header[colon + 1..].trim_ascii());
        if name.iter().any(u8::is_ascii_whitespace) {
            return false;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            return digits && length.is_some() && self.length.replace(length.unwrap_or(0)).is_none();
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let before = std::mem::replace(&mut self.chunked, true);
            return value.eq_ignore_ascii_case(b"chunked") && !before;
        }
        !name.eq_ignore_ascii_case(b"upgrade")
    }
}

impl Chunk {
    /// How many bytes belong to this part of a body, and what comes then.
    fn pass(self, bytes: &[u8]) -> (usize, State) {
        let byte = bytes[0];
        let next = |chunk| (1, State::Chunks(chunk));
        let sized = |size: u64| match size {
            0 => Self::Trailer { empty: true },
            size => Self::Data(size),
        };
        match self {
            Self::Size { size, digits } => match (char::from(byte).to_digit(16), byte) {
                (Some(digit), _) if size < 1 << 59 => {
                    next(Self::Size { size: size << 4 | u64::from(digit), digits: true })
                }
                (_, b'\n') if digits => next(sized(size)),
                (_, b'\r' | b';' | b' ' | b'\t') if digits => next(Self::Extension(size)),
                _ => (bytes.len(), State::Blind),
            },
            Self::Extension(size) => next(if byte == b'\n' { sized(size) } else { self }),
            Self::Data(left) => {
                let passed = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - passed as u64;
                (passed, State::Chunks(if left == 0 { Self::Break } else { Self::Data(left) }))
            }
            Self::Break => match byte {
                b'\r' => next(self),
                b'\n' => next(Self::Size { size: 0, digits: false }),
                _ => (bytes.len(), State::Blind),
            },
            Self::Trailer { empty } => match byte {
                b'\n' if empty => (1, State::Line),
                b'\n' => next(Self::Trailer { empty: true }),
                b'\r' => next(self),
                _ => next(Self::Trailer { empty: false }),
            },
        }
    }
}

/// A line with its end, if that has come.
pub(super) fn line_of(bytes: &[u8]) -> Option<&[u8]> {
    bytes.iter().position(|byte| *byte == b'\n').map(|end| &bytes[..=end])
}

/// Where the target of a request line lies, if anything in it has to be written otherwise.
fn odd(line: &[u8]) -> Option<(usize, usize)> {
    let from = line.iter().position(|byte| *byte == b' ')? + 1;
    let to = from + line[from..].iter().position(|byte| *byte == b' ')?;
    let version = line[to + 1..].trim_ascii_end();
    let is_request = line[..from - 1].iter().all(u8::is_ascii_uppercase) && version.starts_with(b"HTTP/1.");
    (is_request && line[from..to].iter().copied().any(is_odd)).then_some((from, to))
}

/// What other servers take in a target, and ours would refuse or, as `#`, read otherwise.
fn is_odd(byte: u8) -> bool {
    matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80..)
}

#[cfg(test)]
mod tests;
