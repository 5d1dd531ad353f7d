//! `/volumes`: list, inspect, create, remove, prune.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use base::{VolumeName, kernel_bytes};
use containers::{Filter, Said, Volume, VolumeError, VolumeOrder};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, blocking};
use crate::networks::bool_of;
use crate::params::{Filters, MaybeDocument, Params};
use crate::patterns::fits;
use crate::version::ApiVersion;
use crate::{Docker, Shared};

/// Docker's mark on volumes that nobody gave a name.
const ANONYMOUS: &str = "com.docker.volume.anonymous";

pub(crate) fn routes() -> Router<Arc<Docker>> {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).delete(remove).put(update))
}

impl Docker {
    /// The ids of the containers that have each volume.
    pub(crate) fn volume_users(&self) -> BTreeMap<String, Vec<String>> {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for view in self.containers.list(&Filter { all: true, ..Filter::default() }) {
            let record = view.record;
            let names = record.volumes.values().chain(record.anonymous.values());
            let names: std::collections::BTreeSet<String> = names.map(ToString::to_string).collect();
            for name in names {
                users.entry(name).or_default().push(record.id.to_string());
            }
        }
        users
    }

    /// A volume as docker describes it.
    pub(crate) fn volume(&self, volume: &Volume) -> Value {
        let labels = labels(volume);
        let empty = |said: bool, map: &BTreeMap<String, String>| {
            if map.is_empty() && !said { Value::Null } else { json!(map) }
        };
        json!({
            "CreatedAt": base::Timestamp::from_secs(volume.created.secs()).to_string(),
            "Driver": "local",
            "Labels": empty(volume.said.labels, &labels),
            "Mountpoint": self.root.join("volumes").join(volume.name.as_str()).join("_data"),
            "Name": volume.name,
            "Options": empty(volume.said.options, &volume.options),
            "Scope": "local",
        })
    }
}

fn labels(volume: &Volume) -> BTreeMap<String, String> {
    let mut labels = volume.labels.clone();
    if volume.anonymous {
        labels.entry(ANONYMOUS.into()).or_default();
    }
    labels
}

/// `GET /volumes`.
async fn list(State(docker): Shared, params: Params) -> Answer<Value> {
    let filters = params.filters()?;
    filters.only(&["dangling", "driver", "label", "name"])?;
    let dangling = truth(&filters, "dangling")?;
    let users = docker.volume_users();
    let volumes = docker.containers.volumes().list()?;
    let chosen = volumes.iter().filter(|volume| {
        let labels = labels(volume);
        filters.any("driver", |driver| driver == "local")
            && fits(&filters, "name", volume.name.as_str())
            && filters.labels(|name| labels.get(name).map(String::as_str))
            && dangling.is_none_or(|dangling| dangling != users.contains_key(volume.name.as_str()))
    });
    let views: Vec<Value> = chosen.map(|volume| docker.volume(volume)).collect();
    Ok(Json(json!({ "Volumes": views, "Warnings": null })))
}

/// A filter that is a truth, refused as docker does.
pub(crate) fn truth(filters: &Filters, name: &str) -> Result<Option<bool>, Refusal> {
    let values = filters.values(name);
    let refused = || Refusal::invalid(format!("invalid filter '{name}=[{}]'", values.join(" ")));
    match values {
        [] => Ok(None),
        [one] => bool_of(one).map(Some).ok_or_else(refused),
        _ => Err(refused()),
    }
}

/// `GET /volumes/{name}`.
async fn inspect(State(docker): Shared, Path(name): Path<String>) -> Answer<Value> {
    Ok(Json(docker.volume(&find(&docker, &name)?)))
}

fn find(docker: &Docker, name: &str) -> Result<Volume, Refusal> {
    let missing = || VolumeError::Missing(name.to_owned());
    let known = VolumeName::new(name).map_err(|_| missing())?;
    Ok(docker.containers.volumes().find(&known)?.ok_or_else(missing)?)
}

/// The request to make one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    name: Option<String>,
    driver: Option<String>,
    driver_opts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    cluster_volume_spec: Option<Value>,
}

/// `POST /volumes/create`: makes it, or finds the one of this name.
async fn create(
    State(docker): Shared,
    version: ApiVersion,
    MaybeDocument(request): MaybeDocument<Request>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let order = order(request.unwrap_or_default(), version)?;
    let made = blocking({
        let docker = docker.clone();
        move || docker.containers.volumes().ensure(&order)
    });
    let volume = made.await??;
    Ok((StatusCode::CREATED, Json(docker.volume(&volume))))
}

/// From docker's words to ours.
fn order(request: Request, version: ApiVersion) -> Result<VolumeOrder, Refusal> {
    if request.cluster_volume_spec.is_some_and(|spec| !spec.is_null()) && version >= ApiVersion(1, 42) {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        ));
    }
    let anonymous = request.name.as_ref().is_none_or(String::is_empty);
    let name = match request.name.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => kernel_bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let driver = request.driver.unwrap_or_default();
    if !driver.is_empty() && driver != "local" {
        return Err(Refusal::missing(format!(
            "create {name}: error looking up volume plugin {driver}: plugin \"{driver}\" not found"
        )));
    }
    let options = request.driver_opts.clone().unwrap_or_default();
    if let Some(option) = options.keys().find(|name| !["type", "o", "device"].contains(&name.as_str())) {
        return Err(Refusal::invalid(format!("create {name}: invalid option: \"{option}\"")));
    }
    let known = VolumeName::new(name.clone()).map_err(|_| {
        Refusal::invalid(if name.chars().count() < 2 {
            format!(
                "create {name}: volume name is too short, names should be at least two alphanumeric characters"
            )
        } else {
            format!(
                "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
            )
        })
    })?;
    Ok(VolumeOrder {
        driver: None,
        said: Said { labels: request.labels.is_some(), options: request.driver_opts.is_some() },
        options,
        labels: request.labels.unwrap_or_default(),
        anonymous,
        ..VolumeOrder::named(known)
    })
}

/// `PUT /volumes/{name}`: for volumes of a cluster only.
async fn update() -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "volume update only valid for cluster volumes, but swarm is unavailable",
    )
}

/// `DELETE /volumes/{name}`.
async fn remove(
    State(docker): Shared,
    Path(name): Path<String>,
    params: Params,
) -> Result<StatusCode, Refusal> {
    let volume = match find(&docker, &name) {
        Ok(volume) => volume,
        Err(_) if params.truth("force") => return Ok(StatusCode::NO_CONTENT),
        Err(refusal) => return Err(refusal),
    };
    if let Some(users) = docker.volume_users().get(&name) {
        return Err(in_use(&name, users));
    }
    let worker = docker.clone();
    match blocking(move || worker.containers.remove_volume(&volume.name)).await? {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        // Somebody was faster, one way or the other.
        Err(VolumeError::Missing(_)) => Ok(StatusCode::NO_CONTENT),
        Err(VolumeError::InUse { name, by }) => {
            let id = docker.containers.find(&by).map_or(by, |id| id.to_string());
            Err(in_use(&name, &[id]))
        }
        Err(error) => Err(error.into()),
    }
}

fn in_use(name: &str, users: &[String]) -> Refusal {
    Refusal::conflict(format!("remove {name}: volume is in use - [{}]", users.join(", ")))
}

/// `POST /volumes/prune`: anonymous volumes that nobody uses; with `all`, and for older clients, named ones too.
async fn prune(State(docker): Shared, version: ApiVersion, params: Params) -> Answer<Value> {
    let filters = params.filters()?;
    filters.only(&["all", "label", "label!"])?;
    let all = match filters.values("all") {
        [] => version < ApiVersion(1, 42),
        [one] => bool_of(one).ok_or_else(|| {
            Refusal::invalid(format!(
                "invalid filter 'all': strconv.ParseBool: parsing \"{one}\": invalid syntax"
            ))
        })?,
        several => {
            return Err(Refusal::invalid(format!(
                "invalid filter 'all=[{}]': only one value is expected",
                several.join(" ")
            )));
        }
    };
    let apps = docker.apps.names();
    let worker = docker.clone();
    let (removed, reclaimed) = blocking(move || {
        let (mut removed, mut reclaimed) = (Vec::new(), 0);
        for volume in worker.containers.volumes().list()? {
            let labels = labels(&volume);
            let meant = (all || volume.anonymous)
                // Nothing of a folder that is bound would be freed.
                && volume.options.is_empty()
                // An app's volume holds its data while the app is there.
                && !volume.app.as_ref().is_some_and(|app| apps.contains(app))
                && filters.labels(|name| labels.get(name).map(String::as_str));
            if !meant {
                continue;
            }
            let size = folder_size(&volume.mountpoint).unwrap_or(0);
            match worker.containers.remove_volume(&volume.name) {
                Ok(()) => {
                    reclaimed += size;
                    removed.push(volume.name);
                }
                Err(VolumeError::InUse { .. } | VolumeError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((removed, reclaimed))
    })
    .await??;
    docker.pruned("volume", reclaimed);
    Ok(Json(json!({ "VolumesDeleted": removed, "SpaceReclaimed": reclaimed })))
}

/// The bytes of the files of a folder; a file with several names counts once.
pub(crate) fn folder_size(folder: &FilePath) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut seen = std::collections::HashSet::new();
    let mut size = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next)? {
            let entry = entry?;
            // What goes away while we count is not counted.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.nlink() < 2 || seen.insert((meta.dev(), meta.ino())) {
                size += meta.len();
            }
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests;
