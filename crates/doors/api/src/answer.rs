//! Answers: a document, a stream of lines, or a problem with its status.

use std::io;

use axum::Json;
use axum::body::Body;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base::{Kind, Problem, Report};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

/// So many lines of a stream wait for a slow reader; then whoever makes them waits too.
const WAITING: usize = 64;

/// A problem on its way out.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Report);

/// What a handler answers.
pub(crate) type Answer<T> = Result<Json<T>, Refusal>;

/// The answer that all is well.
pub(crate) fn ok<T>(document: T) -> Answer<T> {
    Ok(Json(document))
}

impl<P: Problem> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self(Report::of(&problem))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (wire::status_of(self.0.kind), Json(self.0)).into_response()
    }
}

/// Nothing is served under this target.
pub(crate) async fn unknown(method: Method, uri: Uri) -> Refusal {
    let report = Report::new(Kind::NotFound, format!("this daemon has no `{method} {}`", uri.path()));
    Refusal(report.hint("the command may be of another version: compare `sea version`"))
}

/// Work that panicked or was cut off.
pub(crate) fn broken(error: &tokio::task::JoinError) -> Refusal {
    Refusal(Report::new(Kind::Internal, "the work on this request broke off").because(error))
}

/// The sending end of a stream of lines of JSON.
#[derive(Clone)]
pub(crate) struct Lines {
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Lines {
    /// A stream, and the response that carries it.
    pub(crate) fn begin() -> (Self, Response) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let line = receiver.recv().await?;
            Some((line, receiver))
        });
        let content = (header::CONTENT_TYPE, "application/x-ndjson");
        (Self { sender }, (StatusCode::OK, [content], Body::from_stream(stream)).into_response())
    }

    /// Sends a line; false when nobody reads any more.
    pub(crate) async fn send(&self, line: &impl Serialize) -> bool {
        self.sender.send(Ok(text(line))).await.is_ok()
    }

    /// The same from a thread that may wait.
    pub(crate) fn send_blocking(&self, line: &impl Serialize) -> bool {
        self.sender.blocking_send(Ok(text(line))).is_ok()
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }
}

fn text(line: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(line).expect("our lines have text keys only, so JSON can hold them");
    text.push(b'\n');
    text.into()
}
