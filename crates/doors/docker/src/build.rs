//! `POST /build` as docker's classic builder answers it, `/build/prune` and `/build/cancel`.
//!
//! The body is the context as an archive. Steps come one after the other, since clients read them so.

mod query;
mod told;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ::build::BuildRequest;
use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use crate::answer::{Answer, Pieces, Refusal, blocking};
use crate::credentials::Ring;
use crate::images::failure;
use crate::params::Params;
use crate::version::ApiVersion;
use crate::{Docker, Shared, builders};
use told::Teller;

/// So many bytes of the story of a quiet build are kept, for the case that it fails.
const KEPT: usize = 1 << 20;

pub(crate) fn routes() -> Router<Arc<Docker>> {
    Router::new()
        .route("/build", post(build).layer(DefaultBodyLimit::disable()))
        .route("/build/prune", post(prune))
        .route("/build/cancel", post(cancel))
}

/// `POST /build`.
async fn build(
    State(docker): Shared,
    version: ApiVersion,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    if params.text("version") == Some("2") {
        return builders::build(&docker, request).await;
    }
    let ring = Arc::new(Ring::of(request.headers()));
    let order = query::order(&params, version, crate::images::reader(request.into_body()))?;
    let quiet = params.truth("q");
    let (pieces, answer) = Pieces::json_once_said();
    let cancel = order.cancel.clone();
    let watched = pieces.clone();
    let watcher = tokio::spawn(async move {
        // When nobody reads any more, nobody wants the image.
        watched.closed().await;
        cancel.cancel();
    });
    let output = Output { pieces, told: AtomicBool::new(false), kept: Mutex::default(), quiet };
    let building = tokio::task::spawn_blocking(move || run(&docker, (order, ring), &output, version));
    tokio::spawn(async move {
        // Also after a panic: the watcher holds the stream open.
        let _ = building.await;
        watcher.abort();
    });
    // What is wrong before the first step is an answer of its own, with a status.
    answer.await
}

/// Where a build's story goes.
struct Output {
    pieces: Pieces,
    /// Whether the answer has begun.
    told: AtomicBool,
    /// What a quiet build would have said.
    kept: Mutex<(Vec<Value>, usize)>,
    quiet: bool,
}

impl Output {
    fn say(&self, document: Value) {
        if self.quiet {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let size = document.to_string().len();
            if kept.1 + size <= KEPT {
                kept.1 += size;
                kept.0.push(document);
            }
            return;
        }
        self.send(&document);
    }

    fn send(&self, document: &Value) {
        self.told.store(true, Ordering::Relaxed);
        self.pieces.send_blocking(document);
    }

    /// Ends with a failure: with a status when nothing was said yet.
    fn fail(&self, refusal: Refusal, document: &Value) {
        let kept = std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner).0);
        if kept.is_empty() && !self.told.load(Ordering::Relaxed) {
            return self.pieces.refuse_blocking(refusal);
        }
        kept.iter().for_each(|piece| self.send(piece));
        self.send(document);
    }
}

fn run(docker: &Docker, (mut order, ring): (BuildRequest, Arc<Ring>), output: &Output, version: ApiVersion) {
    let tags: Vec<String> = order.tags.iter().map(oci::Reference::familiar).collect();
    let teller = Mutex::new(Teller::default());
    let progress = |progress| {
        // Held until all is said, so that nothing comes in between.
        let mut teller = teller.lock().unwrap_or_else(PoisonError::into_inner);
        teller.tell(progress).into_iter().for_each(|document| output.say(document));
    };
    // Who names where the cache comes from means no other, as with docker; steps are found again by what they are, so
    // those of the images named are among them.
    let named = &order.cache_from;
    if !named.is_empty() && !named.iter().any(|name| docker.images.find(name).is_ok()) {
        order.no_cache = ::build::NoCache::Always;
    }
    let builder = docker.builder.clone().with_puller(docker.pullers.puller(ring));
    match builder.build(order, &*docker.runner, &progress) {
        Ok(built) => {
            if version >= ApiVersion(1, 30) {
                output.say(json!({ "aux": { "ID": built.image } }));
            }
            output.say(stream(format!("Successfully built {}\n", built.image.short())));
            tags.iter().for_each(|tag| output.say(stream(format!("Successfully tagged {tag}\n"))));
            if output.quiet {
                output.send(&stream(format!("{}\n", built.image)));
            }
        }
        Err(error) => {
            let command = teller.lock().unwrap_or_else(PoisonError::into_inner).command();
            let fault = told::fault(&error, &command);
            let mut document = failure(&fault.refusal.message);
            if let Some(code) = fault.code {
                document["errorDetail"]["code"] = code.into();
            }
            output.fail(fault.refusal, &document);
        }
    }
}

fn stream(text: impl Into<String>) -> Value {
    json!({ "stream": text.into() })
}

/// `POST /build/prune`: forgets the steps that builds remember, and what their cache mounts hold.
async fn prune(State(docker): Shared, version: ApiVersion, params: Params) -> Answer<Value> {
    let filters = params.filters()?;
    const NAMES: [&str; 9] =
        ["description", "id", "inuse", "parent", "private", "shared", "type", "unused-for", "until"];
    filters.only(&NAMES)?;
    if let Some(name) = NAMES.iter().find(|name| filters.has(name)) {
        return Err(Refusal::unsupported(format!(
            "the filter `{name}` is not had here: the build cache is pruned as a whole"
        )));
    }
    let bytes = |name: &str| -> Result<u64, Refusal> {
        let Some(text) = params.text(name) else { return Ok(0) };
        text.parse().map_err(|_| {
            Refusal::invalid(format!(
                "{name} is in bytes and expects an integer, got {text}: strconv.Atoi: parsing \"{text}\": invalid syntax"
            ))
        })
    };
    let mut reserved = if version >= ApiVersion(1, 48) { bytes("reserved-space")? } else { 0 };
    if reserved == 0 {
        reserved = bytes("keep-storage")?;
    }
    let worker = docker.clone();
    let (ids, freed) = blocking(move || {
        let (ids, freed) = worker.images.forget_steps(reserved).map_err(|problem| Refusal::of(&problem))?;
        if reserved == 0 {
            worker.builder.prune_caches().map_err(|problem| Refusal::of(&problem))?;
        }
        Ok::<_, Refusal>((ids, freed))
    })
    .await??;
    docker.pruned("builder", freed);
    let ids: Vec<&str> = ids.iter().map(|id| id.0.hex()).collect();
    let deleted = if ids.is_empty() { Value::Null } else { json!(ids) };
    Ok(Json(json!({ "CachesDeleted": deleted, "SpaceReclaimed": freed })))
}

/// `POST /build/cancel`: a classic build ends with its connection; others have ids.
async fn cancel(State(docker): Shared, params: Params) -> Result<Response, Refusal> {
    match params.text("id") {
        Some(id) => {
            docker.buildkit.cancel(id);
            Ok(([(header::CONTENT_TYPE, "application/json")], "").into_response())
        }
        None => Err(Refusal::invalid("build ID not provided")),
    }
}
