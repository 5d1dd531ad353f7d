//! A connection as the server reads it: odd bytes of targets are written as everybody takes them.
//!
//! Go's server takes `GET /containers/json?filters={"status":["running"]}`, so clients of the protocols that we speak
//! send it; ours would answer 400. Only request lines with such bytes are touched, and only those are copied.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

use super::heads::{Heads, line_of};

/// The longest request line that is waited for.
const LINE_BYTES: usize = 64 << 10;

/// A connection that the server accepted.
#[derive(Debug)]
pub struct Accepted {
    stream: UnixStream,
    heads: Heads,
    /// What begins with a request line that did not pass yet.
    held: Vec<u8>,
    /// What is to be read before anything else.
    ready: Vec<u8>,
    /// The client says no more.
    ended: bool,
}

impl Accepted {
    fn new(stream: UnixStream) -> Self {
        Self { stream, heads: Heads::default(), held: Vec::new(), ready: Vec::new(), ended: false }
    }

    /// The connection itself, and what was read from it and by nobody yet.
    pub fn into_parts(self) -> (UnixStream, Vec<u8>) {
        (self.stream, [self.ready, self.held].concat())
    }

    /// Moves what may pass out of what is held; false when more has to come first.
    fn release(&mut self) -> bool {
        if self.held.is_empty() {
            return !self.ready.is_empty();
        }
        let line = line_of(&self.held).map(<[u8]>::len);
        match line {
            Some(length) => {
                let rest = self.held.split_off(length);
                self.ready.extend(self.heads.begin(&self.held));
                self.held = rest;
            }
            None if self.held.len() < LINE_BYTES && !self.ended => return false,
            None => self.heads.give_up(),
        }
        let passed = self.heads.pass(&self.held);
        self.ready.extend(self.held.drain(..passed));
        true
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.ready.is_empty() || this.release() {
                let length = this.ready.len().min(buf.remaining());
                buf.put_slice(&this.ready[..length]);
                this.ready.drain(..length);
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buf))?;
            let came = &buf.filled()[before..];
            if came.is_empty() {
                // No end while something is held: that comes first.
                if this.held.is_empty() || buf.remaining() == 0 {
                    return Poll::Ready(Ok(()));
                }
                this.ended = true;
                continue;
            }
            let passed = if this.held.is_empty() { this.heads.pass(came) } else { 0 };
            this.held.extend_from_slice(&came[passed..]);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Accepts such connections.
pub(super) struct Accepting(pub(super) UnixListener);

impl Listener for Accepting {
    type Io = Accepted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Accepted, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (Accepted::new(stream), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
