//! The calling end, over a connection that somebody else opened.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{self, Body, Frame};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::messages::Messages;
use super::status::{Code, Status};
use super::{QUEUE, frame};

/// So many bytes of an answer may be under way before its reader takes them.
const WINDOW: u32 = 4 << 20;
/// The same for all answers.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A connection to call on; clones share it.
#[derive(Clone)]
pub(crate) struct Channel {
    sender: SendRequest<Sent>,
}

/// A call that is a stream both ways.
pub(crate) struct ClientStream {
    sender: Option<mpsc::Sender<Bytes>>,
    answer: Incoming,
}

/// The other way of a stream. Some servers say nothing, not even that they took the call, before they got something.
enum Incoming {
    Awaited(Pin<Box<dyn Future<Output = Result<Response<body::Incoming>, hyper::Error>> + Send>>),
    Open(Box<(Messages, HeaderMap)>),
}

impl Channel {
    /// Shakes hands. The future drives the connection and ends with it.
    pub(crate) async fn open(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(Self, impl Future<Output = Result<(), hyper::Error>> + Send), hyper::Error> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(io))
            .await?;
        Ok((Self { sender }, connection))
    }

    /// A call with one message each way.
    pub(crate) async fn call<M: Message + Default>(
        &self,
        path: &str,
        message: &impl Message,
    ) -> Result<M, Status> {
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.try_send(frame::encode(message));
        drop(sender);
        let mut stream = self.start(path, &[], receiver)?;
        let answer = stream.next().await?;
        stream.finish().await?;
        answer.ok_or_else(|| Status::new(Code::Internal, "the answer has no message"))
    }

    /// A stream each way, with metadata.
    pub(crate) fn stream(
        &self,
        path: &str,
        metadata: &[(HeaderName, HeaderValue)],
    ) -> Result<ClientStream, Status> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut stream = self.start(path, metadata, receiver)?;
        stream.sender = Some(sender);
        Ok(stream)
    }

    fn start(
        &self,
        path: &str,
        metadata: &[(HeaderName, HeaderValue)],
        receiver: mpsc::Receiver<Bytes>,
    ) -> Result<ClientStream, Status> {
        let mut request = Request::new(Sent(receiver));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("http://localhost{path}")
            .parse()
            .map_err(|error| Status::new(Code::Internal, format!("`{path}` is no path: {error}")))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        for (name, value) in metadata {
            headers.append(name, value.clone());
        }
        let answer = self.sender.clone().send_request(request);
        Ok(ClientStream { sender: None, answer: Incoming::Awaited(Box::pin(answer)) })
    }
}

impl ClientStream {
    /// Sends a message; waits while the other end is slow.
    pub(crate) async fn send(&mut self, message: &impl Message) -> Result<(), Status> {
        let gone = || Status::new(Code::Unavailable, "the client ended the stream");
        let sender = self.sender.as_ref().ok_or_else(gone)?;
        sender.send(frame::encode(message)).await.map_err(|_| gone())
    }

    /// A sender of its own, for a task that writes while another reads.
    pub(crate) fn sender(&self) -> Option<Sender> {
        self.sender.clone().map(Sender)
    }

    /// The next message; none after the last. A call that failed is an error.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        let (messages, head) = self.open().await?;
        if let Some(message) = messages.next().await? {
            return Ok(Some(message));
        }
        let found = messages.trailers().and_then(Status::from_trailers);
        // An answer without a message has its status in its head.
        match found.or_else(|| Status::from_trailers(head)) {
            Some(status) if status.code == Code::Ok => Ok(None),
            Some(status) => Err(status),
            None => Err(Status::new(Code::Unavailable, "the client ended the call without a status")),
        }
    }

    async fn open(&mut self) -> Result<(&mut Messages, &HeaderMap), Status> {
        if let Incoming::Awaited(answer) = &mut self.answer {
            let response = answer.await.map_err(|error| {
                Status::new(Code::Unavailable, format!("the client's session is gone: {error}"))
            })?;
            if response.status() != hyper::StatusCode::OK {
                let message = format!("the client answered {} to a call", response.status());
                return Err(Status::new(Code::Unavailable, message));
            }
            let (head, body) = response.into_parts();
            self.answer = Incoming::Open(Box::new((Messages::new(body), head.headers)));
        }
        match &mut self.answer {
            Incoming::Open(open) => Ok((&mut open.0, &open.1)),
            Incoming::Awaited(_) => Err(Status::new(Code::Internal, "an answer is awaited twice")),
        }
    }

    /// Says that no more comes.
    pub(crate) fn close(&mut self) {
        self.sender = None;
    }

    /// Says that no more comes, and waits for the end.
    pub(crate) async fn finish(mut self) -> Result<(), Status> {
        self.close();
        while self.next::<crate::proto::Empty>().await?.is_some() {}
        Ok(())
    }
}

/// Sends messages of a stream.
#[derive(Clone)]
pub(crate) struct Sender(mpsc::Sender<Bytes>);

impl Sender {
    /// Sends a message; false when the other end is gone.
    pub(crate) async fn send(&self, message: &impl Message) -> bool {
        self.0.send(frame::encode(message)).await.is_ok()
    }
}

/// The body of a call.
struct Sent(mpsc::Receiver<Bytes>);

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
