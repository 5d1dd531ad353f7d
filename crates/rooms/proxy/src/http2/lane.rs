//! One stream as a connection: it reads as an HTTP/1.1 request, and takes an HTTP/1.1 answer.
//!
//! Flow control goes through it both ways: the client may send more when what it sent was read, and a write takes no
//! more than the client has room for.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::Trunk;
use super::answer::Told;
use super::frame::Reason;
use super::hpack;
use super::pieces::take_all;
use super::request::{Framing, Head};
use super::session::{Begun, Session};
use crate::chunk::{Decoder, Step, write_size};

/// Where the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Head,
    Length(u64),
    Chunks(Decoder),
    Raw,
    Done,
}

/// A stream of a connection.
pub(crate) struct Lane {
    trunk: Rc<Trunk>,
    place: usize,
    framing: Framing,
    /// What is read before the body goes on: a head, the line before a chunk, or its end.
    text: Vec<u8>,
    at: usize,
    /// What is still to be read of a chunk that has begun.
    chunk: usize,
    /// The end of the body was read.
    ended: bool,
    writing: Writing,
    /// The answer has no body whatever its head says.
    head_only: bool,
    /// Trailer fields of the answer so far, as they are packed.
    trailers: Vec<u8>,
    /// The answer is abandoned: the stream ends with an error.
    broken: bool,
    /// Nothing more is wanted of the client.
    shut: bool,
    /// It became a tunnel.
    switched: bool,
}

impl Lane {
    /// For a request whose head is `text`.
    pub(super) fn new(trunk: Rc<Trunk>, begun: Begun, text: Vec<u8>) -> Self {
        let Begun { place, head: Head { framing, head_only, .. } } = begun;
        Self {
            trunk,
            place,
            framing,
            text,
            at: 0,
            chunk: 0,
            ended: framing == Framing::Nothing,
            writing: Writing::Head,
            head_only,
            trailers: Vec::new(),
            broken: false,
            shut: false,
            switched: false,
        }
    }

    /// Ready when a read gives something: bytes, the end, or that the client has given up.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.holds_bytes() || self.is_over() || self.poll_more(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Whether a read gives bytes at once.
    pub(crate) fn holds_bytes(&self) -> bool {
        self.at < self.text.len() || self.chunk > 0
    }

    /// Has the stream end with an error when it is dropped.
    pub(crate) fn break_off(&mut self) {
        self.broken = true;
    }

    /// Whether a read gives the end. What still comes through a tunnel goes on, also when the instance has said all.
    fn is_over(&self) -> bool {
        if self.switched { self.ended } else { self.shut || self.writing == Writing::Done }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.holds_bytes() {
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_more(cx))?;
        }
        if let Some(fate) = self.trunk.session.borrow().fate(self.place) {
            // A request that was given up before it was looked at costs nobody anything.
            return Poll::Ready(Err(fate.into()));
        }
        while buf.remaining() > 0 && self.holds_bytes() {
            if self.at < self.text.len() {
                self.read_text(buf);
            } else {
                self.read_body(buf);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn read_text(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = &self.text[self.at..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.at += count;
        if self.at == self.text.len() {
            self.at = 0;
            self.text.clear();
        }
    }

    fn read_body(&mut self, buf: &mut ReadBuf<'_>) {
        let mut session = self.trunk.session.borrow_mut();
        let count = self.chunk.min(buf.remaining());
        buf.put_slice(&session.body(self.place)[..count]);
        let before = session.out.bytes.len();
        session.consume(self.place, count);
        if session.out.bytes.len() > before {
            self.trunk.nudge();
        }
        self.chunk -= count;
        if self.chunk == 0 && self.framing == Framing::Chunks {
            self.text.extend_from_slice(b"\r\n");
        }
    }

    /// Gets more to read; ready without anything at the end of a tunnel. After the end of a body nothing comes but the
    /// news that the client has given up.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut session = self.trunk.session.borrow_mut();
        if self.framing == Framing::Tunnel && !self.switched {
            // What the client says to the tunnel must not be read as a request.
            return session.poll_fate(cx, self.place).map(Err);
        }
        if !self.ended {
            let Some(trailers) = ready!(session.poll_body(cx, self.place))? else {
                self.chunk = session.body(self.place).len();
                if self.framing == Framing::Chunks {
                    write_size(&mut self.text, self.chunk);
                }
                return Poll::Ready(Ok(()));
            };
            self.ended = true;
            if self.framing == Framing::Chunks {
                self.text.extend_from_slice(b"0\r\n");
                self.text.extend_from_slice(trailers);
                self.text.extend_from_slice(b"\r\n");
                return Poll::Ready(Ok(()));
            }
        }
        if self.framing == Framing::Tunnel {
            return Poll::Ready(Ok(()));
        }
        session.poll_fate(cx, self.place).map(Err)
    }

    /// Takes bytes of the answer: heads whole, bodies as far as the client has room.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let trunk = self.trunk.clone();
        let mut session = trunk.session.borrow_mut();
        if session.out.bytes.capacity() == 0 {
            session.out.bytes = trunk.worker.buffers.page();
        }
        let wrote = take_all(buf, |rest| self.take(&mut session, cx, rest));
        if !session.out.is_flushed() {
            trunk.nudge();
        }
        wrote
    }

    fn take(&mut self, session: &mut Session, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.writing {
            Writing::Head => self.answer(session, cx, buf),
            Writing::Length(left) => {
                let most = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
                let end = most as u64 == left;
                let count = ready!(session.poll_give(cx, self.place, &buf[..most], end))?;
                let left = left - count as u64;
                self.writing = if left == 0 { Writing::Done } else { Writing::Length(left) };
                Poll::Ready(Ok(count))
            }
            Writing::Chunks(decoder) => self.unchunk(session, cx, buf, decoder),
            Writing::Raw => session.poll_give(cx, self.place, buf, false),
            Writing::Done => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
    }

    fn unchunk(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_>,
        buf: &[u8],
        decoder: Decoder,
    ) -> Poll<io::Result<usize>> {
        let mut next = decoder;
        let step = next.step(buf).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let used = match step {
            Step::More | Step::Done => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            Step::Framing(count) => count,
            Step::Data(count) => {
                let given = ready!(session.poll_give(cx, self.place, &buf[..count], false))?;
                next = decoder.after_data(given as u64);
                given
            }
            Step::Trailer(field, count) => {
                hpack::push_field(&mut self.trailers, field.name.of(buf), field.value.of(buf));
                count
            }
        };
        if next.done() {
            session.end(self.place, &self.trailers)?;
        }
        self.writing = if next.done() { Writing::Done } else { Writing::Chunks(next) };
        Poll::Ready(Ok(used))
    }

    /// Sends a head; gives its length in `buf`, which holds it whole.
    fn answer(&mut self, session: &mut Session, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let head_only = self.head_only;
        let mut next = None;
        let told = ready!(session.poll_head(cx, self.place, buf, |told| {
            next = after(told, head_only);
            next == Some(Writing::Done)
        }))?;
        self.switched = told.status == 101;
        self.writing = next.ok_or(io::ErrorKind::InvalidData)?;
        Poll::Ready(Ok(told.bytes))
    }

    /// Nothing more is said: a tunnel's stream ends; a request that is not over will hear that its rest is not wanted.
    pub(crate) fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        match self.writing {
            Writing::Raw => {
                self.writing = Writing::Done;
                self.trunk.nudge();
                Poll::Ready(self.trunk.session.borrow_mut().end(self.place, &[]))
            }
            Writing::Head | Writing::Length(_) | Writing::Chunks(_) | Writing::Done => {
                self.shut = true;
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// What comes behind a head; nothing if that cannot be said.
fn after(head: &Told, head_only: bool) -> Option<Writing> {
    if head.interim() {
        Some(Writing::Head)
    } else if head.status == 101 {
        Some(Writing::Raw)
    } else if head_only || matches!(head.status, 204 | 304) || head.length == Some(0) {
        Some(Writing::Done)
    } else if head.chunked {
        Some(Writing::Chunks(Decoder::new()))
    } else {
        // The exchange writes no other framing to a client of HTTP/1.1.
        head.length.map(Writing::Length)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let flawed = self.broken || self.writing != Writing::Done;
        let flaw = flawed.then_some(Reason::INTERNAL_ERROR);
        let (body, trailers) = self.trunk.session.borrow_mut().leave_place(self.place, flaw);
        for page in [body, trailers, std::mem::take(&mut self.text)] {
            self.trunk.worker.buffers.give_page(page);
        }
        self.trunk.end();
    }
}
