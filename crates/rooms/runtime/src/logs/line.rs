//! One line of a log file.

use base::Timestamp;

/// Where a process wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output; a terminal's all.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As in the files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line of a log, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When the shim read it.
    pub time: Timestamp,
    /// Where it was written.
    pub stream: Stream,
    /// False for a part: what follows of this stream belongs to the same line.
    pub whole: bool,
    /// Without its newline. Programs may write anything, so these are bytes.
    pub text: Vec<u8>,
}

impl Line {
    /// Reads one line of a file, without its newline; none if it is not one, as after a crash.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(fields.next()?).ok()?;
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        // Tags may follow behind colons.
        let whole = match fields.next()?.split(|byte| *byte == b':').next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        let text = fields.next()?.to_vec();
        Some(Self { time: Timestamp::from_rfc3339(time)?, stream, whole, text })
    }

    /// What the program wrote: with the newline, if there was one.
    pub fn written(&self) -> Vec<u8> {
        let mut bytes = self.text.clone();
        if self.whole {
            bytes.push(b'\n');
        }
        bytes
    }
}

/// Appends one line in the form of the files.
pub(super) fn push(out: &mut Vec<u8>, time: &str, stream: Stream, whole: bool, text: &[u8]) {
    out.extend_from_slice(time.as_bytes());
    out.push(b' ');
    out.extend_from_slice(stream.as_str().as_bytes());
    out.extend_from_slice(if whole { b" F " } else { b" P " });
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
