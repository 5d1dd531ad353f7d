//! `GET /containers/json`: docker's `ps`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use base::{ContainerId, Timestamp};
use containers::{ContainerError, Filter, State as Is, View};
use regex_automata::meta::Regex;
use serde_json::{Value, json};

use super::{describe, inspect};
use crate::answer::{Answer, Refusal};
use crate::params::{Filters, Params};
use crate::version::ApiVersion;
use crate::{Docker, Shared};

/// The filters that docker knows here.
const FILTERS: [&str; 18] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "role",
    "since",
    "status",
    "stopped",
    "volume",
];
const STATES: [&str; 8] =
    ["created", "dead", "exited", "paused", "removing", "restarting", "running", "stopped"];

pub(super) async fn list(State(docker): Shared, version: ApiVersion, params: Params) -> Answer<Vec<Value>> {
    let filters = params.filters()?;
    filters.only(&FILTERS)?;
    if let Some(wrong) = filters.values("status").iter().find(|state| !STATES.contains(&state.as_str())) {
        return Err(Refusal::invalid(format!("invalid filter 'status={wrong}'")));
    }
    let limit = params.number("limit")?.filter(|limit| *limit > 0);
    let every = params.truth("all")
        || limit.is_some()
        || filters.has("status")
        || filters.has("exited")
        || filters.has("before")
        || filters.has("since");
    let views = docker.containers.list(&Filter { all: true, ..Filter::default() });
    let wanted = Wanted::new(&docker, &filters, &views)?;
    let ids = inspect::network_ids(&docker).await;
    let links = describe::link_names(&docker, &views);
    let now = docker.clock.wall();
    let mut all = Vec::new();
    for view in &views {
        let status = describe::status(view);
        if !(every || matches!(status, "running" | "paused" | "restarting"))
            || !wanted.fits(&docker, view, &ids)
        {
            continue;
        }
        let mut document = document(&docker, view, &ids, &links, (now, version)).await;
        if params.truth("size") {
            measure(&docker, view, &mut document).await?;
        }
        all.push(document);
        if limit.is_some_and(|limit| all.len() as i64 >= limit) {
            break;
        }
    }
    Ok(Json(all))
}

/// Every container as the list describes it, with its sizes.
pub(crate) async fn measured(docker: &Arc<Docker>, version: ApiVersion) -> Result<Vec<Value>, Refusal> {
    let ids = inspect::network_ids(docker).await;
    let now = docker.clock.wall();
    let mut all = Vec::new();
    let views = docker.containers.list(&Filter { all: true, ..Filter::default() });
    let links = describe::link_names(docker, &views);
    for view in views {
        let mut document = document(docker, &view, &ids, &links, (now, version)).await;
        measure(docker, &view, &mut document).await?;
        all.push(document);
    }
    Ok(all)
}

/// Adds the bytes that a container wrote, and those of all its files.
pub(super) async fn measure(docker: &Docker, view: &View, document: &mut Value) -> Result<(), Refusal> {
    let (own, whole) = match docker.containers.sizes(&view.record.id).await {
        // It went meanwhile, and takes no room any more.
        Err(ContainerError::Missing(_)) => (0, 0),
        sizes => sizes?,
    };
    document["SizeRw"] = own.into();
    document["SizeRootFs"] = whole.into();
    Ok(())
}

async fn document(
    docker: &Arc<Docker>,
    view: &View,
    ids: &BTreeMap<String, String>,
    links: &[(ContainerId, String)],
    (now, version): (Timestamp, ApiVersion),
) -> Value {
    let record = &view.record;
    let command = docker.containers.command(record);
    let image = docker.images.find(&record.image_id).ok();
    let asked = describe::asked(record, &command, image.as_ref());
    let attachments = docker.networks.attachments(&record.id).await;
    let exposed = asked.config.exposed_ports.iter().flatten().map(|(port, _)| port.clone());
    let ports = describe::ports(view, exposed);
    let health = describe::health(view);
    let mut host_config = json!({ "NetworkMode": asked.host_config.network_mode });
    if let Some(annotations) = asked.host_config.annotations.as_ref().filter(|all| !all.is_empty()) {
        host_config["Annotations"] = json!(annotations);
    }
    let mut names = vec![format!("/{}", record.name)];
    names.extend(links.iter().filter(|(target, _)| *target == record.id).map(|(_, name)| name.clone()));
    let mut document = json!({
        "Id": record.id,
        "Names": names,
        "Image": shown_image(&record.image, &record.image_id, docker),
        "ImageID": record.image_id,
        "Command": command.join(" "),
        "Created": record.created.secs(),
        "Ports": short_ports(&ports),
        "Labels": if record.asked.is_null() { describe::labels(record) } else { asked.config.labels.clone() },
        "State": describe::status(view),
        "Status": status(view, now),
        "HostConfig": host_config,
        "NetworkSettings": { "Networks": describe::endpoints(view, &asked, &attachments, ids) },
        "Mounts": describe::mount_points(record, docker.containers.volumes()),
    });
    if version >= ApiVersion(1, 52) {
        document["Health"] =
            json!({ "Status": health.unwrap_or("none"), "FailingStreak": view.health.failures });
    }
    document
}

/// The name that was asked for, or the id when the name means another image by now.
fn shown_image(name: &str, id: &str, docker: &Docker) -> String {
    match docker.images.find(name) {
        Ok(image) if image.id.to_string() != id => id.to_owned(),
        Ok(_) | Err(_) => name.to_owned(),
    }
}

fn short_ports(ports: &BTreeMap<String, Value>) -> Vec<Value> {
    let mut all = Vec::new();
    for (key, bindings) in ports {
        let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
        let port: u16 = port.parse().unwrap_or_default();
        match bindings.as_array() {
            None => all.push(json!({ "PrivatePort": port, "Type": protocol })),
            Some(list) => all.extend(list.iter().map(|one| {
                let public: u16 =
                    one["HostPort"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
                json!({ "IP": one["HostIp"], "PrivatePort": port, "PublicPort": public, "Type": protocol })
            })),
        }
    }
    all
}

/// How it is, as `docker ps` shows it.
fn status(view: &View, now: Timestamp) -> String {
    match &view.record.state {
        Is::Created => "Created".into(),
        Is::Running { started, paused, .. } => {
            let up = format!("Up {}", human(now.since(*started)));
            match (paused, describe::health(view)) {
                (true, _) => format!("{up} (Paused)"),
                (false, Some("starting")) => format!("{up} (health: starting)"),
                (false, Some(health)) => format!("{up} ({health})"),
                (false, None) => up,
            }
        }
        Is::Exited { code, finished, .. } => {
            let word = if view.record.restarts_soon() { "Restarting" } else { "Exited" };
            format!("{word} ({code}) {} ago", human(now.since(*finished)))
        }
    }
}

/// A length of time as docker says it.
pub(crate) fn human(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds as f64 / 3600.0).round() as u64);
    match seconds {
        0 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".into(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Filters whose values were looked up.
struct Wanted<'a> {
    filters: &'a Filters,
    names: Vec<Regex>,
    ids: Vec<Regex>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    ancestors: Option<Vec<(String, Vec<oci::Digest>)>>,
}

impl<'a> Wanted<'a> {
    fn new(docker: &Docker, filters: &'a Filters, views: &[View]) -> Result<Self, Refusal> {
        let pattern = |text: &String| {
            Regex::new(text).map_err(|_| Refusal::invalid(format!("invalid filter 'name={text}'")))
        };
        let made = |name: &str| -> Result<Option<Timestamp>, Refusal> {
            let Some(text) = filters.values(name).first() else { return Ok(None) };
            let id = docker.containers.find(text)?;
            Ok(views.iter().find(|view| view.record.id == id).map(|view| view.record.created))
        };
        let ancestors = filters.has("ancestor").then(|| {
            let found = filters.values("ancestor").iter().filter_map(|name| docker.images.find(name).ok());
            found.map(|image| (image.id.to_string(), image.chain)).collect()
        });
        Ok(Self {
            filters,
            names: filters.values("name").iter().map(pattern).collect::<Result<_, _>>()?,
            ids: filters
                .values("id")
                .iter()
                .map(|text| pattern(&format!("^{text}")))
                .collect::<Result<_, _>>()?,
            before: made("before")?,
            since: made("since")?,
            ancestors,
        })
    }

    fn fits(&self, docker: &Docker, view: &View, networks: &BTreeMap<String, String>) -> bool {
        let (record, filters) = (&view.record, self.filters);
        let labels = describe::labels(record);
        let code = match &record.state {
            Is::Exited { code, .. } => Some(code.to_string()),
            Is::Created | Is::Running { .. } => None,
        };
        let name = record.name.as_str();
        let slashed = format!("/{name}");
        (self.names.is_empty()
            || self.names.iter().any(|one| one.is_match(name) || one.is_match(slashed.as_str())))
            && (self.ids.is_empty() || self.ids.iter().any(|one| one.is_match(record.id.as_str())))
            && self.before.is_none_or(|moment| record.created < moment)
            && self.since.is_none_or(|moment| record.created > moment)
            && filters.labels(|label| labels.get(label).map(String::as_str))
            && filters.any("status", |state| state == describe::status(view))
            && filters.any("exited", |wanted| code.as_deref() == Some(wanted))
            && filters.any("health", |wanted| describe::health(view).unwrap_or("none") == wanted)
            && filters.any("isolation", |wanted| wanted == "default")
            && filters.any("is-task", |wanted| matches!(wanted, "false" | "0"))
            && filters.any("volume", |wanted| has_volume(view, wanted))
            && filters.any("network", |wanted| {
                record
                    .networks
                    .keys()
                    .any(|on| on == wanted || networks.get(on).is_some_and(|id| id.starts_with(wanted)))
                    || describe::network_mode(record) == wanted
            })
            && filters.any("publish", |wanted| published(view, wanted))
            && filters.any("expose", |wanted| exposed(docker, view, wanted))
            && self.ancestors.as_ref().is_none_or(|all| descends(docker, view, all))
    }
}

fn has_volume(view: &View, wanted: &str) -> bool {
    let record = &view.record;
    let mut names = record.volumes.values().chain(record.anonymous.values());
    names.any(|name| name.as_str() == wanted)
        || record.service.mounts.iter().any(|mount| {
            mount.target == wanted
                || matches!(&mount.kind, spec::MountKind::Bind { source, .. } if source == wanted)
        })
}

/// A port or a range of them, with or without a protocol.
fn covers(wanted: &str, port: u16, protocol: &str) -> bool {
    let (ports, wanted_protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let within = matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&port));
    within && wanted_protocol == protocol
}

fn published(view: &View, wanted: &str) -> bool {
    let ports = &view.record.service.ports;
    ports.iter().any(|one| covers(wanted, one.host_port, describe::protocol(one.protocol)))
}

fn exposed(docker: &Docker, view: &View, wanted: &str) -> bool {
    let image = docker.images.find(&view.record.image_id).ok();
    let asked = describe::asked(&view.record, &[], image.as_ref());
    let ports = asked.config.exposed_ports.unwrap_or_default();
    ports.keys().any(|key| {
        let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
        port.parse().is_ok_and(|port| covers(wanted, port, protocol))
    })
}

/// Whether it was made from one of these images or one built on it.
fn descends(docker: &Docker, view: &View, ancestors: &[(String, Vec<oci::Digest>)]) -> bool {
    let own = docker.images.find(&view.record.image_id).map(|image| image.chain).unwrap_or_default();
    ancestors.iter().any(|(id, chain)| {
        *id == view.record.image_id
            || (!chain.is_empty() && own.len() > chain.len() && own.starts_with(chain))
    })
}

#[cfg(test)]
mod tests;
