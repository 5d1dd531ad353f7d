//! `/images`, `/distribution` and `/auth`.
//!
//! Names of images hold slashes, so what follows `/images/` is taken apart here: the last part says what is wanted.
//!
//! | file | holds |
//! | --- | --- |
//! | `names` | texts to references and images, refused in docker's words |
//! | `select`, `views` | which images to list, and how docker describes one |
//! | `remove` | what a removal takes and what is in its way; pruning |
//! | `archives` | load, save, import |
//! | `pull`, `push`, `carry` | from and to registries, with docker's progress |
//! | `remote` | what is asked of registries: distribution, logins |
//! | `search` | what registries find |

mod archives;
mod carry;
pub(crate) mod names;
mod pull;
mod push;
mod remote;
mod remove;
mod search;
mod select;
mod views;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use images::{Image, TagError};
use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, blocking, unknown};
use crate::params::Params;
use crate::version::ApiVersion;
use crate::{Docker, Shared};
pub(crate) use archives::reader;
use names::{check_platform, find, tagged};

pub(crate) fn routes() -> Router<Arc<Docker>> {
    Router::new()
        .route("/images/json", get(list))
        .route("/images/create", post(create).layer(DefaultBodyLimit::disable()))
        .route("/images/load", post(archives::load).layer(DefaultBodyLimit::disable()))
        .route("/images/get", get(archives::save_several))
        .route("/images/search", get(search::search))
        .route("/images/prune", post(remove::prune))
        .route("/images/{*rest}", get(read).post(act).delete(remove::remove))
        .route("/distribution/{*rest}", get(remote::distribution))
        .route("/auth", post(remote::auth))
}

impl Docker {
    /// How many containers are made of each image, by its id.
    pub(crate) fn image_users(&self) -> BTreeMap<String, u64> {
        let mut users = BTreeMap::new();
        for image in self.containers.images_in_use() {
            *users.entry(image).or_default() += 1;
        }
        users
    }

    /// Every image, off the async threads.
    pub(crate) async fn all_images(&self) -> Result<Vec<Image>, Refusal> {
        let images = self.images.clone();
        blocking(move || images.list()).await
    }
}

/// `GET /images/json`.
async fn list(State(docker): Shared, version: ApiVersion, params: Params) -> Answer<Vec<Value>> {
    let filters = params.filters()?;
    let all = docker.all_images().await?;
    let selection = select::Selection::of(&filters, &all, &docker, params.truth("all"))?;
    let shares = version >= ApiVersion(1, 42) && params.truth("shared-size");
    Ok(Json(summaries(&docker, &all, version, shares, &selection)))
}

/// The images that are chosen, as docker sums them up, the newest first.
fn summaries(
    docker: &Docker,
    all: &[Image],
    version: ApiVersion,
    shares: bool,
    selection: &select::Selection,
) -> Vec<Value> {
    let users = docker.image_users();
    let shared = views::Shared::of(all);
    let chosen = all.iter().filter_map(|image| Some((image, selection.names(image)?)));
    let view = |(image, names): (&Image, Vec<&oci::Reference>)| {
        let count = users.get(&image.id.to_string()).copied().unwrap_or(0);
        let shared = shares.then(|| shared.bytes(image));
        views::summary(image, &names, (count, shared), version)
    };
    chosen.map(view).collect()
}

/// Every image that somebody can name, with what it shares, for `/system/df`.
pub(crate) fn for_usage(docker: &Docker, all: &[Image], version: ApiVersion) -> Result<Vec<Value>, Refusal> {
    let selection = select::Selection::of(&Default::default(), all, docker, false)?;
    Ok(summaries(docker, all, version, true, &selection))
}

/// `GET /images/{name}/…`.
async fn read(
    State(docker): Shared,
    version: ApiVersion,
    Path(rest): Path<String>,
    params: Params,
) -> Result<Response, Refusal> {
    match rest.rsplit_once('/') {
        Some((name, "json")) => inspect(&docker, name, version, &params),
        Some((name, "history")) => history(&docker, name, version, &params).await,
        Some((name, "get")) => archives::save(&docker, vec![name.to_owned()], version, &params),
        _ => Err(unknown()),
    }
}

/// `GET /images/{name}/json`.
fn inspect(docker: &Docker, name: &str, version: ApiVersion, params: &Params) -> Result<Response, Refusal> {
    let platform = params.text("platform").filter(|_| version >= ApiVersion(1, 49));
    if platform.is_some() && params.truth("manifests") {
        return Err(Refusal::invalid(
            "conflicting options: manifests and platform options cannot both be set",
        ));
    }
    let image = find(docker, name)?;
    check_platform(&image, name, platform)?;
    Ok(Json(views::inspect(&image, version)).into_response())
}

/// `GET /images/{name}/history`.
async fn history(
    docker: &Docker,
    name: &str,
    version: ApiVersion,
    params: &Params,
) -> Result<Response, Refusal> {
    let image = find(docker, name)?;
    check_platform(&image, name, params.text("platform").filter(|_| version >= ApiVersion(1, 48)))?;
    let images = docker.images.clone();
    let id = image.id.to_string();
    let steps = blocking(move || images.history(&id)).await?.map_err(|problem| Refusal::of(&problem))?;
    let all = docker.all_images().await?;
    Ok(Json(views::history(&image, &steps, &all)).into_response())
}

/// `POST /images/{name}/…`.
async fn act(
    State(docker): Shared,
    Path(rest): Path<String>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    match rest.rsplit_once('/') {
        Some((name, "tag")) => tag(&docker, name, &params).await,
        Some((name, "push")) => push::push(&docker, name, &params, &headers).await,
        _ => Err(unknown()),
    }
}

/// `POST /images/{name}/tag`.
async fn tag(docker: &Docker, name: &str, params: &Params) -> Result<Response, Refusal> {
    let repository =
        params.text("repo").ok_or_else(|| Refusal::invalid("repository name cannot be empty"))?;
    let reference = tagged(repository, params.text("tag"))?;
    if reference.familiar_repository() == "sha256" {
        return Err(Refusal::invalid("refusing to create an ambiguous tag using digest algorithm as name"));
    }
    let image = find(docker, name)?;
    let images = docker.images.clone();
    let done = blocking(move || images.tag(&image.id.to_string(), &reference)).await?;
    done.map_err(|problem| match problem {
        TagError::Digest(_) => Refusal::invalid("cannot overwrite digest"),
        other => Refusal::of(&other),
    })?;
    Ok(StatusCode::CREATED.into_response())
}

/// `POST /images/create`: from a registry, or of an archive of files.
async fn create(
    State(docker): Shared,
    version: ApiVersion,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let platform = params.text("platform").filter(|_| version >= ApiVersion(1, 32));
    match params.text("fromImage") {
        Some(from) => pull::pull(&docker, from, platform, &params, &headers).await,
        None => archives::import(docker, platform.map(str::to_owned), params, body).await,
    }
}

/// What docker writes into a stream that fails.
pub(crate) fn failure(message: &str) -> Value {
    json!({ "errorDetail": { "message": message }, "error": message })
}
