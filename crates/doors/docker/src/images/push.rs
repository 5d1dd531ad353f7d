//! `POST /images/{name}/push`: sends an image, and tells of it in docker's words.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;
use base::Report;
use images::{PushOrder, PushState, PushStep};
use oci::Reference;
use serde_json::{Value, json};

use super::archives::moved;
use super::carry::{Story, telling};
use super::names::{reference, tagged};
use crate::Docker;
use crate::answer::{Refusal, line};
use crate::credentials;
use crate::params::Params;

/// `POST /images/{name}/push`. Without a tag all of the repository's are sent.
pub(super) async fn push(
    docker: &Arc<Docker>,
    name: &str,
    params: &Params,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let (image, every) = match params.text("tag") {
        Some(tag) => (tagged(name, Some(tag))?, false),
        None => (reference(name)?, true),
    };
    let keys = credentials::keys(headers, image.domain());
    let images = docker.images.clone();
    let all = crate::answer::blocking(move || images.list()).await?;
    let names = all.into_iter().flat_map(|image| image.names);
    let same = |one: &Reference| {
        one.repository() == image.repository() && one.tag().is_some() && (every || one.tag() == image.tag())
    };
    let going: Vec<Reference> = names.filter(same).collect();
    let (mut story, listener) = Story::begin();
    let docker = docker.clone();
    tokio::spawn(async move {
        let status = format!("The push refers to repository [{}]", image.repository());
        if !story.tell(&json!({ "status": status })).await {
            return;
        }
        if going.is_empty() {
            let text =
                format!("An image does not exist locally with the tag: {}", image.familiar_repository());
            return story.fail(Refusal::missing(text)).await;
        }
        for image in going {
            let order = PushOrder { image, keys: keys.clone() };
            match one(&docker, &order, &mut story).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(refusal)) => return story.fail(refusal).await,
            }
        }
    });
    listener.await
}

/// Sends one image. Nothing when nobody listens any more.
async fn one(docker: &Docker, order: &PushOrder, story: &mut Story) -> Option<Result<(), Refusal>> {
    let (tell, steps) = telling(|step: &PushStep| matches!(step.state, PushState::Sending { .. }));
    let work = docker.images.push(&docker.registries, order, tell);
    let done = match story.carry(work, steps, |step| vec![words(&step)]).await? {
        Ok(done) => done,
        Err(problem) => return Some(Err(Refusal::failed(line(&Report::of(&problem))))),
    };
    let tag = order.image.tag().unwrap_or_default();
    let status = format!("{tag}: digest: {} size: {}", done.digest, done.size);
    story.tell(&json!({ "status": status })).await;
    let aux = json!({ "Tag": tag, "Digest": done.digest, "Size": done.size });
    story.tell(&json!({ "progressDetail": {}, "aux": aux })).await;
    Some(Ok(()))
}

/// A step in docker's words.
fn words(step: &PushStep) -> Value {
    let id = step.layer.short();
    let plain = |status: &str| json!({ "status": status, "progressDetail": {}, "id": id });
    match &step.state {
        PushState::Waiting => plain("Preparing"),
        PushState::Sending { bytes, size } => moved("Pushing", id, *bytes, *size),
        PushState::Known => plain("Layer already exists"),
        PushState::Mounted { from } => plain(&format!("Mounted from {from}")),
        PushState::Done => plain("Pushed"),
    }
}

#[cfg(test)]
mod tests;
