//! The control socket's other side: answers the daemon and the edge that comes after, one frame after the other.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use base::{Kind, Report};
use tokio::net::{UnixListener, UnixStream};

use super::role::{Place, Stage};
use crate::handover;
use crate::protocol::{self, Reply, Request, VERSION};
use crate::worker::Manner;

/// Callers at once; the daemon needs two, and an edge that takes over one.
const CALLERS: usize = 32;
/// A caller must have greeted within this time.
const GREETING: Duration = Duration::from_secs(5);

/// Answers whoever connects, for ever.
pub(super) async fn serve(listener: UnixListener, place: Rc<Place>) {
    let callers = std::sync::Arc::new(tokio::sync::Semaphore::new(CALLERS));
    loop {
        let seat = callers.clone().acquire_owned().await.expect("this semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let place = place.clone();
                tokio::task::spawn_local(async move {
                    if let Err(error) = converse(stream, &place).await {
                        tracing::warn!(%error, "a caller of the edge was sent away");
                    }
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a caller");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, place: &Place) -> io::Result<()> {
    let ours = rustix::process::geteuid().as_raw();
    let theirs = stream.peer_cred()?.uid();
    if theirs != ours && theirs != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {theirs} may not")));
    }
    let greeting = tokio::time::timeout(GREETING, protocol::read(&mut stream)).await;
    match greeting.map_err(|_| io::ErrorKind::TimedOut)?? {
        Some(Request::Hello { .. }) => {}
        Some(_) | None => return Err(io::Error::new(io::ErrorKind::InvalidData, "it did not greet")),
    }
    let welcome = {
        let server = place.server.lock().await;
        Reply::Welcome {
            version: VERSION,
            pid: std::process::id(),
            document: server.document().clone(),
            http: server.http().to_vec(),
            https: server.https().to_vec(),
            program: place.program.clone(),
            revision: server.revision(),
        }
    };
    protocol::write(&mut stream, &welcome).await?;
    while let Some(request) = protocol::read(&mut stream).await? {
        if matches!(request, Request::Farewell) {
            return bid_farewell(stream, place).await;
        }
        let (reply, sockets) = answer(request, place).await;
        protocol::write(&mut stream, &reply).await?;
        let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        handover::send(&stream, &sockets).await?;
    }
    Ok(())
}

/// Says when the leaving begins, and what was done when it is over; ends earlier when the caller goes.
async fn bid_farewell(mut stream: UnixStream, place: &Place) -> io::Result<()> {
    let mut stage = place.stage.subscribe();
    for (until, over) in [(Stage::Leaving, false), (Stage::Over, true)] {
        let gone = tokio::select! {
            reached = stage.wait_for(|stage| *stage >= until) => reached.is_err(),
            () = gone(&stream) => true,
        };
        if gone {
            return Ok(());
        }
        let reply = match over {
            false => Reply::Leaving,
            true => Reply::Seen { seen: place.server.lock().await.look() },
        };
        protocol::write(&mut stream, &reply).await?;
    }
    Ok(())
}

/// Waits until the caller is gone, or says what nobody asked it for.
async fn gone(stream: &UnixStream) {
    // Readiness may be a leftover of the last frame.
    while stream.readable().await.is_ok()
        && stream.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    {}
}

async fn answer(request: Request, place: &Place) -> (Reply, Vec<OwnedFd>) {
    let reply = match request {
        Request::Hello { .. } => Reply::Refused { report: Report::new(Kind::Invalid, "it greeted twice") },
        Request::Apply { document } => {
            let mut server = place.server.lock().await;
            match server.apply(document).await {
                Ok(()) => Reply::InForce { revision: server.revision() },
                Err(error) => Reply::Refused { report: Report::of(&error) },
            }
        }
        Request::Look => Reply::Seen { seen: place.server.lock().await.look() },
        Request::Status => Reply::Status { status: Box::new(place.server.lock().await.status()) },
        Request::HandOver => match place.server.lock().await.handover() {
            Ok(handover) => {
                let reply = Reply::Handover { inventory: handover.inventory() };
                return (reply, handover.sockets.into_values().flatten().collect());
            }
            Err(error) => Reply::Refused {
                report: Report::new(Kind::Unavailable, "the sockets cannot be given").because(error),
            },
        },
        Request::Explain { ask } => {
            Reply::Explained { explanation: Box::new(place.server.lock().await.explain(&ask).await) }
        }
        Request::Purge { which } => Reply::Purged { purged: place.server.lock().await.purge(&which) },
        Request::Leave { revision, generation } => match place.give_up(revision, generation).await {
            Ok(all) => {
                let (talks, sockets) = all.into_iter().unzip();
                return (Reply::Left { talks }, sockets);
            }
            Err(report) => Reply::Refused { report },
        },
        Request::Finish => {
            if *place.stage.borrow() != Stage::Serving {
                place.server.lock().await.leave(Manner::Finishing).await;
            }
            Reply::Done
        }
        Request::Farewell => Reply::Done,
        Request::Stop => {
            place.stop.notify_one();
            Reply::Done
        }
    };
    (reply, Vec::new())
}
