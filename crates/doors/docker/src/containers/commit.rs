//! `POST /commit`: a container as an image.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base::{Problem, Report};
use containers::{Commit, MakeError};
use oci::{Health, History, ImageConfig, Reference, RunConfig};
use serde_json::{Value, json};

use super::describe;
use crate::Shared;
use crate::answer::{Refusal, line};
use crate::images::names;
use crate::params::{MaybeDocument, Params};
use crate::wire::Config;

/// What a container alone has a use for.
const NOT_OF_IMAGES: [&str; 11] = [
    "Hostname",
    "Domainname",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Image",
    "NetworkDisabled",
    "MacAddress",
];

pub(super) async fn commit(
    State(docker): Shared,
    params: Params,
    MaybeDocument(body): MaybeDocument<Config>,
) -> Result<Response, Refusal> {
    let name = name(&params)?;
    let container = params.text("container");
    let container = container.ok_or_else(|| Refusal::invalid("invalid name or ID supplied: \"\""))?;
    let id = docker.containers.find(container)?;
    let record = docker.containers.inspect(&id)?.record;
    let image = docker.images.find(&record.image_id).map_err(|problem| Refusal::of(&problem))?;
    let command = docker.containers.command(&record);
    let own = describe::asked(&record, &command, Some(&image)).config;
    let comment = params.text("comment").unwrap_or_default().to_owned();
    let author = params.text("author").map(str::to_owned);
    let created_by = own.cmd.clone().unwrap_or_default().join(" ");
    let config = said(&image.config, &own, body, &params)?;
    let created = docker.clock.wall().to_string();
    let mut history = image.config.history.clone();
    history.push(History {
        created: Some(created.clone()),
        created_by: Some(created_by),
        author: author.clone(),
        comment: Some(comment.clone()).filter(|comment| !comment.is_empty()),
        ..History::default()
    });
    let config = ImageConfig { created: Some(created), author, config, history, ..(*image.config).clone() };
    let pause = params.truth_or("pause", true);
    let made = docker.containers.commit(&id, Commit { config, name, comment, pause }).await;
    let made = made.map_err(|error| match error {
        MakeError::Container(error) => error.into(),
        MakeError::Images { .. } => Refusal::of(&error),
    })?;
    Ok((StatusCode::CREATED, Json(json!({ "Id": made.to_string() }))).into_response())
}

fn name(params: &Params) -> Result<Option<Reference>, Refusal> {
    params.text("repo").map(|repository| names::tagged(repository, params.text("tag"))).transpose()
}

/// What the image starts with: the client's document or else the container's, with the changes done to it, over the
/// container's.
fn said(
    image: &ImageConfig,
    own: &Config,
    body: Option<Config>,
    params: &Params,
) -> Result<RunConfig, Refusal> {
    let own = of_image(own)?;
    let begun = body.as_ref().map(of_image).transpose()?.unwrap_or_else(|| own.clone());
    let begun = ImageConfig { config: begun, ..image.clone() };
    let changed = build::changed(begun, params.all("changes")).map_err(|problem| {
        Refusal::invalid(line(&Report { hint: None, ..Report::of(&problem as &dyn Problem) }))
    })?;
    Ok(over(changed.config, own))
}

/// A container's configuration as far as it is one of an image.
fn of_image(config: &Config) -> Result<RunConfig, Refusal> {
    let failed = |error: serde_json::Error| Refusal::failed(error.to_string());
    let mut document = serde_json::to_value(config).map_err(failed)?;
    if let Value::Object(map) = &mut document {
        map.retain(|key, value| !value.is_null() && !NOT_OF_IMAGES.contains(&key.as_str()));
    }
    let mut run: RunConfig = serde_json::from_value(document).map_err(failed)?;
    // Docker tells an empty list from none where it means the same.
    run.entrypoint = run.entrypoint.filter(|words| !words.is_empty());
    run.cmd = run.cmd.filter(|words| !words.is_empty());
    Ok(run)
}

/// What is said over what the container has.
fn over(mut said: RunConfig, own: RunConfig) -> RunConfig {
    let named = |line: &String| line.split('=').next().unwrap_or_default().to_owned();
    if said.user.is_empty() {
        said.user = own.user;
    }
    fill(&mut said.exposed_ports, own.exposed_ports);
    fill(&mut said.labels, own.labels);
    fill(&mut said.volumes, own.volumes);
    let known: Vec<String> = said.env.iter().map(named).collect();
    said.env.extend(own.env.into_iter().filter(|line| !known.contains(&named(line))));
    if said.entrypoint.is_none() {
        said.cmd = said.cmd.or(own.cmd);
        said.entrypoint = own.entrypoint;
    }
    said.healthcheck = match (said.healthcheck, own.healthcheck) {
        (Some(said), Some(own)) => Some(healthy(said, own)),
        (said, own) => said.or(own),
    };
    if said.working_dir.is_empty() {
        said.working_dir = own.working_dir;
    }
    said.stop_signal = said.stop_signal.or(own.stop_signal);
    said
}

fn fill<T>(said: &mut BTreeMap<String, T>, own: BTreeMap<String, T>) {
    for (key, value) in own {
        said.entry(key).or_insert(value);
    }
}

fn healthy(said: Health, own: Health) -> Health {
    let or = |said: u64, own: u64| if said == 0 { own } else { said };
    Health {
        test: if said.test.is_empty() { own.test } else { said.test },
        interval: or(said.interval, own.interval),
        timeout: or(said.timeout, own.timeout),
        start_period: or(said.start_period, own.start_period),
        start_interval: or(said.start_interval, own.start_interval),
        retries: or(said.retries, own.retries),
    }
}

#[cfg(test)]
mod tests;
