//! Reading a log, also while its files are turned over.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base::{Kind, Problem, Timestamp};

use super::{Line, file};

/// A longer line of a file is not one of ours.
const LONGEST: usize = 64 << 10;
/// As many files are looked for.
const FILES: u32 = 10_000;

/// Which lines of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Not after this.
    pub until: Option<Timestamp>,
    /// Only the last so many.
    pub tail: Option<usize>,
}

impl Query {
    pub(super) fn wants(&self, line: &Line) -> bool {
        self.since.is_none_or(|since| line.time >= since) && self.until.is_none_or(|until| line.time <= until)
    }
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read the log in `{}`", dir.display())]
pub struct LogError {
    /// The container's folder.
    pub dir: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Problem for LogError {
    fn kind(&self) -> Kind {
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        None
    }
}

/// Reads what is there now, oldest first, and hands each line out; stops early when told so by `false`.
pub fn read(dir: &Path, query: &Query, mut each: impl FnMut(Line) -> bool) -> Result<(), LogError> {
    let fail = |source| LogError { dir: dir.to_owned(), source };
    let mut cursor = Cursor::new(dir);
    let Some(tail) = query.tail else {
        while let Some(line) = cursor.next().map_err(fail)? {
            if query.wants(&line) && !each(line) {
                return Ok(());
            }
        }
        return Ok(());
    };
    for line in last(&mut cursor, query, tail).map_err(fail)? {
        if !each(line) {
            break;
        }
    }
    Ok(())
}

/// The last so many lines from where the cursor is; the parts of a long line count as one.
pub(super) fn last(cursor: &mut Cursor, query: &Query, tail: usize) -> io::Result<VecDeque<Line>> {
    let mut kept: VecDeque<Line> = VecDeque::new();
    let mut whole = 0;
    while let Some(line) = cursor.next()? {
        if !query.wants(&line) {
            continue;
        }
        whole += usize::from(line.whole);
        kept.push_back(line);
        // What is begun and not ended at the end of the log is a line too.
        let begun = usize::from(kept.back().is_some_and(|line| !line.whole));
        while whole + begun > tail || (tail == 0 && !kept.is_empty()) {
            let Some(dropped) = kept.pop_front() else { break };
            whole -= usize::from(dropped.whole);
        }
    }
    Ok(kept)
}

/// A place in a log, which keeps its meaning when files are renamed or dropped.
pub(super) struct Cursor {
    dir: PathBuf,
    /// The open file and its inode.
    open: Option<(BufReader<File>, u64)>,
    begun: Vec<u8>,
}

impl Cursor {
    /// At the oldest line.
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), open: None, begun: Vec::new() }
    }

    /// The next line; none if there is none yet.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.next_here()? {
                return Ok(Some(line));
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// The next line of the open file.
    fn next_here(&mut self) -> io::Result<Option<Line>> {
        let Some((reader, _)) = &mut self.open else { return Ok(None) };
        loop {
            let read = reader.read_until(b'\n', &mut self.begun)?;
            if self.begun.last() != Some(&b'\n') {
                if self.begun.len() > LONGEST {
                    self.begun.clear();
                }
                if read == 0 {
                    return Ok(None);
                }
                continue;
            }
            self.begun.pop();
            let line = Line::parse(&self.begun);
            self.begun.clear();
            if line.is_some() {
                return Ok(line);
            }
        }
    }

    /// Goes on to the next newer file, once the open one will get no more; false if there is none.
    fn advance(&mut self) -> io::Result<bool> {
        let inode = |number| match file(&self.dir, number).metadata() {
            Ok(meta) => Ok(Some(meta.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        let mut next = None;
        for number in 0..FILES {
            let Some(found) = inode(number)? else {
                // While files are renamed the newest may be missing for a moment.
                if number == 0 && inode(1)?.is_some() {
                    continue;
                }
                break;
            };
            if self.open.as_ref().is_some_and(|(_, open)| *open == found) {
                break;
            }
            next = Some(number);
        }
        let Some(number) = next else { return Ok(false) };
        // The old file was closed before a newer one came to be: what it holds now is all of it.
        if let Some((reader, _)) = &mut self.open
            && !reader.fill_buf()?.is_empty()
        {
            return Ok(true);
        }
        let file = match File::open(file(&self.dir, number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let inode = file.metadata()?.ino();
        self.begun.clear();
        self.open = Some((BufReader::new(file), inode));
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
