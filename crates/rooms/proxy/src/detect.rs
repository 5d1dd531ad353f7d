//! Published TCP ports: what is spoken there is found out from the first bytes, unless the file says it.
//!
//! A client that opens with an HTTP/1 request line is served request by request, and so is one that opens with HTTP/2
//! where that is what instances speak. In all other protocols either
//! the client opens with something else, or it waits for the server; so the instance is connected to without
//! waiting for the client, and whoever speaks first decides.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use spec::Protocol;

use crate::connection::{self, Client, Entrance};
use crate::exchange::connect;
use crate::gate::Gate;
use crate::http2;
use crate::limits::BUFFER_BYTES;
use crate::local::{LocalPool, Upstream};
use crate::preface::introduce;
use crate::refusal::Refusal;
use crate::stream::Stream;
use crate::tunnel;
use crate::worker::Worker;

/// Clients of HTTP speak at once: so long we wait before connecting, so that a kept connection can serve them.
const PATIENCE: Duration = Duration::from_millis(3);
/// A longer first line is not taken for HTTP.
const LINE_BYTES: usize = 8 * 1024;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Http,
    Other,
    Unsure,
}

/// What was found out about a connection.
enum Found {
    Http,
    Other,
    Gone,
}

/// Serves a connection that came to a published port.
pub(crate) async fn serve(worker: &Rc<Worker>, stream: Stream, peer: SocketAddr, address: SocketAddr) {
    let table = worker.table();
    let Some((protocol, pool)) = table.shared.listeners.get(&(address, false)).copied() else {
        // The listener left the table between the accept and this look.
        return;
    };
    let pool = table.pools[pool].clone();
    drop(table);
    match protocol {
        Protocol::Http => connection::serve(worker, stream, peer, Entrance::Port(pool.key.clone())).await,
        Protocol::Auto => auto(worker, stream, peer, pool).await,
        Protocol::Tcp | Protocol::Udp => {
            pass(worker, Client::new(worker, stream, peer), peer, pool, None).await
        }
    }
}

/// Passes bytes through, to the instance that is connected already or to one that will be.
async fn pass(
    worker: &Rc<Worker>,
    client: Client,
    peer: SocketAddr,
    mut pool: Rc<LocalPool>,
    up: Option<Upstream>,
) {
    let seat = pool.gate.as_ref().map(Gate::seat);
    if let Some(None) = seat {
        return client.reset();
    }
    let key = pool.key_of_peer(peer);
    let up = match up {
        Some(up) => up,
        None => match introduced(worker, &mut pool, key, client.ends()).await {
            Ok(up) => up,
            Err(_) => return client.reset(),
        },
    };
    tunnel::run(worker, client.stream, client.input, client.watched, up).await;
}

/// A connection to an instance, which is told of the client if its service wants that.
async fn introduced(
    worker: &Rc<Worker>,
    pool: &mut Rc<LocalPool>,
    key: Option<u64>,
    ends: (SocketAddr, SocketAddr),
) -> Result<Upstream, Refusal> {
    let up = connect(worker, pool, &[], key).await?;
    introduce(pool, up, Some(ends)).await
}

async fn auto(worker: &Rc<Worker>, stream: Stream, peer: SocketAddr, mut pool: Rc<LocalPool>) {
    let mut client = Client::new(worker, stream, peer);
    let key = pool.key.clone();
    let http2 = pool.http2;
    client.enrol().await;
    client.watched.within(worker.settings.tunnel_idle);
    let first = poll_fn(|cx| listen(worker, &mut client, http2, cx));
    let mut found = tokio::time::timeout(PATIENCE, first).await.ok();
    let mut up = None;
    let mut refused = false;
    if found.is_none() {
        let common = pool.key_of_peer(peer);
        let mut connecting = pin!(introduced(worker, &mut pool, common, client.ends()));
        let both = poll_fn(|cx| {
            if up.is_none()
                && !refused
                && let Poll::Ready(made) = connecting.as_mut().poll(cx)
            {
                refused = made.is_err();
                up = made.ok();
            }
            let heard = up.as_mut().is_some_and(|up: &mut Upstream| up.stream.poll_read_ready(cx).is_ready());
            if heard {
                return Poll::Ready(Found::Other);
            }
            if refused { Poll::Ready(Found::Gone) } else { listen(worker, &mut client, http2, cx) }
        });
        found = Some(both.await);
    }
    match found {
        Some(Found::Http) => connection::converse(worker, client, Entrance::Port(key), up).await,
        Some(Found::Other) => {
            let table = worker.table();
            let pool = table.pool(&key).cloned();
            if let Some(pool) = pool {
                pass(worker, client, peer, pool, up).await;
            }
        }
        Some(Found::Gone) | None => client.reset(),
    }
}

/// Reads from the client until its first line tells what it speaks.
fn listen(worker: &Rc<Worker>, client: &mut Client, http2: bool, cx: &mut Context<'_>) -> Poll<Found> {
    loop {
        let late = client.watched.watch.is_late();
        match judge(client.input.filled(), http2) {
            Verdict::Http => return Poll::Ready(Found::Http),
            Verdict::Other => return Poll::Ready(Found::Other),
            Verdict::Unsure if late && client.input.is_empty() => return Poll::Ready(Found::Gone),
            Verdict::Unsure if late => return Poll::Ready(Found::Other),
            Verdict::Unsure => {}
        }
        let before = client.input.len();
        match client.poll_fill(cx, worker, BUFFER_BYTES) {
            Poll::Pending => return Poll::Pending,
            // It listens only; what it said before is passed on.
            Poll::Ready(Ok(0)) => return Poll::Ready(Found::Other),
            Poll::Ready(Ok(_)) if before == 0 => client.watched.within(worker.settings.detect),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Found::Gone),
        }
    }
}

/// Whether these first bytes are an HTTP/1 request line, or open HTTP/2 where that is looked for.
pub(crate) fn judge(buf: &[u8], http2: bool) -> Verdict {
    match http2::opens(buf) {
        Some(true) if http2 => return Verdict::Http,
        None if http2 => return Verdict::Unsure,
        Some(_) | None => {}
    }
    let method = buf.iter().take_while(|c| c.is_ascii_uppercase()).count();
    if method > crate::limits::METHOD_BYTES || (method == 0 && !buf.is_empty()) {
        return Verdict::Other;
    }
    match &buf[method..] {
        [] | [b' '] => return Verdict::Unsure,
        [b' ', b'/' | b'*' | b'h' | b'H', ..] => {}
        _ => return Verdict::Other,
    }
    let window = &buf[..buf.len().min(LINE_BYTES)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if window.len() == LINE_BYTES { Verdict::Other } else { Verdict::Unsure };
    };
    let line = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
    if line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") { Verdict::Http } else { Verdict::Other }
}

#[cfg(test)]
mod tests;
