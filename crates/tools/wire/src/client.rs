//! The client: one connection a call, which costs microseconds on a unix socket and needs no pool.

use std::io;
use std::path::{Path, PathBuf};

use base::{Kind, Problem, Report};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{socket, status};

/// A connection that left HTTP and is a plain stream of bytes both ways.
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;
/// What a request carries.
pub type Body = BoxBody<Bytes, io::Error>;

/// The most bytes of an answer that is read as one document.
const DOCUMENT_BYTES: usize = 64 << 20;
/// The most bytes of one line of a stream.
const LINE_BYTES: usize = 4 << 20;

/// Calls the server behind a unix socket.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody answers there.
    #[error("no daemon answers on `{}`", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server answered that it will not.
    #[error(transparent)]
    Refused(Report),
    /// The connection broke.
    #[error("the connection to the daemon broke")]
    Broken(#[source] hyper::Error),
    /// The answer was not what was agreed.
    #[error("the daemon's answer cannot be read: {0}")]
    Unreadable(String),
}

impl Problem for CallError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unreachable { .. } | Self::Broken(_) => Kind::Unavailable,
            Self::Refused(report) => report.kind,
            Self::Unreadable(_) => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("the socket is for its owner only; run this as the user who runs the daemon".into())
            }
            Self::Unreachable { .. } => {
                Some("start one with `sea daemon`, or name another with `--root`".into())
            }
            Self::Refused(report) => report.hint.clone(),
            Self::Broken(_) => Some("see the daemon's log; the same command can be given again".into()),
            Self::Unreadable(_) => Some("the daemon may be of another version: compare `sea version`".into()),
        }
    }

    fn as_report(&self) -> Option<&Report> {
        match self {
            Self::Refused(report) => Some(report),
            Self::Unreachable { .. } | Self::Broken(_) | Self::Unreadable(_) => None,
        }
    }
}

impl Client {
    /// A client of the server behind this socket; nothing is connected yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks for a document.
    pub async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, CallError> {
        document(self.send(Method::GET, target, empty()).await?).await
    }

    /// Sends a document and takes one back.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        document_sent: &impl Serialize,
    ) -> Result<T, CallError> {
        document(self.send(method, target, json(document_sent)?).await?).await
    }

    /// Sends a document and takes a stream of lines of JSON back.
    pub async fn follow(
        &self,
        method: Method,
        target: &str,
        document_sent: &impl Serialize,
    ) -> Result<Lines, CallError> {
        let response = self.send(method, target, json(document_sent)?).await?;
        Ok(Lines { body: response.into_body(), waiting: BytesMut::new() })
    }

    /// Sends a body of any length, and takes a stream of lines of JSON back.
    pub async fn upload(
        &self,
        method: Method,
        target: &str,
        content: impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
    ) -> Result<Lines, CallError> {
        use futures_util::StreamExt;
        let body = BodyExt::boxed(StreamBody::new(content.map(|part| part.map(Frame::data))));
        let response = self.send(method, target, body).await?;
        Ok(Lines { body: response.into_body(), waiting: BytesMut::new() })
    }

    /// Asks for a body of any length.
    pub async fn download(&self, target: &str) -> Result<Incoming, CallError> {
        Ok(self.send(Method::GET, target, empty()).await?.into_body())
    }

    /// Sends a document, and leaves HTTP for a plain stream.
    pub async fn upgrade(&self, target: &str, document_sent: &impl Serialize) -> Result<Upgraded, CallError> {
        let body = json(document_sent)?;
        let response = self.send_upgrade(Method::POST, target, body).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(CallError::Unreadable(format!(
                "it did not switch protocols but said {}",
                response.status()
            )));
        }
        hyper::upgrade::on(response).await.map(TokioIo::new).map_err(CallError::Broken)
    }

    async fn send(&self, method: Method, target: &str, body: Body) -> Result<Response<Incoming>, CallError> {
        self.exchange(request(method, target, body)?).await
    }

    async fn send_upgrade(
        &self,
        method: Method,
        target: &str,
        body: Body,
    ) -> Result<Response<Incoming>, CallError> {
        let mut request = request(method, target, body)?;
        let headers = request.headers_mut();
        headers.insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("upgrade"));
        headers.insert(hyper::header::UPGRADE, hyper::header::HeaderValue::from_static("sea-stream"));
        self.exchange(request).await
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Response<Incoming>, CallError> {
        let stream = socket::connect(&self.path)
            .await
            .map_err(|source| CallError::Unreachable { path: self.path.clone(), source })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(CallError::Broken)?;
        // Ends by itself when the answer has been read or the upgraded stream is closed.
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request).await.map_err(CallError::Broken)?;
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let status = response.status();
        let body = collect(response.into_body()).await?;
        let report: Report = serde_json::from_slice(&body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&body);
            Report::new(
                status::kind_of(status),
                format!("the daemon answered {status} {}", text.trim()).trim(),
            )
        });
        Err(CallError::Refused(report.from_afar()))
    }
}

/// Lines of JSON as they arrive.
pub struct Lines {
    body: Incoming,
    waiting: BytesMut,
}

impl Lines {
    /// The next line, or nothing at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CallError> {
        loop {
            if let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') {
                let line = self.waiting.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return read(&line).map(Some);
            }
            if self.waiting.len() > LINE_BYTES {
                return Err(CallError::Unreadable(format!("a line is longer than {LINE_BYTES} bytes")));
            }
            let Some(frame) = self.body.frame().await else {
                return if self.waiting.is_empty() {
                    Ok(None)
                } else {
                    read(&self.waiting.split()).map(Some)
                };
            };
            if let Ok(data) = frame.map_err(CallError::Broken)?.into_data() {
                self.waiting.extend_from_slice(&data);
            }
        }
    }
}

fn request(method: Method, target: &str, body: Body) -> Result<Request<Body>, CallError> {
    Request::builder()
        .method(method)
        .uri(target)
        .header(hyper::header::HOST, "sea")
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(body)
        .map_err(|error| CallError::Unreadable(format!("`{target}` is no target of a request: {error}")))
}

fn empty() -> Body {
    full(Bytes::new())
}

fn json(document: &impl Serialize) -> Result<Body, CallError> {
    let text = serde_json::to_vec(document).map_err(|error| CallError::Unreadable(error.to_string()))?;
    Ok(full(text.into()))
}

fn full(bytes: Bytes) -> Body {
    BodyExt::boxed(Full::new(bytes).map_err(|never| match never {}))
}

async fn document<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, CallError> {
    let body = collect(response.into_body()).await?;
    // An answer without a body is JSON's null, which `()` and `Option` take.
    read(if body.is_empty() { b"null" } else { &body })
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(text).map_err(|error| CallError::Unreadable(error.to_string()))
}

async fn collect(mut body: Incoming) -> Result<BytesMut, CallError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(CallError::Broken)?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > DOCUMENT_BYTES {
            return Err(CallError::Unreadable(format!("it is longer than {DOCUMENT_BYTES} bytes")));
        }
    }
    Ok(bytes)
}
