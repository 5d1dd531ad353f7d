//! Endpoints about a container that do not make it, run it or end it.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::{archive, changes, commit, export, pause, prune, rename, stats, top, update};
use crate::Docker;

pub(crate) fn more_routes() -> Router<Arc<Docker>> {
    Router::new()
        .route("/commit", post(commit::commit))
        .route("/containers/prune", post(prune::prune))
        .route("/containers/{id}/pause", post(pause::pause))
        .route("/containers/{id}/unpause", post(pause::unpause))
        .route("/containers/{id}/rename", post(rename::rename))
        .route("/containers/{id}/update", post(update::update))
        .route("/containers/{id}/archive", get(archive::get).head(archive::head).put(archive::put))
        .route("/containers/{id}/export", get(export::export))
        .route("/containers/{id}/changes", get(changes::changes))
        .route("/containers/{id}/stats", get(stats::stats))
        .route("/containers/{id}/top", get(top::top))
}
