//! `POST /v1/build`: the body is the context, the answer is lines.

use std::io;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use base::{Kind, Report};
use build::{BuildRequest, Cancel, Context, Progress, RunLimits};
use futures_util::TryStreamExt;
use serde::Deserialize;
use talk::{BuildEvent, BuildOrder};
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::Shared;
use crate::answer::{Lines, Refusal};

/// A build must not starve what serves: a quarter of the usual weight, and a bound on its processes.
const BUILD_CPU_SHARES: u64 = 256;
const BUILD_PIDS: i64 = 4096;

/// The order, as JSON in the query, because the body is the context.
#[derive(Debug, Deserialize)]
pub(crate) struct BuildQuery {
    order: String,
}

/// `POST /v1/build`.
pub(crate) async fn builds(
    State(daemon): Shared,
    Query(query): Query<BuildQuery>,
    body: Body,
) -> Result<Response, Refusal> {
    let invalid = |cause: &dyn std::fmt::Display| {
        Refusal(Report::new(Kind::Invalid, "the order to build cannot be read").because(cause))
    };
    let order: BuildOrder = serde_json::from_str(&query.order).map_err(|error| invalid(&error))?;
    let tags = order.names.iter().map(|name| name.parse()).collect::<Result<Vec<oci::Reference>, _>>()?;
    let dockerfile =
        order.build.dockerfile_inline.ok_or_else(|| invalid(&"it has no text of a Dockerfile"))?;
    let (lines, response) = Lines::begin();
    let reader = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let reader = SyncIoBridge::new(Box::pin(reader));
    let cancel = Cancel::default();
    let (watched, switch) = (lines.clone(), cancel.clone());
    tokio::spawn(async move {
        // When nobody reads the lines any more, nobody wants the image.
        watched.closed().await;
        switch.cancel();
    });
    let request = BuildRequest {
        context: Context::Archive(Box::new(reader)),
        dockerfile,
        args: order.build.args.into_iter().collect(),
        target: order.build.target,
        tags,
        labels: order.build.labels.into_iter().collect(),
        no_cache: order.build.no_cache,
        epoch: None,
        limits: RunLimits { memory: None, cpu_shares: Some(BUILD_CPU_SHARES), pids: Some(BUILD_PIDS) },
        cancel,
    };
    let at_end = lines.clone();
    let building = tokio::task::spawn_blocking(move || {
        let progress = |progress: Progress| tell(&lines, progress);
        let last = match daemon.builder.build(request, &*daemon.runner, &progress) {
            Ok(built) => BuildEvent::Built {
                id: built.image.to_string(),
                cached: built.cached as u32,
                steps: built.steps as u32,
            },
            Err(error) => BuildEvent::Failed { report: Report::of(&error) },
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
    Ok(response)
}

fn tell(lines: &Lines, progress: Progress) {
    let event = match progress {
        Progress::Started { step, total, text, .. } => {
            BuildEvent::Step { number: step as u32, of: total as u32, text, cached: false }
        }
        Progress::Cached { step } => BuildEvent::Output { text: format!("step {step} was done before\n") },
        Progress::Finished { .. } => return,
        Progress::Output { bytes, .. } => {
            BuildEvent::Output { text: String::from_utf8_lossy(&bytes).into_owned() }
        }
        Progress::Warning { line, message } => {
            let place = if line == 0 { String::new() } else { format!("line {line}: ") };
            BuildEvent::Warning { text: format!("{place}{message}") }
        }
    };
    lines.send_blocking(&event);
}
