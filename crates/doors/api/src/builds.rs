//! `POST /v1/build`: the body is the order and the contexts, the answer is lines.

mod body;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use base::{Kind, Report};
use build::{
    BuildRequest, Cancel, Context, DockerfileSource, NamedContext, NoCache, Progress, RunLimits, RunNetwork,
    RunSettings, Secret, StepKind, Stream, Ulimit,
};
use serde::Deserialize;
use talk::{BuildContext, BuildEvent, BuildOrder};

use crate::answer::{Lines, Refusal};
use crate::{Daemon, Shared};
use body::Pieces;

/// `POST /v1/build`.
pub(crate) async fn builds(State(daemon): Shared, body: Body) -> Response {
    let (lines, response) = Lines::begin();
    let pieces = Pieces::new(body);
    let cancel = Cancel::default();
    let (watched, switch) = (lines.clone(), cancel.clone());
    tokio::spawn(async move {
        // When nobody reads the lines any more, nobody wants the image.
        watched.closed().await;
        switch.cancel();
    });
    let at_end = lines.clone();
    let building = tokio::task::spawn_blocking(move || {
        let last = match build(&daemon, pieces, cancel, &lines) {
            Ok(built) => built,
            Err(report) => BuildEvent::Failed { report },
        };
        lines.send_blocking(&last);
    });
    tokio::spawn(async move {
        // Nobody must wait for the end of a build that has lost its thread.
        if let Err(error) = building.await {
            let report = Report::new(Kind::Internal, "the build broke off").because(error);
            at_end.send(&BuildEvent::Failed { report }).await;
        }
    });
    response
}

fn build(daemon: &Daemon, pieces: Pieces, cancel: Cancel, lines: &Lines) -> Result<BuildEvent, Report> {
    let order = pieces.order()?;
    let request = request(order, &pieces, cancel)?;
    let RunLimits { memory, cpu_shares, .. } = request.run.limits;
    lines.send_blocking(&BuildEvent::Bounds { memory, cpu_shares });
    let progress = |progress: Progress| {
        if let Some(event) = event(progress) {
            lines.send_blocking(&event);
        }
    };
    let built = daemon.builder.build(request, &*daemon.runner, &progress);
    let built = built.map_err(|error| Report::of(&error))?;
    Ok(BuildEvent::Built {
        id: built.image.to_string(),
        cached: built.cached as u32,
        steps: built.steps as u32,
    })
}

fn request(order: BuildOrder, pieces: &Pieces, cancel: Cancel) -> Result<BuildRequest, Report> {
    let names = order.names.iter().map(|name| name.parse::<oci::Reference>());
    let tags = names.collect::<Result<Vec<_>, _>>().map_err(|error| Report::of(&error))?;
    let run = run_settings(&order)?;
    let mut part = 0;
    let mut files = |context: BuildContext| match context {
        BuildContext::Nothing => Context::Empty,
        BuildContext::Url(url) => Context::Url(url),
        BuildContext::Image(image) => Context::Url(image),
        BuildContext::Archive => {
            part += 1;
            Context::Archive(Box::new(pieces.part(part)))
        }
    };
    let context = files(order.context);
    let contexts = order.contexts.into_iter().map(|(name, one)| {
        let one = match one {
            BuildContext::Image(image) => NamedContext::Image(image),
            other => NamedContext::Files(files(other)),
        };
        (name, one)
    });
    let contexts = contexts.collect();
    let dockerfile = match (order.build.dockerfile_inline, order.build.dockerfile) {
        (Some(text), _) => DockerfileSource::Text(text),
        (None, path) => DockerfileSource::InContext(path.unwrap_or_default()),
    };
    let no_cache = match (order.build.no_cache, order.no_cache_stages) {
        (true, _) => NoCache::Always,
        (false, stages) if stages.is_empty() => NoCache::Never,
        (false, stages) => NoCache::Stages(stages),
    };
    let secrets: BTreeMap<String, Secret> =
        order.secrets.into_iter().map(|(id, bytes)| (id, Secret(bytes.0))).collect();
    Ok(BuildRequest {
        contexts,
        args: order.build.args.into_iter().collect(),
        target: order.build.target,
        tags,
        labels: order.build.labels.into_iter().collect(),
        platform: order.platform,
        pull: order.pull,
        no_cache,
        cache_from: order.cache_from,
        secrets: Arc::new(secrets),
        agents: Arc::new(order.agents),
        epoch: order.epoch,
        run,
        jobs: order.jobs.and_then(NonZeroUsize::new),
        cancel,
        ..BuildRequest::new(context, dockerfile)
    })
}

/// What holds for all commands.
fn run_settings(order: &BuildOrder) -> Result<RunSettings, Report> {
    let network = RunNetwork::of(order.network.as_deref().unwrap_or_default());
    let usual = RunLimits::usual();
    let limits = RunLimits {
        memory: order.memory.map_or(usual.memory, |memory| Some(memory).filter(|memory| memory.0 > 0)),
        cpu_shares: order.cpu_shares.or(usual.cpu_shares),
        pids: usual.pids,
    };
    let ulimit =
        |(name, (soft, hard)): (&String, &(i64, i64))| (name.clone(), Ulimit { soft: *soft, hard: *hard });
    Ok(RunSettings {
        network,
        limits,
        shm_size: order.shm_size,
        ulimits: order.ulimits.iter().map(ulimit).collect(),
        hosts: order.hosts.clone(),
    })
}

/// The line for what the builder tells, if it is worth one.
fn event(progress: Progress) -> Option<BuildEvent> {
    Some(match progress {
        Progress::Planned(_) => return None,
        Progress::Started(step) => BuildEvent::Step {
            title: step.title(),
            files: step.kind != StepKind::Settings,
            line: step.line,
            step: step.number,
        },
        Progress::Cached { step, .. } => BuildEvent::Cached { step },
        Progress::Finished { step, took_ms, .. } => BuildEvent::Done { step, took_ms },
        Progress::Failed { step, why } => BuildEvent::Broken { step, why },
        Progress::Output { step, stream, bytes } => BuildEvent::Output {
            step,
            stderr: stream == Stream::Stderr,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        },
        Progress::Moved { step, what, bytes, of, done } => BuildEvent::Moved { step, what, bytes, of, done },
        Progress::Warning { line, message, .. } => BuildEvent::Warning { line, text: message },
    })
}

/// The query of `GET /v1/build/files`.
#[derive(Debug, Deserialize)]
pub(crate) struct FilesQuery {
    image: String,
}

/// `GET /v1/build/files`: all files of an image, as one tar archive.
pub(crate) async fn files(
    State(daemon): Shared,
    Query(query): Query<FilesQuery>,
) -> Result<Response, Refusal> {
    let image = daemon.images.find(&query.image)?;
    Ok(crate::images::stream(move |out| build::export_files(&image, out).map_err(|error| Report::of(&error))))
}
