//! One client's HTTP connection: request after request, in order, until one side has enough.

mod facts;
pub(crate) mod hops;
mod wants;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{Clock, Instant, SystemClock};
use resilience::deadline::{self, Deadline, Expired};
use spec::{BalanceBy, EdgePolicy};
use tokio::io::AsyncWrite;

use crate::access_log::Entry;
use crate::balance;
use crate::buffer::{Input, Output};
use crate::cache::Wanted;
use crate::chunk::Decoder;
use crate::exchange::{After, Body, Exchange, Question, may_hedge};
use crate::fork::{self, Forked};
use crate::forward::{self, Onward};
use crate::gate::Gate;
use crate::head::request::{self, Method, RequestHead};
use crate::head::{self, Field, Known};
use crate::http2;
use crate::limits::{BUFFER_BYTES, LogFormat, REQUEST_HEAD_BYTES};
use crate::local::{LocalPool, LocalTable, Upstream};
use crate::priority::{self, Rank};
use crate::refusal::{Form, Refusal, push_number};
use crate::rules::{Care, Incoming, Kept};
use crate::stick::Brought;
use crate::stream::Stream;
use crate::table::{HTTPS_PORT, PoolKey, Table, Target};
use crate::tls::Hosts;
use crate::trace::{self, TraceId};
use crate::tunnel;
use crate::watch::{Activity, Holder, Watched};
use crate::worker::Worker;

pub(crate) use facts::Facts;
use facts::NOWHERE;

/// How the time that is left is told to instances; how much there is, clients and services say.
const ONWARD: deadline::Policy = deadline::Policy {
    timeout: Duration::MAX,
    margin: Duration::from_millis(5),
    least: Duration::from_millis(1),
};

/// A client that waits for less may not have an instance judged by that, or anybody could have it ejected.
const HURRIED: Duration = Duration::from_secs(5);

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
    pub(crate) stream: Stream,
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
    /// The line of answers over TLS that has browsers come so again.
    pub(crate) strict: Option<Arc<[u8]>>,
    /// What the route and the service want done with the present request beyond the usual.
    pub(crate) care: Option<Box<Care>>,
    /// Where else the present request may go, where its service has sides or a mirror.
    pub(crate) forked: Option<Box<Forked>>,
    /// What it wants of its service's cache, where that has one.
    pub(crate) wanted: Option<Box<Wanted>>,
    facts: Rc<Facts>,
    entry: Entry,
    /// Nothing was asked yet: the client may open with HTTP/2.
    opening: bool,
    scanned: usize,
    /// The head of the present request could be read, and `entry` is about it.
    read_any: bool,
    /// A refusal of the present request has no body.
    head_only: bool,
    /// The present request is a call of gRPC.
    grpc: bool,
    /// The protocol that the present request offers to go on with.
    pub(crate) offered: Option<Box<[u8]>>,
    /// What an authority is to find, in the place of a refusal.
    proof: Option<Arc<str>>,
    /// Further lines of a refusal.
    pub(crate) lines: Vec<u8>,
    /// The route of the present request, by its number in that table.
    route: Option<(Rc<LocalTable>, usize)>,
}

/// What the next request is.
enum Came {
    Asked(Asked),
    /// The client opens with HTTP/2.
    Http2,
    /// The client has no more.
    Nothing,
}

/// A request whose head was read.
struct Asked {
    question: Question,
    pool: Rc<LocalPool>,
}

/// Serves a connection from its first byte.
pub(crate) async fn serve(worker: &Rc<Worker>, stream: Stream, peer: SocketAddr, entrance: Entrance) {
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
    client.enrol().await;
    loop {
        let asked = match client.next(worker, &entrance).await {
            Ok(Came::Asked(asked)) => asked,
            Ok(Came::Http2) => {
                let (stream, input, facts) = client.into_parts();
                // Rare on this way, so that other connections need not have room for it.
                return Box::pin(http2::serve(worker, stream, input, facts, entrance)).await;
            }
            Ok(Came::Nothing) => return client.leave(worker),
            Err(refusal) => return Box::pin(client.refuse(worker, refusal)).await,
        };
        client.watched.watch.set_resting(false);
        client.watched.watch.set_activity(Activity::Busy);
        worker.budget.earn();
        // It is to an instance of the pool that the entrance leads to, and the request may go elsewhere.
        let early = early.take().filter(|up| asked.pool.has(&up.flight.0));
        let exchange = Exchange::new(worker, &mut client, asked.question, asked.pool);
        let after = exchange.run(early).await;
        client.write_log(worker);
        match after {
            After::Next if client.flush(worker).await.is_err() => return,
            After::Next if client.stream.is_lane() => return client.leave(worker),
            After::Next => {}
            After::Leave => return client.leave(worker),
            After::Close => return client.close(worker).await,
            After::Reset => return client.reset(),
            After::Tunnel(up) => {
                let (stream, watched) = (client.stream, client.watched);
                return Box::pin(tunnel::run(worker, stream, client.input, watched, *up)).await;
            }
        }
    }
}

impl Client {
    pub(crate) fn new(worker: &Rc<Worker>, stream: Stream, peer: SocketAddr) -> Self {
        let facts = Facts::of(worker, &stream, peer);
        Self::with(worker, stream, facts)
    }

    /// With what is known of it already.
    pub(crate) fn with(worker: &Rc<Worker>, stream: Stream, facts: Rc<Facts>) -> Self {
        let protocol = if stream.is_lane() { "HTTP/2" } else { "HTTP/1.1" };
        let watched = worker.watches.watch();
        watched.watch.set_holder(if stream.is_shared() { Holder::MANY } else { facts.holder(worker) });
        Self {
            // TLS has agreed on what is spoken.
            opening: matches!(stream, Stream::Plain(_)),
            stream,
            input: Input::default(),
            output: Output::default(),
            sent: Output::default(),
            watched,
            ended: false,
            received: 0,
            answered: 0,
            strict: None,
            care: None,
            forked: None,
            wanted: None,
            facts,
            entry: Entry::over(protocol),
            scanned: 0,
            read_any: false,
            head_only: false,
            grpc: false,
            offered: None,
            proof: None,
            lines: Vec::new(),
            route: None,
        }
    }

    /// Both ends of its connection, its own first.
    pub(crate) fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.facts.from, self.facts.local(&self.stream))
    }

    /// It came over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.facts.secure
    }

    /// What goes on as a connection of HTTP/2; the rest, its deadline first of all, ends here.
    fn into_parts(self) -> (Stream, Input, Rc<Facts>) {
        (self.stream, self.input, self.facts)
    }

    /// Has this task woken when the deadline passes.
    pub(crate) async fn enrol(&self) {
        poll_fn(|cx| {
            self.watched.watch.enrol(cx);
            Poll::Ready(())
        })
        .await;
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
    async fn next(&mut self, worker: &Rc<Worker>, entrance: &Entrance) -> Result<Came, Refusal> {
        self.scanned = 0;
        self.read_any = false;
        self.grpc = false;
        self.lines.clear();
        self.strict = None;
        self.care = None;
        self.forked = None;
        self.wanted = None;
        if self.input.is_empty() && !self.wait(worker).await {
            return Ok(Came::Nothing);
        }
        self.watched.within(worker.settings.head);
        self.watched.watch.set_activity(Activity::Asking);
        loop {
            let buf = self.input.filled();
            let opens = if self.opening { http2::opens(buf) } else { Some(false) };
            if opens == Some(true) {
                return Ok(Came::Http2);
            }
            let unclear = opens.is_none() && !buf.is_empty();
            if let Some(end) = head::head_end(buf, &mut self.scanned)
                // The empty line that may stand in front is no head.
                && end > 2
                && !unclear
            {
                if end > REQUEST_HEAD_BYTES {
                    return Err(Refusal::HEAD_SIZE);
                }
                return self.read_head(worker, entrance).map(Came::Asked);
            }
            hopeless(buf)?;
            if buf.len() >= REQUEST_HEAD_BYTES {
                return Err(Refusal::HEAD_SIZE);
            }
            let read = poll_fn(|cx| {
                if self.watched.watch.is_late() {
                    return Poll::Ready(None);
                }
                let filled = self.poll_fill(cx, worker, REQUEST_HEAD_BYTES);
                if filled.is_pending() && !self.input.is_empty() {
                    self.stream.acknowledge();
                    self.input.shrink(&worker.buffers);
                }
                filled.map(Some)
            });
            match read.await {
                None if self.watched.watch.is_crowded_out() => return Err(Refusal::CROWDED),
                None => return Err(Refusal::SLOW_HEAD),
                Some(Ok(0) | Err(_)) => return Ok(Came::Nothing),
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
        self.watched.watch.set_activity(Activity::Resting);
        let mut lent = true;
        poll_fn(|cx| {
            // Readiness may be a leftover: only bytes end the rest.
            if self.stream.poll_read_ready(cx).is_ready()
                && let Poll::Ready(read) = self.poll_fill(cx, worker, REQUEST_HEAD_BYTES)
            {
                return Poll::Ready(read.is_ok_and(|count| count > 0));
            }
            let over = self.watched.watch.is_late() || worker.clearing.get();
            if over && !self.stream.has_arrived() {
                return Poll::Ready(false);
            }
            if std::mem::take(&mut lent) {
                self.lend(worker);
            }
            Poll::Pending
        })
        .await
    }

    /// Ends the connection where nobody waits for anything.
    fn leave(mut self, worker: &Worker) {
        self.lend(worker);
        self.stream.bid_farewell();
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
        (self.read_any, self.opening) = (true, false);
        (self.received, self.answered) = (0, 0);
        self.entry.begin(worker.settings.access_log, began, &head, (&fields, buf));
        (self.head_only, self.grpc) = (head.kind == Method::Head, head.grpc);
        self.offered = head.upgrade.map(|offered| offered.of(buf).into());
        let table = worker.table();
        let facts = &self.facts;
        came_as_it_says(&head, facts, &fields, buf)?;
        let hops = hops::left(&head, &mut fields, buf)?;
        self.proof = proof(&table, entrance, head.path.of(buf));
        if self.proof.is_some() {
            return Err(Refusal::PROOF);
        }
        let (pool, target) = route(&table, entrance, &head, buf)?;
        let mut asked = Incoming { client: facts.address, head: &head, fields: &fields, buf, prefix: 0 };
        if let Some(target) = target {
            self.route = Some((table.clone(), target.number));
            self.strict = target.strict.filter(|_| facts.secure).cloned();
            asked.prefix = target.prefix;
            came_rightly(&table.shared, facts, target, &asked, &mut self.lines)?;
        }
        let rules = target.and_then(|target| target.rules);
        if facts.trusted {
            asked.client = table.shared.origin(asked.client, &fields, buf);
        }
        let (pool, forked) = fork::take(worker, &table, pool, (&asked, facts.secure));
        self.forked = forked;
        let mut denied = None;
        if rules.is_some() || pool.wishes.is_some() || facts.trusted {
            let mut care = Care::of(rules, pool.wishes.as_ref(), facts.trusted.then_some(asked.client));
            denied = care.judge(&asked, &mut self.lines);
            self.care = Some(care);
        }
        is_taken(&pool.policy, head.framing.length)?;
        let denied = denied.or_else(|| one_too_many(pool.gate.as_ref()?, &asked));
        let rank =
            priority::rank(worker, &pool, &asked, || facts.is_internal(&table, asked.client, &self.stream));
        let mut question = Question { denied, rank, ..question(&pool, &asked, began) };
        let left = question.wait(head.patience.into_iter().chain(pool.policy.request).min());
        let local = if head.host.is_some() { NOWHERE } else { facts.local(&self.stream) };
        give_pages(worker, [&mut self.output, &mut self.sent]);
        self.sent.clear();
        let onward = Onward {
            forwarded: &facts.forwarded,
            peer: facts.peer(),
            trusted: facts.trusted,
            secure: facts.secure,
            presented: &facts.presented,
            strip: target.map_or(0, |target| target.strip),
            rewrite: None,
            left,
            local,
        };
        let care = self.care.as_mut();
        let rewrite = care.and_then(|care| care.make_ready(&table, (&head, &mut fields, buf), &onward));
        forward::request(&mut self.sent.bytes, buf, &head, &fields, &Onward { rewrite, ..onward });
        hops::tell(hops, &mut self.sent);
        self.wanted = wants::of(&pool, facts, (self.care.as_deref(), &self.sent), (&head, &fields, buf));
        if pool.policy.trace.is_some() && trace::context(&fields, buf).is_none() {
            self.entry.trace = begin_trace(worker, &pool.policy, &mut self.sent);
        }
        drop(fields);
        self.input.consume(head.bytes);
        Ok(Asked { question, pool })
    }

    /// Notes for the log what became of the request.
    pub(crate) fn note(&mut self, status: u16, reason: &'static str) {
        self.entry.status = status;
        self.entry.reason = reason;
    }

    /// Notes when it ended, where that is known already.
    pub(crate) fn note_end(&mut self, now: Instant) {
        self.entry.ended = Some(now);
    }

    /// Notes for the log that a second instance was asked, and whether it was the quicker.
    pub(crate) fn note_hedge(&mut self, outcome: &'static str) {
        self.entry.hedge = outcome;
    }

    /// Counts the answer to the present request, and writes its line.
    fn write_log(&mut self, worker: &Worker) {
        let now = self.entry.ended.take().unwrap_or_else(|| SystemClock.now());
        if let Some((table, number)) = self.route.take() {
            let took = now.since(self.entry.began);
            table.shared.tallies[number].count(worker.index, self.entry.status, took);
        }
        if worker.settings.access_log != LogFormat::Off {
            let behind = self.care.as_ref().and_then(|care| care.client).map(|client| client.to_string());
            let peer = behind.as_ref().map_or(self.facts.peer(), |client| client.as_bytes());
            worker.log.borrow_mut().push(&self.entry, now, peer, (self.received, self.answered));
        }
    }

    /// Writes what is ready for the client.
    pub(crate) async fn flush(&mut self, worker: &Worker) -> io::Result<()> {
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
    pub(crate) async fn refuse(mut self, worker: &Rc<Worker>, refusal: Refusal) {
        self.output.clear();
        // The head that is refused is still there.
        self.head_only = self.input.filled().trim_ascii_start().starts_with(b"HEAD ");
        // Whoever speaks no HTTP at all would take an answer for something of its own protocol.
        if refusal != Refusal::REQUEST_LINE || !self.opening || !head::is_foreign(self.input.filled()) {
            self.write_refusal(worker, refusal, true);
        }
        if !self.read_any {
            self.entry.forget();
        }
        worker.gauges.decided.refused(None, refusal.code);
        self.note(refusal.status, refusal.code);
        self.write_log(worker);
        self.close(worker).await;
    }

    /// Has name and password checked, and another service asked, if the request goes on only then.
    pub(crate) async fn prove(&mut self, worker: &Rc<Worker>) -> Result<(), Refusal> {
        let Some(care) = &mut self.care else { return Ok(()) };
        // Both have bounds of their own.
        self.watched.within(Duration::from_secs(3600));
        if let Some(check) = care.take_check()
            && let Err(refusal) = check.run().await
        {
            if refusal == Refusal::UNAUTHORIZED {
                self.lines.extend_from_slice(care.challenge());
            }
            return Err(refusal);
        }
        let Some(ask) = care.take_ask() else { return Ok(()) };
        match ask.run(worker).await {
            Ok(lines) => {
                add_line(&mut self.sent, lines);
                Ok(())
            }
            Err(Kept::Refused(refusal)) => Err(refusal),
            Err(Kept::Answered(answer)) => {
                let refusal = Refusal { status: answer.status, ..Refusal::FORWARD_AUTH };
                care.answer_with(answer);
                Err(refusal)
            }
        }
    }

    /// Writes an answer of the edge's own in the way of the request.
    pub(crate) fn write_refusal(&mut self, worker: &Worker, refusal: Refusal, close: bool) {
        let from = self.output.bytes.len();
        self.write_undated(refusal, close);
        worker.today.date(&mut self.output.bytes, from);
    }

    fn write_undated(&mut self, refusal: Refusal, close: bool) {
        if let Some(proof) = self.proof.take() {
            return push_proof(&mut self.output.bytes, &proof, self.head_only);
        }
        if self.grpc {
            return refusal.write_grpc(&mut self.output.bytes, close);
        }
        if let Some(strict) = &self.strict {
            self.lines.extend_from_slice(strict);
        }
        if let Some(answer) = self.care.as_ref().and_then(|care| care.answer()) {
            return answer.write(&mut self.output.bytes, &self.lines, close, self.head_only);
        }
        let page = self.care.as_ref().and_then(|care| care.page(refusal.status));
        let form = Form { lines: &self.lines, page, close, head_only: self.head_only };
        refusal.write(&mut self.output.bytes, &form);
    }

    /// Ends the connection so that the client can read the last answer: what it still sends is thrown away for a
    /// while, since closing over unread bytes would reset the connection and take the answer along.
    async fn close(mut self, worker: &Rc<Worker>) {
        if self.flush(worker).await.is_err() {
            return;
        }
        self.watched.within(worker.settings.linger);
        if !self.shut_down().await || self.ended {
            return;
        }
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

    /// Says that nothing more comes; false if that cannot be said in time.
    async fn shut_down(&mut self) -> bool {
        poll_fn(|cx| match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Ready(done) => Poll::Ready(done.is_ok()),
            Poll::Pending if self.watched.watch.is_late() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Breaks the connection, so that a cut answer cannot pass for a whole one.
    pub(crate) fn reset(mut self) {
        self.stream.break_off();
    }
}

/// Whether what has come so far can become a head at all; decided early, so that nobody waits for the rest.
fn hopeless(buf: &[u8]) -> Result<(), Refusal> {
    let text = buf.strip_prefix(b"\r\n").unwrap_or(buf);
    match text.first() {
        // The first bytes of a handshake; an answer in clear text is what clients of TLS know to read as such.
        Some(22) if buf.len() == 1 => Ok(()),
        Some(22) if buf[1] == 3 => Err(Refusal::TLS_HERE),
        Some(b'\r') if text.len() == 1 && buf.len() == 1 => Ok(()),
        Some(first) if !head::is_method(&[*first]) => Err(Refusal::REQUEST_LINE),
        _ => Ok(()),
    }
}

/// The pool for a request, and what its rule says beyond that if a rule led there.
fn route<'a>(
    table: &'a LocalTable,
    entrance: &Entrance,
    head: &RequestHead,
    buf: &[u8],
) -> Result<(Rc<LocalPool>, Option<Target<'a>>), Refusal> {
    match entrance {
        Entrance::Front => {
            let target = table.shared.find(head.host.map(|h| h.of(buf)), head.path.of(buf))?;
            let pool = target.pool.map_or(&table.nowhere, |pool| &table.pools[pool]);
            Ok((pool.clone(), Some(target)))
        }
        Entrance::Port(key) => Ok((table.pool(key).ok_or(Refusal::NO_ROUTE)?.clone(), None)),
    }
}

/// Whether the service takes a body that says its length.
fn is_taken(policy: &EdgePolicy, length: Option<u64>) -> Result<(), Refusal> {
    let long = policy.max_body.is_some_and(|most| length.is_some_and(|length| length > most.0));
    if long { Err(Refusal::BODY_SIZE) } else { Ok(()) }
}

/// Memory for what is written, where there is none.
fn give_pages(worker: &Worker, outputs: [&mut Output; 2]) {
    for output in outputs {
        if output.bytes.capacity() == 0 {
            output.bytes = worker.buffers.page();
        }
    }
}

/// Puts a new trace into the head that stands ready.
fn begin_trace(worker: &Worker, policy: &EdgePolicy, sent: &mut Output) -> Option<TraceId> {
    let (id, line) = trace::begin(&mut worker.rng.borrow_mut(), policy.trace?);
    add_line(sent, line.into_bytes());
    Some(id)
}

/// Puts a line into the head that stands ready with nothing behind it, in front of its empty one.
fn add_line(sent: &mut Output, line: Vec<u8>) {
    let end = sent.bytes.len() - 2;
    sent.bytes.splice(end..end, line);
}

/// What an authority is to find, if this is where it looks.
fn proof(table: &LocalTable, entrance: &Entrance, path: &[u8]) -> Option<Arc<str>> {
    match entrance {
        Entrance::Front => table.shared.proof(path).cloned(),
        Entrance::Port(_) => None,
    }
}

/// Writes what an authority is to find.
fn push_proof(out: &mut Vec<u8>, proof: &str, head_only: bool) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncache-control: no-store\r\nconnection: close";
    let body = if head_only { "" } else { proof };
    out.extend_from_slice(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", proof.len()).as_bytes());
}

/// Whether a proxy of ours in front says that the client asked it over HTTPS.
fn came_by_https(facts: &Facts, fields: &[Field], buf: &[u8]) -> bool {
    let says = |field: &Field| {
        field.known == Known::ForwardedProto && field.value.of(buf).eq_ignore_ascii_case(b"https")
    };
    facts.trusted && fields.iter().any(says)
}

/// Whether a client that asks for a whole URL with `https` came so.
fn came_as_it_says(head: &RequestHead, facts: &Facts, fields: &[Field], buf: &[u8]) -> Result<(), Refusal> {
    let plain = head.https && !facts.secure && !came_by_https(facts, fields, buf);
    if plain { Err(Refusal::TARGET_FORM) } else { Ok(()) }
}

/// Whether a client came as the host and the route ask for: with its certificate, and over HTTPS.
fn came_rightly(
    table: &Table,
    facts: &Facts,
    target: Target<'_>,
    asked: &Incoming<'_>,
    lines: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let Incoming { head, fields, buf, .. } = *asked;
    if table.tls.guarded {
        let wanted = head.host.and_then(|host| table.clients_of(host.of(buf)));
        if !Hosts::admits(wanted, facts.clients.as_ref()) {
            return Err(Refusal::MISDIRECTED);
        }
    }
    if target.https_only && !facts.secure && !came_by_https(facts, fields, buf) {
        push_location(lines, table, head, buf)?;
        return Err(Refusal::HTTPS_ONLY);
    }
    Ok(())
}

/// What a request has in common with those that go to the same instance.
fn common_key(by: &BalanceBy, asked: &Incoming<'_>) -> Option<u64> {
    let value = match by {
        BalanceBy::Latency | BalanceBy::RoundRobin | BalanceBy::LeastRequests => return None,
        BalanceBy::Client => None,
        BalanceBy::Header(name) => {
            asked.fields.iter().find(|f| f.name.of(asked.buf).eq_ignore_ascii_case(name.as_bytes()))
        }
    };
    Some(match value {
        Some(field) => balance::key(&[b"field", field.value.of(asked.buf)]),
        None => balance::of_address(asked.client),
    })
}

fn one_too_many(gate: &Gate, asked: &Incoming<'_>) -> Option<Refusal> {
    let field = gate.header().and_then(|name| {
        asked.fields.iter().find(|f| f.name.of(asked.buf).eq_ignore_ascii_case(name.as_bytes()))
    });
    gate.take(asked.client, field.map(|field| field.value.of(asked.buf))).err()
}

/// Writes the line that sends a request to the same place over HTTPS.
pub(crate) fn push_location(
    lines: &mut Vec<u8>,
    table: &Table,
    head: &RequestHead,
    buf: &[u8],
) -> Result<(), Refusal> {
    let host = head.host.ok_or(Refusal::HOST_MISSING)?.of(buf);
    let end = match host.first() {
        Some(b'[') => memchr::memchr(b']', host).map_or(host.len(), |close| close + 1),
        _ => memchr::memchr(b':', host).unwrap_or(host.len()),
    };
    lines.extend_from_slice(b"location: https://");
    lines.extend_from_slice(&host[..end]);
    if table.https_port != HTTPS_PORT {
        lines.push(b':');
        push_number(lines, u64::from(table.https_port));
    }
    // `*` asks about the server itself, which has no other place.
    lines.extend_from_slice(if head.target.of(buf) == b"*" { b"/" } else { head.target.of(buf) });
    lines.extend_from_slice(b"\r\n");
    Ok(())
}

impl Question {
    /// Sets how long the answer is waited for; gives what the instance is told of it, which is less, so that its answer
    /// still comes in time.
    fn wait(&mut self, time: Option<Duration>) -> Option<Duration> {
        self.limit = time.map(|time| self.began + time);
        let told = ONWARD.onward(Deadline::at(self.limit?), self.began);
        if let Err(Expired) = told {
            self.denied = self.denied.or(Some(Refusal::DEADLINE));
        }
        told.ok()
    }
}

/// What is to be known of the request beyond its head.
fn question(pool: &LocalPool, asked: &Incoming<'_>, began: Instant) -> Question {
    let Incoming { head, fields, buf, .. } = *asked;
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
        body,
        began,
        patient: head.grpc,
        limit: None,
        key: common_key(&pool.policy.balance, asked),
        hurried: head.patience.is_some_and(|time| time < HURRIED),
        denied: None,
        rank: Rank::default(),
        brought: pool.stick.as_ref().map_or(Brought::Nothing, |stick| stick.read(fields, buf)),
        hedgeable: pool.hedger.is_some() && may_hedge(head, fields, buf),
    }
}
