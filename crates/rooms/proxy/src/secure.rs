//! Connections to the HTTPS address: a handshake first, then what both sides chose to speak.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::buffer::Input;
use crate::connection::{self, Client, Entrance, Facts};
use crate::http2;
use crate::link::Link;
use crate::refusal::Refusal;
use crate::stream::Stream;
use crate::tls::{Fallen, shake};
use crate::watch::Watched;
use crate::worker::Worker;

/// Serves a connection from its first byte.
pub(crate) async fn serve(worker: &Rc<Worker>, tcp: Link, peer: SocketAddr, watched: Watched) {
    watched.within(worker.settings.head);
    watched.watch.set_holder(worker.table().shared.holder(peer.ip()));
    let shaken = shake(worker, tcp, &watched).await;
    drop(watched);
    match shaken {
        Ok(tls) if tls.speaks_http2() => {
            let stream = Stream::Tls(Box::new(tls));
            let facts = Facts::of(worker, &stream, peer);
            http2::serve(worker, stream, Input::default(), facts, Entrance::Front).await;
        }
        Ok(tls) => {
            connection::serve(worker, Stream::Tls(Box::new(tls)), peer, Entrance::Front).await;
        }
        Err(Fallen::Plain(tcp)) => turn_away(worker, Client::new(worker, Stream::Plain(tcp), peer)).await,
        Err(Fallen::Over) => {}
    }
}

/// Tells a client that speaks HTTP in clear text where it is; others hear nothing.
async fn turn_away(worker: &Rc<Worker>, mut client: Client) {
    client.enrol().await;
    client.watched.within(worker.settings.head);
    let watch = client.watched.watch.clone();
    let read = poll_fn(|cx| {
        if watch.is_late() {
            return std::task::Poll::Ready(Ok(0));
        }
        client.poll_fill(cx, worker, crate::limits::REQUEST_HEAD_BYTES)
    });
    let read = read.await;
    let speaks_http = client.input.filled().first().is_some_and(u8::is_ascii_uppercase);
    if read.is_ok() && speaks_http {
        client.refuse(worker, Refusal::PLAIN_HTTP).await;
    }
}
