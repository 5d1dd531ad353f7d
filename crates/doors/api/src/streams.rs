//! Streams of frames: a program's input and output on a connection that left HTTP.

use std::future::Future;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::{Kind, Report};
use containers::ContainerError;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use runtime::order::Size;
use runtime::{Attached, Event, Input};
use serde::de::DeserializeOwned;
use talk::{Exited, FrameKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::answer::Refusal;

/// The most bytes of an order.
const ORDER_BYTES: usize = 16 << 20;

pub(crate) type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// How a stream ends.
pub(crate) enum Ending {
    /// The program ended.
    Exited(Exited),
    /// It could not go on.
    Failed(Report),
}

impl Ending {
    /// The end of a program that could not be started.
    pub(crate) fn of(error: &ContainerError) -> Self {
        match error {
            ContainerError::NotStarted { code, .. } | ContainerError::NotExecuted { code, .. } => {
                Self::Exited(Exited { code: *code, oom: false, error: Some(Report::of(error).to_string()) })
            }
            other => Self::Failed(Report::of(other)),
        }
    }
}

/// Reads the order of a request that wants to leave HTTP.
pub(crate) async fn accept<T: DeserializeOwned>(mut request: Request) -> Result<(OnUpgrade, T), Refusal> {
    let invalid = |message: &str| Refusal(Report::new(Kind::Invalid, message));
    if !request.headers().contains_key(header::UPGRADE) {
        return Err(invalid("this call leaves HTTP for a stream; ask for it with `Upgrade: sea-stream`"));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let body = axum::body::to_bytes(request.into_body(), ORDER_BYTES)
        .await
        .map_err(|error| invalid("the order cannot be read").because(error))?;
    let order =
        serde_json::from_slice(&body).map_err(|error| invalid("the order cannot be read").because(error))?;
    Ok((upgrade, order))
}

impl Refusal {
    fn because(self, cause: impl std::fmt::Display) -> Self {
        Self(self.0.because(cause))
    }
}

/// Leaves HTTP, and goes on in the background.
pub(crate) fn answer<F>(upgrade: OnUpgrade, work: impl FnOnce(Upgraded) -> F + Send + 'static) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        // When the client went away before, there is nobody to serve.
        if let Ok(upgraded) = upgrade.await {
            work(TokioIo::new(upgraded)).await;
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "sea-stream")];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

/// The writing half of a stream, to say the last word on.
pub(crate) type Writer = WriteHalf<Upgraded>;

/// Carries a program both ways to its end, and says how it ended.
pub(crate) async fn carry(stream: Upgraded, attached: Attached) {
    let (writer, ending) = carry_output(stream, attached).await;
    end(writer, ending).await;
}

/// Says that a program could not be run.
pub(crate) async fn fail(stream: Upgraded, error: &ContainerError) {
    end(tokio::io::split(stream).1, Ending::of(error)).await;
}

/// Says how it ended.
pub(crate) async fn end(mut writer: Writer, ending: Ending) {
    let (kind, body) = match &ending {
        Ending::Exited(exited) => (FrameKind::Exited, serde_json::to_vec(exited)),
        Ending::Failed(report) => (FrameKind::Failed, serde_json::to_vec(report)),
    };
    let mut out = Vec::new();
    talk::encode(&mut out, kind, &body.unwrap_or_default());
    // A client that went away needs no word.
    let _ = writer.write_all(&out).await;
    let _ = writer.shutdown().await;
}

/// Carries a program both ways until it ends; the last word is the caller's. When the client goes, the program runs on
/// and its output is passed over here, so that it does not wait for a reader; its log has it all.
pub(crate) async fn carry_output(stream: Upgraded, attached: Attached) -> (Writer, Ending) {
    let Attached { mut output, input, .. } = attached;
    let (reader, mut writer) = tokio::io::split(stream);
    let feeding = tokio::spawn(feed(reader, input));
    let mut out = Vec::new();
    let mut reads = true;
    let ending = loop {
        let (kind, bytes) = match output.next().await {
            Ok(Event::Stdout(bytes)) => (FrameKind::Stdout, bytes),
            Ok(Event::Stderr(bytes)) => (FrameKind::Stderr, bytes),
            Ok(Event::Exited(exit)) => {
                break Ending::Exited(Exited { code: exit.code, oom: exit.oom, error: exit.failure });
            }
            Err(problem) => break Ending::Failed(Report::of(&problem)),
        };
        out.clear();
        talk::encode(&mut out, kind, &bytes);
        reads = reads && writer.write_all(&out).await.is_ok();
    };
    feeding.abort();
    (writer, ending)
}

/// Hands the client's input on, until it ends or speaks nonsense.
async fn feed(mut reader: ReadHalf<Upgraded>, mut input: Input) {
    let mut bytes = bytes::BytesMut::new();
    loop {
        while let Ok(Some(frame)) = talk::decode(&bytes) {
            let length = talk::HEAD + frame.body.len();
            let handed = match frame.kind {
                FrameKind::Stdin if frame.body.is_empty() => input.end().await,
                FrameKind::Stdin => input.write(frame.body).await,
                FrameKind::Resize => resize(&mut input, frame.body).await,
                FrameKind::Signal => signal(&mut input, frame.body).await,
                FrameKind::Stdout | FrameKind::Stderr | FrameKind::Exited | FrameKind::Failed => {
                    return;
                }
            };
            // The program may have ended; its output says so.
            if handed.is_err() {
                return;
            }
            bytes::Buf::advance(&mut bytes, length);
        }
        if talk::decode(&bytes).is_err() {
            return;
        }
        match reader.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

async fn signal(input: &mut Input, body: &[u8]) -> Result<(), runtime::CallError> {
    match serde_json::from_slice::<i32>(body) {
        Ok(number) => input.kill(number).await,
        Err(_) => Ok(()),
    }
}

async fn resize(input: &mut Input, body: &[u8]) -> Result<(), runtime::CallError> {
    match serde_json::from_slice::<(u16, u16)>(body) {
        Ok((rows, columns)) => input.resize(Size { rows, columns }).await,
        Err(_) => Ok(()),
    }
}
