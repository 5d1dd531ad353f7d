//! Following a log as it grows.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Line;
use super::read::{Cursor, LogError, Query, last};

/// Why a log could not be followed.
pub type FollowError = LogError;

/// Lines as they come. Looks at the files again and again, since a log may lie where nothing else tells of changes.
pub struct Follower {
    dir: PathBuf,
    cursor: Cursor,
    query: Query,
    first: VecDeque<Line>,
    every: Duration,
}

impl Follower {
    /// Begins with what the query wants of what is there, and looks for more this often.
    pub fn new(dir: &Path, query: Query, every: Duration) -> Result<Self, FollowError> {
        let mut cursor = Cursor::new(dir);
        let first = match query.tail {
            Some(tail) => {
                last(&mut cursor, &query, tail).map_err(|source| LogError { dir: dir.to_owned(), source })?
            }
            None => VecDeque::new(),
        };
        Ok(Self { dir: dir.to_owned(), cursor, query, first, every })
    }

    /// The next line, if there is one now.
    pub fn try_next(&mut self) -> Result<Option<Line>, FollowError> {
        if let Some(line) = self.first.pop_front() {
            return Ok(Some(line));
        }
        loop {
            let next = self.cursor.next().map_err(|source| LogError { dir: self.dir.clone(), source })?;
            match next {
                Some(line) if !self.query.wants(&line) => {}
                other => return Ok(other),
            }
        }
    }

    /// The next line, whenever it comes. Nothing is lost if this is cancelled.
    pub async fn next(&mut self) -> Result<Line, FollowError> {
        loop {
            if let Some(line) = self.try_next()? {
                return Ok(line);
            }
            tokio::time::sleep(self.every).await;
        }
    }
}
