//! `/v1/volumes`.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base::VolumeName;
use containers::{VolumeError, VolumeOrder};
use talk::{Pruned, VolumeCreate, VolumeView};

use crate::answer::{Answer, Refusal, ok};
use crate::{Daemon, Shared, prune, views};

pub(crate) fn routes() -> Router<Arc<Daemon>> {
    Router::new()
        .route("/volumes", get(list).post(create))
        .route("/volumes/prune", post(prune_volumes))
        .route("/volumes/{name}", get(inspect).delete(remove))
}

/// `GET /v1/volumes`.
async fn list(State(daemon): Shared) -> Answer<Vec<VolumeView>> {
    let volumes = daemon.containers.volumes().list()?;
    ok(volumes.iter().map(|volume| views::volume(volume, daemon.containers.users_of(&volume.name))).collect())
}

/// `GET /v1/volumes/{name}`.
async fn inspect(State(daemon): Shared, Path(name): Path<String>) -> Answer<VolumeView> {
    let name = known(&name)?;
    let volume = daemon.containers.volumes().find(&name)?;
    let volume = volume.ok_or_else(|| VolumeError::Missing(name.to_string()))?;
    ok(views::volume(&volume, daemon.containers.users_of(&name)))
}

/// `POST /v1/volumes`: makes it, or finds the one of this name.
async fn create(State(daemon): Shared, Json(order): Json<VolumeCreate>) -> Answer<VolumeView> {
    let order = VolumeOrder {
        name: VolumeName::new(order.name)?,
        driver: order.driver,
        options: order.options,
        labels: order.labels,
        app: None,
        anonymous: false,
        said: containers::Said::default(),
    };
    let volume = daemon.containers.volumes().ensure(&order)?;
    ok(views::volume(&volume, Vec::new()))
}

/// `DELETE /v1/volumes/{name}`.
async fn remove(State(daemon): Shared, Path(name): Path<String>) -> Answer<()> {
    ok(daemon.containers.remove_volume(&known(&name)?)?)
}

/// `POST /v1/volumes/prune`.
async fn prune_volumes(State(daemon): Shared, Query(query): Query<prune::PruneQuery>) -> Answer<Pruned> {
    ok(prune::volumes(&daemon, query.all)?)
}

/// A text that is no volume's name names no volume.
fn known(name: &str) -> Result<VolumeName, Refusal> {
    VolumeName::new(name).map_err(|_| VolumeError::Missing(name.to_owned()).into())
}
