//! `POST /images/create?fromImage=…`: fetches an image, and tells of it in docker's words.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base::{Kind, Problem, Report};
use images::{LayerState, PullOrder, PullStep};
use oci::{Platform, Reference};
use serde_json::{Value, json};

use super::archives::moved;
use super::carry::{Story, telling};
use super::names::{platform_of, pulled};
use crate::Docker;
use crate::answer::{Refusal, line};
use crate::credentials;
use crate::params::Params;

/// So many tags are fetched when all of a repository are asked for.
const TAGS: usize = 1000;

/// `POST /images/create?fromImage=…`.
pub(super) async fn pull(
    docker: &Arc<Docker>,
    from: &str,
    platform: Option<&str>,
    params: &Params,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let tag = params.text("tag");
    let image = pulled(from, tag)?;
    let platform = platform.map_or_else(|| Ok(Platform::ours()), platform_of)?;
    let keys = credentials::keys(headers, image.domain());
    // Without a tag all of them are meant, as docker has it.
    let every = tag.is_none() && image.digest().is_none() && !says_tag(from);
    let (mut story, listener) = Story::begin();
    let docker = docker.clone();
    tokio::spawn(async move {
        let images = if every {
            match tags(&docker, &image, &keys).await {
                Ok(images) => images,
                Err(refusal) => return story.fail(refusal).await,
            }
        } else {
            vec![image]
        };
        for image in images {
            let order = PullOrder { image, platform: platform.clone(), keys: keys.clone() };
            match one(&docker, &order, &mut story).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(refusal)) => return story.fail(refusal).await,
            }
        }
    });
    listener.await
}

/// Whether a name has a tag written in it.
fn says_tag(text: &str) -> bool {
    text.rsplit('/').next().is_some_and(|last| last.trim_end_matches(':').contains(':'))
}

/// Every tag of a repository.
async fn tags(
    docker: &Docker,
    image: &Reference,
    keys: &registry::Keyring,
) -> Result<Vec<Reference>, Refusal> {
    let repository = docker.registries.repository(image, keys.clone());
    let listing = repository.tags().await.map_err(|problem| refusal(&problem, image))?;
    let named = listing.names.iter().take(TAGS).filter_map(|tag| image.with_tag(tag).ok());
    let all: Vec<Reference> = named.collect();
    if all.is_empty() {
        return Err(Refusal::missing(format!("no tags of {} are there", image.familiar_repository())));
    }
    Ok(all)
}

/// Fetches one image. Nothing when nobody listens any more.
async fn one(docker: &Docker, order: &PullOrder, story: &mut Story) -> Option<Result<(), Refusal>> {
    let (tell, steps) = telling(counts);
    let image = &order.image;
    let work = docker.images.pull(&docker.registries, order, tell);
    let done = match story.carry(work, steps, |step| words(step, image)).await? {
        Ok(done) => done,
        Err(problem) => return Some(Err(refusal(&problem, image))),
    };
    let name = image.familiar();
    let status = if done.known {
        format!("Status: Image is up to date for {name}")
    } else {
        format!("Status: Downloaded newer image for {name}")
    };
    story.tell(&json!({ "status": format!("Digest: {}", done.digest) })).await;
    story.tell(&json!({ "status": status })).await;
    Some(Ok(()))
}

fn counts(step: &PullStep) -> bool {
    match step {
        PullStep::Resolved { .. } => false,
        PullStep::Layer { state, .. } => {
            matches!(state, LayerState::Arriving { .. } | LayerState::Unpacking { .. })
        }
    }
}

/// A step in docker's words.
fn words(step: PullStep, image: &Reference) -> Vec<Value> {
    let plain = |status: &str, id: &str| json!({ "status": status, "progressDetail": {}, "id": id });
    let (blob, state) = match step {
        PullStep::Resolved { .. } => {
            let which = match (image.digest(), image.tag()) {
                (Some(digest), _) => digest.to_string(),
                (None, tag) => tag.unwrap_or_default().to_owned(),
            };
            return vec![json!({ "status": format!("Pulling from {}", image.path()), "id": which })];
        }
        PullStep::Layer { blob, state } => (blob, state),
    };
    let id = blob.short();
    vec![match state {
        LayerState::Known => plain("Already exists", id),
        LayerState::Waiting { .. } => plain("Pulling fs layer", id),
        LayerState::Arriving { bytes, size } => moved("Downloading", id, bytes, size),
        LayerState::Verifying => plain("Verifying Checksum", id),
        LayerState::Arrived => plain("Download complete", id),
        LayerState::Unpacking { bytes, size } => moved("Extracting", id, bytes, size),
        LayerState::Done => plain("Pull complete", id),
    }]
}

/// Why it was not had, with docker's status: what is not there and what may not be seen are the same to a stranger.
pub(super) fn refusal(problem: &dyn Problem, image: &Reference) -> Refusal {
    let report = Report::of(problem);
    let text = line(&report);
    match report.kind {
        Kind::Denied => Refusal::missing(format!(
            "pull access denied for {}, repository does not exist or may require 'docker login': denied: {text}",
            image.familiar_repository()
        )),
        Kind::NotFound => {
            Refusal::missing(format!("manifest for {} not found: manifest unknown: {text}", image.familiar()))
        }
        Kind::Invalid => Refusal::new(StatusCode::BAD_REQUEST, text),
        Kind::Conflict
        | Kind::Exhausted
        | Kind::Internal
        | Kind::TimedOut
        | Kind::Unavailable
        | Kind::Unsupported => Refusal::failed(text),
    }
}

#[cfg(test)]
mod tests;
