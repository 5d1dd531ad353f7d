//! One stream as a connection: it reads as an HTTP/1.1 request, and takes an HTTP/1.1 answer.
//!
//! Flow control goes through it both ways: the client may send more when what it sent was read, and a write takes no
//! more than the client has room for.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{HeaderMap, SEC_WEBSOCKET_ACCEPT};
use http::{Method, Request, Response, StatusCode};
use tokio::io::ReadBuf;

use super::Trunk;
use super::pieces::{self, Pieces, broken, pair, push_trailers};
use super::request::{self, Framing};
use crate::chunk::{Decoder, Step};
use crate::head::{Known, response};
use crate::refusal::Refusal;

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
    body: RecvStream,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    framing: Framing,
    pieces: Pieces,
    /// All of the body has come.
    ended: bool,
    writing: Writing,
    /// The answer has no body whatever its head says.
    head_only: bool,
    /// Trailer fields of the answer so far.
    trailers: Option<HeaderMap>,
    /// The answer is abandoned: the stream ends with an error.
    broken: bool,
    /// Nothing more is wanted of the client.
    shut: bool,
    /// It became a tunnel.
    switched: bool,
    /// The client gave the stream up.
    given_up: bool,
}

impl Lane {
    /// For a request; the refusal is what its head deserves.
    pub(super) fn new(
        trunk: Rc<Trunk>,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> (Self, Option<Refusal>) {
        let (head, body) = request.into_parts();
        let ended = body.is_end_stream();
        let mut pieces = Pieces::with(trunk.worker.buffers.page());
        let written = request::write(&mut pieces.text, &head, ended);
        let refusal = written.err();
        if refusal.is_some() {
            pieces.text.clear();
        }
        trunk.begin();
        let lane = Self {
            trunk,
            body,
            respond,
            send: None,
            framing: written.unwrap_or(Framing::Nothing),
            pieces,
            ended,
            writing: Writing::Head,
            head_only: head.method == Method::HEAD,
            trailers: None,
            broken: false,
            shut: false,
            switched: false,
            given_up: false,
        };
        (lane, refusal)
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
        self.pieces.is_ready()
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
        let count = self.pieces.read(buf, self.framing == Framing::Chunks);
        if count > 0 {
            // The client may send as much again.
            let _ = self.body.flow_control().release_capacity(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Gets more to read; ready without anything at the end of a tunnel. After the end of a body nothing comes but the
    /// news that the client has given up.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.framing == Framing::Tunnel && !self.switched {
            // What the client says to the tunnel must not be read as a request.
            return self.poll_given_up(cx);
        }
        while !self.ended {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.pieces.put(piece, self.framing == Framing::Chunks);
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(self.failed(error))),
                None => {
                    let trailers = match ready!(self.body.poll_trailers(cx)) {
                        Ok(trailers) => trailers,
                        Err(error) => return Poll::Ready(Err(self.failed(error))),
                    };
                    self.ended = true;
                    if self.framing == Framing::Chunks {
                        push_trailers(&mut self.pieces.text, trailers.as_ref());
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
        if self.framing == Framing::Tunnel { Poll::Ready(Ok(())) } else { self.poll_given_up(cx) }
    }

    /// Ready with an error when the client has given the stream up.
    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reset = match &mut self.send {
            Some(send) => ready!(send.poll_reset(cx)),
            None => ready!(self.respond.poll_reset(cx)),
        };
        self.given_up = true;
        Poll::Ready(Err(match reset {
            Ok(_) => io::ErrorKind::ConnectionReset.into(),
            Err(error) => broken(error),
        }))
    }

    fn failed(&mut self, error: h2::Error) -> io::Error {
        self.given_up |= error.is_reset() && error.is_remote();
        broken(error)
    }

    /// Takes bytes of the answer: heads whole, bodies as far as the client has room.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        pieces::take_all(buf, |rest| self.take(cx, rest))
    }

    fn take(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.writing {
            Writing::Head => Poll::Ready(self.answer(buf)),
            Writing::Length(left) => {
                let most = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
                let count = ready!(self.give(cx, &buf[..most], most as u64 == left))?;
                let left = left - count as u64;
                self.writing = if left == 0 { Writing::Done } else { Writing::Length(left) };
                Poll::Ready(Ok(count))
            }
            Writing::Chunks(decoder) => self.unchunk(cx, buf, decoder),
            Writing::Raw => self.give(cx, buf, false),
            Writing::Done => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Sends what the client has room for; `end` ends the stream with the last byte.
    fn give(&mut self, cx: &mut Context<'_>, data: &[u8], end: bool) -> Poll<io::Result<usize>> {
        let given = ready!(pieces::give(self.send.as_mut(), cx, data, end));
        self.given_up |= given.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        Poll::Ready(given)
    }

    fn unchunk(&mut self, cx: &mut Context<'_>, buf: &[u8], decoder: Decoder) -> Poll<io::Result<usize>> {
        let mut next = decoder;
        let step = next.step(buf).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let used = match step {
            Step::More | Step::Done => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            Step::Framing(count) => count,
            Step::Data(count) => {
                let given = ready!(self.give(cx, &buf[..count], false))?;
                next = decoder.after_data(given as u64);
                given
            }
            Step::Trailer(field, count) => {
                let (name, value) = pair(&field, buf, None)?;
                self.trailers.get_or_insert_default().append(name, value);
                count
            }
        };
        self.writing = if next.done() { Writing::Done } else { Writing::Chunks(next) };
        if self.writing == Writing::Done {
            pieces::end(self.send.as_mut(), self.trailers.take())?;
        }
        Poll::Ready(Ok(used))
    }

    /// Sends a head; gives its length in `buf`, which holds it whole.
    fn answer(&mut self, buf: &[u8]) -> io::Result<usize> {
        let trunk = self.trunk.clone();
        let mut fields = trunk.worker.fields.borrow_mut();
        let unread = |_| io::Error::from(io::ErrorKind::InvalidData);
        let head = response::parse(buf, &mut fields).map_err(unread)?;
        let text = Bytes::copy_from_slice(&buf[..head.bytes]);
        let mut answer = Response::new(());
        let switched = head.status == 101;
        let status = if switched { 200 } else { head.status };
        *answer.status_mut() = StatusCode::from_u16(status).map_err(|_| io::ErrorKind::InvalidData)?;
        answer.headers_mut().reserve(fields.len());
        for field in fields.iter() {
            match field.known {
                // These are about one connection, which ends here.
                Known::Connection
                | Known::Http2Settings
                | Known::KeepAlive
                | Known::Mirror
                | Known::NotNow
                | Known::ProxyConnection
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade => {}
                Known::Other
                | Known::ContentLength
                | Known::ContentType
                | Known::Expect
                | Known::Forwarded
                | Known::ForwardedClientCert
                | Known::ForwardedFor
                | Known::ForwardedHost
                | Known::ForwardedProto
                | Known::Host
                | Known::GrpcTimeout
                | Known::RetryAfter
                | Known::ShouldRetry
                | Known::TimeoutMs => {
                    let (name, value) = pair(field, &text, Some(&text))?;
                    answer.headers_mut().append(name, value);
                }
            }
        }
        if head.interim() {
            self.respond.send_informational(answer).map_err(broken)?;
            return Ok(head.bytes);
        }
        self.switched = switched;
        if switched {
            answer.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
        }
        self.writing = if switched {
            Writing::Raw
        } else if self.head_only || matches!(head.status, 204 | 304) || head.framing.length == Some(0) {
            Writing::Done
        } else if head.framing.chunked {
            Writing::Chunks(Decoder::new())
        } else {
            // The exchange writes no other framing to a client of HTTP/1.1.
            Writing::Length(head.framing.length.ok_or(io::ErrorKind::InvalidData)?)
        };
        let done = self.writing == Writing::Done;
        self.send = Some(self.respond.send_response(answer, done).map_err(broken)?);
        Ok(head.bytes)
    }

    /// Nothing more is said: a tunnel's stream ends; a request that is not over will hear that its rest is not wanted.
    pub(crate) fn poll_shutdown(&mut self) -> Poll<io::Result<()>> {
        match self.writing {
            Writing::Raw => {
                self.writing = Writing::Done;
                Poll::Ready(pieces::end(self.send.as_mut(), None))
            }
            Writing::Head | Writing::Length(_) | Writing::Chunks(_) | Writing::Done => {
                self.shut = true;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.broken || self.writing != Writing::Done {
            match &mut self.send {
                Some(send) => send.send_reset(Reason::INTERNAL_ERROR),
                None => self.respond.send_reset(Reason::INTERNAL_ERROR),
            }
        }
        // An answer before the end of its request: the library sends the one, then a reset without an error.
        self.trunk.worker.buffers.give_page(self.pieces.take_page());
        self.trunk.note_end(self.given_up);
        self.trunk.end();
    }
}
