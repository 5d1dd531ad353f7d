//! What lanes do with bytes, and the pieces of memory in which the library gives and takes the bodies of instances.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use tokio::io::ReadBuf;

use crate::head::Field;

/// Has bytes taken until all are or no more can be now; tells how many were.
pub(super) fn take_all(
    buf: &[u8],
    mut take: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let mut used = 0;
    while used < buf.len() {
        match take(&buf[used..]) {
            Poll::Ready(Ok(count)) => used += count,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending if used > 0 => break,
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Ready(Ok(used))
}

/// What is to be read next: text, then a piece of a body.
#[derive(Default)]
pub(super) struct Pieces {
    /// A head, the line before a chunk, or its end.
    pub(super) text: Vec<u8>,
    at: usize,
    piece: Bytes,
}

impl Pieces {
    /// Whether there is something.
    pub(super) fn is_ready(&self) -> bool {
        self.at < self.text.len() || !self.piece.is_empty()
    }

    /// Puts a piece there, as a chunk or as it is.
    pub(super) fn put(&mut self, piece: Bytes, chunk: bool) {
        if chunk && !piece.is_empty() {
            self.text.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        self.piece = piece;
    }

    /// Gives what fits; tells how many bytes of it were a body's.
    pub(super) fn read(&mut self, buf: &mut ReadBuf<'_>, chunk: bool) -> usize {
        if self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let count = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..count]);
            self.at += count;
            if self.at == self.text.len() {
                self.at = 0;
                self.text.clear();
            }
            return 0;
        }
        let count = self.piece.len().min(buf.remaining());
        buf.put_slice(&self.piece.split_to(count));
        if chunk && count > 0 && self.piece.is_empty() {
            self.text.extend_from_slice(b"\r\n");
        }
        count
    }
}

/// Appends a field line.
pub(super) fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, with the trailer fields.
pub(super) fn push_trailers(out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        push_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Sends what the other side has room for; `end` ends the stream with the last byte.
pub(super) fn give(
    send: Option<&mut SendStream<Bytes>>,
    cx: &mut Context<'_>,
    data: &[u8],
    end: bool,
) -> Poll<io::Result<usize>> {
    let send = send.expect("a body follows a head");
    if send.capacity() < data.len() {
        send.reserve_capacity(data.len());
    }
    loop {
        let count = send.capacity().min(data.len());
        if count > 0 {
            let last = end && count == data.len();
            let sent = send.send_data(Bytes::copy_from_slice(&data[..count]), last);
            return Poll::Ready(sent.map(|()| count).map_err(broken));
        }
        match ready!(send.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

/// Ends what is sent, with trailer fields if there are some.
pub(super) fn end(send: Option<&mut SendStream<Bytes>>, trailers: Option<HeaderMap>) -> io::Result<()> {
    let send = send.expect("a body follows a head");
    match trailers {
        Some(trailers) => send.send_trailers(trailers),
        None => send.send_data(Bytes::new(), true),
    }
    .map_err(broken)
}

/// The error as one of a connection: `ConnectionRefused` for a stream that the other side says it has not looked at, and
/// `ConnectionReset` for one that it gave up.
pub(super) fn broken(error: h2::Error) -> io::Error {
    let untouched = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
    if untouched && error.is_remote() {
        return io::ErrorKind::ConnectionRefused.into();
    }
    if error.is_reset() && error.is_remote() {
        return io::ErrorKind::ConnectionReset.into();
    }
    error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
}

/// A field as the library wants it; the value shares the bytes of `whole` if that is given.
pub(super) fn pair(
    field: &Field,
    buf: &[u8],
    whole: Option<&Bytes>,
) -> io::Result<(HeaderName, HeaderValue)> {
    let odd = || io::Error::from(io::ErrorKind::InvalidData);
    let name = HeaderName::from_bytes(field.name.of(buf)).map_err(|_| odd())?;
    let value = match whole {
        Some(whole) => HeaderValue::from_maybe_shared(whole.slice_ref(field.value.of(buf))),
        None => HeaderValue::from_bytes(field.value.of(buf)),
    };
    Ok((name, value.map_err(|_| odd())?))
}
