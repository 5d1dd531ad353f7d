//! One client's HTTP connection: request after request, in order, until one side has enough.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use base::{Clock, SystemClock};
use rustix::net::RecvFlags;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::access_log::Entry;
use crate::buffer::{Input, Output};
use crate::chunk::Decoder;
use crate::exchange::{After, Body, Exchange, Question};
use crate::forward::{self, Onward};
use crate::head;
use crate::head::request::{self, RequestHead};
use crate::limits::{BUFFER_BYTES, REQUEST_HEAD_BYTES};
use crate::local::{LocalPool, Upstream};
use crate::refusal::Refusal;
use crate::table::{PoolKey, Target};
use crate::tunnel;
use crate::watch::Watched;
use crate::worker::Worker;

#[cfg(test)]
mod tests;

/// By which door a connection came.
#[derive(Clone)]
pub(crate) enum Entrance {
    /// The edge's own address: requests are routed by host and path.
    Front,
    /// A published port: all requests go to one pool.
    Port(PoolKey),
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) input: Input,
    /// What goes to the client.
    pub(crate) output: Output,
    /// What goes to the instance.
    pub(crate) sent: Output,
    pub(crate) watched: Watched,
    /// The client sends nothing more.
    pub(crate) ended: bool,
    /// Bytes of bodies, for the log.
    pub(crate) received: u64,
    pub(crate) answered: u64,
    entry: Entry,
    local: SocketAddr,
    peer: Vec<u8>,
    forwarded: Vec<u8>,
    scanned: usize,
    /// The head of the present request could be read, and `entry` is about it.
    read_any: bool,
}

/// A request whose head was read.
struct Asked {
    question: Question,
    pool: Rc<LocalPool>,
}

/// Serves a connection from its first byte.
pub(crate) async fn serve(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, entrance: Entrance) {
    let client = Client::new(worker, stream, peer);
    converse(worker, client, entrance, None).await;
}

/// Serves a connection whose first bytes may have been read, and for which an instance may wait already.
pub(crate) async fn converse(
    worker: &Rc<Worker>,
    mut client: Client,
    entrance: Entrance,
    mut early: Option<Upstream>,
) {
    poll_fn(|cx| {
        client.watched.watch.enrol(cx);
        Poll::Ready(())
    })
    .await;
    loop {
        let asked = match client.next(worker, &entrance).await {
            Ok(Some(asked)) => asked,
            Ok(None) => return,
            Err(refusal) => return client.refuse(worker, refusal).await,
        };
        client.watched.watch.set_resting(false);
        worker.budget.earn();
        let exchange = Exchange::new(worker, &mut client, asked.question, asked.pool);
        let after = exchange.run(early.take()).await;
        client.write_log(worker);
        match after {
            After::Next if client.flush(worker).await.is_ok() => {}
            After::Next => return,
            After::Close => return client.close(worker).await,
            After::Reset => return client.reset(),
            After::Tunnel(up) => {
                let (stream, watched) = (client.stream, client.watched);
                return tunnel::run(worker, stream, client.input, watched, *up).await;
            }
        }
    }
}

impl Client {
    pub(crate) fn new(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr) -> Self {
        let unknown = || SocketAddr::from(([0, 0, 0, 0], 0));
        let local = stream.local_addr().unwrap_or_else(|_| unknown());
        let address = peer.ip().to_canonical().to_string().into_bytes();
        let mut forwarded = b"x-forwarded-for: ".to_vec();
        forwarded.extend_from_slice(&address);
        forwarded.extend_from_slice(b"\r\nx-forwarded-proto: http\r\n");
        Self {
            stream,
            input: Input::default(),
            output: Output::default(),
            sent: Output::default(),
            watched: worker.watches.watch(),
            ended: false,
            received: 0,
            answered: 0,
            entry: Entry::default(),
            local,
            peer: address,
            forwarded,
            scanned: 0,
            read_any: false,
        }
    }

    /// Reads once from the client.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        self.input.poll_fill(cx, &mut self.stream, &worker.buffers, most)
    }

    /// The next request, or nothing if the client has no more.
    async fn next(&mut self, worker: &Rc<Worker>, entrance: &Entrance) -> Result<Option<Asked>, Refusal> {
        self.scanned = 0;
        self.read_any = false;
        if self.input.is_empty() && !self.wait(worker).await {
            return Ok(None);
        }
        self.watched.within(worker.settings.head);
        loop {
            let buf = self.input.filled();
            if let Some(end) = head::head_end(buf, &mut self.scanned)
                // The empty line that may stand in front is no head.
                && end > 2
            {
                if end > REQUEST_HEAD_BYTES {
                    return Err(Refusal::HEAD_SIZE);
                }
                return self.read_head(worker, entrance).map(Some);
            }
            hopeless(buf)?;
            if buf.len() >= REQUEST_HEAD_BYTES {
                return Err(Refusal::HEAD_SIZE);
            }
            let read = poll_fn(|cx| {
                if self.watched.watch.is_late() {
                    return Poll::Ready(None);
                }
                self.poll_fill(cx, worker, REQUEST_HEAD_BYTES).map(Some)
            });
            match read.await {
                None => return Err(Refusal::SLOW_HEAD),
                Some(Ok(0) | Err(_)) => return Ok(None),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Rests until something was read; false if the connection ends instead.
    async fn wait(&mut self, worker: &Rc<Worker>) -> bool {
        if self.ended {
            return false;
        }
        self.watched.within(worker.settings.keep_alive);
        self.watched.watch.set_resting(true);
        let mut lent = true;
        poll_fn(|cx| {
            // Readiness may be a leftover: only bytes end the rest.
            if self.stream.poll_read_ready(cx).is_ready()
                && let Poll::Ready(read) = self.poll_fill(cx, worker, REQUEST_HEAD_BYTES)
            {
                return Poll::Ready(read.is_ok_and(|count| count > 0));
            }
            let over = self.watched.watch.is_late() || worker.draining.get();
            if over && !has_arrived(&self.stream) {
                return Poll::Ready(false);
            }
            if std::mem::take(&mut lent) {
                self.lend(worker);
            }
            Poll::Pending
        })
        .await
    }

    /// Gives the memory back that a resting connection does not need.
    fn lend(&mut self, worker: &Worker) {
        self.input.rest(&worker.buffers);
        for output in [&mut self.output, &mut self.sent] {
            output.at = 0;
            worker.buffers.give_page(std::mem::take(&mut output.bytes));
        }
    }

    /// Reads the head, finds the pool, and writes the head for the instance.
    fn read_head(&mut self, worker: &Rc<Worker>, entrance: &Entrance) -> Result<Asked, Refusal> {
        let mut fields = worker.fields.borrow_mut();
        let buf = self.input.filled();
        let head = request::parse(buf, &mut fields)?;
        let began = SystemClock.now();
        self.read_any = true;
        self.received = 0;
        self.answered = 0;
        if worker.settings.access_log {
            self.entry.begin(began, head.method.of(buf), head.host.map(|h| h.of(buf)), head.target.of(buf));
        }
        let Some((pool, strip)) = route(worker, entrance, &head, buf) else {
            return Err(Refusal::NO_ROUTE);
        };
        for output in [&mut self.output, &mut self.sent] {
            if output.bytes.capacity() == 0 {
                output.bytes = worker.buffers.page();
            }
        }
        self.sent.clear();
        let onward = Onward {
            forwarded: &self.forwarded,
            peer: &self.peer,
            trusted: worker.settings.trust_forwarded,
            strip,
            local: self.local,
        };
        forward::request(&mut self.sent.bytes, buf, &head, &fields, &onward);
        drop(fields);
        let question = question(&head, began);
        self.input.consume(head.bytes);
        Ok(Asked { question, pool })
    }

    /// Notes for the log what became of the request.
    pub(crate) fn note(&mut self, status: u16, reason: &'static str) {
        self.entry.status = status;
        self.entry.reason = reason;
    }

    fn write_log(&mut self, worker: &Worker) {
        if worker.settings.access_log {
            let peer = &self.peer;
            worker.log.borrow_mut().push(&self.entry, peer, self.received, self.answered);
        }
    }

    /// Writes what is ready for the client.
    async fn flush(&mut self, worker: &Worker) -> io::Result<()> {
        if self.output.is_flushed() {
            return Ok(());
        }
        self.watched.within(worker.settings.body_idle);
        poll_fn(|cx| {
            while !self.output.is_flushed() {
                if self.watched.watch.is_late() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                match Pin::new(&mut self.stream).poll_write(cx, self.output.pending()) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(count)) => self.output.wrote(count),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Answers a request that went no further, and closes.
    async fn refuse(mut self, worker: &Rc<Worker>, refusal: Refusal) {
        self.output.clear();
        // The head that is refused is still there.
        let head_only = self.input.filled().trim_ascii_start().starts_with(b"HEAD ");
        refusal.write(&mut self.output.bytes, true, head_only);
        if !self.read_any {
            self.entry.forget();
        }
        self.note(refusal.status, refusal.code);
        self.write_log(worker);
        self.close(worker).await;
    }

    /// Ends the connection so that the client can read the last answer: what it still sends is thrown away for a
    /// while, since closing over unread bytes would reset the connection and take the answer along.
    async fn close(mut self, worker: &Rc<Worker>) {
        if self.flush(worker).await.is_err() || self.stream.shutdown().await.is_err() || self.ended {
            return;
        }
        self.watched.within(worker.settings.linger);
        poll_fn(|cx| {
            loop {
                if self.watched.watch.is_late() {
                    return Poll::Ready(());
                }
                let count = self.input.len();
                self.input.consume(count);
                match self.poll_fill(cx, worker, BUFFER_BYTES) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(_)) => {}
                }
            }
        })
        .await;
        self.lend(worker);
    }

    /// Breaks the connection, so that a cut answer cannot pass for a whole one.
    pub(crate) fn reset(self) {
        // Without it the connection is closed in order, which shows the cut too unless the answer has no length.
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(std::time::Duration::ZERO));
    }
}

/// Whether the kernel holds bytes of the client that we have not been told of yet. To close over them would reset the
/// connection under a request that was sent in time.
fn has_arrived(stream: &TcpStream) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    rustix::net::recv(stream, &mut [0; 1], flags).is_ok_and(|(_, count)| count > 0)
}

/// Whether what has come so far can become a head at all; decided early, so that nobody waits for the rest.
fn hopeless(buf: &[u8]) -> Result<(), Refusal> {
    let text = buf.strip_prefix(b"\r\n").unwrap_or(buf);
    match text.first() {
        Some(b'\r') if text.len() == 1 && buf.len() == 1 => Ok(()),
        Some(first) if !head::is_method(&[*first]) => Err(Refusal::REQUEST_LINE),
        _ => Ok(()),
    }
}

/// The pool for a request, and how much of its path is cut off.
fn route(
    worker: &Rc<Worker>,
    entrance: &Entrance,
    head: &RequestHead,
    buf: &[u8],
) -> Option<(Rc<LocalPool>, usize)> {
    let table = worker.table();
    match entrance {
        Entrance::Front => {
            let Target { pool, strip } =
                table.shared.find(head.host.map(|h| h.of(buf)), head.path.of(buf))?;
            Some((table.pools[pool].clone(), strip))
        }
        Entrance::Port(key) => Some((table.pool(key)?.clone(), 0)),
    }
}

/// What is to be known of the request beyond its head.
fn question(head: &RequestHead, began: base::Instant) -> Question {
    let keep = if head.old { head.says.keep_alive && !head.says.close } else { !head.says.close };
    let body = if head.framing.chunked {
        Body::Chunked(Decoder::new())
    } else {
        Body::Length(head.framing.length.unwrap_or(0))
    };
    Question {
        method: head.kind,
        old: head.old,
        keep,
        takes_trailers: head.takes_trailers,
        upgrade: head.upgrade.is_some(),
        body,
        began,
    }
}
