//! A file that grows while others read it: written once, by one, and followed by as many as like.
//!
//! Nothing is buffered for the followers: they read what the kernel has of the file. Readers may be tasks or threads.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

/// The writer's end.
#[derive(Debug, Clone)]
pub struct Growing {
    state: watch::Sender<State>,
}

#[derive(Debug, Clone)]
struct State {
    written: u64,
    end: Option<Result<(), Arc<str>>>,
}

impl Growing {
    /// A file of which this much is there already.
    pub fn begin(written: u64) -> Self {
        Self { state: watch::Sender::new(State { written, end: None }) }
    }

    /// So many bytes are there now, and will not change.
    pub fn reached(&self, written: u64) {
        self.state.send_modify(|state| state.written = written);
    }

    /// How many bytes are there.
    pub fn written(&self) -> u64 {
        self.state.borrow().written
    }

    /// It is whole.
    pub fn complete(&self) {
        self.end(Ok(()));
    }

    /// It will never be whole.
    pub fn fail(&self, why: &str) {
        self.end(Err(why.into()));
    }

    /// The first word counts.
    fn end(&self, how: Result<(), Arc<str>>) {
        self.state.send_if_modified(|state| {
            let first = state.end.is_none();
            if first {
                state.end = Some(how);
            }
            first
        });
    }

    /// A reader from the beginning.
    pub fn follow(&self, path: &Path) -> io::Result<Follower> {
        Ok(Follower { held_back: 0, ..self.follow_file(File::open(path)?) })
    }

    /// A reader of a file that is open already.
    pub(crate) fn follow_file(&self, file: File) -> Follower {
        let runtime = tokio::runtime::Handle::try_current().ok();
        Follower { file, at: 0, state: self.state.subscribe(), held_back: 1, runtime }
    }

    /// A reader that is given the last byte only once the file is whole: what turns out damaged must not look whole.
    pub fn follow_carefully(&self, path: &Path) -> io::Result<Follower> {
        Ok(Follower { held_back: 1, ..self.follow(path)? })
    }
}

/// A reader's end.
#[derive(Debug)]
pub struct Follower {
    file: File,
    at: u64,
    state: watch::Receiver<State>,
    held_back: u64,
    /// Whom a thread waits with: the one that made this, wherever it is read.
    runtime: Option<tokio::runtime::Handle>,
}

/// What a follower can do now.
enum Next {
    Read(u64),
    End,
    Wait,
}

impl Follower {
    fn next(&mut self) -> io::Result<Next> {
        let state = self.state.borrow_and_update();
        let ready = match &state.end {
            Some(Ok(())) => state.written,
            Some(Err(why)) => return Err(io::Error::other(why.to_string())),
            None => state.written.saturating_sub(self.held_back),
        };
        Ok(match (ready.saturating_sub(self.at), &state.end) {
            (0, Some(_)) => Next::End,
            (0, None) => Next::Wait,
            (ready, _) => Next::Read(ready),
        })
    }

    /// The next bytes as they come, at most so many; none at the end.
    pub async fn piece(&mut self, most: usize) -> io::Result<Option<bytes::Bytes>> {
        loop {
            match self.next()? {
                Next::End => return Ok(None),
                Next::Wait => self.state.changed().await.map_err(|_| abandoned())?,
                Next::Read(ready) => {
                    let mut piece = vec![0; usize::try_from(ready).unwrap_or(most).min(most)];
                    // The writer has just put them there: the kernel has them, and nobody waits for the disk.
                    let read = self.file.read_at(&mut piece, self.at)?;
                    if read == 0 {
                        return Err(shrunk());
                    }
                    piece.truncate(read);
                    self.at += read as u64;
                    return Ok(Some(piece.into()));
                }
            }
        }
    }
}

impl Read for Follower {
    /// Waits for the writer; only for threads that may.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.next()? {
                Next::End => return Ok(0),
                Next::Wait => {
                    let changed = futures_util::FutureExt::now_or_never(self.state.changed());
                    match (changed, &self.runtime) {
                        (Some(changed), _) => changed.map_err(|_| abandoned())?,
                        (None, Some(runtime)) => {
                            runtime.block_on(self.state.changed()).map_err(|_| abandoned())?
                        }
                        (None, None) => return Err(abandoned()),
                    }
                }
                Next::Read(ready) => {
                    let most = usize::try_from(ready).unwrap_or(buf.len()).min(buf.len());
                    let read = self.file.read_at(&mut buf[..most], self.at)?;
                    if read == 0 && most > 0 {
                        return Err(shrunk());
                    }
                    self.at += read as u64;
                    return Ok(read);
                }
            }
        }
    }
}

fn abandoned() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "whoever wrote it went away")
}

fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read")
}

#[cfg(test)]
mod tests {
    //! Tests of following a file.

    use std::io::Write as _;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn followers_get_all_bytes_in_order_and_the_last_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = File::create(&path).unwrap();
        let growing = Growing::begin(0);
        let mut careful = growing.follow_carefully(&path).unwrap();
        let mut thread = growing.follow(&path).unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            thread.read_to_end(&mut all).map(|_| all)
        });
        file.write_all(b"hello").unwrap();
        growing.reached(5);
        assert_eq!(&careful.piece(100).await.unwrap().unwrap()[..], b"hell");
        file.write_all(b", world").unwrap();
        growing.reached(12);
        growing.complete();
        assert_eq!(&careful.piece(3).await.unwrap().unwrap()[..], b"o, ");
        assert_eq!(&careful.piece(100).await.unwrap().unwrap()[..], b"world");
        assert!(careful.piece(100).await.unwrap().is_none());
        assert_eq!(reading.await.unwrap().unwrap(), b"hello, world");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failure_and_a_vanished_writer_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        File::create(&path).unwrap();
        let growing = Growing::begin(0);
        let mut one = growing.follow(&path).unwrap();
        let mut other = growing.follow(&path).unwrap();
        growing.fail("the network went away");
        assert!(one.piece(1).await.unwrap_err().to_string().contains("network"));
        let lost = Growing::begin(0);
        let mut follower = lost.follow(&path).unwrap();
        drop(lost);
        assert!(follower.piece(1).await.is_err());
        let told = tokio::task::spawn_blocking(move || other.read(&mut [0; 4])).await.unwrap();
        assert!(told.is_err());
    }
}
