//! A client's or an instance's end of a connection: bare, under TLS, or a stream of HTTP/2.
//!
//! One type, so that everything above moves bytes without knowing what carries them. The bare kind goes straight to the
//! socket: one comparison is all that the other kind costs it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::cache::{Inlet, Outlet};
use crate::http2::{FarLane, Lane};
use crate::link::Link;
use crate::tls::TlsStream;

/// What bytes of a connection go through.
pub(crate) enum Stream {
    Plain(Link),
    Tls(Box<TlsStream>),
    Lane(Box<Lane>),
    Far(Box<FarLane>),
    /// A fetch of the cache, in the place of a client.
    Inlet(Box<Inlet>),
    /// An answer out of the cache, in the place of an instance.
    Outlet(Box<Outlet>),
}

impl Stream {
    /// Ready when a read may give something: bytes, the end, or an error.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
            // What was decrypted before waits here and not in the kernel.
            Self::Tls(tls) if tls.holds_bytes() => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.socket_mut().poll_read_ready(cx),
            Self::Lane(lane) => lane.poll_read_ready(cx),
            // A read tells.
            Self::Far(_) | Self::Outlet(_) => Poll::Ready(Ok(())),
            Self::Inlet(_) => Poll::Pending,
        }
    }

    /// Whether it is a connection by itself.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self, Self::Plain(_) | Self::Tls(_))
    }

    /// Has this task woken by it from here on.
    pub(crate) fn make_known(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.make_known(),
            Self::Tls(tls) => tls.socket_mut().make_known(),
            Self::Lane(_) | Self::Far(_) | Self::Inlet(_) | Self::Outlet(_) => Ok(()),
        }
    }

    /// Whether there are bytes that we have not been told of yet. To close over them would reset the connection under a
    /// request that was sent in time.
    pub(crate) fn has_arrived(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.has_arrived(),
            Self::Tls(tls) => tls.holds_bytes() || tls.socket().has_arrived(),
            Self::Lane(lane) => lane.holds_bytes(),
            Self::Far(_) | Self::Inlet(_) | Self::Outlet(_) => false,
        }
    }

    /// Has the connection break when it is dropped, so that a cut answer cannot pass for a whole one.
    pub(crate) fn break_off(&mut self) {
        let socket = match self {
            Self::Plain(tcp) => &*tcp,
            Self::Tls(tls) => tls.socket(),
            Self::Lane(lane) => return lane.break_off(),
            // Dropped before its end, it ends with an error in any case.
            Self::Far(_) | Self::Inlet(_) | Self::Outlet(_) => return,
        };
        // Without it the connection is closed in order, which shows the cut too unless the answer has no length; under
        // TLS the missing farewell shows it.
        if let Some(socket) = socket.socket() {
            let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        }
    }

    /// Says that nothing more comes, as far as that goes without waiting.
    pub(crate) fn bid_farewell(&mut self) {
        match self {
            Self::Plain(tcp) if tcp.is_parting() => drop(tcp.shut_down()),
            Self::Tls(tls) => {
                let mut cx = Context::from_waker(Waker::noop());
                let _ = tls.poll_farewell(&mut cx);
            }
            Self::Plain(_) | Self::Lane(_) | Self::Far(_) | Self::Inlet(_) | Self::Outlet(_) => {}
        }
    }

    /// What is written from here on is the last, and [`Stream::bid_farewell`] follows it at once.
    pub(crate) fn part(&mut self) {
        if let Self::Plain(tcp) = self {
            tcp.part();
        }
    }

    /// Has what came acknowledged at once, as more of it must come before there is an answer.
    pub(crate) fn acknowledge(&mut self) {
        if let Self::Plain(tcp) = self {
            tcp.acknowledge();
        }
    }

    /// Bytes have gone out of a write that was not finished, so that nothing else can be written in their place.
    pub(crate) fn is_torn(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Lane(_) | Self::Far(_) | Self::Inlet(_) | Self::Outlet(_) => false,
            Self::Tls(tls) => tls.is_torn(),
        }
    }

    /// The address that the client came to.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(tcp) => tcp.local_addr(),
            Self::Tls(tls) => tls.socket().local_addr(),
            Self::Lane(_) | Self::Far(_) | Self::Inlet(_) | Self::Outlet(_) => None,
        }
    }

    /// What goes through it is for all who ask alike: it fetches an answer to be kept, or gives one that is.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Inlet(_) | Self::Outlet(_))
    }

    /// It carries one request, and is nothing after that.
    pub(crate) fn is_lane(&self) -> bool {
        matches!(self, Self::Lane(_))
    }

    /// What is known of the client by TLS, if it came over that.
    pub(crate) fn tls(&self) -> Option<&TlsStream> {
        match self {
            Self::Plain(_) | Self::Lane(_) | Self::Far(_) | Self::Inlet(_) | Self::Outlet(_) => None,
            Self::Tls(tls) => Some(tls),
        }
    }
}

impl Stream {
    /// Reads what is there, and tells how much; 0 is the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Self::Plain(tcp) = self {
            return tcp.poll_read(cx, space);
        }
        let mut space = ReadBuf::new(space);
        ready!(Pin::new(self).poll_read(cx, &mut space))?;
        Poll::Ready(Ok(space.filled().len()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => {
                let count = ready!(tcp.poll_read(cx, buf.initialize_unfilled()))?;
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
            Self::Tls(tls) => tls.poll_read(cx, buf),
            Self::Lane(lane) => lane.poll_read(cx, buf),
            Self::Far(lane) => lane.poll_read(cx, buf),
            Self::Outlet(outlet) => outlet.poll_read(cx, buf),
            // Nobody asks for anything more.
            Self::Inlet(_) => Poll::Pending,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => tcp.poll_write(cx, buf),
            Self::Tls(tls) => tls.poll_write(cx, &[IoSlice::new(buf)]),
            Self::Lane(lane) => lane.poll_write(cx, buf),
            Self::Far(lane) => lane.poll_write(cx, buf),
            Self::Inlet(inlet) => inlet.poll_write(cx, buf),
            Self::Outlet(_) => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => tcp.poll_write_vectored(cx, bufs),
            Self::Tls(tls) => tls.poll_write(cx, bufs),
            Self::Lane(lane) => {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                first.map_or(Poll::Ready(Ok(0)), |buf| lane.poll_write(cx, buf))
            }
            Self::Far(lane) => {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                first.map_or(Poll::Ready(Ok(0)), |buf| lane.poll_write(cx, buf))
            }
            Self::Inlet(inlet) => {
                let first = bufs.iter().find(|buf| !buf.is_empty());
                first.map_or(Poll::Ready(Ok(0)), |buf| inlet.poll_write(cx, buf))
            }
            Self::Outlet(_) => Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A write is done only when the kernel has all of it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Poll::Ready(tcp.shut_down()),
            Self::Tls(tls) => tls.poll_shutdown(cx),
            Self::Lane(lane) => lane.poll_shutdown(),
            Self::Far(_) | Self::Inlet(_) | Self::Outlet(_) => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests;
