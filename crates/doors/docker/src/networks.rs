//! `/networks`: list, inspect, create, remove, connect, disconnect, prune.
//!
//! Docker's three networks of the beginning are always there: `bridge` is made when somebody first looks, `host` and
//! `none` are words for having the host's network and having none.

mod connect;
mod create;
mod select;
mod views;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use base::NetworkName;
use network::{NetworkView, RemoveError};
use serde_json::{Value, json};
use store::Entry;

use crate::answer::{Answer, Refusal};
use crate::params::{Filters, Params};
use crate::version::ApiVersion;
use crate::{Docker, Shared};
use select::Selection;
use views::{Detail, Known, endpoint_id};

pub(crate) fn routes() -> Router<Arc<Docker>> {
    Router::new()
        .route("/networks", get(list))
        .route("/networks/", get(list))
        .route("/networks/create", post(create::create))
        .route("/networks/prune", post(prune))
        .route("/networks/{name}", get(inspect).delete(remove))
        .route("/networks/{name}/connect", post(connect::connect))
        .route("/networks/{name}/disconnect", post(connect::disconnect))
}

impl Docker {
    /// Every network, docker's own three first made sure of.
    async fn known_networks(&self) -> Result<Vec<Known>, Refusal> {
        self.networks.ensure_default().await.map_err(|problem| Refusal::of(&problem))?;
        let mut known: Vec<Known> =
            self.networks.list().await.into_iter().map(|view| Known::Bridge(Box::new(view))).collect();
        known.push(Known::Host);
        known.push(Known::None);
        Ok(known)
    }

    /// The network that a text means: by name, by id, or by the beginning of an id.
    async fn network(&self, text: &str) -> Result<Known, Refusal> {
        let known = self.known_networks().await?;
        let whole = |one: &&Known| one.id(self) == text;
        if let Some(one) = known.iter().find(whole).or_else(|| known.iter().find(|one| one.name() == text)) {
            return Ok(one.clone());
        }
        let begun: Vec<&Known> = known.iter().filter(|one| one.id(self).starts_with(text)).collect();
        match begun.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(missing(text)),
            several => Err(Refusal::invalid(format!(
                "{} matches found based on ID prefix: network {text} is ambiguous",
                several.len()
            ))),
        }
    }
}

pub(crate) fn missing(text: &str) -> Refusal {
    Refusal::missing(format!("network {text} not found"))
}

/// `GET /networks`.
async fn list(State(docker): Shared, version: ApiVersion, params: Params) -> Answer<Vec<Value>> {
    let selection = Selection::of(&params.filters()?, docker.clock.wall())?;
    let members = views::Members::of(&docker);
    let detail = if version < ApiVersion(1, 28) { Detail::Whole } else { Detail::Summary };
    let known = docker.known_networks().await?;
    let chosen = known.iter().filter(|one| selection.takes(&docker, one, &members));
    Ok(Json(chosen.map(|one| views::network(&docker, one, &members, (version, detail))).collect()))
}

/// `GET /networks/{name}`.
async fn inspect(
    State(docker): Shared,
    version: ApiVersion,
    Path(text): Path<String>,
    params: Params,
) -> Answer<Value> {
    if let Some(verbose) = params.text("verbose") {
        bool_of(verbose).ok_or_else(|| {
            Refusal::invalid(format!(
                "invalid value for verbose: {verbose}: strconv.ParseBool: parsing \"{verbose}\": invalid syntax"
            ))
        })?;
    }
    // There are networks of this machine only.
    if params.text("scope").is_some_and(|scope| scope != "local") {
        return Err(missing(&text));
    }
    let known = docker.network(&text).await?;
    let members = views::Members::of(&docker);
    Ok(Json(views::network(&docker, &known, &members, (version, Detail::Whole))))
}

/// `DELETE /networks/{name}`.
async fn remove(State(docker): Shared, Path(text): Path<String>) -> Result<StatusCode, Refusal> {
    let known = docker.network(&text).await?;
    let Some(view) = known.removable() else {
        let name = known.name();
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            format!("{name} is a pre-defined network and cannot be removed"),
        ));
    };
    docker.containers.let_departed_go(view.name.as_str()).await;
    match docker.networks.remove(&view.name).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(RemoveError::InUse { network, containers }) => {
            let endpoint = |id: &base::ContainerId| {
                let end = endpoint_id(view.name.as_str(), id);
                format!("name:\"{}\" id:\"{}\"", docker.name_of(id), &end[..12])
            };
            let active: Vec<String> = containers.iter().map(endpoint).collect();
            Err(Refusal::new(
                StatusCode::FORBIDDEN,
                format!(
                    "error while removing network: network {network} has active endpoints ({})",
                    active.join(", ")
                ),
            ))
        }
        Err(RemoveError::Missing { .. }) => Err(missing(&text)),
        Err(problem) => Err(Refusal::of(&problem)),
    }
}

impl Docker {
    /// A container's name, or its short id when it is gone.
    pub(crate) fn name_of(&self, id: &base::ContainerId) -> String {
        self.containers
            .inspect(id)
            .map_or_else(|_| id.short().to_owned(), |view| view.record.name.to_string())
    }

    /// Whether an app or a container that is stopped still wants this network.
    fn is_wanted(&self, view: &NetworkView) -> bool {
        view.app.as_ref().is_some_and(|app| self.apps.names().contains(app))
    }
}

/// `POST /networks/prune`.
async fn prune(State(docker): Shared, params: Params) -> Answer<Value> {
    let filters = params.filters()?;
    filters.only(&["label", "label!", "until"])?;
    let selection = Selection::dangling(&filters, docker.clock.wall())?;
    let members = views::Members::of(&docker);
    let mut removed: Vec<NetworkName> = Vec::new();
    for known in docker.known_networks().await? {
        let Some(view) = known.removable() else { continue };
        // What an app wants would be made anew by its loop at once.
        if docker.is_wanted(view) || !selection.takes(&docker, &known, &members) {
            continue;
        }
        // Somebody may join it at this very moment; then it stays.
        docker.containers.let_departed_go(view.name.as_str()).await;
        if docker.networks.remove(&view.name).await.is_ok() {
            removed.push(view.name.clone());
        }
    }
    docker.pruned("network", 0);
    Ok(Json(json!({ "NetworksDeleted": if removed.is_empty() { Value::Null } else { json!(removed) } })))
}

impl Docker {
    /// Writes down that somebody pruned.
    pub(crate) fn pruned(&self, what: &'static str, reclaimed: u64) {
        self.store.tell(Entry {
            app: None,
            subject: format!("{what}s"),
            event: "Pruned",
            message: format!("removed unused {what}s, {reclaimed} bytes of them"),
            detail: json!({ "what": what, "reclaimed": reclaimed }),
        });
    }
}

/// A truth as Go reads one.
pub(crate) fn bool_of(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// One moment of a filter; docker takes no more than one.
pub(crate) fn until(filters: &Filters, now: base::Timestamp) -> Result<Option<base::Timestamp>, Refusal> {
    match filters.values("until") {
        [] => Ok(None),
        [one] => {
            let query = format!("until={}", one.replace('%', "%25").replace('+', "%2B").replace('&', "%26"));
            Params::parse(&query).moment("until", now)
        }
        _ => Err(Refusal::invalid("more than one until filter specified")),
    }
}
