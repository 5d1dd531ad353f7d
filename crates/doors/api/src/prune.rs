//! `/v1/prune`, and the pruning of one kind of thing.

use std::collections::BTreeSet;

use axum::extract::{Query, State};
use base::{Bytes, Problem, VolumeName};
use containers::{Filter, Removal, VolumeError};
use images::{ImageId, Keep, Prune};
use serde::Deserialize;
use talk::Pruned;

use crate::answer::{Answer, Refusal, broken, ok};
use crate::{Daemon, Shared, files};

/// How far pruning goes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PruneQuery {
    pub(crate) all: bool,
    pub(crate) volumes: bool,
}

/// `POST /v1/prune`: containers that ended, networks that nobody is on, images and files of the edge that nobody
/// needs.
pub(crate) async fn prune(State(daemon): Shared, Query(query): Query<PruneQuery>) -> Answer<Pruned> {
    let mut pruned = ended(&daemon).await;
    add(&mut pruned, networks(&daemon).await?);
    if query.volumes {
        add(&mut pruned, volumes(&daemon, false)?);
    }
    add(&mut pruned, images(&daemon, query.all).await?);
    add(&mut pruned, files::prune(&daemon).await?);
    ok(pruned)
}

fn add(sum: &mut Pruned, more: Pruned) {
    sum.removed.extend(more.removed);
    sum.freed = Bytes(sum.freed.0 + more.freed.0);
}

/// Containers that ended and belong to no app: the loops clear up after their own.
async fn ended(daemon: &Daemon) -> Pruned {
    let mut pruned = Pruned::default();
    for view in daemon.containers.list(&Filter { all: true, ..Filter::default() }) {
        let record = &view.record;
        if record.owner.is_some() || record.state.runs() || record.restarts_soon() {
            continue;
        }
        let removal = Removal { force: false, volumes: false };
        // One that was started meanwhile stays.
        if daemon.containers.remove(&record.id, removal).await.is_ok() {
            pruned.removed.push(format!("container {}", record.name));
        }
    }
    pruned
}

/// Networks that nobody is on and no app wants.
pub(crate) async fn networks(daemon: &Daemon) -> Result<Pruned, Refusal> {
    let apps: BTreeSet<_> = daemon.apps.names().into_iter().collect();
    let mut pruned = Pruned::default();
    for view in daemon.networks.list().await {
        let wanted = view.app.as_ref().is_some_and(|app| apps.contains(app));
        if wanted || !view.attachments.is_empty() || view.name.as_str() == network::DEFAULT_NETWORK {
            continue;
        }
        // Somebody may join it at this very moment; then it stays.
        if daemon.networks.remove(&view.name).await.is_ok() {
            pruned.removed.push(format!("network {}", view.name));
        }
    }
    Ok(pruned)
}

/// Anonymous volumes that nobody uses; with `all` also named ones that belong to no app.
pub(crate) fn volumes(daemon: &Daemon, all: bool) -> Result<Pruned, VolumeError> {
    let mut pruned = Pruned::default();
    for volume in daemon.containers.volumes().list()? {
        if !volume.anonymous && (!all || volume.app.is_some()) {
            continue;
        }
        let name: &VolumeName = &volume.name;
        match daemon.containers.remove_volume(name) {
            Ok(()) => pruned.removed.push(format!("volume {name}")),
            Err(VolumeError::InUse { .. } | VolumeError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pruned)
}

/// Images that no container and no kept release needs.
pub(crate) async fn images(daemon: &Daemon, all: bool) -> Result<Pruned, Refusal> {
    let keep = Keep {
        images: daemon.apps.kept_images().iter().filter_map(|id| id.parse::<ImageId>().ok()).collect(),
        snapshots: None,
    };
    let store = daemon.images.clone();
    let what = if all { Prune::All } else { Prune::Dangling };
    let collected = tokio::task::spawn_blocking(move || store.prune(what, &keep, false))
        .await
        .map_err(|error| broken(&error))?
        .map_err(|problem| Refusal(base::Report::of(&problem as &dyn Problem)))?;
    Ok(Pruned {
        removed: collected.images.iter().map(|id| format!("image {}", id.short())).collect(),
        freed: Bytes(collected.freed),
    })
}
