//! Services may not wait for each other in a circle.

use std::collections::BTreeMap;

use crate::problem::Fault;
use crate::tree::{Map, Node};

/// The first circle among the services, if there is one.
pub(super) fn circle(root: &Map) -> Option<Fault> {
    let services = root.get("services")?.map()?;
    let mut done = BTreeMap::new();
    for (name, _) in services.iter() {
        if let Some(way) = search(services, name, &mut done) {
            let last = way.last()?;
            let node = services.get(last)?.get("depends_on").or(services.get(last))?;
            let mut shown: Vec<&str> = way.clone();
            shown.push(way.first()?);
            let message = format!("services wait for each other in a circle: {}", shown.join(" -> "));
            return Some(
                Fault::at(node.at, format!("services.{last}.depends_on"), message)
                    .help("remove one of these dependencies"),
            );
        }
    }
    None
}

/// Depth first, without recursion: a long chain is no problem. Gives the circle from its first service on.
fn search<'a>(services: &'a Map, start: &'a str, done: &mut BTreeMap<&'a str, ()>) -> Option<Vec<&'a str>> {
    if done.contains_key(start) {
        return None;
    }
    let next = |name: &str| -> std::vec::IntoIter<&'a str> {
        let depends = services.get(name).and_then(|node| node.get("depends_on")).and_then(Node::map);
        depends.map(|map| map.iter().map(|(key, _)| key).collect::<Vec<_>>()).unwrap_or_default().into_iter()
    };
    let mut way = vec![start];
    let mut stack = vec![next(start)];
    while let Some(children) = stack.last_mut() {
        let Some(child) = children.next() else {
            stack.pop();
            if let Some(name) = way.pop() {
                done.insert(name, ());
            }
            continue;
        };
        if let Some(first) = way.iter().position(|name| *name == child) {
            return Some(way.split_off(first));
        }
        if !done.contains_key(child) {
            way.push(child);
            stack.push(next(child));
        }
    }
    None
}
