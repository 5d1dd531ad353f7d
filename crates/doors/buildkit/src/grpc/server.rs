//! The serving end: one connection, many calls.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::messages::Messages;
use super::status::{Code, Status};
use super::{QUEUE, frame};

/// So many calls at once on a connection; a build needs about five.
const CALLS: u32 = 256;
/// So many bytes of a call may be under way before its reader takes them.
const WINDOW: u32 = 2 << 20;
/// The same for all calls of a connection.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// The other end is asked this often whether it is still there.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// It may take so long to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The most bytes of metadata of a call.
const HEADER_BYTES: u32 = 64 << 10;

/// A call that came in.
pub(crate) struct Call {
    /// `/package.Service/Method`.
    pub path: String,
    /// What came with it.
    pub metadata: HeaderMap,
    messages: Messages,
}

/// What a call is answered with.
pub(crate) struct Answer(Content);

enum Content {
    One(Bytes),
    Stream(mpsc::Receiver<Item>),
    None(Status),
}

enum Item {
    Message(Bytes),
    End(Status),
}

/// The sending end of an answer that is a stream.
#[derive(Clone)]
pub(crate) struct Outgoing(mpsc::Sender<Item>);

impl Call {
    pub(crate) fn new(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        Self { path: head.uri.path().to_owned(), metadata: head.headers, messages: Messages::new(body) }
    }

    /// The one message of a call that has one.
    pub(crate) async fn message<M: Message + Default>(&mut self) -> Result<M, Status> {
        let none = || Status::new(Code::InvalidArgument, "the call has no message");
        self.messages.next().await?.ok_or_else(none)
    }

    /// The messages of a call that has many.
    pub(crate) fn into_messages(self) -> Messages {
        self.messages
    }

    /// A value of its metadata.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Answer {
    /// One message, and it went well.
    pub(crate) fn one(message: &impl Message) -> Self {
        Self(Content::One(frame::encode(message)))
    }

    /// Messages, as they are sent.
    pub(crate) fn stream() -> (Outgoing, Self) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Outgoing(sender), Self(Content::Stream(receiver)))
    }

    /// No message, and this is why.
    pub(crate) fn failed(status: Status) -> Self {
        Self(Content::None(status))
    }

    /// As HTTP has it.
    pub(crate) fn into_response(self) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let body = match self.0 {
            Content::One(message) => {
                let trailers = async { Some(Ok(Status::ok().to_trailers())) };
                Full::new(message).with_trailers(trailers).boxed_unsync()
            }
            Content::Stream(receiver) => Streamed { receiver, ended: false }.boxed_unsync(),
            Content::None(status) => {
                let mut response = Response::new(Empty::new().boxed_unsync());
                *response.headers_mut() = status.to_trailers();
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                return response;
            }
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

impl Outgoing {
    /// Sends a message; waits while the other end is slow. False when it is gone.
    pub(crate) async fn send(&self, message: &impl Message) -> bool {
        self.0.send(Item::Message(frame::encode(message))).await.is_ok()
    }

    /// Ends the answer.
    pub(crate) async fn end(self, end: Result<(), Status>) {
        let status = end.err().unwrap_or_else(Status::ok);
        let _ = self.0.send(Item::End(status)).await;
    }
}

/// The body of an answer that is a stream.
struct Streamed {
    receiver: mpsc::Receiver<Item>,
    ended: bool,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let status = match std::task::ready!(self.receiver.poll_recv(context)) {
            Some(Item::Message(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Item::End(status)) => status,
            // Whoever sent it was dropped without an end.
            None => Status::new(Code::Internal, "the answer was cut"),
        };
        self.ended = true;
        Poll::Ready(Some(Ok(Frame::trailers(status.to_trailers()))))
    }
}

/// Serves one connection until the other end closes it. A call whose other end goes away is dropped.
pub(crate) async fn serve<H, F>(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    handle: H,
) -> Result<(), hyper::Error>
where
    H: Fn(Call) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let handle = Arc::new(handle);
    let service = service_fn(move |request: Request<Incoming>| {
        let handle = handle.clone();
        async move { Ok::<_, Infallible>(handle(Call::new(request)).await.into_response()) }
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(ASK_EVERY)
        .keep_alive_timeout(ANSWER_WITHIN)
        .max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(CALLS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_connection(TokioIo::new(io), service)
        .await
}
