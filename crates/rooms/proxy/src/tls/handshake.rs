//! The handshake: the name that the client asks for decides what it is shown and what is asked of it.

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::hosts::{Host, Hosts, PROOF_PROTOCOL};
use super::{Socket, TlsStream, client, push_out, take_in};
use crate::link::Link;
use crate::watch::{Holder, Watched};
use crate::worker::Worker;

/// The first byte of a connection that opens with a handshake.
const HANDSHAKE: u8 = 22;
/// A fatal alert in a record of its own, in clear text as nothing is agreed on yet: `unrecognized_name`.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Why there is no connection under TLS.
pub(crate) enum Fallen {
    /// The client speaks something in clear text, which nobody has read yet.
    Plain(Link),
    /// It is over, and the client knows why as far as TLS can tell it.
    Over,
}

/// A place among the handshakes in progress.
struct Shaking<'a>(&'a Worker, Holder);

impl<'a> Shaking<'a> {
    fn begin(worker: &'a Worker, holder: Holder) -> Option<Self> {
        let fits = worker.places.borrow_mut().take(holder);
        worker.gauges.tls.begin(fits);
        fits.then(|| Self(worker, holder))
    }
}

impl Drop for Shaking<'_> {
    fn drop(&mut self) {
        self.0.places.borrow_mut().give_back(self.1);
        self.0.gauges.tls.end();
    }
}

/// Makes a connection into one under TLS, within the time of `watched`.
pub(crate) async fn shake(worker: &Worker, mut tcp: Link, watched: &Watched) -> Result<TlsStream, Fallen> {
    let Some(_place) = Shaking::begin(worker, watched.watch.holder()) else { return Err(Fallen::Over) };
    let mut first = [0];
    // Until it has said something nobody waits for anything, so an ending edge may close it.
    watched.watch.set_resting(true);
    let peeked = poll_fn(|cx| {
        watched.watch.enrol(cx);
        match tcp.poll_peek(cx, &mut first) {
            Poll::Ready(peeked) => Poll::Ready(peeked.ok()),
            Poll::Pending if watched.watch.is_late() => Poll::Ready(None),
            Poll::Pending if worker.clearing.get() => Poll::Ready(Some(0)),
            Poll::Pending => Poll::Pending,
        }
    });
    let peeked = peeked.await;
    watched.watch.set_resting(false);
    match peeked {
        Some(1) if first[0] == HANDSHAKE => {}
        Some(1) => return Err(Fallen::Plain(tcp)),
        // Nothing was said: a look whether the port is open, or a client that changed its mind.
        Some(_) => return Err(Fallen::Over),
        None => {
            worker.gauges.tls.failed();
            return Err(Fallen::Over);
        }
    }
    let done = agree(worker, &mut tcp, watched).await;
    match done {
        Ok((session, host)) => {
            worker.gauges.tls.done(session.handshake_kind() == Some(HandshakeKind::Resumed));
            let presented = client::line(session.peer_certificates());
            let clients = host.clients.clone();
            Ok(TlsStream { tcp, session, taken: 0, closing: false, clients, presented })
        }
        Err(error) => {
            worker.gauges.tls.failed();
            tracing::debug!(%error, "a handshake failed");
            Err(Fallen::Over)
        }
    }
}

/// Both sides of the handshake, up to its end.
async fn agree(
    worker: &Worker,
    tcp: &mut Link,
    watched: &Watched,
) -> io::Result<(ServerConnection, Arc<Host>)> {
    let mut acceptor = Acceptor::default();
    let hello = poll_fn(|cx| {
        if watched.watch.is_late() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll_hello(&mut acceptor, tcp, cx)
    });
    let accepted = hello.await?;
    let table = worker.table();
    if asks_for_proof(&accepted) {
        let proof = table.shared.tls.proof(accepted.client_hello().server_name());
        return prove(tcp, watched, accepted, proof).await;
    }
    let local = tcp.local_addr().map(|address| address.ip().to_canonical());
    let Some(host) = host_for(&table.shared.tls, &accepted, local) else {
        say(tcp, &UNRECOGNIZED_NAME).await;
        return Err(io::Error::new(io::ErrorKind::NotFound, "no certificate for the name"));
    };
    drop(table);
    let mut session = match accepted.into_connection(host.config.clone()) {
        Ok(session) => session,
        Err((error, alert)) => return Err(alerted(tcp, error, alert).await),
    };
    finish(&mut session, tcp, watched).await?;
    Ok((session, host))
}

/// The rest of the handshake, up to its end.
async fn finish(session: &mut ServerConnection, tcp: &mut Link, watched: &Watched) -> io::Result<()> {
    poll_fn(|cx| {
        loop {
            if watched.watch.is_late() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let pushed = push_out(session, tcp, cx)?;
            if !session.is_handshaking() {
                // Tickets that the kernel did not take yet go out with the first answer.
                return Poll::Ready(Ok(()));
            }
            if pushed.is_pending() {
                return Poll::Pending;
            }
            match take_in(session, tcp, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    })
    .await
}

/// Whether it is an authority that looks whether the host is ours: such a one offers this protocol and no other.
fn asks_for_proof(accepted: &Accepted) -> bool {
    let mut offered = accepted.client_hello().alpn().into_iter().flatten();
    offered.next() == Some(PROOF_PROTOCOL) && offered.next().is_none()
}

/// Shows it what it wants to see. There is nothing to be said over such a connection.
async fn prove(
    tcp: &mut Link,
    watched: &Watched,
    accepted: Accepted,
    proof: Option<Arc<ServerConfig>>,
) -> io::Result<(ServerConnection, Arc<Host>)> {
    let Some(config) = proof else {
        say(tcp, &UNRECOGNIZED_NAME).await;
        return Err(io::Error::new(io::ErrorKind::NotFound, "no authority is to look at that name now"));
    };
    let mut session = match accepted.into_connection(config) {
        Ok(session) => session,
        Err((error, alert)) => return Err(alerted(tcp, error, alert).await),
    };
    finish(&mut session, tcp, watched).await?;
    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "an authority has looked whether the host is ours"))
}

fn host_for(hosts: &Hosts, accepted: &Accepted, local: Option<IpAddr>) -> Option<Arc<Host>> {
    hosts.choose(accepted.client_hello().server_name(), local)
}

/// Reads until the client's first message is whole.
fn poll_hello(acceptor: &mut Acceptor, tcp: &mut Link, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
    loop {
        match acceptor.read_tls(&mut Socket { tcp, cx }) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Poll::Ready(Ok(accepted)),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let _ = alert.write_all(&mut Socket { tcp, cx });
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
    }
}

/// Tells the client, as far as that goes without waiting, and gives the error.
async fn alerted(tcp: &mut Link, error: rustls::Error, mut alert: AcceptedAlert) -> io::Error {
    let mut bytes = Vec::new();
    // Into memory, which takes everything.
    let _ = alert.write_all(&mut bytes as &mut dyn Write);
    say(tcp, &bytes).await;
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Writes a few bytes if the kernel has room for them, as it does on a new connection.
async fn say(tcp: &mut Link, bytes: &[u8]) {
    let once = poll_fn(|cx| {
        let _ = tcp.poll_write(cx, bytes);
        let _ = tcp.shut_down();
        Poll::Ready(())
    });
    once.await;
}
