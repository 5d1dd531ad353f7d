//! TLS from clients: the stream that everything above moves bytes through.
//!
//! Over rustls, and without another buffer of our own: what is read goes from its records into the connection's buffer,
//! and a write is done only when the kernel has all of it. So nobody has to remember to flush, and a connection at rest
//! has nothing that waits.

mod authority;
mod client;
mod handshake;
mod hosts;
mod tickets;

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use plan::tls::ClientCertificates;
use rustls::ServerConnection;
use tokio::io::ReadBuf;

use crate::link::Link;

pub(crate) use handshake::{Fallen, shake};
pub use hosts::TlsFlaw;
pub(crate) use hosts::{Hosts, Keeper};

/// A connection under TLS whose handshake is over.
pub(crate) struct TlsStream {
    tcp: Link,
    session: ServerConnection,
    /// Bytes that were taken from a writer who was not told yet, as the kernel has not all of them.
    taken: usize,
    /// Our farewell was said.
    closing: bool,
    /// What was demanded of the client.
    clients: Option<Arc<ClientCertificates>>,
    /// The field that tells the instance of the client's certificate, as a whole line.
    pub(crate) presented: Vec<u8>,
}

impl TlsStream {
    /// Whether a read gives something without the kernel: decrypted bytes, or the client's farewell.
    pub(crate) fn holds_bytes(&self) -> bool {
        !self.session.wants_read()
    }

    pub(crate) fn socket(&self) -> &Link {
        &self.tcp
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Link {
        &mut self.tcp
    }

    /// Whether bytes have gone out of a write that its writer does not know to have begun.
    pub(crate) fn is_torn(&self) -> bool {
        self.taken > 0
    }

    /// Both sides chose HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.session.alpn_protocol() == Some(b"h2")
    }

    /// What was demanded of the client in the handshake.
    pub(crate) fn clients(&self) -> Option<&Arc<ClientCertificates>> {
        self.clients.as_ref()
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.session.reader().read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The end of the connection without a farewell: it may have been cut by anybody.
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(take_in(&mut self.session, &mut self.tcp, cx))?;
        }
    }

    /// Ready when the kernel has all that it says, as bytes that wait here would wait for ever. Until then the caller
    /// comes again with the same bytes in front, which are not taken twice.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.taken == 0 {
                self.taken = self.session.writer().write_vectored(bufs)?;
            }
            ready!(push_out(&mut self.session, &mut self.tcp, cx))?;
            if self.taken > 0 || bufs.iter().all(|buf| buf.is_empty()) {
                return Poll::Ready(Ok(std::mem::take(&mut self.taken)));
            }
        }
    }

    /// Says that nothing more comes.
    pub(crate) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            self.closing = true;
            self.session.send_close_notify();
        }
        push_out(&mut self.session, &mut self.tcp, cx)
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_farewell(cx))?;
        Poll::Ready(self.tcp.shut_down())
    }
}

/// Reads once from the socket and takes apart what has come.
fn take_in(session: &mut ServerConnection, tcp: &mut Link, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let count = match session.read_tls(&mut Socket { tcp, cx }) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
        other => other?,
    };
    if let Err(error) = session.process_new_packets() {
        // The alert that says why; the connection ends with it, so one try must do.
        let _ = push_out(session, tcp, cx);
        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
    }
    Poll::Ready(Ok(count))
}

/// Writes until the kernel has all that was encrypted.
fn push_out(session: &mut ServerConnection, tcp: &mut Link, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while session.wants_write() {
        match session.write_tls(&mut Socket { tcp, cx }) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

/// The socket as rustls wants it: `WouldBlock` means that the task is woken when it can go on.
struct Socket<'a, 'b> {
    tcp: &'a mut Link,
    cx: &'a mut Context<'b>,
}

fn or_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Socket<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        or_block(self.tcp.poll_read(self.cx, buf))
    }
}

impl Write for Socket<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        or_block(self.tcp.poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        or_block(self.tcp.poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
