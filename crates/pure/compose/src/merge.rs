//! How a later file's tree is laid over an earlier one: mappings merge, lists append, and the special cases.

use crate::problem::Fault;
use crate::tree::{Map, Node, Trail, Value};

/// Lays a whole file over what was there.
pub(crate) fn files(base: &mut Map, over: Map) -> Result<(), Fault> {
    maps(base, over, Trail::root())
}

/// Lays a service over the one that it extends.
pub(crate) fn services(base: Node, over: Node) -> Result<Node, Fault> {
    nodes(base, over, Trail::of(&["services", "x"]))
}

/// Lays one top-level resource over an included one of the same name.
pub(crate) fn resources(section: &str, name: &str, base: Node, over: Node) -> Result<Node, Fault> {
    nodes(base, over, Trail::of(&[section, name]))
}

fn nodes(base: Node, over: Node, trail: Trail<'_>) -> Result<Node, Fault> {
    match rule(trail.parts()) {
        Some(Rule::Replace) => return Ok(over),
        Some(Rule::Append) => return Ok(append(base, over)),
        Some(Rule::Hosts) => return Ok(hosts(base, over)),
        Some(Rule::Build) => return mapped(base, over, trail, &|node| build(node)),
        Some(Rule::Names) => return mapped(base, over, trail, &|node| names(node, false)),
        Some(Rule::Dependencies) => return mapped(base, over, trail, &|node| names(node, true)),
        Some(Rule::Logging) if other_driver(&base, &over) => return Ok(over),
        Some(Rule::Pools) => return pools(base, over, trail),
        Some(Rule::Logging) | None => {}
    }
    if over.is_null() {
        return Ok(base);
    }
    let at = over.at;
    match (base.value, over.value) {
        (Value::Map(mut map), Value::Map(other)) => {
            maps(&mut map, other, trail)?;
            Ok(Node::new(Value::Map(map), base.at))
        }
        (Value::List(mut list), Value::List(other)) => {
            list.extend(other);
            Ok(Node::new(Value::List(list), base.at))
        }
        (Value::Map(_), _) => Err(mismatch(trail, at, "a mapping")),
        (Value::List(_), _) => Err(mismatch(trail, at, "a list")),
        (_, value) => Ok(Node { value, at, mark: over.mark }),
    }
}

fn mismatch(trail: Trail<'_>, at: crate::tree::Span, what: &str) -> Fault {
    Fault::at(at, trail.parts().join("."), format!("an earlier file gives {what} here"))
        .help(format!("write {what}, or put `!override` before the value"))
}

fn maps(base: &mut Map, over: Map, trail: Trail<'_>) -> Result<(), Fault> {
    for (key, entry) in over.0 {
        match base.0.get_mut(&key) {
            None => {
                base.0.insert(key, entry);
            }
            Some(slot) => {
                let old = std::mem::take(&mut slot.node);
                slot.node = nodes(old, entry.node, trail.down(&key))?;
            }
        }
    }
    Ok(())
}

enum Rule {
    /// The later one alone.
    Replace,
    /// Both as lists of `key=value`, one after the other.
    Append,
    /// Likewise, without repeating what is there.
    Hosts,
    /// A text is the context.
    Build,
    /// A list of names is a mapping.
    Names,
    /// Likewise, with the condition that a bare name means.
    Dependencies,
    /// Merged only while the driver stays the same.
    Logging,
    /// By subnet.
    Pools,
}

fn rule(path: &[&str]) -> Option<Rule> {
    Some(match path {
        ["networks", _, "ipam", "config"] => Rule::Pools,
        ["networks" | "volumes", _, "labels"] => Rule::Append,
        ["services", _, key] => match *key {
            "command" | "entrypoint" => Rule::Replace,
            "build" => Rule::Build,
            "depends_on" => Rule::Dependencies,
            "networks" | "models" => Rule::Names,
            "logging" => Rule::Logging,
            "extra_hosts" => Rule::Hosts,
            "annotations" | "dns" | "dns_opt" | "dns_search" | "env_file" | "label_file" | "environment"
            | "labels" | "sysctls" | "tmpfs" => Rule::Append,
            _ => return None,
        },
        ["services", _, "healthcheck", "test"] | ["services", _, "ulimits", _] => Rule::Replace,
        ["services", _, "build", "extra_hosts"] => Rule::Hosts,
        ["services", _, "build", "args" | "additional_contexts" | "labels"]
        | ["services", _, "deploy", "labels"] => Rule::Append,
        _ => return None,
    })
}

/// A value as a list: a mapping becomes sorted `key=value` texts.
fn sequence(node: Node) -> Vec<Node> {
    match node.value {
        Value::List(list) => list,
        Value::Text(text) => vec![Node::text(text, node.at)],
        Value::Map(map) => {
            let mut list = Vec::new();
            for (key, entry) in map.0 {
                let at = entry.key_at;
                match &entry.node.value {
                    Value::Null => list.push(Node::text(key, at)),
                    Value::List(items) => {
                        list.extend(items.iter().map(|i| Node::text(format!("{key}={}", i.print()), at)));
                    }
                    _ => list.push(Node::text(format!("{key}={}", entry.node.print()), at)),
                }
            }
            list.sort_by(|a, b| a.str().cmp(&b.str()));
            list
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) => Vec::new(),
    }
}

fn append(base: Node, over: Node) -> Node {
    let at = if base.is_null() { over.at } else { base.at };
    let mut list = sequence(base);
    list.extend(sequence(over));
    Node::new(Value::List(list), at)
}

fn hosts(base: Node, over: Node) -> Node {
    let at = base.at;
    let mut list = sequence(base);
    for host in sequence(over) {
        if !list.contains(&host) {
            list.push(host);
        }
    }
    Node::new(Value::List(list), at)
}

/// Merges two values, each made a mapping first.
fn mapped(base: Node, over: Node, trail: Trail<'_>, to: &dyn Fn(Node) -> Option<Map>) -> Result<Node, Fault> {
    let (base_at, over_at) = (base.at, over.at);
    let null = over.is_null();
    let Some(mut map) = to(base) else { return Ok(over) };
    match to(over) {
        Some(over) => maps(&mut map, over, trail)?,
        None if null => {}
        None => return Err(mismatch(trail, over_at, "a mapping")),
    }
    Ok(Node::new(Value::Map(map), base_at))
}

fn build(node: Node) -> Option<Map> {
    match node.value {
        Value::Map(map) => Some(map),
        Value::Text(context) => {
            let mut map = Map::default();
            map.set("context", Node::text(context, node.at));
            Some(map)
        }
        _ => None,
    }
}

/// A list of names as a mapping; a dependency's name means that it is started, and needed.
pub(crate) fn names(node: Node, dependency: bool) -> Option<Map> {
    match node.value {
        Value::Map(map) => Some(map),
        Value::List(list) => {
            let mut map = Map::default();
            for name in list {
                let at = name.at;
                let Value::Text(key) = name.value else { return None };
                let value = if dependency { started(at) } else { Node::new(Value::Null, at) };
                map.set(key, value);
            }
            Some(map)
        }
        _ => None,
    }
}

fn started(at: crate::tree::Span) -> Node {
    let mut map = Map::default();
    map.set("condition", Node::text("service_started", at));
    map.set("required", Node::bool(true, at));
    Node::new(Value::Map(map), at)
}

fn other_driver(base: &Node, over: &Node) -> bool {
    matches!((base.get("driver"), over.get("driver")), (Some(a), Some(b)) if a != b)
}

/// Address ranges merge by subnet, in the reference's own order of doing so.
///
/// The reference changes its ranges in place while its result already points at them, so the result holds the number of
/// a range, of the earlier file or of the later, and not the range.
fn pools(base: Node, over: Node, trail: Trail<'_>) -> Result<Node, Fault> {
    let at = base.at;
    let (Value::List(mut base), Value::List(over)) = (base.value, over.value) else {
        return Err(mismatch(trail, over.at, "a list"));
    };
    let mut out: Vec<(bool, usize)> = Vec::new();
    let subnet = |node: &Node| node.get("subnet").cloned();
    for left in 0..base.len() {
        for (right, next) in over.iter().enumerate() {
            let find = |base: &[Node], wanted: &Option<Node>| {
                out.iter()
                    .position(|(later, i)| subnet(if *later { &over[*i] } else { &base[*i] }) == *wanted)
            };
            if subnet(&base[left]) != subnet(next) && find(&base, &subnet(next)).is_none() {
                out.push((true, right));
                continue;
            }
            if let (Some(map), Value::Map(next)) = (base[left].map_mut(), next.clone().value) {
                maps(map, next, trail)?;
            }
            match find(&base, &subnet(&base[left])) {
                Some(index) => out[index] = (false, left),
                None => out.push((false, left)),
            }
        }
    }
    let list =
        out.into_iter().map(|(later, i)| if later { over[i].clone() } else { base[i].clone() }).collect();
    Ok(Node::new(Value::List(list), at))
}
