//! Lists whose elements have keys hold each key once: the last one said, in the place of the first.

use indexmap::IndexMap;

use crate::problem::Fault;
use crate::short;
use crate::tree::{Map, Node, Trail, Value};

/// Enforces it in a whole tree.
pub(crate) fn enforce(root: &mut Map) -> Result<(), Fault> {
    walk(root, Trail::root())
}

fn walk<'t>(map: &'t mut Map, trail: Trail<'t>) -> Result<(), Fault> {
    for (key, node) in map.iter_mut() {
        let trail = trail.down(key);
        match &mut node.value {
            Value::Map(map) => walk(map, trail)?,
            Value::List(list) => {
                if let Some(key) = key_of(trail.parts()) {
                    let mut seen: IndexMap<String, Node> = IndexMap::with_capacity(list.len());
                    for item in std::mem::take(list) {
                        let key = key(&item, trail)?;
                        seen.insert(key, item);
                    }
                    *list = seen.into_values().collect();
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Time(_) => {}
        }
    }
    Ok(())
}

type Key = fn(&Node, Trail<'_>) -> Result<String, Fault>;

fn key_of(path: &[&str]) -> Option<Key> {
    Some(match path {
        ["networks", _, "labels"] | ["networks", _, "ipam", "options"] => pair,
        ["services", _, key] => match *key {
            "annotations" | "cap_add" | "cap_drop" | "dns" | "dns_opt" | "dns_search" | "environment"
            | "labels" | "links" | "profiles" | "sysctls" | "tmpfs" => pair,
            "devices" => device,
            "configs" => |node, _| Ok(file(node, "")),
            "secrets" => |node, _| Ok(file(node, "/run/secrets")),
            "env_file" => |node, _| Ok(text(node.get("path").unwrap_or(node))),
            "expose" => |node, _| Ok(node.print()),
            "ports" => port,
            "volumes" => volume,
            _ => return None,
        },
        ["services", _, "build", "args" | "additional_contexts" | "platform" | "tags" | "labels"]
        | ["services", _, "deploy", "labels"]
        | ["services", _, "networks", _, "aliases" | "link_local_ips"] => pair,
        _ => return None,
    })
}

/// Whether an empty list at this place stays one: what fills in names leaves nothing of its lists.
pub(crate) fn is_kept(path: &[&str]) -> bool {
    key_of(path).is_some() && !matches!(path, [.., "environment"] | [.., "build", "args"])
}

fn text(node: &Node) -> String {
    node.str().unwrap_or_default().to_owned()
}

fn pair(node: &Node, trail: Trail<'_>) -> Result<String, Fault> {
    match node.str() {
        Some(text) => Ok(text.split_once('=').map_or(text, |(key, _)| key).to_owned()),
        None => Err(Fault::at(
            node.at,
            trail.parts().join("."),
            format!("each element must be a text, and this is {}", node.kind()),
        )),
    }
}

fn device(node: &Node, _: Trail<'_>) -> Result<String, Fault> {
    match node.str() {
        Some(short) => {
            let mut parts = short.split(':');
            let source = parts.next().unwrap_or_default();
            Ok(parts.next().unwrap_or(source).to_owned())
        }
        None => Ok(text(node.get("target").unwrap_or(node))),
    }
}

fn file(node: &Node, folder: &str) -> String {
    match node.str() {
        Some(source) => format!("{folder}/{source}"),
        None => match node.get("target") {
            Some(target) => text(target),
            None => format!("{folder}/{}", node.get("source").map(text).unwrap_or_default()),
        },
    }
}

fn port(node: &Node, trail: Trail<'_>) -> Result<String, Fault> {
    let Value::Map(map) = &node.value else { return Ok(node.print()) };
    let Some(target) = map.get("target") else {
        return Err(Fault::at(node.at, trail.parts().join("."), "this port has no `target`")
            .help("say with `target` which port of the container it leads to"));
    };
    let get = |key: &str, or: &str| map.get(key).map_or_else(|| or.to_owned(), Node::print);
    // A number and a text of the same digits are different ports to the reference.
    let published = match map.get("published") {
        Some(Node { value: Value::Text(text), .. }) => text.clone(),
        Some(node) => format!("{} {}", node.kind(), node.print()),
        None => "nothing".to_owned(),
    };
    Ok(format!("{}:{}:{}/{}", get("host_ip", "0.0.0.0"), published, target.print(), get("protocol", "tcp")))
}

fn volume(node: &Node, trail: Trail<'_>) -> Result<String, Fault> {
    let key = || trail.parts().join(".");
    match &node.value {
        Value::Text(short) => {
            short::volume(short).map(|v| v.target).map_err(|what| Fault::at(node.at, key(), what))
        }
        Value::Map(map) => match map.get("target").and_then(Node::str) {
            Some(target) => Ok(target.to_owned()),
            None => Err(Fault::at(node.at, key(), "this mount has no `target`")
                .help("say with `target` where in the container it goes")),
        },
        _ => Ok(String::new()),
    }
}
