//! From a line of the journal to docker's events. Pure; lines that docker has no word for give none.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use store::Line;

use crate::version::ApiVersion;

/// An event as docker has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DockerEvent {
    /// What sort of thing: `container`, `image`, `network`, `volume`, `builder`.
    pub(crate) kind: &'static str,
    /// What happened to it.
    pub(crate) action: String,
    /// Which thing; empty for what concerns all.
    pub(crate) id: String,
    /// More about it, its labels among them.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub(crate) at: i64,
}

impl DockerEvent {
    /// As it is sent. Clients before 1.52 get a few things twice.
    pub(crate) fn document(&self, version: ApiVersion) -> Value {
        let mut fields = serde_json::Map::new();
        if version < ApiVersion(1, 52) && matches!(self.kind, "container" | "image") {
            fields.insert("status".into(), self.action.as_str().into());
            if !self.id.is_empty() {
                fields.insert("id".into(), self.id.as_str().into());
            }
            if let ("container", Some(image)) = (self.kind, self.attributes.get("image")) {
                fields.insert("from".into(), image.as_str().into());
            }
        }
        fields.insert("Type".into(), self.kind.into());
        fields.insert("Action".into(), self.action.as_str().into());
        fields.insert("Actor".into(), json!({ "ID": self.id, "Attributes": self.attributes }));
        fields.insert("scope".into(), "local".into());
        fields.insert("time".into(), self.at.div_euclid(1_000_000_000).into());
        fields.insert("timeNano".into(), self.at.into());
        Value::Object(fields)
    }
}

/// Docker's events for a line, in their order.
pub(crate) fn words(line: &Line) -> Vec<DockerEvent> {
    let events = match line.subject.split(' ').next() {
        Some("container") => container(line),
        Some("image") => image(line).into_iter().collect(),
        Some("network") => network(line).into_iter().collect(),
        Some("volume") => volume(line).into_iter().collect(),
        _ if line.event == "Pruned" => pruned(line).into_iter().collect(),
        _ => Vec::new(),
    };
    events.into_iter().map(|event| DockerEvent { at: line.at.0, ..event }).collect()
}

/// A field as text.
fn text(line: &Line, name: &str) -> Option<String> {
    match &line.detail[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn labels(line: &Line) -> BTreeMap<String, String> {
    let labels = line.detail["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// Fields of the line under docker's names, as far as they are there.
fn named(line: &Line, names: &[(&str, &str)]) -> Vec<(String, String)> {
    names.iter().filter_map(|(ours, theirs)| Some(((*theirs).to_owned(), text(line, ours)?))).collect()
}

fn container(line: &Line) -> Vec<DockerEvent> {
    let command = || {
        let words = line.detail["command"].as_array().into_iter().flatten();
        let words: Vec<&str> = words.filter_map(Value::as_str).collect();
        words.join(" ")
    };
    let exec = |word: &str| format!("{word}: {}", command());
    let (actions, more): (Vec<String>, Vec<(String, String)>) = match line.event.as_str() {
        "ContainerEnded" | "ContainerLost" => (vec!["die".into()], end(line)),
        "ContainerOutOfMemory" => (vec!["oom".into(), "die".into()], end(line)),
        "ContainerKilled" => (vec!["kill".into()], named(line, &[("signal", "signal")])),
        "ContainerRenamed" => (vec!["rename".into()], named(line, &[("oldName", "oldName")])),
        "ContainerResized" => {
            (vec!["resize".into()], named(line, &[("rows", "height"), ("columns", "width")]))
        }
        "ContainerCommitted" => (
            vec!["commit".into()],
            named(line, &[("comment", "comment"), ("imageID", "imageID"), ("imageRef", "imageRef")]),
        ),
        "ExecCreated" => (vec![exec("exec_create")], named(line, &[("exec", "execID")])),
        "ExecStarted" => (vec![exec("exec_start")], named(line, &[("exec", "execID")])),
        "ExecEnded" => (vec!["exec_die".into()], named(line, &[("exec", "execID"), ("code", "exitCode")])),
        other => match plain(other) {
            Some(action) => (vec![action.into()], Vec::new()),
            None => return Vec::new(),
        },
    };
    let mut attributes = labels(line);
    attributes.extend(named(line, &[("image", "image"), ("name", "name")]));
    let id = text(line, "id").unwrap_or_default();
    let event = |(index, action): (usize, String)| {
        let mut attributes = attributes.clone();
        // Of two, the first only says that memory was short.
        if index + 1 == actions.len() {
            attributes.extend(more.clone());
        }
        DockerEvent { kind: "container", action, id: id.clone(), attributes, at: 0 }
    };
    actions.clone().into_iter().enumerate().map(event).collect()
}

/// Actions that need no more than their container.
fn plain(event: &str) -> Option<&'static str> {
    Some(match event {
        "ContainerCreated" => "create",
        "ContainerStarted" => "start",
        "ContainerStopped" => "stop",
        "ContainerRestarted" => "restart",
        "ContainerPaused" => "pause",
        "ContainerUnpaused" => "unpause",
        "ContainerUpdated" => "update",
        "ContainerAttached" => "attach",
        "ContainerDetached" => "detach",
        "ContainerExported" => "export",
        "ContainerTopped" => "top",
        "ContainerArchived" => "archive-path",
        "ContainerExtracted" => "extract-to-dir",
        "ContainerHealthy" => "health_status: healthy",
        "ContainerUnhealthy" => "health_status: unhealthy",
        "ContainerRemoved" => "destroy",
        _ => return None,
    })
}

fn end(line: &Line) -> Vec<(String, String)> {
    // One that was lost has no code of its own.
    let code = text(line, "code").unwrap_or_else(|| "137".into());
    let mut more = vec![("exitCode".to_owned(), code)];
    more.extend(named(line, &[("seconds", "execDuration")]));
    more
}

fn image(line: &Line) -> Option<DockerEvent> {
    let action = match line.event.as_str() {
        "ImagePulled" => "pull",
        "ImagePushed" => "push",
        "ImageLoaded" => "load",
        "ImageImported" => "import",
        "ImageCreated" => "create",
        "ImageSaved" => "save",
        "ImageTagged" => "tag",
        "ImageUntagged" => "untag",
        "ImageRemoved" => "delete",
        _ => return None,
    };
    let id = text(line, "id").unwrap_or_default();
    let name = text(line, "name").unwrap_or_else(|| id.clone());
    // What crosses the network goes by its name, a new name by itself, and all else by the image's id.
    let (id, name) = match action {
        "pull" | "push" => {
            let repository = name.parse::<oci::Reference>().map(|name| name.familiar_repository());
            (name.clone(), repository.unwrap_or(name))
        }
        "tag" => (id, name),
        _ => (id.clone(), id),
    };
    let mut attributes = labels(line);
    attributes.insert("name".into(), name);
    Some(DockerEvent { kind: "image", action: action.into(), id, attributes, at: 0 })
}

fn network(line: &Line) -> Option<DockerEvent> {
    let action = match line.event.as_str() {
        "NetworkCreated" => "create",
        "NetworkConnected" => "connect",
        "NetworkDisconnected" => "disconnect",
        "NetworkRemoved" => "destroy",
        _ => return None,
    };
    let attributes = named(line, &[("name", "name"), ("driver", "type"), ("container", "container")]);
    let id = text(line, "id").unwrap_or_default();
    Some(DockerEvent {
        kind: "network",
        action: action.into(),
        id,
        attributes: attributes.into_iter().collect(),
        at: 0,
    })
}

fn volume(line: &Line) -> Option<DockerEvent> {
    let action = match line.event.as_str() {
        "VolumeCreated" => "create",
        "VolumeMounted" => "mount",
        "VolumeUnmounted" => "unmount",
        "VolumeRemoved" => "destroy",
        _ => return None,
    };
    let fields = [("driver", "driver"), ("container", "container"), ("destination", "destination")];
    let mut attributes: BTreeMap<String, String> = named(line, &fields).into_iter().collect();
    if action == "mount" {
        let writes = line.detail["read_only"] != Value::Bool(true);
        attributes.insert("read/write".into(), writes.to_string());
        attributes.insert("propagation".into(), String::new());
    }
    let id = text(line, "name").unwrap_or_default();
    Some(DockerEvent { kind: "volume", action: action.into(), id, attributes, at: 0 })
}

fn pruned(line: &Line) -> Option<DockerEvent> {
    let kind = ["container", "image", "network", "volume", "builder"];
    let kind = kind.into_iter().find(|kind| line.detail["what"] == *kind)?;
    let attributes = named(line, &[("reclaimed", "reclaimed")]).into_iter().collect();
    Some(DockerEvent { kind, action: "prune".into(), id: String::new(), attributes, at: 0 })
}

#[cfg(test)]
mod tests;
