//! One request, one answer.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::error::CallError;
use crate::frames::{self, Kind};
use crate::protocol::{Reply, Request, SOCKET};

/// Connects, also where the folder's path is longer than a socket's name may be.
pub(super) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let folder = rustix::fs::open(dir, flags, rustix::fs::Mode::empty())?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())).await
}

pub(super) fn broken(dir: &Path, source: io::Error) -> CallError {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::UnexpectedEof => {
            CallError::Over { dir: dir.to_owned() }
        }
        _ => CallError::Broken { dir: dir.to_owned(), source },
    }
}

pub(super) fn unexpected(reply: &Reply) -> CallError {
    CallError::Unexpected(format!("{reply:?}").chars().take(100).collect())
}

/// Reads one frame whole.
pub(super) async fn read_frame(
    from: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<(Kind, Vec<u8>)> {
    loop {
        let cut = frames::cut(buffer).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?;
        if let Some((kind, body, taken)) = cut {
            let frame = (kind, body.to_vec());
            buffer.drain(..taken);
            return Ok(frame);
        }
        if from.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

pub(super) async fn send(to: &mut (impl AsyncWriteExt + Unpin), request: &Request) -> io::Result<()> {
    let mut out = Vec::new();
    frames::push_json(&mut out, Kind::Request, request);
    if out.len() > frames::LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the request is longer than a shim accepts"));
    }
    to.write_all(&out).await
}

/// The reply in a frame; a refusal is an error.
pub(super) fn reply(kind: Kind, body: &[u8]) -> Result<Reply, CallError> {
    if kind != Kind::Reply {
        return Err(CallError::Unexpected("bytes where an answer was due".into()));
    }
    match serde_json::from_slice(body) {
        Ok(Reply::Failed(failure)) => Err(CallError::Refused(failure)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(CallError::Unexpected(error.to_string())),
    }
}

pub(super) async fn ask(dir: &Path, request: &Request) -> Result<Reply, CallError> {
    let talk = async {
        let mut stream = connect(dir).await?;
        send(&mut stream, request).await?;
        read_frame(&mut stream, &mut Vec::new()).await
    };
    let (kind, body) = talk.await.map_err(|source| broken(dir, source))?;
    reply(kind, &body)
}
