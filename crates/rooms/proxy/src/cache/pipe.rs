//! The two ends of an answer that is not the client's own: where a fetch writes it, and where an exchange reads it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::ReadBuf;

/// What may wait for a client that reads slowly, where nobody else wants the answer.
const WAITING_BYTES: usize = 64 * 1024;

/// An answer on its way from a fetch to the one client that began it; both are of one thread.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) bytes: Vec<u8>,
    read: usize,
    /// All of it is wanted, also what was read.
    pub(super) keep: bool,
    ended: bool,
    broken: bool,
    /// Nobody reads any more.
    deserted: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(super) fn new(has_reader: bool) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { deserted: !has_reader, ..Self::default() }))
    }

    /// Takes bytes in, as far as there is room. An error says that nobody wants them.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let room = match (self.keep, self.deserted) {
            (true, _) => buf.len(),
            (false, true) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            (false, false) => WAITING_BYTES.saturating_sub(self.bytes.len() - self.read),
        };
        if room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buf.len().min(room);
        self.bytes.extend_from_slice(&buf[..count]);
        wake(&mut self.reader);
        Poll::Ready(Ok(count))
    }

    /// From here on only the reader wants it.
    pub(super) fn let_go(&mut self) {
        self.keep = false;
        self.bytes.drain(..self.read);
        self.read = 0;
        wake(&mut self.writer);
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self, whole: bool) {
        self.ended = true;
        self.broken |= !whole;
        wake(&mut self.reader);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let here = &self.bytes[self.read..];
        if here.is_empty() {
            if self.broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = here.len().min(buf.remaining());
        buf.put_slice(&here[..count]);
        self.read += count;
        if !self.keep && self.read == self.bytes.len() {
            self.bytes.clear();
            self.read = 0;
            wake(&mut self.writer);
        }
        Poll::Ready(Ok(()))
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// In the place of a connection to an instance: an answer that is there, or comes by a fetch.
pub(crate) struct Outlet(From);

enum From {
    There { head: Vec<u8>, body: Bytes, at: usize },
    Pipe(Rc<RefCell<Pipe>>),
}

impl Outlet {
    /// Of an answer that is there.
    pub(super) fn there(head: Vec<u8>, body: Bytes) -> Self {
        Self(From::There { head, body, at: 0 })
    }

    pub(super) fn pipe(pipe: Rc<RefCell<Pipe>>) -> Self {
        Self(From::Pipe(pipe))
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            From::There { head, body, at } => {
                for (part, before) in [(&head[..], 0), (&body[..], head.len())] {
                    let from = at.saturating_sub(before);
                    let count = (part.len() - from).min(buf.remaining());
                    buf.put_slice(&part[from..from + count]);
                    *at += count;
                    if *at < before + part.len() {
                        break;
                    }
                }
                Poll::Ready(Ok(()))
            }
            From::Pipe(pipe) => pipe.borrow_mut().poll_read(cx, buf),
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if let From::Pipe(pipe) = &self.0 {
            let mut pipe = pipe.borrow_mut();
            pipe.deserted = true;
            wake(&mut pipe.writer);
        }
    }
}
