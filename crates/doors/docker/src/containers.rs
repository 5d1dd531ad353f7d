//! `/containers/…` and `/exec/…`.

mod archive;
mod attach;
mod changes;
mod commit;
pub(crate) mod create;
pub(crate) mod describe;
mod exec;
mod export;
mod inspect;
mod life;
pub(crate) mod list;
mod logs;
mod more;
mod pause;
mod prune;
mod rename;
mod stats;
mod top;
mod update;
mod wait;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};

use crate::Docker;

pub(crate) fn routes() -> Router<Arc<Docker>> {
    Router::new()
        .route("/containers/json", get(list::list))
        .route("/containers/create", post(create::create))
        .route("/containers/{id}", delete(life::remove))
        .route("/containers/{id}/{alias}", delete(life::remove_link))
        .route("/containers/{id}/json", get(inspect::inspect))
        .route("/containers/{id}/start", post(life::start))
        .route("/containers/{id}/stop", post(life::stop))
        .route("/containers/{id}/restart", post(life::restart))
        .route("/containers/{id}/kill", post(life::kill))
        .route("/containers/{id}/wait", post(wait::wait))
        .route("/containers/{id}/attach", post(attach::attach))
        .route("/containers/{id}/resize", post(attach::resize))
        .route("/containers/{id}/logs", get(logs::logs))
        .route("/containers/{id}/exec", post(exec::create))
        .route("/exec/{id}/start", post(exec::start))
        .route("/exec/{id}/resize", post(exec::resize))
        .route("/exec/{id}/json", get(exec::inspect))
        .merge(more::more_routes())
}
