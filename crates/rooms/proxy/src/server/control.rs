//! The control socket's other side: answers the daemon, one frame after the other.

use std::rc::Rc;
use std::time::Duration;

use base::{Kind, Report};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Notify};

use super::Server;
use crate::protocol::{self, Reply, Request, VERSION};

/// Callers at once; the daemon needs two.
const CALLERS: usize = 32;
/// A caller must have greeted within this time.
const GREETING: Duration = Duration::from_secs(5);

/// Answers whoever connects, for ever.
pub(super) async fn serve(listener: UnixListener, server: Rc<Mutex<Server>>, stop: Rc<Notify>) {
    let callers = std::sync::Arc::new(tokio::sync::Semaphore::new(CALLERS));
    loop {
        let place = callers.clone().acquire_owned().await.expect("this semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let (server, stop) = (server.clone(), stop.clone());
                tokio::task::spawn_local(async move {
                    if let Err(error) = converse(stream, &server, &stop).await {
                        tracing::warn!(%error, "a caller of the edge was sent away");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a caller");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, server: &Mutex<Server>, stop: &Notify) -> std::io::Result<()> {
    let ours = rustix::process::geteuid().as_raw();
    let theirs = stream.peer_cred()?.uid();
    if theirs != ours && theirs != 0 {
        return Err(std::io::Error::new(
            std::io::ErrorKind::PermissionDenied,
            format!("user {theirs} may not"),
        ));
    }
    let greeting = tokio::time::timeout(GREETING, protocol::read(&mut stream)).await;
    match greeting.map_err(|_| std::io::ErrorKind::TimedOut)?? {
        Some(Request::Hello { .. }) => {}
        Some(_) | None => {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it did not greet"));
        }
    }
    let welcome = {
        let server = server.lock().await;
        let (document, http, https) =
            (server.document().clone(), server.http().to_vec(), server.https().to_vec());
        Reply::Welcome { version: VERSION, pid: std::process::id(), document, http, https }
    };
    protocol::write(&mut stream, &welcome).await?;
    while let Some(request) = protocol::read(&mut stream).await? {
        let reply = answer(request, server, stop).await;
        protocol::write(&mut stream, &reply).await?;
    }
    Ok(())
}

async fn answer(request: Request, server: &Mutex<Server>, stop: &Notify) -> Reply {
    match request {
        Request::Hello { .. } => Reply::Refused { report: Report::new(Kind::Invalid, "it greeted twice") },
        Request::Apply { document } => match server.lock().await.apply(document).await {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Refused { report: Report::of(&error) },
        },
        Request::Look => Reply::Seen { seen: server.lock().await.look() },
        Request::Status => Reply::Status { status: Box::new(server.lock().await.status()) },
        Request::Explain { ask } => {
            Reply::Explained { explanation: Box::new(server.lock().await.explain(&ask)) }
        }
        Request::Stop => {
            stop.notify_one();
            Reply::Done
        }
    }
}
