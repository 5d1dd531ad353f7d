//! New connections: taken in within the limits, and handed to what is spoken there.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{Socket, Worker};
use crate::connection::{self, Entrance};
use crate::stream::Stream;
use crate::{datagram, detect, secure};

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
pub(super) async fn listen(worker: Rc<Worker>, address: SocketAddr, socket: Socket, stop: Rc<Notify>) {
    let (std, door) = match socket {
        Socket::Front(listener) => (listener, Door::Front),
        Socket::Secure(listener) => (listener, Door::Secure),
        Socket::Stream(listener) => (listener, Door::Port),
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
        begin(&worker, address, door, accepted);
    }
    // What the kernel has accepted for us is served as well.
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Ok(accepted)) = listener.poll_accept(&mut cx) {
        begin(&worker, address, door, accepted);
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

fn begin(worker: &Rc<Worker>, address: SocketAddr, door: Door, (stream, peer): (TcpStream, SocketAddr)) {
    // Fails only when the connection is gone already, which is noticed at the first read.
    let _ = stream.set_nodelay(true);
    let worker = worker.clone();
    tokio::task::spawn_local(async move {
        match door {
            Door::Front => connection::serve(&worker, Stream::Plain(stream), peer, Entrance::Front).await,
            Door::Secure => secure::serve(&worker, stream, peer).await,
            Door::Port => detect::serve(&worker, Stream::Plain(stream), peer, address).await,
        }
        worker.left.notify_one();
    });
}
