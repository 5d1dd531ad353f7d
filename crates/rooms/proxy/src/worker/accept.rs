//! New connections: taken in within the limits, and handed to what is spoken there.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::SocketFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{Socket, Worker};
use crate::connection::{self, Client, Entrance};
use crate::handover::Talk;
use crate::link::Link;
use crate::listen::BACKLOG;
use crate::seats::Job;
use crate::stream::Stream;
use crate::watch::Watched;
use crate::{datagram, detect, events, preface, secure};

/// After an error of `accept` (no file descriptors, no memory) the next try comes this much later.
const PAUSE: Duration = Duration::from_millis(20);

/// What a listening socket is for.
#[derive(Debug, Clone, Copy)]
enum Door {
    Front,
    Secure,
    Port,
}

/// Serves a listening socket until it is stopped.
///
/// Gives the clients that another edge can take over, if it is a UDP port.
pub(super) async fn listen(
    worker: Rc<Worker>,
    address: SocketAddr,
    socket: Socket,
    stop: Rc<Notify>,
) -> Vec<(Talk, OwnedFd)> {
    let (std, door) = match socket {
        Socket::Front(listener) => (listener, Door::Front),
        Socket::Secure(listener) => (listener, Door::Secure),
        Socket::Stream(listener) => (listener, Door::Port),
        Socket::Datagram(socket, talks) => {
            return datagram::serve(worker, address, socket, talks, stop).await;
        }
    };
    // What is set for it holds for the connections too, and is not said for each again. It fails for no TCP socket.
    let _ = rustix::net::sockopt::set_tcp_nodelay(&std, true);
    if let Door::Front = door {
        // The answer acknowledges the request.
        let _ = rustix::net::sockopt::set_tcp_quickack(&std, false);
    }
    // The runtime's own listener knows each connection that it gives, and only the runtime's sockets can be waited for
    // while others make the calls; this type says no more than that it is one.
    let listener = match TcpStream::from_std(OwnedFd::from(std).into()) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "could not listen on `{address}`");
            return Vec::new();
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.notified() => break,
            accepted = accept(&worker, &listener) => accepted,
        };
        begin(&worker, address, door, accepted);
    }
    // What the kernel has accepted for us is served as well. More can come all the time where another edge has the
    // socket too, and is that one's.
    for _ in 0..BACKLOG {
        let Ok(accepted) = take(&listener) else { break };
        begin(&worker, address, door, accepted);
    }
    Vec::new()
}

/// The next connection, when there is room for it.
async fn accept(worker: &Rc<Worker>, listener: &TcpStream) -> (Link, SocketAddr) {
    loop {
        while worker.watches.count() >= worker.most_connections {
            let gone = worker.watches.make_room(worker.most_connections);
            if gone > 0 {
                worker.gauges.decided.crowded_out(gone);
                events::crowded(worker.most_connections, gone);
            }
            // Later there may be others that give way.
            let _ = tokio::time::timeout(worker.settings.tick, worker.left.notified()).await;
        }
        match listener.async_io(Interest::READABLE, || take(listener)).await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One connection, if the kernel has one for us.
fn take(listener: &impl AsFd) -> io::Result<(Link, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, peer) = rustix::net::acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((Link::fresh(socket), peer.ok_or(io::ErrorKind::InvalidData)?))
}

/// Serves a new connection. Each kind has tasks of its own, with no more memory than it needs. It counts from now on, also
/// where its task begins only later.
fn begin(worker: &Rc<Worker>, address: SocketAddr, door: Door, (link, peer): (Link, SocketAddr)) {
    let (us, watch) = (worker.clone(), || worker.watches.watch());
    match (door, worker.table().shared.expects_preface(peer.ip())) {
        (Door::Front, false) => {
            let client = Client::new(worker, Stream::Plain(link), peer);
            worker.seats.serve(worker, Job { client, refusal: None, entrance: Entrance::Front });
        }
        (_, true) => drop(tokio::task::spawn_local(introduced(us, address, door, (link, peer), watch()))),
        (Door::Secure, false) => drop(tokio::task::spawn_local(secured(us, link, peer, watch()))),
        (Door::Port, false) => drop(tokio::task::spawn_local(port(us, address, link, peer, watch()))),
    }
}

/// A connection of a proxy that says first for whom it is.
async fn introduced(
    worker: Rc<Worker>,
    address: SocketAddr,
    door: Door,
    (mut link, peer): (Link, SocketAddr),
    watched: Watched,
) {
    let admitted = preface::admit(&worker, &mut link, peer, &watched).await;
    match (admitted, door) {
        (None, _) => worker.left.notify_one(),
        (Some(peer), Door::Front) => {
            drop(watched);
            connection::serve(&worker, Stream::Plain(link), peer, Entrance::Front).await;
            worker.left.notify_one();
        }
        (Some(peer), Door::Secure) => secured(worker, link, peer, watched).await,
        (Some(peer), Door::Port) => port(worker, address, link, peer, watched).await,
    }
}

async fn secured(worker: Rc<Worker>, link: Link, peer: SocketAddr, watched: Watched) {
    secure::serve(&worker, link, peer, watched).await;
    worker.left.notify_one();
}

async fn port(worker: Rc<Worker>, address: SocketAddr, link: Link, peer: SocketAddr, watched: Watched) {
    // What serves it is counted in its place.
    drop(watched);
    detect::serve(&worker, Stream::Plain(link), peer, address).await;
    worker.left.notify_one();
}
