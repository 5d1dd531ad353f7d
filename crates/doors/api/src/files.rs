//! `/v1/files`: folders that the edge serves itself.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::{post, put};
use axum::{Json, Router};
use base::{Kind, Report};
use futures_util::TryStreamExt;
use spec::{App, FileTree};
use talk::{Pruned, TreeView};
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::answer::{Answer, Refusal, ok};
use crate::{Daemon, Shared};

pub(crate) fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/files", post(register))
        .route("/files/{digest}", put(receive).layer(DefaultBodyLimit::disable()))
}

/// `POST /v1/files`: the list of a folder. Says what is missing of it, and keeps it when nothing is.
async fn register(State(daemon): Shared, Json(list): Json<FileTree>) -> Answer<TreeView> {
    let (files, named) = (daemon.edge.files(), named(&daemon).await);
    let now = daemon.clock.wall();
    let registered = tokio::task::spawn_blocking(move || {
        let registered = files.register(&list)?;
        if let Err(error) = files.sweep(&named, now) {
            tracing::warn!("could not remove files that nothing names: {error}");
        }
        Ok::<_, proxy::FilesError>(registered)
    });
    let (tree, missing) = registered.await.map_err(|error| broken(&error))??;
    ok(TreeView { tree, missing })
}

/// `PUT /v1/files/{digest}`: a file of one.
async fn receive(State(daemon): Shared, Path(digest): Path<String>, body: Body) -> Answer<()> {
    let files = daemon.edge.files();
    let reader = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    // Made here, where the runtime is known.
    let reader = SyncIoBridge::new(Box::pin(reader));
    let received = tokio::task::spawn_blocking(move || files.receive(&digest, reader));
    received.await.map_err(|error| broken(&error))??;
    ok(())
}

fn broken(error: &tokio::task::JoinError) -> Refusal {
    Refusal(Report::new(Kind::Internal, "the work on a file was broken off").because(error))
}

/// Removes the folders that no kept release and no table in force names, with the files that are theirs alone.
pub(crate) async fn prune(daemon: &Daemon) -> Result<Pruned, Refusal> {
    let (files, named, now) = (daemon.edge.files(), named(daemon).await, daemon.clock.wall());
    let swept = tokio::task::spawn_blocking(move || files.sweep(&named, now));
    let swept = swept.await.map_err(|error| broken(&error))?.map_err(|error| {
        Refusal(
            Report::new(Kind::Unavailable, "files that nothing names could not be removed").because(error),
        )
    })?;
    let removed = swept.folders.iter().map(|tree| format!("files {}", tree.get(..12).unwrap_or(tree)));
    Ok(Pruned { removed: removed.collect(), freed: swept.freed })
}

/// The folders that kept releases and tables in force name.
async fn named(daemon: &Daemon) -> BTreeSet<String> {
    let mut named = daemon.edge.folders().await;
    let releases = daemon.apps.names().into_iter().filter_map(|app| daemon.apps.releases(&app)).flatten();
    named.extend(releases.flat_map(|release| trees(&release.app)));
    named
}

fn trees(app: &App) -> Vec<String> {
    let files = app.services.values().flat_map(|service| &service.edge.files);
    files.map(|files| files.tree.clone()).collect()
}

/// Whether all folders that an app names are here.
pub(crate) fn all_here(daemon: &Daemon, app: &App) -> Result<(), Refusal> {
    let store = daemon.edge.files();
    match trees(app).into_iter().find(|tree| !store.holds(tree)) {
        None => Ok(()),
        Some(tree) => {
            let report =
                Report::new(Kind::Invalid, format!("the folder `{tree}` of `x-sea.edge.files` is not here"));
            Err(Refusal(
                report.hint("`sea up` brings it along; by the API its list goes to `POST /v1/files`"),
            ))
        }
    }
}
