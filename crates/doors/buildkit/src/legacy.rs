//! `POST /build?version=2`: how clients before buildx ask for a build.
//!
//! The order is in the query, the files come through a session, or with the request, or with a second request that names
//! the same build. The answer is lines of JSON that carry the same progress as `Control.Status`.

mod query;

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::{Kind, Report, kernel_bytes};
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::BuildKit;
use crate::control;
use crate::grpc::Status;
use crate::load::Pieces;

use query::Query;

/// So many lines, or pieces of a context, wait for a slow reader.
const QUEUE: usize = 16;
/// A build waits so long for the request that brings its context, and that request for the build.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many contexts wait for their builds.
const BODIES: usize = 64;
/// In front of a build's id in the request that brings its context.
const UPLOAD: &str = "upload-request:";

/// The contexts that came with requests, by the names of their builds.
pub(crate) struct Bodies {
    waiting: Mutex<HashMap<String, Pieces>>,
    changed: watch::Sender<()>,
    /// Builds that can be ended by name.
    cancels: Mutex<HashMap<String, build::Cancel>>,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::default(), changed: watch::Sender::new(()), cancels: Mutex::default() }
    }

    /// The context of this name, as soon as it comes.
    pub(crate) async fn take(&self, name: &str) -> Result<Pieces, Status> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                changed.mark_unchanged();
                let found = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
                if found.is_some() {
                    self.changed.send_replace(());
                    return found;
                }
                changed.changed().await.ok()?;
            }
        };
        let none = || Status::failed("the context of the build did not come");
        tokio::time::timeout(PATIENCE, wait).await.ok().flatten().ok_or_else(none)
    }

    fn put(&self, name: String, pieces: Pieces) -> Result<(), Report> {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= BODIES {
                return Err(Report::new(Kind::Exhausted, "too many contexts wait for their builds"));
            }
            waiting.insert(name, pieces);
        }
        self.changed.send_replace(());
        Ok(())
    }

    fn waits(&self, name: &str) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    fn forget(&self, name: &str) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// A context that waits for its build; gone with whoever brought it.
struct Waiting<'a> {
    bodies: &'a Bodies,
    name: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.bodies.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name);
    }
}

/// The body of an answer: lines.
pub type Lines = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

impl BuildKit {
    /// Answers `POST /build?version=2`. Errors of the request itself come back as a report; the build's own are the last
    /// line of the answer.
    pub async fn build<B>(&self, request: Request<B>) -> Result<Response<Lines>, Report>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let (head, body) = request.into_parts();
        let query = Query::parse(head.uri.query().unwrap_or_default());
        if let Some(name) = query.one("buildid").and_then(|id| id.strip_prefix(UPLOAD)) {
            return self.upload(name.to_owned(), body).await;
        }
        let reference = HEXLOWER.encode(&kernel_bytes::<12>());
        let build = query.one("buildid").filter(|id| !id.is_empty()).unwrap_or(&reference).to_owned();
        let context = match query.one("remote").unwrap_or_default() {
            "client-session" => None,
            "upload-request" => Some(build.clone()),
            "" => Some(reference.clone()),
            // Behind a URL, which is read with the other options.
            _ => None,
        };
        let own_body = context.as_ref().is_some_and(|name| *name == reference);
        let order = query.order(&reference, context.as_deref(), self.engine.host_gateway)?;
        let pump = if own_body {
            let (pieces, pump) = pieces(body);
            self.engine.bodies.put(reference.clone(), pieces)?;
            Some(pump)
        } else {
            None
        };
        let (sender, receiver) = mpsc::channel(QUEUE);
        let quiet = query.flag("q");
        let door = self.clone();
        tokio::spawn(async move {
            let answering = door.answer(order, &build, quiet, &sender);
            let gone = sender.closed();
            tokio::select! {
                () = answering => {}
                // Whoever asked is gone: dropping the build ends it.
                () = gone => {}
            }
            door.engine.bodies.forget(&build);
            door.engine.bodies.forget(&reference);
        });
        if let Some(pump) = pump {
            tokio::spawn(pump);
        }
        let mut response = Response::new(LineBody(receiver).boxed_unsync());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    /// Ends the build of this name, if there is one: `POST /build/cancel?id=…`.
    pub fn cancel(&self, id: &str) {
        let cancels = self.engine.bodies.cancels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancel) = cancels.get(id) {
            cancel.cancel();
        }
    }

    /// Brings a context to the build that waits for it.
    async fn upload<B>(&self, name: String, body: B) -> Result<Response<Lines>, Report>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let (pieces, pump) = pieces(body);
        let bodies = &self.engine.bodies;
        let mut changed = bodies.changed.subscribe();
        bodies.put(name.clone(), pieces)?;
        let waiting = Waiting { bodies, name: &name };
        let taken = async {
            while bodies.waits(&name) {
                let _ = changed.changed().await;
            }
        };
        if tokio::time::timeout(PATIENCE, taken).await.is_err() {
            return Err(Report::new(Kind::NotFound, format!("no build `{name}` asks for a context")));
        }
        drop(waiting);
        pump.await;
        Ok(Response::new(http_body_util::Empty::new().boxed_unsync()))
    }

    async fn answer(&self, order: query::Asked, build: &str, quiet: bool, lines: &mpsc::Sender<Bytes>) {
        let engine = &self.engine;
        let reference = order.request.reference.clone();
        let wants_image = order.wants_image;
        let progress = async {
            // The build is opened by the other half.
            let Ok(job) = engine.jobs.get(&reference).await else { return };
            engine
                .bodies
                .cancels
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(build.to_owned(), job.cancel.clone());
            let mut reader = job.hub.reader();
            while let Some(status) = reader.next().await {
                let trace =
                    json!({"id": "moby.buildkit.trace", "aux": BASE64.encode(&status.encode_to_vec())});
                if !quiet {
                    send(lines, &trace).await;
                }
            }
        };
        let (solved, ()) = tokio::join!(control::solve(engine, order.request), progress);
        let last = match solved {
            Ok(response) => match response.exporter_response.get("containerimage.digest") {
                Some(id) if wants_image && quiet => json!({"stream": format!("{id}\n")}),
                Some(id) if wants_image => json!({"id": "moby.image.id", "aux": {"ID": id}}),
                Some(_) | None => return,
            },
            Err(status) => json!({"errorDetail": {"message": status.message}, "error": status.message}),
        };
        send(lines, &last).await;
    }
}

async fn send(lines: &mpsc::Sender<Bytes>, line: &Value) {
    let _ = lines.send(Bytes::from(format!("{line}\r\n"))).await;
}

/// A request's body as pieces, and the work that carries them.
fn pieces<B>(mut body: B) -> (Pieces, impl Future<Output = ()> + Send)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (sender, receiver) = mpsc::channel(QUEUE);
    let pump = async move {
        while let Some(frame) = body.frame().await {
            let piece = match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) => Ok(data),
                Ok(Err(_)) => continue,
                Err(error) => Err(io::Error::other(error)),
            };
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    };
    (Pieces::new(receiver), pump)
}

struct LineBody(mpsc::Receiver<Bytes>);

impl Body for LineBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|line| line.map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }
}
