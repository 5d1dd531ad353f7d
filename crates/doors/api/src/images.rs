//! `/v1/images`.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base::{Bytes as Size, Report, Timestamp};
use bytes::Bytes;
use futures_util::TryStreamExt;
use images::{Progress, Removed};
use serde::Deserialize;
use talk::{HistoryView, ImageView, Loaded, Pruned, TagOrder};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::answer::{Answer, Lines, Refusal, broken, ok};
use crate::{Daemon, Shared, prune, views};

/// So many pieces of an archive wait for a slow reader.
const WAITING: usize = 16;
/// The bytes of such a piece.
const PIECE: usize = 256 << 10;
/// Progress is told after so many more bytes.
const TELL_EVERY: u64 = 1 << 20;

pub(crate) fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/images", get(list))
        .route("/images/load", post(load).layer(DefaultBodyLimit::disable()))
        .route("/images/save", get(save))
        .route("/images/here", post(here))
        .route("/images/tag", post(tag))
        .route("/images/prune", post(prune_images))
        .route("/images/fsck", post(fsck))
        .route("/images/{name}", get(inspect).delete(remove))
        .route("/images/{name}/history", get(history))
}

/// `GET /v1/images`.
async fn list(State(daemon): Shared) -> Answer<Vec<ImageView>> {
    let mut users: HashMap<String, u32> = HashMap::new();
    for image in daemon.containers.images_in_use() {
        *users.entry(image).or_default() += 1;
    }
    let images =
        tokio::task::spawn_blocking(move || daemon.images.list()).await.map_err(|error| broken(&error))?;
    let view =
        |image: &images::Image| views::image(image, users.get(&image.id.to_string()).copied().unwrap_or(0));
    ok(images.iter().filter(|image| !image.intermediate).map(view).collect())
}

/// `GET /v1/images/{name}`.
async fn inspect(State(daemon): Shared, Path(name): Path<String>) -> Answer<ImageView> {
    let image = daemon.images.find(&name)?;
    let id = image.id.to_string();
    let users = daemon.containers.images_in_use().iter().filter(|used| **used == id).count();
    ok(views::image(&image, users as u32))
}

/// `GET /v1/images/{name}/history`.
async fn history(State(daemon): Shared, Path(name): Path<String>) -> Answer<Vec<HistoryView>> {
    let steps = daemon.images.history(&name)?;
    let view = |(step, size): &(oci::History, u64)| HistoryView {
        created: step.created.as_deref().and_then(Timestamp::from_rfc3339),
        by: step.created_by.clone().unwrap_or_default(),
        size: (!step.empty_layer).then_some(Size(*size)),
    };
    ok(steps.iter().rev().map(view).collect())
}

/// `POST /v1/images/load`: the body is the archive; answers with lines.
async fn load(State(daemon): Shared, body: Body) -> Response {
    let (lines, response) = Lines::begin();
    let reader = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    // Made here, where the runtime is known.
    let mut reader = SyncIoBridge::new(Box::pin(reader));
    tokio::task::spawn_blocking(move || {
        let mut told = 0;
        let mut tell = |progress: Progress| {
            if let Progress::Read { bytes } = progress
                && bytes >= told + TELL_EVERY
            {
                told = bytes;
                lines.send_blocking(&Loaded::Read { bytes: Size(bytes) });
            }
        };
        match daemon.images.load(&mut reader, &mut tell) {
            Ok(loaded) => {
                for image in loaded {
                    let names = image.names.iter().map(oci::Reference::familiar).collect();
                    lines.send_blocking(&Loaded::Image { id: image.id.to_string(), names });
                }
            }
            Err(error) => {
                lines.send_blocking(&Loaded::Failed { report: Report::of(&error) });
            }
        }
        // What follows the archive is read too, so that the sender can end.
        let _ = io::copy(&mut reader, &mut io::sink());
    });
    response
}

/// The query of a save.
#[derive(Debug, Deserialize)]
struct SaveQuery {
    names: String,
    /// Layers that whoever loads it has, by diff id.
    #[serde(default)]
    without: String,
}

/// `GET /v1/images/save`: the archive.
async fn save(State(daemon): Shared, Query(query): Query<SaveQuery>) -> Result<Response, Refusal> {
    let names: Vec<String> = query.names.split(',').map(str::to_owned).collect();
    let without = query.without.split(',').filter(|digest| !digest.is_empty());
    let without: BTreeSet<oci::Digest> = without.map(str::parse).collect::<Result<_, _>>()?;
    // Unknown names are refused before anything is sent.
    for name in &names {
        daemon.images.find(name)?;
    }
    Ok(stream(move |out| {
        let saved = daemon.images.save_without(names.iter().map(String::as_str), &without, out);
        saved.map_err(|error| Report::of(&error))
    }))
}

/// A response whose body is written by whoever may wait.
pub(crate) fn stream(write: impl FnOnce(&mut dyn Write) -> Result<(), Report> + Send + 'static) -> Response {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(PIECE, Pipe(sender.clone()));
        let written = write(&mut out).map_err(|report| report.to_string());
        if let Err(text) = written.and_then(|()| out.flush().map_err(|error| error.to_string())) {
            // The body ends in the middle, which the client takes for what it is.
            let _ = sender.blocking_send(Err(io::Error::other(text)));
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    Body::from_stream(stream).into_response()
}

/// Hands what is written to a response's body.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `POST /v1/images/here`: how many of an image's layers, given from the lowest up, are here.
async fn here(State(daemon): Shared, Json(layers): Json<Vec<oci::Digest>>) -> Answer<usize> {
    let counted = tokio::task::spawn_blocking(move || daemon.images.layers_here(&layers)).await;
    counted.map(Json).map_err(|error| broken(&error))
}

/// `POST /v1/images/tag`.
async fn tag(State(daemon): Shared, Json(order): Json<TagOrder>) -> Answer<()> {
    let name: oci::Reference = order.name.parse()?;
    ok(daemon.images.tag(&order.image, &name)?)
}

/// The query of a removal.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RemoveQuery {
    force: bool,
}

/// `DELETE /v1/images/{name}`.
async fn remove(
    State(daemon): Shared,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Answer<Vec<String>> {
    let image = daemon.images.find(&name)?.id.to_string();
    if daemon.apps.kept_images().contains(&image) && !query.force {
        let report =
            Report::new(base::Kind::Conflict, format!("a release that is kept needs the image `{name}`"));
        return Err(Refusal(report.hint("a rollback would miss it; with `--force` it loses its name only")));
    }
    let gone = tokio::task::spawn_blocking(move || daemon.images.remove(&name, query.force))
        .await
        .map_err(|error| broken(&error))?;
    let text = |gone: &Removed| match gone {
        Removed::Untagged(name) => format!("untagged {}", name.familiar()),
        Removed::Deleted(id) => format!("deleted {id}"),
    };
    ok(gone.map_err(Refusal::from)?.iter().map(text).collect())
}

/// `POST /v1/images/prune`.
async fn prune_images(State(daemon): Shared, Query(query): Query<prune::PruneQuery>) -> Answer<Pruned> {
    prune::images(&daemon, query.all).await.map(Json)
}

/// `POST /v1/images/fsck`: what is damaged, a line each.
async fn fsck(State(daemon): Shared) -> Answer<Vec<String>> {
    let found =
        tokio::task::spawn_blocking(move || daemon.images.fsck()).await.map_err(|error| broken(&error))?;
    let line = |damage: &images::Damage| {
        format!("{}: {} (needed by {})", damage.digest, damage.what, damage.images.join(", "))
    };
    ok(found.map_err(Refusal::from)?.damage.iter().map(line).collect())
}
