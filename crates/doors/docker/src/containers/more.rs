//! Endpoints about a container that do not make it, run it or end it.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::{archive, changes, export, stats, top};
use crate::Docker;

pub(crate) fn more_routes() -> Router<Arc<Docker>> {
    Router::new()
        .route("/containers/{id}/archive", get(archive::get).head(archive::head).put(archive::put))
        .route("/containers/{id}/export", get(export::export))
        .route("/containers/{id}/changes", get(changes::changes))
        .route("/containers/{id}/stats", get(stats::stats))
        .route("/containers/{id}/top", get(top::top))
}
