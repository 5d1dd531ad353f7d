//! Checks beyond the shapes: what excludes what, what must name something that exists, what may not go in circles.

mod graph;
mod service;

use std::collections::{BTreeMap, BTreeSet};

use crate::problem::{Fault, nearest};
use crate::tree::{Map, Node, Span};

/// Checks of single resources, before paths are resolved.
pub(crate) fn shapes(root: &Map) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, volume) in section(root, "volumes") {
        external_alone(volume, &format!("volumes.{name}"), &mut faults);
    }
    for (kind, keys) in
        [("configs", &["file", "environment", "content"][..]), ("secrets", &["file", "environment"])]
    {
        for (name, node) in section(root, kind) {
            one_source(node, &format!("{kind}.{name}"), keys, &mut faults);
        }
    }
    for (name, service) in section(root, "services") {
        service::shapes(name, service, &mut faults);
    }
    faults
}

/// Checks of the whole project; `root` has the enabled services alone, `disabled` names the others.
pub(crate) fn whole(root: &Map, disabled: &BTreeSet<String>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, service) in section(root, "services") {
        let Some(map) = service.map() else { continue };
        service::whole(&service::Seen { name, service: map, at: service.at, root, disabled }, &mut faults);
    }
    for (name, secret) in section(root, "secrets") {
        let given = |key: &str| secret.get(key).is_some_and(|node| node.str() != Some(""));
        if !is_external(secret) && !given("file") && !given("environment") {
            faults.push(
                Fault::at(secret.at, format!("secrets.{name}"), "this secret has no source")
                    .help("add `file`, `environment` or `external: true`"),
            );
        }
    }
    if faults.is_empty() {
        faults.extend(graph::circle(root));
    }
    faults
}

/// No two of the services that run may give their container the same name.
pub(crate) fn container_names(root: &Map) -> Vec<Fault> {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    let mut faults = Vec::new();
    for (name, service) in section(root, "services") {
        let Some(node) = service.get("container_name") else { continue };
        let Some(given) = node.str().filter(|given| !given.is_empty()) else { continue };
        if let Some(other) = taken.insert(given, name) {
            faults.push(
                Fault::at(
                    node.at,
                    format!("services.{name}.container_name"),
                    format!("the service `{other}` has the name `{given}` already"),
                )
                .help("a container's name is unique; change one of them"),
            );
        }
    }
    faults
}

fn section<'a>(root: &'a Map, key: &str) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
    root.get(key).and_then(Node::map).into_iter().flat_map(Map::iter)
}

/// Whether a resource is somebody else's.
pub(crate) fn is_external(node: &Node) -> bool {
    node.get("external").and_then(Node::truth).unwrap_or(false)
}

fn external_alone(node: &Node, key: &str, faults: &mut Vec<Fault>) {
    let Some(map) = node.map().filter(|_| is_external(node)) else { return };
    for (other, value) in map.iter() {
        if !matches!(other, "name" | "external") && !other.starts_with("x-") {
            faults.push(
                Fault::at(
                    value.at,
                    format!("{key}.{other}"),
                    format!("`external` and `{other}` exclude each other"),
                )
                .help("somebody else makes an external volume; only its `name` may be given"),
            );
        }
    }
}

fn one_source(node: &Node, key: &str, keys: &[&str], faults: &mut Vec<Fault>) {
    let Some(map) = node.map() else { return };
    let given: Vec<&str> = keys.iter().copied().filter(|key| map.has(key)).collect();
    let list = keys.join("`, `");
    if given.len() > 1 {
        faults.push(
            Fault::at(node.at, key, format!("`{}` exclude each other", given.join("` and `")))
                .help(format!("keep one of `{list}`")),
        );
    }
    if given.is_empty() && !map.has("driver") && !map.has("external") {
        faults.push(
            Fault::at(node.at, key, "this has no source")
                .help(format!("add one of `{list}`, or `external: true`")),
        );
    }
}

/// A fault for a name that nothing has, with the nearest one that something has.
fn unknown<'a>(
    at: Span,
    key: String,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Fault {
    let fault = Fault::at(at, key, format!("there is no {what} `{name}`"));
    match nearest(name, known.clone()) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None if what == "service" => {
            fault.help(format!("the services are {}", known.collect::<Vec<_>>().join(", ")))
        }
        None => fault.help(format!("add `{name}` to the top level's `{what}s`")),
    }
}
