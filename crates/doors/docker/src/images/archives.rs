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

/// The longest archive that is imported by URL, as for the contexts of builds.
const FETCHED_BYTES: u64 = 4 << 30;
/// Pieces of it that wait to be read, each as long as what the network gave.
const FETCHED_PIECES: usize = 16;
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

/// `POST /images/create?fromSrc=`: an archive of files, of which one layer is made. It is the body with `-`, and else what
/// a URL names; without a scheme that is `http://`, as for docker.
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
    let config = config(&docker, platform.as_deref(), &params)?;
    if source == "-" {
        let mut reader = reader(body);
        let id = blocking(move || import_now(&docker, &mut reader, config, name)).await??;
        return Ok(Json(json!({ "status": id })).into_response());
    }
    let url = if source.contains("://") { source } else { format!("http://{source}") };
    let (pieces, response) = Pieces::json_once_said();
    tokio::task::spawn_blocking(move || {
        let mut reader = fetched(&docker, url, &pieces);
        let made = import_now(&docker, &mut reader, config, name);
        let told = match (made, reader.why) {
            (Ok(id), _) => json!({ "status": id }),
            (Err(_), Some(why)) if !reader.began => return pieces.refuse_blocking(Refusal::failed(why)),
            // Why it did not come says more than where the archive was cut.
            (Err(_), Some(why)) => failure(&why),
            (Err(refusal), None) => failure(&refusal.message),
        };
        pieces.send_blocking(&told);
    });
    response.await
}

/// What a URL names, read while it is fetched by a thread that ends with the reader.
fn fetched(docker: &Arc<Docker>, url: String, pieces: &Pieces) -> Fetched {
    let (sender, arriving) = std::sync::mpsc::sync_channel(FETCHED_PIECES);
    let (docker, teller) = (docker.clone(), pieces.clone());
    let from = url.clone();
    std::thread::spawn(move || {
        let mut told = |moved: ::build::Moved| {
            let detail = json!({ "current": moved.bytes, "total": moved.of });
            teller.send_blocking(&json!({ "status": "Importing", "progressDetail": detail }));
        };
        let mut writer = Sent(sender.clone());
        let cancel = ::build::Cancel::default();
        let done = docker.fetcher.fetch(&from, FETCHED_BYTES, &mut writer, &mut told, &cancel);
        // A reader that has had enough needs no end.
        let _ = sender.send(done.map(|_| Vec::new()).map_err(|report| line(&report)));
    });
    Fetched {
        url,
        pieces: pieces.clone(),
        arriving,
        piece: Vec::new(),
        at: 0,
        began: false,
        ended: false,
        why: None,
    }
}

type Piece = Result<Vec<u8>, String>;

/// The reading end: an empty piece is the end, and an end without one is an error.
struct Fetched {
    url: String,
    pieces: Pieces,
    arriving: std::sync::mpsc::Receiver<Piece>,
    piece: Vec<u8>,
    at: usize,
    /// Something came, and the client was told so: until then a failure has a status of its own.
    began: bool,
    ended: bool,
    /// Why the rest did not come.
    why: Option<String>,
}

impl Read for Fetched {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() && !self.ended {
            let next = self.arriving.recv().unwrap_or_else(|_| Err("the fetch broke off".into()));
            self.piece = next.map_err(|why| {
                self.why = Some(why.clone());
                io::Error::other(why)
            })?;
            self.at = 0;
            self.ended = self.piece.is_empty();
            if !self.ended && !std::mem::replace(&mut self.began, true) {
                let text = format!("Downloading from {}", self.url);
                self.pieces.send_blocking(&json!({ "status": text }));
            }
        }
        let count = (self.piece.len() - self.at).min(out.len());
        out[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// The writing end.
struct Sent(std::sync::mpsc::SyncSender<Piece>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() && self.0.send(Ok(bytes.to_vec())).is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
