//! New connections: taken in within the limits, and handed to what is spoken there.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{Socket, Worker};
use crate::connection::{self, Entrance};
use crate::{datagram, detect};

/// After an error of `accept` (no file descriptors, no memory) the next try comes this much later.
const PAUSE: Duration = Duration::from_millis(20);

/// Serves a listening socket until it is stopped.
pub(super) async fn listen(worker: Rc<Worker>, address: SocketAddr, socket: Socket, stop: Rc<Notify>) {
    let (std, front) = match socket {
        Socket::Front(listener) => (listener, true),
        Socket::Stream(listener) => (listener, false),
        Socket::Datagram(socket) => return datagram::serve(worker, address, socket, stop).await,
    };
    let listener = match TcpListener::from_std(std) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "could not listen on `{address}`");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.notified() => break,
            accepted = accept(&worker, &listener) => accepted,
        };
        begin(&worker, address, front, accepted);
    }
    // What the kernel has accepted for us is served as well.
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Ok(accepted)) = listener.poll_accept(&mut cx) {
        begin(&worker, address, front, accepted);
    }
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

fn begin(worker: &Rc<Worker>, address: SocketAddr, front: bool, (stream, peer): (TcpStream, SocketAddr)) {
    // Fails only when the connection is gone already, which is noticed at the first read.
    let _ = stream.set_nodelay(true);
    let worker = worker.clone();
    tokio::task::spawn_local(async move {
        if front {
            connection::serve(&worker, stream, peer, Entrance::Front).await;
        } else {
            detect::serve(&worker, stream, peer, address).await;
        }
        worker.left.notify_one();
    });
}
