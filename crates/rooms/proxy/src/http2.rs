//! HTTP/2 from clients: each stream becomes one request that goes the way of every other.
//!
//! A stream is carried as a connection of its own: a [`Lane`] that reads as an HTTP/1.1 request and takes an HTTP/1.1
//! answer. So there is one reader of heads, one set of rules and refusals, one log, whatever the client speaks; and what
//! HTTP/2 would let through (a line feed in a field, a path with a space) has to pass the strict parser too.

mod far;
mod lane;
mod pieces;
mod request;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, Connection, SendResponse};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::Input;
use crate::connection::{Client, Entrance, Facts};
use crate::limits::{
    H2_CONNECTION_WINDOW, H2_RESETS, H2_SEND_BYTES, H2_STREAM_WINDOW, H2_STREAMS, REQUEST_HEAD_BYTES,
};
use crate::seats::Job;
use crate::stream::Stream;
use crate::watch::Watched;
use crate::worker::Worker;

pub(crate) use far::{FarLane, FarTrunk};
pub(crate) use lane::Lane;
#[cfg(fuzzing)]
pub(crate) use request::{Framing, write as written};

/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether these first bytes open HTTP/2; nothing while they may.
pub(crate) fn opens(buf: &[u8]) -> Option<bool> {
    let count = buf.len().min(PREFACE.len());
    if buf[..count] != PREFACE[..count] {
        return Some(false);
    }
    (count == PREFACE.len()).then_some(true)
}

/// What the streams of one connection share.
pub(crate) struct Trunk {
    worker: Rc<Worker>,
    watched: Watched,
    /// Streams that are open.
    open: Cell<usize>,
    /// Streams that the client gave up, less those that it saw to their end.
    resets: Cell<u32>,
}

impl Trunk {
    fn begin(&self) {
        self.open.set(self.open.get() + 1);
    }

    fn end(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            let settings = &self.worker.settings;
            let clearing = self.worker.clearing.get();
            self.watched.within(if clearing { settings.linger } else { settings.keep_alive });
        }
    }

    /// Notes how a stream ended. A client that opens streams only to give them up has us work for nothing
    /// (CVE-2023-44487); one that changes its mind now and then does not.
    fn note_end(&self, given_up: bool) {
        let resets = self.resets.get();
        self.resets.set(if given_up { resets + 1 } else { resets.saturating_sub(1) });
        if self.resets.get() > H2_RESETS {
            self.watched.watch.wake();
        }
    }
}

/// Serves a connection of which `ahead` was read already.
pub(crate) async fn serve(
    worker: &Rc<Worker>,
    stream: Stream,
    ahead: Input,
    facts: Rc<Facts>,
    entrance: Entrance,
) {
    // Streams cannot be asked.
    facts.local(&stream);
    let watched = worker.watches.watch();
    watched.within(worker.settings.head);
    let trunk = Rc::new(Trunk { worker: worker.clone(), watched, open: Cell::new(0), resets: Cell::new(0) });
    let wire = Wire { stream, ahead, worker: worker.clone() };
    let mut shaking = Box::pin(builder().handshake::<_, Bytes>(wire));
    let watch = trunk.watched.watch.clone();
    let shaken = poll_fn(|cx| {
        watch.enrol(cx);
        if watch.is_late() {
            return Poll::Ready(None);
        }
        shaking.as_mut().poll(cx).map(Result::ok)
    });
    let Some(connection) = shaken.await else { return };
    drop(shaking);
    trunk.watched.within(worker.settings.keep_alive);
    // An ending edge wakes it, so that it can say so.
    watch.set_resting(true);
    converse(&trunk, connection, &facts, &entrance).await;
}

/// Every bound that HTTP/2 knows, set by us and not by a version of the library.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(H2_STREAMS)
        .initial_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_frame_size(16_384)
        .max_header_list_size(REQUEST_HEAD_BYTES as u32)
        .header_table_size(4096)
        .max_send_buffer_size(H2_SEND_BYTES)
        // Streams that were reset before we looked at them; more, and the connection ends.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(128))
        .max_concurrent_reset_streams(32)
        .enable_connect_protocol();
    builder
}

/// Takes in streams until the connection ends.
async fn converse(
    trunk: &Rc<Trunk>,
    mut connection: Connection<Wire, Bytes>,
    facts: &Rc<Facts>,
    entrance: &Entrance,
) {
    let mut leaving = false;
    loop {
        let next = poll_fn(|cx| {
            if let Poll::Ready(End::Now) = look(trunk, &mut connection, &mut leaving) {
                return Poll::Ready(None);
            }
            connection.poll_accept(cx)
        });
        match next.await {
            Some(Ok((request, respond))) => {
                begin(trunk, facts, entrance, request, respond);
                // Said while it waits for an answer: clients that hear it just as they ask have to ask again elsewhere,
                // and not all do.
                if trunk.worker.draining.get() && !leaving {
                    leaving = true;
                    connection.graceful_shutdown();
                }
            }
            // The library has told the client why.
            Some(Err(_)) | None => return,
        }
    }
}

/// The end of a connection that has no time left.
enum End {
    Now,
}

/// Looks whether the connection is to end, and says so to the client.
fn look(trunk: &Trunk, connection: &mut Connection<Wire, Bytes>, leaving: &mut bool) -> Poll<End> {
    let settings = &trunk.worker.settings;
    if trunk.resets.get() > H2_RESETS {
        trunk.resets.set(0);
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    }
    let rests = trunk.open.get() == 0;
    let late = trunk.watched.watch.is_late();
    if late && rests && *leaving {
        return Poll::Ready(End::Now);
    }
    if (late && rests) || trunk.worker.clearing.get() {
        if !*leaving {
            *leaving = true;
            connection.graceful_shutdown();
            if rests {
                trunk.watched.within(settings.linger);
            }
        }
    } else if late {
        // Streams have deadlines of their own.
        trunk.watched.within(settings.keep_alive);
    }
    Poll::Pending
}

/// Serves one stream.
fn begin(
    trunk: &Rc<Trunk>,
    facts: &Rc<Facts>,
    entrance: &Entrance,
    request: http::Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let (lane, refusal) = Lane::new(trunk.clone(), request, respond);
    let client = Client::with(&trunk.worker, Stream::Lane(Box::new(lane)), facts.clone());
    let job = Job { client, refusal, entrance: entrance.clone() };
    trunk.worker.seats.serve(&trunk.worker, job);
}

/// The bytes of the connection: first what was read ahead.
struct Wire {
    stream: Stream,
    ahead: Input,
    worker: Rc<Worker>,
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = this.ahead.len().min(buf.remaining());
        buf.put_slice(&this.ahead.filled()[..count]);
        this.ahead.consume(count);
        this.ahead.rest(&this.worker.buffers);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
