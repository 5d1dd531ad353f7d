//! Archives: load, save, import.

use std::io::{self, Read, Write};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use images::{CommitError, Happening, ImageId, LayerSource, Progress};
use oci::{History, ImageConfig, Reference};
use serde_json::{Value, json};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::failure;
use super::names::{check_platform, find, platform_of, tagged};
use crate::answer::{Pieces, Refusal, blocking, line};
use crate::params::Params;
use crate::version::ApiVersion;
use crate::{Docker, Shared};

/// The bytes of a piece of an archive that is sent.
const PIECE: usize = 256 << 10;

/// A body as something to read from a thread that may wait.
pub(crate) fn reader(body: Body) -> impl Read + Send + 'static {
    let reader = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    SyncIoBridge::new(Box::pin(reader))
}

/// Platforms in the query, each checked; more than one since 1.52 only.
fn platforms(params: &Params, version: ApiVersion) -> Result<Vec<String>, Refusal> {
    if version < ApiVersion(1, 48) {
        return Ok(Vec::new());
    }
    let all: Vec<String> = params.all("platform").filter(|one| !one.is_empty()).map(str::to_owned).collect();
    if all.len() > 1 && version < ApiVersion(1, 52) {
        return Err(Refusal::invalid(
            "multiple platform parameters are not supported in this API version; use API version 1.52 or later",
        ));
    }
    all.iter().try_for_each(|one| platform_of(one).map(drop))?;
    Ok(all)
}

/// `POST /images/load`: the body is the archive; the answer is a stream of progress.
pub(super) async fn load(
    State(docker): Shared,
    version: ApiVersion,
    params: Params,
    body: Body,
) -> Result<Response, Refusal> {
    let wanted = platforms(&params, version)?;
    let quiet = params.truth_or("quiet", true);
    let mut reader = reader(body);
    let (pieces, response) = Pieces::json_once_said();
    tokio::task::spawn_blocking(move || {
        let told = load_now(&docker, &mut reader, (&pieces, quiet), &wanted);
        if let Err(message) = told {
            pieces.send_blocking(&failure(&message));
        }
        // What follows the archive is read too, so that the sender can end.
        let _ = io::copy(&mut reader, &mut io::sink());
    });
    response.await
}

fn load_now(
    docker: &Docker,
    reader: &mut impl Read,
    (pieces, quiet): (&Pieces, bool),
    wanted: &[String],
) -> Result<(), String> {
    // A layer is told of once it is unpacked, which is when the next one begins.
    let mut under_way: Option<(String, u64)> = None;
    let finish = |layer: &mut Option<(String, u64)>| {
        if let Some((id, bytes)) = layer.take()
            && !quiet
        {
            pieces.send_blocking(&moved("Loading layer", &id, bytes, bytes));
        }
    };
    let mut tell = |progress: Progress| match progress {
        Progress::Read { .. } => {}
        Progress::Known { .. } => finish(&mut under_way),
        Progress::Layer { diff_id, bytes, .. } => {
            finish(&mut under_way);
            under_way = Some((diff_id.short().to_owned(), bytes));
        }
    };
    let loaded = docker.images.load(reader, &mut tell).map_err(|error| line(&base::Report::of(&error)))?;
    finish(&mut under_way);
    for image in loaded {
        if let Some(platform) = wanted.first() {
            let found = docker.images.find(&image.id.to_string()).map_err(|error| error.to_string())?;
            check_platform(&found, image.id.short(), Some(platform)).map_err(|refusal| refusal.message)?;
        }
        if image.names.is_empty() {
            pieces.send_blocking(&json!({ "stream": format!("Loaded image ID: {}\n", image.id) }));
        }
        for name in &image.names {
            pieces.send_blocking(&json!({ "stream": format!("Loaded image: {}\n", name.familiar()) }));
        }
    }
    Ok(())
}

/// How far something is, with docker's bar for clients that draw none themselves.
pub(super) fn moved(status: &str, id: &str, current: u64, total: u64) -> Value {
    json!({
        "status": status,
        "progressDetail": { "current": current, "total": total },
        "progress": bar(current, total),
        "id": id,
    })
}

/// `[=====>     ]  1.2MB/2.4MB`.
fn bar(current: u64, total: u64) -> String {
    if total == 0 || current > total {
        return format!("{:>8}", human(current));
    }
    let parts = (u128::from(current) * 50 / u128::from(total)) as usize;
    let head = if parts == 50 { "" } else { ">" };
    let done = format!("{}{head}", "=".repeat(parts));
    // The arrow of what is complete stands at the very end.
    let done = if parts == 50 { format!("{}>", "=".repeat(49)) } else { done };
    format!("[{done:<50}] {:>8}/{}", human(current), human(total))
}

/// Bytes with four digits, in powers of 1000.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 1000.0 {
        0
    } else if value >= 100.0 {
        1
    } else if value >= 10.0 {
        2
    } else {
        3
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

/// `GET /images/get?names=…`.
pub(super) async fn save_several(
    State(docker): Shared,
    version: ApiVersion,
    params: Params,
) -> Result<Response, Refusal> {
    let names = params.all("names").flat_map(|names| names.split(',')).filter(|name| !name.is_empty());
    let names = names.map(str::to_owned).collect();
    save(&docker, names, version, &params)
}

/// A repository without a tag means all its tags.
fn meant(docker: &Docker, name: String) -> Vec<String> {
    let Ok(reference) = name.parse::<Reference>() else { return vec![name] };
    let bare = reference.familiar_repository() == name || reference.repository() == name;
    let of_it = |one: &Reference| one.repository() == reference.repository();
    let mut all: Vec<String> = Vec::new();
    if bare {
        let names = docker.images.list().into_iter().flat_map(|image| image.names);
        all.extend(names.filter(of_it).map(|one| one.familiar()));
        all.sort();
    }
    if all.is_empty() { vec![name] } else { all }
}

/// An archive of these images.
pub(super) fn save(
    docker: &Arc<Docker>,
    names: Vec<String>,
    version: ApiVersion,
    params: &Params,
) -> Result<Response, Refusal> {
    let wanted = platforms(params, version)?;
    let names: Vec<String> = names.into_iter().flat_map(|name| meant(docker, name)).collect();
    // Unknown names are refused before anything is sent. Here docker says them as they were written.
    for name in &names {
        let image = find(docker, name).map_err(|refusal| match refusal.status {
            axum::http::StatusCode::NOT_FOUND => Refusal::missing(format!("No such image: {name}")),
            _ => refusal,
        })?;
        check_platform(&image, name, wanted.first().map(String::as_str))?;
    }
    let (pieces, response) = Pieces::begin("application/x-tar");
    let images = docker.images.clone();
    tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(PIECE, pieces.clone());
        let saved = images.save(names.iter().map(String::as_str), &mut out);
        let saved = saved.map_err(|error| line(&base::Report::of(&error)));
        if let Err(text) = saved.and_then(|()| out.flush().map_err(|error| error.to_string())) {
            // The body ends in the middle, which the client takes for what it is.
            pieces.break_off(text);
        }
    });
    Ok(response)
}

/// `POST /images/create?fromSrc=-`: the body is an archive of files, of which one layer is made.
pub(super) async fn import(
    docker: Arc<Docker>,
    platform: Option<String>,
    params: Params,
    body: Body,
) -> Result<Response, Refusal> {
    let source = params.text("fromSrc").unwrap_or_default().to_owned();
    let name = match params.text("repo") {
        None => None,
        Some(repository) => Some(tagged(repository, params.text("tag"))?),
    };
    if source != "-" {
        return Err(Refusal::unsupported(format!(
            "archives are not fetched from `{source}` here: send the archive as the body, with `fromSrc=-`"
        )));
    }
    let config = config(&docker, platform.as_deref(), &params)?;
    let mut reader = reader(body);
    let id = blocking(move || import_now(&docker, &mut reader, config, name)).await??;
    Ok(Json(json!({ "status": id })).into_response())
}

/// What the image says, before its layer is known.
fn config(docker: &Docker, platform: Option<&str>, params: &Params) -> Result<ImageConfig, Refusal> {
    let mut config = ImageConfig::scratch();
    if let Some(platform) = platform {
        let platform = platform_of(platform)?;
        if platform.os != "linux" {
            return Err(Refusal::invalid(format!("operating system is not supported: {}", platform.os)));
        }
        (config.architecture, config.variant) = (platform.architecture, platform.variant);
    }
    let changed = ::build::changed(config, params.all("changes"));
    let mut config = changed.map_err(|problem| {
        Refusal::invalid(line(&base::Report { hint: None, ..base::Report::of(&problem) }))
    })?;
    let comment = params.text("message").unwrap_or("Imported from -").to_owned();
    let created = docker.clock.wall().to_string();
    config.created = Some(created.clone());
    config.extra.insert("comment".into(), comment.as_str().into());
    config.history = vec![History { created: Some(created), comment: Some(comment), ..History::default() }];
    Ok(config)
}

fn import_now(
    docker: &Docker,
    reader: &mut impl Read,
    config: ImageConfig,
    name: Option<Reference>,
) -> Result<ImageId, Refusal> {
    let mut hold = docker.images.hold();
    let made = docker.images.commit(&mut hold, None, LayerSource::Tar(reader), config);
    let id = made.map_err(|problem| match problem {
        // The archive is the client's; docker calls it a failure all the same.
        CommitError::Load(load) => Refusal::failed(line(&base::Report::of(&load))),
        other => Refusal::of(&other),
    })?;
    if let Some(name) = name {
        docker.images.tag(&id.to_string(), &name).map_err(|problem| Refusal::of(&problem))?;
    }
    docker.images.tell(&id, Happening::Imported);
    Ok(id)
}

#[cfg(test)]
mod tests;
