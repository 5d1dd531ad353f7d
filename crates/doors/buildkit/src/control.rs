//! `moby.buildkit.v1.Control`: builds, their progress, sessions, and what is known of the builder.

use std::sync::Arc;

use base::{Report, Timestamp};

use crate::contexts::Cached;
use crate::engine::Engine;
use crate::export::{self, Output};
use crate::gateway;
use crate::grpc::{Answer, Call, Code, Outgoing, Status, pipe};
use crate::job::{Job, Open, Opening};
use crate::options::Options;
use crate::proto::control::{
    BuildHistoryRequest, DiskUsageRequest, DiskUsageResponse, InfoResponse, ListWorkersResponse,
    PruneRequest, SolveRequest, SolveResponse, StatusRequest, UsageRecord,
};
use crate::proto::gateway::{Place, ReturnRequest};
use crate::requests;
use crate::work::Work;

/// What may be allowed to a build.
const HOST_NETWORK: &str = "network.host";

/// Answers a call of this service; `method` is what follows its name.
pub(crate) async fn call(engine: &Arc<Engine>, method: &str, mut call: Call) -> Answer {
    let answer = match method {
        "Solve" => match call.message().await {
            Ok(request) => solve(engine, request).await.map(|response| Answer::one(&response)),
            Err(status) => Err(status),
        },
        "Status" => match call.message().await {
            Ok(request) => status(engine, request).await,
            Err(status) => Err(status),
        },
        "Session" => session(engine, call),
        "Info" => Ok(Answer::one(&InfoResponse { version: Some(engine.version()) })),
        "ListWorkers" => Ok(Answer::one(&ListWorkersResponse { record: vec![engine.worker()] })),
        "DiskUsage" => match call.message::<DiskUsageRequest>().await {
            Ok(request) => unfiltered(&request.filter).map(|()| {
                let record = engine.contexts.usage().iter().map(record).collect();
                Answer::one(&DiskUsageResponse { record })
            }),
            Err(status) => Err(status),
        },
        "Prune" => match call.message().await {
            Ok(request) => prune(engine, &request).await,
            Err(status) => Err(status),
        },
        "ListenBuildHistory" => match call.message::<BuildHistoryRequest>().await {
            Ok(_) | Err(_) => Err(Status::unimplemented("the history of builds")),
        },
        _ => Err(Status::unimplemented(format!("the method {method}"))),
    };
    answer.unwrap_or_else(Answer::failed)
}

/// Does a build, or waits for what its conductor returns, and sends the result where it belongs.
pub(crate) async fn solve(engine: &Arc<Engine>, request: SolveRequest) -> Result<SolveResponse, Status> {
    if request.definition.as_ref().is_some_and(|definition| !definition.def.is_empty()) {
        return Err(Status::failed("graphs are not solved here, Dockerfiles are"));
    }
    if let Some(unknown) = request.entitlements.iter().find(|one| *one != HOST_NETWORK) {
        return Err(Status::failed(format!("{unknown} is not allowed")));
    }
    if let Some(cache) = &request.cache
        && let Some(export) = cache.exports.iter().find(|export| export.kind != "inline")
    {
        return Err(Status::failed(format!("cache export to {:?} is not supported here", export.kind)));
    }
    let outputs = Output::read(&exporters(&request))?;
    let host = request.entitlements.iter().any(|one| one == HOST_NETWORK);
    let inline_cache = request.cache.as_ref().is_some_and(|cache| !cache.exports.is_empty());
    let order = Opening { session: request.session.clone(), host_network: host, inline_cache };
    let (job, returned) = engine.jobs.open(&request.reference, order)?;
    tracing::info!(build = %job.reference, "build `{}` begins", job.reference);
    let solving = async {
        if request.frontend.is_empty() {
            let returned =
                returned.await.map_err(|_| Status::new(Code::Cancelled, "the build was given up"))?;
            conducted(engine, &job, returned, &outputs).await
        } else {
            gateway::check_frontend(&request.frontend, &request.frontend_attrs)?;
            let options = Options::read(&request.frontend_attrs, &request.frontend_inputs)?;
            direct(engine, &job, options, &outputs).await
        }
    };
    // A client that is gone without a word takes its session along; this call may not hear of it otherwise.
    let solved = tokio::select! {
        solved = solving => solved,
        () = deserted(engine, &request.session) => Err(Status::new(Code::Cancelled, "context canceled")),
    };
    match &solved {
        Ok(_) => tracing::info!(build = %job.reference, "build `{}` is done", job.reference),
        Err(status) => {
            tracing::info!(build = %job.reference, error = %status, "build `{}` failed", job.reference);
        }
    }
    solved
}

/// Done when the client's session ended; never for a build without one.
async fn deserted(engine: &Arc<Engine>, session: &str) {
    if session.is_empty() || engine.sessions.get(session).await.is_err() {
        return std::future::pending().await;
    }
    engine.sessions.ended(session).await;
}

fn exporters(request: &SolveRequest) -> Vec<crate::proto::control::Exporter> {
    if !request.exporters.is_empty() {
        return request.exporters.clone();
    }
    let old = crate::proto::control::Exporter {
        kind: request.exporter.clone(),
        attrs: request.exporter_attrs.clone(),
    };
    vec![old]
}

async fn direct(
    engine: &Arc<Engine>,
    job: &Open,
    options: Options,
    outputs: &[Output],
) -> Result<SolveResponse, Status> {
    let work = Work::plan(engine, job, options).await?;
    if work.options().request.is_some() {
        let answer = requests::answer(&work)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let exporter_response = answer.into_iter().map(|(name, value)| (name, text(value))).collect();
        return Ok(SolveResponse { exporter_response });
    }
    finish(engine, job, &work, outputs).await
}

async fn conducted(
    engine: &Arc<Engine>,
    job: &Open,
    returned: ReturnRequest,
    outputs: &[Output],
) -> Result<SolveResponse, Status> {
    if let Some(error) = returned.error {
        return Err(Status::from(error));
    }
    let id = match returned.result.and_then(|result| result.place) {
        None => String::new(),
        Some(Place::OldRef(id)) => id,
        Some(Place::Ref(one)) => one.id,
        Some(Place::OldRefs(map)) => only(map.refs.into_values())?,
        Some(Place::Refs(map)) => only(map.refs.into_values().map(|one| one.id))?,
    };
    if id.is_empty() {
        // A request that is no build has no files.
        return match outputs {
            [] => Ok(SolveResponse::default()),
            _ => Err(Status::failed("the build has no result to export")),
        };
    }
    let work = job.result(&id)?;
    finish(engine, job, &work, outputs).await
}

fn only(mut ids: impl Iterator<Item = String>) -> Result<String, Status> {
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Ok(String::new()),
        (Some(_), Some(_)) => {
            Err(Status::failed("exporting multiple references to image store is currently unsupported"))
        }
    }
}

async fn finish(
    engine: &Arc<Engine>,
    job: &Arc<Job>,
    work: &Work,
    outputs: &[Output],
) -> Result<SolveResponse, Status> {
    let outcome = work.image(engine, job).await?;
    let exporter_response = export::export(engine, job, &outcome, outputs).await?;
    if job.inline_cache {
        export::say_inline_cache(engine, job);
    }
    Ok(SolveResponse { exporter_response })
}

/// All progress of a build, to its end.
async fn status(engine: &Arc<Engine>, request: StatusRequest) -> Result<Answer, Status> {
    let mut reader = engine.jobs.get(&request.reference).await?.hub.reader();
    let (outgoing, answer) = Answer::stream();
    tokio::spawn(async move {
        while let Some(status) = reader.next().await {
            if !outgoing.send(&*status).await {
                return;
            }
        }
        outgoing.end(Ok(())).await;
    });
    Ok(answer)
}

/// A session inside a call.
fn session(engine: &Arc<Engine>, call: Call) -> Result<Answer, Status> {
    let headers = call.metadata.clone();
    engine.sessions.admits(&headers).map_err(|error| Status::failed(error.to_string()))?;
    let (outgoing, answer) = Answer::stream();
    let (io, carry) = pipe(call.into_messages(), outgoing);
    let engine = engine.clone();
    tokio::spawn(async move {
        let running = async {
            if let Err(error) = engine.sessions.run(io, &headers).await {
                tracing::debug!(%error, "a session ended");
            }
        };
        // Either ends the other: the session drops its end of the connection, the connection closes the session.
        tokio::join!(carry, running);
    });
    Ok(answer)
}

/// Forgets contexts, and unless the younger are to stay also the steps that builds remember and what cache mounts hold.
async fn prune(engine: &Arc<Engine>, request: &PruneRequest) -> Result<Answer, Status> {
    unfiltered(&request.filter)?;
    let since = Timestamp(engine.clock.wall().0.saturating_sub(request.keep_duration.max(0)));
    let mut gone: Vec<UsageRecord> = engine.contexts.prune(since).iter().map(record).collect();
    if request.keep_duration <= 0 {
        let (images, builds) = (engine.images.clone(), engine.builds.clone());
        let work = tokio::task::spawn_blocking(move || {
            let forgotten =
                images.forget_steps(0).map_err(|error| Status::failed(Report::of(&error).to_string()))?;
            builds.clear_caches().map_err(|error| Status::failed(Report::of(&error).to_string()))?;
            Ok::<_, Status>(forgotten)
        });
        let (_, bytes) = work.await.map_err(|error| Status::failed(error.to_string()))??;
        if bytes > 0 {
            gone.push(steps(bytes, engine.clock.wall()));
        }
    }
    let (outgoing, answer) = Answer::stream();
    tokio::spawn(tell_pruned(outgoing, gone));
    Ok(answer)
}

/// Refuses to choose: whoever names a part would lose more than that.
fn unfiltered(filter: &[String]) -> Result<(), Status> {
    match filter.iter().find(|filter| !filter.is_empty()) {
        None => Ok(()),
        Some(filter) => Err(Status::failed(format!(
            "the filter `{filter}` is not had here: the build cache is told and pruned as a whole"
        ))),
    }
}

/// The steps that were forgotten, as one record.
fn steps(bytes: u64, now: Timestamp) -> UsageRecord {
    UsageRecord {
        id: "steps".into(),
        mutable: false,
        in_use: false,
        size: i64::try_from(bytes).unwrap_or(i64::MAX),
        created: Some(now.into()),
        used: Some(now.into()),
        usage_count: 1,
        description: "layers of builds' steps".into(),
        record_type: "regular".into(),
        shared: false,
    }
}

async fn tell_pruned(outgoing: Outgoing, gone: Vec<UsageRecord>) {
    for usage in &gone {
        if !outgoing.send(usage).await {
            return;
        }
    }
    outgoing.end(Ok(())).await;
}

fn record(usage: &Cached) -> UsageRecord {
    UsageRecord {
        id: usage.id.clone(),
        mutable: true,
        in_use: usage.busy,
        size: i64::try_from(usage.bytes).unwrap_or(i64::MAX),
        created: Some(usage.made.into()),
        used: Some(usage.made.into()),
        usage_count: 1,
        description: "files of a build's context".into(),
        record_type: "source.local".into(),
        shared: false,
    }
}
