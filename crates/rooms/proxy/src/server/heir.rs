//! The side of a handover that takes: a line to whoever has the sockets, on standard input.
//!
//! That is the edge that is to be replaced, or the daemon where that edge has died. Both are asked in the same words.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use base::{Kind, Report};
use tokio::net::UnixStream;

use super::StartError;
use crate::handover::{Handover, Talk};
use crate::protocol::{self, READ, Reply, Request, VERSION};
use crate::table::Document;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The line.
pub(super) struct Line(UnixStream);

impl Line {
    /// Takes standard input, which is nothing from then on: the line must end when we say so.
    pub(super) fn of_stdin() -> io::Result<Self> {
        let own = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        let stream = std::os::unix::net::UnixStream::from(own);
        stream.set_nonblocking(true)?;
        Ok(Self(UnixStream::from_std(stream)?))
    }

    /// What the edge before has: its sockets and its routes.
    pub(super) async fn greet(&mut self) -> Result<(Handover, Document), StartError> {
        let document = match self.ask(&Request::Hello { version: VERSION }).await? {
            Reply::Welcome { version, document, .. } if READ.contains(&version) => document,
            other => return Err(refused(other)),
        };
        match self.ask(&Request::HandOver).await? {
            Reply::Handover { inventory } => {
                let receiving = tokio::time::timeout(ANSWER, Handover::receive(&self.0, inventory)).await;
                Ok((flat(receiving)?, document))
            }
            other => Err(refused(other)),
        }
    }

    /// Has the edge before leave, as all is ready here; gives its UDP clients.
    pub(super) async fn take_over(
        mut self,
        revision: u64,
        generation: u64,
    ) -> Result<Vec<(Talk, OwnedFd)>, StartError> {
        match self.ask(&Request::Leave { revision, generation }).await? {
            Reply::Left { talks } => {
                let count = talks.len();
                let receiving = crate::handover::receive(&self.0, count);
                // It has left, so there is no way back: clients whose sockets do not come are new ones.
                let sockets = flat(tokio::time::timeout(ANSWER, receiving).await).unwrap_or_default();
                Ok(talks.into_iter().zip(sockets).collect())
            }
            other => Err(refused(other)),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, StartError> {
        let talk = async {
            protocol::write(&mut self.0, request).await?;
            protocol::read(&mut self.0).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        flat(tokio::time::timeout(ANSWER, talk).await)
    }
}

fn flat<T>(done: Result<io::Result<T>, tokio::time::error::Elapsed>) -> Result<T, StartError> {
    done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| StartError::Handover { source })
}

fn refused(reply: Reply) -> StartError {
    let report = match reply {
        Reply::Refused { report } => report,
        _ => Report::new(Kind::Conflict, "the edge before speaks another version"),
    };
    StartError::Refused { report }
}
