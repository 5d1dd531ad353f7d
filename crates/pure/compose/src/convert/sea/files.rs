//! `x-sea.edge.files`: folders whose files the edge serves itself.

use spec::{Files, HeaderRules, Missing, PathPrefix};

use super::super::Desk;
use super::known;
use crate::paths;
use crate::tree::{Map, Node, Value};

const KEYS: &[&str] = &["from", "path", "missing", "cache"];
const HELP: &str =
    "write a folder, as in `./public`, or as in `{from: ./public, path: /static, missing: 404}`";
/// The most folders of a service.
const MOST: usize = 16;

/// Reads one folder or a list of them; `key` is where they stand.
pub(super) fn read(desk: &mut Desk<'_>, node: &Node, key: &str) -> Vec<Files> {
    let list = match &node.value {
        Value::List(list) => list.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut all: Vec<Files> = Vec::new();
    for (at, one) in list.iter().enumerate() {
        let key = if matches!(node.value, Value::List(_)) { format!("{key}[{at}]") } else { key.to_owned() };
        let Some(files) = folder(desk, one, &key) else { continue };
        let place = |files: &Files| files.path.0.trim_end_matches('/').to_owned();
        if all.iter().any(|other| place(other) == place(&files)) {
            let message = format!("two folders are at `{}`", files.path);
            desk.fault(one, format!("{key}.path"), message, "give each a `path` of its own");
        } else {
            all.push(files);
        }
    }
    if list.len() > MOST {
        desk.fault(node, key, format!("these are more than {MOST} folders"), "put some of them into one");
    }
    all
}

fn folder(desk: &mut Desk<'_>, node: &Node, key: &str) -> Option<Files> {
    let none = Map::default();
    let (from, map) = match &node.value {
        Value::Text(text) => (text.as_str(), &none),
        Value::Map(map) => {
            known(desk, map, KEYS, key);
            match map.get("from").and_then(Node::str) {
                Some(from) => (from, map),
                None => {
                    desk.fault(node, format!("{key}.from"), "the folder is missing", HELP);
                    return None;
                }
            }
        }
        _ => {
            desk.fault(node, key, format!("a folder cannot be {}", node.kind()), HELP);
            return None;
        }
    };
    if from.is_empty() {
        desk.fault(node, key, "the folder has no name", HELP);
        return None;
    }
    let path = map.get("path").map_or("/", |node| node.str().unwrap_or_default());
    let path = PathPrefix(path.to_owned());
    if let Some(flaw) = path.flaw() {
        let help = "write as in `/static`";
        desk.fault(map.get("path")?, format!("{key}.path"), format!("`{path}` is no path: {flaw}"), help);
        return None;
    }
    let missing = match map.get("missing").map(|node| (node, node.print())) {
        None => Missing::App,
        Some((node, word)) => match word.as_str() {
            "app" => Missing::App,
            "404" => Missing::NotFound,
            "index" => Missing::Index,
            _ => {
                let message = format!("`{word}` is not a value of this key");
                desk.fault(node, format!("{key}.missing"), message, "allowed are app, 404 and index");
                return None;
            }
        },
    };
    let cache = map.get("cache").map(|node| (node, node.print()));
    if let Some((node, _)) =
        cache.as_ref().filter(|(_, value)| value.is_empty() || !HeaderRules::is_value(value))
    {
        let help = "write what `Cache-Control` says, as in `public, max-age=3600`";
        desk.fault(node, format!("{key}.cache"), "no field can have this value", help);
        return None;
    }
    Some(Files {
        path,
        folder: paths::absolute(desk.project.folder(), from),
        tree: String::new(),
        missing,
        cache: cache.map(|(_, value)| value),
    })
}

#[cfg(test)]
mod tests;
