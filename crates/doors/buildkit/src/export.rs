//! Where results go: into the store by names, or to the client as files or as an archive.

mod tree;

use std::collections::HashMap;
use std::sync::Arc;

use images::Image;
use oci::Reference;

use crate::engine::Engine;
use crate::grpc::{Code, Status};
use crate::job::Job;
use crate::progress::Chore;
use crate::proto::control::Exporter;
use crate::session::Sending;
use crate::work::Outcome;

pub(crate) use tree::{Links, Walk};

/// A place for results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// This store, under these names.
    Store(Vec<Reference>),
    /// A folder of the client; the number says which of its outputs.
    Folder(usize),
    /// An archive of files at the client.
    Archive(usize),
}

impl Output {
    /// All places that a client asked for.
    pub(crate) fn read(exporters: &[Exporter]) -> Result<Vec<Self>, Status> {
        let asked =
            exporters.iter().enumerate().filter(|(_, one)| !one.kind.is_empty() && one.kind != "cacheonly");
        asked.map(|(number, one)| Self::one(number, one)).collect()
    }

    fn one(number: usize, exporter: &Exporter) -> Result<Self, Status> {
        match exporter.kind.as_str() {
            "moby" | "image" => names(exporter).map(Self::Store),
            "local" => match exporter.attrs.get("mode").map(String::as_str) {
                None | Some("" | "copy") => Ok(Self::Folder(number)),
                Some(mode) => Err(Status::failed(format!(
                    "the mode {mode:?} of the local exporter is not supported here"
                ))),
            },
            "tar" => Ok(Self::Archive(number)),
            other => Err(Status::failed(format!("exporter {other:?} could not be found"))),
        }
    }
}

fn names(exporter: &Exporter) -> Result<Vec<Reference>, Status> {
    let names = exporter.attrs.get("name").map(String::as_str).unwrap_or_default();
    let names = names.split(',').filter(|name| !name.is_empty());
    names
        .map(|name| {
            name.parse().map_err(|error| Status::failed(format!("invalid reference format: {error}")))
        })
        .collect()
}

/// Sends a result to all its places, and says what clients want to know of it.
pub(crate) async fn export(
    engine: &Arc<Engine>,
    job: &Arc<Job>,
    outcome: &Outcome,
    outputs: &[Output],
) -> Result<HashMap<String, String>, Status> {
    let mut response = HashMap::new();
    for output in outputs {
        match output {
            Output::Store(names) => store(engine, job, outcome, names, &mut response).await?,
            Output::Folder(number) => {
                let chore = begin(engine, job, "exporting to client directory");
                let sent = folder(engine, job, outcome, *number, &chore).await;
                end(engine, job, &chore, sent)?;
            }
            Output::Archive(number) => {
                let chore = begin(engine, job, "exporting to client tarball");
                let sent = archive(engine, job, outcome, *number, &chore).await;
                end(engine, job, &chore, sent)?;
            }
        }
    }
    Ok(response)
}

async fn store(
    engine: &Arc<Engine>,
    job: &Arc<Job>,
    outcome: &Outcome,
    names: &[Reference],
    response: &mut HashMap<String, String>,
) -> Result<(), Status> {
    let chore = begin(engine, job, "exporting to image");
    let id = outcome.built.image.to_string();
    let part = |text: &str| {
        let now = engine.clock.wall();
        job.hub.tell(chore.part(text, 0, 0, true, now));
    };
    part("exporting layers");
    part(&format!("writing image {id}"));
    let (images, image, list) = (engine.images.clone(), id.clone(), names.to_vec());
    let tagging = tokio::task::spawn_blocking(move || {
        list.iter().try_for_each(|name| {
            images
                .tag(&image, name)
                .map_err(|error| Status::failed(format!("could not name the image `{name}`: {error}")))
        })
    });
    let tagged = tagging.await.map_err(|error| Status::new(Code::Internal, error.to_string())).flatten();
    if tagged.is_ok() {
        names.iter().for_each(|name| part(&format!("naming to {name}")));
    }
    end(engine, job, &chore, tagged)?;
    response.insert("containerimage.digest".into(), id.clone());
    response.insert("containerimage.config.digest".into(), id);
    if !names.is_empty() {
        let joined: Vec<String> = names.iter().map(ToString::to_string).collect();
        response.insert("image.name".into(), joined.join(","));
    }
    Ok(())
}

async fn folder(
    engine: &Arc<Engine>,
    job: &Arc<Job>,
    outcome: &Outcome,
    number: usize,
    chore: &Chore,
) -> Result<(), Status> {
    let stream = engine.sessions.get(&job.session).await?.send_back(number)?;
    let layers = image(engine, outcome)?.lower;
    let (hub, clock, chore) = (job.hub.clone(), engine.clock.clone(), chore.clone());
    let told =
        move |bytes: u64, done: bool| hub.tell(chore.part("copying files", bytes, 0, done, clock.wall()));
    let handle = tokio::runtime::Handle::current();
    let sending = tokio::task::spawn_blocking(move || {
        let tree = tree::open(&layers)?;
        handle.block_on(crate::send::send(stream, &tree, &told))
    });
    sending.await.map_err(|error| Status::new(Code::Internal, error.to_string()))?
}

async fn archive(
    engine: &Arc<Engine>,
    job: &Arc<Job>,
    outcome: &Outcome,
    number: usize,
    chore: &Chore,
) -> Result<(), Status> {
    let stream = engine.sessions.get(&job.session).await?.send_back(number)?;
    let image = image(engine, outcome)?;
    job.hub.tell(chore.part("sending tarball", 0, 0, false, engine.clock.wall()));
    let mut sending = Sending::new(stream);
    let sent = tokio::task::spawn_blocking(move || {
        build::export_files(&image, &mut sending)
            .map_err(|error| Status::failed(format!("the archive cannot be sent: {error}")))?;
        sending.finish()
    });
    sent.await.map_err(|error| Status::new(Code::Internal, error.to_string())).flatten()?;
    job.hub.tell(chore.part("sending tarball", 0, 0, true, engine.clock.wall()));
    Ok(())
}

/// The files of an image that was built.
pub(crate) fn open(engine: &Engine, outcome: &Outcome) -> Result<build::tree::Tree, Status> {
    tree::open(&image(engine, outcome)?.lower)
}

fn image(engine: &Engine, outcome: &Outcome) -> Result<Image, Status> {
    engine
        .images
        .find(&outcome.built.image.to_string())
        .map_err(|error| Status::failed(format!("the image that was built is gone: {error}")))
}

/// The layer cache of this store is asked by every build; an image carries nothing for it.
pub(crate) fn say_inline_cache(engine: &Engine, job: &Job) {
    let chore = begin(engine, job, "exporting cache");
    let line = "the steps are remembered here, by their content; the image tells nobody else of them";
    job.hub.tell(chore.line(line, engine.clock.wall()));
    job.hub.tell(chore.ended(None, engine.clock.wall()));
}

fn begin(engine: &Engine, job: &Job, name: &str) -> Chore {
    let chore = Chore::begin(&job.reference, name, engine.clock.wall());
    job.hub.tell(chore.started());
    chore
}

fn end(engine: &Engine, job: &Job, chore: &Chore, result: Result<(), Status>) -> Result<(), Status> {
    let error = result.as_ref().err().map(|status| status.message.as_str());
    job.hub.tell(chore.ended(error, engine.clock.wall()));
    result
}

#[cfg(test)]
mod tests;
