//! The words on the edge's control socket: frames of JSON, each behind its length in four bytes.
//!
//! The first frame on a connection is a greeting with a version; a version that is not ours ends it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use base::Report;
use plan::traffic::TrafficSeen;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::cache::{Purge, Purged};
use crate::explain::{Ask, Explanation};
use crate::handover::{Inventory, Talk};
use crate::limits::FRAME_BYTES;
use crate::status::EdgeStatus;
use crate::table::Document;

/// The version of these words and of `table.json`. 2 brought TLS: an edge of version 1 would pass over it. 3 brought the
/// rules of routes and the handover, 4 that kept answers are thrown away by hand.
pub(crate) const VERSION: u32 = 4;
/// Versions of `table.json` that are read: what they do not say has a default.
pub(crate) const READ: std::ops::RangeInclusive<u32> = 1..=VERSION;

/// Where edges are found that have left and are not done, under `edge/`.
pub(crate) const LEAVING_FOLDER: &str = "leaving";

/// What the daemon says, and an edge to the one that it replaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Hello {
        version: u32,
    },
    Apply {
        document: Document,
    },
    Look,
    Status,
    Explain {
        ask: Ask,
    },
    /// Throw kept answers away.
    Purge {
        which: Purge,
    },
    /// Give duplicates of all listening sockets, and go on.
    HandOver,
    /// Another edge is ready to serve with the sockets of this revision: accept nothing more, let it take the place,
    /// and end when all is done.
    Leave {
        revision: u64,
        generation: u64,
    },
    /// Send nothing new on connections that rest: an edge that has left and cannot be told what routes there are.
    Finish,
    /// Tell when the leaving begins, and what was done when it is over.
    Farewell,
    /// Accept nothing more, and end when all is done.
    Stop,
}

/// What the edge answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Welcome {
        version: u32,
        pid: u32,
        document: Document,
        http: Vec<SocketAddr>,
        #[serde(default)]
        https: Vec<SocketAddr>,
        /// Which program it is, as it was told by whoever started it.
        #[serde(default)]
        program: String,
        /// The revision of its sockets.
        #[serde(default)]
        revision: u64,
    },
    Done,
    /// The table is in force; the revision of the sockets that listen for it.
    InForce {
        revision: u64,
    },
    /// The sockets follow.
    Handover {
        inventory: Inventory,
    },
    /// It accepts nothing more, and its place is free. The sockets of the clients follow.
    Left {
        talks: Vec<Talk>,
    },
    /// It accepts nothing more; what it did follows when it ends.
    Leaving,
    Refused {
        report: Report,
    },
    Seen {
        seen: TrafficSeen,
    },
    Status {
        status: Box<EdgeStatus>,
    },
    Explained {
        explanation: Box<Explanation>,
    },
    Purged {
        purged: Vec<Purged>,
    },
}

/// Writes one frame.
pub(crate) async fn write<T: Serialize>(stream: &mut UnixStream, message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    if body.len() > FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is longer than 16 MiB"));
    }
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame).await
}

/// Reads one frame; nothing at the end of the stream.
pub(crate) async fn read<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is longer than 16 MiB"));
    }
    // Grows with what arrives, so that a length alone takes no memory.
    let mut body = Vec::new();
    let mut rest = stream.take(length as u64);
    rest.read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(serde_json::from_slice(&body)?))
}

/// A path to the socket that is short enough for a socket address, however deep the folder lies.
///
/// Gives the open folder too: the path is good only while that is open.
pub(crate) fn socket_path(folder: &Path, name: &str) -> io::Result<(std::fs::File, std::path::PathBuf)> {
    use std::os::fd::AsRawFd;
    let open = std::fs::File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{name}", open.as_raw_fd());
    Ok((open, path.into()))
}
