//! The shim's side: from bytes to lines in files that are closed and dropped in time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base::Timestamp;

use super::{Stream, file, line};
use crate::order::LogPolicy;

/// A longer line is kept in parts.
const PART: usize = 16 << 10;

/// Writes what a container says.
pub(crate) struct Writer {
    dir: PathBuf,
    policy: LogPolicy,
    file: Option<File>,
    size: u64,
    /// The begun line of each stream.
    begun: [Vec<u8>; 2],
    out: Vec<u8>,
    /// Lines that could not be kept since the last that was.
    lost: u64,
}

impl Writer {
    /// Goes on behind what an earlier run has left.
    pub(crate) fn open(dir: &Path, policy: LogPolicy) -> io::Result<Self> {
        let mut writer = Self {
            dir: dir.to_owned(),
            policy,
            file: None,
            size: 0,
            begun: [Vec::new(), Vec::new()],
            out: Vec::new(),
            lost: 0,
        };
        if policy.keep {
            writer.reopen()?;
        }
        Ok(writer)
    }

    fn reopen(&mut self) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().append(true).create(true).mode(0o640).open(file(&self.dir, 0))?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Takes what a stream has said.
    pub(crate) fn take(&mut self, stream: Stream, mut bytes: &[u8], now: Timestamp) {
        if !self.policy.keep {
            return;
        }
        let time = now.to_string();
        let mut begun = std::mem::take(&mut self.begun[stream as usize]);
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let upto = end.unwrap_or(bytes.len()).min(PART - begun.len());
            begun.extend_from_slice(&bytes[..upto]);
            let whole = end == Some(upto);
            bytes = &bytes[upto + usize::from(whole)..];
            if whole || begun.len() == PART {
                self.line(&time, stream, whole, &begun);
                begun.clear();
            }
        }
        begun.shrink_to(256);
        self.begun[stream as usize] = begun;
        self.flush(&time);
    }

    /// Keeps the line that the stream has begun and will not end.
    pub(crate) fn end(&mut self, stream: Stream, now: Timestamp) {
        let begun = std::mem::take(&mut self.begun[stream as usize]);
        if !begun.is_empty() && self.policy.keep {
            let time = now.to_string();
            self.line(&time, stream, false, &begun);
            self.flush(&time);
        }
    }

    fn line(&mut self, time: &str, stream: Stream, whole: bool, text: &[u8]) {
        let before = self.out.len();
        line::push(&mut self.out, time, stream, whole, text);
        let full = self.size + self.out.len() as u64 > self.policy.max_size.0;
        if full && self.size + before as u64 > 0 {
            // The line that is too much opens the next file.
            let last = self.out.split_off(before);
            self.flush(time);
            self.rotate();
            self.out = last;
        }
    }

    fn flush(&mut self, time: &str) {
        if self.out.is_empty() {
            return;
        }
        let out = std::mem::take(&mut self.out);
        if self.lost > 0 {
            let note = format!("{} lines could not be kept in the log here", self.lost);
            let mut text = Vec::new();
            line::push(&mut text, time, Stream::Stderr, true, note.as_bytes());
            if self.write(&text) {
                self.lost = 0;
            }
        }
        if !self.write(&out) {
            self.lost += out.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        // The buffer is kept for the next time, unless it has become large.
        self.out = out;
        self.out.clear();
        self.out.shrink_to(4096);
    }

    /// Writes all or nothing, so that a full disk leaves no half line.
    fn write(&mut self, bytes: &[u8]) -> bool {
        if self.file.is_none() && self.reopen().is_err() {
            return false;
        }
        let Some(file) = &mut self.file else { return false };
        if file.write_all(bytes).is_ok() {
            self.size += bytes.len() as u64;
            return true;
        }
        let _ = file.set_len(self.size);
        false
    }

    fn rotate(&mut self) {
        let last = self.policy.max_files.max(1) - 1;
        self.file = None;
        if last == 0 {
            let _ = fs::remove_file(file(&self.dir, 0));
        }
        for number in (0..last).rev() {
            // A file that is not there leaves nothing to move.
            let _ = fs::rename(file(&self.dir, number), file(&self.dir, number + 1));
        }
        if self.reopen().is_err() {
            self.size = 0;
        }
    }
}

#[cfg(test)]
mod tests;
