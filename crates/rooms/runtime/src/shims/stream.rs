//! A connection that carries a process's bytes.

use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::call::{broken, connect, read_frame, reply, send, unexpected};
use super::error::CallError;
use crate::exit::Exit;
use crate::frames::{self, Kind};
use crate::order::Size;
use crate::protocol::{Reply, Request};

/// How much input goes in one frame.
const CHUNK: usize = 32 << 10;

/// A process that is followed, both ways.
#[derive(Debug)]
pub struct Attached {
    /// As the host numbers it.
    pub pid: i32,
    /// What it writes, and its end.
    pub output: Output,
    /// What it is given.
    pub input: Input,
}

/// What a followed process does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It wrote to standard output, or its terminal.
    Stdout(Vec<u8>),
    /// It wrote to standard error.
    Stderr(Vec<u8>),
    /// It ended; nothing comes any more.
    Exited(Exit),
}

/// The reading side.
#[derive(Debug)]
pub struct Output {
    dir: PathBuf,
    half: OwnedReadHalf,
    buffer: Vec<u8>,
}

/// The writing side. Dropping it leaves the process's input open.
#[derive(Debug)]
pub struct Input {
    dir: PathBuf,
    half: OwnedWriteHalf,
}

/// Connects, asks, and waits until the process runs.
pub(super) async fn open(dir: &Path, request: &Request) -> Result<Attached, CallError> {
    let mut stream = connect(dir).await.map_err(|source| broken(dir, source))?;
    send(&mut stream, request).await.map_err(|source| broken(dir, source))?;
    let mut buffer = Vec::new();
    let (kind, body) = read_frame(&mut stream, &mut buffer).await.map_err(|source| broken(dir, source))?;
    let pid = match reply(kind, &body)? {
        Reply::Running { pid } => pid,
        other => return Err(unexpected(&other)),
    };
    let (read, write) = stream.into_split();
    Ok(Attached {
        pid,
        output: Output { dir: dir.to_owned(), half: read, buffer },
        input: Input { dir: dir.to_owned(), half: write },
    })
}

impl Output {
    /// What comes next. Nothing is lost if this is cancelled.
    pub async fn next(&mut self) -> Result<Event, CallError> {
        loop {
            let frame = read_frame(&mut self.half, &mut self.buffer).await;
            let (kind, body) = frame.map_err(|source| broken(&self.dir, source))?;
            match kind {
                Kind::Stdout => return Ok(Event::Stdout(body)),
                Kind::Stderr => return Ok(Event::Stderr(body)),
                Kind::Reply => {
                    if let Ok(Reply::Exited(exit)) = reply(kind, &body) {
                        return Ok(Event::Exited(exit));
                    }
                    // The answer to a resize or a signal; that it came too late is no news to who follows.
                }
                Kind::Request | Kind::Stdin => {
                    return Err(CallError::Unexpected("a request from a shim".into()));
                }
            }
        }
    }
}

impl Input {
    /// Gives the process these bytes; waits while it does not take them.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        for chunk in bytes.chunks(CHUNK) {
            self.send(Kind::Stdin, chunk).await?;
        }
        Ok(())
    }

    /// The process gets no more input.
    pub async fn end(&mut self) -> Result<(), CallError> {
        self.send(Kind::Stdin, &[]).await
    }

    /// Changes the size of the process's terminal.
    pub async fn resize(&mut self, size: Size) -> Result<(), CallError> {
        send(&mut self.half, &Request::Resize(size)).await.map_err(|source| broken(&self.dir, source))
    }

    /// Sends the process a signal.
    pub async fn kill(&mut self, signal: i32) -> Result<(), CallError> {
        let request = Request::Kill { signal, all: false };
        send(&mut self.half, &request).await.map_err(|source| broken(&self.dir, source))
    }

    async fn send(&mut self, kind: Kind, body: &[u8]) -> Result<(), CallError> {
        let mut out = Vec::with_capacity(body.len() + 5);
        frames::push(&mut out, kind, body);
        self.half.write_all(&out).await.map_err(|source| broken(&self.dir, source))
    }
}
