//! What is asked of registries: what an image is there, and whether a login is good.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use base::{Kind, Problem, Report};
use oci::{Document, ImageConfig, Platform, Reference};
use registry::{CallError, Repository};
use serde_json::{Value, json};

use super::names::reference;
use super::pull::refusal;
use crate::Shared;
use crate::answer::{Answer, Refusal, line};
use crate::credentials::{self, Credentials};

/// The most bytes of a configuration that is looked at for its platform.
const CONFIG_BYTES: u64 = 8 << 20;

/// `GET /distribution/{name}/json`.
pub(super) async fn distribution(
    State(docker): Shared,
    Path(rest): Path<String>,
    headers: HeaderMap,
) -> Answer<Value> {
    let Some(name) = rest.strip_suffix("/json") else { return Err(crate::answer::unknown()) };
    let image = reference(name)?;
    let keys = credentials::keys(&headers, image.domain());
    let repository = docker.registries.repository(&image, keys);
    let which = match image.digest() {
        Some(digest) => digest.to_string(),
        None => image.tag().unwrap_or_default().to_owned(),
    };
    let raw = repository.manifest(&which).await.map_err(|problem| refusal(&problem, &image))?;
    let platforms = platforms(&repository, &raw.bytes, &image).await?;
    Ok(Json(json!({
        "Descriptor": {
            "mediaType": raw.media_type.as_str(), "digest": raw.digest, "size": raw.bytes.len(),
        },
        "Platforms": platforms.iter().map(platform).collect::<Vec<_>>(),
    })))
}

/// The machines that an image is for: as its index says, or the configuration of the one that it is.
async fn platforms(
    repository: &Repository,
    bytes: &[u8],
    image: &Reference,
) -> Result<Vec<Platform>, Refusal> {
    let document: Document = serde_json::from_slice(bytes)
        .map_err(|error| Refusal::failed(format!("`{}` is no image: {error}", image.familiar())))?;
    match document {
        Document::Index(index) => Ok(index.manifests.into_iter().filter_map(|one| one.platform).collect()),
        Document::Manifest(manifest) => {
            let config = &manifest.config;
            let blob = repository.blob(&config.digest, config.size, CONFIG_BYTES).await;
            let blob = blob.map_err(|problem| refusal(&problem, image))?;
            // What is no image of files, as a chart, is for no machine.
            let read: Option<ImageConfig> = serde_json::from_slice(&blob).ok();
            Ok(read.iter().map(ImageConfig::platform).collect())
        }
    }
}

fn platform(platform: &Platform) -> Value {
    let mut view = json!({ "architecture": platform.architecture, "os": platform.os });
    if let Some(variant) = &platform.variant {
        view["variant"] = variant.as_str().into();
    }
    view
}

/// `POST /auth`: asks the registry whether a login is good. Nothing is kept.
pub(super) async fn auth(State(docker): Shared, body: Bytes) -> Answer<Value> {
    let sent: Credentials = serde_json::from_slice(&body).map_err(|error| {
        let empty = body.iter().all(u8::is_ascii_whitespace);
        Refusal::failed(if empty { "EOF".to_owned() } else { error.to_string() })
    })?;
    match docker.registries.login(sent.registry(), sent.login()).await {
        Ok(()) => Ok(Json(json!({ "Status": "Login Succeeded", "IdentityToken": "" }))),
        Err(problem) => Err(denied(&problem)),
    }
}

fn denied(problem: &CallError) -> Refusal {
    let text = line(&Report::of(problem as &dyn Problem));
    match problem.kind() {
        Kind::Denied => Refusal::new(StatusCode::UNAUTHORIZED, text),
        _ => Refusal::failed(text),
    }
}
