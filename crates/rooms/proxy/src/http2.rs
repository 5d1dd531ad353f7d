//! HTTP/2 from clients: each stream becomes one request that goes the way of every other.
//!
//! A stream is carried as a connection of its own: a [`Lane`] that reads as an HTTP/1.1 request and takes an HTTP/1.1
//! answer. So there is one reader of heads, one set of rules and refusals, one log, whatever the client speaks; and what
//! HTTP/2 would let through (a line feed in a field, a path with a space) has to pass the strict parser too.
//!
//! What the protocol has us do is decided by a [`Session`], which knows no socket. Lanes write into its one output, and
//! the connection's task runs behind those of all streams that have something to say, so that they say it in one write.

mod answer;
mod far;
mod frame;
mod hpack;
mod lane;
mod pieces;
mod request;
mod session;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::buffer::Input;
use crate::connection::{Client, Entrance, Facts};
use crate::limits::BUFFER_BYTES;
use crate::seats::Job;
use crate::stream::Stream;
use crate::watch::{Activity, Watched};
use crate::worker::Worker;

pub(crate) use far::{FarLane, FarTrunk};
pub(crate) use lane::Lane;
#[cfg(fuzzing)]
pub(crate) use request::Framing;
use session::{Begun, PREFACE, Session, Step};

/// What is thrown away of a client that was sent away, in buffers, so that it hears why.
const THROWN_AWAY: usize = 256;

/// Whether these first bytes open HTTP/2; nothing while they may.
pub(crate) fn opens(buf: &[u8]) -> Option<bool> {
    let count = buf.len().min(PREFACE.len());
    if buf[..count] != PREFACE[..count] {
        return Some(false);
    }
    (count == PREFACE.len()).then_some(true)
}

/// The text of the first request that a client asks for, if it is one that is served, and how its body is given on.
#[cfg(fuzzing)]
pub(crate) fn first_request(mut said: &[u8]) -> Option<(Vec<u8>, Framing)> {
    let (mut session, mut page) = (Session::new(), Vec::new());
    loop {
        match session.step(said, &mut page) {
            Step::More | Step::Failed => return None,
            Step::Used(count) => said = &said[count..],
            Step::Begun(_, begun) => {
                return begun.head.refusal.is_none().then_some((page, begun.head.framing));
            }
        }
    }
}

/// What the streams of one connection share.
pub(crate) struct Trunk {
    worker: Rc<Worker>,
    watched: Watched,
    session: RefCell<Session>,
    /// The connection's task was woken and has not run yet.
    nudged: Cell<bool>,
}

impl Trunk {
    /// Has the connection's task look at what is to be said.
    fn nudge(&self) {
        if !self.nudged.replace(true) {
            self.watched.watch.wake();
        }
    }

    /// A stream has ended.
    fn end(&self) {
        let session = self.session.borrow();
        if session.rests() && !session.has_failed() {
            let settings = &self.worker.settings;
            let clearing = self.worker.clearing.get();
            self.watched.within(if clearing { settings.linger } else { settings.keep_alive });
        }
        self.nudge();
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
    watched.within(worker.settings.head.min(worker.settings.keep_alive));
    watched.watch.set_holder(facts.holder(worker));
    // An ending edge wakes it, so that it can say so.
    watched.watch.set_resting(true);
    let session = RefCell::new(Session::new());
    let trunk = Rc::new(Trunk { worker: worker.clone(), watched, session, nudged: Cell::new(false) });
    let mut connection =
        Connection { trunk: trunk.clone(), stream, input: ahead, facts, entrance, met: false };
    poll_fn(|cx| {
        trunk.watched.watch.enrol(cx);
        Poll::Ready(())
    })
    .await;
    let end = poll_fn(|cx| connection.poll(cx)).await;
    trunk.session.borrow_mut().abandon();
    if let End::Said = end {
        connection.linger().await;
    }
    connection.input.consume(connection.input.len());
    connection.input.rest(&worker.buffers);
}

/// How a connection ends.
enum End {
    /// The client has heard why.
    Said,
    /// There is nobody to hear anything.
    Now,
}

/// The client's side of a connection.
struct Connection {
    trunk: Rc<Trunk>,
    stream: Stream,
    input: Input,
    facts: Rc<Facts>,
    entrance: Entrance,
    /// The client has said hello.
    met: bool,
}

impl Connection {
    /// Reads and writes until the connection ends.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.trunk.nudged.set(false);
        loop {
            if self.is_late() || self.read(cx).is_err() {
                return Poll::Ready(End::Now);
            }
            let clogged = self.trunk.session.borrow().is_clogged();
            if self.write(cx).is_err() {
                return Poll::Ready(End::Now);
            }
            let session = self.trunk.session.borrow();
            if !session.out.is_flushed() {
                return Poll::Pending;
            }
            if session.is_over() {
                return Poll::Ready(End::Said);
            }
            if !clogged {
                return Poll::Pending;
            }
        }
    }

    /// Whether the connection has no time left; where it is to end soon, says so to the client.
    fn is_late(&mut self) -> bool {
        let trunk = &self.trunk;
        let settings = &trunk.worker.settings;
        let late = trunk.watched.watch.is_late();
        let mut session = trunk.session.borrow_mut();
        trunk.watched.watch.set_activity(if session.rests() { Activity::Resting } else { Activity::Busy });
        if late && trunk.watched.watch.is_crowded_out() {
            return true;
        }
        if !session.has_met() {
            return late;
        }
        if !std::mem::replace(&mut self.met, true) {
            trunk.watched.within(settings.keep_alive);
        }
        let rests = session.rests();
        if late && rests && session.is_leaving() {
            return true;
        }
        if (late && rests) || trunk.worker.clearing.get() {
            if !session.is_leaving() {
                session.leave();
                if rests {
                    trunk.watched.within(settings.linger);
                }
            }
        } else if late {
            // Streams have deadlines of their own.
            trunk.watched.within(settings.keep_alive);
            session.calm();
        }
        false
    }

    /// Reads what has come, and begins the requests that are in it.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            self.digest();
            let session = self.trunk.session.borrow();
            if session.has_failed() || session.is_clogged() {
                return Ok(());
            }
            drop(session);
            let buffers = &self.trunk.worker.buffers;
            match self.input.poll_fill(cx, &mut self.stream, buffers, BUFFER_BYTES) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(count) => count?,
            };
        }
    }

    /// Takes frame after frame of what was read.
    fn digest(&mut self) {
        if self.input.is_empty() {
            return;
        }
        let trunk = self.trunk.clone();
        let mut page = trunk.worker.buffers.page();
        loop {
            let mut session = trunk.session.borrow_mut();
            if session.is_clogged() {
                break;
            }
            if session.out.bytes.capacity() == 0 {
                session.out.bytes = trunk.worker.buffers.page();
            }
            match session.step(self.input.filled(), &mut page) {
                Step::More => break,
                Step::Used(count) => self.input.consume(count),
                Step::Begun(count, begun) => {
                    drop(session);
                    self.input.consume(count);
                    self.begin(begun, std::mem::replace(&mut page, trunk.worker.buffers.page()));
                }
                Step::Failed => {
                    trunk.watched.within(trunk.worker.settings.linger);
                    self.input.consume(self.input.len());
                    break;
                }
            }
        }
        trunk.worker.buffers.give_page(page);
    }

    /// Serves one stream.
    fn begin(&self, begun: Begun, text: Vec<u8>) {
        let worker = &self.trunk.worker;
        let lane = Lane::new(self.trunk.clone(), begun, text);
        let client = Client::with(worker, Stream::Lane(Box::new(lane)), self.facts.clone());
        let job = Job { client, refusal: begun.head.refusal, entrance: self.entrance.clone() };
        worker.seats.serve(worker, job);
        // Said while it waits for an answer: clients that hear it just as they ask have to ask again elsewhere, and not
        // all do.
        if worker.draining.get() {
            self.trunk.session.borrow_mut().leave();
        }
    }

    /// Writes what is to be said, as far as the client takes it.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut session = self.trunk.session.borrow_mut();
        while !session.out.is_flushed() {
            match Pin::new(&mut self.stream).poll_write(cx, session.out.pending()) {
                Poll::Pending => return Ok(()),
                Poll::Ready(count) => session.wrote(count?),
            }
        }
        // A connection at rest holds no memory for it.
        self.trunk.worker.buffers.give_page(std::mem::take(&mut session.out.bytes));
        Ok(())
    }

    /// Ends the connection so that the client can read the last words: what it still sends is thrown away for a while,
    /// since closing over unread bytes would reset the connection and take the words along.
    async fn linger(&mut self) {
        let trunk = self.trunk.clone();
        trunk.watched.within(trunk.worker.settings.linger);
        let (mut shut, mut left) = (false, THROWN_AWAY);
        poll_fn(|cx| {
            if trunk.watched.watch.is_late() {
                return Poll::Ready(());
            }
            if !shut {
                shut = ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_ok();
            }
            while shut && left > 0 {
                left -= 1;
                self.input.consume(self.input.len());
                let buffers = &trunk.worker.buffers;
                match ready!(self.input.poll_fill(cx, &mut self.stream, buffers, BUFFER_BYTES)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(_) => {}
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}
