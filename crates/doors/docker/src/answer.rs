//! Answers in docker's form: documents, streams of JSON, and problems as `{"message": …}` with docker's status.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::{Kind, Problem, Report};
use bytes::Bytes;
use containers::{ContainerError, VolumeError};
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

/// So many pieces of a stream wait for a slow reader; then whoever makes them waits too.
const WAITING: usize = 64;
const JSON: &str = "application/json";

/// A problem on its way out.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

/// What a handler answers.
pub(crate) type Answer<T> = Result<Json<T>, Refusal>;

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The request makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// What it names is not there.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// What is there is in the way.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// It failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// We do not have that.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// A problem of a room, in one line.
    pub(crate) fn of(problem: &dyn Problem) -> Self {
        Self::told(&Report::of(problem))
    }

    /// The same of one that was told already.
    pub(crate) fn told(report: &Report) -> Self {
        Self { status: status(report.kind), message: line(report) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "message": self.message }))).into_response()
    }
}

/// Docker's statuses for the kinds of problems that have none of their own.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Exhausted | Kind::TimedOut | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A report as docker's one line of text.
pub(crate) fn line(report: &Report) -> String {
    let mut text = report.message.clone();
    for cause in &report.because {
        text.push_str(": ");
        text.push_str(cause);
    }
    if let Some(hint) = &report.hint {
        text.push_str(" (");
        text.push_str(hint);
        text.push(')');
    }
    text
}

impl From<ContainerError> for Refusal {
    fn from(error: ContainerError) -> Self {
        match &error {
            ContainerError::Missing(name) => Self::missing(format!("No such container: {name}")),
            ContainerError::NoExec(id) => Self::missing(format!("No such exec instance: {id}")),
            ContainerError::Ambiguous(name) => {
                Self::invalid(format!("Multiple IDs found with provided prefix: {name}"))
            }
            ContainerError::NameTaken { name, by } => Self::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{by}\". You have to remove (or rename) that container to be able to reuse that name."
            )),
            ContainerError::NotRunning(name) => Self::conflict(format!("container {name} is not running")),
            ContainerError::NotStarted { code: code @ (126 | 127), source, .. } => {
                let why = not_run(*code, source);
                Self::invalid(format!(
                    "failed to create task for container: OCI runtime create failed: {why}"
                ))
            }
            ContainerError::NotExecuted { code: code @ (126 | 127), source, .. } => {
                Self::invalid(format!("OCI runtime exec failed: exec failed: {}", not_run(*code, source)))
            }
            ContainerError::Running(_)
            | ContainerError::Invalid(_)
            | ContainerError::NotStarted { .. }
            | ContainerError::NotExecuted { .. }
            | ContainerError::Volume(_)
            | ContainerError::Record(_)
            | ContainerError::Failed { .. } => Self::of(&error),
        }
    }
}

/// Why a program could not be run. Clients find the exit code in docker's words, so those are part of it.
pub(crate) fn not_run(code: i32, source: &Report) -> String {
    let why = line(source);
    match code {
        // Its working directory, or what a link leads to.
        126 if source.kind == Kind::NotFound => {
            format!("unable to start container process: {why}: no such file or directory")
        }
        127 => format!("unable to start container process: {why}: executable file not found in $PATH"),
        _ => format!("unable to start container process: {why}: permission denied"),
    }
}

impl From<VolumeError> for Refusal {
    fn from(error: VolumeError) -> Self {
        match &error {
            VolumeError::Missing(name) => Self::missing(format!("get {name}: no such volume")),
            _ => Self::of(&error),
        }
    }
}

/// Nothing is served under this target.
pub(crate) fn unknown() -> Refusal {
    Refusal::missing("page not found")
}

/// Work whose answer will not come.
pub(crate) fn cut_off() -> Refusal {
    Refusal::failed("the work on this request broke off")
}

/// Work that panicked or was cut off.
pub(crate) fn broken(error: &tokio::task::JoinError) -> Refusal {
    Refusal::failed(format!("the work on this request broke off: {error}"))
}

/// Waits for work that blocks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error))
}

/// The sending end of a body that is made while it is read.
#[derive(Clone)]
pub(crate) struct Pieces {
    sender: mpsc::Sender<Result<Bytes, Refusal>>,
}

impl Pieces {
    /// A stream of this content type, and the response that carries it.
    pub(crate) fn begin(content_type: &'static str) -> (Self, Response) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender }, carrying(content_type, None, receiver))
    }

    /// The same for a stream of JSON documents.
    pub(crate) fn json() -> (Self, Response) {
        Self::begin(JSON)
    }

    /// A stream of JSON documents whose answer begins with the first of them, or is a refusal when that comes first: some
    /// clients take the beginning of an answer for a sign that their request needs no more of its body.
    pub(crate) fn json_once_said() -> (Self, impl Future<Output = Result<Response, Refusal>>) {
        let (sender, mut receiver) = mpsc::channel(WAITING);
        let answer = async move {
            let broken = || Refusal::failed("the work on this request broke off");
            let first = receiver.recv().await.ok_or_else(broken)??;
            Ok(carrying(JSON, Some(first), receiver))
        };
        (Self { sender }, answer)
    }

    /// Sends bytes; false when nobody reads any more.
    pub(crate) async fn bytes(&self, bytes: impl Into<Bytes>) -> bool {
        self.sender.send(Ok(bytes.into())).await.is_ok()
    }

    /// Sends a document and the line break behind it, as docker does.
    pub(crate) async fn send(&self, document: &impl Serialize) -> bool {
        self.sender.send(Ok(text(document))).await.is_ok()
    }

    /// The same from a thread that may wait.
    pub(crate) fn send_blocking(&self, document: &impl Serialize) -> bool {
        self.sender.blocking_send(Ok(text(document))).is_ok()
    }

    /// Sends bytes from a thread that may wait.
    pub(crate) fn bytes_blocking(&self, bytes: impl Into<Bytes>) -> bool {
        self.sender.blocking_send(Ok(bytes.into())).is_ok()
    }

    /// Breaks the body off, so that the client knows that it is not whole.
    pub(crate) fn break_off(&self, why: String) {
        // A client that went away needs no word.
        let _ = self.sender.try_send(Err(Refusal::failed(why)));
    }

    /// Says that there is no answer but this refusal. It must come first.
    pub(crate) async fn refuse(&self, refusal: Refusal) {
        let _ = self.sender.send(Err(refusal)).await;
    }

    /// The same from a thread that may wait.
    pub(crate) fn refuse_blocking(&self, refusal: Refusal) {
        let _ = self.sender.blocking_send(Err(refusal));
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// A body of what comes.
fn carrying(
    content_type: &'static str,
    first: Option<Bytes>,
    receiver: mpsc::Receiver<Result<Bytes, Refusal>>,
) -> Response {
    let rest = stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece.map_err(|refusal| io::Error::other(refusal.message)), receiver))
    });
    let all = stream::iter(first.map(Ok)).chain(rest);
    (StatusCode::OK, [(header::CONTENT_TYPE, content_type)], Body::from_stream(all)).into_response()
}

impl io::Write for Pieces {
    /// From a thread that may wait.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes_blocking(Bytes::copy_from_slice(bytes)) {
            Ok(bytes.len())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn text(document: &impl Serialize) -> Bytes {
    let mut text =
        serde_json::to_vec(document).expect("our documents have text keys only, so JSON can hold them");
    text.extend_from_slice(b"\r\n");
    text.into()
}
