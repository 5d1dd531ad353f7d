//! In place of an edge that has died, the daemon hands its sockets to the next: in the same words as that edge would.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Kind, Report};
use tokio::net::UnixStream;

use crate::handover::{self, Handover};
use crate::protocol::{self, Reply, Request, VERSION};
use crate::table::Document;

/// How long the next edge may take from word to word.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is left of an edge.
#[derive(Clone)]
pub(super) struct Legacy {
    pub(super) handover: Arc<Handover>,
    pub(super) document: Document,
    pub(super) http: Vec<SocketAddr>,
}

/// Answers until the next edge has all.
pub(super) async fn serve(mut stream: UnixStream, legacy: Legacy) -> io::Result<()> {
    loop {
        let request = tokio::time::timeout(PATIENCE, protocol::read(&mut stream)).await;
        let reply = match request.map_err(|_| io::ErrorKind::TimedOut)?? {
            None => return Ok(()),
            Some(Request::Hello { .. }) => Reply::Welcome {
                version: VERSION,
                pid: std::process::id(),
                document: legacy.document.clone(),
                http: legacy.http.clone(),
                https: Vec::new(),
                program: String::new(),
                revision: legacy.handover.revision,
            },
            Some(Request::HandOver) => {
                let reply = Reply::Handover { inventory: legacy.handover.inventory() };
                protocol::write(&mut stream, &reply).await?;
                handover::send(&stream, &legacy.handover.in_order()).await?;
                continue;
            }
            // The dead have left, and their clients of UDP are not known.
            Some(Request::Leave { .. }) => Reply::Left { talks: Vec::new() },
            Some(_) => Reply::Refused { report: Report::new(Kind::Invalid, "the edge has died") },
        };
        protocol::write(&mut stream, &reply).await?;
    }
}
