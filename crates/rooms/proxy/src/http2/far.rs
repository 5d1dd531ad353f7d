//! HTTP/2 to instances: one stream as a connection that takes an HTTP/1.1 request and reads as its answer.
//!
//! The other side of a [`Lane`](super::Lane): the exchange knows no difference. A few connections to an instance carry
//! all of a thread's streams to it; they are kept while they are used, and a while longer.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use base::Instant;
use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, HeaderValue, TE};
use http::{HeaderMap, Method, Request, Response, Uri};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::pieces::{self, Pieces, broken, give, pair, push_field, push_trailers};
use crate::chunk::{Decoder, Step};
use crate::head::request;
use crate::head::{Field, Known};
use crate::limits::{H2_CONNECTION_WINDOW, H2_SEND_BYTES, H2_STREAM_WINDOW, H2_STREAMS, RESPONSE_HEAD_BYTES};
use crate::worker::Worker;

/// What the strict parser refuses, in the place of an answer that is none.
const NO_ANSWER: &[u8] = b"malformed\r\n\r\n";

/// A connection to an instance.
pub(crate) struct FarTrunk {
    send: SendRequest<Bytes>,
    open: Rc<Cell<usize>>,
    /// When a stream last began.
    used: Cell<Instant>,
}

impl FarTrunk {
    /// Says hello on a connection that was just made.
    pub(crate) async fn open(tcp: TcpStream, now: Instant) -> Option<Self> {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_frame_size(16_384)
            .max_header_list_size(RESPONSE_HEAD_BYTES as u32)
            .header_table_size(4096)
            .max_send_buffer_size(H2_SEND_BYTES)
            .max_concurrent_reset_streams(32);
        let (send, connection) = builder.handshake(tcp).await.ok()?;
        tokio::task::spawn_local(async move {
            // It ends with its last stream once nobody keeps it, or when the instance ends it; the streams hear why.
            let _ = connection.await;
        });
        Some(Self { send, open: Rc::default(), used: Cell::new(now) })
    }

    /// Whether the instance takes new streams here at all.
    pub(crate) fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !matches!(self.send.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// Whether there is room for another stream now.
    pub(crate) fn has_room(&self) -> bool {
        self.open.get() < self.send.current_max_send_streams().min(H2_STREAMS as usize)
    }

    /// Since when it has had nothing to do, or nothing if it has.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        (self.open.get() == 0).then(|| self.used.get())
    }

    /// A stream on it.
    pub(crate) fn lane(&self, worker: &Rc<Worker>, now: Instant) -> FarLane {
        self.used.set(now);
        self.open.set(self.open.get() + 1);
        FarLane {
            worker: worker.clone(),
            send: self.send.clone(),
            open: self.open.clone(),
            writing: Writing::Head,
            body: None,
            trailers: None,
            answer: None,
            coming: None,
            reading: Reading::Head,
            pieces: Pieces::default(),
            head_only: false,
        }
    }
}

/// Where the request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Head,
    Length(u64),
    Chunks(Decoder),
    Done,
}

/// Where the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Head,
    /// As it comes.
    Raw,
    Chunks,
    Done,
}

/// A stream to an instance.
pub(crate) struct FarLane {
    worker: Rc<Worker>,
    send: SendRequest<Bytes>,
    open: Rc<Cell<usize>>,
    writing: Writing,
    body: Option<SendStream<Bytes>>,
    /// Trailer fields of the request so far.
    trailers: Option<HeaderMap>,
    answer: Option<ResponseFuture>,
    coming: Option<RecvStream>,
    reading: Reading,
    pieces: Pieces,
    head_only: bool,
}

impl FarLane {
    /// Takes bytes of the request: its head whole, its body as far as the instance has room.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        pieces::take_all(buf, |rest| self.take(cx, rest))
    }

    fn take(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.writing {
            Writing::Head => {
                ready!(self.send.poll_ready(cx)).map_err(broken)?;
                Poll::Ready(self.ask(buf))
            }
            Writing::Length(left) => {
                let most = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
                let count = ready!(give(self.body.as_mut(), cx, &buf[..most], most as u64 == left))?;
                let left = left - count as u64;
                self.writing = if left == 0 { Writing::Done } else { Writing::Length(left) };
                Poll::Ready(Ok(count))
            }
            Writing::Chunks(decoder) => self.unchunk(cx, buf, decoder),
            Writing::Done => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Sends the head, which `buf` holds whole; gives its length.
    fn ask(&mut self, buf: &[u8]) -> io::Result<usize> {
        let odd = || io::Error::from(io::ErrorKind::InvalidData);
        let worker = self.worker.clone();
        let mut fields = worker.fields.borrow_mut();
        let head = request::parse(buf, &mut fields).map_err(|_| odd())?;
        let text = Bytes::copy_from_slice(&buf[..head.bytes]);
        let part = |span: crate::head::Span| text.slice_ref(span.of(&text));
        let host = head.host.ok_or_else(odd)?;
        let uri = Uri::builder()
            .scheme("http")
            .authority(http::uri::Authority::from_maybe_shared(part(host)).map_err(|_| odd())?)
            .path_and_query(http::uri::PathAndQuery::from_maybe_shared(part(head.target)).map_err(|_| odd())?)
            .build()
            .map_err(|_| odd())?;
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        *request.method_mut() = Method::from_bytes(head.method.of(&text)).map_err(|_| odd())?;
        request.headers_mut().reserve(fields.len());
        for field in fields.iter().filter(|field| goes_on(field)) {
            let (name, value) = pair(field, &text, Some(&text))?;
            request.headers_mut().append(name, value);
        }
        if head.takes_trailers {
            request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        }
        self.writing = match head.framing.length {
            _ if head.framing.chunked => Writing::Chunks(Decoder::new()),
            None | Some(0) => Writing::Done,
            Some(length) => Writing::Length(length),
        };
        self.head_only = *request.method() == Method::HEAD;
        let ended = self.writing == Writing::Done;
        let (answer, body) = self.send.send_request(request, ended).map_err(broken)?;
        self.answer = Some(answer);
        self.body = Some(body);
        Ok(head.bytes)
    }

    fn unchunk(&mut self, cx: &mut Context<'_>, buf: &[u8], decoder: Decoder) -> Poll<io::Result<usize>> {
        let mut next = decoder;
        let step = next.step(buf).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let used = match step {
            Step::More | Step::Done => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            Step::Framing(count) => count,
            Step::Data(count) => {
                let given = ready!(give(self.body.as_mut(), cx, &buf[..count], false))?;
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
            pieces::end(self.body.as_mut(), self.trailers.take())?;
        }
        Poll::Ready(Ok(used))
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while !self.pieces.is_ready() {
            match self.reading {
                Reading::Head => ready!(self.poll_answer(cx))?,
                Reading::Raw | Reading::Chunks => ready!(self.poll_body(cx))?,
                Reading::Done => return Poll::Ready(Ok(())),
            }
        }
        let count = self.pieces.read(buf, self.reading == Reading::Chunks);
        if let Some(coming) = &mut self.coming {
            // The instance may send as much again.
            let _ = coming.flow_control().release_capacity(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for a head, interim or final, and writes it as text.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Without a request the writer is woken when there is room for one.
        let Some(answer) = &mut self.answer else { return Poll::Pending };
        let head = match answer.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => {
                push_head(&mut self.pieces.text, &interim);
                self.pieces.text.extend_from_slice(b"\r\n");
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Some(Err(error))) => Err(error),
            Poll::Ready(None) | Poll::Pending => ready!(Pin::new(answer).poll(cx)),
        };
        let (head, coming) = match head {
            Ok(answer) => answer.into_parts(),
            Err(error) if error.is_library() && error.is_reset() => {
                // There was an answer that the library did not take. That is no silence, after which others are asked.
                self.pieces.text.extend_from_slice(NO_ANSWER);
                self.reading = Reading::Done;
                return Poll::Ready(Ok(()));
            }
            Err(error) => return Poll::Ready(Err(broken(error))),
        };
        let ended = coming.is_end_stream();
        let no_body = self.head_only || matches!(head.status.as_u16(), 204 | 304);
        let counted = head.headers.contains_key(CONTENT_LENGTH);
        let text = &mut self.pieces.text;
        push_head(text, &Response::from_parts(head, ()));
        self.reading = if no_body {
            Reading::Done
        } else if counted {
            Reading::Raw
        } else if ended {
            text.extend_from_slice(b"content-length: 0\r\n");
            Reading::Done
        } else {
            text.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Reading::Chunks
        };
        text.extend_from_slice(b"\r\n");
        self.coming = Some(coming);
        Poll::Ready(Ok(()))
    }

    /// Waits for more of the body, or its end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let coming = self.coming.as_mut().expect("a body follows a head");
        match ready!(coming.poll_data(cx)) {
            Some(piece) => self.pieces.put(piece.map_err(broken)?, self.reading == Reading::Chunks),
            None => {
                let trailers = ready!(coming.poll_trailers(cx)).map_err(broken)?;
                if self.reading == Reading::Chunks {
                    push_trailers(&mut self.pieces.text, trailers.as_ref());
                }
                self.reading = Reading::Done;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for FarLane {
    fn drop(&mut self) {
        // A request that is not over is given up by the library, and the instance hears so.
        self.open.set(self.open.get() - 1);
    }
}

/// Whether a field is no matter of one connection.
fn goes_on(field: &Field) -> bool {
    match field.known {
        Known::Connection
        | Known::Host
        | Known::Http2Settings
        | Known::KeepAlive
        | Known::Mirror
        | Known::NotNow
        | Known::ProxyConnection
        | Known::Te
        | Known::TransferEncoding
        | Known::Upgrade => false,
        Known::Other
        | Known::Date
        | Known::ContentLength
        | Known::ContentType
        | Known::Expect
        | Known::Forwarded
        | Known::ForwardedClientCert
        | Known::ForwardedFor
        | Known::ForwardedHost
        | Known::ForwardedProto
        | Known::GrpcTimeout
        | Known::RetryAfter
        | Known::ShouldRetry
        | Known::TimeoutMs => true,
    }
}

/// Appends status line and fields.
fn push_head(out: &mut Vec<u8>, head: &Response<()>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status().as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.status().canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in head.headers() {
        push_field(out, name.as_str().as_bytes(), value.as_bytes());
    }
}
