//! New connections: taken in within the limits, and handed to what is spoken there.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{Socket, Worker};
use crate::connection::{self, Entrance};
use crate::handover::Talk;
use crate::listen::BACKLOG;
use crate::stream::Stream;
use crate::{datagram, detect, preface, secure};

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
    let listener = match TcpListener::from_std(std) {
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
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..BACKLOG {
        let std::task::Poll::Ready(Ok(accepted)) = listener.poll_accept(&mut cx) else { break };
        begin(&worker, address, door, accepted);
    }
    Vec::new()
}

/// The next connection, when there is room for it.
async fn accept(worker: &Rc<Worker>, listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        while worker.watches.count() >= worker.most_connections {
            worker.left.notified().await;
        }
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn begin(worker: &Rc<Worker>, address: SocketAddr, door: Door, (mut stream, peer): (TcpStream, SocketAddr)) {
    // Fails only when the connection is gone already, which is noticed at the first read.
    let _ = stream.set_nodelay(true);
    let worker = worker.clone();
    tokio::task::spawn_local(async move {
        let peer = match preface::admit(&worker, &mut stream, peer).await {
            Some(peer) => peer,
            None => return worker.left.notify_one(),
        };
        match door {
            Door::Front => connection::serve(&worker, Stream::Plain(stream), peer, Entrance::Front).await,
            Door::Secure => secure::serve(&worker, stream, peer).await,
            Door::Port => detect::serve(&worker, Stream::Plain(stream), peer, address).await,
        }
        worker.left.notify_one();
    });
}
