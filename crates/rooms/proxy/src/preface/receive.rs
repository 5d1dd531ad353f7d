//! Reading the header of a client's connection, and writing that of an instance's.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWriteExt;

use super::{FIXED_BYTES, Flaw, LINE_BYTES, Origin, Step, VARIABLE_BYTES, step, write};
use crate::events;
use crate::link::Link;
use crate::local::{LocalPool, Upstream};
use crate::refusal::Refusal;
use crate::watch::Watched;
use crate::worker::Worker;

/// Takes the header off a new connection of a proxy that sends one; gives the client's address, or none for one that is
/// to be closed.
pub(crate) async fn admit(
    worker: &Rc<Worker>,
    tcp: &mut Link,
    peer: SocketAddr,
    watched: &Watched,
) -> Option<SocketAddr> {
    watched.within(worker.settings.preface);
    // Nobody waits for anything before it, so an ending edge may close it.
    watched.watch.set_resting(true);
    let mut buf = Vec::new();
    let read = poll_fn(|cx| {
        watched.watch.enrol(cx);
        if watched.watch.is_late() {
            return Poll::Ready(Err(Flaw::Late));
        }
        match poll(tcp, &mut buf, cx) {
            Poll::Pending if worker.clearing.get() => Poll::Ready(Err(Flaw::Cut)),
            other => other,
        }
    });
    match read.await {
        Ok(origin) => Some(origin.unwrap_or(peer)),
        // A look whether the port is open.
        Err(Flaw::Cut) if buf.is_empty() => None,
        Err(flaw) => {
            events::bad_preface(peer, flaw);
            None
        }
    }
}

/// Reads until the header is whole, and no byte more.
fn poll(tcp: &mut Link, buf: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<Result<Origin, Flaw>> {
    loop {
        let count = match step(buf)? {
            Step::Done(origin) => return Poll::Ready(Ok(origin)),
            Step::Need(count) => count,
            Step::Line(most) => {
                let mut space = [0; LINE_BYTES];
                let Ok(count) = ready!(tcp.poll_peek(cx, &mut space[..most])) else {
                    return Poll::Ready(Err(Flaw::Cut));
                };
                memchr::memchr(b'\n', &space[..count]).map_or(count, |end| end + 1)
            }
        };
        let mut space = [0; FIXED_BYTES + VARIABLE_BYTES];
        match ready!(tcp.poll_read(cx, &mut space[..count])) {
            Ok(read @ 1..) => buf.extend_from_slice(&space[..read]),
            Ok(0) | Err(_) => return Poll::Ready(Err(Flaw::Cut)),
        }
    }
}

/// Tells an instance on a new connection who its client is, and where that came to, if its service wants that.
pub(crate) async fn introduce(
    pool: &LocalPool,
    mut up: Upstream,
    ends: Option<(SocketAddr, SocketAddr)>,
) -> Result<Upstream, Refusal> {
    let Some(version) = pool.policy.proxy_protocol else { return Ok(up) };
    let written: io::Result<()> = up.stream.write_all(&write(version, ends)).await;
    // It is the first thing on the connection, so the kernel has room for it.
    written.map_err(|_| Refusal::UNREACHABLE).map(|()| up)
}
