//! `GET /containers/{id}/json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use base::{ContainerId, Timestamp};
use containers::{State as Is, View};
use serde_json::{Value, json};

use super::{describe, list};
use crate::answer::Answer;
use crate::params::Params;
use crate::{Docker, Shared};

/// What docker writes for a moment that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) async fn inspect(State(docker): Shared, Path(id): Path<String>, params: Params) -> Answer<Value> {
    let id = docker.containers.find(&id)?;
    let view = docker.containers.inspect(&id)?;
    let mut document = document(&docker, &view).await;
    if params.truth("size") {
        list::measure(&docker, &view, &mut document).await?;
    }
    Ok(Json(document))
}

/// The ids of all networks, by name.
pub(crate) async fn network_ids(docker: &Docker) -> BTreeMap<String, String> {
    docker.networks.list().await.into_iter().map(|view| (view.name.to_string(), view.id)).collect()
}

async fn document(docker: &Arc<Docker>, view: &View) -> Value {
    let record = &view.record;
    let id = &record.id;
    let command = docker.containers.command(record);
    let image = docker.images.find(&record.image_id).ok();
    let mut asked = describe::asked(record, &command, image.as_ref());
    if let Some(links) = describe::told_links(docker, view) {
        asked.host_config.links = Some(links);
    }
    let attachments = docker.networks.attachments(id).await;
    let ids = network_ids(docker).await;
    let exposed = asked.config.exposed_ports.iter().flatten().map(|(port, _)| port.clone());
    let ports = describe::ports(view, exposed);
    let networks = describe::endpoints(view, &asked, &attachments, &ids);
    let folder = docker.root.join("containers").join(id.as_str());
    let file = |name: &str| folder.join(name).display().to_string();
    let execs = docker.containers.exec_ids(id);
    let lower = image.as_ref().map(|image| image.lower.clone()).unwrap_or_default();
    json!({
        "Id": id,
        "Created": record.created.to_string(),
        "Path": command.first().cloned().unwrap_or_default(),
        "Args": command.iter().skip(1).collect::<Vec<_>>(),
        "State": state(view),
        "Image": record.image_id,
        "ResolvConfPath": file("resolv.conf"),
        "HostnamePath": file("hostname"),
        "HostsPath": file("hosts"),
        "LogPath": if record.service.logging.keep { file("log") } else { String::new() },
        "Name": format!("/{}", record.name),
        "RestartCount": record.restarts,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": if execs.is_empty() { Value::Null } else { json!(execs) },
        "HostConfig": asked.host_config,
        "GraphDriver": { "Name": "overlay2", "Data": graph(docker, id, &lower) },
        "Mounts": describe::mount_points(record, docker.containers.volumes()),
        "Config": asked.config,
        "NetworkSettings": network_settings(view, ports, networks),
    })
}

fn graph(docker: &Docker, id: &ContainerId, lower: &[std::path::PathBuf]) -> Value {
    let lower: Vec<String> = lower.iter().map(|path| path.display().to_string()).collect();
    let own = docker.root.join("images/snapshots").join(id.as_str());
    json!({
        "LowerDir": lower.join(":"),
        "MergedDir": own.join("merged").display().to_string(),
        "UpperDir": own.join("upper").display().to_string(),
        "WorkDir": own.join("work").display().to_string(),
    })
}

fn state(view: &View) -> Value {
    let at = |moment: Option<Timestamp>| moment.map_or_else(|| NEVER.to_owned(), |moment| moment.to_string());
    let status = describe::status(view);
    let (pid, started, finished, code, oom, error) = match &view.record.state {
        Is::Created => (0, None, None, 0, false, None),
        Is::Running { pid, started, .. } => (*pid, Some(*started), None, 0, false, None),
        Is::Exited { started, finished, code, oom, error, .. } => {
            (0, Some(*started), Some(*finished), *code, *oom, error.clone())
        }
    };
    let mut state = json!({
        "Status": status,
        "Running": matches!(status, "running" | "paused" | "restarting"),
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": oom,
        "Dead": false,
        "Pid": pid,
        "ExitCode": code,
        "Error": error.unwrap_or_default(),
        "StartedAt": at(started),
        "FinishedAt": at(finished),
    });
    if let Some(health) = describe::health(view) {
        let line = |line: &containers::HealthLog| {
            json!({
                "Start": line.start.to_string(), "End": line.end.to_string(),
                "ExitCode": line.exit_code, "Output": line.output,
            })
        };
        state["Health"] = json!({
            "Status": health,
            "FailingStreak": view.health.failures,
            "Log": view.health.log.iter().map(line).collect::<Vec<_>>(),
        });
    }
    state
}

/// What stands there for the default network alone went with 1.52; clients of all ages look for it, so it stays.
fn network_settings(view: &View, ports: BTreeMap<String, Value>, networks: BTreeMap<String, Value>) -> Value {
    let id = &view.record.id;
    let runs = view.record.state.runs();
    let mut settings = json!({
        "SandboxID": if runs { oci::Digest::sha256(id.as_str().as_bytes()).hex().to_owned() } else { String::new() },
        "SandboxKey": if let (true, Is::Running { pid, .. }) = (runs, &view.record.state) { format!("/proc/{pid}/ns/net") } else { String::new() },
        "Ports": ports,
        "Networks": networks,
    });
    let main = settings["Networks"][network::DEFAULT_NETWORK].clone();
    let of = |key: &str, otherwise: Value| main.get(key).cloned().unwrap_or(otherwise);
    for (key, value) in [
        ("Bridge", json!("")),
        ("HairpinMode", json!(false)),
        ("LinkLocalIPv6Address", json!("")),
        ("LinkLocalIPv6PrefixLen", json!(0)),
        ("SecondaryIPAddresses", Value::Null),
        ("SecondaryIPv6Addresses", Value::Null),
        ("EndpointID", of("EndpointID", json!(""))),
        ("Gateway", of("Gateway", json!(""))),
        ("GlobalIPv6Address", of("GlobalIPv6Address", json!(""))),
        ("GlobalIPv6PrefixLen", of("GlobalIPv6PrefixLen", json!(0))),
        ("IPAddress", of("IPAddress", json!(""))),
        ("IPPrefixLen", of("IPPrefixLen", json!(0))),
        ("IPv6Gateway", of("IPv6Gateway", json!(""))),
        ("MacAddress", of("MacAddress", json!(""))),
    ] {
        settings[key] = value;
    }
    settings
}
